internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// The counted part of a namespace's row.
struct NamespaceState: Equatable {
  var sequence: Int64
  var lastTime: WallTime
  var used: Int64
  var reserved: Int64
  var files: Int64
  /// Shares of its entries.
  var shares: Int64
  /// Encrypted folders among its entries, those in the trash too.
  var encryptedFolders: Int64
}

/// What a mutation has to know of a namespace before it begins.
struct NamespaceCounters {
  /// Of `namespaces n` and its owner, `users o`.
  static let columns = "n.sequence, n.last_time, n.used, n.reserved, n.files, n.shares, n.encrypted_folders, o.quota"

  var state: NamespaceState
  var quota: Int64?

  /// - Parameter start: the column of the sequence.
  init(_ row: any SQLRow, from start: Int32 = 0) {
    state = NamespaceState(
      sequence: row.int64(start), lastTime: row.time(start + 1), used: row.int64(start + 2), reserved: row.int64(start + 3),
      files: row.int64(start + 4), shares: row.int64(start + 5), encryptedFolders: row.int64(start + 6))
    quota = row.optionalInt64(start + 7)
  }
}

/// One mutation of one namespace: reads its row at the start, gives out sequence numbers and times, and writes the row at the end.
///
/// What must hold: a change's time is above that of the change before; `state` is what the row says whenever no mutation runs.
final class NamespaceEditor: MetadataReading {
  let transaction: WriteTransaction
  let view: TreeView
  /// Who does it.
  let principal: Principal
  /// The owner's.
  let quota: Int64?
  var state: NamespaceState
  private var saved: NamespaceState
  /// Shared entries among a folder and those above it, by the folder; kept while nothing moves.
  var sharedAbove: [EntryID: [SharedRoot]] = [:]
  /// Blocks that a member may count as had beside those of their own files; nil until somebody asked.
  var readable: Set<BlockID>?
  /// The GC epoch, and what is at or below which deletes are no longer known one by one; once somebody asked.
  var epoch: UInt64?
  var deletesFloor: UInt64?
  /// The epochs under which blocks were deleted last, nil for none; of those that somebody asked for.
  var deletedEpochs: [BlockID: UInt64?] = [:]
  /// Whether any receipts were voided for the upload, once somebody asked.
  var voids: (upload: Int64, areAny: Bool)?
  /// The encrypted folders that folders are or lie in; once somebody asked.
  var keyFolders: [EntryID: EntryID?] = [:]
  /// Names of entries that are set aside while others take their places.
  var heldNames: [EntryID: String] = [:]

  var db: any SQLSession { transaction.db }
  func hold(_ namespaces: [Int64]) throws { try transaction.hold(namespaces) }
  var namespace: Int64 { view.namespace }
  /// Who does it, where that is not the owner.
  var author: Int64?
  var context: WriterContext { transaction.context }
  var now: WallTime { transaction.now }

  /// - Parameter counters: what the namespace's row says, where it was read already in this transaction and nothing was edited since.
  init(
    _ transaction: WriteTransaction, _ view: TreeView, _ principal: Principal, counters: NamespaceCounters? = nil
  ) throws {
    self.transaction = transaction
    self.view = view
    author = view.mount == nil ? nil : principal.userNumber
    self.principal = principal
    try transaction.hold([view.namespace])
    // From before any block's row is locked: what nodes, layouts and the collector's epoch say stays as it is meanwhile.
    try transaction.context.holdCluster(transaction)
    if let known = transaction.context.batch?.counters[view.namespace] {
      (state, saved, quota) = (known.now, known.saved, known.quota)
      return
    }
    let row =
      try counters
      ?? transaction.db.first(
        "SELECT \(NamespaceCounters.columns) FROM namespaces n JOIN users o ON o.number = n.owner WHERE n.number = ?",
        .integer(view.namespace)
      ) { NamespaceCounters($0) }
    guard let row else { throw Problem(.notFound, "This user's files are no longer here.") }
    (state, quota) = (row.state, row.quota)
    saved = state
  }

  func save() throws {
    if context.batch != nil {
      context.batch?.counters[namespace] = BatchMemory.Counters(now: state, saved: saved, quota: quota)
    } else {
      try transaction.write(state, saved: saved, of: namespace)
      saved = state
    }
  }

