internal import BlockModel
internal import SQLSession
internal import ServiceAPI

extension ReadTransaction {
  /// The caller's own trash, what was removed last first.
  func trash(limit: Int, cursor: String?, retention: Duration, _ principal: Principal) throws -> Page<TrashItem> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let before = try cursor.map { try NumberCursor.decode("t", count: 1, $0)[0] } ?? .max
    var rows = try db.all(
      """
      SELECT \(EntryRow.columns), removed_at, removed_by FROM entries
      WHERE ns = ? AND removed_at IS NOT NULL AND purging = 0 AND removed_at < ? ORDER BY removed_at DESC LIMIT ?
      """, .integer(principal.namespaceNumber), .integer(before), .int(limit + 1)
    ) { (row: EntryRow($0), at: $0.time(EntryRow.columnCount), by: $0.optionalInt64(EntryRow.columnCount + 1)) }
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    let items = try rows.map { row, at, by in
      let path = try formerPath(of: row, principal.namespaceNumber) ?? "/" + row.name
      return TrashItem(
        entry: row.document(path: path, owner: principal.userName), removedAt: at, removedBy: try by.map { try userName($0) },
        expiresAt: at + retention)
    }
    return Page(items: items, next: hasMore ? rows.last.map { NumberCursor.encode("t", $0.at.microseconds) } : nil)
  }
}

extension WriteTransaction {
  /// Deletes for good what is in the caller's trash. Answers how many entries of the trash went; what was in folders goes with them.
  func emptyTrash(_ id: EntryID?, _ principal: Principal) throws -> Int {
    try edit(principal) { editor in
      let marked =
        try id.map { id in
          try db.run(
            "UPDATE entries SET purging = 1 WHERE ns = ? AND id = ? AND removed_at IS NOT NULL AND purging = 0",
            .integer(editor.namespace), .id(id))
        }
        ?? db.run(
          "UPDATE entries SET purging = 1 WHERE ns = ? AND removed_at IS NOT NULL AND purging = 0", .integer(editor.namespace))
      guard marked > 0 || id == nil else { throw Problem(.notFound, "There is no such thing in the trash.") }
      try log(actor: principal.userName, action: "empty-trash", subject: id.map(\.hex) ?? "\(marked) entries")
      _ = try editor.purge(limit: NamespaceEditor.purgeStep)
      return marked
    }
  }

  /// - Parameter newPath: where it goes; nil is where it was, with folders above it made anew when they are gone.
  func restoreFromTrash(_ id: EntryID, to newPath: String?, _ principal: Principal) throws -> FileEntry {
    guard let view = try view(of: id, principal) else { throw Problem.noSuchEntry }
    let target = try newPath.map { try self.view(of: RemotePath.checked($0), principal) }
    guard target.map({ $0.view.namespace == view.namespace }) ?? true else {
      throw Problem(.conflict, "It can be restored among its owner's files only: copy it afterwards.")
    }
    return try edit(view, principal) { editor in
      guard let row = try editor.removedEntry(id) else { throw Problem(.notFound, "There is no such thing in the trash.") }
      // The entry is in nobody's sight now; what counts is the folder that it was in.
      try editor.require(.restore, at: row.parent ?? view.root, try formerPath(of: row, view.namespace) ?? "/")
      let path = try target.map { $0.path } ?? editor.formerPlace(of: row)
      return try editor.restore(row, to: path, mayRename: target == nil)
    }
  }
}

extension NamespaceEditor {
  /// Entries below a folder that a restoration tells of one by one; with more the feed says `entered`, and clients list.
  static let toldLimit = 10_000

  /// What lies in the trash itself, not with a folder, and is not being deleted for good.
  func removedEntry(_ id: EntryID) throws -> EntryRow? {
    try db.first(
      "SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND id = ? AND removed_at IS NOT NULL AND purging = 0", .integer(namespace),
      .id(id)
    ) { EntryRow($0) }
  }

  /// Where it was; in the root when a folder above it is gone for good.
  func formerPlace(of row: EntryRow) throws -> RemotePath {
    try RemotePath.checked(try formerPath(of: row, namespace) ?? "/" + row.name)
  }

  /// Takes an entry out of the trash.
  /// - Parameter mayRename: puts a mark into its name when the name is taken; else that is refused.
  func restore(_ removed: EntryRow, to path: RemotePath, mayRename: Bool) throws -> FileEntry {
    let parent = try parentFolder(of: path, makeMissing: true)
    guard var name = path.name else { throw Problem(.alreadyExists, "The root is a folder.") }
    if let other = try child(namespace, parent, name.text) {
      // Nobody here can make a name that its client could open.
      guard mayRename, removed.keyFolder == nil || removed.keyFolder == removed.id else { throw try occupied(other, path) }
      name = try freeName(name, in: parent)
    }
    let target = RemotePath(components: path.components.dropLast() + [name])
    try bringBack(removed, as: name, in: parent, target)
    let row = try entry(namespace, removed.id) ?? removed
    return try document(row, target)
  }

  private func freeName(_ name: EntryName, in parent: EntryID) throws -> EntryName {
    let stamp = now.rfc3339.prefix(19)
    let mark = "restored \(stamp.prefix(10)) \(stamp.suffix(8).filter { $0 != ":" })"
    for attempt in 1...1000 {
      let text = MarkedName.make(name.text, attempt == 1 ? " (\(mark))" : " (\(mark) \(attempt))")
      if let free = try? EntryName(text), try child(namespace, parent, free.text) == nil { return free }
    }
    throw Problem(.conflict, "Too many entries are called \(name.text): restore it under another path.")
  }

  /// Makes a removed row live again at a place that is free, and tells of it and of what is below it.
  func bringBack(_ removed: EntryRow, as name: EntryName, in parent: EntryID, _ path: RemotePath) throws {
    try checkBorder(removed, named: name, into: parent)
    var row = removed
    row.parent = parent
    row.name = name.text
    row.isRemoved = false
    try db.send(
      "UPDATE entries SET removed_at = NULL, removed_by = NULL, parent = ?, name = ?, name_key = ? WHERE ns = ? AND id = ?", .id(parent),
      .text(name.text), .text(NameKey.make(name.text)), .integer(namespace), .id(row.id))
    sharedAbove = [:]
    guard row.kind == .folder else {
      try record(.created, row, path: path.text)
      return
    }
    try checkDepth(row.id, from: "/", to: path)
    let below = try inside(row.id, limit: NamespaceEditor.toldLimit)
    try record(.entered, row, path: path.text)
    guard below.count < NamespaceEditor.toldLimit else { return }
    // They were there all the time, only not to be seen: undoing this takes the folder away and leaves them in it.
    for entry in below { try record(.created, entry.row, path: path.text + entry.path, was: entry.row) }
  }

  /// What lives below a folder, parents before children, with paths that begin below it; at most `limit`.
  func inside(_ folder: EntryID, limit: Int) throws -> [(row: EntryRow, path: String)] {
    var found: [(row: EntryRow, path: String)] = []
    var next = 0
    var parent = (id: folder, path: "")
    while true {
      let children = try db.all(
        "SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL ORDER BY name LIMIT ?",
        .integer(namespace), .id(parent.id), .int(limit - found.count)
      ) { EntryRow($0) }
      for var row in children {
        row.name = heldNames[row.id] ?? row.name
        found.append((row, parent.path + "/" + row.name))
      }
      guard found.count < limit else { return found }
      while next < found.count, found[next].row.kind != .folder { next += 1 }
      guard next < found.count else { return found }
      parent = (found[next].row.id, found[next].path)
      next += 1
    }
  }
}
