import BlockModel
import ClusterLogic
import Platform
import SyncAgent
import TestSupport
import Testing

@Suite("The agent's memory")
struct SyncStateTests {
  private static func identity(_ number: UInt64) -> LocalIdentity {
    LocalIdentity(inode: .max - number, size: Int64(number), modified: -5, changed: Int64(number))
  }

  private static let root = EntryID(high: 1, low: 1)

  private static let changes: [SyncChange] = [
    .rootIdentity("disk-1"), .followed(cursor: "c1", isListed: true, remotePath: "/new"),
    .remote(EntryID(high: 1, low: 2), SyncNode(SyncPlace(.entry(root), "é"), .folder, version: 1)),
    .remote(
      EntryID(high: 1, low: 3),
      SyncNode(SyncPlace(.entry(EntryID(high: 1, low: 2)), "b"), .file, content: "h", executable: true, modified: -1, version: 9, size: 4)),
    .remote(EntryID(high: 1, low: 4), SyncNode(SyncPlace(.entry(root), "gone"), .symlink, content: "t")),
    .remote(EntryID(high: 1, low: 4), nil),
    .synced(EntryID(high: 1, low: 3), SyncNode(SyncPlace(.entry(root), "b"), .file, content: "h"), identity(3)),
    .synced(EntryID(high: 1, low: 5), SyncNode(SyncPlace(.entry(root), "c"), .file, content: "h"), nil),
    .hash("x/y", .init(identity: identity(8), content: "k")), .hash("x/z", .init(identity: identity(9), content: "k")), .hash("x/z", nil),
  ]

  private static func nodes(_ tree: SyncTree) -> [SyncNodeID: SyncNode] {
    Dictionary(uniqueKeysWithValues: tree.sortedIDs.compactMap { id in tree[id].map { (id, $0) } })
  }

  @Test("what was noted is there after a new start, and nothing before it was begun")
  func keeps() throws {
    let folder = try TemporaryFolder()
    let state = try SQLiteSyncState(folder.path("state.sqlite"))
    #expect(try state.load() == nil)
    try state.begin(root: Self.root, remotePath: "/old")
    try state.apply(Self.changes)
    var expected = SyncMemory(root: Self.root, remotePath: "/old")
    expected.apply(Self.changes)
    let loaded = try #require(try SQLiteSyncState(folder.path("state.sqlite")).load())
    #expect(Self.nodes(loaded.remote) == Self.nodes(expected.remote))
    #expect(Self.nodes(loaded.synced) == Self.nodes(expected.synced))
    for id in expected.synced.sortedIDs.compactMap(\.entry) { #expect(loaded.identities[id] == expected.identities[id]) }
    #expect(loaded.identities.count == expected.identities.count)
    #expect(loaded.hashes == expected.hashes)
    #expect(loaded.cursor == "c1" && loaded.isListed && loaded.remotePath == "/new" && loaded.rootIdentity == "disk-1")
  }

  @Test("a remote tree that is listed anew replaces the old one")
  func listsAnew() throws {
    let folder = try TemporaryFolder()
    let state = try SQLiteSyncState(folder.path("state.sqlite"))
    try state.begin(root: Self.root, remotePath: "/old")
    try state.apply(Self.changes + [.remoteCleared])
    #expect(try state.load()?.remote.count == 0)
    #expect(try state.load()?.synced.count == 2)
  }
}
