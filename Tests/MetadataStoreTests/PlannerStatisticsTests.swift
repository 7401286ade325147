import MetadataStore
import SQLiteDatabase
import TestSupport
import Testing

/// What SQLite means to do, on a database that the store has made and that holds next to nothing.
@Suite("SQLite's plans")
struct PlannerStatisticsTests {
  @Test(
    "what is in a folder is found by an index of the folder, and never by going through the namespace",
    arguments: [
      ("SELECT id FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL AND name > ? ORDER BY name LIMIT ?", "entries_by_name"),
      ("SELECT 1 FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL LIMIT 1", "entries_by_name"),
      ("SELECT 1 FROM entries WHERE ns = ? AND parent = ? AND name_key IS NOT NULL AND removed_at IS NULL LIMIT 1", "entries_by_key"),
      ("SELECT 1 FROM entries WHERE ns = ? AND parent = ? AND name_key = ? AND removed_at IS NULL AND id <> ? LIMIT 1", "entries_by_key"),
      ("SELECT id FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NOT NULL LIMIT ?", "entries_removed"),
      ("SELECT id FROM entries WHERE ns = ? AND purging = 1 LIMIT 1", "entries_purging"),
      ("SELECT sequence FROM changes WHERE ns = ? AND author IS NOT NULL AND sequence > ? LIMIT ?", "changes_by_others"),
    ])
  func plans(statement: String, index: String) async throws {
    let fixture = try await Fixture()
    let plan = try SQLiteConnection(fixture.folder.path("metadata.db")).all("EXPLAIN QUERY PLAN " + statement) { $0.text(3) }
    #expect(plan.allSatisfy { $0.contains("SEARCH") && $0.contains(index) }, "\(plan)")
  }

  @Test("the statistics are written once, and a store that is opened again finds them")
  func reopened() async throws {
    let fixture = try await Fixture()
    let path = fixture.folder.path("metadata.db")
    let count = { try SQLiteConnection(path).first("SELECT count(*) FROM sqlite_stat1") { $0.int(0) } }
    let before = try count()
    #expect((before ?? 0) > 30)
    await fixture.store.close()
    let copy = fixture.folder.path("copy.db")
    try SQLiteConnection(path).backUp(to: copy)
    let again = try await Fixture.open(.sqlite, copy, time: fixture.time)
    let plan = try SQLiteConnection(copy).all("EXPLAIN QUERY PLAN SELECT id FROM entries WHERE ns = ? AND purging = 1") { $0.text(3) }
    #expect(plan.allSatisfy { $0.contains("entries_purging") }, "\(plan)")
    #expect(try SQLiteConnection(copy).first("SELECT count(*) FROM sqlite_stat1") { $0.int(0) } == before)
    await again.close()
  }
}
