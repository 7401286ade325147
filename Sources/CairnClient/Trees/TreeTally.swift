internal import Synchronization

/// Collects what becomes of a tree's items while many of them are under way.
final class TreeTally: Sendable {
  /// Items that nobody could be reached for, after which the others are not tried any more.
  private static let unavailableLimit = 3

  private struct State {
    var result = TreeResult()
    var unavailable = 0
  }

  private let state = Mutex(State())
  private let progress: TransferProgress?

  init(progress: TransferProgress?) { self.progress = progress }

  var result: TreeResult { state.withLock { $0.result } }

  func file(bytes: Int64) {
    state.withLock { state in
      state.result.files += 1
      state.result.bytes += bytes
    }
    progress?.finishedFile()
  }

  func entry(_ entry: Entry) { state.withLock { $0.result.entries.append(entry) } }
  func folder() { state.withLock { $0.result.folders += 1 } }
  func link() { state.withLock { $0.result.links += 1 } }
  func skipped(_ path: String) { state.withLock { $0.result.skipped.append(path) } }

  /// Notes the failure of one item.
  /// - Throws: the failure itself when the other items would meet the same.
  func failed(_ path: String, _ error: any Error) throws(CairnError) {
    let failure = CairnError(error)
    if failure.kind == .notLoggedIn || failure.kind == .quota || failure.kind == .cancelled { throw failure }
    let isHopeless = state.withLock { state in
      state.result.failures.append(TransferFailure(path: path, error: failure))
      if failure.kind == .unavailable { state.unavailable += 1 }
      return state.unavailable >= TreeTally.unavailableLimit
    }
    if isHopeless { throw failure }
    progress?.failedFile()
  }
}
