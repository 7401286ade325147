internal import BlockModel
internal import ClusterLogic
package import Journal
internal import Platform
internal import SQLSession
internal import SQLiteDatabase

/// The journal of a database in SQLite: where it stands, what brings it forward, and copies of it.
extension SQLMetadataStore {
  private var commitWriter: CommitWriter {
    guard let writer = writer as? CommitWriter else { preconditionFailure("only an SQLite database has a journal of its own") }
    return writer
  }

  /// Where the database stands. For a store on SQLite only, as all of these.
  package func storedJournal() async throws(MetadataError) -> StoredJournal {
    let settings = settings
    do {
      return try await commitWriter.alone { connection in
        let layout = try ReadTransaction(db: SQLiteSession(connection)).newestLayout(settings)
        let found = try JournalTables.position(connection)
        return StoredJournal(
          position: found?.position, tail: try JournalTables.tail(connection), needsBase: found?.needsBase ?? true,
          zones: layout.requiredZones)
      }
    } catch { throw MetadataError(mapping: error) }
  }

  /// Runs a record that the nodes have and this database has not. It follows on the database's own.
  /// - Parameter plain: its payload, unsealed.
  package func replay(_ record: JournalRecord, plain: [UInt8]) async throws(MetadataError) {
    do {
      try await commitWriter.alone { connection in
        try JournalReplay.apply(record, plain: plain, to: connection, schema: Migrations.all.count, keepsRecord: true)
      }
    } catch { throw MetadataError(mapping: error) }
  }

  /// From now on nothing is acknowledged before `sink` has it. Called once, before the first mutation.
  package func keepJournal(in sink: any JournalSink) async throws(MetadataError) {
    let position = try await storedJournal().position
    commitWriter.attach(sink, position: position)
  }

  /// The database is about to be changed without a journal. What nodes have of it does not fit it from then on: should it have one again,
  /// that one begins with a new snapshot. Called before the first mutation.
  package func leaveJournal() async throws(MetadataError) {
    do {
      try await commitWriter.alone { connection in
        try connection.write {
          guard var position = try JournalTables.position(connection)?.position else { return }
          guard let hash = BlockID(bytes: SecureRandom.bytes(BlockID.byteCount)) else { preconditionFailure("32 bytes are a hash") }
          position.term.attempt += 1
          position.sequence += 1
          position.hash = hash
          try JournalTables.begin(connection, at: position, schema: Migrations.all.count)
        }
      }
    } catch { throw MetadataError(mapping: error) }
  }

  /// Copies the database as it is now to a file, while others read and write, and answers which record it is after.
  package func copyWithPosition(to path: String) async throws(MetadataError) -> JournalPosition? {
    do {
      return try await SQLMetadataStore.slow.run {
        try self.copy(path)
        return try SQLMetadataStore.position(ofDatabase: path)
      }
    } catch { throw MetadataError(mapping: error) }
  }

  static func position(ofDatabase path: String) throws -> JournalPosition? {
    var reading = SQLiteConnection.Options()
    reading.readOnly = true
    let connection = try SQLiteConnection(path, reading)
    return try JournalTables.position(connection)?.position
  }

  /// Notes in a copy when it was made, so that a restore can tell how much the nodes may have purged since.
  static func noteBackup(_ path: String, at time: WallTime) throws {
    let connection = try SQLiteConnection(path)
    try connection.write { try Settings.set(SQLiteSession(connection), Settings.backedUpAt, time.microseconds) }
  }

  /// One reading transaction around all of it: a copy that saw the database change would begin anew, and never end under load.
  static func copyDatabase(_ path: String, to destination: String) throws {
    var reading = SQLiteConnection.Options()
    reading.readOnly = true
    let connection = try SQLiteConnection(path, reading)
    try connection.read {
      _ = try connection.first("SELECT count(*) FROM migrations") { $0.int(0) }
      try connection.backUp(to: destination)
    }
  }
}
