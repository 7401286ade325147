internal import Synchronization

/// Looks at the writes under way every few milliseconds, so that each hears of the moments it waits for.
///
/// Each write has a deadline or two and almost none is reached; one sleep for all of them costs less than a sleep for each. With no
/// write under way nothing runs. What must hold: a write takes itself out when it is decided, since the clock keeps it alive.
final class WriteClock: Sendable {
  /// How late a write may hear of its moment; the shortest that it waits for is 50 ms.
  private static let tick: Duration = .milliseconds(20)

  private struct State {
    var writes: [ObjectIdentifier: ReplicatedWrite] = [:]
    var isTicking = false
  }

  private let state = Mutex(State())

  func add(_ write: ReplicatedWrite) {
    let mustStart = state.withLock { state in
      state.writes[ObjectIdentifier(write)] = write
      defer { state.isTicking = true }
      return !state.isTicking
    }
    if mustStart { Task { await run() } }
  }

  func remove(_ write: ReplicatedWrite) { state.withLock { $0.writes[ObjectIdentifier(write)] = nil } }

  private func run() async {
    while let writes = underWay() {
      for write in writes { write.look() }
      try? await Task.sleep(for: WriteClock.tick)
    }
  }

  /// Nil when there is nothing to do any more; the next `add` starts anew.
  private func underWay() -> [ReplicatedWrite]? {
    state.withLock { state in
      state.isTicking = !state.writes.isEmpty
      return state.isTicking ? Array(state.writes.values) : nil
    }
  }
}
