internal import Synchronization

/// Wakes one waiting task; a signal that nobody waits for is kept.
package final class Signal: Sendable {
  private struct State {
    var isSet = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  package init() {}

  package func set() {
    let waiter = state.withLock { state in
      defer { state.waiter = nil }
      if state.waiter == nil { state.isSet = true }
      return state.waiter
    }
    waiter?.resume()
  }

  /// Returns at a signal, after the time, or when the task is cancelled. One task waits at a time.
  package func wait(atMost duration: Duration) async {
    let timer = Task { [self] in
      try? await Task.sleep(for: duration)
      if !Task.isCancelled { set() }
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isSet = state.withLock { state in
          if state.isSet {
            state.isSet = false
            return true
          }
          state.waiter = continuation
          return false
        }
        if isSet { continuation.resume() }
      }
    } onCancel: {
      set()
    }
    timer.cancel()
  }
}
