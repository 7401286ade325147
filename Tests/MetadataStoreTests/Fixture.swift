import BlockModel
import ClusterLogic
import MetadataStore
import Platform
import PostgreSQLDatabase
import SQLSession
import SQLiteDatabase
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// The engines that the conformance suite runs over.
enum Engine: String, CaseIterable, CustomTestStringConvertible {
  case sqlite
  case postgresql

  static let allCases: [Engine] = {
    guard let missing = PostgreSQLServer.missing else { return [.sqlite, .postgresql] }
    print(missing)
    return [.sqlite]
  }()

  var testDescription: String { rawValue }
}

/// A store with a cluster of six nodes in three zones (three copies, two to commit) and a clock that stands still.
final class Fixture: Sendable {
  static let cluster = ClusterID(high: 1, low: 2)
  static let partitionBits = 4
  static let nodeNames = ["n1", "n2", "n3", "n4", "n5", "n6"]

  let folder: TemporaryFolder
  let time = ManualTime()
  let store: any MetadataStore
  /// With the PostgreSQL engine.
  let database: PostgreSQLOptions?
  /// With SQLite: whatever a test did is replayed on a copy of the database from the test's beginning when it is over.
  private let replay: ReplayCheck?

  static func identity() -> ClusterIdentity {
    ClusterIdentity(cluster: cluster, partitionBits: partitionBits, replicationFactor: 3, writeQuorum: 2)
  }

  /// Over a database file of the caller's.
  init(database: String) async throws {
    folder = try TemporaryFolder()
    self.database = nil
    replay = nil
    store = try await Fixture.open(.sqlite, database, time: time)
    try await setUpCluster(zones: 3)
  }

  init(_ engine: Engine = .sqlite, options: MetadataOptions = MetadataOptions(), zones: Int = 3) async throws {
    folder = try TemporaryFolder()
    switch engine {
    case .sqlite:
      database = nil
      let check = ReplayCheck(database: folder.path("metadata.db"), base: folder.path("replayed.db"), sink: RecordingSink())
      let store = try await SQLMetadataStore.open(path: check.database, identity: Fixture.identity(), options: options, time: time)
      try await store.keepJournal(in: check.sink)
      self.store = store
      replay = check
    case .postgresql:
      let database = try await PostgreSQLServer.common().database()
      self.database = database
      replay = nil
      store = try await Fixture.open(database, options: options, time: time)
    }
    try await setUpCluster(zones: zones)
    if let replay { try await store.backUp(to: replay.base) }
  }

  deinit {
    guard let replay, isReplayed.withLock({ $0 }) else { return }
    do {
      let differences = try replay.differences()
      if !differences.isEmpty { Issue.record("replaying the journal gives other rows in \(differences)") }
    } catch { Issue.record("the journal cannot be replayed: \(error)") }
  }

  /// With SQLite: the journal.
  var sink: RecordingSink? { replay?.sink }

  private let isReplayed = Mutex(true)
  /// For tests that change the database past the store that the fixture has.
  func doNotReplay() { isReplayed.withLock { $0 = false } }

  /// Over a server of the caller's.
  init(_ server: PostgreSQLServer) async throws {
    folder = try TemporaryFolder()
    let database = try await server.database()
    self.database = database
    replay = nil
    store = try await Fixture.open(database, time: time)
    try await setUpCluster(zones: 3)
  }

  static func open(
    _ database: PostgreSQLOptions, options: MetadataOptions = MetadataOptions(), time: any TimeSource
  ) async throws -> any MetadataStore {
    var options = options
    // Many tests run at a time, and each connection is a process of the server.
    options.writers = 4
    options.readers = 2
    return try await SQLMetadataStore.open(postgreSQL: database, identity: identity(), options: options, time: time)
  }

  /// - Parameter path: of the file; PostgreSQL gets a new database.
  static func open(
    _ engine: Engine, _ path: String, options: MetadataOptions = MetadataOptions(), time: any TimeSource
  ) async throws -> any MetadataStore {
    switch engine {
    case .sqlite: try await SQLMetadataStore.open(path: path, identity: identity(), options: options, time: time)
    case .postgresql: try await open(try await PostgreSQLServer.common().database(), options: options, time: time)
    }
  }

  static func node(_ name: String) -> NodeID { NodeID(name)! }
  static func disk(_ name: String) -> DiskID { DiskID(high: 7, low: UInt64(name.utf8.last!)) }

  /// Zone of a node: n1 and n4 in z0, n2 and n5 in z1, n3 and n6 in z2; with one zone all in z0.
  static func zone(_ name: String, zones: Int) -> ZoneID {
    ZoneID("z\((nodeNames.firstIndex(of: name) ?? 0) % zones)")!
  }

  private func setUpCluster(zones: Int) async throws {
    for name in Fixture.nodeNames { try await store.saveNode(Fixture.record(name, zones: zones)) }
    try await store.commitLayout(Fixture.layout(version: 1, zones: zones), expectedVersion: 0, filling: [])
  }

  static func record(_ name: String, zones: Int = 3, disk: DiskID? = nil) -> NodeRecord {
    NodeRecord(
      id: node(name), zone: zone(name, zones: zones), weight: 1, address: "http://127.0.0.1:1", disks: [disk ?? Fixture.disk(name)],
      isOut: false)
  }

