internal import PostgreSQLDatabase
internal import SQLiteDatabase

/// The schema for PostgreSQL: the same numbered steps, translated, and what a step needs there besides.
enum PostgreSQLSchema {
  static var migrations: [PostgreSQLMigration] {
    Migrations.all.map { step in
      let sql = PostgreSQLDialect.translate(step.sql) + (additions[step.number].map { ";\n" + $0 } ?? "")
      return PostgreSQLMigration(number: step.number, sql: sql, checksum: step.checksum)
    }
  }

  /// Run after the step of the number, in its transaction.
  private static let additions: [Int: String] = [
    1: """
    -- SQLite keeps what it is given in a column of any type; all values are numbers now.
    ALTER TABLE settings ALTER COLUMN value TYPE bigint USING 0;
    -- Where one string of bytes is in another, counted from 1; 0 is nowhere.
    CREATE FUNCTION instr(bytea, bytea) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
      RETURN position($2 in $1)::bigint;
    -- Rows that change all the time find room for their next state on the same page, without touching an index.
    ALTER TABLE namespaces SET (fillfactor = 50);
    ALTER TABLE partition_blocks SET (fillfactor = 50);
    ALTER TABLE uploads SET (fillfactor = 80);
    ALTER TABLE blocks SET (fillfactor = 90);
    """
  ]
}
