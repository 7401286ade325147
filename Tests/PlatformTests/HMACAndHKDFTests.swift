internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("HMAC and HKDF with SHA-256")
struct HMACAndHKDFTests {
  /// RFC 4231, without the truncated case 5.
  static let authenticationVectors: [(key: [UInt8], message: [UInt8], code: String)] = [
    (Array(repeating: 0x0b, count: 20), Array("Hi There".utf8), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (Array("Jefe".utf8), Array("what do ya want for nothing?".utf8), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (
      Array(repeating: 0xaa, count: 20), Array(repeating: 0xdd, count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
    (Array(1...25), Array(repeating: 0xcd, count: 50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (
      Array(repeating: 0xaa, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
    (
      Array(repeating: 0xaa, count: 131),
      Array(
        ("This is a test using a larger than block-size key and a larger than block-size data. "
          + "The key needs to be hashed before being used by the HMAC algorithm.").utf8),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
    ),
  ]

  @Test("HMAC gives the codes of RFC 4231", arguments: authenticationVectors)
  func authentication(key: [UInt8], message: [UInt8], code: String) {
    #expect(HexDigits.encode(HMACSHA256.authenticate(key: key, message: message)) == code)
  }

  @Test("HMAC of text is the HMAC of its UTF-8")
  func text() {
    let key = Array("Jefe".utf8)
    #expect(HMACSHA256.authenticate(key: key, message: "naïve") == HMACSHA256.authenticate(key: key, message: Array("naïve".utf8)))
  }

  static let derivationVectors: [(secret: [UInt8], salt: [UInt8], info: [UInt8], output: String)] = [
    (
      Array(repeating: 0x0b, count: 22), Array(0x00...0x0c), Array(0xf0...0xf9),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    ),
    (
      Array(0x00...0x4f), Array(0x60...0xaf), Array(0xb0...0xff),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        + "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
    ),
    (
      Array(repeating: 0x0b, count: 22), [], [],
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    ),
  ]

  @Test("HKDF gives the keys of RFC 5869", arguments: derivationVectors)
  func derivation(secret: [UInt8], salt: [UInt8], info: [UInt8], output: String) {
    #expect(HexDigits.encode(HKDFSHA256.derive(secret: secret, salt: salt, info: info, count: output.count / 2)) == output)
  }

  @Test("HKDF gives as many bytes as asked, the shorter a beginning of the longer")
  func lengths() {
    let secret = Array("secret".utf8)
    let long = HKDFSHA256.derive(secret: secret, salt: [], info: "x", count: 255 * 32)
    #expect(long.count == 8160)
    for count in [0, 1, 31, 32, 33, 64, 8159] {
      #expect(HKDFSHA256.derive(secret: secret, salt: [], info: "x", count: count) == Array(long.prefix(count)))
    }
  }

  @Test("comparison in constant time agrees with equality")
  func comparison() {
    var random = Seeds.random()
    #expect(constantTimeEqual([], []))
    for _ in 0..<200 {
      let a = random.bytes(Int.random(in: 1...40, using: &random))
      var b = a
      #expect(constantTimeEqual(a, b))
      b[Int.random(in: 0..<b.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      #expect(!constantTimeEqual(a, b))
      #expect(!constantTimeEqual(a, a + [0]))
    }
  }
}
