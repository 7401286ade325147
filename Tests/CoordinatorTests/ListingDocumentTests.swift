import BlockModel
import Coordinator
import Platform
import ServiceAPI
import Testing

@Suite("The documents of pages")
struct ListingDocumentTests {
  @Test("what the fast writer writes reads as the same page, whatever the names are")
  func equalsItsCodableForm() throws {
    let names = ["a.txt", "„Straße“ 1\"2\\3", "tab\there", "\u{1}", "日本語", "e\u{301}"]
    var items = names.enumerated().map { index, name in
      FileEntry(
        id: EntryID(high: 1, low: UInt64(index)), path: "/d/" + name, name: name, kind: .file, size: .max - Int64(index),
        contentHash: String(repeating: "ab", count: 32), version: Int64(index), mimeType: index % 2 == 0 ? nil : "text/\"x\"",
        modifiedAt: FileTime(nanoseconds: 1_700_000_000_123_456_789), executable: index % 2 == 0, target: nil, owner: "ada", role: .owner,
        caseClash: index == 3 ? true : nil, keyFolder: index == 4 ? EntryID(high: 9, low: 9) : nil, envelope: index == 4 ? "AA" : nil)
    }
    items.append(
      FileEntry(
        id: EntryID(high: 2, low: 0), path: "/d/link", name: "link", kind: .symlink, size: 0, contentHash: nil, version: 1, mimeType: nil,
        modifiedAt: FileTime(nanoseconds: 0), executable: false, target: "../\n", owner: "b\"b", role: .read))
    for page in [Page(items: items, next: "c\"1"), Page(items: [], next: nil)] {
      let bytes = ListingDocument.bytes(page)
      let read = try JSONCoding.decode(Page<FileEntry>.self, from: bytes)
      let usual = try JSONCoding.decode(Page<FileEntry>.self, from: JSONCoding.encode(page))
      #expect(read.items == usual.items && read.items == page.items && read.next == page.next)
    }
    let shares = items.enumerated().map { index, entry in
      ShareInfo(
        user: "u\"\(index)", role: index % 2 == 0 ? .read : .admin, grantedBy: "ada",
        grantedAt: WallTime(microseconds: 1_700_000_000_123_456 + Int64(index)), entry: entry)
    }
    let page = Page(items: shares, next: "c")
    let read = try JSONCoding.decode(Page<ShareInfo>.self, from: ListingDocument.bytes(page))
    let usual = try JSONCoding.decode(Page<ShareInfo>.self, from: JSONCoding.encode(page))
    #expect(read.items == usual.items && read.items == page.items && read.next == page.next)
  }
}
