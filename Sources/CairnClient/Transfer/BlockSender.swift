internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// A block in memory as it travels.
struct PreparedBlock: Sendable {
  var index: Int
  var ref: BlockRef
  var buffer: IOBuffer
  /// Where in `buffer` it begins.
  var start: Int = 0
  /// Bytes that are sent.
  var stored: Int
  var encoding: ContentEncoding
}

/// Puts one block on the cluster: the first URL of the plan, then the others; fresh URLs when these are past.
struct BlockSender: Sendable {
  /// Name, connection and TLS: a node that does not take a connection within this is passed over.
  static let connectTimeout: Duration = .seconds(1)
  /// A node that is only slow is hedged long before; this ends what would hang for ever.
  static let deadline: Duration = .seconds(60)

  let resources: TransferResources

  private struct Answer: Decodable { var receipts: [String] }

  /// - Parameter freshTargets: asks the gateway for new URLs; nil when the block is not missing any more.
  /// - Returns: one receipt a durable copy; none when the block turned out to be there.
  func send(
    _ block: PreparedBlock, to targets: [SignedTarget], freshTargets: @Sendable () async throws -> [SignedTarget]?
  ) async throws -> [String] {
    var backoff = Backoff(patience: resources.patience, time: resources.time)
    var targets = targets
    while true {
      try Task.checkCancellation()
      let failure: any Error
      do {
        guard !targets.isEmpty else { throw NodeRefusal.failed(status: 503, detail: "no node is up that may take it") }
        try await resources.pace.wait(for: block.stored)
        return try await race(block, resources.health.order(targets))
      } catch let error as CairnError { throw error } catch let error as CancellationError { throw error } catch {
        if case NodeRefusal.wrongBytes = error { throw NodeRefusal.sentence(error, verb: "store") }
        failure = error
      }
      guard let wait = backoff.next() else { throw NodeRefusal.sentence(failure, verb: "store") }
      // A layout that just changed is worth an immediate question; trouble is not.
      if case NodeRefusal.staleURL = failure {} else { try await Task.sleep(for: wait) }
      guard let fresh = try await freshTargets() else { return [] }
      targets = fresh
    }
  }

  private func race(_ block: PreparedBlock, _ targets: [SignedTarget]) async throws -> [String] {
    let health = resources.health
    let (winner, receipts) = try await Race.run(
      count: targets.count, hedgeAfter: health.hedgeDelay(.put), mayHedge: { health.takeHedge() }, isFinal: NodeRefusal.isFinal
    ) { index in
      (index, try await put(block, targets[index]))
    }
    for slower in targets[..<winner] { health.outrun(slower.node) }
    return receipts
  }

  private func put(_ block: PreparedBlock, _ target: SignedTarget) async throws -> [String] {
    let started = resources.time.monotonic()
    var headers: HTTPHeaders = ["Content-Type": "application/octet-stream"]
    if block.encoding == .zstd { headers["Content-Encoding"] = "zstd" }
    let source = UploadSource(buffer: block.buffer, start: block.start, length: block.stored, ready: block.stored)
    let request = HTTPClientRequest(
      method: .put, url: target.url, headers: headers, body: .buffer(source),
      deadline: BlockSender.deadline, connectTimeout: BlockSender.connectTimeout, stallTimeout: nil, responseLimit: 64 << 10)
    do {
      let response = try await resources.transport.send(request)
      let receipts = try Self.receipts(of: response, for: block.ref)
      resources.health.succeeded(target.node, .put, took: resources.time.monotonic() - started)
      return receipts
    } catch {
      // Losing a race is no fault; neither is saying that a URL is past.
      if case NodeRefusal.staleURL = error { throw error }
      if !Task.isCancelled { resources.health.failed(target.node) }
      throw error
    }
  }

  static func receipts(of response: HTTPClientResponse, for ref: BlockRef) throws -> [String] {
    switch response.status {
    case 200, 201: break
    case 401, 403, 409: throw NodeRefusal.staleURL
    case 422, 413, 400: throw NodeRefusal.wrongBytes(detail: ProblemReader.read(response).detail)
    default: throw NodeRefusal.failed(status: response.status, detail: ProblemReader.read(response).detail)
    }
    guard let answer = try? JSONCoding.decode(Answer.self, from: response.bytes), isAcceptable(answer.receipts, for: ref) else {
      throw NodeRefusal.wrongAnswer
    }
    return answer.receipts
  }

  /// Receipts are the coordinator's to verify; but what is not even about this block is no success.
  static func isAcceptable(_ receipts: [String], for ref: BlockRef) -> Bool {
    !receipts.isEmpty && receipts.count <= 16
      && receipts.allSatisfy { text in
        guard let receipt = try? Receipt.parse(text).receipt else { return false }
        return receipt.block == ref.id && receipt.plainBytes == ref.size
      }
  }
}
