internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// A verified block: `range` of `buffer` are its plain bytes.
struct FetchedBlock: Sendable {
  var buffer: IOBuffer
  var range: Range<Int>
}

/// Gets one block from the cluster: the nearest replica, then the others, by hedge or after a failure; never bytes whose hash is wrong.
struct BlockFetcher: Sendable {
  let resources: TransferResources
  /// Opens what came; nil outside of encrypted folders.
  var cipher: FolderCipher?

  /// - Parameters:
  ///   - buffer: where the bytes go; lent from the pool by the caller.
  ///   - freshTargets: asks the gateway for new URLs.
  func fetch(
    _ block: DownloadPlan.Block, into buffer: IOBuffer, freshTargets: @Sendable () async throws -> [SignedTarget]
  ) async throws -> FetchedBlock {
    var backoff = Backoff(patience: resources.patience, time: resources.time)
    var targets = block.get
    while true {
      try Task.checkCancellation()
      let failure: any Error
      do {
        guard !targets.isEmpty else { throw NodeRefusal.failed(status: 503, detail: "no node that holds it is up") }
        try await resources.pace.wait(for: block.size)
        let fetched = try await race(block, resources.health.order(targets), into: buffer)
        guard let cipher else { return fetched }
        return FetchedBlock(
          buffer: fetched.buffer, range: try await resources.threads.run { try cipher.open(fetched.range, in: fetched.buffer) })
      } catch let error as CairnError { throw error } catch let error as CancellationError { throw error } catch { failure = error }
      guard let wait = backoff.next() else { throw NodeRefusal.sentence(failure, verb: "give") }
      if case NodeRefusal.staleURL = failure {} else { try await Task.sleep(for: wait) }
      targets = try await freshTargets()
    }
  }

  private func race(_ block: DownloadPlan.Block, _ targets: [SignedTarget], into buffer: IOBuffer) async throws -> FetchedBlock {
    let health = resources.health
    let buffers = resources.buffers
    // An attempt that lost is written to until its connection has ended, so each running attempt has a buffer of its own.
    let free = FreeBuffers(buffer)
    let (winner, fetched) = try await Race.run(
      count: targets.count, hedgeAfter: health.hedgeDelay(.get),
      mayHedge: {
        guard let extra = buffers.tryAcquire(), health.takeHedge() else { return false }
        free.give(extra)
        return true
      }, isFinal: NodeRefusal.isFinal
    ) { index in
      guard let buffer = free.take() else { throw NodeRefusal.failed(status: 503, detail: "no memory is free") }
      do { return (index, try await get(block, targets[index], into: buffer)) } catch {
        free.give(buffer)
        throw error
      }
    }
    for slower in targets[..<winner] { health.outrun(slower.node) }
    return fetched
  }

  private func get(_ block: DownloadPlan.Block, _ target: SignedTarget, into buffer: IOBuffer) async throws -> FetchedBlock {
    let started = resources.time.monotonic()
    let request = HTTPClientRequest(
      method: .get, url: target.url, headers: ["Accept-Encoding": "zstd"], deadline: BlockSender.deadline,
      connectTimeout: BlockSender.connectTimeout, stallTimeout: .seconds(5), responseBuffer: buffer, responseLimit: block.size)
    do {
      let response = try await resources.transport.send(request)
      let fetched = try await verified(response, block, buffer)
      resources.health.succeeded(target.node, .get, took: resources.time.monotonic() - started)
      return fetched
    } catch {
      if case NodeRefusal.staleURL = error { throw error }
      if !Task.isCancelled { resources.health.failed(target.node) }
      throw error
    }
  }

  private func verified(_ response: HTTPClientResponse, _ block: DownloadPlan.Block, _ buffer: IOBuffer) async throws -> FetchedBlock {
    switch response.status {
    case 200: break
    case 401, 403, 409: throw NodeRefusal.staleURL
    default: throw NodeRefusal.failed(status: response.status, detail: "a node answered with status \(response.status)")
    }
    let isCompressed = response.headers["Content-Encoding"] == "zstd"
    let scratch = resources.scratch
    return try await resources.threads.run {
      if isCompressed { try Self.decompress(buffer, count: response.count, size: block.size, scratch: scratch) }
      guard isCompressed || response.count == block.size else { throw NodeRefusal.wrongAnswer }
      guard BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<block.size))) == block.id else { throw NodeRefusal.wrongAnswer }
      return FetchedBlock(buffer: buffer, range: 0..<block.size)
    }
  }

  /// In place: decoded beside and copied back, which costs less than a second buffer for each block on its way.
  private static func decompress(_ buffer: IOBuffer, count: Int, size: Int, scratch: BufferPool) throws {
    let room = scratch.tryAcquire() ?? IOBuffer(capacity: Limits.blockBytes)
    do { try Zstandard.decode(buffer.bytes(0..<count), into: room.mutableBytes(0..<size)) } catch { throw NodeRefusal.wrongAnswer }
    buffer.mutableBytes(0..<size).copyMemory(from: room.bytes(0..<size))
  }
}

/// Buffers of one race that no attempt uses at the moment.
private final class FreeBuffers: Sendable {
  private let buffers: Mutex<[IOBuffer]>
  init(_ first: IOBuffer) { buffers = Mutex([first]) }
  func take() -> IOBuffer? { buffers.withLock { $0.popLast() } }
  func give(_ buffer: IOBuffer) { buffers.withLock { $0.append(buffer) } }
}
