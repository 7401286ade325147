internal import Platform
internal import Synchronization

/// The handler's side of a request's body.
extension Exchange: HTTPRequestBody {
  func receive(into buffer: IOBuffer, placement: BodyPlacement, limit: Int) {
    let handle = state.withLock { state in
      state.body.attach(buffer, placement: placement, limit: limit)
      return state.takeSuspended(inBody: true)
    }
    handle?.resume()
  }

  func received(beyond count: Int) async throws(HTTPBodyError) -> (count: Int, ended: Bool) {
    while true {
      switch state.withLock({ $0.body.progress(beyond: count) }) {
      case .ready(let count, let ended): return (count, ended)
      case .failed(let error): throw error
      case .wait(let threshold): await wait(threshold)
      }
    }
  }

  func beginning(_ count: Int) async throws(HTTPBodyError) -> [UInt8] {
    let handle = state.withLock { state in
      state.body.startBeginning(count: count)
      return state.takeSuspended(inBody: true)
    }
    handle?.resume()
    while true {
      switch state.withLock({ $0.body.beginning(count) }) {
      case .ready(let count, _): return state.withLock { $0.body.copyBeginning(count) }
      case .failed(let error): throw error
      case .wait(let threshold): await wait(threshold)
      }
    }
  }

  func collect(limit: Int) async throws(HTTPBodyError) -> [UInt8] {
    let handle = state.withLock { state in
      state.body.startGathering(limit: limit)
      return state.takeSuspended(inBody: true)
    }
    handle?.resume()
    while true {
      switch state.withLock({ $0.body.whole }) {
      case .ready: return state.withLock { $0.body.takeGathered() }
      case .failed(let error): throw error
      case .wait(let threshold): await wait(threshold)
      }
    }
  }

  private func wait(_ threshold: Int) async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if state.body.isWorthWaking(threshold) { return true }
          precondition(state.waiter == nil, "a request's body has one consumer")
          state.waiter = Waiter(threshold: threshold, continuation: continuation)
          return false
        }
        if isReady { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.body.lose(.cancelled) }
      wakeConsumer()
    }
  }

  /// Wakes the body's consumer when there is something for it to look at. From any thread.
  func wakeConsumer() {
    let waiter = state.withLock { $0.takeWaiter() }
    waiter?.continuation.resume()
  }
}
