internal import Synchronization

/// Wakes those who wait for the next change, each exactly once.
final class ClusterSignal: Sendable {
  /// More than this many at once are turned away at once; each comes again with its next poll.
  private static let bound = 10_000

  private struct State {
    var next: UInt64 = 0
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
  }

  private let state = Mutex(State())

  func notifyAll() {
    let waiters = state.withLock { state in
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  /// Returns at the next notification or after `limit`. `isReady` is asked after the waiter is in place, so that nothing is missed.
  func wait(atMost limit: Duration, unless isReady: () -> Bool) async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let number: UInt64? = state.withLock { state in
        guard state.waiters.count < ClusterSignal.bound else { return nil }
        state.next += 1
        state.waiters[state.next] = continuation
        return state.next
      }
      guard let number else { return continuation.resume() }
      if isReady() { return resume(number) }
      Task {
        try? await Task.sleep(for: limit)
        self.resume(number)
      }
    }
  }

  private func resume(_ number: UInt64) {
    state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
  }
}

/// Lets one caller at a time through, in the order in which they came, over suspensions too.
actor ClusterGate {
  private var isTaken = false
  private var queue: [CheckedContinuation<Void, Never>] = []

  func enter() async {
    if !isTaken {
      isTaken = true
      return
    }
    await withCheckedContinuation { queue.append($0) }
  }

  func leave() {
    if queue.isEmpty { isTaken = false } else { queue.removeFirst().resume() }
  }
}
