internal import BlockModel
internal import ClusterLogic
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Why a replica did not take a record: for the quorum, and in words for the log.
struct ForwardFailure: Error, Sendable {
  var reason: WriteQuorum.ReplicaFailure
  var words: String

  init(_ reason: WriteQuorum.ReplicaFailure, _ words: String) {
    self.reason = reason
    self.words = words
  }

  init(status: Int, _ words: String) {
    self.init(status == 507 ? .full : .refused, "it answered \(status): \(words)")
  }
}

/// Sends records to other nodes.
///
/// What must hold: addresses come from the cluster's view, never from a request. A record's bytes are what replicas get; whether their
/// receipts are genuine is the coordinator's to verify, here only that a receipt speaks of this block, upload and node.
struct Forwarding: Sendable {
  let knowledge: ClusterKnowledge
  let client: any HTTPRequesting
  let courier: RecordCourier
  let limits: NodeLimits
  let metrics: NodeMetrics
  let log: Logger

  /// Sends a record to one node of the capability's forward list.
  func send(
    _ record: OutgoingRecord, to node: NodeID, under put: Capability, requestID: String
  ) async -> Result<String, ForwardFailure> {
    let result = await attempt(record, to: node, under: put, requestID: requestID)
    switch result {
    case .success: metrics.forwards("stored").increment()
    case .failure(let failure):
      metrics.forwards("\(failure.reason)").increment()
      log.request(requestID).warning(
        "a replica did not take a record",
        ["node": .string(node.text), "block": .string(put.block.hex), "reason": .string(failure.words)])
    }
    return result
  }

  private func attempt(
    _ record: OutgoingRecord, to node: NodeID, under put: Capability, requestID: String
  ) async -> Result<String, ForwardFailure> {
    guard let forward = put.forwards.first(where: { $0.node == node }), let member = knowledge.member(node) else {
      return .failure(ForwardFailure(.unreachable, "its address is not known"))
    }
    let capability = put.replica(at: node)
    let target = capability.pathAndQuery(signature: forward.signature)
    let answer: Result<[String], ForwardFailure>
    if record.length <= RecordCourier.parcelBytes, record.isComplete {
      answer = await courier.send(record, target: target, to: member.address, node: node, requestID: requestID)
    } else {
      answer = await stream(record, url: member.address + target, requestID: requestID)
    }
    return answer.flatMap { receipts in
      for receipt in receipts where Forwarding.speaks(receipt, of: capability) { return .success(receipt) }
      return .failure(ForwardFailure(.refused, "its receipt is for something else"))
    }
  }

  private func stream(_ record: OutgoingRecord, url: String, requestID: String) async -> Result<[String], ForwardFailure> {
    let request = HTTPClientRequest(
      method: .put, url: url, headers: ["X-Request-Id": requestID, "Content-Type": "application/vnd.cairn.record"],
      body: .buffer(record.open()), deadline: limits.forwardDeadline, connectTimeout: limits.forwardConnectTimeout,
      stallTimeout: nil, responseLimit: 64 << 10)
    do throws(HTTPClientError) {
      let response = try await client.send(request)
      return Forwarding.receipts(status: response.status, response.bytes)
    } catch { return .failure(ForwardFailure(.unreachable, error.message)) }
  }

  static func receipts(status: Int, _ bytes: [UInt8]) -> Result<[String], ForwardFailure> {
    guard status == 201 else { return .failure(ForwardFailure(status: status, String(decoding: bytes.prefix(300), as: UTF8.self))) }
    guard let reply = PutReply(plainJSON: bytes) ?? (try? JSONCoding.decode(PutReply.self, from: bytes)) else {
      return .failure(ForwardFailure(.refused, "its answer is not readable"))
    }
    return .success(reply.receipts)
  }

  private static func speaks(_ text: String, of capability: Capability) -> Bool {
    guard let receipt = try? Receipt.parse(text).receipt else { return false }
    return receipt.block == capability.block && receipt.upload == capability.upload && receipt.node == capability.node
      && receipt.plainBytes == capability.size
  }
}
