internal import Synchronization

/// Lets so many pieces of work run at once, and takes those that wait from each key in turn, so one who asks for a thousand things holds up
/// nobody but itself.
///
/// What must hold: at most `limit` run; a place is given back exactly once, whatever the work throws; who is refused was never let in.
package final class FairGate<Key: Hashable & Sendable>: Sendable {
  package struct Refused: Error, Sendable {}

  private struct State {
    var running = 0
    var queue: FairQueue<Key, CheckedContinuation<Bool, Never>>
  }

  private enum Entry { case open, waits, full }

  private let limit: Int
  private let state: Mutex<State>

  /// - Parameters:
  ///   - limit: what runs at once.
  ///   - waiting: what may wait in all, and of one key.
  package init(limit: Int, waiting: Int = 8192, waitingOfOne: Int = 512) {
    precondition(limit > 0, "a gate lets somebody in")
    self.limit = limit
    state = Mutex(State(queue: FairQueue(bound: waiting, laneBound: waitingOfOne)))
  }

  package var waiting: Int { state.withLock { $0.queue.count } }

  /// - Throws: `Refused` when too much waits already; what the work throws.
  package func run<Answer: Sendable>(
    _ key: Key, _ work: () async throws -> Answer
  ) async throws -> Answer {
    let isIn = await withCheckedContinuation { continuation in
      let entry = state.withLock { state -> Entry in
        if state.running < limit {
          state.running += 1
          return .open
        }
        return state.queue.append(continuation, of: key) ? .waits : .full
      }
      switch entry {
      case .open: continuation.resume(returning: true)
      case .full: continuation.resume(returning: false)
      case .waits: break
      }
    }
    guard isIn else { throw Refused() }
    defer { leave() }
    return try await work()
  }

  private func leave() {
    let next = state.withLock { state -> CheckedContinuation<Bool, Never>? in
      guard let next = state.queue.next() else {
        state.running -= 1
        return nil
      }
      return next
    }
    next?.resume(returning: true)
  }
}
