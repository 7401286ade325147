package import BlockModel
package import ClusterLogic

/// Writes the numbers and bytes of the journal's formats: little-endian, no padding.
package struct JournalBytes: Sendable {
  package private(set) var bytes: [UInt8] = []
  package init(reserving count: Int = 0) { bytes.reserveCapacity(count) }

  package mutating func number<Number: FixedWidthInteger>(_ value: Number) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  package mutating func raw(_ value: some Collection<UInt8>) { bytes.append(contentsOf: value) }

  /// Seven bits a byte, the lowest first, the top bit set in all but the last (LEB128).
  package mutating func variable(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }

  /// A length and the bytes.
  package mutating func counted(_ value: some Collection<UInt8>) {
    variable(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  package mutating func hash(_ value: BlockID) { bytes.append(contentsOf: value.bytes) }

  package mutating func term(_ term: JournalTerm) {
    number(term.generation)
    number(term.attempt)
    number(term.writer)
  }
}

/// Reads them back; every length is checked against what is there.
package struct JournalReader {
  private let bytes: [UInt8]
  package private(set) var offset: Int
  private let end: Int

  package init(_ bytes: [UInt8], from offset: Int = 0) {
    self.bytes = bytes
    self.offset = offset
    end = bytes.count
  }

  package var remaining: Int { end - offset }

  private mutating func take(_ count: Int) throws(JournalError) -> Range<Int> {
    guard count >= 0, count <= remaining else { throw JournalError(.malformed, "A record of the journal ends early.") }
    defer { offset += count }
    return offset..<(offset + count)
  }

  package mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) throws(JournalError) -> Number {
    let range = try take(MemoryLayout<Number>.size)
    return Number(littleEndian: bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: range.lowerBound, as: type) })
  }

  package mutating func variable() throws(JournalError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      let byte = bytes[try take(1).lowerBound]
      guard shift < 63 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7f) << shift
      if byte & 0x80 == 0 { return value }
    }
    throw JournalError(.malformed, "A number in a record of the journal is too long.")
  }

  package mutating func count() throws(JournalError) -> Int {
    guard let count = Int(exactly: try variable()) else {
      throw JournalError(.malformed, "A length in a record of the journal is too long.")
    }
    return count
  }

  package mutating func raw(_ count: Int) throws(JournalError) -> [UInt8] { Array(bytes[try take(count)]) }
  package mutating func counted() throws(JournalError) -> [UInt8] { try raw(try count()) }
  package mutating func text() throws(JournalError) -> String {
    let count = try count()
    return String(decoding: bytes[try take(count)], as: UTF8.self)
  }

  package mutating func hash() throws(JournalError) -> BlockID {
    let range = try take(BlockID.byteCount)
    return bytes.withUnsafeBytes { BlockID(loading: UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  package mutating func term() throws(JournalError) -> JournalTerm {
    JournalTerm(
      generation: try number(UInt64.self), attempt: try number(UInt32.self), writer: try number(UInt64.self))
  }
}
