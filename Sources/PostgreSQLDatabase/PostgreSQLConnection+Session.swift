internal import CPostgreSQL
package import SQLSession

extension PostgreSQLConnection: SQLSession {
  package func change(_ sql: String, _ values: [SQLValue]) throws -> Int {
    try enqueue(sql, values)
    return try finish()?.changes ?? 0
  }

  package func send(_ sql: String, _ values: [SQLValue]) throws { try enqueue(sql, values) }

  package func rows(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws {
    try enqueue(sql, values)
    guard let result = try finish() else { return }
    _ = try each(of: result, body)
  }

  package func rows(_ sql: String, each lists: [[SQLValue]], _ body: (Int, any SQLRow) throws -> Void) throws {
    for start in stride(from: 0, to: lists.count, by: PostgreSQLConnection.groupBound) {
      let group = lists[start..<min(start + PostgreSQLConnection.groupBound, lists.count)]
      for (offset, result) in try answers(to: group.map { (sql, $0) }).enumerated() {
        _ = try each(of: result) { row in
          try body(start + offset, row)
          return true
        }
      }
    }
  }

  package func ask(_ questions: [SQLQuestion]) throws {
    for (question, result) in zip(questions, try answers(to: questions.map { ($0.sql, $0.values) })) {
      _ = try each(of: result, question.read)
    }
  }

  /// Rows that a cursor fetches at once.
  private static let fetchCount = 500

  package func stream(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws {
    cursorNumber += 1
    let name = "c\(cursorNumber)"
    try enqueueOnce("DECLARE \(name) NO SCROLL CURSOR FOR \(sql)", values)
    repeat {
      try enqueueOnce("FETCH \(PostgreSQLConnection.fetchCount) FROM \(name)")
      guard let result = try finish(), try each(of: result, body), result.rowCount == PostgreSQLConnection.fetchCount else { break }
    } while true
    try enqueueOnce("CLOSE \(name)")
  }

  /// - Returns: whether the body wants more.
  private func each(of result: PostgreSQLResult, _ body: (any SQLRow) throws -> Bool) throws -> Bool {
    for index in 0..<result.rowCount {
      guard try body(PostgreSQLRow(result: result, index: index)) else { return false }
    }
    return true
  }

  package func execute(_ script: String) throws { try runScript(PostgreSQLDialect.translate(script)) }

  package func savepoint<T>(_ body: () throws -> T) throws -> T {
    try enqueue("SAVEPOINT part", [])
    do {
      let value = try body()
      try enqueue("RELEASE SAVEPOINT part", [])
      return value
    } catch {
      guard isUsable else { throw error }
      // What was sent and not heard of goes with the savepoint; an error from before it comes up as a savepoint that is not there.
      drain()
      try enqueue("ROLLBACK TO SAVEPOINT part", [])
      try enqueue("RELEASE SAVEPOINT part", [])
      try finish()
      throw error
    }
  }

  package func lockRows(_ sql: String, _ values: [SQLValue]) throws {
    try enqueue(sql + " FOR UPDATE", values)
    try finish()
  }

  package func lock(_ number: Int64, isExclusive: Bool) throws {
    try enqueue(isExclusive ? "SELECT pg_advisory_xact_lock(?)" : "SELECT pg_advisory_xact_lock_shared(?)", [.integer(number)])
  }

  /// Waits for all answers and forgets what they say.
  private func drain() { _ = try? finish() }

  // MARK: - Transactions

  /// Begins a transaction in which each statement sees what was committed before it.
  package func begin() throws(PostgreSQLError) { try enqueue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", []) }

  /// Begins a transaction that sees one unchanging state.
  package func beginSnapshot() throws(PostgreSQLError) { try enqueue("BEGIN ISOLATION LEVEL REPEATABLE READ", []) }

  /// Commits. An error with `isOutcomeUnknown` says that nobody here can tell what the server did.
  package func commit() throws(PostgreSQLError) {
    do throws(PostgreSQLError) {
      try enqueue("COMMIT", [])
      let command = try finish()?.command
      // A transaction in which something failed answers a COMMIT by rolling back.
      guard command == "COMMIT" else { throw PostgreSQLError(.other, "PostgreSQL rolled back a transaction that was to be committed.") }
    } catch {
      var error = error
      error.isOutcomeUnknown = error.code == .unavailable
      throw error
    }
  }

  /// Ends the open transaction without its changes.
  package func rollBack() {
    guard isUsable else { return }
    drain()
    guard isUsable, PQtransactionStatus(handle) != PQTRANS_IDLE else { return }
    _ = try? enqueue("ROLLBACK", [])
    drain()
  }

  /// Ends a transaction that wrote nothing, without waiting for the answer.
  package func endSnapshot() {
    guard isUsable else { return }
    guard (try? enqueue("ROLLBACK", [])) != nil else { return }
    _ = try? push()
  }
}
