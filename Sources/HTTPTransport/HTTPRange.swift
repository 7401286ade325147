/// A `Range` header against a representation of known size (RFC 9110, 14.2), single ranges only.
package enum HTTPRange: Sendable, Equatable {
  /// No range, or one to be ignored (another unit, several ranges, malformed): answer 200 with everything.
  case whole
  /// Answer 206 with these bytes; never empty.
  case part(Range<Int>)
  /// Answer 416 with `Content-Range: bytes */size`.
  case unsatisfiable

  /// - Parameters:
  ///   - header: the field's value, for instance `bytes=0-499`, `bytes=500-`, `bytes=-500`.
  ///   - size: bytes of the whole representation.
  package static func parse(_ header: String?, size: Int) -> HTTPRange {
    precondition(size >= 0, "a size is not negative")
    guard let header else { return .whole }
    let bytes = Array(header.utf8)
    let unit = Array("bytes=".utf8)
    guard bytes.count > unit.count, zip(bytes, unit).allSatisfy({ $0 == $1 || $0 | 0x20 == $1 }) else { return .whole }
    let spec = trimmed(bytes[unit.count...])
    guard let dash = spec.firstIndex(of: UInt8(ascii: "-")) else { return .whole }
    let first = spec[..<dash]
    let last = spec[(dash + 1)...]
    if first.isEmpty {
      guard let length = number(last) else { return .whole }
      guard length > 0, size > 0 else { return .unsatisfiable }
      return .part(max(0, size - length)..<size)
    }
    guard let start = number(first) else { return .whole }
    if last.isEmpty { return start < size ? .part(start..<size) : .unsatisfiable }
    guard let end = number(last), end >= start else { return .whole }
    return start < size ? .part(start..<(min(end, size - 1) + 1)) : .unsatisfiable
  }

  /// The value of `Content-Range` for a 206 or 416 answer; nil for `whole`.
  package func contentRange(size: Int) -> String? {
    switch self {
    case .whole: nil
    case .part(let range): "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"
    case .unsatisfiable: "bytes */\(size)"
    }
  }

  private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes
    while let byte = bytes.first, byte == 0x20 || byte == 0x09 { bytes.removeFirst() }
    while let byte = bytes.last, byte == 0x20 || byte == 0x09 { bytes.removeLast() }
    return bytes
  }

  /// Digits only; a number beyond `Int` counts as `Int.max / 2`, which is beyond every size.
  private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
    guard !digits.isEmpty else { return nil }
    var value = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      let (next, overflow) = value.multipliedReportingOverflow(by: 10)
      value = overflow || next > Int.max / 2 - 10 ? Int.max / 2 - 10 : next + Int(digit - UInt8(ascii: "0"))
    }
    return value
  }
}
