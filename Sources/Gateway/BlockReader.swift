internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Reads whole blocks from the nodes for raw content.
///
/// What must hold: a buffer is answered only when its bytes are the block that was asked for, hash verified; the memory of all reads
/// together is the pool's; every read ends, because each attempt has a deadline and there are at most two rounds over the replicas.
final class BlockReader: Sendable {
  private static let rounds = 2
  /// How long a node that failed is tried last.
  private static let penalty = Duration.seconds(5)
  private static let penaltyLimit = 1024

  private let client: any HTTPRequesting
  private let pool: BufferPool
  private let time: any TimeSource
  private let logger: Logger
  private let metrics: GatewayMetrics
  private let avoidedUntil = Mutex<[NodeID: MonotonicTime]>([:])

  init(client: any HTTPRequesting, pool: BufferPool, time: any TimeSource, logger: Logger, metrics: GatewayMetrics) {
    self.client = client
    self.pool = pool
    self.time = time
    self.logger = logger
    self.metrics = metrics
  }

  /// The block's bytes at the start of a buffer.
  ///
  /// - Throws: `.busy` when no buffer comes free in time; `.unavailable` when no node gives the block.
  func read(_ block: BlockID, size: Int, from targets: [SignedTarget], requestID: String) async throws(Problem) -> IOBuffer {
    let buffer: IOBuffer
    do { buffer = try await pool.acquire(patience: .seconds(10)) } catch {
      throw Problem(.busy, "The gateway is sending as much raw content as it has memory for; try again.", retryAfter: 2)
    }
    for _ in 0..<BlockReader.rounds {
      for target in ordered(targets) {
        guard !Task.isCancelled else { throw Problem(.unavailable, "The request was given up.") }
        guard let failure = await attempt(block, size: size, target, into: buffer, requestID: requestID) else {
          metrics.rawBlocks.increment()
          return buffer
        }
        noteFailure(of: target.node)
        metrics.rawFailure(node: target.node, reason: failure.rawValue)
        logger.request(requestID).warning(
          "A node did not serve a block.",
          ["node": .string(target.node.text), "block": .string(block.hex), "reason": .string(failure.rawValue)])
      }
    }
    throw Problem(.unavailable, "No replica of a block of this file can be read at the moment; try again.", retryAfter: 5)
  }

  private enum Failure: String { case unreachable, refused, short, corrupted }

  /// Nil when the buffer holds the block.
  private func attempt(_ block: BlockID, size: Int, _ target: SignedTarget, into buffer: IOBuffer, requestID: String) async -> Failure? {
    let request = HTTPClientRequest(
      method: .get, url: target.url, headers: ["X-Request-Id": requestID], deadline: .seconds(30), connectTimeout: .seconds(2),
      stallTimeout: .seconds(5), responseBuffer: buffer, responseLimit: size)
    do {
      let response = try await client.send(request)
      guard response.status == 200 else { return .refused }
      guard response.count == size else { return .short }
      return BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<size))) == block ? nil : .corrupted
    } catch {
      return error.code == .responseTooLarge ? .short : .unreachable
    }
  }

  // MARK: Nodes that failed

  private func ordered(_ targets: [SignedTarget]) -> [SignedTarget] {
    let now = time.monotonic()
    let avoided = avoidedUntil.withLock { table in targets.filter { (table[$0.node] ?? .zero) > now }.map(\.node) }
    return targets.filter { !avoided.contains($0.node) } + targets.filter { avoided.contains($0.node) }
  }

  private func noteFailure(of node: NodeID) {
    let until = time.monotonic() + BlockReader.penalty
    avoidedUntil.withLock { table in
      if table.count >= BlockReader.penaltyLimit { table.removeAll() }
      table[node] = until
    }
  }
}
