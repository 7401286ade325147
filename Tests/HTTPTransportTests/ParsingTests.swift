import BlockModel
import HTTPTransport
import TestSupport
import Testing

@Suite("request targets and ranges")
struct ParsingTests {
  private static func parse(_ text: String) throws(RequestTarget.Malformed) -> RequestTarget {
    try RequestTarget(parsing: Array(text.utf8))
  }

  @Test(
    "a target's components are decoded one by one",
    arguments: [
      ("/", "/", []), ("/a", "/a", ["a"]), ("/a/", "/a/", ["a", ""]), ("//a", "//a", ["", "a"]), ("/a%2fb/c", "/a%2fb/c", ["a/b", "c"]),
      ("/%E2%9C%93", "/%E2%9C%93", ["✓"]), ("/ü", "/ü", ["ü"]), ("/a+b", "/a+b", ["a+b"]), ("/..", "/..", [".."]),
      ("http://host:1/a?b", "/a", ["a"]), ("HTTPS://host", "/", []), ("http://h?x=1", "/", []), ("*", "*", []), ("/a?b/c", "/a", ["a"]),
    ] as [(String, String, [String])])
  func path(target: String, raw: String, components: [String]) throws {
    let parsed = try Self.parse(target)
    #expect(parsed.rawPath == raw)
    #expect(parsed.path == components)
  }

  @Test(
    "a query keeps order, repeats and empty values",
    arguments: [
      ("/?", []), ("/?a", ["a="]), ("/?a=", ["a="]), ("/?a=1&b=2&a=3", ["a=1", "b=2", "a=3"]), ("/?&&a=1&", ["a=1"]), ("/?=v", ["=v"]),
      ("/?a=b=c", ["a=b=c"]), ("/?a%3db=%26", ["a=b=&"]), ("/?a+b=c+d%2B", ["a b=c d+"]), ("/?a=1?b", ["a=1?b"]),
    ] as [(String, [String])])
  func query(target: String, expected: [String]) throws {
    #expect(try Self.parse(target).query.map { "\($0.name)=\($0.value)" } == expected)
  }

  @Test(
    "a target that is not one is refused, each for its reason",
    arguments: [
      ("", .empty), ("a", .notAPath), ("ftp://h/", .notAPath), ("/%", .badPercentEncoding), ("/%4", .badPercentEncoding),
      ("/%zz", .badPercentEncoding), ("/?%", .badPercentEncoding), ("/%00", .zeroByte), ("/?a=%00", .zeroByte), ("/%ff", .invalidUTF8),
      ("/?%c3%28", .invalidUTF8), ("/%ed%a0%80", .invalidUTF8), ("/a b", .forbiddenByte), ("/a#b", .forbiddenByte),
      ("/\u{7f}", .forbiddenByte),
      ("/" + String(repeating: "a/", count: 64), .tooManyComponents), ("/?" + String(repeating: "a&", count: 257), .tooManyQueryItems),
    ] as [(String, RequestTarget.Malformed)])
  func malformed(target: String, error: RequestTarget.Malformed) {
    #expect(throws: error) { try Self.parse(target) }
  }

  @Test("escaping a byte anywhere changes nothing of what a target says")
  func escaping() throws {
    let plain = "/v1/blocks/0af7?v=1&op=put&node=node-1&fwd=node-2:ab,node-3:cd&empty=&none"
    let parsed = try Self.parse(plain)
    #expect(parsed.path == ["v1", "blocks", "0af7"])
    #expect(parsed.query.count == 6)
    let separators = Array("/?&=".utf8)
    for (index, byte) in plain.utf8.enumerated() where !separators.contains(byte) {
      let digits = HexDigits.encode([byte])
      let escaped = plain.utf8.prefix(index) + Array("%\(digits)".utf8) + plain.utf8.dropFirst(index + 1)
      let again = try RequestTarget(parsing: Array(escaped))
      #expect(again.path == parsed.path, "byte \(index)")
      #expect(again.query == parsed.query, "byte \(index)")
    }
  }

