import BlockModel
import Testing

@Suite("Names and paths")
struct NameAndPathTests {
  @Test("names that a folder may hold", arguments: ["a", "a.txt", ".hidden", "…", "with space", "日本語", "a\\b", "-", "...", "con"])
  func accepted(name: String) throws {
    #expect(try EntryName(name).text == name)
  }

  @Test(
    "names that no folder may hold",
    arguments: [
      "", ".", "..", "a/b", "/", "a\u{0}b", "a\nb", "\u{7f}", "\u{85}", "tab\t", String(repeating: "x", count: 256),
      String(repeating: "é", count: 128),
    ])
  func refused(name: String) {
    #expect(throws: EntryName.Invalid.self) { try EntryName(name) }
  }

  @Test("two spellings of one name are one name, kept in NFC")
  func normalisation() throws {
    let composed = try EntryName("caf\u{e9}")
    let decomposed = try EntryName("cafe\u{301}")
    #expect(composed == decomposed)
    #expect(Array(decomposed.text.utf8) == Array("caf\u{e9}".utf8))
  }

  @Test("names that differ in case are two names")
  func caseMatters() throws {
    #expect(try EntryName("A") != EntryName("a"))
  }

  @Test(
    "a path is absolute and is never normalised",
    arguments: ["", "a", "a/b", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a/./b", "/a\u{0}"])
  func refusedPaths(path: String) {
    #expect(throws: RemotePath.Invalid.self) { try RemotePath(path) }
  }

  @Test("a path reads back as it was written", arguments: ["/", "/a", "/a/b.txt", "/ü/日"])
  func roundTrip(path: String) throws {
    #expect(try RemotePath(path).text == path)
  }

  @Test("depth and length are bounded")
  func bounds() throws {
    _ = try RemotePath(String(repeating: "/a", count: 64))
    #expect(throws: RemotePath.Invalid.self) { try RemotePath(String(repeating: "/a", count: 65)) }
    #expect(throws: RemotePath.Invalid.self) { try RemotePath(String(repeating: "/" + String(repeating: "x", count: 200), count: 21)) }
  }

  @Test("inside means below or the same, by whole components")
  func inside() throws {
    let folder = try RemotePath("/a/b")
    #expect(try RemotePath("/a/b/c").isInside(folder))
    #expect(folder.isInside(folder))
    #expect(try !RemotePath("/a/bc").isInside(folder))
  }

  @Test(
    "node and zone names need no escaping anywhere",
    arguments: [
      ("node-1", true), ("a", true), ("9", true), ("-a", false), ("A", false),
      ("a.b", false), ("", false), ("a_b", false), ("ä", false), (String(repeating: "a", count: 64), false),
    ])
  func names(text: String, valid: Bool) {
    #expect((NodeID(text) != nil) == valid)
  }
}
