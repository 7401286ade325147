internal import BlockModel
internal import SQLSession
internal import ServiceAPI

extension NamespaceEditor {
  /// Makes a folder. With `parents` also those above it, and one that is there already is the answer.
  /// - Parameter chunker: of the folder that is made; one that is there keeps its own.
  func createFolder(
    _ path: RemotePath, parents: Bool, modifiedAt: FileTime?, chunker: FolderChunker? = nil
  ) throws -> FileEntry {
    if let row = try lookUp(path, view) {
      try require(.stat, at: row.id, path.text)
      guard parents, row.kind == .folder else { throw try occupied(row, path) }
      return try chunker == nil ? document(row, path) : withChunkers(document(row, path), row, view)
    }
    let parent = try parentFolder(of: path, makeMissing: parents)
    let row = try makeFolder(path, in: parent, modifiedAt: modifiedAt ?? FileTime(now), chunker: chunker?.chunker)
    return try chunker == nil ? document(row, path) : withChunkers(document(row, path), row, view)
  }

  /// Makes a symlink; one that is there with the same target is the answer.
  func createSymlink(_ path: RemotePath, _ operation: UserOperations.CreateSymlink) throws -> FileEntry {
    guard let name = path.name else { throw Problem(.alreadyExists, "The root is a folder.") }
    guard (1...Limits.pathBytes).contains(operation.target.utf8.count), !operation.target.utf8.contains(0) else {
      throw Problem(.malformed, "A symlink's target has 1 to \(Limits.pathBytes) bytes and no NUL.")
    }
    if let row = try lookUp(path, view) {
      try require(.stat, at: row.id, path.text)
      guard row.kind == .symlink, row.target == operation.target else { throw try occupied(row, path) }
      return try document(row, path)
    }
    let parent = try parentFolder(of: path, makeMissing: operation.parents)
    let row = try marked(
      EntryRow(
        id: context.orderedID(now), parent: parent, name: name.text, kind: .symlink, modifiedAt: operation.modifiedAt ?? FileTime(now),
        target: operation.target), named: name, in: parent)
    try check(target: operation.target, in: row.keyFolder)
    try insert(row)
    try record(.created, row, path: path.text)
    return try document(row, path)
  }

  /// Moves, renames, changes metadata. A move onto itself is no change; onto something else it is refused.
  /// - Parameter target: where it goes in this namespace, as the owner says it.
  func updateEntry(_ operation: UserOperations.UpdateEntry, to target: RemotePath?) throws -> FileEntry {
    let found = try locate(operation.entry, for: .update)
    try check(operation.ifVersion, found)
    var row = found.row
    var path = found.path
    if let target, target.text != path {
      try checkMovable(found)
      try FileOperation.moveFrom.check(found.role, found.callerPath)
      try move(&row, from: path, to: target)
      path = target.text
    }
    let modifiedAt = operation.modifiedAt ?? row.modifiedAt
    let executable = row.kind == .file ? operation.executable ?? row.executable : false
    if modifiedAt != row.modifiedAt || executable != row.executable {
      let was = row
      row.modifiedAt = modifiedAt
      row.executable = executable
      try update(row)
      try record(.modified, row, path: path, was: was)
    }
    let document = found.view.document(row, path: path, role: found.role)
    guard let chunker = operation.chunker else { return document }
    try setChunker(chunker, of: &row, path)
    return try withChunkers(document, row, found.view)
  }

  /// What is shared itself is the owner's to move and delete; a member may give the share up.
  func checkMovable(_ found: Located) throws {
    guard found.row.parent != nil else { throw Problem(.forbidden, "The root can be neither moved nor deleted.") }
    guard found.row.id != found.view.mount?.top else {
      throw Problem(.forbidden, "\(found.callerPath) is shared with you by \(found.view.owner): give the share up instead.")
    }
  }

