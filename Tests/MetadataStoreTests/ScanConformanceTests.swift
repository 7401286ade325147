import BlockModel
import MetadataStore
import Platform
import ServiceAPI
import Testing

@Suite("Scanning for malware")
struct ScanConformanceTests {
  private func fixture(_ engine: Engine, _ scanning: ContentScanning = .servesUnscanned) async throws -> Fixture {
    var options = MetadataOptions()
    options.scanning = scanning
    return try await Fixture(engine, options: options)
  }

  private func plan(_ fixture: Fixture, _ path: String, _ user: Principal, version: Int64? = nil) async throws -> DownloadPlan {
    try await fixture.store.downloadPlan(.path(path), version: version, cursor: nil, limit: 10, for: user)
  }

  private func scan(_ fixture: Fixture, _ outcome: ScanOutcome) async throws {
    for due in try await fixture.store.dueScans(limit: 100) { try await fixture.store.recordScan(due, outcome) }
  }

  @Test("nothing waits while scanning is off", arguments: Engine.allCases)
  func off(engine: Engine) async throws {
    let fixture = try await fixture(engine, .off)
    let ada = try await fixture.user()
    try await fixture.put("/a", as: ada)
    #expect(try await fixture.store.dueScans(limit: 10).isEmpty)
    #expect(try await fixture.store.scanCounts() == ScanCounts(waiting: 0, infected: 0, unscannable: 0))
  }

  @Test("each version with content waits from its commit until its outcome, with its blocks in order", arguments: Engine.allCases)
  func waiting(engine: Engine) async throws {
    let fixture = try await fixture(engine)
    let ada = try await fixture.user()
    let blocks = Fixture.blocks([1, 2, 3, 4, 5, 6])
    try await fixture.put("/large", blocks, as: ada)
    try await fixture.put("/empty", [], as: ada)
    try await fixture.put("/large", [Fixture.block(9)], as: ada, base: 1)
    let due = try await fixture.store.dueScans(limit: 10)
    #expect(due.map(\.size).sorted() == [1000, blocks.reduce(0) { $0 + Int64($1.size) }])
    let large = try #require(due.max { $0.size < $1.size })
    #expect(try await fixture.store.scanBlocks(large, first: 0, limit: 4)?.map(\.id) == blocks.prefix(4).map(\.id))
    #expect(try await fixture.store.scanBlocks(large, first: 4, limit: 4)?.map(\.id) == blocks.suffix(2).map(\.id))
    #expect(try await fixture.store.scanBlocks(large, first: 6, limit: 4)?.isEmpty == true)
    try await scan(fixture, .clean)
    #expect(try await fixture.store.dueScans(limit: 10).isEmpty)
    #expect(try await fixture.store.scanBlocks(large, first: 0, limit: 4) == nil)
    #expect(try await plan(fixture, "/large", ada).version == 2)
    try await fixture.expectSound()
  }

