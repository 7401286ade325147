internal import SQLiteDatabase

extension Migrations {
  /// Scanning contents for malware: what waits for it, and what was found.
  static let migration0007 = SQLiteMigration(
    number: 7,
    sql: """
      -- A version without a row was found clean, or was committed while nothing was scanned.
      CREATE TABLE content_scans (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        ns INTEGER NOT NULL, entry BLOB NOT NULL, version INTEGER NOT NULL,
        state INTEGER NOT NULL,         -- 0 not scanned, 1 infected, 2 cannot be scanned, 3 released by an operator
        due_at INTEGER,                 -- waits for the scanner, who comes not before; NULL for what does not wait
        attempts INTEGER NOT NULL,      -- that failed
        finding TEXT,                   -- the signature, or why it cannot be scanned
        found_at INTEGER,               -- when it was found infected; above the time of any change of the namespace before
        released_at INTEGER,
        UNIQUE (ns, entry, version)
      );
      CREATE INDEX content_scans_waiting ON content_scans(due_at) WHERE due_at IS NOT NULL;
      CREATE INDEX content_scans_held ON content_scans(number) WHERE state <> 0;
      CREATE INDEX content_scans_found ON content_scans(ns, found_at) WHERE found_at IS NOT NULL;
      """)
}
