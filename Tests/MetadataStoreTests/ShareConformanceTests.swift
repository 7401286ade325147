import BlockModel
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("Shares and links")
struct ShareConformanceTests {
  private static let mount = "/Shared with me/photos"

  /// Ada has /photos/2026/a.jpg and /secret; Bob has nothing; Ada shares /photos with Bob.
  private func shared(
    _ role: Role, _ engine: Engine = .sqlite
  ) async throws -> (fixture: Fixture, ada: Principal, bob: Principal, folder: FileEntry) {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("ada")
    let bob = try await fixture.user("bob")
    try await fixture.put("/office/photos/2026/a.jpg", [Fixture.block(1)], as: ada)
    try await fixture.put("/secret", [Fixture.block(2)], as: ada)
    let folder = try await fixture.store.stat(.path("/office/photos"), for: ada)
    _ = try await fixture.store.share(.init(entry: .id(folder.id), user: "Bob", role: role), for: ada)
    return (fixture, ada, bob, folder)
  }

  private func delete(_ path: String, forever: Bool = false) -> UserOperations.DeleteEntry {
    .init(entry: .path(path), forever: forever, recursive: true, ifVersion: nil)
  }

  private func update(_ from: String, _ to: String?) -> UserOperations.UpdateEntry {
    .init(entry: .path(from), newPath: to, modifiedAt: to == nil ? FileTime(nanoseconds: 5) : nil, executable: nil, ifVersion: nil)
  }