  @Test("what was not scanned is served or not as the setting says", arguments: Engine.allCases, [true, false])
  func unscanned(engine: Engine, isRefused: Bool) async throws {
    let fixture = try await fixture(engine, isRefused ? .refusesUnscanned : .servesUnscanned)
    let ada = try await fixture.user()
    try await fixture.put("/a", as: ada)
    func refusal() async throws -> Problem.Kind? {
      let plans = try await fixture.store.downloadPlans([.path("/a")], for: ada)
      #expect(plans.first?.problem?.kind == plans.first?.problem.map { $0.kind } && plans.count == 1)
      return plans.first?.problem?.kind
    }
    #expect(try await refusal() == (isRefused ? .notScanned : nil))
    try await scan(fixture, .unscannable(reason: "too large"))
    #expect(try await refusal() == (isRefused ? .quarantined : nil))
    let held = try await fixture.store.quarantine(limit: 10, cursor: nil).items
    #expect(held.map(\.state) == [.unscannable] && held.map(\.finding) == ["too large"] && held.first?.path == "/a")
    _ = try await fixture.store.changeQuarantine(of: try #require(held.first).number, .release)
    #expect(try await refusal() == nil)
  }

  @Test("an infected version is served to nobody by any way, earlier ones are, and a release ends it", arguments: Engine.allCases)
  func infected(engine: Engine) async throws {
    let fixture = try await fixture(engine)
    let store = fixture.store
    let ada = try await fixture.user("ada")
    let bob = try await fixture.user("bob")
    try await fixture.put("/docs/f", [Fixture.block(1)], as: ada)
    try await scan(fixture, .clean)
    let folder = try await store.stat(.path("/docs"), for: ada)
    _ = try await store.share(.init(entry: .id(folder.id), user: "bob", role: .write), for: ada)
    let shared = "/Shared with me/docs/f"
    let token = SecureRandom.bytes(32)
    _ = try await store.createLink(NewLink(id: .random(), entry: .path("/docs/f"), tokenHash: token), for: ada, once: nil)
    let entry = try await fixture.put(shared, [Fixture.block(2)], as: bob, base: 1)
    try await scan(fixture, .infected(signature: "Test.Sig"))

    func refusals() async -> [Problem.Kind?] {
      [
        await problem { try await plan(fixture, "/docs/f", ada) }?.kind,
        await problem { try await plan(fixture, "/docs/f", ada, version: 2) }?.kind,
        await problem { try await plan(fixture, shared, bob) }?.kind,
        await problem { try await store.linkPlan(tokenHash: token, path: "/", version: nil, cursor: nil, limit: 10, counts: true) }?.kind,
      ]
    }
    #expect(await refusals() == [.quarantined, .quarantined, .quarantined, .quarantined])
    #expect(try await store.downloadPlans([.id(entry.id)], for: ada).first?.problem?.kind == .quarantined)
    #expect(try await plan(fixture, "/docs/f", ada, version: 1).blocks.map(\.id) == [Fixture.block(1).id])
    #expect(try await store.links(of: nil, limit: 10, cursor: nil, for: ada).items.map(\.downloads) == [0], "nothing was downloaded")

    // It is to be seen everywhere.
    #expect(try await fixture.entries(of: ada).compactMap(\.quarantine) == ["Test.Sig"])
    #expect(try await store.stat(.path(shared), for: bob).quarantine == "Test.Sig")
    let versions = try await store.versions(of: .id(entry.id), limit: 10, cursor: nil, for: ada).items
    #expect(versions.map(\.quarantine) == ["Test.Sig", nil])
    let note = try #require(try await store.notifications(limit: 10, cursor: nil, for: ada).items.first { $0.kind == .quarantined })
    #expect(note.actor == "bob" && note.entry.path == "/docs/f" && note.entry.version == 2 && note.entry.quarantine == "Test.Sig")
    #expect(try await store.notifications(limit: 10, cursor: nil, for: bob).items.allSatisfy { $0.kind != .quarantined })
    let lines = try await store.auditLog(of: "coordinator", limit: 10, cursor: nil).items.filter { $0.action == "quarantine-version" }
    #expect(lines.count == 1 && lines.first?.subject.contains("Test.Sig") == true)

    // What is made of it is as it is.
    let copy = try await store.copyEntry(.init(entry: .path(shared), newPath: "/mine"), for: bob, once: nil)
    #expect(copy.quarantine == "Test.Sig")
    #expect(try await store.stat(.path("/mine"), for: bob).quarantine == "Test.Sig")
    #expect(await problem { try await plan(fixture, "/mine", bob) }?.kind == .quarantined)
    let restored = try await store.restoreVersion(.init(entry: .id(entry.id), version: 1, ifVersion: nil), for: ada, once: nil)
    #expect(restored.version == 3 && restored.quarantine == nil)
    #expect(try await plan(fixture, "/docs/f", ada).version == 3)
    #expect(try await store.stat(.path("/docs/f"), for: ada).quarantine == nil)
    _ = try await store.restoreVersion(.init(entry: .id(entry.id), version: 2, ifVersion: nil), for: ada, once: nil)
    #expect(await problem { try await plan(fixture, "/docs/f", ada) }?.kind == .quarantined)

    for item in try await store.quarantine(limit: 10, cursor: nil).items {
      #expect(try await store.changeQuarantine(of: item.number, .release).state == .released)
    }
    #expect(try await plan(fixture, "/docs/f", ada).version == 4)
    #expect(try await plan(fixture, "/mine", bob).version == 1)
    #expect(try await fixture.entries(of: ada).compactMap(\.quarantine).isEmpty)
    let missing = await problem { try await store.changeQuarantine(of: 1 << 40, .release) }
    #expect(missing?.kind == .notFound)
    try await fixture.expectSound()
  }

  @Test("a scan that failed is due again when its pause is over, and counts its attempts", arguments: Engine.allCases)
  func later(engine: Engine) async throws {
    let fixture = try await fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/a", as: ada)
    try await scan(fixture, .later(.seconds(60)))
    #expect(try await fixture.store.dueScans(limit: 10).isEmpty)
    #expect(try await fixture.store.scanCounts().waiting == 1)
    fixture.time.advance(by: .seconds(61))
    #expect(try await fixture.store.dueScans(limit: 10).map(\.attempts) == [1])
  }

  @Test("what is scanned anew stays held until the outcome", arguments: Engine.allCases)
  func rescan(engine: Engine) async throws {
    let fixture = try await fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/a", as: ada)
    try await scan(fixture, .infected(signature: "False.Alarm"))
    let number = try #require(try await fixture.store.quarantine(limit: 1, cursor: nil).items.first).number
    _ = try await fixture.store.changeQuarantine(of: number, .rescan)
    #expect(await problem { try await plan(fixture, "/a", ada) }?.kind == .quarantined)
    try await scan(fixture, .clean)
    #expect(try await plan(fixture, "/a", ada).version == 1)
  }

  @Test("an outcome for a version that is gone changes nothing, and nothing of it is left", arguments: Engine.allCases)
  func gone(engine: Engine) async throws {
    let fixture = try await fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/a", as: ada)
    let due = try await fixture.store.dueScans(limit: 10)
    try await fixture.store.deleteEntry(.init(entry: .path("/a"), forever: true, recursive: true, ifVersion: nil), for: ada)
    while try await fixture.store.expire() > 0 {}
    #expect(try await fixture.store.dueScans(limit: 10).isEmpty)
    for scan in due { try await fixture.store.recordScan(scan, .infected(signature: "Late")) }
    #expect(try await fixture.store.quarantine(limit: 10, cursor: nil).items.isEmpty)
    #expect(try await fixture.rowCount("content_scans") == 0)
    #expect(try await fixture.store.notifications(limit: 10, cursor: nil, for: ada).items.isEmpty)
  }

  @Test("the quarantine is listed in pages, the newest first", arguments: Engine.allCases)
  func pages(engine: Engine) async throws {
    let fixture = try await fixture(engine)
    let ada = try await fixture.user()
    for number in 1...5 { try await fixture.put("/f\(number)", [Fixture.block(UInt64(number))], as: ada) }
    try await scan(fixture, .infected(signature: "S"))
    var paths: [String] = []
    var cursor: String?
    repeat {
      let page = try await fixture.store.quarantine(limit: 2, cursor: cursor)
      paths += page.items.compactMap(\.path)
      cursor = page.next
    } while cursor != nil
    #expect(paths == ["/f5", "/f4", "/f3", "/f2", "/f1"])
    var notes = 0
    cursor = nil
    repeat {
      let page = try await fixture.store.notifications(limit: 2, cursor: cursor, for: ada)
      notes += page.items.count
      cursor = page.next
    } while cursor != nil
    #expect(notes == 5, "each is told of once")
  }
}
