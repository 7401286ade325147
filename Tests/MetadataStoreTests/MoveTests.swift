import BlockModel
import MetadataStore
import Platform
import PostgreSQLDatabase
import SQLSession
import SQLiteDatabase
import ServiceAPI
import Synchronization
import TestSupport
import Testing

@Suite("Moving from SQLite to PostgreSQL", .enabled(if: PostgreSQLServer.missing == nil))
struct MoveTests {
  private func store(_ fixture: Fixture) throws -> SQLMetadataStore { try #require(fixture.store as? SQLMetadataStore) }

  /// Every row of every table as text, sorted, of what a move takes along.
  private static func rows(_ file: String) throws -> [String: [String]] {
    let connection = try SQLiteConnection(file)
    var all: [String: [String]] = [:]
    let tables = try connection.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") { $0.text(0) }
    for table in tables where !["migrations", "journal_state", "journal_tail"].contains(table) && !table.hasPrefix("sqlite_") {
      let columns = try connection.all("SELECT name, type FROM pragma_table_info(?) ORDER BY name", .text(table)) { row in
        row.text(1) == "REAL" ? "CAST(\(row.text(0)) * 1000 AS INTEGER)" : "quote(\(row.text(0)))"
      }
      all[table] = try connection.all("SELECT \(columns.joined(separator: " || ',' || ")) FROM \(table)") { $0.text(0) }.sorted()
    }
    all["settings"]?.removeAll { $0.contains("'moved'") }
    return all
  }

  private static func rows(_ connection: PostgreSQLConnection, tables: [String]) throws -> [String: [String]] {
    var all: [String: [String]] = [:]
    for table in tables {
      let columns = try connection.all(
        "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_name = ? ORDER BY column_name COLLATE \"C\"",
        .text(table)
      ) { row in
        let name = "\"\(row.text(0))\""
        let text =
          switch row.text(1) {
          case "bytea": "'X''' || upper(encode(\(name), 'hex')) || ''''"
          case "text": "'''' || replace(\(name), '''', '''''') || ''''"
          case "double precision": "(\(name) * 1000)::bigint::text"
          default: "\(name)::text"
          }
        return "coalesce(\(text), 'NULL')"
      }
      all[table] = try connection.all("SELECT \(columns.joined(separator: " || ',' || ")) FROM \(table)") { $0.text(0) }.sorted()
    }
    all["settings"]?.removeAll { $0.contains("'moving'") }
    return all
  }

  /// Compares row by row; the store is closed by then.
  private func expectEqual(_ fixture: Fixture, _ database: PostgreSQLOptions) async throws {
    let before = try Self.rows(fixture.folder.path("metadata.db"))
    let names = before.keys.sorted()
    let after = try await PostgreSQLServer.with(database) { try Self.rows($0, tables: names) }
    #expect(before["entries"]?.isEmpty == false && before["changes"]?.isEmpty == false)
    for name in names { #expect(before[name] == after[name], "\(name)") }
  }

  private func work(_ fixture: Fixture, _ user: Principal, _ seed: UInt64, _ goesOn: @escaping @Sendable () -> Bool) async -> Int {
    var random = SeededRandom(seed: seed)
    var acknowledged = 0
    func path() -> String { (0...1).map { _ in "/" + ["a", "b", "c", "d'"].randomElement(using: &random)! }.joined() }
    while goesOn() {
      let (one, other, content) = (path(), path(), UInt64.random(in: 1...60, using: &random))
      do {
        switch Int.random(in: 0..<8, using: &random) {
        case 0:
          let forever = Bool.random(using: &random)
          try await fixture.store.deleteEntry(.init(entry: .path(one), forever: forever, recursive: true, ifVersion: nil), for: user)
        case 1, 2:
          _ = try await fixture.store.updateEntry(
            .init(entry: .path(one), newPath: other, modifiedAt: nil, executable: nil, ifVersion: nil), for: user)
        case 3: _ = try await fixture.store.copyEntry(.init(entry: .path(one), newPath: other), for: user, once: nil)
        default: try await fixture.put(one, [Fixture.block(content)], as: user, policy: .overwrite)
        }
        acknowledged += 1
      } catch {
        if let error = error as? MetadataError, error.code == .unavailable { return acknowledged }
        #expect((error as? MetadataError)?.problem.map { $0.kind != .internalError } ?? false, "\(error)")
      }
    }
    return acknowledged
  }

  @Test("whatever users do meanwhile, PostgreSQL has row for row what SQLite had at the switch, and goes on from there")
  func underLoad() async throws {
    let seed = Seeds.next()
    let fixture = try await Fixture(.sqlite)
    let store = try store(fixture)
    let users = [try await fixture.user("ada"), try await fixture.user("bob")]
    for number in 0..<300 { try await fixture.put("/start/\(number)", [Fixture.block(UInt64(number))], as: users[number % 2]) }
    _ = try await fixture.folder("/common", as: users[0])
    _ = try await store.share(.init(entry: .path("/common"), user: "bob", role: .write), for: users[0])
    let database = try await PostgreSQLServer.common().database()
    let isOver = Guarded(false)
    let rounds = Guarded(0)
    let acknowledged = try await withThrowingTaskGroup(of: Int.self) { group in
      for task in 0..<6 {
        group.addTask { await work(fixture, users[task % 2], seed &+ UInt64(task)) { !isOver.withLock { $0 } } }
      }
      defer { isOver.withLock { $0 = true } }
      let moved = try await store.move(to: database) { step in
        if case .catchingUp(let round, _) = step { rounds.withLock { $0 = round } }
      }
      #expect(moved > 0)
      isOver.withLock { $0 = true }
      return try await group.reduce(0, +)
    }
    #expect(acknowledged > 20 && rounds.withLock { $0 } > 0, "\(acknowledged)")
    // Nothing is written any more, and what was written can be read until the process ends.
    await #expect(throws: MetadataError.self) { try await fixture.put("/late", as: users[0]) }
    let listed = try await fixture.entries(of: users[0])
    await store.close()
    try await expectEqual(fixture, database)
    await #expect(throws: MetadataError.self, "the file is not used any more") {
      _ = try await SQLMetadataStore.open(path: fixture.folder.path("metadata.db"), identity: Fixture.identity())
    }
    // The number that the file says is the key.
    let number = try SQLMetadataStore.moved(path: fixture.folder.path("metadata.db"))
    for wrong in [nil, (number ?? 0) &+ 1] {
      await #expect(throws: MetadataError.self) {
        _ = try await SQLMetadataStore.open(postgreSQL: database, identity: Fixture.identity(), moved: wrong)
      }
    }
    let next = try await SQLMetadataStore.open(postgreSQL: database, identity: Fixture.identity(), time: fixture.time, moved: number)
    #expect(try await next.recount().map(\.sentence) == [])
    let page = try await next.list(.path("/"), recursive: true, limit: 1000, cursor: nil, for: users[0])
    #expect(page.items == listed)
    // Numbers that the database gives by itself are new ones, and others may come without the number of the move.
    for number in 0..<3 {
      _ = try await next.createFolder(.init(path: "/later \(number)", parents: true, modifiedAt: nil), for: users[1], once: nil)
      try await next.note(actor: "test", action: "look", subject: "\(number)")
    }
    let other = try await SQLMetadataStore.open(postgreSQL: database, identity: Fixture.identity(), time: fixture.time)
    #expect(try await other.recount().map(\.sentence) == [])
    await other.close()
    await next.close()
  }

