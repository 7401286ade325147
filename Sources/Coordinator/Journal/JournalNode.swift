package import BlockModel
internal import ClusterLogic
internal import HTTPTransport
internal import Journal
internal import Platform
internal import ServiceAPI

/// A node as the journal needs it: where it is, whether it lives, and whether it belongs to the layout.
package struct JournalNode: Sendable {
  var target: ClusterNodeClient.Target
  var isAlive: Bool
  package var isInLayout: Bool

  init(target: ClusterNodeClient.Target, isAlive: Bool, isInLayout: Bool) {
    self.target = target
    self.isAlive = isAlive
    self.isInLayout = isInLayout
  }

  package init(node: NodeID, zone: ZoneID, address: String, isAlive: Bool, isInLayout: Bool = true) {
    self.init(
      target: ClusterNodeClient.Target(node: node, zone: zone, address: address, layoutVersion: 0, gcEpoch: 0), isAlive: isAlive,
      isInLayout: isInLayout)
  }

  package var node: NodeID { target.node }

  var candidate: JournalQuorum.Candidate {
    JournalQuorum.Candidate(node: target.node, zone: target.zone, isAlive: isAlive, isInLayout: isInLayout)
  }
}

extension ClusterNodeClient {
  /// A message to the node's part of the metadata's journal, under a `control` capability for exactly these bytes.
  ///
  /// - Throws: `.fenced` when the node has promised a higher term to another coordinator.
  func ask(_ request: JournalRequest, of target: Target, deadline: Duration) async throws(NodeClientError) -> [UInt8] {
    let body = request.encoded
    let hash = body.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) }
    // What is signed is the body's hash; which door it goes to is said by its first bytes, too.
    let url = url(.control, block: hash, size: body.count, target).replacing("/v1/control/", with: "/v1/journal/", maxReplacements: 1)
    let message = HTTPClientRequest(
      method: .post, url: url, headers: ["Content-Type": "application/octet-stream"], body: .bytes(body), deadline: deadline,
      connectTimeout: min(.seconds(1), deadline), stallTimeout: nil)
    let response: HTTPClientResponse
    do throws(HTTPClientError) { response = try await http.send(message) } catch {
      throw NodeClientError(code: .unreachable, message: "\(target.node) does not answer: \(error.message)")
    }
    guard response.status != 409 else {
      throw NodeClientError(code: .fenced, message: "\(target.node) keeps the journal of another coordinator.")
    }
    guard response.status == 200 else {
      throw NodeClientError(code: .refused, message: "\(target.node) answered \(response.status) to a message of the journal.")
    }
    return response.bytes
  }

  func journalStatus(
    _ request: JournalRequest, of target: Target, deadline: Duration
  ) async throws(NodeClientError) -> JournalStatus {
    let bytes = try await ask(request, of: target, deadline: deadline)
    do throws(JSONError) { return try JSONCoding.decode(JournalStatus.self, from: bytes) } catch {
      throw NodeClientError(code: .malformed, message: "\(target.node) gave an answer that cannot be read: \(error.message)")
    }
  }
}
