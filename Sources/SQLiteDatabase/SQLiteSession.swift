package import SQLSession

extension SQLiteStatement: SQLRow {}

/// A connection as code sees it that runs over either engine. One transaction writes at a time, so there is nothing to lock.
package struct SQLiteSession: SQLSession {
  package let connection: SQLiteConnection
  package init(_ connection: SQLiteConnection) { self.connection = connection }

  package func change(_ sql: String, _ values: [SQLValue]) throws -> Int {
    try connection.run(sql, values: values.map { SQLiteValue($0) })
  }

  package func send(_ sql: String, _ values: [SQLValue]) throws { _ = try change(sql, values) }

  package func rows(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws {
    try connection.each(sql, values: values.map { SQLiteValue($0) }) { try body($0) }
  }

  package func stream(_ sql: String, _ values: [SQLValue], _ body: (any SQLRow) throws -> Bool) throws { try rows(sql, values, body) }

  package func execute(_ script: String) throws { try connection.execute(script) }
  package func savepoint<T>(_ body: () throws -> T) throws -> T { try connection.savepoint(body) }
  package func lockRows(_ sql: String, _ values: [SQLValue]) throws {}
  package func lock(_ number: Int64, isExclusive: Bool) throws {}
}

extension SQLiteValue {
  init(_ value: SQLValue) {
    self =
      switch value {
      case .null, .absent: .null
      case .integer(let number): .integer(number)
      case .real(let number): .real(number)
      case .text(let text): .text(text)
      case .blob(let bytes): .blob(bytes)
      }
  }
}
