/// One connection to an SQL database inside of a transaction: what code that speaks SQL needs, whichever engine answers.
///
/// Statements are written as SQLite reads them: `?` and `?1` for values, `x''` for bytes, `INSERT OR IGNORE`, `max(a, b)`. What PostgreSQL
/// says otherwise is translated by its session (`PostgreSQLDialect` lists it); what has no translation is written so that both read it:
/// upserts name their conflict target and qualify the old values, subqueries in FROM have a name, each column of an answer is grouped by or
/// aggregated, comparisons that see NULL say `IS [NOT] DISTINCT FROM`.
///
/// What must hold: one thread at a time uses it. Errors are the engine's own; after one the transaction can only be rolled back, as far as
/// the savepoint around it.
package protocol SQLSession {
  /// Runs one statement and answers how many rows it changed.
  func change(_ sql: String, _ values: [SQLValue]) throws -> Int
  /// Runs one statement whose answer nobody waits for. It takes effect before all that is asked later; its error may come with a later
  /// answer, at the latest with the end of the transaction.
  func send(_ sql: String, _ values: [SQLValue]) throws
  /// Calls `body` for each row until it answers false. The statement has to bound the rows. `body` may run other statements.
  func rows(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws
  /// Runs one statement once for each list of values, in their order, and calls `body` with the list's place and each row of its answer.
  /// The statements have to bound the rows. An engine behind a network is sent many before the first answers. `body` runs no statements.
  func rows(_ sql: String, each lists: [[SQLValue]], _ body: (Int, any SQLRow) throws -> Void) throws
  /// Runs statements in their order and hands the rows of each to its reader. They have to bound the rows. An engine behind a network is
  /// sent all of them before the first answers. Readers run no statements.
  func ask(_ questions: [SQLQuestion]) throws
  /// As `rows` for any number of rows: they are not all in memory at once.
  func stream(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws
  /// Runs a script of statements that take and answer nothing.
  func execute(_ script: String) throws
  /// Runs `body` so that it can be undone alone inside of the transaction around it: what it wrote goes when it throws.
  func savepoint<T>(_ body: () throws -> T) throws -> T
  /// Keeps others from changing or deleting the rows that the SELECT finds until the transaction ends. Later statements see what others
  /// had made of them before. Nothing to do where only one transaction writes at a time.
  func lockRows(_ sql: String, _ values: [SQLValue]) throws
  /// Keeps transactions apart that agree on a number, until the transaction ends: holders of a shared lock from the holder of the exclusive
  /// one. Nothing to do where only one transaction writes at a time.
  func lock(_ number: Int64, isExclusive: Bool) throws
}

/// A statement, and who reads its answer.
package struct SQLQuestion {
  package let sql: String
  package let values: [SQLValue]
  /// Called for each row until it answers false.
  package let read: (any SQLRow) throws -> Bool

  package init(_ sql: String, _ values: [SQLValue], read: @escaping (any SQLRow) throws -> Bool) {
    self.sql = sql
    self.values = values
    self.read = read
  }
}

extension SQLSession {
  package func ask(_ questions: [SQLQuestion]) throws {
    for question in questions { try rows(question.sql, question.values, question.read) }
  }

  package func rows(_ sql: String, each lists: [[SQLValue]], _ body: (Int, any SQLRow) throws -> Void) throws {
    for (index, values) in lists.enumerated() {
      try rows(sql, values) {
        try body(index, $0)
        return true
      }
    }
  }

  @discardableResult
  package func run(_ sql: String, _ values: SQLValue...) throws -> Int { try change(sql, values) }

  package func send(_ sql: String, _ values: SQLValue...) throws { try send(sql, values) }

  /// The first row of the answer; nil without rows.
  package func first<T>(_ sql: String, _ values: SQLValue..., read: (any SQLRow) throws -> T) throws -> T? {
    var found: T?
    try rows(sql, values) { row in
      found = try read(row)
      return false
    }
    return found
  }

  /// All rows of the answer. The statement has to bound them.
  package func all<T>(_ sql: String, _ values: SQLValue..., read: (any SQLRow) throws -> T) throws -> [T] {
    var list: [T] = []
    try rows(sql, values) { row in
      list.append(try read(row))
      return true
    }
    return list
  }

  /// Calls `body` for each of any number of rows until it answers false.
  package func each(_ sql: String, _ values: SQLValue..., body: (any SQLRow) throws -> Bool) throws { try stream(sql, values, body) }

  package func lockRows(_ sql: String, _ values: SQLValue...) throws { try lockRows(sql, values) }
}
