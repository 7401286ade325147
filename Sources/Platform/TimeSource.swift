package import BlockModel
internal import Glibc
internal import Synchronization

/// Where times come from. Servers hold one, so that tests and the simulator can hold another.
package protocol TimeSource: Sendable {
  func monotonic() -> MonotonicTime
  func wall() -> WallTime
}

/// The machine's own clocks.
package struct SystemTime: TimeSource {
  package init() {}

  package func monotonic() -> MonotonicTime {
    let time = SystemTime.read(CLOCK_MONOTONIC)
    return MonotonicTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  package func wall() -> WallTime {
    let time = SystemTime.read(CLOCK_REALTIME)
    return WallTime(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
  }

  private static func read(_ clock: clockid_t) -> timespec {
    var time = timespec()
    let result = clock_gettime(clock, &time)
    precondition(result == 0, "these two clocks always exist")
    return time
  }
}

/// A clock that stands still until a test moves it.
package final class ManualTime: TimeSource {
  private let state: Mutex<(monotonic: MonotonicTime, wall: WallTime)>

  package init(monotonic: MonotonicTime = .zero, wall: WallTime = WallTime(seconds: 1_767_225_600)) {
    state = Mutex((monotonic, wall))
  }

  package func monotonic() -> MonotonicTime { state.withLock { $0.monotonic } }
  package func wall() -> WallTime { state.withLock { $0.wall } }

  /// Moves both clocks forward.
  package func advance(by duration: Duration) {
    precondition(duration >= .zero, "a monotonic clock does not go back")
    state.withLock { state in
      state.monotonic += duration
      state.wall = state.wall + duration
    }
  }

  /// Moves the wall clock alone, as an administrator or a time server may.
  package func setWall(_ time: WallTime) { state.withLock { $0.wall = time } }
}
