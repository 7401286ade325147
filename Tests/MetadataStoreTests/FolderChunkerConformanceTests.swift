import BlockModel
import MetadataStore
import Platform
import ServiceAPI
import Testing

@Suite("Chunkers of folders")
struct FolderChunkerConformanceTests {
  private struct World {
    let fixture: Fixture
    let ada: Principal

    init(_ engine: Engine) async throws {
      fixture = try await Fixture(engine)
      ada = try await fixture.user()
    }

    func make(_ path: String, _ chunker: FolderChunker? = nil, parents: Bool = false) async throws -> FileEntry {
      try await fixture.store.createFolder(.init(path: path, parents: parents, modifiedAt: nil, chunker: chunker), for: ada, once: nil)
    }

    @discardableResult
    func set(_ path: String, _ chunker: FolderChunker, as principal: Principal? = nil) async throws -> FileEntry {
      try await fixture.store.updateEntry(
        .init(entry: .path(path), newPath: nil, modifiedAt: nil, executable: nil, chunker: chunker, ifVersion: nil), for: principal ?? ada)
    }

    func move(_ path: String, to target: String) async throws {
      _ = try await fixture.store.updateEntry(
        .init(entry: .path(path), newPath: target, modifiedAt: nil, executable: nil, ifVersion: nil), for: ada)
    }

    /// The folder's own chunker, and the one that its files get.
    func shown(_ path: String, as principal: Principal? = nil) async throws -> [Chunker?] {
      let entry = try await fixture.store.stat(.path(path), for: principal ?? ada)
      return [entry.chunker, entry.effectiveChunker]
    }

