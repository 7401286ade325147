import BlockModel
import ClusterLogic
import Testing

@Suite("Which local thing is which entry")
struct LocalMatcherTests {
  private static let root = SyncNodeID.entry(EntryID(high: 0, low: 1))
  private static let first = EntryID(high: 0, low: 2)
  private static let second = EntryID(high: 0, low: 3)
  private static let folder = EntryID(high: 0, low: 4)

  private static func identity(_ inode: UInt64, modified: Int64 = 10, changed: Int64 = 10) -> LocalIdentity {
    LocalIdentity(inode: inode, size: 1, modified: modified, changed: changed)
  }

  private static func file(_ name: String, _ inode: UInt64, modified: Int64 = 10, parent: Int = -1) -> ScannedItem {
    ScannedItem(parent: parent, name: name, kind: .file, identity: identity(inode, modified: modified, changed: 99), content: "x")
  }

  /// `a` (inode 5) and `b` (inode 6) in the root, and a folder `f` (inode 7).
  private func match(_ items: [ScannedItem]) -> SyncTree {
    var synced = SyncTree(root: Self.root)
    synced.insert(.entry(Self.first), SyncNode(SyncPlace(Self.root, "a"), .file, content: "x"))
    synced.insert(.entry(Self.second), SyncNode(SyncPlace(Self.root, "b"), .file, content: "y"))
    synced.insert(.entry(Self.folder), SyncNode(SyncPlace(Self.root, "f"), .folder))
    let identities: IdentityTable = [Self.first: Self.identity(5), Self.second: Self.identity(6), Self.folder: Self.identity(7)]
    return LocalMatcher.match(items, synced: synced, identities: identities).tree
  }

  private func name(of entry: EntryID, in tree: SyncTree) -> String? { tree[.entry(entry)]?.place.name }

  @Test("a file that an editor replaced by another is still the same entry")
  func atomicSave() {
    let tree = match([Self.file("a", 50, modified: 20), Self.file("b", 6)])
    #expect(name(of: Self.first, in: tree) == "a")
  }

  @Test("a file that kept its backup under another name is still the same entry, and the backup is new")
  func backup() {
    let tree = match([Self.file("a", 50, modified: 20), Self.file("a~", 5), Self.file("b", 6)])
    #expect(name(of: Self.first, in: tree) == "a")
    #expect(tree.child(SyncPlace(Self.root, "a~"))?.entry == nil)
  }

  @Test("a renamed file is found by its inode, an edited one that was renamed as well is new")
  func rename() {
    #expect(name(of: Self.first, in: match([Self.file("z", 5)])) == "z")
    #expect(name(of: Self.first, in: match([Self.file("z", 5, modified: 20)])) == nil)
  }

  @Test("two files that changed names are both found")
  func swap() {
    let tree = match([Self.file("a", 6), Self.file("b", 5)])
    #expect(name(of: Self.first, in: tree) == "b")
    #expect(name(of: Self.second, in: tree) == "a")
  }

  @Test("a moved folder is found, and what is in it by its name")
  func folderMove() {
    let folder = ScannedItem(parent: -1, name: "g", kind: .folder, identity: Self.identity(7), content: "")
    let tree = match([Self.file("a", 5), Self.file("b", 6), folder, Self.file("new", 9, parent: 2)])
    #expect(name(of: Self.folder, in: tree) == "g")
    #expect(tree.child(SyncPlace(.entry(Self.folder), "new")) == .new(3))
  }

  @Test("two names of one file are two things")
  func hardLink() {
    let tree = match([Self.file("a", 5), Self.file("b", 5)])
    #expect(name(of: Self.first, in: tree) == "a")
    #expect(name(of: Self.second, in: tree) == "b")
  }

  @Test("what has a reserved name and belongs to nothing is left out")
  func reserved() {
    #expect(match([Self.file(ReservedName.prefix + "x", 70), Self.file("." + ReservedName.prefix + "y", 71)]).count == 0)
    #expect(name(of: Self.first, in: match([Self.file(ReservedName.prefix + "x", 5)])) == ReservedName.prefix + "x")
  }
}
