import BlockModel
import MetadataStore
import Platform
import SQLiteDatabase
import ServiceAPI
import TestSupport
import Testing

@Suite("The SQLite engine")
struct SQLiteEngineTests {
  @Test("a full database refuses with `full`, keeps what it acknowledged, and does nothing by halves")
  func full() async throws {
    var options = MetadataOptions()
    options.maximumPages = 200
    let fixture = try await Fixture(options: options)
    let ada = try await fixture.user()
    var acknowledged: [String] = []
    var failure: MetadataError?
    for number in 0..<4000 where failure == nil {
      do {
        try await fixture.put("/\(number)", Fixture.blocks(Array(1...20), last: number + 1), as: ada)
        acknowledged.append("/\(number)")
      } catch let error as MetadataError { failure = error }
    }
    #expect(failure?.code == .full)
    #expect(try await Set(fixture.paths(of: ada)) == Set(acknowledged))
    try await fixture.expectSound()
  }

  @Test("one process at a time has a database open; another cluster's is refused")
  func exclusive() async throws {
    let fixture = try await Fixture()
    let path = fixture.folder.path("metadata.db")
    await expectUnusable { try await Fixture.open(.sqlite, path, time: ManualTime()) }
    await fixture.store.close()
    let other = ClusterIdentity(cluster: ClusterID(high: 5, low: 5), partitionBits: 4, replicationFactor: 3, writeQuorum: 2)
    // The lock of the first store goes with its last reference; a database of its own shows the refusal of a foreign cluster.
    let folder = try TemporaryFolder()
    do {
      let store = try await SQLMetadataStore.open(path: folder.path("db"), identity: other)
      await store.close()
    }
    await expectUnusable { try await Fixture.open(.sqlite, folder.path("db"), time: ManualTime()) }
  }

  @Test("a damaged file, a newer schema and an edited step are refused")
  func unusable() async throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write(folder.path("noise"), [UInt8](repeating: 0x41, count: 8192))
    await expectUnusable { try await Fixture.open(.sqlite, folder.path("noise"), time: ManualTime()) }
    for (name, change) in [
      ("newer", "INSERT INTO migrations (number, checksum) SELECT max(number) + 1, 0 FROM migrations"),
      ("edited", "UPDATE migrations SET checksum = checksum + 1 WHERE number = 1"),
    ] {
      do {
        let store = try await Fixture.open(.sqlite, folder.path(name), time: ManualTime())
        await store.close()
      }
      try SQLiteConnection(folder.path(name)).execute(change)
      await expectUnusable { try await Fixture.open(.sqlite, folder.path(name), time: ManualTime()) }
    }
  }

  private func expectUnusable(_ body: () async throws -> any MetadataStore) async {
    do {
      _ = try await body()
      Issue.record("opened")
    } catch { #expect((error as? MetadataError)?.code == .unusable, "\(error)") }
  }

  @Test("a backup taken under load opens and is sound")
  func backup() async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    try await fixture.put("/before", as: ada)
    let copy = fixture.folder.path("copy.db")
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { for number in 0..<100 { try await fixture.put("/\(number)", [Fixture.block(UInt64(number))], as: ada) } }
      group.addTask { try await fixture.store.backUp(to: copy) }
      try await group.waitForAll()
    }
    let restored = try await Fixture.open(.sqlite, copy, time: ManualTime())
    #expect(try await restored.stat(.path("/before"), for: ada).kind == .file)
    #expect(try await restored.recount().isEmpty)
    #expect(try SQLiteConnection(copy).integrityFaults().isEmpty)
  }

  @Test("a closed store says that it is unavailable")
  func closed() async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    await fixture.store.close()
    for body: @Sendable () async throws -> Void in [
      { _ = try await fixture.store.stat(.path("/"), for: ada) }, { try await fixture.store.noteSeen(ada.device) },
    ] {
      do {
        try await body()
        Issue.record("answered")
      } catch { #expect((error as? MetadataError)?.code == .unavailable) }
    }
  }

  @Test("after SIGKILL at any moment everything acknowledged is there and sound", arguments: 0..<5)
  func killed(round: Int) async throws {
    let folder = try TemporaryFolder()
    let database = folder.path("metadata.db")
    let journal = folder.path("acknowledged")
    let seed = Seeds.next("killed \(round)")
    await #expect(processExitsWith: .signal(9)) { [database = database as String, journal = journal as String, seed = seed as UInt64] in
      try await Self.workUntilKilled(database: database, journal: journal, seed: seed)
    }
    let acknowledged = String(decoding: try AtomicFile.read(journal, limit: 64 << 20) ?? [], as: UTF8.self).split(separator: "\n")
      .map(String.init)
    #expect(!acknowledged.isEmpty)
    let store = try await Fixture.open(.sqlite, database, time: ManualTime())
    let hash = SecureRandom.bytes(32)
    let record = try #require(try await store.passwordRecord(ofUserNamed: "ada"))
    try await store.createDevice(
      NewDevice(id: .random(), user: record.user, name: "d", tokenHash: hash, expiresAt: WallTime(seconds: 4_000_000_000)))
    let ada = try #require(try await store.principal(tokenHash: hash))
    for path in acknowledged { #expect(try await store.stat(.path(path), for: ada).kind == .file, "\(path)") }
    #expect(try await store.recount().isEmpty)
  }

  /// Eight tasks put files and note each that was acknowledged; after a random time the process kills itself.
  private static func workUntilKilled(database: String, journal: String, seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    let fixture = try await Fixture(database: database)
    let ada = try await fixture.user()
    let log = try File(journal, [.write, .create, .append])
    let offset = Offset()
    // At least one file is acknowledged before the clock of the end starts.
    try await fixture.put("/first", as: ada)
    try await offset.append("/first\n", to: log)
    let lifetime = Duration.milliseconds(Int.random(in: 1...400, using: &random))
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        try? await Task.sleep(for: lifetime)
        ProcessEnd.kill()
      }
      for task in 0..<8 {
        group.addTask {
          for number in 0..<100_000 {
            let path = "/\(task)/\(number % 50)/\(number)"
            guard (try? await fixture.put(path, [Fixture.block(UInt64(number))], as: ada)) != nil else { continue }
            try? await offset.append(path + "\n", to: log)
          }
        }
      }
    }
  }
}

/// Where the next line of the journal goes.
private actor Offset {
  private var position: Int64 = 0
  func append(_ line: String, to file: File) throws {
    let bytes = Array(line.utf8)
    try bytes.withUnsafeBytes { try file.pwrite($0, at: position) }
    position += Int64(bytes.count)
  }
}
