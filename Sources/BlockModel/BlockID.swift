/// The name of a block: the SHA-256 of its plain bytes, whatever encoding travels or lies on disk.
///
/// Kept as four big-endian words, so that it is 32 bytes wide, compares in byte order, and needs no allocation.
package struct BlockID: Hashable, Comparable, Sendable {
  /// Bytes 0–7, 8–15, 16–23 and 24–31, each read as a big-endian number.
  package let words: (UInt64, UInt64, UInt64, UInt64)

  package static let byteCount = 32

  package init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

  /// From exactly 32 bytes; nil for any other count.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == BlockID.byteCount else { return nil }
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    for (index, byte) in bytes.enumerated() {
      switch index >> 3 {
      case 0: words.0 = words.0 << 8 | UInt64(byte)
      case 1: words.1 = words.1 << 8 | UInt64(byte)
      case 2: words.2 = words.2 << 8 | UInt64(byte)
      default: words.3 = words.3 << 8 | UInt64(byte)
      }
    }
    self.words = words
  }

  /// From 32 bytes in memory.
  package init(loading bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count >= BlockID.byteCount, "a block id has 32 bytes")
    func word(_ offset: Int) -> UInt64 { UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    words = (word(0), word(8), word(16), word(24))
  }

  /// From 64 lower-case hexadecimal digits; nil for anything else, upper case included: a name has one spelling.
  package init?(hex: String) {
    var hex = hex
    guard let id = hex.withUTF8({ BlockID(hexDigits: UnsafeRawBufferPointer($0)) }) else { return nil }
    self = id
  }

  init?(hexDigits text: UnsafeRawBufferPointer) {
    guard text.count == 2 * BlockID.byteCount, let first = HexDigits.word(text, at: 0), let second = HexDigits.word(text, at: 16),
      let third = HexDigits.word(text, at: 32), let fourth = HexDigits.word(text, at: 48)
    else { return nil }
    words = (first, second, third, fourth)
  }

  package var bytes: [UInt8] {
    [UInt8](unsafeUninitializedCapacity: BlockID.byteCount) { buffer, count in
      store(into: UnsafeMutableRawBufferPointer(buffer))
      count = BlockID.byteCount
    }
  }

  /// Writes the 32 bytes to the start of `buffer`.
  package func store(into buffer: UnsafeMutableRawBufferPointer) {
    precondition(buffer.count >= BlockID.byteCount, "a block id has 32 bytes")
    buffer.storeBytes(of: words.0.bigEndian, toByteOffset: 0, as: UInt64.self)
    buffer.storeBytes(of: words.1.bigEndian, toByteOffset: 8, as: UInt64.self)
    buffer.storeBytes(of: words.2.bigEndian, toByteOffset: 16, as: UInt64.self)
    buffer.storeBytes(of: words.3.bigEndian, toByteOffset: 24, as: UInt64.self)
  }

  package var hex: String {
    String(unsafeUninitializedCapacity: 2 * BlockID.byteCount) { text in
      write(to: text, at: 0)
      return 2 * BlockID.byteCount
    }
  }

  /// The hexadecimal name in quotes, as `ETag` has it (RFC 9110, 8.8.3).
  package var entityTag: String {
    String(unsafeUninitializedCapacity: 2 * BlockID.byteCount + 2) { text in
      text[0] = UInt8(ascii: "\"")
      write(to: text, at: 1)
      text[2 * BlockID.byteCount + 1] = UInt8(ascii: "\"")
      return 2 * BlockID.byteCount + 2
    }
  }

  private func write(to text: UnsafeMutableBufferPointer<UInt8>, at start: Int) {
    HexDigits.write(words.0, to: text, at: start)
    HexDigits.write(words.1, to: text, at: start + 16)
    HexDigits.write(words.2, to: text, at: start + 32)
    HexDigits.write(words.3, to: text, at: start + 48)
  }

  func appendHex(to text: inout [UInt8]) {
    HexDigits.append(words.0, to: &text)
    HexDigits.append(words.1, to: &text)
    HexDigits.append(words.2, to: &text)
    HexDigits.append(words.3, to: &text)
  }

  /// The partition that this block falls in: its first `bits` bits. `bits` is 0 to 32.
  package func partition(bits: Int) -> Int {
    precondition((0...32).contains(bits), "a partition number has at most 32 bits")
    return bits == 0 ? 0 : Int(words.0 >> UInt64(64 - bits))
  }

  package static func == (a: BlockID, b: BlockID) -> Bool {
    a.words.0 == b.words.0 && a.words.1 == b.words.1 && a.words.2 == b.words.2 && a.words.3 == b.words.3
  }

  package static func < (a: BlockID, b: BlockID) -> Bool { a.words < b.words }

  /// The name is itself a uniform hash, but clients choose it: all of it goes through the seeded hasher.
  package func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}

extension BlockID: CustomStringConvertible {
  package var description: String { hex }
}

extension BlockID: Codable {
  package init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let id = BlockID(hex: text) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "a block id is 64 lower-case hexadecimal digits"))
    }
    self = id
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(hex)
  }
}
