internal import BlockModel
internal import SQLSession
internal import ServiceAPI

extension WriteTransaction {
  /// Copies a file, symlink or folder with all below, also from somebody else's tree. No bytes move.
  func copyEntry(_ operation: UserOperations.CopyEntry, _ principal: Principal) throws -> FileEntry {
    let source = try locate(operation.entry, for: .copyFrom, principal)
    let (view, target) = try view(of: RemotePath.checked(operation.newPath), principal)
    return try edit(view, principal) { try $0.copy(source, to: target, replacing: operation.replaces) }
  }

  /// Moves, renames, changes metadata. Between two owners a move is a copy, and the original goes to the trash of its owner.
  func updateEntry(_ operation: UserOperations.UpdateEntry, _ principal: Principal) throws -> FileEntry {
    guard let newPath = operation.newPath else {
      return try edit(operation.entry, principal) { try $0.updateEntry(operation, to: nil) }
    }
    let path = try RemotePath.checked(newPath)
    let found = try locate(operation.entry, for: .stat, principal)
    if found.callerPath == path.text { return try edit(found.view, principal) { try $0.updateEntry(operation, to: nil) } }
    if let mount = found.view.mount, mount.top == found.row.id { return try renameMount(found, to: path, principal) }
    let (view, target) = try view(of: path, principal)
    guard view.namespace != found.view.namespace else {
      return try edit(found.view, principal) { try $0.updateEntry(operation, to: target) }
    }
    try edit(found.view, principal) { editor in
      try editor.check(operation.ifVersion, found)
      try editor.checkMovable(found)
      try FileOperation.moveFrom.check(found.role, found.callerPath)
    }
    let copy = try edit(view, principal) { try $0.copy(found, to: target) }
    try edit(found.view, principal) { try $0.remove(found.row, path: found.path, forever: false) }
    return copy
  }
}

extension NamespaceEditor {
  /// Entries that one copy may make: it is one transaction, and others wait for it.
  static let copyLimit = 200_000
  private static let copyPage = 1000

  /// The copies refer to the same blocks; their versions start anew, unless a file's copy is the next version of one that is there.
  ///
  /// - Parameter version: of the file at the target; nil when nothing may be there.
  func copy(_ source: Located, to target: RemotePath, replacing version: Int64? = nil) throws -> FileEntry {
    guard let name = target.name, let above = target.parent else { throw Problem(.alreadyExists, "The root is a folder.") }
    guard source.row.parent != nil else { throw Problem(.forbidden, "The root cannot be copied.") }
    try checkNotReserved(target)
    if source.row.kind == .folder, source.view.namespace == namespace, try target.isInside(RemotePath.checked(source.path)) {
      throw Problem(.conflict, "A folder cannot be copied into itself.")
    }
    let parent = try folder(above, view)
    let there = try child(namespace, parent.id, name.text)
    let from = source.view.namespace
    if let version, let there, there.kind == .file, source.row.kind == .file {
      return try copy(source, over: there, at: target, replacing: version)
    }
    try require(.createIn, at: parent.id, above.text)
    if let there { throw try occupied(there, target) }
    try checkSealing(of: source, in: keyFolder(of: parent.id))
    try check(name, in: source.row.keyFolder)
    let top = try copy(source.row, of: from, named: name.text, into: parent.id, path: target.text)
    if source.row.kind == .folder { try copyBelow(source.row.id, of: from, to: top.id, target) }
    if from != namespace { try checkQuota() }
    return try document(top, target)
  }

  /// A copy of an encrypted folder would need its key wrapped anew, and only who has it can do that.
  private func checkSealing(of source: Located, in keyFolder: EntryID?) throws(Problem) {
    guard source.row.keyFolder == keyFolder, keyFolder == nil || source.view.namespace == namespace else { throw Problem.acrossBorder }
  }

  /// The content of a file becomes the next version of another one.
  private func copy(_ source: Located, over row: EntryRow, at path: RemotePath, replacing version: Int64) throws -> FileEntry {
    try require(.upload, at: row.id, path.text)
    guard row.id != source.row.id else {
      throw Problem(.conflict, "\(source.callerPath) and \(view.callerPath(path.text)) are the same file.")
    }
    guard row.version == version else {
      throw Problem.isAtVersion(row.version, version, view.callerPath(path.text), try document(row, path))
    }
    try checkSealing(of: source, in: row.keyFolder)
    let from = source.view.namespace
    let revised = try revise(row, with: counted(source.row, of: from), of: (from, source.row.id), path: path.text)
    if from != namespace { try checkQuota() }
    return try document(revised, path)
  }

  /// The present version of a file, its blocks counted once more for this namespace.
  private func counted(_ file: EntryRow, of from: Int64) throws -> VersionRow {
    guard var version = try version(from, file.id, file.version) else {
      throw MetadataError(.unusable, "The database lacks the version of a file.")
    }
    if from == namespace {
      try retain(version.list)
    } else {
      version.list = try store(blocks(of: version.list, from))
    }
    return version
  }

  private func copyBelow(_ source: EntryID, of from: Int64, to top: EntryID, _ target: RemotePath) throws {
    var made = 1
    var folders = [(source: source, copy: top, path: target.text, depth: target.components.count)]
    while let next = folders.popLast() {
      var after = ""
      while true {
        let children = try db.all(
          """
          SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL AND name > ? ORDER BY name LIMIT ?
          """, .integer(from), .id(next.source), .text(after), .int(NamespaceEditor.copyPage)
        ) { EntryRow($0) }
        made += children.count
        guard made <= NamespaceEditor.copyLimit else {
          throw Problem(.tooLarge, "A folder with more than \(NamespaceEditor.copyLimit) entries has to be copied in parts.")
        }
        guard children.isEmpty || next.depth < Limits.pathDepth else {
          throw Problem(.invalidName, "What is in the folder would be deeper than \(Limits.pathDepth) folders.")
        }
        for row in children {
          guard row.keyFolder == nil || row.keyFolder != row.id else {
            throw Problem(.encryptionBoundary, "There is an encrypted folder in it, and these are not copied: copy what is beside it.")
          }
          let path = next.path + "/" + row.name
          let copied = try copy(row, of: from, named: row.name, into: next.copy, path: path)
          if row.kind == .folder { folders.append((row.id, copied.id, path, next.depth + 1)) }
        }
        guard children.count == NamespaceEditor.copyPage, let last = children.last else { break }
        after = last.name
      }
    }
  }

  private func copy(_ source: EntryRow, of from: Int64, named name: String, into parent: EntryID, path: String) throws -> EntryRow {
    var row = source
    row.id = context.orderedID(now)
    row.parent = parent
    row.name = name
    row.version = 1
    try insert(row)
    let at = try record(.created, row, path: path)
    guard source.kind == .file else { return row }
    var version = try counted(source, of: from)
    let origin = (namespace: from, entry: source.id, version: version.version)
    version.version = 1
    version.committedAt = at
    version.author = principal.userNumber
    version.device = principal.deviceName
    try insert(version, of: row.id)
    try inheritScan(by: 1, of: row.id, from: origin)
    state.files += 1
    return row
  }
}
