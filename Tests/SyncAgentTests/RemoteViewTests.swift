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
    let isTaken = view.take(
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

  @Test("a listing that does not hang together is not taken")
  func tornListing() throws {
    var view = RemoteView(SyncMemory(root: Self.root, remotePath: "/d"))
    let isTaken = view.take([RemoteEntry(id: Self.file, path: "/d/f/a", kind: .file)], at: "/d")
    #expect(!isTaken && view.needsListing)
  }
}
