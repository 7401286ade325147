import BlockModel
import MetadataStore
import SQLiteDatabase
import TestSupport
import Testing

@Suite("The recount")
struct RecountTests {
  /// One damage each, and the invariant that it breaks.
  static let damages: [(sql: String, invariant: Int)] = [
    ("UPDATE namespace_blocks SET refs = refs + 1", 12), ("DELETE FROM namespace_blocks", 12),
    ("UPDATE blocks SET namespaces = namespaces + 1", 12), ("UPDATE block_pages SET refs = 5", 12), ("DELETE FROM block_pages", 12),
    ("UPDATE partition_blocks SET referenced = referenced + 1", 12), ("UPDATE namespaces SET used = used - 1", 12),
    ("UPDATE namespaces SET reserved = 7", 12), ("UPDATE namespaces SET files = 0", 12), ("DELETE FROM blocks", 2),
    ("DELETE FROM changes WHERE sequence = 2", 10), ("UPDATE namespaces SET sequence = sequence + 1", 10),
    ("UPDATE entries SET version = 9 WHERE kind = 0", 10),
    ("UPDATE entries SET name = 'other' WHERE id = (SELECT id FROM entries WHERE kind = 0 ORDER BY id LIMIT 1)", 10),
    ("UPDATE entries SET removed_at = 1 WHERE kind = 1 AND name <> ''", 10), ("UPDATE changes SET action = 3 WHERE sequence = 1", 10),
  ]

  @Test("a recount finds each kind of damage", arguments: Engine.allCases, damages)
  func finds(engine: Engine, damage: (sql: String, invariant: Int)) async throws {
    let fixture = try await Fixture(engine)
    fixture.doNotReplay()
    let ada = try await fixture.user()
    try await fixture.put("/d/small", as: ada)
    try await fixture.put("/d/long", Fixture.blocks(Array(1...9)), as: ada)
    try await fixture.expectSound()
    if let database = fixture.database {
      try await PostgreSQLServer.execute(damage.sql, on: database)
    } else {
      try SQLiteConnection(fixture.folder.path("metadata.db")).execute(damage.sql)
    }
    let findings = try await fixture.store.recount()
    #expect(findings.contains { $0.invariant == damage.invariant }, "\(findings)")
  }
}