    /// Uploads in two steps, as a client does that asks first; answers the chunker that the session names and the version.
    func put(
      _ path: String, _ blocks: [BlockRef], chunker: Chunker? = nil, hash: String? = nil, as principal: Principal? = nil
    ) async throws -> (said: Chunker?, version: VersionInfo) {
      let user = principal ?? ada
      let opened = try await fixture.store.openUpload(
        UploadRequest(path: path, onConflict: .overwrite, chunker: chunker, parents: true), for: user, once: nil)
      let state = try await fixture.store.addBlocks(BlocksRequest(start: 0, blocks: blocks), to: opened.uploadID, for: user)
      #expect(state.chunker == opened.chunker)
      #expect(try await fixture.store.uploadState(opened.uploadID, cursor: nil, for: user).chunker == opened.chunker)
      let receipts = state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) }
      let file = try await fixture.store.completeUpload(
        Completion(upload: state.uploadID, contentHash: hash, receipts: receipts), for: user)
      let versions = try await fixture.store.versions(of: .id(file.id), limit: 1, cursor: nil, for: user).items
      return (opened.chunker, try #require(versions.first))
    }
  }

  /// Cut as only a content-defined chunker cuts.
  private static let uneven = [Fixture.block(1, size: 300_000), Fixture.block(2, size: 700_000), Fixture.block(3, size: 5)]
  /// Cut every 4 MiB.
  private static let even = [Fixture.block(11, size: Limits.blockBytes), Fixture.block(12, size: 77)]
  private static let claim = String(repeating: "ab", count: 32)
  private static let evenHash: String = {
    HexDigits.encode(SHA256Hasher.hash(even.flatMap { $0.id.bytes }))
  }()

  @Test("a folder inherits from the nearest one above that has a chunker, wherever it is moved to", arguments: Engine.allCases)
  func inheritance(engine: Engine) async throws {
    let world = try await World(engine)
    #expect(try await world.shown("/") == [nil, .fixed])
    let made = try await world.make("/a", .cdc)
    #expect(made.chunker == .cdc && made.effectiveChunker == .cdc)
    _ = try await world.make("/a/b/c/d", parents: true)
    #expect(try await world.shown("/a/b/c/d") == [nil, .cdc])
    let answer = try await world.set("/a/b/c", .fixed)
    #expect(answer.chunker == .fixed && answer.effectiveChunker == .fixed && answer.path == "/a/b/c")
    #expect(try await world.shown("/a/b/c/d") == [nil, .fixed])
    #expect(try await world.shown("/a/b") == [nil, .cdc])
    _ = try await world.make("/e")
    try await world.move("/a/b", to: "/e/b")
    #expect(try await world.shown("/e/b") == [nil, .fixed])
    #expect(try await world.shown("/e/b/c/d") == [nil, .fixed])
    try await world.set("/e/b/c", .inherit)
    try await world.set("/", .cdc)
    #expect(try await world.shown("/e/b/c/d") == [nil, .cdc])
    #expect(try await world.shown("/") == [.cdc, .cdc])
    try await world.set("/", .inherit)
    #expect(try await world.shown("/e/b/c/d") == [nil, .fixed])
    try await world.fixture.expectSound()
  }

  @Test("a folder that is made says what it was given, and one that is there keeps its own", arguments: Engine.allCases)
  func making(engine: Engine) async throws {
    let world = try await World(engine)
    let made = try await world.make("/x/y", .cdc, parents: true)
    #expect(made.chunker == .cdc)
    #expect(try await world.shown("/x") == [nil, .fixed], "the parent that is made on the way is not what was asked for")
    let again = try await world.make("/x/y", .fixed, parents: true)
    #expect(again.id == made.id && again.chunker == .cdc && again.effectiveChunker == .cdc)
    #expect(try await world.shown("/x/y") == [.cdc, .cdc])
  }

  @Test("an upload that names no chunker gets its folder's, also below folders that it will make", arguments: Engine.allCases)
  func uploads(engine: Engine) async throws {
    let world = try await World(engine)
    _ = try await world.make("/a/b", parents: true)
    try await world.set("/a", .cdc)
    for path in ["/a/f", "/a/b/f", "/a/b/new/newer/f"] {
      let (said, version) = try await world.put(path, Self.uneven, hash: Self.claim)
      #expect(said == .cdc && version.chunker == .cdc && version.contentHash == Self.claim, "\(path)")
    }
    #expect(try await world.put("/f", Self.even).said == .fixed)
    #expect(await problem { try await world.put("/g", Self.uneven, hash: Self.claim) }?.kind == .hashMismatch, "/ is fixed")
    let named = try await world.put("/a/named", Self.even, chunker: .fixed)
    #expect(named.said == .fixed && named.version.chunker == .fixed)
    let cut = try await world.put("/cut", Self.uneven, chunker: .cdc, hash: Self.claim)
    #expect(cut.said == .cdc && cut.version.chunker == .cdc)
    #expect(await problem { try await world.put("/a/g", Self.uneven) }?.kind == .malformed, "nobody claimed a content hash")
    try await world.fixture.expectSound()
  }

  @Test("what is cut every 4 MiB though its folder says otherwise is fixed, and its hash is checked", arguments: Engine.allCases)
  func unaware(engine: Engine) async throws {
    let world = try await World(engine)
    _ = try await world.make("/a", .cdc)
    let (said, version) = try await world.put("/a/f", Self.even)
    #expect(said == .cdc && version.chunker == .fixed && version.contentHash == Self.evenHash)
    #expect(await problem { try await world.put("/a/g", Self.even, hash: Self.claim) }?.kind == .hashMismatch)
    // By a request that names it, the very same blocks are content-defined: it says that it knows how they were cut.
    let named = try await world.put("/a/h", Self.even, chunker: .cdc, hash: Self.claim)
    #expect(named.version.chunker == .cdc)
  }

  @Test("a file that is announced whole as one block is fixed in any folder, and its hash is checked", arguments: Engine.allCases)
  func small(engine: Engine) async throws {
    let world = try await World(engine)
    _ = try await world.make("/a", .cdc)
    let file = try await world.fixture.put("/a/f", [Fixture.block(1)], as: world.ada)
    let empty = try await world.fixture.put("/a/empty", [], as: world.ada)
    for entry in [file, empty] {
      let versions = try await world.fixture.store.versions(of: .id(entry.id), limit: 1, cursor: nil, for: world.ada).items
      #expect(versions.first?.chunker == .fixed)
    }
    let wrong = UploadRequest(path: "/a/g", size: 1000, contentHash: Self.claim, blocks: [Fixture.block(1)])
    let state = try await world.fixture.store.openUpload(wrong, for: world.ada, once: nil)
    #expect(state.chunker == .fixed)
    let refused = await problem {
      try await world.fixture.store.completeUpload(Completion(upload: state.uploadID, receipts: []), for: world.ada)
    }
    #expect(refused?.kind == .hashMismatch)
  }

  @Test("versions that are there stay as they are, and the next one is cut as the folder says by then", arguments: Engine.allCases)
  func changing(engine: Engine) async throws {
    let world = try await World(engine)
    _ = try await world.make("/a")
    #expect(try await world.put("/a/f", Self.even).version.chunker == .fixed)
    let before = try await world.fixture.store.stat(.path("/a/f"), for: world.ada)
    let feed = try await world.fixture.store.changes(since: nil, limit: 100, for: world.ada)
    try await world.set("/a", .cdc)
    #expect(try await world.fixture.store.stat(.path("/a/f"), for: world.ada) == before)
    let after = try await world.fixture.store.changes(since: feed.cursor, limit: 100, for: world.ada)
    #expect(after.changes.isEmpty && !after.reset, "nothing of the tree that devices replay has changed")
    #expect(try await world.fixture.entries(of: world.ada).allSatisfy { $0.chunker == nil && $0.effectiveChunker == nil })
    #expect(try await world.put("/a/f", Self.uneven, hash: Self.claim).version.chunker == .cdc)
    let versions = try await world.fixture.store.versions(of: .path("/a/f"), limit: 10, cursor: nil, for: world.ada).items
    #expect(versions.map(\.chunker) == [.cdc, .fixed])
  }

  @Test("copies of folders and folders out of the trash have the chunkers that they had", arguments: Engine.allCases)
  func keeping(engine: Engine) async throws {
    let world = try await World(engine)
    _ = try await world.make("/a", .cdc)
    _ = try await world.make("/a/b", .fixed)
    _ = try await world.fixture.store.copyEntry(.init(entry: .path("/a"), newPath: "/copy"), for: world.ada, once: nil)
    #expect(try await world.shown("/copy") == [.cdc, .cdc])
    #expect(try await world.shown("/copy/b") == [.fixed, .fixed])
    let removed = try await world.fixture.store.stat(.path("/a"), for: world.ada)
    try await world.fixture.store.deleteEntry(.init(entry: .path("/a"), forever: false, recursive: true, ifVersion: nil), for: world.ada)
    _ = try await world.fixture.store.restoreFromTrash(.init(entry: removed.id, newPath: "/back"), for: world.ada, once: nil)
    #expect(try await world.shown("/back") == [.cdc, .cdc])
    #expect(try await world.shown("/back/b") == [.fixed, .fixed])
  }

  @Test("only folders have one, and who may not change a folder may not set it", arguments: Engine.allCases)
  func refusals(engine: Engine) async throws {
    let world = try await World(engine)
    let bob = try await world.fixture.user("bob")
    let eve = try await world.fixture.user("eve")
    _ = try await world.make("/top/shared", parents: true)
    try await world.set("/top", .cdc)
    try await world.fixture.put("/top/shared/f", as: world.ada)
    #expect(await problem { try await world.set("/top/shared/f", .cdc) }?.kind == .wrongKindOfEntry)
    let mount = "/Shared with me/shared"
    for (user, role) in [("bob", Role.read), ("eve", .write)] {
      let folder = try await world.fixture.store.stat(.path("/top/shared"), for: world.ada)
      _ = try await world.fixture.store.share(.init(entry: .id(folder.id), user: user, role: role), for: world.ada)
    }
    #expect(try await world.shown(mount, as: bob) == [nil, .cdc], "members cut as the owner's folders say")
    #expect(await problem { try await world.set(mount, .fixed, as: bob) }?.kind == .forbidden)
    #expect(try await world.put(mount + "/g", Self.uneven, hash: Self.claim, as: eve).version.chunker == .cdc)
    #expect(try await world.set(mount, .fixed, as: eve).effectiveChunker == .fixed)
    #expect(try await world.shown("/top/shared") == [.fixed, .fixed])
    #expect(await problem { try await world.set("/Shared with me", .fixed, as: eve) }?.kind == .forbidden)
    try await world.fixture.expectSound()
  }

  @Test("a change set makes folders with chunkers and changes them, all or none", arguments: Engine.allCases)
  func changeSets(engine: Engine) async throws {
    let world = try await World(engine)
    func apply(_ items: [ChangeSetItem]) async throws {
      _ = try await world.fixture.store.apply(
        ChangeSetRequest(changes: items), completions: items.map { _ in nil }, for: world.ada, once: nil)
    }
    try await apply([ChangeSetItem(.folder, path: "/a", chunker: .cdc), ChangeSetItem(.folder, path: "/a/b")])
    #expect(try await world.shown("/a/b") == [nil, .cdc])
    let refused = await problem {
      try await apply([ChangeSetItem(.update, path: "/a", chunker: .fixed), ChangeSetItem(.folder, path: "/a/b")])
    }
    #expect(refused?.kind == .alreadyExists)
    #expect(try await world.shown("/a") == [.cdc, .cdc])
    try await apply([ChangeSetItem(.update, path: "/a", chunker: .inherit)])
    #expect(try await world.shown("/a/b") == [nil, .fixed])
  }
}
