internal import Platform
internal import Synchronization

/// Ids that follow a request from the client through every daemon's log.
package enum RequestID {
  /// The id for a request: its `X-Request-Id` when that is well formed, else the trace id of its `traceparent`, else a new one.
  package static func of(requestID: String?, traceparent: String?) -> String {
    if let requestID, isWellFormed(requestID) { return requestID }
    if let traceparent, let trace = traceID(traceparent) { return trace }
    return make()
  }

  /// 1 to 128 letters, digits and `-_.:`; so an id can go into a log line or a header as it is.
  package static func isWellFormed(_ id: String) -> Bool {
    (1...128).contains(id.utf8.count)
      && id.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: ":"):
          true
        default: false
        }
      }
  }

  /// The trace id of a W3C `traceparent` (`00-32 hex-16 hex-2 hex`), nil when it is malformed or all zeros.
  package static func traceID(_ traceparent: String) -> String? {
    let parts = traceparent.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].utf8.count == 2, parts[1].utf8.count == 32, parts[2].utf8.count == 16, parts[3].utf8.count == 2,
      parts.count == 4 || parts[0] != "00", parts[0] != "ff",
      parts.prefix(4).allSatisfy({ $0.utf8.allSatisfy(isLowerHex) }),
      parts[1].utf8.contains(where: { $0 != UInt8(ascii: "0") }), parts[2].utf8.contains(where: { $0 != UInt8(ascii: "0") })
    else { return nil }
    return String(parts[1])
  }

  private static func isLowerHex(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }

  /// Drawn once a process, so that two processes do not give the same ids.
  private static let process = SecureRandom.bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
  private static let count = Atomic<UInt64>(0)

  /// A new id: 32 lower-case hex digits, unique but not secret.
  package static func make() -> String {
    var words = (process, count.wrappingAdd(1, ordering: .relaxed).newValue)
    return String(unsafeUninitializedCapacity: 32) { text in
      for position in stride(from: 15, through: 0, by: -1) {
        text[position] = digit(words.0)
        text[position + 16] = digit(words.1)
        words = (words.0 >> 4, words.1 >> 4)
      }
      return 32
    }
  }

  private static func digit(_ word: UInt64) -> UInt8 {
    let digit = UInt8(truncatingIfNeeded: word & 15)
    return digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
  }
}
