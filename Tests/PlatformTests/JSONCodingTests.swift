internal import BlockModel
internal import Foundation
internal import Platform
internal import TestSupport
internal import Testing

@Suite("JSON")
struct JSONCodingTests {
  enum Kind: String, Codable { case round }
  struct Inner: Codable, Equatable {
    var size: Int
    var kind: Kind?
  }
  struct Document: Codable, Equatable {
    var name: String
    var items: [Inner]
    var at: WallTime?
  }

  private func decode(_ text: String, maxDepth: Int = 32, limit: Int = 1000) throws(JSONError) -> Document {
    try JSONCoding.decode(Document.self, from: Array(text.utf8), maxDepth: maxDepth, limit: limit)
  }

  @Test("what was encoded decodes to the same, with slashes as they are")
  func roundTrip() throws {
    let document = Document(
      name: "a/b “ü” \n", items: [Inner(size: 1), Inner(size: .max)], at: WallTime(microseconds: 1_700_000_000_123_456))
    let bytes = try JSONCoding.encode(document)
    #expect(String(decoding: bytes, as: UTF8.self).contains("a/b"))
    #expect(try JSONCoding.decode(Document.self, from: bytes) == document)
  }

  @Test(
    "a mistake is said with its place",
    arguments: [
      (#"{"items":[]}"#, "“name” is missing."),
      (#"{"name":"x","items":[{"size":1},{}]}"#, "“items[1].size” is missing."),
      (#"{"name":1,"items":[]}"#, "“name” has to be a string."),
      (#"{"name":"x","items":[{"size":"1"}]}"#, "“items[0].size” has to be a whole number."),
      (#"{"name":null,"items":[]}"#, "“name” is null and has to be a string."),
      (#"[]"#, "“the document” has to be an object."),
      (#"{"name":"x","items":[{"size":1,"kind":"square"}]}"#, "“items[0].kind” has a value that is none of those it may have."),
      (#"{"name":"x""#, "The document is not valid JSON."),
      ("", "The document is not valid JSON."),
    ])
  func mistakes(text: String, message: String) {
    let error = #expect(throws: JSONError.self) { try decode(text) }
    #expect(error?.message == message)
  }

  @Test("unknown members are ignored")
  func unknown() throws {
    #expect(try decode(#"{"name":"x","items":[],"later":{"more":[1]}}"#) == Document(name: "x", items: [], at: nil))
  }

  @Test("documents that are too long or too deep are refused before they are parsed")
  func bounds() {
    let deep = String(repeating: "[", count: 100_000)
    #expect(#expect(throws: JSONError.self) { try decode(deep, limit: 1 << 20) }?.code == .tooDeep)
    #expect(#expect(throws: JSONError.self) { try decode(String(repeating: " ", count: 1001)) }?.code == .tooLarge)
    #expect(#expect(throws: JSONError.self) { try decode(#"{"name":"[[[[[[","items":[]}"#, maxDepth: 1) }?.code == .tooDeep)
    #expect(throws: Never.self) { try decode(#"{"name":"\"[[[[[[","items":[]}"#, maxDepth: 2) }
  }

  @Test("random damage to a document is refused or read, and never crashes")
  func damage() {
    var random = Seeds.random()
    let document = Array(#"{"name":"a\u00fc\"x","items":[{"size":12},{"size":-3}],"at":"2026-01-01T00:00:00Z"}"#.utf8)
    for _ in 0..<3000 {
      var damaged = document
      for _ in 0...Int.random(in: 0...3, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      do { _ = try JSONCoding.decode(Document.self, from: damaged) } catch { #expect(!error.message.isEmpty) }
    }
  }
}

@Suite("JSON against the library's")
struct JSONAgreementTests {
  enum Shape: String, Codable, CaseIterable { case round, edged }
  enum Choice: Codable, Equatable {
    case path(String)
    case place(x: Int, y: Int8)
    case nothing
  }
  struct Leaf: Codable, Equatable {
    var text: String
    var note: String?
    var flag: Bool
    var ratio: Double
    var part: Float
    var small: UInt8
    var large: UInt64
    var shape: Shape
  }
  struct Tree: Codable, Equatable {
    var leaves: [Leaf]
    var byName: [String: Int64]
    var byNumber: [Int: Bool]
    var choices: [Choice?]
    var nested: [[Int16]]
    var empty: Empty
  }
  struct Empty: Codable, Equatable {}

  private static func text(_ random: inout some RandomNumberGenerator) -> String {
    let pieces = ["a", "\"", "\\", "/", "\n", "\t", "\u{0}", "\u{1f}", "\u{7f}", "ü", "e\u{301}", "漢", "😀", "\u{2028}", "{", "}"]
    return (0..<Int.random(in: 0...12, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
  }

  private static func tree(_ random: inout some RandomNumberGenerator) -> Tree {
    func leaf() -> Leaf {
      Leaf(
        text: text(&random), note: Bool.random(using: &random) ? text(&random) : nil, flag: .random(using: &random),
        ratio: Bool.random(using: &random) ? Double(Int.random(in: -9...9, using: &random)) : .random(in: -1e9...1e9, using: &random),
        part: .random(in: 0...1, using: &random), small: .random(in: 0...255, using: &random),
        large: [0, .max, .random(in: 0...(.max), using: &random)].randomElement(using: &random) ?? 0,
        shape: Shape.allCases.randomElement(using: &random) ?? .round)
    }
    func choice() -> Choice? {
      switch Int.random(in: 0...3, using: &random) {
      case 0: .path(text(&random))
      case 1: .place(x: .random(in: -5...5, using: &random), y: .min)
      case 2: .nothing
      default: nil
      }
    }
    let count = Int.random(in: 0...5, using: &random)
    return Tree(
      leaves: (0..<count).map { _ in leaf() },
      byName: Dictionary((0..<count).map { (text(&random) + "\($0)", Int64.random(in: (.min)...(.max), using: &random)) }) { a, _ in a },
      byNumber: Dictionary((0..<count).map { ($0, .random(using: &random)) }) { a, _ in a },
      choices: (0..<count).map { _ in choice() }, nested: (0..<count).map { (0..<$0).map(Int16.init) }, empty: Empty())
  }

  @Test("what one writes the other reads, and the same")
  func bothWays() throws {
    var random = Seeds.random()
    for _ in 0..<300 {
      let tree = Self.tree(&random)
      let ours = try JSONCoding.encode(tree)
      #expect(try JSONDecoder().decode(Tree.self, from: Data(ours)) == tree)
      #expect(try JSONCoding.decode(Tree.self, from: ours) == tree)
      let encoder = JSONEncoder()
      encoder.outputFormatting = Bool.random(using: &random) ? [.prettyPrinted, .sortedKeys] : []
      #expect(try JSONCoding.decode(Tree.self, from: Array(try encoder.encode(tree))) == tree)
    }
  }

  @Test(
    "what is no JSON is refused, and what is gets read, as the library does",
    arguments: [
      "1", "-0", "01", "+1", "1.", ".5", "1.5", "-", "1e", "1e2", "1E+2", "1e-1", "\"\\u00e9\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\"",
      "\"\\ude00x\"", "\"\\x\"", "\"\\u12g4\"", "\"a\nb\"", "\"a", "[,1]", "[1 2]", "{\"a\"}", "{a:1}", "{\"a\":}",
      "[1]x", " [ 1 , 2 ] ", "\u{c}[1]", "true", "tru", "nulll", "null", "[]", "{}", "[[[]]]", "{\"a\":{\"b\":[null,true]}}", "\"\\",
      "\"\\u1\"", "\"\\/\"", "'a'", "NaN", "[1]]", "}", "",
    ])
  func agreement(text: String) {
    let ours = (try? JSONCoding.decode(Anything.self, from: Array(text.utf8))) != nil
    let theirs = (try? JSONDecoder().decode(Anything.self, from: Data(text.utf8))) != nil
    #expect(ours == theirs)
  }

  @Test("a comma before the end is refused, which the library lets pass", arguments: ["[1,]", "{\"a\":1,}"])
  func trailingComma(text: String) {
    #expect(throws: JSONError.self) { try JSONCoding.decode(Anything.self, from: Array(text.utf8)) }
  }

  /// Reads all there is.
  private struct Anything: Decodable {
    private struct Name: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
      if let object = try? decoder.container(keyedBy: Name.self) {
        for key in object.allKeys { _ = try object.decode(Anything.self, forKey: key) }
      } else if var array = try? decoder.unkeyedContainer() {
        while !array.isAtEnd { _ = try array.decode(Anything.self) }
      } else {
        let value = try decoder.singleValueContainer()
        guard !value.decodeNil(), (try? value.decode(Bool.self)) == nil, (try? value.decode(Double.self)) == nil else { return }
        _ = try value.decode(String.self)
      }
    }
  }

  @Test(
    "a number is taken when it is whole and fits, and refused otherwise",
    arguments: [
      ("255", 255), ("256", nil), ("-1", nil), ("0", 0), ("-0", 0), ("3.0", 3), ("3.5", nil), ("2e1", 20), ("1e400", nil),
      ("99999999999999999999999", nil),
    ] as [(String, UInt8?)])
  func numbers(text: String, number: UInt8?) {
    #expect((try? JSONCoding.decode(UInt8.self, from: Array(text.utf8))) == number)
  }

  @Test("members are found in any order, and the ends of the range of whole numbers come through")
  func orders() throws {
    struct Pair: Codable, Equatable {
      var first: Int64
      var second: UInt64
      var third: Int?
    }
    let wanted = Pair(first: .min, second: .max, third: nil)
    for text in [
      #"{"first":-9223372036854775808,"second":18446744073709551615}"#, #"{"second":18446744073709551615,"first":-9223372036854775808}"#,
      #"{"third":null,"se\u0063ond":18446744073709551615,"other":{"first":1},"first":-9223372036854775808}"#,
    ] {
      #expect(try JSONCoding.decode(Pair.self, from: Array(text.utf8)) == wanted)
    }
  }

  @Test("a number that JSON has no word for is refused")
  func infinite() {
    #expect(throws: JSONError.self) { try JSONCoding.encode([Double.infinity]) }
  }

  @Test("a text that is not UTF-8 is refused")
  func notUTF8() {
    #expect(throws: JSONError.self) { try JSONCoding.decode(String.self, from: [0x22, 0xff, 0x22]) }
    #expect(throws: JSONError.self) { try JSONCoding.decode([String: Int].self, from: Array("{\"".utf8) + [0xc3] + Array("\":1}".utf8)) }
  }
}
