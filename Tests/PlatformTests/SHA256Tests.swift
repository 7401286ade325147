internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("SHA-256")
struct SHA256Tests {
  /// FIPS 180-4 examples, as NIST publishes them.
  static let vectors: [(String, String)] = [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
    (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ]

  @Test("gives the published digests", arguments: vectors)
  func published(message: String, digest: String) {
    #expect(HexDigits.encode(SHA256Hasher.hash(Array(message.utf8))) == digest)
  }

  @Test("words are the digest's bytes in big-endian order")
  func words() {
    let words = Array("abc".utf8).withUnsafeBytes { SHA256Hasher.hash($0) }
    #expect(words.0 == 0xba78_16bf_8f01_cfea)
    #expect(words.3 == 0xb410_ff61_f200_15ad)
  }

  @Test("pieces of any sizes give the digest of the whole")
  func pieces() {
    var random = Seeds.random()
    for _ in 0..<50 {
      let message = random.bytes(Int.random(in: 0...5000, using: &random))
      var hasher = SHA256Hasher()
      var rest = message[...]
      while !rest.isEmpty {
        let count = Int.random(in: 0...min(700, rest.count), using: &random)
        hasher.update(Array(rest.prefix(count)))
        rest = rest.dropFirst(count)
      }
      let words = hasher.finalize()
      let whole = message.withUnsafeBytes { SHA256Hasher.hash($0) }
      #expect(words == whole)
    }
  }
}
