import BlockModel
import BlockStore
import Platform
import Testing

@Suite struct RecordTests {
  static let sizes = [0, 1, 15, 65_535, 65_536, 65_537, 131_072, 1_000_003, Limits.blockBytes]

  @Test("a sealed record opens to its payload, with encryption and without", arguments: sizes, [true, false])
  func roundTrip(size: Int, encrypted: Bool) throws {
    let keys = encrypted ? Fixtures.ring(3) : nil
    let plain = Fixtures.bytes(size, seed: UInt64(size))
    let record = try Fixtures.record(plain, keys: keys)
    #expect(record.header.sealing == (encrypted ? .encrypted : .checksummed))
    let received = try Fixtures.verify(Fixtures.wire(record), block: record.header.block, keys: keys)
    #expect(received.header == record.header)
    let range = try RecordOpener.open(received, keys: keys)
    #expect(Array(received.buffer.bytes(range)) == plain)
  }

  @Test("the wire bytes of an encrypted record do not hold the plain bytes, and never twice the same ciphertext")
  func ciphertext() throws {
    let plain = [UInt8](repeating: 7, count: 200_000)
    let keys = Fixtures.ring(1)
    let first = Fixtures.wire(try Fixtures.record(plain, keys: keys))
    let second = Fixtures.wire(try Fixtures.record(plain, keys: keys))
    #expect(first[128..<1000] != second[128..<1000])
    #expect(!first[128...].elementsEqual(plain[...].prefix(first.count - 128)))
  }

  @Test("the sealer hands out whole frames as they come, and the last one only at the end")
  func incremental() throws {
    let plain = Fixtures.bytes(3 * Limits.frameBytes, seed: 5)
    let buffer = IOBuffer(capacity: RecordLayout.bufferBytes)
    Fixtures.place(plain, in: buffer)
    var sealer = try RecordSealer(
      buffer: buffer, block: Fixtures.id(of: plain), plainBytes: plain.count, storedBytes: plain.count, encoding: .plain,
      keys: Fixtures.ring(1))
    #expect(sealer.wireEnd == RecordLayout.framesStart)
    #expect(try sealer.seal(payloadBytes: Limits.frameBytes - 1) == RecordLayout.framesStart)
    #expect(try sealer.seal(payloadBytes: Limits.frameBytes) == RecordLayout.frameStart(1))
    #expect(try sealer.seal(payloadBytes: plain.count) == RecordLayout.frameStart(2))
    let record = try sealer.finish(gcEpoch: 9)
    #expect(record.gcEpoch == 9)
    #expect(throws: Never.self) { try Fixtures.verify(Fixtures.wire(record), block: record.header.block, keys: Fixtures.ring(1)) }
  }

  @Test("frames cannot be swapped, cut off, added, or taken from another record", arguments: [true, false])
  func tampering(encrypted: Bool) throws {
    let keys = encrypted ? Fixtures.ring(1) : nil
    let plain = Fixtures.bytes(3 * Limits.frameBytes, seed: 11)
    let record = try Fixtures.record(plain, keys: keys)
    let block = record.header.block
    let wire = Fixtures.wire(record)
    let stride = Limits.frameBytes + Limits.frameTagBytes
    func frame(_ index: Int) -> Range<Int> { (128 + index * stride)..<(128 + (index + 1) * stride) }

    var swapped = wire
    swapped.replaceSubrange(frame(0), with: wire[frame(1)])
    swapped.replaceSubrange(frame(1), with: wire[frame(0)])
    var foreign = wire
    foreign.replaceSubrange(frame(2), with: Fixtures.wire(try Fixtures.record(Fixtures.bytes(plain.count, seed: 12), keys: keys))[frame(2)])
    for (what, bytes) in [
      ("swapped", swapped), ("foreign", foreign), ("cut", Array(wire.dropLast(stride))), ("cut by one", Array(wire.dropLast())),
      ("extended", wire + wire[frame(2)]), ("extended by one", wire + [0]),
    ] {
      #expect(BlockStoreError.Code.thrown { _ = try Fixtures.verify(bytes, block: block, keys: keys) } == .malformed, "\(what)")
    }
    // A shorter record with a header that says so: the lengths and the last flag are in every tag.
    var header = record.header
    header.plainBytes = 2 * Limits.frameBytes
    header.storedBytes = header.plainBytes
    var shortened = Array(wire.prefix(128 + 2 * stride))
    shortened.withUnsafeMutableBytes { header.encode(into: $0) }
    #expect(BlockStoreError.Code.thrown { _ = try Fixtures.verify(shortened, block: block, keys: keys) } == .malformed)
  }

