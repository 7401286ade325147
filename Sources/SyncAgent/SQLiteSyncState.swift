package import BlockModel
internal import ClusterLogic
internal import SQLSession
internal import SQLiteDatabase
internal import Synchronization

/// The agent's memory in a SQLite database.
package final class SQLiteSyncState: SyncState {
  private static let migrations = [
    SQLiteMigration(
      number: 1,
      sql: """
        CREATE TABLE agent (
          one INTEGER PRIMARY KEY CHECK (one = 1), root TEXT NOT NULL, remote_path TEXT NOT NULL, cursor TEXT, is_listed INTEGER NOT NULL,
          root_identity TEXT);
        CREATE TABLE remote (
          id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL, content TEXT NOT NULL,
          executable INTEGER NOT NULL, modified INTEGER NOT NULL, version INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE synced (
          id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL, content TEXT NOT NULL,
          executable INTEGER NOT NULL, modified INTEGER NOT NULL, version INTEGER NOT NULL, size INTEGER NOT NULL,
          inode INTEGER, local_size INTEGER, local_modified INTEGER, local_changed INTEGER) WITHOUT ROWID;
        CREATE TABLE hashes (
          path TEXT PRIMARY KEY, inode INTEGER NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL, changed INTEGER NOT NULL,
          content TEXT NOT NULL) WITHOUT ROWID;
        """)
  ]

  private let connection: Mutex<SQLiteConnection>

  /// - Parameter path: of the database, which is made when it is not there.
  package init(_ path: String) throws(SyncError) {
    do {
      let opened = try SQLiteConnection(path)
      try opened.migrate(Self.migrations)
      connection = Mutex(opened)
    } catch { throw Self.mapped(error) }
  }

  private static func mapped(_ error: any Error) -> SyncError {
    SyncError(.stopped, "The agent's notes cannot be kept: \(error)")
  }

  private func using<T: Sendable>(_ body: (SQLiteConnection) throws -> T) throws(SyncError) -> T {
    do { return try connection.withLock { connection in try body(connection) } } catch { throw Self.mapped(error) }
  }

  // MARK: - Reading

  package func load() throws(SyncError) -> SyncMemory? {
    try using { db in
      let agent = try db.first("SELECT root, remote_path, cursor, is_listed, root_identity FROM agent") { row in
        (row.text(0), row.text(1), row.optionalText(2), row.bool(3), row.optionalText(4))
      }
      guard let agent, let root = EntryID(hex: agent.0) else { return nil }
      var memory = SyncMemory(root: root, remotePath: agent.1)
      (memory.cursor, memory.isListed, memory.rootIdentity) = (agent.2, agent.3, agent.4)
      try db.each("SELECT id, parent, name, kind, content, executable, modified, version, size FROM remote") { row in
        if let (id, node) = Self.node(row) { memory.apply([.remote(id, node)]) }
        return true
      }
      try db.each(
        """
        SELECT id, parent, name, kind, content, executable, modified, version, size, inode, local_size, local_modified, local_changed
        FROM synced
        """
      ) { row in
        if let (id, node) = Self.node(row) { memory.apply([.synced(id, node, row.isNull(9) ? nil : Self.identity(row, 9))]) }
        return true
      }
      try db.each("SELECT path, content, inode, size, modified, changed FROM hashes") { row in
        memory.apply([.hash(row.text(0), .init(identity: Self.identity(row, 2), content: SyncContent(row.text(1))))])
        return true
      }
      return memory
    }
  }

  private static func node(_ row: SQLiteStatement) -> (EntryID, SyncNode)? {
    guard let id = EntryID(hex: row.text(0)), let parent = EntryID(hex: row.text(1)), let kind = SyncNode.Kind(rawValue: row.int(3)) else {
      return nil
    }
    return (
      id,
      SyncNode(
        SyncPlace(.entry(parent), row.text(2)), kind, content: SyncContent(row.text(4)), executable: row.bool(5), modified: row.int64(6),
        version: row.int64(7), size: row.int64(8))
    )
  }

  private static func identity(_ row: SQLiteStatement, _ column: Int32) -> LocalIdentity {
    LocalIdentity(
      inode: UInt64(bitPattern: row.int64(column)), size: row.int64(column + 1), modified: row.int64(column + 2),
      changed: row.int64(column + 3))
  }

  // MARK: - Writing

  package func begin(root: EntryID, remotePath: String) throws(SyncError) {
    try using { db in
      try db.write {
        try db.run("DELETE FROM remote")
        try db.run("DELETE FROM synced")
        try db.run("DELETE FROM hashes")
        try db.run(
          "INSERT OR REPLACE INTO agent (one, root, remote_path, is_listed) VALUES (1, ?, ?, 0)", .text(root.hex), .text(remotePath))
      }
    }
  }

  package func apply(_ changes: [SyncChange]) throws(SyncError) {
    try using { db in try db.write { for change in changes { try Self.write(change, db) } } }
  }

  private static func write(_ change: SyncChange, _ db: SQLiteConnection) throws {
    switch change {
    case .remote(let id, nil): try db.run("DELETE FROM remote WHERE id = ?", .text(id.hex))
    case .remote(let id, .some(let node)):
      try db.run(
        """
        INSERT OR REPLACE INTO remote (id, parent, name, kind, content, executable, modified, version, size)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """, .text(id.hex), .text(parent(node)), .text(node.place.name), .int(node.kind.rawValue), .text(node.content?.text ?? ""),
        .flag(node.executable), .integer(node.modified), .integer(node.version), .integer(node.size))
    case .synced(let id, nil, _): try db.run("DELETE FROM synced WHERE id = ?", .text(id.hex))
    case .synced(let id, .some(let node), let identity):
      try db.run(
        """
        INSERT OR REPLACE INTO synced (id, parent, name, kind, content, executable, modified, version, size, inode, local_size,
          local_modified, local_changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """, .text(id.hex), .text(parent(node)), .text(node.place.name), .int(node.kind.rawValue), .text(node.content?.text ?? ""),
        .flag(node.executable), .integer(node.modified), .integer(node.version), .integer(node.size),
        .integer(identity.map { Int64(bitPattern: $0.inode) }), .integer(identity?.size), .integer(identity?.modified),
        .integer(identity?.changed))
    case .hash(let path, nil): try db.run("DELETE FROM hashes WHERE path = ?", .text(path))
    case .hash(let path, .some(let known)):
      try db.run(
        "INSERT OR REPLACE INTO hashes (path, inode, size, modified, changed, content) VALUES (?, ?, ?, ?, ?, ?)", .text(path),
        .integer(Int64(bitPattern: known.identity.inode)), .integer(known.identity.size), .integer(known.identity.modified),
        .integer(known.identity.changed), .text(known.content.text))
    case .remoteCleared: try db.run("DELETE FROM remote")
    case .followed(let cursor, let isListed, let path):
      try db.run("UPDATE agent SET cursor = ?, is_listed = ?, remote_path = ?", .text(cursor), .flag(isListed), .text(path))
    case .rootIdentity(let identity): try db.run("UPDATE agent SET root_identity = ?", .text(identity))
    }
  }

  private static func parent(_ node: SyncNode) -> String {
    guard let parent = node.place.parent.entry else { preconditionFailure("what is noted lies in what is noted") }
    return parent.hex
  }
}
