internal import SQLSession

/// One step of a schema, numbered from 1, in the words of PostgreSQL. Never changed once it was released: the next step corrects it.
package struct PostgreSQLMigration: Sendable {
  package var number: Int
  package var sql: String
  /// Tells an edited step from the one that ran.
  package var checksum: Int64
  package init(number: Int, sql: String, checksum: Int64) {
    self.number = number
    self.sql = sql
    self.checksum = checksum
  }
}

extension PostgreSQLConnection {
  /// Keeps two programs from bringing one schema up to date at the same time.
  private static let migrationLock: Int64 = 0x4341_4952_4e01

  /// Brings the schema to the last of `migrations`, each step in a transaction of its own, recorded with its checksum. Forward only.
  ///
  /// - Throws: `.schema` when the database has a step that this program does not know, or one that was different.
  package func migrate(_ migrations: [PostgreSQLMigration]) throws {
    precondition(migrations.map(\.number) == Array(1..<(migrations.count + 1)), "migrations are numbered from 1 without a gap")
    try runScript("SELECT pg_advisory_lock(\(PostgreSQLConnection.migrationLock))")
    // The lock ends with the connection where this does not end it.
    defer { try? runScript("SELECT pg_advisory_unlock(\(PostgreSQLConnection.migrationLock))") }
    try runScript("CREATE TABLE IF NOT EXISTS migrations (number bigint PRIMARY KEY, checksum bigint NOT NULL)")
    let done = try all("SELECT number, checksum FROM migrations ORDER BY number") { ($0.int(0), $0.int64(1)) }
    guard done.count <= migrations.count else {
      throw PostgreSQLError(
        .schema, "The database has schema \(done.count) and this program knows \(migrations.count): it was written by a newer version.")
    }
    for (index, (number, checksum)) in done.enumerated() where number != index + 1 || checksum != migrations[index].checksum {
      throw PostgreSQLError(.schema, "Step \(number) of the database's schema is not the one that this program has.")
    }
    for migration in migrations[done.count...] {
      try runScript(
        """
        BEGIN; \(migration.sql);
        INSERT INTO migrations (number, checksum) VALUES (\(migration.number), \(migration.checksum)); COMMIT;
        """)
    }
  }
}