  @Test("no sequence of bytes traps the parser, and what it accepts it accepts again")
  func fuzz() {
    let seed = Seeds.next()
    var random = SeededRandom(seed: seed)
    let seeds = ["/v1/blocks/0af7?v=1&sig=ab%20c", "http://h:80/a/%E2%9C%93?x=+", "/?", "*", "/%2F%2f/..//?a&b=c=d"].map { Array($0.utf8) }
    let alphabet = Array("/?&=%+#*:.ahtps0fF\u{00}\u{7f} ".utf8) + [0x80, 0xc3, 0xed, 0xff]
    for round in 0..<20_000 {
      var bytes = seeds[Int.random(in: 0..<seeds.count, using: &random)]
      for _ in 0..<Int.random(in: 0..<8, using: &random) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes.insert(alphabet.randomElement(using: &random)!, at: place)
        case 1: if place < bytes.count { bytes[place] = UInt8.random(in: 0...255, using: &random) }
        case 2: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 0..<4, using: &random)))
        default: bytes.insert(contentsOf: bytes[place...], at: place)
        }
      }
      guard let parsed = try? RequestTarget(parsing: bytes) else { continue }
      let again = Array(parsed.rawPath.utf8)
      #expect((try? RequestTarget(parsing: again))?.path == parsed.path, "seed \(seed) round \(round)")
      #expect(!parsed.path.contains { $0.utf8.contains(0) }, "seed \(seed) round \(round)")
    }
  }

  @Test(
    "a range header means what RFC 9110 says",
    arguments: [
      (nil, 10, .whole), ("bytes=0-4", 10, .part(0..<5)), ("bytes=5-", 10, .part(5..<10)), ("bytes=-3", 10, .part(7..<10)),
      ("bytes=0-99", 10, .part(0..<10)), ("bytes=-99", 10, .part(0..<10)), ("bytes=9-9", 10, .part(9..<10)),
      ("bytes=10-", 10, .unsatisfiable),
      ("bytes=10-20", 10, .unsatisfiable), ("bytes=-0", 10, .unsatisfiable), ("bytes=0-", 0, .unsatisfiable),
      ("bytes=-5", 0, .unsatisfiable),
      ("bytes=5-4", 10, .whole), ("bytes=a-b", 10, .whole), ("bytes=1-2,4-5", 10, .whole), ("lines=1-2", 10, .whole),
      ("bytes=", 10, .whole),
      ("bytes=-", 10, .whole), ("Bytes= 1-2 ", 10, .part(1..<3)), ("bytes=99999999999999999999-", 10, .unsatisfiable),
      ("bytes=0-99999999999999999999", 10, .part(0..<10)), ("bytes=-99999999999999999999", 10, .part(0..<10)), ("bytes=--5", 10, .whole),
    ] as [(String?, Int, HTTPRange)])
  func range(header: String?, size: Int, expected: HTTPRange) {
    #expect(HTTPRange.parse(header, size: size) == expected)
  }

  @Test("no range header traps, and a part is never empty nor outside")
  func rangeFuzz() {
    let seed = Seeds.next()
    var random = SeededRandom(seed: seed)
    let alphabet = Array("bytes=0123456789-, \t\u{0}é")
    for round in 0..<20_000 {
      var text = Bool.random(using: &random) ? "bytes=" : ""
      for _ in 0..<Int.random(in: 0..<24, using: &random) { text.append(alphabet.randomElement(using: &random)!) }
      let size = Int.random(in: 0...1000, using: &random)
      if case .part(let range) = HTTPRange.parse(text, size: size) {
        #expect(!range.isEmpty && range.lowerBound >= 0 && range.upperBound <= size, "seed \(seed) round \(round)")
      }
    }
  }

  @Test("Content-Range says what is in the answer")
  func contentRange() {
    #expect(HTTPRange.part(2..<5).contentRange(size: 10) == "bytes 2-4/10")
    #expect(HTTPRange.unsatisfiable.contentRange(size: 10) == "bytes */10")
    #expect(HTTPRange.whole.contentRange(size: 10) == nil)
  }

  @Test("an event is encoded as the standard says")
  func event() {
    let event = ServerSentEvent(id: "7\nx", event: "change", data: "one\ntwo", retry: .seconds(2))
    #expect(String(decoding: event.encoded, as: UTF8.self) == "id: 7x\nevent: change\nretry: 2000\ndata: one\ndata: two\n\n")
    #expect(String(decoding: ServerSentEvent(data: "").encoded, as: UTF8.self) == "data: \n\n")
  }
}
