internal import BlockModel
internal import Platform
package import PostgreSQLDatabase
internal import SQLSession
internal import SQLiteDatabase
internal import ServiceAPI

/// How far a move from SQLite to PostgreSQL is.
package enum MoveStep: Sendable, Equatable {
  /// Rows copied of the state at its beginning.
  case copying(rows: Int64)
  /// A round copied rows that were written during the one before.
  case catchingUp(round: Int, rows: Int)
}

/// Moving a running cluster's metadata from SQLite into an empty PostgreSQL database.
///
/// A copy is made of one state while users go on; what was written meanwhile is brought over in rounds, each one state of SQLite too, until
/// a round is small; the last one is inside of a transaction of SQLite's writer, which also writes that the database has moved.
///
/// What must hold: SQLite's COMMIT is the one point of the switch. Before it, PostgreSQL says that a move is under way, and no coordinator
/// works with it; after it, SQLite says which move it was, nothing is written to it any more, and PostgreSQL is taken into use by whoever
/// brings the same number. A move that fails at any point before leaves SQLite as it was, and can be begun anew.
extension SQLMetadataStore {
  /// Rounds until the last one is tried, whatever their size, and rows of a round after which it is.
  private static let roundLimit = 20
  private static let smallRound = 1000

  // Proof: made on the move's one thread, and used there; the last round uses it on the writer's while the move waits for that.
  private final class Copying: @unchecked Sendable {
    let target: MoveTarget
    let capture: ChangeCapture
    init(_ target: MoveTarget) {
      self.target = target
      capture = ChangeCapture(tables: target.tables)
    }
  }

  /// Moves everything. When it returns, this store refuses all that writes, and the coordinator has to start anew with PostgreSQL.
  ///
  /// - Returns: the move's number, which `open(postgreSQL:)` wants to be told; the database file has it as well (`moved(path:)`).
  /// - Throws: `.refused` for a store on PostgreSQL, a database that is not empty, and a second move beside this one; what either engine
  ///   says otherwise.
  package func move(
    to database: PostgreSQLOptions, report: @escaping @Sendable (MoveStep) -> Void
  ) async throws(MetadataError) -> Int64 {
    do {
      guard let writer = writer as? CommitWriter else {
        throw Problem(.conflict, "This cluster's metadata is in PostgreSQL already.")
      }
      let path = writer.path
      let pool = BlockingPool(name: "metadata-move", threads: 1, queueLimit: 1)
      defer { pool.shutDown() }
      let id = Int64.random(in: 1...(.max))
      let copying = try await pool.run {
        Copying(try MoveTarget(database, id: id, source: try SQLMetadataStore.reading(path)))
      }
      let state = try await writer.alone { connection in
        try copying.capture.install(on: connection)
        return try SQLMetadataStore.state(path)
      }
      do {
        try await pool.run {
          try copying.target.copy(SQLiteSession(state)) { rows in
            try Task.checkCancellation()
            report(.copying(rows: rows))
          }
          state.rollBack()
        }
        try await catchUp(copying, writer, path, pool, report)
        do { try await seal(copying, writer, id) } catch {
          // The nodes' journal may be late where SQLite has committed: what the file says counts.
          guard try await pool.run({ try Settings.found(SQLiteSession(SQLMetadataStore.reading(path)), Settings.moved) }) == id else {
            throw error
          }
        }
      } catch {
        // A capture that cannot be removed ends with the process, and costs a little until then.
        try? await writer.alone { try copying.capture.remove(from: $0) }
        throw error
      }
      // It has moved, whatever comes now.
      _ = try? await pool.run { try copying.target.settle() }
      return id
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  private func catchUp(
    _ copying: Copying, _ writer: CommitWriter, _ path: String, _ pool: BlockingPool, _ report: @escaping @Sendable (MoveStep) -> Void
  ) async throws {
    for round in 1...SQLMetadataStore.roundLimit {
      let (keys, state) = try await writer.alone { connection in
        let keys = try copying.capture.keys(SQLiteSession(connection))
        let state = try SQLMetadataStore.state(path)
        try copying.capture.forget(connection)
        return (keys, state)
      }
      let rows = try await pool.run {
        defer { state.rollBack() }
        return try copying.target.apply(keys, of: SQLiteSession(state))
      }
      report(.catchingUp(round: round, rows: rows))
      if rows <= SQLMetadataStore.smallRound { return }
    }
  }

  private func seal(_ copying: Copying, _ writer: CommitWriter, _ id: Int64) async throws {
    _ = try await writer.write(.cluster, isRepeatable: false) { transaction in
      // Sums that are written at a group's end belong to what is moved.
      try transaction.writePartitionCounts()
      let keys = try copying.capture.keys(transaction.db)
      _ = try copying.target.apply(keys, of: transaction.db, finishing: true)
      try Settings.set(transaction.db, Settings.moved, id)
      transaction.context.seal()
    }
  }

  private static func reading(_ path: String) throws -> SQLiteConnection {
    var options = SQLiteConnection.Options()
    options.readOnly = true
    return try SQLiteConnection(path, options)
  }

  /// A connection that sees the database as it is now, until its transaction ends. Called on the writer's thread.
  private static func state(_ path: String) throws -> SQLiteConnection {
    let connection = try reading(path)
    try connection.run("BEGIN")
    _ = try connection.first("SELECT count(*) FROM migrations") { $0.int(0) }
    return connection
  }

  /// The number of the move by which an SQLite database was left; nil when it was not, or is not there.
  package static func moved(path: String) throws(MetadataError) -> Int64? {
    do {
      guard try Directory.attributes(path) != nil else { return nil }
      // Opened to write: the journal of a process that was killed may have to be brought in.
      let connection = try SQLiteConnection(path)
      guard try connection.first("SELECT count(*) FROM sqlite_schema WHERE name = 'settings'", read: { $0.int(0) }) == 1 else { return nil }
      return try Settings.found(SQLiteSession(connection), Settings.moved)
    } catch { throw MetadataError(mapping: error) }
  }

  /// Takes a database into use that a move filled.
  /// - Parameter moved: the number of the move that this coordinator's SQLite database says, if any.
  static func acceptMove(_ connection: PostgreSQLConnection, _ moved: Int64?) throws {
    guard let moving = try Settings.found(connection, Settings.moving) else { return }
    guard moving == moved else {
      throw MetadataError(
        .unusable,
        "A move of metadata into this PostgreSQL database has not ended. The cluster's metadata is still in SQLite: start the coordinator "
          + "that has it with “metadata = sqlite”, and give “cairnctl metadata migrate” once more.")
    }
    try connection.run("DELETE FROM settings WHERE key = ?", .text(Settings.moving))
  }
}
