internal import BlockModel
internal import Journal
internal import SQLSession
internal import SQLiteDatabase

/// Runs a record's statements again on a database that is where the record before left it.
enum JournalReplay {
  /// - Parameters:
  ///   - plain: the record's payload, unsealed.
  ///   - keepsRecord: it may not be safe on enough nodes, and is to be sent again.
  /// - Throws: `MetadataError` (`.unusable`) when the database is elsewhere in the history, or a statement does not do what it did.
  static func apply(_ record: JournalRecord, plain: [UInt8], to connection: SQLiteConnection, schema: Int, keepsRecord: Bool) throws {
    let log = try StatementLog(plain)
    try connection.write {
      guard let (position, needsBase) = try JournalTables.position(connection), position.hash == record.previous else {
        throw MetadataError(.unusable, "Record \(record.sequence) of the journal does not follow on this database.")
      }
      let session = SQLiteSession(connection)
      for statement in log.statements { try run(statement, of: log, session, record.sequence) }
      try JournalTables.advance(
        connection, to: record, stored: keepsRecord ? 0 : record.sequence - 1, schema: schema, needsBase: needsBase)
    }
  }

  private static func run(
    _ statement: StatementLog.Statement, of log: StatementLog, _ session: SQLiteSession, _ sequence: UInt64
  ) throws {
    let sql = log.texts[statement.text]
    switch statement.kind {
    case .change:
      let changed = try session.change(sql, statement.values)
      guard changed == statement.changed else {
        throw MetadataError(
          .unusable,
          "Record \(sequence) of the journal changed \(statement.changed) rows when it was written and \(changed) now, by “\(sql)”.")
      }
    case .answering: try session.rows(sql, statement.values) { _ in true }
    case .script: try session.execute(sql)
    }
  }
}
