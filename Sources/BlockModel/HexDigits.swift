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
      var rest = word
      for position in stride(from: 15, through: 0, by: -1) {
        let digit = UInt8(truncatingIfNeeded: rest & 15)
        buffer[position] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
        rest >>= 4
      }
      text.append(contentsOf: buffer)
    }
  }

  /// Appends the decoded bytes; false, with `bytes` in an unspecified state, when `text` is not an even number of lower-case digits.
  package static func decode(_ text: some StringProtocol, into bytes: inout [UInt8]) -> Bool {
    var high: UInt8?
    for character in text.utf8 {
      let digit: UInt8
      switch character {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = character - UInt8(ascii: "a") + 10
      default: return false
      }
      if let first = high {
        bytes.append(first << 4 | digit)
        high = nil
      } else {
        high = digit
      }
    }
    return high == nil
  }

  package static func decode(_ text: some StringProtocol) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count / 2)
    return decode(text, into: &bytes) ? bytes : nil
  }
}
