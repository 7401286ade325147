internal import BlockModel
internal import Credentials
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Why a node did not do what it was asked.
struct NodeClientError: Error, Sendable, CustomStringConvertible {
  enum Code: Sendable, Equatable {
    /// No connection, or no answer in time: nothing is known of what it did.
    case unreachable
    /// It answered with a problem.
    case refused
    /// It answered what is no reply to the command.
    case malformed
    /// It obeys a newer coordinator.
    case fenced
  }
  var code: Code
  var message: String
  var description: String { message }
}

/// Sends signed commands to nodes and makes URLs for them.
struct ClusterNodeClient: Sendable {
  let signer: CapabilitySigner
  let http: any HTTPRequesting
  let time: any TimeSource
  let lifetime: Duration

  /// Where a command goes, and what it is signed with.
  struct Target: Sendable {
    var node: NodeID
    var zone: ZoneID
    var address: String
    var layoutVersion: UInt64
    var gcEpoch: UInt64
  }

  /// `POST` of the command under a `control` capability for exactly this body.
  func send(_ command: NodeCommand, to target: Target, deadline: Duration) async throws(NodeClientError) -> NodeCommandReply {
    let body: [UInt8]
    do throws(JSONError) { body = try JSONCoding.encode(command) } catch { throw NodeClientError(code: .malformed, message: error.message) }
    let hash = body.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) }
    let request = HTTPClientRequest(
      method: .post, url: url(.control, block: hash, size: body.count, target),
      headers: ["Content-Type": "application/json", ControlHeader.protocolVersion: String(ControlProtocol.current)],
      body: .bytes(body), deadline: deadline, stallTimeout: nil)
    let response: HTTPClientResponse
    do throws(HTTPClientError) { response = try await http.send(request) } catch {
      throw NodeClientError(code: .unreachable, message: "\(target.node) does not answer: \(error.message)")
    }
    guard response.status == 200 else {
      let detail = (try? JSONCoding.decode(ProblemDetail.self, from: response.bytes))?.detail ?? ""
      throw NodeClientError(code: .refused, message: "\(target.node) answered \(response.status). \(detail)")
    }
    do throws(JSONError) { return try JSONCoding.decode(NodeCommandReply.self, from: response.bytes) } catch {
      throw NodeClientError(code: .malformed, message: "\(target.node) gave an answer that cannot be read: \(error.message)")
    }
  }

  /// A signed URL at this node.
  func url(_ operation: CapabilityOperation, block: BlockID, size: Int, _ target: Target) -> String {
    let expires = (time.wall() + lifetime).seconds
    let capability = Capability(
      operation: operation, block: block, node: target.node, size: size, layoutVersion: target.layoutVersion, gcEpoch: target.gcEpoch,
      upload: UploadID(high: 0, low: 0), writeQuorum: 0, forwards: [], expires: expires, keyEpoch: signer.currentEpoch)
    return signer.url(capability, address: target.address)
  }

  private struct ProblemDetail: Decodable { var detail: String }
}