  /// Even partitions on n1, n2, n3 and odd ones on n4, n5, n6.
  static func layout(version: UInt64, zones: Int = 3) -> Layout {
    let nodes = nodeNames.map { LayoutNode(id: node($0), zone: zone($0, zones: zones), weight: 1) }
    let table = (0..<(1 << partitionBits)).flatMap { partition -> [UInt16] in partition % 2 == 0 ? [0, 1, 2] : [3, 4, 5] }
    return Layout(
      version: version, partitionBits: partitionBits, replicationFactor: 3, writeQuorum: 2, nodes: nodes, table: table)
  }

  /// The names of a block's nodes on the layout.
  static func replicas(_ block: BlockID) -> [String] { layout(version: 1).replicas(of: block).map(\.text) }

  // MARK: - Users

  func user(_ name: String = "ada", quota: Int64? = nil) async throws -> Principal {
    let user = try await store.createUser(name: name, password: "not checked here", quota: quota)
    return try await logIn(user.id, device: "laptop")
  }

  func logIn(_ user: UserID, device: String) async throws -> Principal {
    let hash = SecureRandom.bytes(32)
    try await store.createDevice(
      NewDevice(id: .random(), user: user, name: device, tokenHash: hash, expiresAt: time.wall() + .seconds(3600)))
    return try #require(try await store.principal(tokenHash: hash))
  }

  // MARK: - Files

  /// A block whose content a number stands for.
  static func block(_ number: UInt64, size: Int = 1000) -> BlockRef {
    var random = SeededRandom(seed: number &* 2654435761 &+ UInt64(size))
    return BlockRef(id: BlockID(words: (random.next(), random.next(), random.next(), random.next())), size: size)
  }

  /// Blocks that fixed chunking would make: all of 4 MiB but the last.
  static func blocks(_ numbers: [UInt64], last: Int = 1000) -> [BlockRef] {
    numbers.enumerated().map { block($1, size: $0 == numbers.count - 1 ? last : Limits.blockBytes) }
  }

  static func receipt(
    _ upload: UploadID, _ block: BlockRef, _ node: String, disk: DiskID? = nil, durability: Receipt.Durability = .strict,
    verification: Receipt.Verification = .hashed, size: Int? = nil, layoutVersion: UInt64 = 1
  ) -> Receipt {
    Receipt(
      cluster: cluster, upload: upload, block: block.id, plainBytes: size ?? block.size, storedBytes: block.size, node: Fixture.node(node),
      disk: disk ?? Fixture.disk(node), layoutVersion: layoutVersion, gcEpoch: 1, durability: durability, verification: verification,
      keyEpoch: 1)
  }

  /// A receipt of each replica on the layout, the first one hashed.
  static func receipts(_ upload: UploadID, _ block: BlockRef, copies: Int = 3) -> [Receipt] {
    replicas(block.id).prefix(copies).enumerated().map {
      receipt(upload, block, $1, verification: $0 == 0 ? .hashed : .tagged)
    }
  }

  /// Uploads a file: opens, answers what is missing with receipts, completes.
  @discardableResult
  func put(
    _ path: String, _ blocks: [BlockRef] = [Fixture.block(1)], as principal: Principal, base: Int64? = nil,
    entry: EntryID? = nil, policy: ConflictPolicy? = nil, copies: Int = 3, modifiedAt: FileTime? = nil
  ) async throws -> FileEntry {
    let state = try await store.openUpload(
      UploadRequest(
        path: path, size: blocks.reduce(0) { $0 + Int64($1.size) }, blocks: blocks, baseVersion: base, baseEntry: entry, onConflict: policy,
        modifiedAt: modifiedAt, parents: true), for: principal, once: nil)
    let receipts = state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size), copies: copies) }
    return try await store.completeUpload(Completion(upload: state.uploadID, receipts: receipts), for: principal)
  }

  func folder(_ path: String, as principal: Principal) async throws -> FileEntry {
    try await store.createFolder(.init(path: path, parents: true, modifiedAt: nil), for: principal, once: nil)
  }

  func paths(of principal: Principal, below path: String = "/") async throws -> [String] {
    try await entries(of: principal, below: path).map(\.path)
  }

  func entries(of principal: Principal, below path: String = "/", pageSize: Int = 1000) async throws -> [FileEntry] {
    var entries: [FileEntry] = []
    var cursor: String?
    repeat {
      let page = try await store.list(.path(path), recursive: true, limit: pageSize, cursor: cursor, for: principal)
      entries += page.items
      cursor = page.next
    } while cursor != nil
    return entries
  }

  /// Rows of a table, by a connection of its own.
  func rowCount(_ table: String) async throws -> Int {
    let question = "SELECT count(*) FROM \(table)"
    if let database { return try await PostgreSQLServer.with(database) { try $0.first(question) { $0.int(0) } } ?? 0 }
    return try SQLiteConnection(folder.path("metadata.db")).first(question) { $0.int(0) } ?? 0
  }

  /// Everything that is kept as a count equals a recount.
  func expectSound(_ location: SourceLocation = #_sourceLocation) async throws {
    let findings = try await store.recount()
    #expect(findings.isEmpty, "\(findings.map(\.sentence))", sourceLocation: location)
  }
}

/// The problem that an operation is refused with; fails the test when it is not refused.
func problem<T>(
  _ location: SourceLocation = #_sourceLocation, _ body: () async throws -> T
) async -> Problem? {
  do {
    _ = try await body()
    Issue.record("not refused", sourceLocation: location)
    return nil
  } catch let error as MetadataError {
    if error.problem == nil { Issue.record("refused without a problem: \(error)", sourceLocation: location) }
    return error.problem
  } catch {
    Issue.record("threw \(error)", sourceLocation: location)
    return nil
  }
}
