internal import SQLiteDatabase

extension Migrations {
  /// Shares, links, the trash's bookkeeping, and what the feed needs to be undone and to be shown to members.
  static let migration0003 = SQLiteMigration(
    number: 3,
    sql: """
      -- The name in lower case where that is another one: what case clashes are found by.
      ALTER TABLE entries ADD COLUMN name_key TEXT;
      CREATE INDEX entries_by_key ON entries(ns, parent, name_key) WHERE name_key IS NOT NULL AND removed_at IS NULL;
      ALTER TABLE entries ADD COLUMN removed_by INTEGER;
      CREATE INDEX trash_by_namespace ON entries(ns, removed_at) WHERE removed_at IS NOT NULL AND purging = 0;
      CREATE INDEX trash_by_time ON entries(removed_at) WHERE removed_at IS NOT NULL AND purging = 0;

      -- When another version took its place; NULL for the present one.
      ALTER TABLE versions ADD COLUMN superseded_at INTEGER;
      CREATE INDEX versions_superseded ON versions(superseded_at) WHERE superseded_at IS NOT NULL;

      ALTER TABLE namespaces ADD COLUMN shares INTEGER NOT NULL DEFAULT 0; -- rows in shares

      -- Actions go on: 4 entered, 5 left.
      ALTER TABLE changes ADD COLUMN author INTEGER;       -- NULL for the owner
      ALTER TABLE changes ADD COLUMN old_parent BLOB;      -- as before the change; all NULL when it made the entry
      ALTER TABLE changes ADD COLUMN old_version INTEGER;
      ALTER TABLE changes ADD COLUMN old_modified_at INTEGER;
      ALTER TABLE changes ADD COLUMN old_executable INTEGER;
      CREATE INDEX changes_by_others ON changes(ns, sequence) WHERE author IS NOT NULL;

      CREATE TABLE shares (
        number INTEGER PRIMARY KEY, ns INTEGER NOT NULL, entry BLOB NOT NULL, member INTEGER NOT NULL REFERENCES users(number),
        role INTEGER NOT NULL,          -- 0 read, 1 write, 2 admin
        mount TEXT NOT NULL,            -- its name for the member, NFC
        granted_by INTEGER NOT NULL, granted_at INTEGER NOT NULL,
        since INTEGER NOT NULL,         -- sequence of the namespace when it was granted: earlier changes are not the member's
        UNIQUE (ns, entry, member)
      );
      CREATE UNIQUE INDEX shares_by_member ON shares(member, mount);
      CREATE INDEX shares_by_namespace ON shares(member, ns);

      -- Which changes are to be seen through which shared entry.
      CREATE TABLE share_changes (
        ns INTEGER NOT NULL, root BLOB NOT NULL, sequence INTEGER NOT NULL,
        side INTEGER NOT NULL,          -- 0 inside of it before and after, 1 entered it, 2 left it, 3 all of it came, 4 all of it went
        cut INTEGER NOT NULL,           -- bytes of the change's path that are the shared entry's own path
        old_cut INTEGER NOT NULL,       -- the same of its old path
        PRIMARY KEY (ns, root, sequence)
      ) WITHOUT ROWID;

      CREATE INDEX share_changes_by_sequence ON share_changes(ns, sequence);

      CREATE TABLE links (
        id BLOB PRIMARY KEY, ns INTEGER NOT NULL, entry BLOB NOT NULL, creator INTEGER NOT NULL REFERENCES users(number),
        token_hash BLOB NOT NULL UNIQUE, -- SHA-256
        password TEXT,                  -- scrypt, its parameters and salt
        created_at INTEGER NOT NULL, expires_at INTEGER, max_downloads INTEGER, downloads INTEGER NOT NULL
      ) WITHOUT ROWID;
      CREATE INDEX links_by_entry ON links(ns, entry);
      CREATE INDEX links_by_creator ON links(creator, created_at);
      CREATE INDEX links_by_expiry ON links(expires_at) WHERE expires_at IS NOT NULL;
      """)
}
