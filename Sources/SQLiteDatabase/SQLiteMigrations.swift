/// One step of a schema, numbered from 1. Never changed once it was released: the next step corrects it.
package struct SQLiteMigration: Sendable {
  package var number: Int
  package var sql: String
  package init(number: Int, sql: String) {
    self.number = number
    self.sql = sql
  }

  /// FNV-1a, 64 bits: tells an edited script from the one that ran; it guards against mistakes, not against enemies.
  package var checksum: Int64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in sql.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return Int64(bitPattern: hash)
  }
}

extension SQLiteConnection {
  /// Brings the schema to the last of `migrations`, each step in a transaction of its own, recorded with its checksum. Forward only.
  ///
  /// - Throws: `.schema` when the database has a step that this program does not know, or one that was different.
  package func migrate(_ migrations: [SQLiteMigration]) throws {
    precondition(migrations.map(\.number) == Array(1..<(migrations.count + 1)), "migrations are numbered from 1 without a gap")
    try execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, checksum INTEGER NOT NULL)")
    let done = try all("SELECT number, checksum FROM migrations ORDER BY number") { ($0.int(0), $0.int64(1)) }
    guard done.count <= migrations.count else {
      throw SQLiteError(
        .schema, "The database has schema \(done.count) and this program knows \(migrations.count): it was written by a newer version.")
    }
    for (index, (number, checksum)) in done.enumerated() where number != index + 1 || checksum != migrations[index].checksum {
      throw SQLiteError(.schema, "Step \(number) of the database's schema is not the one that this program has.")
    }
    for migration in migrations[done.count...] {
      try write {
        try execute(migration.sql)
        try run("INSERT INTO migrations (number, checksum) VALUES (?, ?)", .int(migration.number), .integer(migration.checksum))
      }
    }
  }
}
