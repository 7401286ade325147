internal import SQLiteDatabase

extension Migrations {
  /// Changing layouts in stages: when and why each came, what is staged, regions, and who took a former replica's place.
  static let migration0002 = SQLiteMigration(
    number: 2,
    sql: """
      ALTER TABLE layouts ADD COLUMN committed_at INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE layouts ADD COLUMN cause TEXT NOT NULL DEFAULT '';

      ALTER TABLE filling ADD COLUMN arrivals TEXT NOT NULL DEFAULT '';

      ALTER TABLE nodes ADD COLUMN region TEXT; -- NULL: the one that all others share

      CREATE TABLE staged_roles (
        node TEXT PRIMARY KEY,
        zone TEXT,                      -- NULL takes the node out
        region TEXT, weight REAL
      ) WITHOUT ROWID;
      """)
}
