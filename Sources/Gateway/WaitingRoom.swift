internal import BlockModel
internal import Synchronization

/// Bounds how many requests wait for changes, spaces out their questions, and lets all go when the gateway stops.
final class WaitingRoom: Sendable {
  private struct State {
    var count = 0
    var isClosed = false
  }

  private let limit: Int
  private let state = Mutex(State())

  init(limit: Int) { self.limit = limit }

  /// One who waits; leaving happens when the last reference goes.
  final class Seat: Sendable {
    private let room: WaitingRoom
    fileprivate init(_ room: WaitingRoom) { self.room = room }
    deinit { room.state.withLock { $0.count -= 1 } }
  }

  var count: Int { state.withLock { $0.count } }
  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Nil when the room is full or closed.
  func enter() -> Seat? {
    let isIn = state.withLock { state in
      guard state.count < limit, !state.isClosed else { return false }
      state.count += 1
      return true
    }
    return isIn ? Seat(self) : nil
  }

  func close() { state.withLock { $0.isClosed = true } }

  /// How long to leave between two questions of one who waits, so that all together ask at most 500 times a second.
  func interval(atLeast least: Duration) -> Duration { max(least, .milliseconds(2) * count) }

  /// Sleeps, or less when the room closes or the task is cancelled.
  func sleep(_ duration: Duration) async {
    let slice = Duration.milliseconds(250)
    var left = duration
    while left > .zero, !isClosed, !Task.isCancelled {
      try? await Task.sleep(for: min(left, slice))
      left -= slice
    }
  }
}
