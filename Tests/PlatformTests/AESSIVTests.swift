internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("AES-SIV")
struct AESSIVTests {
  struct Vector: Sendable, CustomTestStringConvertible {
    var name: String
    var key: String
    var associatedData: [String]
    var plain: String
    var sealed: String
    var testDescription: String { name }
  }

  private static let counting = HexDigits.encode((0..<64).map { UInt8($0) })

  static let vectors = [
    Vector(
      name: "RFC 5297, A.1", key: "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
      associatedData: ["101112131415161718191a1b1c1d1e1f2021222324252627"], plain: "112233445566778899aabbccddee",
      sealed: "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"),
    Vector(
      name: "RFC 5297, A.2", key: "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
      associatedData: [
        "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100", "102030405060708090a0",
        "09f911029d74e35bd84156c5635688c0",
      ], plain: "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
      sealed:
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d"),
    // RFC 5297 has vectors for the shorter key only. These are of its algorithms over AES-256 block by block, written down independently.
    Vector(
      name: "256 bits, a name", key: counting, associatedData: ["636169726e"], plain: "61206e616d652e747874",
      sealed: "515ae4de68461048e38744dcf579ed98cc23b1f77f31c8424696"),
    Vector(
      name: "256 bits, two parts", key: counting, associatedData: ["6f6e65", "74776f"],
      plain: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627",
      sealed: "3052c2fbd010d9599b00b5843b1086d42ab1e3313e816d7ee6fb1004ac979143e381282ad7c435ff1814e43b7c64ecc4bc79707476e7954c"),
    Vector(name: "256 bits, one byte", key: counting, associatedData: [], plain: "78", sealed: "315fc8b42454cb95e5a7eb7a7da0cb02de"),
  ]

  @Test("gives the known answers, both ways", arguments: vectors)
  func known(vector: Vector) throws {
    let key = SecretBytes(try #require(HexDigits.decode(vector.key)))
    let data = try vector.associatedData.map { try #require(HexDigits.decode($0)) }
    let plain = try #require(HexDigits.decode(vector.plain))
    let sealed = try AESSIV.seal(plain, key: key, associatedData: data)
    #expect(HexDigits.encode(sealed) == vector.sealed)
    #expect(try AESSIV.open(sealed, key: key, associatedData: data) == plain)
  }

  @Test("equal bytes give equal bytes, and any changed bit of tag, bytes, key or associated data is found and leaves nothing plain")
  func tampering() throws {
    var random = Seeds.random()
    for _ in 0..<200 {
      let key = random.bytes(64)
      let data = [random.bytes(Int.random(in: 1...40, using: &random)), random.bytes(Int.random(in: 1...40, using: &random))]
      let plain = random.bytes(Int.random(in: 1...300, using: &random))
      let sealed = try AESSIV.seal(plain, key: SecretBytes(key), associatedData: data)
      #expect(try AESSIV.seal(plain, key: SecretBytes(key), associatedData: data) == sealed)
      var (badKey, badData, badBytes) = (key, data, sealed)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: flip(&badKey, &random)
      case 1: flip(&badData[1], &random)
      case 2: badData.reverse()
      default: flip(&badBytes, &random)
      }
      if badData == data.reversed(), data[0] == data[1] { continue }
      var place = Array(badBytes[16...])
      let tag = Array(badBytes[..<16])
      #expect(throws: CryptoError.authenticationFailed) {
        try place.withUnsafeMutableBytes { place in
          try tag.withUnsafeBytes {
            try AESSIV.open(key: SecretBytes(badKey), associatedData: badData, inPlace: place, tag: $0.baseAddress!)
          }
        }
      }
      #expect(place.allSatisfy { $0 == 0 })
    }
  }

  @Test("a block of 4 MiB goes there and back in place")
  func large() throws {
    var random = Seeds.random()
    let key = SecretBytes(random.bytes(64))
    let plain = random.bytes((4 << 20) - 16)
    let sealed = try AESSIV.seal(plain, key: key, associatedData: [])
    #expect(sealed.count == 4 << 20)
    #expect(try AESSIV.open(sealed, key: key, associatedData: []) == plain)
  }

  @Test("a key of another length, nothing to seal, and an empty part are refused", arguments: [0, 16, 31, 33, 63, 65])
  func inputs(count: Int) {
    let key = SecretBytes([UInt8](repeating: 0, count: 64))
    #expect(throws: CryptoError.self) { try AESSIV.seal([1], key: SecretBytes([UInt8](repeating: 0, count: count)), associatedData: []) }
    #expect(throws: CryptoError.self) { try AESSIV.seal([], key: key, associatedData: []) }
    #expect(throws: CryptoError.self) { try AESSIV.seal([1], key: key, associatedData: [[]]) }
    #expect(throws: CryptoError.authenticationFailed) {
      try AESSIV.open([UInt8](repeating: 0, count: min(count, 16)), key: key, associatedData: [])
    }
  }

  private func flip(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
    bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
  }
}
