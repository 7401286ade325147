internal import BlockModel
internal import ServiceAPI
internal import Synchronization

/// How long this node takes over what clients ask of it, between two heartbeats: what moving data must not spoil.
final class ForegroundMeter: Sendable {
  private struct State {
    var requests = 0
    var total = Duration.zero
  }
  private let state = Mutex(State())

  func note(_ duration: Duration) {
    state.withLock { state in
      state.requests += 1
      state.total += duration
    }
  }

  /// What was noted since the last call.
  func take() -> ForegroundLoad {
    let state = state.withLock { state in
      defer { state = State() }
      return state
    }
    let mean = state.requests > 0 ? state.total.inSeconds * 1000 / Double(state.requests) : 0
    return ForegroundLoad(requests: state.requests, meanMilliseconds: mean)
  }
}
