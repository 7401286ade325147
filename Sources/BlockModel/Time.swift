/// Nanoseconds of a clock that only goes forward and has no relation to the time of day.
///
/// Only differences mean something, and only within one process. Arithmetic saturates, so that "never" can be written as a huge duration.
package struct MonotonicTime: Hashable, Comparable, Sendable {
  /// Nanoseconds since an arbitrary start.
  package var nanoseconds: Int64

  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package static let zero = MonotonicTime(nanoseconds: 0)
  /// Later than any time that comes.
  package static let distantFuture = MonotonicTime(nanoseconds: .max)

  package static func < (a: MonotonicTime, b: MonotonicTime) -> Bool { a.nanoseconds < b.nanoseconds }

  package static func + (time: MonotonicTime, duration: Duration) -> MonotonicTime {
    MonotonicTime(nanoseconds: time.nanoseconds.addingSaturated(duration.saturatedNanoseconds))
  }

  package static func - (time: MonotonicTime, duration: Duration) -> MonotonicTime {
    MonotonicTime(nanoseconds: time.nanoseconds.subtractingSaturated(duration.saturatedNanoseconds))
  }

  package static func - (later: MonotonicTime, earlier: MonotonicTime) -> Duration {
    .nanoseconds(later.nanoseconds.subtractingSaturated(earlier.nanoseconds))
  }

  package static func += (time: inout MonotonicTime, duration: Duration) { time = time + duration }
}

/// Microseconds since 1970-01-01T00:00:00Z, leap seconds not counted; the time that people and databases see.
///
/// Encoded as RFC 3339 text, as every document of the API wants it; databases keep `microseconds`. Arithmetic saturates.
package struct WallTime: Hashable, Comparable, Sendable, Codable {
  /// Microseconds since the start of 1970 in UTC; negative before.
  package var microseconds: Int64

  package init(microseconds: Int64) { self.microseconds = microseconds }

  /// Whole seconds since the start of 1970 in UTC.
  package init(seconds: Int64) {
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    self.microseconds = overflow ? (seconds < 0 ? .min : .max) : product
  }

  package static let epoch = WallTime(microseconds: 0)

  /// Whole seconds since 1970, rounded towards the past.
  package var seconds: Int64 { microseconds.flooredDivision(by: 1_000_000).quotient }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let time = WallTime(rfc3339: try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a time in RFC 3339 form, such as 2026-11-21T06:09:00Z")
    }
    self = time
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rfc3339)
  }

  package static func < (a: WallTime, b: WallTime) -> Bool { a.microseconds < b.microseconds }

  package static func + (time: WallTime, duration: Duration) -> WallTime {
    WallTime(microseconds: time.microseconds.addingSaturated(duration.saturatedMicroseconds))
  }

  package static func - (time: WallTime, duration: Duration) -> WallTime {
    WallTime(microseconds: time.microseconds.subtractingSaturated(duration.saturatedMicroseconds))
  }

  package static func - (later: WallTime, earlier: WallTime) -> Duration {
    .microseconds(later.microseconds.subtractingSaturated(earlier.microseconds))
  }
}

extension Duration {
  /// Whole nanoseconds, rounded towards zero, held within `Int64`.
  package var saturatedNanoseconds: Int64 { saturated(unitsPerSecond: 1_000_000_000) }
  /// Whole microseconds, rounded towards zero, held within `Int64`.
  package var saturatedMicroseconds: Int64 { saturated(unitsPerSecond: 1_000_000) }
  /// Whole milliseconds, rounded towards zero, held within `Int64`.
  package var saturatedMilliseconds: Int64 { saturated(unitsPerSecond: 1_000) }
  /// Seconds with their fraction, for rates and metrics.
  package var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }

  private func saturated(unitsPerSecond: Int64) -> Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: unitsPerSecond)
    guard !overflow else { return seconds < 0 ? .min : .max }
    return whole.addingSaturated(attoseconds / (1_000_000_000_000_000_000 / unitsPerSecond))
  }
}

extension Int64 {
  func addingSaturated(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }

  func subtractingSaturated(_ other: Int64) -> Int64 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other < 0 ? .max : .min) : difference
  }

  /// Division whose remainder is never negative; `divisor` is above zero.
  func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
