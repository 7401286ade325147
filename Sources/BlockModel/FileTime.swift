/// A file's own modification time: nanoseconds since 1970 in UTC, as file systems keep it. Encoded as RFC 3339 text with up to nine digits.
package struct FileTime: Hashable, Comparable, Sendable {
  /// Nanoseconds since the start of 1970 in UTC; negative before. Reaches from 1677 to 2262.
  package var nanoseconds: Int64

  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Times beyond 1677 or 2262 become the first or the last that there is.
  package init(_ time: WallTime) { self.init(Int128(time.microseconds) * 1000) }

  private init(_ nanoseconds: Int128) { self.nanoseconds = Int64(clamping: nanoseconds) }

  package static func < (a: FileTime, b: FileTime) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Whole microseconds, rounded towards the past, and the nanoseconds beyond them.
  private var split: (microseconds: Int64, rest: Int64) {
    let rest = nanoseconds % 1000
    return rest < 0 ? (nanoseconds / 1000 - 1, rest + 1000) : (nanoseconds / 1000, rest)
  }

  package var rfc3339: String {
    let (microseconds, rest) = split
    let whole = WallTime(microseconds: microseconds)
    guard rest != 0 else { return whole.rfc3339 }
    var text = whole.rfc3339
    text.removeLast()
    if !text.contains(".") { text += ".000000" }
    let digits = String(rest)
    return text + String(repeating: "0", count: 3 - digits.count) + digits + "Z"
  }

  /// Reads RFC 3339; digits beyond nanoseconds are cut, and times beyond 1677 or 2262 become the first or the last that there is.
  package init?(rfc3339 text: String) {
    guard let whole = WallTime(rfc3339: text) else { return nil }
    var beyond: Int64 = 0
    if let point = text.firstIndex(of: ".") {
      let digits = text[text.index(after: point)...].prefix { $0.isASCII && $0.isNumber }.dropFirst(6).prefix(3)
      if let value = Int64(digits) { beyond = value * [100, 10, 1][digits.count - 1] }
    }
    self.init(Int128(whole.microseconds) * 1000 + Int128(beyond))
  }
}

extension FileTime: Codable {
  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let time = FileTime(rfc3339: try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a time in RFC 3339 form, such as 2026-11-21T06:09:00Z")
    }
    self = time
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rfc3339)
  }
}
