internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("JSON")
struct JSONCodingTests {
  struct Inner: Codable, Equatable { var size: Int }
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
