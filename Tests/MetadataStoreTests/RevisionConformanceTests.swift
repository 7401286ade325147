import BlockModel
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("Revisions, trash, rewinding, change sets")
struct RevisionConformanceTests {
  private func delete(_ path: String, forever: Bool = false) -> UserOperations.DeleteEntry {
    .init(entry: .path(path), forever: forever, recursive: true, ifVersion: nil)
  }

  private func move(_ from: String, _ to: String) -> UserOperations.UpdateEntry {
    .init(entry: .path(from), newPath: to, modifiedAt: nil, executable: nil, ifVersion: nil)
  }

  // MARK: - Revisions

  @Test("a revert is a new version with the old content, and can be reverted", arguments: Engine.allCases)
  func revert(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let first = try await fixture.put("/f", [Fixture.block(1)], as: ada)
    let second = try await fixture.put("/f", Fixture.blocks(Array(1...9)), as: ada, policy: .overwrite)
    let back = try await fixture.store.restoreVersion(.init(entry: .path("/f"), version: 1, ifVersion: 2), for: ada, once: nil)
    #expect(back.version == 3 && back.contentHash == first.contentHash)
    let forth = try await fixture.store.restoreVersion(.init(entry: .id(first.id), version: 2, ifVersion: nil), for: ada, once: nil)
    #expect(forth.version == 4 && forth.contentHash == second.contentHash)
    let plan = try await fixture.store.downloadPlan(.path("/f"), version: 3, cursor: nil, limit: 10, for: ada)
    #expect(plan.blocks.map(\.id) == [Fixture.block(1).id], "an old version is downloaded as it was")
    #expect(try await fixture.store.versions(of: .path("/f"), limit: 10, cursor: nil, for: ada).items.map(\.version) == [4, 3, 2, 1])
    let stale = await problem {
      try await fixture.store.restoreVersion(.init(entry: .path("/f"), version: 1, ifVersion: 2), for: ada, once: nil)
    }
    #expect(stale?.kind == .preconditionFailed)
    let none = await problem {
      try await fixture.store.restoreVersion(.init(entry: .path("/f"), version: 9, ifVersion: nil), for: ada, once: nil)
    }
    #expect(none?.kind == .notFound)
    try await fixture.expectSound()
  }

  @Test("a file that is copied onto another is that one's next version, and what was there can be had back", arguments: Engine.allCases)
  func copyOver(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let (ada, store) = (try await fixture.user(), fixture.store)
    let source = try await fixture.put("/a", Fixture.blocks(Array(1...9)), as: ada)
    let target = try await fixture.put("/b", Fixture.blocks([1, 20]), as: ada)
    let used = try await store.usage(of: ada).used
    func copy(_ from: String, _ to: String, replaces version: Int64?) async throws -> FileEntry {
      try await store.copyEntry(.init(entry: .path(from), newPath: to, replaces: version), for: ada, once: nil)
    }
    let copied = try await copy("/a", "/b", replaces: 1)
    #expect(copied.id == target.id && copied.path == "/b" && copied.version == 2)
    #expect(copied.contentHash == source.contentHash && copied.size == source.size)
    let plan = try await store.downloadPlan(.path("/b"), version: nil, cursor: nil, limit: 20, for: ada)
    #expect(plan.blocks.map(\.id) == Fixture.blocks(Array(1...9)).map(\.id))
    let old = try await store.downloadPlan(.path("/b"), version: 1, cursor: nil, limit: 20, for: ada)
    #expect(old.blocks.map(\.id) == Fixture.blocks([1, 20]).map(\.id))
    #expect(try await store.usage(of: ada).used == used, "no bytes are added")
    let last = try await store.changes(since: nil, limit: 100, for: ada).changes.last
    #expect(last?.action == .modified && last?.entry.id == target.id && last?.entry.version == 2)

    #expect(await problem { try await copy("/a", "/b", replaces: 1) }?.kind == .preconditionFailed, "it is at version 2")
    #expect(await problem { try await copy("/a", "/a", replaces: 1) }?.kind == .conflict, "the same file")
    #expect(await problem { try await copy("/a", "/b", replaces: nil) }?.kind == .alreadyExists)
    let folder = try await fixture.folder("/d", as: ada)
    #expect(await problem { try await copy("/a", "/d", replaces: folder.version) }?.kind == .alreadyExists, "a folder makes no room")
    #expect(await problem { try await copy("/d", "/b", replaces: 2) }?.kind == .alreadyExists, "and takes nobody's")
    #expect(try await copy("/a", "/new", replaces: 7).version == 1, "what is gone is in nobody's way")

    let steps = ChangeSetRequest(changes: [.init(.copy, path: "/a", to: "/b", replaces: 2), .init(.copy, path: "/b", to: "/c")])
    #expect(try await store.apply(steps, completions: [nil, nil], for: ada, once: nil).results.map(\.entry?.version) == [3, 1])
    try await fixture.expectSound()
  }

