internal import BlockModel
internal import SQLiteDatabase
internal import ServiceAPI

extension NamespaceEditor {
  /// Makes a folder. With `parents` also those above it, and one that is there already is the answer.
  func createFolder(_ operation: UserOperations.CreateFolder) throws -> FileEntry {
    let path = try RemotePath.checked(operation.path)
    if let row = try lookUp(path, principal) {
      guard operation.parents, row.kind == .folder else {
        throw Problem(.alreadyExists, "There is already a \(row.kind.rawValue) at \(path.text).", current: document(row, path))
      }
      return document(row, path)
    }
    let parent = try parentFolder(of: path, makeMissing: operation.parents)
    return document(try makeFolder(path, in: parent, modifiedAt: operation.modifiedAt ?? FileTime(now)), path)
  }

  /// Makes a symlink; one that is there with the same target is the answer.
  func createSymlink(_ operation: UserOperations.CreateSymlink) throws -> FileEntry {
    let path = try RemotePath.checked(operation.path)
    guard let name = path.name else { throw Problem(.alreadyExists, "The root is a folder.") }
    guard (1...Limits.pathBytes).contains(operation.target.utf8.count), !operation.target.utf8.contains(0) else {
      throw Problem(.malformed, "A symlink's target has 1 to \(Limits.pathBytes) bytes and no NUL.")
    }
    if let row = try lookUp(path, principal) {
      guard row.kind == .symlink, row.target == operation.target else {
        throw Problem(.alreadyExists, "There is already a \(row.kind.rawValue) at \(path.text).", current: document(row, path))
      }
      return document(row, path)
    }
    let parent = try parentFolder(of: path, makeMissing: operation.parents)
    let row = EntryRow(
      id: context.orderedID(now), parent: parent, name: name.text, kind: .symlink, modifiedAt: operation.modifiedAt ?? FileTime(now),
      target: operation.target)
    try insert(row)
    try record(.created, row, path: path.text)
    return document(row, path)
  }

  /// Moves, renames, changes metadata. A move onto itself is no change; onto something else it is refused.
  func updateEntry(_ operation: UserOperations.UpdateEntry) throws -> FileEntry {
    let found = try locate(operation.entry, principal)
    try check(operation.ifVersion, found)
    var row = found.row
    var path = found.path
    if let newPath = operation.newPath {
      let target = try RemotePath.checked(newPath)
      if target.text != path {
        try move(&row, from: path, to: target)
        path = target.text
      }
    }
    let modifiedAt = operation.modifiedAt ?? row.modifiedAt
    let executable = row.kind == .file ? operation.executable ?? row.executable : false
    if modifiedAt != row.modifiedAt || executable != row.executable {
      row.modifiedAt = modifiedAt
      row.executable = executable
      try update(row)
      try record(.modified, row, path: path)
    }
    return row.document(path: path, owner: principal.userName)
  }

  private func move(_ row: inout EntryRow, from path: String, to target: RemotePath) throws {
    guard row.parent != nil else { throw Problem(.forbidden, "The root cannot be moved.") }
    guard let name = target.name, let above = target.parent else { throw Problem(.alreadyExists, "The root is a folder.") }
    // A folder's own path is a prefix of all paths inside of it, and paths of living entries are unique: this is the cycle check.
    if row.kind == .folder, try target.isInside(RemotePath.checked(path)) {
      throw Problem(.conflict, "A folder cannot be moved into itself.")
    }
    let parent = try folder(above, principal)
    if let other = try child(namespace, parent.id, name.text), other.id != row.id {
      throw Problem(.alreadyExists, "There is already a \(other.kind.rawValue) at \(target.text).", current: document(other, target))
    }
    if row.kind == .folder { try checkDepth(row.id, from: path, to: target) }
    row.parent = parent.id
    row.name = name.text
    try update(row)
    try record(.moved, row, path: target.text, oldPath: path)
  }

  /// A folder that goes deeper takes what is in it along; nothing may end below the depth that paths can say.
  private func checkDepth(_ folder: EntryID, from path: String, to target: RemotePath) throws {
    guard target.components.count > path.utf8.count(where: { $0 == UInt8(ascii: "/") }) else { return }
    let below = try db.first(
      """
      WITH RECURSIVE inside (id, depth) AS (
        SELECT ?1, 0 UNION ALL
        SELECT e.id, inside.depth + 1 FROM inside JOIN entries e INDEXED BY folders_by_parent ON e.ns = ?2 AND e.parent = inside.id
        WHERE e.kind = 1 AND inside.depth <= ?3)
      SELECT max(depth) FROM inside
      """, .id(folder), .integer(namespace), .int(Limits.pathDepth)
    ) { $0.int(0) }
    guard target.components.count + (below ?? 0) < Limits.pathDepth else {
      throw Problem(.invalidName, "What is in the folder would be deeper than \(Limits.pathDepth) folders.")
    }
  }

  // MARK: - Parts

  func document(_ row: EntryRow, _ path: RemotePath) -> FileEntry { row.document(path: path.text, owner: principal.userName) }

  func check(_ ifVersion: Int64?, _ found: Located) throws {
    guard let ifVersion, ifVersion != found.row.version else { return }
    throw Problem(
      .preconditionFailed, "\(found.path) is at version \(found.row.version) and not at \(ifVersion).",
      current: found.row.document(path: found.path, owner: principal.userName))
  }

  /// The folder that will hold `path`, which is not the root.
  func parentFolder(of path: RemotePath, makeMissing: Bool) throws -> EntryID {
    guard let above = path.parent else { throw Problem(.alreadyExists, "The root is a folder.") }
    if let id = try folderID(above.components, principal) { return id }
    guard makeMissing else { return try folder(above, principal).id }
    var parent = principal.root
    for length in 1...above.components.count {
      let path = RemotePath(components: Array(above.components.prefix(length)))
      if let row = try child(namespace, parent, above.components[length - 1].text) {
        guard row.kind == .folder else { throw Problem.noFolder(path.text) }
        parent = row.id
      } else {
        parent = try makeFolder(path, in: parent, modifiedAt: FileTime(now)).id
      }
    }
    return parent
  }

  private func makeFolder(_ path: RemotePath, in parent: EntryID, modifiedAt: FileTime) throws -> EntryRow {
    guard let name = path.name else { preconditionFailure("the root is made with the namespace") }
    let row = EntryRow(id: context.orderedID(now), parent: parent, name: name.text, kind: .folder, modifiedAt: modifiedAt)
    try insert(row)
    try record(.created, row, path: path.text)
    return row
  }
}