  func move(_ row: inout EntryRow, from path: String, to target: RemotePath) throws {
    guard let name = target.name, let above = target.parent else { throw Problem(.alreadyExists, "The root is a folder.") }
    try checkNotReserved(target)
    // A folder's own path is a prefix of all paths inside of it, and paths of living entries are unique: this is the cycle check.
    if row.kind == .folder, try target.isInside(RemotePath.checked(path)) {
      throw Problem(.conflict, "A folder cannot be moved into itself.")
    }
    let parent = try folder(above, view)
    try require(.createIn, at: parent.id, above.text)
    if let other = try child(namespace, parent.id, name.text), other.id != row.id { throw try occupied(other, target) }
    try checkBorder(row, named: name, into: parent.id)
    if row.kind == .folder { try checkDepth(row.id, from: path, to: target) }
    let was = row
    row.parent = parent.id
    row.name = name.text
    try update(row)
    if row.kind == .folder { sharedAbove = [:] }
    try record(.moved, row, path: target.text, was: was, oldPath: path)
  }

  /// A folder that goes deeper takes what is in it along; nothing may end below the depth that paths can say.
  func checkDepth(_ folder: EntryID, from path: String, to target: RemotePath) throws {
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

  func occupied(_ row: EntryRow, _ path: RemotePath) throws -> Problem {
    Problem(
      .alreadyExists, "There is already a \(row.kind.rawValue) at \(view.callerPath(path.text)).", current: try document(row, path))
  }

  func check(_ ifVersion: Int64?, _ found: Located) throws {
    guard let ifVersion, ifVersion != found.row.version else { return }
    throw Problem.isAtVersion(found.row.version, ifVersion, found.callerPath, found.document)
  }

  /// The root has no room for a name that means something else.
  func checkNotReserved(_ path: RemotePath) throws {
    guard path.components.count == 1, path.components[0].text == SharedFolder.name else { return }
    throw Problem(.invalidName, "\(SharedFolder.path) is where the shares of others are: choose another name.")
  }

  /// The folder that will hold `path`, which is not the root.
  /// - Parameter known: that folder, when somebody looked it up already.
  func parentFolder(of path: RemotePath, makeMissing: Bool, known: EntryID? = nil) throws -> EntryID {
    guard let above = path.parent else { throw Problem(.alreadyExists, "The root is a folder.") }
    try checkNotReserved(path)
    let there = try known ?? folderID(above.components, view)
    if there != nil || !makeMissing {
      let id = try there ?? folder(above, view).id
      try require(.createIn, at: id, above.text)
      return id
    }
    var parent = view.root
    var hasMade = false
    for length in 1...above.components.count {
      let path = RemotePath(components: Array(above.components.prefix(length)))
      if !hasMade, let row = try child(namespace, parent, above.components[length - 1].text) {
        guard row.kind == .folder else { throw Problem.noFolder(view.callerPath(path.text)) }
        parent = row.id
      } else {
        if !hasMade { try require(.createIn, at: parent, path.parent?.text ?? "/") }
        hasMade = true
        parent = try makeFolder(path, in: parent, modifiedAt: FileTime(now)).id
      }
    }
    return parent
  }

  func makeFolder(
    _ path: RemotePath, in parent: EntryID, modifiedAt: FileTime, chunker: Chunker? = nil
  ) throws -> EntryRow {
    guard let name = path.name else { preconditionFailure("the root is made with the namespace") }
    try checkNotReserved(path)
    let row = try marked(
      EntryRow(
        id: context.orderedID(now), parent: parent, name: name.text, kind: .folder, modifiedAt: modifiedAt, chunker: chunker),
      named: name, in: parent)
    try insert(row)
    try record(.created, row, path: path.text)
    return row
  }
}

extension Problem {
  /// A condition on something's version does not hold.
  static func isAtVersion(_ version: Int64, _ expected: Int64, _ path: String, _ current: FileEntry) -> Problem {
    Problem(.preconditionFailed, "\(path) is at version \(version) and not at \(expected).", current: current)
  }
}
