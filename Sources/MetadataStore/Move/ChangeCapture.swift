internal import SQLSession
internal import SQLiteDatabase

/// Notes the keys of rows that are written while a move is under way, by triggers that only the writer's connection has: nothing of them is
/// in the file, and they go with the connection.
///
/// What must hold: a key is noted in the transaction that writes its row, so with a transaction that is undone its notes are, too.
struct ChangeCapture: Sendable {
  let tables: [MovedTable]

  private static func notes(_ table: MovedTable) -> String { "moved_keys_" + table.name }

  /// Outside of a transaction.
  func install(on connection: SQLiteConnection) throws {
    for table in tables {
      let notes = ChangeCapture.notes(table)
      let columns = table.key.indices.map { "k\($0)" }.joined(separator: ", ")
      // Not “OR IGNORE”: what the statement that sets the trigger off says of conflicts would stand over it.
      func note(_ row: String) -> String {
        let values = table.keyNames.map { "\(row).\($0)" }
        let isNoted = values.enumerated().map { "k\($0) = \($1)" }.joined(separator: " AND ")
        return "INSERT INTO \(notes) SELECT \(values.joined(separator: ", ")) WHERE NOT EXISTS (SELECT 1 FROM \(notes) WHERE \(isNoted));"
      }
      try connection.execute(
        """
        CREATE TEMP TABLE \(notes) (\(columns), PRIMARY KEY (\(columns))) WITHOUT ROWID;
        CREATE TEMP TRIGGER \(notes)_added AFTER INSERT ON main.\(table.name) BEGIN \(note("new")) END;
        CREATE TEMP TRIGGER \(notes)_changed AFTER UPDATE ON main.\(table.name) BEGIN \(note("old")) \(note("new")) END;
        CREATE TEMP TRIGGER \(notes)_removed AFTER DELETE ON main.\(table.name) BEGIN \(note("old")) END;
        """)
    }
  }

  /// Ends it, however far it came.
  func remove(from connection: SQLiteConnection) throws {
    for table in tables {
      let notes = ChangeCapture.notes(table)
      try connection.execute(
        """
        DROP TRIGGER IF EXISTS temp.\(notes)_added; DROP TRIGGER IF EXISTS temp.\(notes)_changed;
        DROP TRIGGER IF EXISTS temp.\(notes)_removed; DROP TABLE IF EXISTS temp.\(notes);
        """)
    }
  }

  /// The keys that were noted, of each table in the tables' order. They stay noted.
  func keys(_ db: any SQLSession) throws -> [[[SQLValue]]] {
    try tables.map { table in
      var keys: [[SQLValue]] = []
      try db.stream("SELECT * FROM temp.\(ChangeCapture.notes(table))", []) { row in
        keys.append(table.keyTypes.enumerated().map { MovedTable.value(row, Int32($0), $1) })
        return true
      }
      return keys
    }
  }

  func forget(_ connection: SQLiteConnection) throws {
    for table in tables { try connection.run("DELETE FROM temp.\(ChangeCapture.notes(table))") }
  }
}
