internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("Bytes as text")
struct EncodingTests {
  @Test("decoding gives back what was encoded")
  func roundTrip() {
    var random = Seeds.random()
    for count in 0..<100 {
      let bytes = random.bytes(count)
      #expect(HexDigits.decode(HexDigits.encode(bytes)) == bytes)
      #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
    }
  }

  @Test("hexadecimal has one spelling", arguments: ["0", "0g", "AB", "0x", " 00", "00 ", "é0", "0\u{0}"])
  func hexRefusals(text: String) {
    #expect(HexDigits.decode(text) == nil)
  }

  /// RFC 4648, section 10, without padding.
  @Test(
    "base 64 gives the texts of RFC 4648",
    arguments: [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy")])
  func base64(plain: String, text: String) {
    #expect(Base64URL.encode(Array(plain.utf8)) == text)
    #expect(Base64URL.decode(text) == Array(plain.utf8))
  }

  @Test("base 64 uses the alphabet for URLs")
  func alphabet() {
    #expect(Base64URL.encode([0xfb, 0xff]) == "-_8")
  }

  @Test("base 64 has one spelling", arguments: ["A", "Zg==", "Zh", "Zm9", "+_8", "Zg\n", "Z g", "AAAAA"])
  func base64Refusals(text: String) {
    #expect(Base64URL.decode(text) == nil)
  }
}
