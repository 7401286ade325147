internal import SQLiteDatabase

extension Migrations {
  /// What nodes acknowledged for uploads that are open, and gave up since.
  static let migration0005 = SQLiteMigration(
    number: 5,
    sql: """
      -- Written before the node is told to drop the block; goes when the upload is forgotten.
      CREATE TABLE voided_receipts (
        upload INTEGER NOT NULL, block BLOB NOT NULL, node TEXT NOT NULL,
        layout_version INTEGER NOT NULL,  -- receipts of this layout and older ones do not count
        PRIMARY KEY (upload, block, node)
      ) WITHOUT ROWID;
      """)
}
