internal import BlockModel
internal import ClusterLogic
package import Journal
internal import SQLiteDatabase

/// What an SQLite database knows of its journal: where it stands, and the records that are not known to be safe on the nodes.
///
/// What must hold: both change in the very transaction whose statements the record has. So the database and its place in the history never
/// disagree, and whatever it is ahead of the nodes it can send again.
enum JournalTables {
  /// Not among the numbered steps: PostgreSQL has journals of its own.
  static func establish(_ connection: SQLiteConnection, schema: Int) throws {
    try connection.execute(
      """
      CREATE TABLE IF NOT EXISTS journal_state (
        id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, hash BLOB NOT NULL,
        generation INTEGER NOT NULL, attempt INTEGER NOT NULL, writer INTEGER NOT NULL,
        schema INTEGER NOT NULL,        -- steps of the schema at the last record
        needs_base INTEGER NOT NULL     -- something changed that no record has: only a new snapshot does
      );
      CREATE TABLE IF NOT EXISTS journal_tail (sequence INTEGER PRIMARY KEY, record BLOB NOT NULL);
      """)
    try connection.run("UPDATE journal_state SET schema = ?1, needs_base = 1 WHERE schema <> ?1", .int(schema))
  }

  static func position(_ connection: SQLiteConnection) throws -> (position: JournalPosition, needsBase: Bool)? {
    try connection.first("SELECT sequence, hash, generation, attempt, writer, needs_base FROM journal_state") { row in
      let term = JournalTerm(
        generation: UInt64(bitPattern: row.int64(2)), attempt: UInt32(truncatingIfNeeded: row.int64(3)),
        writer: UInt64(bitPattern: row.int64(4)))
      guard let hash = BlockID(bytes: row.blob(1)) else {
        throw MetadataError(.unusable, "The database's place in its journal is damaged.")
      }
      return (JournalPosition(term: term, sequence: UInt64(bitPattern: row.int64(0)), hash: hash), row.bool(5))
    }
  }

  static func tail(_ connection: SQLiteConnection) throws -> [JournalRecord] {
    try connection.all("SELECT record FROM journal_tail ORDER BY sequence") { row in
      var reader = JournalReader(row.blob(0))
      return try JournalRecord(&reader)
    }
  }

  /// Notes that this record's statements are part of the database now.
  /// - Parameter stored: up to here records are safe and need not be kept here.
  static func advance(_ connection: SQLiteConnection, to record: JournalRecord, stored: UInt64, schema: Int, needsBase: Bool) throws {
    let position = JournalPosition(term: record.term, sequence: record.sequence, hash: record.hash)
    try set(connection, position, schema: schema, needsBase: needsBase)
    try connection.run(
      "INSERT INTO journal_tail (sequence, record) VALUES (?, ?)", .integer(Int64(bitPattern: record.sequence)), .blob(record.encoded))
    try connection.run("DELETE FROM journal_tail WHERE sequence <= ?", .integer(Int64(clamping: min(stored, record.sequence - 1))))
  }

  /// The database is the first of a history that no record says anything of.
  static func begin(_ connection: SQLiteConnection, at position: JournalPosition, schema: Int) throws {
    try set(connection, position, schema: schema, needsBase: true)
    try connection.run("DELETE FROM journal_tail")
  }

  private static func set(_ connection: SQLiteConnection, _ position: JournalPosition, schema: Int, needsBase: Bool) throws {
    try connection.run(
      """
      INSERT INTO journal_state (id, sequence, hash, generation, attempt, writer, schema, needs_base) VALUES (1, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, generation = excluded.generation,
        attempt = excluded.attempt, writer = excluded.writer, schema = excluded.schema, needs_base = excluded.needs_base
      """, .integer(Int64(bitPattern: position.sequence)), .blob(position.hash.bytes),
      .integer(Int64(bitPattern: position.term.generation)), .integer(Int64(position.term.attempt)),
      .integer(Int64(bitPattern: position.term.writer)), .int(schema), .flag(needsBase))
  }
}

/// Where a database stands when it is opened.
package struct StoredJournal: Sendable {
  /// Nil when it has none yet.
  package var position: JournalPosition?
  /// Records that are not known to be safe, oldest first; the last one is the position's.
  package var tail: [JournalRecord]
  package var needsBase: Bool
  /// Zones that a record of now has to be in; 0 before the first layout.
  package var zones: Int
}
