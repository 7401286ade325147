import BlockModel
import Testing

@Suite("Names made from names")
struct MarkedNameTests {
  private static func naming(_ device: String) throws -> ConflictNaming {
    ConflictNaming(device: device, at: try #require(WallTime(rfc3339: "2026-11-21T09:30:15Z")))
  }

  @Test(
    "a mark stands before the suffix, and a name that begins with its only dot has none",
    arguments: [
      ("report.txt", "report (x).txt"), (".profile", ".profile (x)"), ("a", "a (x)"), ("a.tar.gz", "a.tar (x).gz"),
      ("a." + String(repeating: "b", count: 32), "a." + String(repeating: "b", count: 32) + " (x)"),
    ])
  func marks(name: String, marked: String) { #expect(MarkedName.make(name, " (x)") == marked) }

  @Test("a name that would become too long is cut before the mark, never within a character", arguments: ["é", "x", "日"])
  func cuts(character: String) throws {
    let name = String(repeating: character, count: 250 / character.utf8.count) + ".txt"
    let marked = MarkedName.make(name, " (x)", limit: 100)
    #expect(marked.utf8.count <= 100 && marked.utf8.count > 100 - character.utf8.count && marked.hasSuffix(character + " (x).txt"))
    #expect(try EntryName(marked).text == marked)
  }

  @Test(
    "a conflicted copy says device and time, whatever the device is called",
    arguments: [
      ("laptop", "laptop"), ("ada/pc", "ada-pc"), ("two\nlines", "two-lines"), ("", "device"), ("bell\u{7}", "device"), ("..", "device"),
    ])
  func conflicts(device: String, written: String) throws {
    let naming = try Self.naming(device)
    #expect(naming.name(for: "report.txt", attempt: 0) == "report (conflicted copy \(written) 2026-11-21 093015).txt")
    #expect(naming.name(for: "report.txt", attempt: 1) == "report (conflicted copy \(written) 2026-11-21 093015 2).txt")
    #expect(ConflictNaming.isConflictedCopy(naming.name(for: "report.txt", attempt: 7)))
  }

  @Test("a conflicted copy of a long name from a device with a long name is a name, also where names are shorter")
  func fits() throws {
    let naming = try Self.naming(String(repeating: "👩‍🚀", count: 100))
    for limit in [Limits.nameBytes, SealedForm.nameBytes] {
      let copy = naming.name(for: String(repeating: "é", count: 127) + ".jpg", attempt: 99, limit: limit)
      #expect(copy.utf8.count <= limit && copy.hasPrefix("é") && copy.hasSuffix(".jpg"))
      #expect(try EntryName(copy).text == copy)
    }
    #expect(!ConflictNaming.isConflictedCopy("a copy (conflicted).txt"))
  }
}