  @Test("a copy onto somebody else's file counts against the owner's quota, and its content is theirs", arguments: Engine.allCases)
  func copyOverShared(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let (ada, store) = (try await fixture.user(), fixture.store)
    let bob = try await fixture.user("bob")
    try await fixture.put("/s/f", [Fixture.block(30)], as: ada)
    _ = try await store.share(.init(entry: .path("/s"), user: "bob", role: .write), for: ada)
    let his = try await fixture.put("/his", Fixture.blocks(Array(1...9)), as: bob)
    let before = (ada: try await store.usage(of: ada).used, bob: try await store.usage(of: bob).used)
    let copied = try await store.copyEntry(.init(entry: .path("/his"), newPath: "/Shared with me/s/f", replaces: 1), for: bob, once: nil)
    #expect(copied.version == 2 && copied.contentHash == his.contentHash)
    #expect(try await store.stat(.path("/s/f"), for: ada).contentHash == his.contentHash)
    #expect(try await store.usage(of: ada).used == before.ada + his.size, "the revision before stays")
    #expect(try await store.usage(of: bob).used == before.bob)
    try await store.deleteEntry(delete("/his", forever: true), for: bob)
    let plan = try await store.downloadPlan(.path("/s/f"), version: nil, cursor: nil, limit: 20, for: ada)
    #expect(plan.blocks.map(\.id) == Fixture.blocks(Array(1...9)).map(\.id))
    try await fixture.expectSound()
  }

  @Test("old versions and the trash go after their retention, the present ones never", arguments: Engine.allCases)
  func retention(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/f", [Fixture.block(1)], as: ada)
    try await fixture.put("/f", [Fixture.block(2)], as: ada, policy: .overwrite)
    try await fixture.put("/d/g", Fixture.blocks(Array(1...9)), as: ada)
    try await fixture.store.deleteEntry(delete("/d"), for: ada)
    fixture.time.advance(by: .seconds(29 * 24 * 3600))
    try await tidy(fixture)
    #expect(try await fixture.store.versions(of: .path("/f"), limit: 10, cursor: nil, for: ada).items.count == 2)
    #expect(try await fixture.store.trash(limit: 10, cursor: nil, for: ada).items.map(\.entry.path) == ["/d"])
    fixture.time.advance(by: .seconds(2 * 24 * 3600))
    try await tidy(fixture)
    #expect(try await fixture.store.versions(of: .path("/f"), limit: 10, cursor: nil, for: ada).items.map(\.version) == [2])
    #expect(try await fixture.store.trash(limit: 10, cursor: nil, for: ada).items.isEmpty)
    let usage = try await fixture.store.usage(of: ada)
    #expect(usage.used == 1000 && usage.files == 1)
    #expect(try await fixture.store.changes(since: nil, limit: 10, for: ada).reset, "the feed is trimmed, too")
    try await fixture.expectSound()
  }

