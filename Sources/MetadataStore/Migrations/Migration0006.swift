internal import SQLiteDatabase

extension Migrations {
  /// Uploads that say which entry their base version is of.
  static let migration0006 = SQLiteMigration(
    number: 6,
    sql: """
      ALTER TABLE uploads ADD COLUMN base_entry BLOB; -- NULL: whichever is at the path
      """)
}
