internal import Synchronization

/// How far a transfer is. Hand one to an upload or download and watch it.
public final class TransferProgress: Sendable {
  /// Where a transfer stands at one moment.
  public struct Snapshot: Sendable, Equatable {
    /// Bytes of files that are where they should be, whether they travelled or were there before.
    public var bytes: Int64 = 0
    /// Nil while not known.
    public var totalBytes: Int64?
    /// Files that are done.
    public var files: Int = 0
    /// Nil while not known.
    public var totalFiles: Int?
    /// Items that failed.
    public var failures: Int = 0
    /// What was begun last.
    public var current: String = ""
    /// Makes one from its parts.
    public init() {}
  }

  private let state = Mutex(Snapshot())

  /// Makes one from its parts.
  public init() {}

  /// Where the transfer stands now.
  public var snapshot: Snapshot { state.withLock { $0 } }

  /// A snapshot every so often until the reader stops.
  public func updates(every interval: Duration = .milliseconds(100)) -> AsyncStream<Snapshot> {
    AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
      let ticker = Task { [weak self] in
        while !Task.isCancelled, let snapshot = self?.snapshot {
          continuation.yield(snapshot)
          try? await Task.sleep(for: interval)
        }
        continuation.finish()
      }
      continuation.onTermination = { _ in ticker.cancel() }
    }
  }

  func began(_ name: String) { state.withLock { $0.current = name } }
  func expect(bytes: Int64?, files: Int?) {
    state.withLock { state in
      if let bytes { state.totalBytes = (state.totalBytes ?? 0) + bytes }
      if let files { state.totalFiles = (state.totalFiles ?? 0) + files }
    }
  }
  func moved(bytes: Int64) { state.withLock { $0.bytes += bytes } }
  func finishedFile() { state.withLock { $0.files += 1 } }
  func failedFile() { state.withLock { $0.failures += 1 } }
}