  @Test("no single changed byte of a record is accepted", arguments: [true, false])
  func everyByte(encrypted: Bool) throws {
    let keys = encrypted ? Fixtures.ring(1) : nil
    let record = try Fixtures.record(Fixtures.bytes(700, seed: 1), keys: keys)
    let wire = Fixtures.wire(record)
    for index in wire.indices {
      var changed = wire
      changed[index] ^= 1 << UInt8(index % 8)
      #expect(throws: BlockStoreError.self, "byte \(index)") { try Fixtures.verify(changed, block: record.header.block, keys: keys) }
    }
  }

  @Test("a record of another block, under another key, or without the encryption that is on, is refused")
  func wrongRecord() throws {
    let record = try Fixtures.record([1, 2, 3], keys: Fixtures.ring(2))
    let wire = Fixtures.wire(record)
    let block = record.header.block
    func code(_ wire: [UInt8], _ block: BlockID, _ keys: DataKeyring?) -> BlockStoreError.Code? {
      BlockStoreError.Code.thrown { _ = try Fixtures.verify(wire, block: block, keys: keys) }
    }
    #expect(code(wire, Fixtures.id(of: [4]), Fixtures.ring(2)) == .malformed)
    #expect(code(wire, block, Fixtures.ring(1)) == .wrongKey)
    #expect(code(wire, block, DataKeyring(keys: [(2, SecretBytes([UInt8](repeating: 9, count: 32)))])) == .wrongKey)
    #expect(code(wire, block, nil) == .wrongKey)
    #expect(code(Fixtures.wire(try Fixtures.record([1, 2, 3], keys: nil)), block, Fixtures.ring(2)) == .wrongKey)
    #expect(code(wire, block, Fixtures.ring(1, 2)) == nil)
  }

  @Test("random bytes are no header, and what a header decodes to encodes to the same bytes")
  func headerFuzz() throws {
    var random = SeededRandom(seed: 77)
    let genuine = Array(Fixtures.wire(try Fixtures.record([1, 2, 3], keys: Fixtures.ring(1))).prefix(128))
    for round in 0..<20_000 {
      var bytes = round % 2 == 0 ? Fixtures.bytes(128, seed: random.next()) : genuine
      for _ in 0..<(round % 4) { bytes[Int(random.next() % 124)] = UInt8(truncatingIfNeeded: random.next()) }
      if round % 3 == 0 {
        let checksum = CRC32C.checksum(Array(bytes[..<124]))
        withUnsafeBytes(of: checksum.littleEndian) { bytes.replaceSubrange(124..., with: $0) }
      }
      guard let header = bytes.withUnsafeBytes({ bytes in try? RecordHeader(decoding: bytes) }) else { continue }
      #expect(header.fault == nil)
      var again = [UInt8](repeating: 0xff, count: 128)
      again.withUnsafeMutableBytes { header.encode(into: $0) }
      #expect(again == bytes, "seed 77, round \(round)")
    }
  }

  @Test("a header of a newer format is told apart from damage")
  func newerFormat() throws {
    var bytes = Array(Fixtures.wire(try Fixtures.record([1], keys: nil)).prefix(128))
    bytes[8] = 2
    withUnsafeBytes(of: CRC32C.checksum(Array(bytes[..<124])).littleEndian) { bytes.replaceSubrange(124..., with: $0) }
    let code = bytes.withUnsafeBytes { bytes in BlockStoreError.Code.thrown { _ = try RecordHeader(decoding: bytes) } }
    #expect(code == .newerFormat)
  }
}
