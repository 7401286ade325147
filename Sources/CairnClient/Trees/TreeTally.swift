internal import Synchronization

/// Collects what becomes of a tree's items while many of them are under way.
final class TreeTally: Sendable {
  private let state = Mutex(TreeResult())
  private let progress: TransferProgress?

  init(progress: TransferProgress?) { self.progress = progress }

  var result: TreeResult { state.withLock { $0 } }

  func file(bytes: Int64) {
    state.withLock { state in
      state.files += 1
      state.bytes += bytes
    }
    progress?.finishedFile()
  }

  func entry(_ entry: Entry) { state.withLock { $0.entries.append(entry) } }
  func folder() { state.withLock { $0.folders += 1 } }
  func link() { state.withLock { $0.links += 1 } }
  func skipped(_ path: String) { state.withLock { $0.skipped.append(path) } }

  /// Notes the failure of one item.
  /// - Throws: the failure itself when the other items would meet the same.
  func failed(_ path: String, _ error: any Error) throws(CairnError) {
    let failure = CairnError(error)
    if failure.kind == .notLoggedIn || failure.kind == .unavailable || failure.kind == .quota || failure.kind == .cancelled {
      throw failure
    }
    state.withLock { $0.failures.append(TransferFailure(path: path, error: failure)) }
    progress?.failedFile()
  }
}