  @Test(
    "a move that the loss of its connection cuts short leaves SQLite as it is, is refused by coordinators, and can be made anew",
    arguments: 0..<3)
  func cutShort(moment: Int) async throws {
    let fixture = try await Fixture(.sqlite)
    let store = try store(fixture)
    let ada = try await fixture.user()
    for number in 0..<200 { try await fixture.put("/\(number)", [Fixture.block(UInt64(number))], as: ada) }
    let database = try await PostgreSQLServer.common().database()
    let steps = Guarded(0)
    await #expect(throws: MetadataError.self) {
      _ = try await store.move(to: database) { step in
        let number = steps.withLock { steps in
          steps += 1
          return steps
        }
        let isLast = if case .catchingUp = step { true } else { false }
        if moment == 2 ? isLast : number == 1 + moment * 15 { Self.cut(database) }
      }
    }
    try await fixture.put("/after", as: ada)
    #expect(try SQLMetadataStore.moved(path: fixture.folder.path("metadata.db")) == nil)
    await #expect(throws: MetadataError.self) {
      _ = try await SQLMetadataStore.open(postgreSQL: database, identity: Fixture.identity(), moved: 5)
    }
    _ = try await store.move(to: database) { _ in }
    await store.close()
    try await expectEqual(fixture, database)
  }

  @Test("a move whose last record the journal's nodes take too late has happened all the same")
  func lateJournal() async throws {
    let fixture = try await Fixture(.sqlite)
    let (store, sink) = (try store(fixture), try #require(fixture.sink))
    let ada = try await fixture.user()
    try await fixture.put("/a", as: ada)
    let database = try await PostgreSQLServer.common().database()
    let late = Task {
      try await eventually("The last record") { sink.state.withLock { !$0.waiting.isEmpty } }
      sink.release(MetadataError(.unavailable, "The nodes were silent for too long."))
    }
    let moved = try await store.move(to: database) { step in if case .catchingUp = step { sink.hold() } }
    try await late.value
    #expect(try SQLMetadataStore.moved(path: fixture.folder.path("metadata.db")) == moved)
    await #expect(throws: MetadataError.self) { try await fixture.put("/late", as: ada) }
    await store.close()
    try await expectEqual(fixture, database)
  }

  /// Ends all connections to a database.
  private static func cut(_ database: PostgreSQLOptions) {
    try? PostgreSQLConnection(database).runScript(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
  }

  @Test("a database that holds a cluster is not moved into, and one on PostgreSQL is not moved")
  func refused() async throws {
    let fixture = try await Fixture(.sqlite)
    let other = try await Fixture(.postgresql)
    let database = try #require(other.database)
    let taken = await problem { try await store(fixture).move(to: database) { _ in } }
    #expect(taken?.kind == .conflict)
    let moved = await problem { try await store(other).move(to: database) { _ in } }
    #expect(moved?.kind == .conflict)
    _ = try await fixture.user()
    _ = try await other.user()
  }
}
