/// When a scan that failed is tried again.
///
/// What must hold: the pauses grow up to their limit, and there are so few attempts that a content that kills the scanner each time cannot
/// keep it from the others.
package enum ScanRetry {
  package static let attempts = 12
  private static let first: Duration = .seconds(2)
  private static let longest: Duration = .seconds(3600)

  /// - Parameter failures: attempts that failed, this one included.
  /// - Returns: nil when it is not tried any more.
  package static func pause(after failures: Int) -> Duration? {
    guard failures < attempts else { return nil }
    return min(longest, first * (1 << max(0, failures - 1)))
  }

  /// Between two tries to reach a scanner that is not there: no version's attempts are spent on it.
  package static func pause(afterUnreachable times: Int) -> Duration { min(.seconds(30), .milliseconds(500) * (1 << min(10, times))) }
}
