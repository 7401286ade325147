internal import SQLiteDatabase

extension Migrations {
  /// Folders whose contents clients encrypt, and the keys that their users hand to each other.
  static let migration0009 = SQLiteMigration(
    number: 9,
    sql: """
      -- The encrypted folder that an entry is or lies in; NULL outside of all. It never changes.
      ALTER TABLE entries ADD COLUMN key_folder BLOB;
      -- What its client says of the newest version of a file there; opaque.
      ALTER TABLE entries ADD COLUMN envelope BLOB;
      ALTER TABLE versions ADD COLUMN envelope BLOB;
      ALTER TABLE changes ADD COLUMN key_folder BLOB;
      ALTER TABLE changes ADD COLUMN envelope BLOB;
      -- Encrypted folders of the namespace, those in the trash too: with none, as mostly, nobody has to look.
      ALTER TABLE namespaces ADD COLUMN encrypted_folders INTEGER NOT NULL DEFAULT 0;

      CREATE TABLE encrypted_folders (ns INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (ns, entry)) WITHOUT ROWID;

      CREATE TABLE user_keys (
        user INTEGER NOT NULL PRIMARY KEY,
        generation INTEGER NOT NULL,    -- counts the pairs that the user had
        public_key BLOB NOT NULL,
        wrapped_private_key BLOB NOT NULL,
        created_at INTEGER NOT NULL
      ) WITHOUT ROWID;

      CREATE TABLE folder_keys (
        ns INTEGER NOT NULL, entry BLOB NOT NULL, member INTEGER NOT NULL,
        wrapped_key BLOB NOT NULL,
        generation INTEGER NOT NULL,    -- of the member's pair that it is wrapped to
        granted_by INTEGER NOT NULL,
        PRIMARY KEY (ns, entry, member)
      ) WITHOUT ROWID;
      """)
}