  /// Writes the next change of the feed.
  ///
  /// - Parameters:
  ///   - row: the entry as it is now; with `.deleted` as it was.
  ///   - path: where it is now.
  ///   - was: the entry before, unless the change made it.
  ///   - oldPath: with `.moved`: where it was.
  /// - Returns: the change's time, which is also the commit time of what it tells of.
  @discardableResult
  func record(_ action: Change.Action, _ row: EntryRow, path: String, was: EntryRow? = nil, oldPath: String? = nil) throws -> WallTime {
    state.sequence += 1
    state.lastTime = max(now, WallTime(microseconds: state.lastTime.microseconds + 1))
    try db.send(
      """
      INSERT INTO changes (ns, sequence, at, action, entry, parent, path, old_path, kind, version, size, content_hash, mime_type,
        modified_at, executable, target, author, old_parent, old_version, old_modified_at, old_executable, key_folder, envelope)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, .integer(namespace), .integer(state.sequence), .time(state.lastTime), .int(action.number), .id(row.id),
      row.parent.map { .id($0) } ?? .blob([]), .text(path), .text(oldPath), .int(row.kind.number), .integer(row.version),
      .integer(row.size), .blob(row.contentHash), .text(row.mimeType), .time(row.modifiedAt), .flag(row.executable), .text(row.target),
      .integer(author), was.map { $0.parent.map { .id($0) } ?? .blob([]) } ?? .null, .integer(was?.version),
      .integer(was?.modifiedAt.nanoseconds), .integer(was.map { $0.executable ? 1 : 0 }), row.keyFolder.map { .id($0) } ?? .null,
      .blob(row.envelope))
    if state.shares > 0 { try recordForMembers(action, row, path: path, was: was, oldPath: oldPath ?? path) }
    return state.lastTime
  }

  func insert(_ row: EntryRow) throws {
    try db.send(
      """
      INSERT INTO entries (ns, id, parent, name, kind, version, size, content_hash, mime_type, modified_at, executable, target, name_key,
        chunker, key_folder, envelope)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, .integer(namespace), .id(row.id), row.parent.map { .id($0) } ?? .blob([]), .text(row.name), .int(row.kind.number),
      .integer(row.version), .integer(row.size), .blob(row.contentHash), .text(row.mimeType), .time(row.modifiedAt),
      .flag(row.executable), .text(row.target), .text(NameKey.make(row.name)), .integer(row.chunker.map { Int64($0.number) }),
      row.keyFolder.map { .id($0) } ?? .null, .blob(row.envelope))
  }

  /// Writes all of a row but its id, kind, chunker and removal.
  func update(_ row: EntryRow) throws {
    try db.send(
      """
      UPDATE entries SET parent = ?, name = ?, version = ?, size = ?, content_hash = ?, mime_type = ?, modified_at = ?, executable = ?,
        name_key = ?, envelope = ? WHERE ns = ? AND id = ?
      """, row.parent.map { .id($0) } ?? .blob([]), .text(row.name), .integer(row.version), .integer(row.size), .blob(row.contentHash),
      .text(row.mimeType), .time(row.modifiedAt), .flag(row.executable), .text(NameKey.make(row.name)), .blob(row.envelope),
      .integer(namespace),
      .id(row.id))
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
    try db.send(
      """
      INSERT INTO versions (ns, entry, version, size, content_hash, chunker, modified_at, committed_at, author, device, block_count, blocks,
        pages, envelope) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, .integer(namespace), .id(entry), .integer(version.version), .integer(version.size), .blob(version.contentHash),
      .int(version.chunker.number), .time(version.modifiedAt), .time(version.committedAt), .integer(version.author), .text(version.device),
      .int(count), .blob(short), .blob(pages), .blob(version.envelope))
  }
}

extension NamespaceEditor {
  /// A living entry of this namespace that the caller may do this with.
  func locate(_ reference: EntryReference, for operation: FileOperation) throws -> Located {
    let found = try locate(reference, for: operation, principal)
    precondition(found.view.namespace == namespace, "an editor is made for the namespace that its entries are in")
    return found
  }

  /// - Throws: unless the caller may do this at an entry of this namespace.
  func require(_ operation: FileOperation, at id: EntryID, _ path: String) throws {
    guard view.mount != nil else { return }
    // Above what is shared the caller sees nothing, and may make nothing there either.
    guard let role = try role(at: id, view, principal) else {
      throw Problem(.forbidden, "Only what is inside of \(view.callerPath(path)) is shared with you.")
    }
    try operation.check(role, view.callerPath(path))
  }

  func document(_ row: EntryRow, _ path: RemotePath) throws -> FileEntry {
    view.document(row, path: path.text, role: try role(at: row.id, view, principal) ?? .read)
  }

  /// - Throws: `.quota` when the namespace holds more than it may; called after something was added.
  func checkQuota() throws {
    guard let quota, state.used + state.reserved > quota else { return }
    throw Problem(.quota, "This needs \(state.used + state.reserved - quota) bytes more than the quota of \(quota): make room first.")
  }
}

/// What two names share that differ in upper and lower case only.
enum NameKey {
  /// Nil when the name is its own key, as most are: then no index holds it twice.
  static func make(_ name: String) -> String? {
    if name.utf8.allSatisfy({ $0 < 0x80 && !(0x41...0x5a).contains($0) }) { return nil }
    let key = name.lowercased()
    return key.utf8.elementsEqual(name.utf8) ? nil : key
  }
}

extension WriteTransaction {
  /// Runs one mutation of the principal's own namespace.
  func edit<T>(_ principal: Principal, _ body: (NamespaceEditor) throws -> T) throws -> T { try edit(principal.view, principal, body) }

  /// Runs one mutation of a namespace that the principal sees.
  func edit<T>(
    _ view: TreeView, _ principal: Principal, counters: NamespaceCounters? = nil, _ body: (NamespaceEditor) throws -> T
  ) throws -> T {
    let editor = try NamespaceEditor(self, view, principal, counters: counters)
    let value = try body(editor)
    try editor.save()
    return value
  }

  /// Runs one mutation of the namespace that an entry is in.
  func edit<T>(_ reference: EntryReference, _ principal: Principal, _ body: (NamespaceEditor) throws -> T) throws -> T {
    try edit(try view(of: reference, principal), principal, body)
  }
}
