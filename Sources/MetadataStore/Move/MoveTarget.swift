internal import PostgreSQLDatabase
internal import SQLSession
internal import SQLiteDatabase
internal import ServiceAPI

/// The PostgreSQL database that metadata is moved into. One thread uses it.
///
/// What must hold: from the first row on it says that a move is under way, so that no coordinator works with a part; what it holds after a
/// round is one state that SQLite had.
final class MoveTarget {
  /// Rows of one statement, and rows of one transaction of the first copy.
  private static let rowsPerStatement = 16
  private static let rowsPerTransaction = 20_000

  let connection: PostgreSQLConnection
  let id: Int64
  private(set) var tables: [MovedTable] = []

  /// Makes the schema, and room: an attempt that was given up is removed.
  /// - Throws: `Problem` with `.conflict` when the database holds a cluster.
  init(_ options: PostgreSQLOptions, id: Int64, source: SQLiteConnection) throws {
    self.id = id
    connection = try PostgreSQLConnection(options)
    try connection.migrate(PostgreSQLSchema.migrations)
    tables = try MovedTable.all(source, connection)
    try connection.begin()
    let isTaken = try connection.first("SELECT count(*) FROM settings", read: { $0.int(0) }) ?? 0 > 0
    guard try !isTaken || Settings.found(connection, Settings.moving) != nil else {
      throw Problem(.conflict, "That PostgreSQL database holds a cluster's metadata already: give the move an empty one.")
    }
    for name in tables.map(\.name).reversed() { try connection.send("TRUNCATE \(name) CASCADE") }
    try Settings.set(connection, Settings.moving, id)
    try connection.commit()
    // What is changed is taken out and put in again, whoever refers to it.
    for constraint in try references() { try connection.execute("ALTER TABLE \(constraint) DEFERRABLE") }
  }

  /// `TABLE ALTER CONSTRAINT NAME` of each reference from table to table.
  private func references() throws -> [String] {
    defer { connection.rollBack() }
    try connection.beginSnapshot()
    return try connection.all(
      """
      SELECT conrelid::regclass::text, conname::text FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
      ORDER BY 1, 2
      """
    ) { "\($0.text(0)) ALTER CONSTRAINT \($0.text(1))" }
  }

  // MARK: - Rows

  /// Copies all rows of one state.
  /// - Parameter progress: called with the rows copied until then; throws to stop.
  func copy(_ state: SQLiteSession, progress: (Int64) throws -> Void) throws {
    var count: Int64 = 0
    for table in tables {
      try connection.begin()
      var rows: [[SQLValue]] = []
      try state.stream(table.select, []) { row in
        rows.append(table.row(row))
        count += 1
        if rows.count == MoveTarget.rowsPerTransaction {
          try insert(rows, table)
          try connection.commit()
          rows.removeAll(keepingCapacity: true)
          try progress(count)
          try connection.begin()
        }
        return true
      }
      try insert(rows, table)
      try connection.commit()
      try progress(count)
    }
  }

  /// Brings rows to the state in which `state` has them.
  /// - Parameter keys: of each table's rows that may differ.
  /// - Returns: how many rows.
  func apply(_ keys: [[[SQLValue]]], of state: any SQLSession, finishing: Bool = false) throws -> Int {
    try connection.begin()
    do {
      try connection.send("SET CONSTRAINTS ALL DEFERRED")
      for (table, keys) in zip(tables, keys) {
        for key in keys { try connection.send(table.delete, key) }
      }
      for (table, keys) in zip(tables, keys) {
        var rows: [[SQLValue]] = []
        for key in keys {
          try state.rows(table.selectByKey, key) { row in
            rows.append(table.row(row))
            return true
          }
        }
        try insert(rows, table)
      }
      if finishing { try finish(state) }
      try connection.commit()
    } catch {
      connection.rollBack()
      throw error
    }
    return keys.reduce(0) { $0 + $1.count }
  }

  private func insert(_ rows: [[SQLValue]], _ table: MovedTable) throws {
    let whole = rows.count / MoveTarget.rowsPerStatement * MoveTarget.rowsPerStatement
    let many = table.insert(rows: MoveTarget.rowsPerStatement)
    for start in stride(from: 0, to: whole, by: MoveTarget.rowsPerStatement) {
      try connection.send(many, rows[start..<(start + MoveTarget.rowsPerStatement)].flatMap(\.self))
    }
    let one = table.insert(rows: 1)
    for row in rows[whole...] { try connection.send(one, row) }
  }

  /// Numbers go on after the highest that was ever given, and references are checked at once again.
  private func finish(_ state: any SQLSession) throws {
    var given: [String: Int64] = [:]
    try state.rows("SELECT name, seq FROM sqlite_sequence", []) { row in
      given[row.text(0)] = row.int64(1)
      return true
    }
    for table in tables {
      guard let column = table.numbered else { continue }
      try connection.send(
        """
        SELECT setval(pg_get_serial_sequence(?, ?), greatest(1, (SELECT coalesce(max(\(column)), 0) + 1 FROM \(table.name)), ? + 1), false)
        """, .text("public." + table.name), .text(column), .integer(given[table.name] ?? 0))
    }
    try connection.send("SET CONSTRAINTS ALL IMMEDIATE")
  }

  /// After the last transaction. Nothing depends on it: references that could be checked late, and a planner that has not counted yet, do
  /// no harm.
  func settle() throws {
    for constraint in try references() { try connection.execute("ALTER TABLE \(constraint) NOT DEFERRABLE") }
    try connection.execute("ANALYZE \(tables.map(\.name).joined(separator: ", "))")
  }
}
