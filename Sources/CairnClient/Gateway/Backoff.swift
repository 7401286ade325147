internal import BlockModel
internal import Platform

/// When to try again: after what the other side asked for, else after a pause that doubles, with jitter so that clients
/// that failed together do not come back together. Ends when patience does.
struct Backoff {
  private static let first: Duration = .milliseconds(50)
  private static let longest: Duration = .seconds(2)

  private let giveUpAt: MonotonicTime
  private let time: any TimeSource
  private var pause = first

  init(patience: Duration, time: any TimeSource) {
    self.time = time
    giveUpAt = time.monotonic() + patience
  }

  /// How long to wait, nil when patience has run out.
  mutating func next(retryAfter: Duration? = nil) -> Duration? {
    let left = giveUpAt - time.monotonic()
    guard left > .zero else { return nil }
    let jittered = pause * Double.random(in: 0.5...1)
    pause = min(pause * 2, Backoff.longest)
    let wait = max(retryAfter ?? .zero, jittered)
    return wait <= left ? wait : nil
  }
}
