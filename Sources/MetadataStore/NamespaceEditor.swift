internal import BlockModel
internal import SQLiteDatabase
internal import ServiceAPI

/// The counted part of a namespace's row.
struct NamespaceState: Equatable {
  var sequence: Int64
  var lastTime: WallTime
  var used: Int64
  var reserved: Int64
  var files: Int64
}

/// One mutation of one namespace: reads its row at the start, gives out sequence numbers and times, and writes the row at the end.
///
/// What must hold: a change's time is above that of the change before; `state` is what the row says whenever no mutation runs.
final class NamespaceEditor: MetadataReading {
  let transaction: WriteTransaction
  let principal: Principal
  let quota: Int64?
  var state: NamespaceState
  private var saved: NamespaceState

  var db: SQLiteConnection { transaction.db }
  var namespace: Int64 { principal.namespaceNumber }
  var context: WriterContext { transaction.context }
  var now: WallTime { transaction.now }

  init(_ transaction: WriteTransaction, _ principal: Principal) throws {
    self.transaction = transaction
    self.principal = principal
    let row = try transaction.db.first(
      """
      SELECT n.sequence, n.last_time, n.used, n.reserved, n.files, u.quota
      FROM namespaces n JOIN users u ON u.number = n.owner WHERE n.number = ?
      """, .integer(principal.namespaceNumber)
    ) {
      (
        NamespaceState(
          sequence: $0.int64(0), lastTime: $0.time(1), used: $0.int64(2), reserved: $0.int64(3), files: $0.int64(4)), $0.optionalInt64(5)
      )
    }
    guard let row else { throw Problem(.notFound, "This user's files are no longer here.") }
    (state, quota) = row
    saved = state
  }

  func save() throws {
    guard state != saved else { return }
    try db.run(
      "UPDATE namespaces SET sequence = ?, last_time = ?, used = ?, reserved = ?, files = ? WHERE number = ?", .integer(state.sequence),
      .time(state.lastTime), .integer(state.used), .integer(state.reserved), .integer(state.files), .integer(namespace))
    saved = state
  }

  /// Runs one item of a batch so that its failure undoes it alone.
  func item<T>(_ body: () throws -> T) throws -> ItemResult<T> {
    let before = state
    do {
      return ItemResult(value: try db.savepoint(body))
    } catch let problem as Problem {
      state = before
      return ItemResult(problem: problem)
    }
  }

  /// Writes the next change of the feed.
  /// - Returns: the change's time, which is also the commit time of what it tells of.
  @discardableResult
  func record(_ action: Change.Action, _ row: EntryRow, path: String, oldPath: String? = nil) throws -> WallTime {
    state.sequence += 1
    state.lastTime = max(now, WallTime(microseconds: state.lastTime.microseconds + 1))
    try db.run(
      """
      INSERT INTO changes (ns, sequence, at, action, entry, parent, path, old_path, kind, version, size, content_hash, mime_type,
        modified_at, executable, target) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, .integer(namespace), .integer(state.sequence), .time(state.lastTime), .int(action.number), .id(row.id),
      row.parent.map { .id($0) } ?? .blob([]), .text(path), .text(oldPath), .int(row.kind.number), .integer(row.version),
      .integer(row.size), .blob(row.contentHash), .text(row.mimeType), .time(row.modifiedAt), .flag(row.executable), .text(row.target))
    return state.lastTime
  }

  func insert(_ row: EntryRow) throws {
    try db.run(
      """
      INSERT INTO entries (ns, id, parent, name, kind, version, size, content_hash, mime_type, modified_at, executable, target)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, .integer(namespace), .id(row.id), row.parent.map { .id($0) } ?? .blob([]), .text(row.name), .int(row.kind.number),
      .integer(row.version), .integer(row.size), .blob(row.contentHash), .text(row.mimeType), .time(row.modifiedAt),
      .flag(row.executable), .text(row.target))
  }

  /// Writes all of a row but its id, kind and removal.
  func update(_ row: EntryRow) throws {
    try db.run(
      """
      UPDATE entries SET parent = ?, name = ?, version = ?, size = ?, content_hash = ?, mime_type = ?, modified_at = ?, executable = ?
      WHERE ns = ? AND id = ?
      """, row.parent.map { .id($0) } ?? .blob([]), .text(row.name), .integer(row.version), .integer(row.size), .blob(row.contentHash),
      .text(row.mimeType), .time(row.modifiedAt), .flag(row.executable), .integer(namespace), .id(row.id))
  }

  func insert(_ version: VersionRow, of entry: EntryID) throws {
    var short: [UInt8]?
    var pages: [UInt8]?
    let count: Int
    switch version.list {
    case .short(let packed):
      short = packed
      count = packed.count / BlockList.packedBytes
    case .pages(let names, let blocks):
      pages = names
      count = blocks
    }
    try db.run(
      """
      INSERT INTO versions (ns, entry, version, size, content_hash, chunker, modified_at, committed_at, author, device, block_count, blocks,
        pages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, .integer(namespace), .id(entry), .integer(version.version), .integer(version.size), .blob(version.contentHash),
      .int(version.chunker.number), .time(version.modifiedAt), .time(version.committedAt), .integer(version.author), .text(version.device),
      .int(count), .blob(short), .blob(pages))
  }
}

extension WriteTransaction {
  /// Runs one mutation of the principal's namespace.
  func edit<T>(_ principal: Principal, _ body: (NamespaceEditor) throws -> T) throws -> T {
    let editor = try NamespaceEditor(self, principal)
    let value = try body(editor)
    try editor.save()
    return value
  }
}
