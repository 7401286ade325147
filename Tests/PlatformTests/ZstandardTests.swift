internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("zstd")
struct ZstandardTests {
  @Test("what was compressed decodes to the same bytes, at once and in pieces of any sizes", arguments: [1, 3, 9])
  func roundTrip(level: Int) throws {
    var random = Seeds.random()
    for size in [2, 100, 5000, 128 << 10, (128 << 10) + 1, 4 << 20] {
      let plain = Samples.text(size, &random)
      guard let frame = plain.withUnsafeBytes({ Zstandard.compress($0, level: level) }) else {
        #expect(size < 50)
        continue
      }
      #expect(frame.count < plain.count)
      #expect(try Samples.decode(frame, size) == plain)
      #expect(try Samples.stream(frame, plainSize: size, storedSize: frame.count, &random) == plain)
    }
  }

  @Test("nothing is returned when it would not be smaller")
  func incompressible() {
    var random = Seeds.random()
    for size in [0, 1, 2, 10, 4096, 1 << 20] {
      #expect(random.bytes(size).withUnsafeBytes { Zstandard.compress($0) } == nil)
    }
    var room = [UInt8](repeating: 0, count: 10)
    let plain = Samples.text(10_000, &random)
    #expect(plain.withUnsafeBytes { plain in room.withUnsafeMutableBytes { Zstandard.compress(plain, into: $0) } } == nil)
  }

  @Test("a frame that states another size than was declared is refused")
  func wrongSize() throws {
    var random = Seeds.random()
    let plain = Samples.text(5000, &random)
    let frame = try #require(plain.withUnsafeBytes { Zstandard.compress($0) })
    for size in [4999, 5001, 1 << 20] {
      #expect(throws: ZstandardError.contentSizeMismatch) { try Samples.decode(frame, size) }
      #expect(throws: ZstandardError.contentSizeMismatch) {
        try Samples.stream(frame, plainSize: size, storedSize: frame.count, &random)
      }
    }
    #expect(throws: ZstandardError.notSmaller) { try Samples.decode(frame, frame.count) }
    #expect(throws: ZstandardError.notSmaller) { try Samples.stream(frame, plainSize: 100, storedSize: 100, &random) }
  }

  @Test("every cut of a frame is incomplete, and every byte after it is too many")
  func wrongLength() throws {
    var random = Seeds.random()
    let plain = Samples.text(700, &random)
    let frame = try #require(plain.withUnsafeBytes { Zstandard.compress($0) })
    for length in 0..<frame.count {
      let cut = Array(frame.prefix(length))
      #expect(throws: ZstandardError.incomplete) { try Samples.decode(cut, 700) }
      #expect(throws: ZstandardError.incomplete) { try Samples.stream(cut, plainSize: 700, storedSize: frame.count, &random) }
    }
    #expect(throws: ZstandardError.trailingBytes) { try Samples.decode(frame + [0], 700) }
    #expect(throws: ZstandardError.trailingBytes) { try Samples.decode(frame + frame, 700) }
    #expect(throws: ZstandardError.trailingBytes) {
      try Samples.stream(frame + [0], plainSize: 700, storedSize: frame.count, &random)
    }
    #expect(throws: ZstandardError.trailingBytes) {
      try Samples.stream(frame + [0], plainSize: 700, storedSize: frame.count + 1, &random)
    }
  }

  static let headers: [(name: String, bytes: [UInt8], error: ZstandardError)] = [
    ("another magic", [0x28, 0xb5, 0x2f, 0xfe, 0x20, 100], .notAFrame),
    ("a skippable frame", [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], .notAFrame),
    ("the reserved bit", [0x28, 0xb5, 0x2f, 0xfd, 0x28, 100], .notAFrame),
    ("a dictionary", [0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 100], .dictionary),
    ("no content size", [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58], .contentSizeMismatch),
    ("a window of 8 MiB", [0x28, 0xb5, 0x2f, 0xfd, 0x40, 13 << 3, 0x00, 0x01, 0x01, 0, 0], .windowTooLarge),
    ("a window of 4 MiB and an eighth", [0x28, 0xb5, 0x2f, 0xfd, 0x40, (12 << 3) | 1, 0x00, 0x01, 0x01, 0, 0], .windowTooLarge),
    ("a content of 5 GiB", [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 64, 1, 0, 0, 0, 1, 0, 0], .windowTooLarge),
  ]

  @Test("a frame is refused by its header alone", arguments: headers)
  func header(name: String, bytes: [UInt8], error: ZstandardError) {
    var random = SeededRandom(seed: 1)
    #expect(throws: error) { try Samples.decode(bytes, 512) }
    #expect(throws: error) { try Samples.stream(bytes, plainSize: 512, storedSize: bytes.count, &random) }
  }

  @Test("changed bytes never give more than the declared size, and never crash")
  func damage() throws {
    var random = Seeds.random()
    let plain = Samples.text(20_000, &random)
    let frame = try #require(plain.withUnsafeBytes { Zstandard.compress($0) })
    for _ in 0..<2000 {
      var damaged = frame
      for _ in 0...Int.random(in: 0...3, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      // The format has no checksum of ours: a change may decode to other bytes of the right length, which the block's hash then finds.
      do {
        #expect(try Samples.stream(damaged, plainSize: 20_000, storedSize: damaged.count, &random).count == 20_000)
      } catch is ZstandardError {}
      do { #expect(try Samples.decode(damaged, 20_000).count == 20_000) } catch is ZstandardError {}
    }
  }

  @Test("a frame made to expand gives no byte beyond the declared size")
  func expansion() throws {
    // Content size 300, single segment; then run-length blocks of 128 KiB each.
    var frame: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x60, 44, 0]
    for _ in 0..<10 { frame += [0x02, 0x00, 0x10, 0x61] }
    frame += [0x03, 0x00, 0x10, 0x61]
    var produced = 0
    var decoder = try Zstandard.StreamDecoder(plainSize: 300, storedSize: frame.count)
    #expect(throws: ZstandardError.self) {
      try frame.withUnsafeBytes { try decoder.feed($0) { produced += $0.count } }
    }
    #expect(produced <= 300)
  }

  @Test("the probe says yes to text and no to random bytes, also when a file mixes both")
  func probe() {
    var random = Seeds.random()
    for size in [200, 4096, 100_000, 4 << 20] {
      #expect(Samples.text(size, &random).withUnsafeBytes { CompressionProbe.pays($0) })
      #expect(!random.bytes(size).withUnsafeBytes { CompressionProbe.pays($0) })
    }
    let mixed = random.bytes(1 << 20) + Samples.text(3 << 20, &random)
    #expect(mixed.withUnsafeBytes { CompressionProbe.pays($0) })
    #expect(![UInt8]().withUnsafeBytes { CompressionProbe.pays($0) })
  }
}

