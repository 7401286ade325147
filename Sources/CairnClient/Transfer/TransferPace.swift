internal import BlockModel
internal import Platform
internal import Synchronization

/// Keeps all transfers of a client together at a rate: each block begins when those before it would be through. Blocks travel as fast as
/// they can, so that no node holds buffers for a slow client; the rate holds over the time of a block (4 MiB) and longer.
final class TransferPace: Sendable {
  private let bytesPerSecond: Int64?
  private let time: any TimeSource
  private let free = Mutex<MonotonicTime?>(nil)

  /// - Parameter bytesPerSecond: up and down together; nil sets no limit.
  init(bytesPerSecond: Int64?, time: any TimeSource) {
    self.bytesPerSecond = bytesPerSecond.map { max($0, 1) }
    self.time = time
  }

  func wait(for bytes: Int) async throws {
    let delay = delay(for: bytes)
    if delay > .zero { try await Task.sleep(for: delay) }
  }

  /// Takes the next place in line and says how far off it is.
  func delay(for bytes: Int) -> Duration {
    guard let bytesPerSecond else { return .zero }
    let now = time.monotonic()
    return free.withLock { free in
      let start = max(free ?? now, now)
      free = start + .seconds(Double(bytes) / Double(bytesPerSecond))
      return start - now
    }
  }
}
