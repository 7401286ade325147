internal import SQLSession
internal import SQLiteDatabase

/// What a transaction has changed so far. One thread uses it.
final class StatementRecorder {
  var log = StatementLog()
  /// Of statements that answer rows, which only read; asked once each.
  private var readOnly: [SQLText: Bool] = [:]

  func isReadOnly(_ sql: String, _ connection: SQLiteConnection) throws -> Bool {
    let key = SQLText(sql)
    if let known = readOnly[key] { return known }
    let answer = try connection.isReadOnly(sql)
    readOnly[key] = answer
    return answer
  }
}

/// A session that writes down what it changes.
struct RecordingSession: SQLSession {
  let session: SQLiteSession
  let recorder: StatementRecorder

  init(_ connection: SQLiteConnection, _ recorder: StatementRecorder) {
    session = SQLiteSession(connection)
    self.recorder = recorder
  }

  func change(_ sql: String, _ values: [SQLValue]) throws -> Int {
    let changed = try session.change(sql, values)
    // What changed no row is nothing to replay.
    if changed > 0 { recorder.log.append(.change, sql, values, changed: changed) }
    return changed
  }

  func send(_ sql: String, _ values: [SQLValue]) throws { _ = try change(sql, values) }

  func rows(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws {
    guard try !recorder.isReadOnly(sql, session.connection) else { return try session.rows(sql, values, body) }
    // SQLite has made all changes when it answers the first row, and what `body` runs comes after them. Without a row nothing was changed.
    var isNoted = false
    try session.rows(sql, values) { row in
      if !isNoted { recorder.log.append(.answering, sql, values) }
      isNoted = true
      return try body(row)
    }
  }

  func stream(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws { try rows(sql, values, body) }

  func execute(_ script: String) throws {
    try session.execute(script)
    recorder.log.append(.script, script, [])
  }

  func savepoint<T>(_ body: () throws -> T) throws -> T {
    let count = recorder.log.statements.count
    do { return try session.savepoint(body) } catch {
      recorder.log.cut(to: count)
      throw error
    }
  }

  func lockRows(_ sql: String, _ values: [SQLValue]) throws {}
  func lock(_ number: Int64, isExclusive: Bool) throws {}
}
