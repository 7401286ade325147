internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("AES-256-GCM")
struct AESGCMTests {
  struct Vector: Sendable, CustomTestStringConvertible {
    var name: String
    var key: String
    var nonce: String
    var associatedData: String
    var plain: String
    var sealed: String
    var tag: String
    var testDescription: String { name }
  }

  private static let longPlain =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
  private static let longSealed =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
  private static let zeroKey = String(repeating: "0", count: 64)
  private static let longKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"

  /// Cases 13 to 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", as submitted to NIST.
  static let vectors = [
    Vector(
      name: "13", key: zeroKey, nonce: String(repeating: "0", count: 24), associatedData: "", plain: "", sealed: "",
      tag: "530f8afbc74536b9a963b4f1c4cb738b"),
    Vector(
      name: "14", key: zeroKey, nonce: String(repeating: "0", count: 24), associatedData: "", plain: String(repeating: "0", count: 32),
      sealed: "cea7403d4d606b6e074ec5d3baf39d18", tag: "d0d1c8a799996bf0265b98b5d48ab919"),
    Vector(
      name: "15", key: longKey, nonce: "cafebabefacedbaddecaf888", associatedData: "", plain: longPlain, sealed: longSealed,
      tag: "b094dac5d93471bdec1a502270e3cc6c"),
    Vector(
      name: "16", key: longKey, nonce: "cafebabefacedbaddecaf888", associatedData: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      plain: String(longPlain.prefix(120)), sealed: String(longSealed.prefix(120)), tag: "76fc6ece0f4e1768cddf8853bb2d551b"),
  ]

  @Test("gives the published vectors, both ways", arguments: vectors)
  func published(vector: Vector) throws {
    let key = try #require(HexDigits.decode(vector.key))
    let nonceBytes = try #require(HexDigits.decode(vector.nonce))
    let nonce = try #require(AESGCMNonce(nonceBytes))
    let data = try #require(HexDigits.decode(vector.associatedData))
    var frame = try #require(HexDigits.decode(vector.plain))
    let tag = try Frames.seal(key, nonce, data, &frame)
    #expect(HexDigits.encode(frame) == vector.sealed)
    #expect(HexDigits.encode(tag) == vector.tag)
    try Frames.open(key, nonce, data, &frame, tag)
    #expect(HexDigits.encode(frame) == vector.plain)
  }

  @Test("any changed bit of frame, tag, key, nonce or associated data is found, and leaves nothing of the plain bytes")
  func tampering() throws {
    var random = Seeds.random()
    for _ in 0..<200 {
      let key = random.bytes(32)
      let number = random.next()
      let data = random.bytes(Int.random(in: 1...80, using: &random))
      let plain = random.bytes(Int.random(in: 1...300, using: &random))
      var frame = plain
      let tag = try Frames.seal(key, AESGCMNonce(frameNumber: number), data, &frame)
      var (badKey, badNumber, badData, badFrame, badTag) = (key, number, data, frame, tag)
      switch Int.random(in: 0..<5, using: &random) {
      case 0: flip(&badKey, &random)
      case 1: badNumber ^= 1 << UInt64.random(in: 0..<64, using: &random)
      case 2: flip(&badData, &random)
      case 3: flip(&badFrame, &random)
      default: flip(&badTag, &random)
      }
      #expect(throws: CryptoError.authenticationFailed) {
        try Frames.open(badKey, AESGCMNonce(frameNumber: badNumber), badData, &badFrame, badTag)
      }
      #expect(badFrame.allSatisfy { $0 == 0 })
      try Frames.open(key, AESGCMNonce(frameNumber: number), data, &frame, tag)
      #expect(frame == plain)
    }
  }

  @Test("one context seals and opens many frames in any order, also after a failure")
  func context() throws {
    var random = Seeds.random()
    let key = random.bytes(32)
    var context = try AESGCMContext(key: SecretBytes(key))
    var frames: [(plain: [UInt8], sealed: [UInt8], tag: [UInt8])] = []
    for number in 0..<20 {
      let plain = random.bytes(Int.random(in: 0...70_000, using: &random))
      var sealed = plain
      let tag = try Frames.seal(&context, AESGCMNonce(frameNumber: UInt64(number)), [UInt8(number)], &sealed)
      frames.append((plain, sealed, tag))
    }
    for number in (0..<20).shuffled(using: &random) {
      var wrong = frames[number].sealed
      #expect(throws: CryptoError.authenticationFailed) {
        try Frames.open(&context, AESGCMNonce(frameNumber: UInt64(number)), [99], &wrong, frames[number].tag)
      }
      var frame = frames[number].sealed
      try Frames.open(&context, AESGCMNonce(frameNumber: UInt64(number)), [UInt8(number)], &frame, frames[number].tag)
      #expect(frame == frames[number].plain)
    }
  }

  @Test("a frame's number is the last eight bytes of its nonce, big-endian")
  func nonces() {
    #expect(AESGCMNonce(frameNumber: 0x0102_0304_0506_0708) == AESGCMNonce([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]))
    #expect(AESGCMNonce([1, 2, 3]) == nil)
  }

  @Test("a key of another length is refused", arguments: [0, 16, 31, 33])
  func keyLength(count: Int) {
    var frame: [UInt8] = [1]
    #expect(throws: CryptoError.self) { try Frames.seal([UInt8](repeating: 0, count: count), AESGCMNonce(frameNumber: 0), [], &frame) }
  }

  private func flip(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
    bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
  }
}

/// Arrays in place of raw memory.
private enum Frames {
  static func seal(_ key: [UInt8], _ nonce: AESGCMNonce, _ data: [UInt8], _ frame: inout [UInt8]) throws -> [UInt8] {
    var tag = [UInt8](repeating: 0, count: 16)
    try key.withUnsafeBytes { key in
      try data.withUnsafeBytes { data in
        try frame.withUnsafeMutableBytes { frame in
          try tag.withUnsafeMutableBytes { tag in
            try FrameCipher.seal(key: key, nonce: nonce, associatedData: data, inPlace: frame, tag: tag.baseAddress!)
          }
        }
      }
    }
    return tag
  }

  static func open(_ key: [UInt8], _ nonce: AESGCMNonce, _ data: [UInt8], _ frame: inout [UInt8], _ tag: [UInt8]) throws {
    try key.withUnsafeBytes { key in
      try data.withUnsafeBytes { data in
        try frame.withUnsafeMutableBytes { frame in
          try tag.withUnsafeBytes { tag in
            try FrameCipher.open(key: key, nonce: nonce, associatedData: data, inPlace: frame, tag: tag.baseAddress!)
          }
        }
      }
    }
  }

  static func seal(_ context: inout AESGCMContext, _ nonce: AESGCMNonce, _ data: [UInt8], _ frame: inout [UInt8]) throws -> [UInt8] {
    var tag = [UInt8](repeating: 0, count: 16)
    try data.withUnsafeBytes { data in
      try frame.withUnsafeMutableBytes { frame in
        try tag.withUnsafeMutableBytes { tag in
          try context.seal(nonce: nonce, associatedData: data, inPlace: frame, tag: tag.baseAddress!)
        }
      }
    }
    return tag
  }

  static func open(
    _ context: inout AESGCMContext, _ nonce: AESGCMNonce, _ data: [UInt8], _ frame: inout [UInt8], _ tag: [UInt8]
  ) throws {
    try data.withUnsafeBytes { data in
      try frame.withUnsafeMutableBytes { frame in
        try tag.withUnsafeBytes { tag in
          try context.open(nonce: nonce, associatedData: data, inPlace: frame, tag: tag.baseAddress!)
        }
      }
    }
  }
}
