/// Lower-case hexadecimal, the one spelling that names, keys and signatures have.
package enum HexDigits {
  private static let digits = Array("0123456789abcdef".utf8)

  package static func encode(_ bytes: some Collection<UInt8>) -> String {
    bytes.withContiguousStorageIfAvailable(encode) ?? Array(bytes).withUnsafeBufferPointer(encode)
  }

  private static func encode(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
    digits.withUnsafeBufferPointer { digits in
      String(unsafeUninitializedCapacity: bytes.count * 2) { buffer in
        for index in bytes.indices {
          buffer[2 * index] = digits[Int(bytes[index] >> 4)]
          buffer[2 * index + 1] = digits[Int(bytes[index] & 15)]
        }
        return bytes.count * 2
      }
    }
  }

  /// Appends a word's 16 digits, most significant first. Ids are words, and a gateway writes tens of thousands of them a second.
  static func append(_ word: UInt64, to text: inout [UInt8]) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { buffer in
      write(word, to: buffer, at: 0)
      text.append(contentsOf: buffer)
    }
  }

  /// Writes a word's 16 digits from `start` on.
  static func write(_ word: UInt64, to text: UnsafeMutableBufferPointer<UInt8>, at start: Int) {
    var rest = word
    for position in stride(from: start + 15, through: start, by: -1) {
      let digit = UInt8(truncatingIfNeeded: rest & 15)
      text[position] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
      rest >>= 4
    }
  }

  /// Appends the decoded bytes; false, with `bytes` in an unspecified state, when `text` is not an even number of lower-case digits.
  package static func decode(_ text: some StringProtocol, into bytes: inout [UInt8]) -> Bool {
    var text = String(text)
    return text.withUTF8 { decode(UnsafeRawBufferPointer($0), into: &bytes) }
  }

  package static func decode(_ text: some StringProtocol) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count / 2)
    return decode(text, into: &bytes) ? bytes : nil
  }

  static func decode(_ text: UnsafeRawBufferPointer, into bytes: inout [UInt8]) -> Bool {
    guard text.count.isMultiple(of: 2) else { return false }
    for index in stride(from: 0, to: text.count, by: 2) {
      let (high, low) = (digit(text[index]), digit(text[index + 1]))
      guard high | low < 16 else { return false }
      bytes.append(high << 4 | low)
    }
    return true
  }

  static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 2)
    return decode(text, into: &bytes) ? bytes : nil
  }

  /// The word of the 16 digits from `start` on, most significant first; nil when there are not as many, or one is no digit.
  static func word(_ text: UnsafeRawBufferPointer, at start: Int) -> UInt64? {
    guard start + 16 <= text.count else { return nil }
    var word: UInt64 = 0
    var all: UInt8 = 0
    for index in start..<(start + 16) {
      let digit = digit(text[index])
      all |= digit
      word = word << 4 | UInt64(digit & 15)
    }
    return all < 16 ? word : nil
  }

  /// 0 to 15; 255 for what is no lower-case digit.
  private static func digit(_ character: UInt8) -> UInt8 {
    let number = character &- UInt8(ascii: "0")
    if number < 10 { return number }
    let letter = character &- UInt8(ascii: "a")
    return letter < 6 ? letter + 10 : 255
  }
}
