internal import SQLiteDatabase

extension Migrations {
  /// The garbage collector's runs and its log of deletes.
  static let migration0004 = SQLiteMigration(
    number: 4,
    sql: """
      -- With unreferenced_epoch: a version referred to it once; else an upload announced it and ended.
      ALTER TABLE blocks ADD COLUMN was_referenced INTEGER NOT NULL DEFAULT 0;
      CREATE INDEX blocks_unreferenced ON blocks(unreferenced_epoch) WHERE namespaces = 0;

      -- What any open upload announced is not collected, pinned or not.
      DROP INDEX pins;
      CREATE INDEX upload_blocks_by_block ON upload_blocks(block);

      CREATE TABLE gc_runs (
        number INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL,    -- of the coordinator that works on it
        is_open INTEGER NOT NULL,
        document BLOB NOT NULL
      );

      -- Why nothing is collected; no row when nothing speaks against it.
      CREATE TABLE gc_hold (reason TEXT NOT NULL);

      -- What nodes were told to delete: the newest authorization of each block.
      CREATE TABLE gc_deletes (
        block BLOB PRIMARY KEY,
        epoch INTEGER NOT NULL,         -- records of lower epochs go; receipts of lower epochs do not count
        cause INTEGER NOT NULL,         -- 0 dereferenced, 1 abandoned, 2 deleted before, 3 unlogged
        at INTEGER NOT NULL
      ) WITHOUT ROWID;
      CREATE INDEX gc_deletes_by_epoch ON gc_deletes(epoch);
      """)
}
