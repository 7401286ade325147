internal import SQLiteDatabase

extension Migrations {
  /// Folders that say how the files in them are cut into blocks.
  static let migration0008 = SQLiteMigration(
    number: 8,
    sql: """
      ALTER TABLE entries ADD COLUMN chunker INTEGER; -- of a folder; NULL: that of the nearest folder above which has one
      """)
}
