internal import Synchronization

/// Tells at once which namespaces have changed: hints only, for those who wait so that they need not ask.
///
/// What must hold: whoever asks with the position of the last answer hears of every commit since, or hears that some were missed. Memory
/// is bounded: what is too old to be told is forgotten, and counts as missed.
package final class ChangeHub: Sendable {
  /// Hints that are kept for those who come late.
  private static let bound = 8192
  private static let waiterBound = 1024

  package struct Hints: Sendable, Equatable {
    /// Which life of the hub the position is of.
    package var instance: UInt64
    package var position: UInt64
    /// The engine's short numbers of namespaces, each once, rising.
    package var namespaces: [Int64]
    /// Some were forgotten: anything may have changed.
    package var wasMissed: Bool
    package init(instance: UInt64, position: UInt64, namespaces: [Int64], wasMissed: Bool) {
      self.instance = instance
      self.position = position
      self.namespaces = namespaces
      self.wasMissed = wasMissed
    }
  }

  private struct State {
    /// The last `bound` hints; the newest has number `position`.
    var ring: [Int64] = []
    var position: UInt64 = 0
    var isClosed = false
    var nextWaiter: UInt64 = 0
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
  }

  private let instance = UInt64.random(in: 1...(.max))
  private let state = Mutex(State())

  package init() {}

  /// Called after each commit.
  func publish(_ namespaces: Set<Int64>) {
    guard !namespaces.isEmpty else { return }
    let waiters = state.withLock { state in
      for namespace in namespaces.sorted() {
        state.position += 1
        if state.ring.count < ChangeHub.bound {
          state.ring.append(namespace)
        } else {
          state.ring[Int(state.position - 1) % ChangeHub.bound] = namespace
        }
      }
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  /// Says that changes of others may have been missed: whoever asks next hears so.
  func noteMissed() {
    let waiters = state.withLock { state in
      // The next hint is the first of a new round of the ring, so that positions stay in step with places in it.
      let bound = UInt64(ChangeHub.bound)
      state.position = (state.position / bound + 1) * bound
      state.ring = []
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  /// Lets all who wait go, and nobody wait any more.
  package func close() {
    let waiters = state.withLock { state in
      state.isClosed = true
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  /// What was committed after a position; waits for something when there is nothing yet.
  ///
  /// - Parameters:
  ///   - instance: of the answer that the position is from; nil begins at the present position.
  package func hints(after position: UInt64, instance: UInt64?, waitAtMost limit: Duration) async -> Hints {
    guard let instance else { return now(after: .max, isMissed: false) }
    guard instance == self.instance else { return now(after: .max, isMissed: true) }
    if let hints = news(after: position) { return hints }
    if limit > .zero { await wait(after: position, atMost: limit) }
    return news(after: position) ?? now(after: .max, isMissed: false)
  }

  private func now(after position: UInt64, isMissed: Bool) -> Hints {
    state.withLock { Hints(instance: instance, position: $0.position, namespaces: [], wasMissed: isMissed) }
  }

  private func news(after position: UInt64) -> Hints? {
    state.withLock { state in
      guard position < state.position else { return nil }
      let count = state.position - position
      guard count <= UInt64(state.ring.count) else {
        return Hints(instance: instance, position: state.position, namespaces: [], wasMissed: true)
      }
      var changed: Set<Int64> = []
      for number in position..<state.position { changed.insert(state.ring[Int(number) % ChangeHub.bound]) }
      return Hints(instance: instance, position: state.position, namespaces: changed.sorted(), wasMissed: false)
    }
  }

  private func wait(after position: UInt64, atMost limit: Duration) async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let number: UInt64? = state.withLock { state in
        guard state.position <= position, !state.isClosed, state.waiters.count < ChangeHub.waiterBound else { return nil }
        state.nextWaiter += 1
        state.waiters[state.nextWaiter] = continuation
        return state.nextWaiter
      }
      guard let number else { return continuation.resume() }
      Task {
        try? await Task.sleep(for: limit)
        self.state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
      }
    }
  }
}