private enum Samples {
  /// Words drawn from a small set, as text is.
  static func text(_ size: Int, _ random: inout SeededRandom) -> [UInt8] {
    let words = (0..<10).map { _ in
      (0..<Int.random(in: 3...9, using: &random)).map { _ in UInt8.random(in: 97...122, using: &random) } + [32]
    }
    var text: [UInt8] = []
    text.reserveCapacity(size + 10)
    while text.count < size { text += words[Int.random(in: 0..<words.count, using: &random)] }
    return Array(text.prefix(size))
  }

  static func decode(_ frame: [UInt8], _ size: Int) throws -> [UInt8] {
    var plain = [UInt8](repeating: 0, count: size)
    try frame.withUnsafeBytes { frame in try plain.withUnsafeMutableBytes { try Zstandard.decode(frame, into: $0) } }
    return plain
  }

  static func stream(_ frame: [UInt8], plainSize: Int, storedSize: Int, _ random: inout SeededRandom) throws -> [UInt8] {
    var plain: [UInt8] = []
    var decoder = try Zstandard.StreamDecoder(plainSize: plainSize, storedSize: storedSize)
    var rest = frame[...]
    while !rest.isEmpty {
      let count = min(rest.count, Int.random(in: 1...2, using: &random) == 1 ? Int.random(in: 0...20, using: &random) : 70_000)
      try Array(rest.prefix(count)).withUnsafeBytes { try decoder.feed($0) { plain += $0 } }
      rest = rest.dropFirst(count)
    }
    try decoder.finish()
    return plain
  }
}