  private func tidy(_ fixture: Fixture) async throws {
    for _ in 0..<100 where try await fixture.store.expire() == 0 { return }
    Issue.record("tidying up does not end")
  }

  // MARK: - Trash

  @Test("what is restored is where it was, with what was in it, also when the folder above is gone or the name is taken")
  func restore() async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    let file = try await fixture.put("/a/b/f", as: ada)
    let folder = try await fixture.store.stat(.path("/a/b"), for: ada)
    try await fixture.store.deleteEntry(delete("/a/b/f"), for: ada)
    try await fixture.put("/a/b/f", [Fixture.block(2)], as: ada)
    try await fixture.store.deleteEntry(delete("/a/b"), for: ada)
    try await fixture.store.deleteEntry(delete("/a"), for: ada)
    let trash = try await fixture.store.trash(limit: 10, cursor: nil, for: ada).items
    #expect(trash.map(\.entry.path) == ["/a", "/a/b", "/a/b/f"])
    #expect(trash.allSatisfy { $0.removedBy == "ada" })
    #expect(try await fixture.store.restoreFromTrash(.init(entry: folder.id, newPath: nil), for: ada, once: nil).path == "/a/b")
    #expect(try await fixture.paths(of: ada) == ["/a", "/a/b", "/a/b/f"], "the folder above is made anew")
    let second = try await fixture.store.restoreFromTrash(.init(entry: file.id, newPath: nil), for: ada, once: nil)
    #expect(second.id == file.id && second.path.hasPrefix("/a/b/f (restored "))
    let taken = await problem {
      try await fixture.store.restoreFromTrash(.init(entry: trash[0].entry.id, newPath: "/a"), for: ada, once: nil)
    }
    #expect(taken?.kind == .alreadyExists)
    let twice = await problem { try await fixture.store.restoreFromTrash(.init(entry: file.id, newPath: nil), for: ada, once: nil) }
    #expect(twice?.kind == .notFound)
    try await fixture.expectSound()
  }

  @Test("emptying the trash takes what is in it for good, and nothing else", arguments: Engine.allCases)
  func empty(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/kept", [Fixture.block(1)], as: ada)
    for name in ["a", "b", "c"] {
      try await fixture.put("/\(name)", [Fixture.block(2)], as: ada)
      try await fixture.store.deleteEntry(delete("/\(name)"), for: ada)
    }
    let pages = try await fixture.store.trash(limit: 2, cursor: nil, for: ada)
    #expect(pages.items.map(\.entry.name) == ["c", "b"])
    #expect(try await fixture.store.trash(limit: 2, cursor: pages.next, for: ada).items.map(\.entry.name) == ["a"])
    #expect(try await fixture.store.emptyTrash(pages.items[0].entry.id, for: ada) == 1)
    #expect(try await fixture.store.emptyTrash(nil, for: ada) == 2)
    #expect(try await fixture.store.usage(of: ada).used == 1000)
    let living = try await fixture.store.stat(.path("/kept"), for: ada).id
    #expect(await problem { try await fixture.store.emptyTrash(living, for: ada) }?.kind == .notFound)
    try await fixture.expectSound()
  }

  // MARK: - Rewinding

  private func state(_ fixture: Fixture, _ user: Principal, _ path: String) async throws -> [String] {
    try await fixture.entries(of: user, below: path).map { "\($0.path) \($0.kind.rawValue) \($0.contentHash ?? "")" }
  }

  private func rewind(_ fixture: Fixture, _ user: Principal, _ path: String, _ cursor: String) async throws -> RewindResult {
    try await fixture.store.rewind(.init(entry: .path(path), target: .cursor(cursor)), for: user, once: nil)
  }

  @Test("a rewound folder is as it was, whatever was done in it, and rewinding to before that undoes it")
  func rewindByHand() async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    for (index, path) in ["/d/a", "/d/b", "/d/x/one", "/d/x/two", "/d/y/z/deep", "/out/o"].enumerated() {
      try await fixture.put(path, [Fixture.block(UInt64(index + 1))], as: ada)
    }
    let cursor = try await fixture.store.changes(since: nil, limit: 100, for: ada).cursor
    let before = try await state(fixture, ada, "/d")
    let store = fixture.store
    // Two swap names, a folder goes into what was below it, things come, go, change, are deleted.
    _ = try await store.updateEntry(move("/d/a", "/d/t"), for: ada)
    _ = try await store.updateEntry(move("/d/b", "/d/a"), for: ada)
    _ = try await store.updateEntry(move("/d/t", "/d/b"), for: ada)
    _ = try await store.updateEntry(move("/d/y/z", "/d/z"), for: ada)
    _ = try await store.updateEntry(move("/d/y", "/d/z/y"), for: ada)
    try await fixture.put("/d/x/one", [Fixture.block(50)], as: ada, policy: .overwrite)
    try await fixture.put("/d/new/n", [Fixture.block(51)], as: ada)
    _ = try await store.updateEntry(move("/d/x/two", "/out/two"), for: ada)
    _ = try await store.updateEntry(move("/out/o", "/d/new/o"), for: ada)
    try await store.deleteEntry(delete("/d/x"), for: ada)
    let after = try await state(fixture, ada, "/d")
    let result = try await rewind(fixture, ada, "/d", cursor)
    #expect(try await state(fixture, ada, "/d") == before)
    #expect(try await store.stat(.path("/out/o"), for: ada).kind == .file, "what was moved in goes back")
    #expect(result.lost == 0)
    try await fixture.expectSound()
    _ = try await rewind(fixture, ada, "/d", result.undo)
    #expect(try await state(fixture, ada, "/d") == after)
    try await fixture.expectSound()
  }

  @Test("a rewind to a time is one to the last change before it; what is deleted for good is counted and left out")
  func rewindToTime() async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    try await fixture.put("/d/kept", as: ada)
    try await fixture.put("/d/lost", as: ada)
    fixture.time.advance(by: .seconds(60))
    let moment = fixture.time.wall()
    fixture.time.advance(by: .seconds(60))
    try await fixture.store.deleteEntry(delete("/d/kept"), for: ada)
    try await fixture.store.deleteEntry(delete("/d/lost", forever: true), for: ada)
    let result = try await fixture.store.rewind(.init(entry: .path("/d"), target: .time(moment)), for: ada, once: nil)
    #expect(result.changed == 1 && result.lost == 1)
    #expect(try await fixture.paths(of: ada, below: "/d") == ["/d/kept"])
    try await fixture.expectSound()
  }

  @Test("random changes of a folder are undone by a rewind, and the rewind by another", arguments: 0..<8)
  func rewindRandomly(round: Int) async throws {
    var random = Seeds.random("rewind \(round)")
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    _ = try await fixture.folder("/d", as: ada)
    for _ in 0..<15 { try await randomStep(&random, fixture, ada) }
    let cursor = try await fixture.store.changes(since: nil, limit: 1000, for: ada).cursor
    let before = try await state(fixture, ada, "/d")
    for _ in 0..<Int.random(in: 1...25, using: &random) { try await randomStep(&random, fixture, ada) }
    let after = try await state(fixture, ada, "/d")
    let done = try await fixture.store.changes(since: cursor, limit: 1000, for: ada).changes
    let result = try await rewind(fixture, ada, "/d", cursor)
    let rewound = try await state(fixture, ada, "/d")
    #expect(rewound == before, "after \(done.map { "\($0.action) \($0.oldPath ?? "") \($0.entry.path) \($0.entry.id.hex.suffix(4))" })")
    try await fixture.expectSound()
    _ = try await rewind(fixture, ada, "/d", result.undo)
    #expect(try await state(fixture, ada, "/d") == after)
    try await fixture.expectSound()
  }

  /// One change inside of /d; what cannot be is refused, and counts as none.
  private func randomStep(_ random: inout SeededRandom, _ fixture: Fixture, _ ada: Principal) async throws {
    func path(_ random: inout SeededRandom) -> String {
      "/d" + (0..<Int.random(in: 1...3, using: &random)).map { _ in "/" + ["a", "b", "c"].randomElement(using: &random)! }.joined()
    }
    let (one, other) = (path(&random), path(&random))
    let content = UInt64.random(in: 1...6, using: &random)
    do {
      switch Int.random(in: 0..<6, using: &random) {
      case 0, 1: try await fixture.put(one, [Fixture.block(content)], as: ada, policy: .overwrite)
      case 2: _ = try await fixture.folder(one, as: ada)
      case 3: _ = try await fixture.store.updateEntry(move(one, other), for: ada)
      case 4: try await fixture.store.deleteEntry(delete(one), for: ada)
      default:
        let trash = try await fixture.store.trash(limit: 10, cursor: nil, for: ada).items
        if let item = trash.randomElement(using: &random) {
          _ = try await fixture.store.restoreFromTrash(.init(entry: item.entry.id, newPath: nil), for: ada, once: nil)
        }
      }
    } catch let error as MetadataError where error.problem.map({ $0.kind != .internalError }) ?? false {}
  }

  // MARK: - Change sets

  @Test("a change set does all of its steps or none", arguments: Engine.allCases)
  func changeSets(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let file = try await fixture.put("/f", as: ada)
    func apply(_ items: [ChangeSetItem]) async throws -> ChangeSetResponse {
      try await fixture.store.apply(
        ChangeSetRequest(changes: items), completions: items.map { $0.uploadID.map { Completion(upload: $0) } }, for: ada, once: nil)
    }
    let good: [ChangeSetItem] = [
      .init(.folder, path: "/a/b", parents: true), .init(.update, id: file.id, to: "/a/b/f"), .init(.copy, path: "/a/b/f", to: "/g"),
      .init(.symlink, path: "/l", target: "g"),
    ]
    let sequence = try await fixture.store.changes(since: nil, limit: 100, for: ada).changes.count
    let refusal = await problem { try await apply(good + [.init(.delete, path: "/nothing")]) }
    #expect(refusal?.kind == .notFound && refusal?.detail.contains("change 4") == true)
    #expect(try await fixture.paths(of: ada) == ["/f"])
    #expect(try await fixture.store.changes(since: nil, limit: 100, for: ada).changes.count == sequence)
    let upload = try await fixture.store.openUpload(UploadRequest(path: "/u", blocks: []), for: ada, once: nil)
    let done = try await apply(good + [.init(.delete, path: "/l"), .init(.complete, uploadID: upload.uploadID)])
    #expect(done.results.map { $0.entry?.path } == ["/a/b", "/a/b/f", "/g", "/l", nil, "/u"])
    #expect(try await fixture.paths(of: ada) == ["/a", "/a/b", "/a/b/f", "/g", "/u"])
    try await fixture.expectSound()
  }

  @Test("case clashes are allowed, and listings flag them", arguments: Engine.allCases)
  func caseClashes(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    for name in ["Ärger", "ärger", "alone", "Alone too", "README", "readme", "ReadMe"] { try await fixture.put("/d/\(name)", as: ada) }
    func flagged() async throws -> Set<String> {
      let listed = try await fixture.store.list(.path("/d"), recursive: false, limit: 100, cursor: nil, for: ada).items
      let walked = try await fixture.entries(of: ada).filter { $0.kind == .file }
      #expect(listed.map(\.caseClash) == walked.map(\.caseClash))
      return Set(listed.filter { $0.caseClash == true }.map(\.name))
    }
    #expect(try await flagged() == ["Ärger", "ärger", "README", "readme", "ReadMe"])
    try await fixture.store.deleteEntry(delete("/d/ärger"), for: ada)
    _ = try await fixture.store.updateEntry(move("/d/readme", "/d/other"), for: ada)
    #expect(try await flagged() == ["README", "ReadMe"])
  }
}
