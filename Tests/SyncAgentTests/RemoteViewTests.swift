import BlockModel
import ClusterLogic
import SyncAgent
import Testing

@Suite("The remote tree follows the feed")
struct RemoteViewTests {
  private static let root = EntryID(high: 0, low: 1)
  private static let folder = EntryID(high: 0, low: 2)
  private static let file = EntryID(high: 0, low: 3)

  /// `/cloud/docs` with `f/a` in it.
  private func view() throws -> RemoteView {
    var view = RemoteView(SyncMemory(root: Self.root, remotePath: "/cloud/docs"))
    #expect(view.needsListing)
    let isTaken = try view.take(
      [
        RemoteEntry(id: Self.file, path: "/cloud/docs/f/a", kind: .file, content: "x"),
        RemoteEntry(id: Self.folder, path: "/cloud/docs/f", kind: .folder),
      ], at: "/cloud/docs")
    #expect(isTaken)
    return view
  }

  private func names(_ view: RemoteView, _ id: EntryID) -> String? { view.tree.names(of: .entry(id))?.joined(separator: "/") }

  @Test("what is in a folder moves and goes with it")
  func foldersCarryTheirContents() throws {
    var view = try view()
    try view.apply(
      RemoteChange(.moved, RemoteEntry(id: Self.folder, path: "/cloud/docs/g", kind: .folder), oldPath: "/cloud/docs/f"))
    #expect(names(view, Self.file) == "g/a")
    try view.apply(RemoteChange(.deleted, RemoteEntry(id: Self.folder, path: "/cloud/docs/g", kind: .folder)))
    #expect(view.tree.count == 0 && !view.needsListing)
  }

  @Test("the folder itself, and those above it, may be moved")
  func rootMoves() throws {
    var view = try view()
    try view.apply(RemoteChange(.moved, RemoteEntry(id: Self.root, path: "/cloud/texts", kind: .folder), oldPath: "/cloud/docs"))
    #expect(view.path == "/cloud/texts")
    try view.apply(
      RemoteChange(.moved, RemoteEntry(id: EntryID(high: 9, low: 9), path: "/old/cloud", kind: .folder), oldPath: "/cloud"))
    #expect(view.path == "/old/cloud/texts")
    try view.apply(
      RemoteChange(.changed, RemoteEntry(id: EntryID(high: 0, low: 8), path: "/old/cloud/texts/f/b", kind: .file, content: "y")))
    #expect(names(view, EntryID(high: 0, low: 8)) == "f/b")
  }

  @Test("when the folder or one above it is gone, nothing goes on", arguments: ["/cloud", "/cloud/docs"])
  func rootGoes(path: String) throws {
    var view = try view()
    let id = path == "/cloud/docs" ? Self.root : EntryID(high: 9, low: 9)
    var isStopped = false
    do throws(SyncError) { try view.apply(RemoteChange(.deleted, RemoteEntry(id: id, path: path, kind: .folder))) } catch {
      isStopped = error.code == .stopped
    }
    #expect(isStopped)
    #expect(view.tree.count == 2)
  }

  @Test("a folder that came from elsewhere, or a change in a folder that is not known, asks for a new listing")
  func unknownAsksForListing() throws {
    var moved = try view()
    try moved.apply(
      RemoteChange(.moved, RemoteEntry(id: EntryID(high: 0, low: 9), path: "/cloud/docs/n", kind: .folder), oldPath: "/n"))
    #expect(moved.needsListing)
    var inside = try view()
    try inside.apply(
      RemoteChange(.changed, RemoteEntry(id: EntryID(high: 0, low: 9), path: "/cloud/docs/n/x", kind: .file)))
    #expect(inside.needsListing)
  }

  @Test("what is moved out is gone, what lies elsewhere is nobody's business")
  func outside() throws {
    var view = try view()
    try view.apply(
      RemoteChange(.moved, RemoteEntry(id: Self.folder, path: "/cloud/docs2/f", kind: .folder), oldPath: "/cloud/docs/f"))
    try view.apply(RemoteChange(.changed, RemoteEntry(id: EntryID(high: 0, low: 9), path: "/else", kind: .file)))
    #expect(view.tree.count == 0 && !view.needsListing)
  }

  @Test("what is of another encrypted folder, or of one in a plain tree, is no part of it")
  func otherFolders() throws {
    let vault = EntryID(high: 0, low: 20)
    var plain = try view()
    try plain.apply(RemoteChange(.changed, RemoteEntry(id: vault, path: "/cloud/docs/vault", kind: .folder, keyFolder: vault)))
    try plain.apply(
      RemoteChange(
        .changed,
        RemoteEntry(id: EntryID(high: 0, low: 21), path: "/cloud/docs/vault/x", kind: .file, keyFolder: vault, isLocked: true)))
    #expect(plain.tree.count == 2 && !plain.needsListing)
    var sealed = RemoteView(SyncMemory(root: Self.root, remotePath: "/vault/docs"))
    sealed.keyFolder = vault
    let listing = [
      RemoteEntry(id: Self.folder, path: "/vault/docs/f", kind: .folder, keyFolder: vault),
      RemoteEntry(id: Self.file, path: "/vault/docs/g", kind: .folder),
    ]
    let isTaken = try sealed.take(listing, at: "/vault/docs")
    #expect(isTaken && names(sealed, Self.folder) == "f" && sealed.tree.count == 1)
  }

  @Test("what cannot be opened stops the agent, and is never taken for deleted")
  func locked() throws {
    let vault = EntryID(high: 0, low: 20)
    let entry = RemoteEntry(id: Self.file, path: "/vault/docs/a", kind: .file, content: "x", keyFolder: vault)
    var view = RemoteView(SyncMemory(root: Self.root, remotePath: "/vault/docs"))
    view.keyFolder = vault
    let isTaken = try view.take([entry], at: "/vault/docs")
    #expect(isTaken)
    var locked = entry
    (locked.path, locked.isLocked) = ("/vault/docs/c2VhbGVk", true)
    #expect(throws: SyncError.self) { try view.apply(RemoteChange(.changed, locked)) }
    #expect(throws: SyncError.self) { try view.take([locked], at: "/vault/docs") }
    #expect(names(view, Self.file) == "a")
  }

  @Test("a listing that does not hang together is not taken")
  func tornListing() throws {
    var view = RemoteView(SyncMemory(root: Self.root, remotePath: "/d"))
    let isTaken = try view.take([RemoteEntry(id: Self.file, path: "/d/f/a", kind: .file)], at: "/d")
    #expect(!isTaken && view.needsListing)
  }
}
