internal import SQLiteDatabase

extension Migrations {
  /// The first schema. All that belongs to a tree is keyed by its namespace first, so that namespaces can move to databases of their own.
  /// Times are microseconds since 1970 (files' own times nanoseconds), ids 16-byte and block ids 32-byte blobs.
  static let migration0001 = SQLiteMigration(
    number: 1,
    sql: """
      -- The cluster

      CREATE TABLE settings (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

      CREATE TABLE nodes (
        id TEXT PRIMARY KEY, zone TEXT NOT NULL, weight REAL NOT NULL, address TEXT NOT NULL,
        disks BLOB NOT NULL,            -- 16-byte ids, one after the other
        is_out INTEGER NOT NULL
      ) WITHOUT ROWID;

      CREATE TABLE layouts (version INTEGER PRIMARY KEY, document BLOB NOT NULL);

      CREATE TABLE filling (partition INTEGER PRIMARY KEY, targets TEXT NOT NULL, sources TEXT NOT NULL);

      CREATE TABLE data_key_epochs (epoch INTEGER PRIMARY KEY, founder TEXT NOT NULL, check_value TEXT NOT NULL);

      CREATE TABLE audit_log (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL
      );

      -- Accounts

      CREATE TABLE users (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL,
        name_key TEXT NOT NULL UNIQUE,  -- the name in lower case
        password TEXT NOT NULL,         -- scrypt, its parameters and salt
        created_at INTEGER NOT NULL, is_disabled INTEGER NOT NULL DEFAULT 0,
        quota INTEGER                   -- bytes; NULL is unlimited
      );

      CREATE TABLE devices (
        id BLOB PRIMARY KEY, user INTEGER NOT NULL REFERENCES users(number), name TEXT NOT NULL,
        token_hash BLOB NOT NULL UNIQUE, -- SHA-256
        created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, last_seen_at INTEGER
      ) WITHOUT ROWID;
      CREATE INDEX devices_by_user ON devices(user, created_at);

      CREATE TABLE idempotency_keys (
        user INTEGER NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL, request_hash BLOB NOT NULL, response BLOB NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (user, key)
      ) WITHOUT ROWID;
      CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys(expires_at);

      -- Trees

      CREATE TABLE namespaces (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, owner INTEGER NOT NULL REFERENCES users(number), root BLOB NOT NULL,
        sequence INTEGER NOT NULL,      -- of the last change
        trimmed INTEGER NOT NULL,       -- changes up to this one are no longer kept
        last_time INTEGER NOT NULL,     -- of the last change
        used INTEGER NOT NULL,          -- bytes of the distinct blocks referred to
        reserved INTEGER NOT NULL,      -- bytes that open uploads have reserved
        files INTEGER NOT NULL          -- in the trash included
      );
      CREATE INDEX namespaces_by_owner ON namespaces(owner);

      CREATE TABLE entries (
        ns INTEGER NOT NULL, id BLOB NOT NULL,
        parent BLOB NOT NULL,           -- empty for the root
        name TEXT NOT NULL,             -- NFC
        kind INTEGER NOT NULL,          -- 0 file, 1 folder, 2 symlink
        version INTEGER NOT NULL, size INTEGER NOT NULL, content_hash BLOB, mime_type TEXT,
        modified_at INTEGER NOT NULL,   -- nanoseconds
        executable INTEGER NOT NULL, target TEXT,
        removed_at INTEGER,             -- in the trash since then, with all below; NULL for the living
        purging INTEGER NOT NULL DEFAULT 0, -- deleted for good, rows still to go
        PRIMARY KEY (ns, id)
      ) WITHOUT ROWID;
      CREATE UNIQUE INDEX entries_by_name ON entries(ns, parent, name) WHERE removed_at IS NULL;
      CREATE INDEX entries_removed ON entries(ns, parent, removed_at) WHERE removed_at IS NOT NULL;
      CREATE INDEX folders_by_parent ON entries(ns, parent) WHERE kind = 1;
      CREATE INDEX entries_purging ON entries(ns) WHERE purging = 1;

      CREATE TABLE versions (
        ns INTEGER NOT NULL, entry BLOB NOT NULL, version INTEGER NOT NULL, size INTEGER NOT NULL, content_hash BLOB NOT NULL,
        chunker INTEGER NOT NULL,       -- 0 fixed, 1 content-defined: then the hash is the client's claim
        modified_at INTEGER NOT NULL, committed_at INTEGER NOT NULL, author INTEGER NOT NULL, device TEXT,
        block_count INTEGER NOT NULL,
        blocks BLOB,                    -- a short list itself: 32-byte id and 4-byte size each
        pages BLOB,                     -- else the 32-byte names of its pages
        PRIMARY KEY (ns, entry, version)
      ) WITHOUT ROWID;

      -- Immutable runs of at most 1,024 blocks, named by the SHA-256 of their content and shared between versions.
      CREATE TABLE block_pages (
        ns INTEGER NOT NULL, hash BLOB NOT NULL, refs INTEGER NOT NULL, blocks BLOB NOT NULL, UNIQUE (ns, hash)
      );

      CREATE TABLE changes (
        ns INTEGER NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL,
        action INTEGER NOT NULL,        -- 0 created, 1 modified, 2 moved, 3 deleted
        entry BLOB NOT NULL, parent BLOB NOT NULL, path TEXT NOT NULL, old_path TEXT, kind INTEGER NOT NULL, version INTEGER NOT NULL,
        size INTEGER NOT NULL, content_hash BLOB, mime_type TEXT, modified_at INTEGER NOT NULL, executable INTEGER NOT NULL, target TEXT,
        PRIMARY KEY (ns, sequence)
      ) WITHOUT ROWID;

      -- Blocks

      CREATE TABLE blocks (
        id BLOB PRIMARY KEY, size INTEGER NOT NULL,
        namespaces INTEGER NOT NULL,    -- how many refer to it
        unreferenced_epoch INTEGER      -- the GC epoch in which the last reference went
      ) WITHOUT ROWID;

      CREATE TABLE namespace_blocks (
        ns INTEGER NOT NULL, block BLOB NOT NULL,
        refs INTEGER NOT NULL,          -- places in short lists and in pages
        PRIMARY KEY (ns, block)
      ) WITHOUT ROWID;

      CREATE TABLE partition_blocks (partition INTEGER PRIMARY KEY, referenced INTEGER NOT NULL);

      CREATE TABLE strays (block BLOB NOT NULL, node TEXT NOT NULL, PRIMARY KEY (block, node)) WITHOUT ROWID;

      CREATE TABLE repairs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, block BLOB NOT NULL UNIQUE,
        zones INTEGER                   -- that hold a copy; NULL is unknown
      );

      -- Uploads

      CREATE TABLE uploads (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, ns INTEGER NOT NULL, user INTEGER NOT NULL, device TEXT,
        status INTEGER NOT NULL,        -- 0 uploading, 1 uploaded, 2 aborted, 3 expired
        expires_at INTEGER NOT NULL, path TEXT NOT NULL, declared_size INTEGER, content_hash BLOB, base_version INTEGER,
        on_conflict INTEGER NOT NULL,   -- 0 fail, 1 copy, 2 overwrite
        mime_type TEXT, modified_at INTEGER, executable INTEGER, chunker INTEGER NOT NULL, parents INTEGER NOT NULL,
        announced_bytes INTEGER NOT NULL, -- sizes of all positions announced
        position_count INTEGER NOT NULL,
        lacking_bytes INTEGER NOT NULL, -- sizes of the distinct blocks that were not had when announced
        reserved INTEGER NOT NULL,
        entry BLOB, version INTEGER     -- with uploaded: what it became
      );
      CREATE INDEX uploads_by_expiry ON uploads(expires_at);
      CREATE INDEX uploads_open ON uploads(ns) WHERE status = 0;

      CREATE TABLE upload_positions (
        upload INTEGER NOT NULL, position INTEGER NOT NULL, block BLOB NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (upload, position)
      ) WITHOUT ROWID;

      CREATE TABLE upload_blocks (
        upload INTEGER NOT NULL, block BLOB NOT NULL, size INTEGER NOT NULL,
        first_position INTEGER NOT NULL,
        is_had INTEGER NOT NULL,        -- needs no upload: the caller has it, or receipts make the quorum
        is_pinned INTEGER NOT NULL,     -- held against collection until the session ends
        PRIMARY KEY (upload, block)
      ) WITHOUT ROWID;
      CREATE INDEX pins ON upload_blocks(block) WHERE is_pinned = 1;

      CREATE TABLE upload_receipts (
        upload INTEGER NOT NULL, block BLOB NOT NULL, node TEXT NOT NULL, disk BLOB NOT NULL, hashed INTEGER NOT NULL,
        PRIMARY KEY (upload, block, node)
      ) WITHOUT ROWID;
      """)
}
