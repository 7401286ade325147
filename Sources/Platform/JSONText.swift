/// Texts and numbers as JSON spells them.
enum JSONText {
  /// Appends the text in quotes, with what has to be escaped in it escaped.
  static func append(_ text: String, to bytes: inout [UInt8]) {
    var text = text
    text.withUTF8 { utf8 in
      bytes.append(UInt8(ascii: "\""))
      if utf8.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") && $0 != 0x7f }) {
        bytes.append(contentsOf: utf8)
      } else {
        for byte in utf8 { escaped(byte, to: &bytes) }
      }
      bytes.append(UInt8(ascii: "\""))
    }
  }

  private static func escaped(_ byte: UInt8, to bytes: inout [UInt8]) {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"):
      bytes.append(UInt8(ascii: "\\"))
      bytes.append(byte)
    case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
    case UInt8(ascii: "\t"): bytes.append(contentsOf: "\\t".utf8)
    case 0..<0x20, 0x7f:
      let digits = StaticString("0123456789abcdef").utf8Start
      bytes.append(contentsOf: "\\u00".utf8)
      bytes.append(digits[Int(byte >> 4)])
      bytes.append(digits[Int(byte & 15)])
    default: bytes.append(byte)
    }
  }

  static func append(_ number: some BinaryInteger, to bytes: inout [UInt8]) {
    guard let number = Int64(exactly: number) else { return bytes.append(contentsOf: String(number).utf8) }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
      var rest = number.magnitude
      var start = digits.count
      repeat {
        start -= 1
        digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
        rest /= 10
      } while rest > 0
      if number < 0 { bytes.append(UInt8(ascii: "-")) }
      bytes.append(contentsOf: digits[start...])
    }
  }

  /// The text that well-formed escapes stand for; nil when it is not UTF-8, or half of a surrogate pair stands alone in it.
  static func unescaped(_ content: UnsafeBufferPointer<UInt8>) -> String? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(content.count)
    var position = 0
    while position < content.count {
      guard content[position] == UInt8(ascii: "\\") else {
        bytes.append(content[position])
        position += 1
        continue
      }
      position += 2
      switch content[position - 1] {
      case UInt8(ascii: "b"): bytes.append(0x08)
      case UInt8(ascii: "f"): bytes.append(0x0c)
      case UInt8(ascii: "n"): bytes.append(0x0a)
      case UInt8(ascii: "r"): bytes.append(0x0d)
      case UInt8(ascii: "t"): bytes.append(0x09)
      case UInt8(ascii: "u"):
        guard let scalar = scalar(content, &position) else { return nil }
        bytes.append(contentsOf: UTF8.encode(scalar) ?? .init())
      case let byte: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// The character of one `\u` escape, or of two that are a surrogate pair; `position` is behind the `u`.
  private static func scalar(_ content: UnsafeBufferPointer<UInt8>, _ position: inout Int) -> Unicode.Scalar? {
    let first = unit(content, &position)
    guard UTF16.isLeadSurrogate(first) else { return Unicode.Scalar(first) }
    guard content.count - position >= 6, content[position] == UInt8(ascii: "\\"), content[position + 1] == UInt8(ascii: "u") else {
      return nil
    }
    position += 2
    let second = unit(content, &position)
    guard UTF16.isTrailSurrogate(second) else { return nil }
    return Unicode.Scalar(0x10000 + (UInt32(first) & 0x3ff) << 10 + UInt32(second) & 0x3ff)
  }

  private static func unit(_ content: UnsafeBufferPointer<UInt8>, _ position: inout Int) -> UInt16 {
    defer { position += 4 }
    return content[position..<(position + 4)].reduce(0) { $0 << 4 | UInt16(hexDigit($1) ?? 0) }
  }

  static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