  @Test("a member reaches what is shared by path and by id, and nothing else", arguments: Engine.allCases)
  func reach(engine: Engine) async throws {
    let (fixture, ada, bob, folder) = try await shared(.read, engine)
    let file = try await fixture.store.stat(.path(Self.mount + "/2026/a.jpg"), for: bob)
    #expect(file.path == Self.mount + "/2026/a.jpg" && file.role == .read && file.owner == "ada")
    #expect(try await fixture.store.stat(.id(file.id), for: bob) == file)
    #expect(try await fixture.store.stat(.id(folder.id), for: bob).name == "photos")
    #expect(try await fixture.paths(of: bob, below: Self.mount) == [Self.mount + "/2026", Self.mount + "/2026/a.jpg"])
    #expect(try await fixture.paths(of: bob).isEmpty, "the own tree is the own tree")
    let plan = try await fixture.store.downloadPlan(.id(file.id), version: nil, cursor: nil, limit: 10, for: bob)
    #expect(plan.blocks.map(\.id) == [Fixture.block(1).id] && plan.file.path == file.path)
    let shared = try await fixture.store.shared(limit: 10, cursor: nil, for: bob).items
    #expect(shared.map(\.entry.path) == [Self.mount] && shared.first?.grantedBy == "ada")
    #expect(
      try await fixture.store.list(.path("/Shared with me"), recursive: false, limit: 10, cursor: nil, for: bob).items.map(\.id)
        == [folder.id])
    let secret = try await fixture.store.stat(.path("/secret"), for: ada)
    for reference in [EntryReference.id(secret.id), .id(ada.root), .path("/Shared with me/secret"), .path("/office/photos")] {
      #expect(await problem { try await fixture.store.stat(reference, for: bob) }?.kind == .notFound)
    }
    let eve = try await fixture.user("eve")
    let stranger = await problem { try await fixture.store.stat(.id(folder.id), for: eve) }
    #expect(stranger?.kind == .notFound)
    try await fixture.expectSound()
  }

  struct Attempt: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var least: Role
    var run: @Sendable (Fixture, Principal) async throws -> Void
  }

  static let attempts: [Attempt] = [
    Attempt(testDescription: "reading", least: .read) { fixture, bob in
      _ = try await fixture.store.versions(of: .path(mount + "/2026/a.jpg"), limit: 1, cursor: nil, for: bob)
    },
    Attempt(testDescription: "copying out", least: .read) { fixture, bob in
      _ = try await fixture.store.copyEntry(.init(entry: .path(mount), newPath: "/mine"), for: bob, once: nil)
    },
    Attempt(testDescription: "uploading a new file", least: .write) { fixture, bob in
      try await fixture.put(mount + "/new", [Fixture.block(7)], as: bob)
    },
    Attempt(testDescription: "revising a file", least: .write) { fixture, bob in
      try await fixture.put(mount + "/2026/a.jpg", [Fixture.block(7)], as: bob, policy: .overwrite)
    },
    Attempt(testDescription: "copying over a file", least: .write) { fixture, bob in
      try await fixture.put("/his", [Fixture.block(7)], as: bob)
      _ = try await fixture.store.copyEntry(
        .init(entry: .path("/his"), newPath: mount + "/2026/a.jpg", replaces: 1), for: bob, once: nil)
    },
    Attempt(testDescription: "making folders", least: .write) { fixture, bob in _ = try await fixture.folder(mount + "/x/y", as: bob) },
    Attempt(testDescription: "moving", least: .write) { fixture, bob in
      _ = try await fixture.store.updateEntry(
        .init(
          entry: .path(mount + "/2026/a.jpg"), newPath: mount + "/b.jpg", modifiedAt: nil, executable: nil, ifVersion: nil), for: bob)
    },
    Attempt(testDescription: "metadata", least: .write) { fixture, bob in
      _ = try await fixture.store.updateEntry(
        .init(
          entry: .path(mount + "/2026/a.jpg"), newPath: nil, modifiedAt: FileTime(nanoseconds: 9), executable: nil, ifVersion: nil),
        for: bob)
    },
    Attempt(testDescription: "deleting", least: .write) { fixture, bob in
      try await fixture.store.deleteEntry(
        .init(entry: .path(mount + "/2026"), forever: false, recursive: true, ifVersion: nil), for: bob)
    },
    Attempt(testDescription: "deleting for good", least: .admin) { fixture, bob in
      try await fixture.store.deleteEntry(
        .init(entry: .path(mount + "/2026"), forever: true, recursive: true, ifVersion: nil), for: bob)
    },
    Attempt(testDescription: "sharing on", least: .admin) { fixture, bob in
      _ = try await fixture.user("eve")
      _ = try await fixture.store.share(.init(entry: .path(mount + "/2026"), user: "eve", role: .read), for: bob)
    },
    Attempt(testDescription: "listing shares", least: .admin) { fixture, bob in
      _ = try await fixture.store.shares(of: .path(mount), limit: 10, cursor: nil, for: bob)
    },
    Attempt(testDescription: "linking", least: .admin) { fixture, bob in
      _ = try await fixture.store.createLink(
        NewLink(id: .random(), entry: .path(mount), tokenHash: [1]), for: bob, once: nil)
    },
    Attempt(testDescription: "rewinding", least: .admin) { fixture, bob in
      _ = try await fixture.store.rewind(.init(entry: .path(mount), target: .time(fixture.time.wall())), for: bob, once: nil)
    },
    Attempt(testDescription: "moving what is shared away", least: .owner) { fixture, bob in
      _ = try await fixture.store.updateEntry(
        .init(entry: .path(mount), newPath: "/mine", modifiedAt: nil, executable: nil, ifVersion: nil), for: bob)
    },
    Attempt(testDescription: "deleting what is shared", least: .owner) { fixture, bob in
      try await fixture.store.deleteEntry(.init(entry: .path(mount), forever: false, recursive: true, ifVersion: nil), for: bob)
    },
  ]

  @Test("each role may do what the table says and no more", arguments: attempts, [Role.read, .write, .admin])
  func roles(attempt: Attempt, role: Role) async throws {
    let (fixture, _, bob, _) = try await shared(role)
    if role >= attempt.least {
      try await attempt.run(fixture, bob)
    } else {
      #expect(await problem { try await attempt.run(fixture, bob) }?.kind == .forbidden)
    }
    try await fixture.expectSound()
  }

  @Test("after a share ends by either side nothing is there any more, not by path, id, upload or link", arguments: [true, false])
  func revocation(byOwner: Bool) async throws {
    let (fixture, ada, bob, folder) = try await shared(.admin)
    let open = try await fixture.store.openUpload(
      UploadRequest(path: Self.mount + "/late", blocks: [Fixture.block(9)]), for: bob, once: nil)
    _ = try await fixture.store.createLink(NewLink(id: .random(), entry: .id(folder.id), tokenHash: [1]), for: bob, once: nil)
    _ = try await fixture.store.linkContent(tokenHash: [1], path: "/2026", limit: 10, cursor: nil)
    try await fixture.store.unshare(.init(entry: .id(folder.id), user: "bob"), for: byOwner ? ada : bob)
    let receipts = Fixture.receipts(open.uploadID, Fixture.block(9))
    let attempts: [@Sendable () async throws -> Void] = [
      { _ = try await fixture.store.stat(.path(Self.mount), for: bob) }, { _ = try await fixture.store.stat(.id(folder.id), for: bob) },
      { _ = try await fixture.store.completeUpload(Completion(upload: open.uploadID, receipts: receipts), for: bob) },
      { _ = try await fixture.store.linkContent(tokenHash: [1], path: "/", limit: 10, cursor: nil) },
      { _ = try await fixture.store.linkPlan(tokenHash: [1], path: "/2026/a.jpg", version: nil, cursor: nil, limit: 1, counts: true) },
    ]
    for attempt in attempts { #expect(await problem { try await attempt() }?.kind == .notFound) }
    #expect(try await fixture.store.shared(limit: 10, cursor: nil, for: bob).items.isEmpty)
    try await fixture.store.abortUpload(open.uploadID, for: bob)
    try await fixture.expectSound()
  }

  @Test("whether the owner has a block elsewhere is not for a member to know; what the member can read counts as had")
  func dedup() async throws {
    let (fixture, _, bob, _) = try await shared(.write)
    func missing(_ path: String, _ block: UInt64) async throws -> Int {
      let state = try await fixture.store.openUpload(UploadRequest(path: path, blocks: [Fixture.block(block)]), for: bob, once: nil)
      try await fixture.store.abortUpload(state.uploadID, for: bob)
      return state.missing.count
    }
    #expect(try await missing(Self.mount + "/x", 2) == 1, "Ada has it in a file that is not shared")
    #expect(try await missing("/x", 1) == 1)
    #expect(try await missing(Self.mount + "/2026/a.jpg", 1) == 0, "the file that is revised has it")
    try await fixture.put("/own", [Fixture.block(2)], as: bob)
    #expect(try await missing(Self.mount + "/x", 2) == 0, "Bob has it himself")
    let made = try await fixture.put(Self.mount + "/x", [Fixture.block(2)], as: bob)
    #expect(made.owner == "ada" && made.role == .write)
    try await fixture.expectSound()
  }

  @Test("bytes count against the owner's quota", arguments: Engine.allCases)
  func quota(engine: Engine) async throws {
    let (fixture, ada, bob, _) = try await shared(.write, engine)
    try await fixture.store.administer("ada", .quota(2500))
    let refusal = await problem { try await fixture.put(Self.mount + "/x", [Fixture.block(8)], as: bob) }
    #expect(refusal?.kind == .quota)
    try await fixture.store.administer("ada", .quota(3000))
    try await fixture.put(Self.mount + "/x", [Fixture.block(8)], as: bob)
    #expect(try await fixture.store.usage(of: ada).used == 3000)
    #expect(try await fixture.store.usage(of: bob).used == 0)
    try await fixture.store.administer("bob", .quota(500))
    let copy = await problem {
      try await fixture.store.copyEntry(.init(entry: .path(Self.mount), newPath: "/mine"), for: bob, once: nil)
    }
    #expect(copy?.kind == .quota)
    try await fixture.expectSound()
  }

  @Test("names of shares are the member's: unique, theirs to change, and taken by nothing else")
  func mounts() async throws {
    let (fixture, ada, bob, _) = try await shared(.read)
    try await fixture.put("/photos/x", as: ada)
    _ = try await fixture.store.share(.init(entry: .path("/photos"), user: "bob", role: .read), for: ada)
    func names() async throws -> [String] { try await fixture.store.shared(limit: 10, cursor: nil, for: bob).items.map(\.entry.name) }
    #expect(try await names() == ["photos", "photos (ada)"])
    let renamed = try await fixture.store.updateEntry(update(Self.mount, "/Shared with me/Ada's"), for: bob)
    #expect(renamed.path == "/Shared with me/Ada's")
    #expect(try await names() == ["Ada's", "photos (ada)"])
    #expect(try await fixture.store.stat(.path("/office/photos"), for: ada).name == "photos")
    await expect(.forbidden) { _ = try await fixture.folder("/Shared with me", as: ada) }
    await expect(.notFound) { try await fixture.put("/Shared with me/x", as: ada) }
    await expect(.conflict) { _ = try await fixture.store.share(.init(entry: .path("/photos"), user: "ada", role: .read), for: ada) }
    await expect(.forbidden) { _ = try await fixture.store.share(.init(entry: .path("/"), user: "bob", role: .read), for: ada) }
    await expect(.notFound) { _ = try await fixture.store.share(.init(entry: .path("/photos"), user: "who", role: .read), for: ada) }
    try await fixture.expectSound()
  }

  @Test("a move to another owner's tree is a copy there, and the original goes to its owner's trash")
  func moveAcross() async throws {
    let (fixture, ada, bob, _) = try await shared(.write)
    try await fixture.put("/mine/m", Fixture.blocks(Array(11...19)), as: bob)
    let moved = try await fixture.store.updateEntry(update("/mine", Self.mount + "/mine"), for: bob)
    #expect(moved.owner == "ada")
    #expect(try await fixture.paths(of: ada, below: "/office/photos/mine") == ["/office/photos/mine/m"])
    #expect(try await fixture.store.trash(limit: 10, cursor: nil, for: bob).items.map(\.entry.path) == ["/mine"])
    _ = try await fixture.store.updateEntry(update(Self.mount + "/2026/a.jpg", "/a.jpg"), for: bob)
    #expect(try await fixture.paths(of: bob) == ["/a.jpg"])
    #expect(try await fixture.store.trash(limit: 10, cursor: nil, for: ada).items.map(\.entry.path) == ["/office/photos/2026/a.jpg"])
    try await fixture.expectSound()
  }

  private func expect(
    _ kind: Problem.Kind, _ location: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
  ) async {
    let refusal = await problem(location) { try await body() }
    #expect(refusal?.kind == kind, sourceLocation: location)
  }

  @Test("what is shared is listed while all folders above it live, each share by itself, at any depth", arguments: Engine.allCases)
  func listing(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let store = fixture.store
    let (ada, bob) = (try await fixture.user("ada"), try await fixture.user("bob"))
    let deep = "/live/" + (1...12).map { "d\($0)" }.joined(separator: "/")
    for path in ["/top", "/live/a", "/live/b", "/gone/c", "/gone/sub/d", "\(deep)/e"] {
      _ = try await fixture.put(path, as: ada)
      _ = try await store.share(.init(entry: .path(path), user: "bob", role: .read), for: ada)
    }
    for path in ["/live", "/gone/sub"] { _ = try await store.share(.init(entry: .path(path), user: "bob", role: .write), for: ada) }
    func names() async throws -> [String] {
      var (names, cursor): ([String], String?) = ([], nil)
      repeat {
        let page = try await store.shared(limit: 3, cursor: cursor, for: bob)
        names += page.items.map(\.entry.name)
        cursor = page.next
      } while cursor != nil
      return names
    }
    #expect(try await names() == ["a", "b", "c", "d", "e", "live", "sub", "top"])
    try await store.deleteEntry(delete("/gone"), for: ada)
    #expect(try await names() == ["a", "b", "e", "live", "top"])
    try await store.deleteEntry(delete("/live/a"), for: ada)
    try await store.deleteEntry(delete("/live/d1/d2"), for: ada)
    #expect(try await names() == ["b", "live", "top"])
    for item in try await store.trash(limit: 10, cursor: nil, for: ada).items where item.entry.path != "/live/a" {
      _ = try await store.restoreFromTrash(.init(entry: item.entry.id, newPath: nil), for: ada, once: nil)
    }
    #expect(try await names() == ["b", "c", "d", "e", "live", "sub", "top"])
  }

  // MARK: - The feed of a member

  @Test("who has shares inside of a folder hears when it goes, however much else is in it", arguments: Engine.allCases)
  func largeFolder(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let store = fixture.store
    let (ada, bob) = (try await fixture.user("ada"), try await fixture.user("bob"))
    // More than the walk down from the folder goes through.
    for batch in 0..<5 {
      let requests = (0..<250).map { UploadRequest(path: "/big/sub/\(batch)-\($0)", blocks: [], parents: true) }
      let states = try await store.openUploads(requests, for: ada, once: nil).compactMap(\.value)
      _ = try await store.completeUploads(states.map { Completion(upload: $0.uploadID) }, for: ada)
    }
    for path in ["/big/sub", "/big/sub/3-7"] { _ = try await store.share(.init(entry: .path(path), user: "bob", role: .read), for: ada) }
    var cursor = try await store.changes(since: nil, limit: 100, for: bob).cursor
    func news() async throws -> Set<String> {
      let page = try await store.changes(since: cursor, limit: 100, for: bob)
      cursor = page.cursor
      return Set(page.changes.map { "\($0.action.rawValue) \($0.entry.path)" })
    }
    try await store.deleteEntry(delete("/big"), for: ada)
    #expect(try await news() == ["left /Shared with me/sub", "left /Shared with me/3-7"])
    try await fixture.expectSound()
  }

  @Test("a member's feed says what enters and leaves what is shared, and never what else the owner has")
  func feed() async throws {
    let (fixture, ada, bob, folder) = try await shared(.read)
    var cursor: String?
    func news() async throws -> [String] {
      let page = try await fixture.store.changes(since: cursor, limit: 100, for: bob)
      cursor = page.cursor
      #expect(!page.reset && !page.hasMore)
      return page.changes.map { "\($0.action.rawValue) \($0.oldPath.map { "\($0) > " } ?? "")\($0.entry.path)" }
    }
    #expect(try await news() == ["entered \(Self.mount)"])
    let store = fixture.store
    try await fixture.put("/office/photos/b.jpg", [Fixture.block(5)], as: ada)
    try await fixture.put("/elsewhere/e", [Fixture.block(6)], as: ada)
    #expect(try await news() == ["created \(Self.mount)/b.jpg"])
    _ = try await store.updateEntry(update("/elsewhere", "/office/photos/in"), for: ada)
    _ = try await store.updateEntry(update("/office/photos/b.jpg", "/office/photos/in/c.jpg"), for: ada)
    _ = try await store.updateEntry(update("/office/photos/2026", "/2026"), for: ada)
    #expect(
      try await news() == [
        "entered \(Self.mount)/in", "moved \(Self.mount)/b.jpg > \(Self.mount)/in/c.jpg", "left \(Self.mount)/2026",
      ])
    _ = try await store.updateEntry(update("/office", "/job"), for: ada)
    #expect(try await news() == [], "folders above move without the member")
    try await store.deleteEntry(delete("/job"), for: ada)
    #expect(try await news() == ["left \(Self.mount)"])
    #expect(await problem { try await store.stat(.id(folder.id), for: bob) }?.kind == .notFound)
    let trashed = try await store.trash(limit: 1, cursor: nil, for: ada).items[0].entry.id
    _ = try await store.restoreFromTrash(.init(entry: trashed, newPath: "/back"), for: ada, once: nil)
    let back = try await news()
    #expect(back.contains("entered \(Self.mount)") || back.contains("created \(Self.mount)"))
    #expect(try await fixture.paths(of: bob, below: Self.mount) == [Self.mount + "/in", Self.mount + "/in/c.jpg", Self.mount + "/in/e"])
    _ = try await news()
    try await store.unshare(.init(entry: .id(folder.id), user: "bob"), for: ada)
    try await fixture.put("/back/photos/after", [Fixture.block(9)], as: ada)
    #expect(try await news() == ["left \(Self.mount)"])
    try await fixture.expectSound()
  }

  @Test("a feed over own and shared roots has no gap and no repeat, whatever the page's size", arguments: [1, 2, 3, 100])
  func paging(size: Int) async throws {
    let (fixture, ada, bob, _) = try await shared(.write)
    let eve = try await fixture.user("eve")
    try await fixture.put("/e/1", [Fixture.block(30)], as: eve)
    _ = try await fixture.store.share(.init(entry: .path("/e"), user: "bob", role: .read), for: eve)
    _ = try await fixture.store.share(.init(entry: .path("/office/photos/2026"), user: "bob", role: .read), for: ada)
    for index in 0..<5 as Range<UInt64> {
      try await fixture.put("/own\(index)", [Fixture.block(40 + index)], as: bob)
      try await fixture.put("/office/photos/2026/\(index)", [Fixture.block(50 + index)], as: ada)
      try await fixture.put("/e/n\(index)", [Fixture.block(60 + index)], as: eve)
    }
    let all = try await fixture.store.changes(since: nil, limit: 1000, for: bob)
    #expect(all.changes.count == 23, "three grants, five of the own tree, five twice by nested shares, five by the other")
    var seen: [Change] = []
    var cursor: String?
    for _ in 0..<100 {
      let page = try await fixture.store.changes(since: cursor, limit: size, for: bob)
      seen += page.changes
      cursor = page.cursor
      if !page.hasMore { break }
    }
    func key(_ changes: [Change]) -> [String] { changes.map { "\($0.share?.hex ?? "") \($0.sequence) \($0.entry.path)" }.sorted() }
    #expect(key(seen) == key(all.changes))
    #expect(try await fixture.store.changes(since: cursor, limit: 10, for: bob).changes.isEmpty)
  }

  @Test("notifications name what others did and who, the newest first")
  func notifications() async throws {
    let (fixture, ada, bob, _) = try await shared(.write)
    fixture.time.advance(by: .seconds(1))
    try await fixture.put(Self.mount + "/2026/a.jpg", [Fixture.block(5)], as: bob, policy: .overwrite)
    fixture.time.advance(by: .seconds(1))
    try await fixture.put("/office/photos/n", [Fixture.block(6)], as: ada)
    fixture.time.advance(by: .seconds(1))
    try await fixture.store.deleteEntry(delete(Self.mount + "/n"), for: bob)
    func told(_ user: Principal, limit: Int = 10) async throws -> [String] {
      var told: [String] = []
      var cursor: String?
      repeat {
        let page = try await fixture.store.notifications(limit: limit, cursor: cursor, for: user)
        told += page.items.map { "\($0.actor) \($0.kind.rawValue) \($0.entry.path)" }
        cursor = page.next
      } while cursor != nil
      return told
    }
    #expect(try await told(ada) == ["bob deleted /office/photos/n", "bob edited /office/photos/2026/a.jpg"])
    #expect(try await told(bob) == ["ada created \(Self.mount)/n", "ada shared \(Self.mount)"])
    #expect(try await told(bob, limit: 1) == told(bob))
  }

  // MARK: - Links

  @Test("a link opens what is linked to whoever has it, as often as it may, until it ends", arguments: Engine.allCases)
  func links(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/d/sub/f", [Fixture.block(1)], as: ada)
    try await fixture.put("/other", [Fixture.block(2)], as: ada)
    let link = try await fixture.store.createLink(
      NewLink(
        id: .random(), entry: .path("/d"), tokenHash: [1], password: "record", expiresAt: fixture.time.wall() + .seconds(100),
        maxDownloads: 3), for: ada, once: nil)
    #expect(link.hasPassword && link.maxDownloads == 3)
    #expect(try await fixture.store.linkPassword(tokenHash: [1]) == .record("record"))
    let top = try await fixture.store.linkContent(tokenHash: [1], path: "/", limit: 10, cursor: nil)
    #expect(top.item.name == "d" && top.children.map(\.path) == ["/sub"])
    for path in ["/../other", "/sub/nothing"] {
      let kind = await problem { try await fixture.store.linkContent(tokenHash: [1], path: path, limit: 10, cursor: nil) }?.kind
      #expect(kind == .notFound || kind == .invalidName)
    }
    func download() async throws -> DownloadPlan {
      try await fixture.store.linkPlan(tokenHash: [1], path: "/sub/f", version: nil, cursor: nil, limit: 1, counts: true)
    }
    let store = fixture.store
    let wins = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<12 {
        group.addTask {
          (try? await store.linkPlan(tokenHash: [1], path: "/sub/f", version: nil, cursor: nil, limit: 1, counts: true)) != nil
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(wins == 3, "of many at once exactly as many as the limit says")
    #expect(await problem { try await download() }?.kind == .notFound)
    #expect(try await fixture.store.links(of: nil, limit: 10, cursor: nil, for: ada).items.map(\.downloads) == [3])
    _ = try await fixture.store.createLink(
      NewLink(id: .random(), entry: .path("/d/sub/f"), tokenHash: [2], expiresAt: fixture.time.wall() + .seconds(5)), for: ada, once: nil)
    _ = try await fixture.store.linkContent(tokenHash: [2], path: "/", limit: 10, cursor: nil)
    fixture.time.advance(by: .seconds(6))
    #expect(await problem { try await fixture.store.linkPassword(tokenHash: [2]) }?.kind == .notFound)
    try await fixture.store.revokeLink(link.id, for: ada)
    #expect(await problem { try await fixture.store.linkPassword(tokenHash: [1]) }?.kind == .notFound)
    let eve = try await fixture.user("eve")
    let other = try await fixture.store.createLink(NewLink(id: .random(), entry: .path("/other"), tokenHash: [3]), for: ada, once: nil)
    #expect(await problem { try await fixture.store.revokeLink(other.id, for: eve) }?.kind == .notFound)
    try await fixture.store.deleteEntry(delete("/other", forever: true), for: ada)
    #expect(await problem { try await fixture.store.linkContent(tokenHash: [3], path: "/", limit: 1, cursor: nil) }?.kind == .notFound)
    try await fixture.expectSound()
  }

  // MARK: - All together

  @Test("random operations of two users on shared trees keep every count equal to a recount, after each step", arguments: 0..<4)
  func randomly(round: Int) async throws {
    var random = Seeds.random("shares \(round)")
    let fixture = try await Fixture()
    let users = [try await fixture.user("ada"), try await fixture.user("bob")]
    for (index, user) in users.enumerated() {
      try await fixture.put("/s/f", [Fixture.block(UInt64(index + 1))], as: user)
      _ = try await fixture.store.share(.init(entry: .path("/s"), user: users[1 - index].userName, role: .admin), for: user)
    }
    for step in 0..<80 {
      let user = users.randomElement(using: &random)!
      do { try await randomStep(&random, fixture, user, users) } catch let error as MetadataError
        where error.problem.map({ $0.kind != .internalError }) ?? false
      {}
      let findings = try await fixture.store.recount()
      #expect(findings.isEmpty, "step \(step): \(findings.map(\.sentence))")
      if !findings.isEmpty { return }
    }
  }

  private func randomStep(_ random: inout SeededRandom, _ fixture: Fixture, _ user: Principal, _ users: [Principal]) async throws {
    func path(_ random: inout SeededRandom) -> String {
      (["/s", "/Shared with me/s", ""].randomElement(using: &random)!)
        + (0..<Int.random(in: 1...2, using: &random)).map { _ in "/" + ["f", "g", "Dir"].randomElement(using: &random)! }.joined()
    }
    let (one, other) = (path(&random), path(&random))
    let store = fixture.store
    let count = UInt64.random(in: 1...8, using: &random)
    switch Int.random(in: 0..<12, using: &random) {
    case 0...2:
      try await fixture.put(one, count < 5 ? [Fixture.block(count)] : Fixture.blocks(Array(1...count)), as: user, policy: .overwrite)
    case 3: _ = try await fixture.folder(one, as: user)
    case 4: _ = try await store.updateEntry(update(one, other), for: user)
    case 5:
      let version = Bool.random(using: &random) ? try await store.stat(.path(other), for: user).version : nil
      _ = try await store.copyEntry(.init(entry: .path(one), newPath: other, replaces: version), for: user, once: nil)
    case 6: try await store.deleteEntry(delete(one, forever: Bool.random(using: &random)), for: user)
    case 7:
      if let item = try await store.trash(limit: 10, cursor: nil, for: user).items.randomElement(using: &random) {
        _ = try await store.restoreFromTrash(.init(entry: item.entry.id, newPath: nil), for: user, once: nil)
      }
    case 8: _ = try await store.restoreVersion(.init(entry: .path(one), version: 1, ifVersion: nil), for: user, once: nil)
    case 9:
      let member = users.first { $0.userNumber != user.userNumber }!
      _ = try await store.share(.init(entry: .path(one), user: member.userName, role: .write), for: user)
    case 10:
      fixture.time.advance(by: .seconds(Int64.random(in: 1...(10 * 24 * 3600), using: &random)))
      _ = try await store.expire()
    default:
      let moment = fixture.time.wall() - .seconds(Int64.random(in: 0...(5 * 24 * 3600), using: &random))
      _ = try await store.rewind(.init(entry: .path("/s"), target: .time(moment)), for: user, once: nil)
    }
  }

  @Test("what operators set about users holds at once", arguments: Engine.allCases)
  func administration(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("Ada")
    _ = try await fixture.user("bob")
    try await fixture.put("/f", as: ada)
    let listed = try await fixture.store.users(limit: 1, cursor: nil)
    #expect(listed.items.map(\.name) == ["Ada"] && listed.items.first?.usage.used == 1000 && listed.items.first?.devices == 1)
    #expect(try await fixture.store.users(limit: 5, cursor: listed.next).items.map(\.name) == ["bob"])
    try await fixture.store.administer("ada", .disabled(true))
    #expect(try await fixture.store.passwordRecord(ofUserNamed: "ada")?.isDisabled == true)
    try await fixture.store.administer("ADA", .disabled(false))
    try await fixture.store.administer("ada", .password("other"))
    #expect(try await fixture.store.passwordRecord(ofUserNamed: "ada")?.password == "other")
    #expect(try await fixture.store.devices(of: ada).isEmpty, "a reset logs every device out")
    #expect(await problem { try await fixture.store.administer("who", .quota(1)) }?.kind == .notFound)
  }

  @Test("the hub tells of each commit once, and says when it has forgotten", arguments: Engine.allCases)
  func hub(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let start = await fixture.store.hub.hints(after: 0, instance: nil, waitAtMost: .zero)
    async let waiting = fixture.store.hub.hints(after: start.position, instance: start.instance, waitAtMost: .seconds(60))
    try await fixture.put("/f", as: ada)
    let hints = await waiting
    #expect(hints.namespaces == [ada.namespaceNumber] && !hints.wasMissed)
    #expect(await fixture.store.hub.hints(after: 0, instance: start.instance &+ 1, waitAtMost: .zero).wasMissed)
    let later = await fixture.store.hub.hints(after: hints.position, instance: hints.instance, waitAtMost: .milliseconds(1))
    #expect(later.namespaces.isEmpty && !later.wasMissed)
  }
}
