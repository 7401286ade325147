internal import BlockModel
internal import SQLiteDatabase
internal import ServiceAPI

extension NamespaceEditor {
  /// Entries that one copy may make: it is one transaction, and others wait for it.
  static let copyLimit = 50_000

  /// Copies a file, symlink or folder with all below. No bytes move: the copies refer to the same blocks. Versions start anew.
  func copyEntry(_ operation: UserOperations.CopyEntry) throws -> FileEntry {
    let found = try locate(operation.entry, principal)
    let target = try RemotePath.checked(operation.newPath)
    guard let name = target.name, let above = target.parent else { throw Problem(.alreadyExists, "The root is a folder.") }
    guard found.row.parent != nil else { throw Problem(.forbidden, "The root cannot be copied.") }
    if found.row.kind == .folder, try target.isInside(RemotePath.checked(found.path)) {
      throw Problem(.conflict, "A folder cannot be copied into itself.")
    }
    let parent = try folder(above, principal)
    if let other = try child(namespace, parent.id, name.text) {
      throw Problem(.alreadyExists, "There is already a \(other.kind.rawValue) at \(target.text).", current: document(other, target))
    }
    let top = try copy(found.row, named: name.text, into: parent.id, path: target.text)
    guard found.row.kind == .folder else { return document(top, target) }
    var made = 1
    var folders = [(source: found.row.id, copy: top.id, path: target.text, depth: target.components.count)]
    while let next = folders.popLast() {
      let children = try db.all(
        "SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL LIMIT ?", .integer(namespace),
        .id(next.source), .int(NamespaceEditor.copyLimit)
      ) { EntryRow($0) }
      made += children.count
      guard made <= NamespaceEditor.copyLimit else {
        throw Problem(.tooLarge, "A folder with more than \(NamespaceEditor.copyLimit) entries has to be copied in parts.")
      }
      guard children.isEmpty || next.depth < Limits.pathDepth else {
        throw Problem(.invalidName, "What is in the folder would be deeper than \(Limits.pathDepth) folders.")
      }
      for row in children {
        let path = next.path + "/" + row.name
        let copied = try copy(row, named: row.name, into: next.copy, path: path)
        if row.kind == .folder { folders.append((row.id, copied.id, path, next.depth + 1)) }
      }
    }
    return document(top, target)
  }

  private func copy(_ source: EntryRow, named name: String, into parent: EntryID, path: String) throws -> EntryRow {
    var row = source
    row.id = context.orderedID(now)
    row.parent = parent
    row.name = name
    row.version = 1
    try insert(row)
    let at = try record(.created, row, path: path)
    guard source.kind == .file else { return row }
    guard var version = try version(namespace, source.id, source.version) else {
      throw MetadataError(.unusable, "The database lacks the version of a file.")
    }
    try retain(version.list)
    version.version = 1
    version.committedAt = at
    version.author = principal.userNumber
    version.device = principal.deviceName
    try insert(version, of: row.id)
    state.files += 1
    return row
  }
}
