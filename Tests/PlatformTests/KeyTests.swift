internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("Keys: wrapping, passwords, agreement, secrets")
struct KeyTests {
  /// RFC 3394, section 4.6.
  private static let wrappingKey = Array(UInt8(0)...31)
  private static let key = HexDigits.decode("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f") ?? []
  private static let wrapped = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"

  @Test("key wrap gives the vector of RFC 3394, both ways")
  func wrapping() throws {
    let wrapped = try KeyWrap.wrap(KeyTests.key, with: KeyTests.wrappingKey)
    #expect(HexDigits.encode(wrapped) == KeyTests.wrapped)
    #expect(try KeyWrap.unwrap(wrapped, with: KeyTests.wrappingKey) == KeyTests.key)
  }

  @Test("a wrapped key shows every changed bit and every other wrapping key")
  func wrapTampering() throws {
    let wrapped = try KeyWrap.wrap(KeyTests.key, with: KeyTests.wrappingKey)
    for bit in 0..<(wrapped.count * 8) {
      var changed = wrapped
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: CryptoError.authenticationFailed) { try KeyWrap.unwrap(changed, with: KeyTests.wrappingKey) }
    }
    var other = KeyTests.wrappingKey
    other[31] ^= 1
    #expect(throws: CryptoError.authenticationFailed) { try KeyWrap.unwrap(wrapped, with: other) }
  }

  @Test("keys of other lengths are refused")
  func wrapLengths() {
    #expect(throws: CryptoError.self) { try KeyWrap.wrap(Array(repeating: 0, count: 16), with: KeyTests.wrappingKey) }
    #expect(throws: CryptoError.self) { try KeyWrap.wrap(KeyTests.key, with: Array(repeating: 0, count: 16)) }
    #expect(throws: CryptoError.self) { try KeyWrap.unwrap(Array(repeating: 0, count: 39), with: KeyTests.wrappingKey) }
    #expect(throws: CryptoError.self) { try KeyWrap.unwrap([], with: KeyTests.wrappingKey) }
  }

  /// RFC 7914, section 12, without the case that takes a gigabyte.
  @Test(
    "scrypt gives the keys of RFC 7914",
    arguments: [
      (
        "", "", 16, 1, 1,
        "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"
      ),
      (
        "password", "NaCl", 1024, 8, 16,
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
      ),
      (
        "pleaseletmein", "SodiumChloride", 16384, 8, 1,
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
      ),
    ])
  func scrypt(password: String, salt: String, n: Int, r: Int, p: Int, key: String) throws {
    let derived = try Scrypt.derive(password: Array(password.utf8), salt: Array(salt.utf8), n: n, r: r, p: p, count: 64)
    #expect(HexDigits.encode(derived) == key)
  }

  @Test(
    "scrypt refuses parameters that would take the machine's memory",
    arguments: [(3, 8, 1), (1 << 30, 8, 1), (0, 8, 1), (16, 0, 1), (16, 1, 0)])
  func scryptRefusals(n: Int, r: Int, p: Int) {
    #expect(throws: CryptoError.self) { try Scrypt.derive(password: [1], salt: [2], n: n, r: r, p: p) }
  }

  /// RFC 7748, section 6.1.
  @Test("X25519 gives the keys and the secret of RFC 7748")
  func agreementVector() throws {
    let alice = try #require(HexDigits.decode("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
    let bob = try #require(HexDigits.decode("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    let alicePublic = try X25519.publicKey(of: alice)
    let bobPublic = try X25519.publicKey(of: bob)
    #expect(HexDigits.encode(alicePublic) == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    #expect(HexDigits.encode(bobPublic) == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    let secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    #expect(HexDigits.encode(try X25519.sharedSecret(privateKey: alice, publicKey: bobPublic)) == secret)
    #expect(HexDigits.encode(try X25519.sharedSecret(privateKey: bob, publicKey: alicePublic)) == secret)
  }

  @Test("both sides of an agreement find the same secret, and a third another")
  func agreement() throws {
    let (a, b, c) = (try X25519.generate(), try X25519.generate(), try X25519.generate())
    let ab = try X25519.sharedSecret(privateKey: a.privateKey.exposed, publicKey: b.publicKey)
    #expect(try X25519.sharedSecret(privateKey: b.privateKey.exposed, publicKey: a.publicKey) == ab)
    #expect(try X25519.sharedSecret(privateKey: c.privateKey.exposed, publicKey: a.publicKey) != ab)
  }

  @Test("a public key of low order, whose secret everybody knows, is refused")
  func lowOrder() throws {
    let pair = try X25519.generate()
    #expect(throws: CryptoError.self) {
      try X25519.sharedSecret(privateKey: pair.privateKey.exposed, publicKey: Array(repeating: 0, count: 32))
    }
    #expect(throws: CryptoError.self) { try X25519.sharedSecret(privateKey: pair.privateKey.exposed, publicKey: [1, 2, 3]) }
  }

  @Test("a secret is in no description, dump or interpolation of itself or of what holds it")
  func secrecy() {
    struct Holder { var key: SecretBytes }
    let secret = SecretBytes(Array("hunter2".utf8))
    var dumped = ""
    dump(Holder(key: secret), to: &dumped)
    for text in ["\(secret)", String(describing: Holder(key: secret)), String(reflecting: secret), dumped] {
      #expect(text.contains("«redacted»"))
      #expect(!text.contains("hunter2") && !text.contains("104"))
    }
    #expect(secret.exposed == Array("hunter2".utf8))
    #expect(secret.withBytes { $0.count } == 7)
  }

  @Test("random bytes come in the number asked for and do not repeat")
  func randomness() {
    for count in [0, 1, 16, 1000] { #expect(SecureRandom.bytes(count).count == count) }
    #expect(Set((0..<1000).map { _ in SecureRandom.bytes(16) }).count == 1000)
  }
}
