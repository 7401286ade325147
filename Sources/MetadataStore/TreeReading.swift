internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension RemotePath {
  /// - Throws: `.invalidName`.
  static func checked(_ text: String) throws(Problem) -> RemotePath {
    do { return try RemotePath(text) } catch {
      throw Problem(.invalidName, "“\(text.prefix(200))” cannot be a path: \(error.description).")
    }
  }
}

extension Problem {
  static func nothingAt(_ path: String) -> Problem { Problem(.notFound, "There is nothing at \(path).") }
  static let noSuchEntry = Problem(.notFound, "There is no such file or folder.")
  static func noFolder(_ path: String) -> Problem { Problem(.wrongKindOfEntry, "\(path) is not a folder.") }
}

/// Paths here are the owner's.
extension MetadataReading {
  /// The living child of this name.
  func child(_ namespace: Int64, _ parent: EntryID, _ name: String) throws -> EntryRow? {
    try db.first(
      "SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND parent = ? AND name = ? AND removed_at IS NULL",
      .integer(namespace), .id(parent), .text(name)
    ) { EntryRow($0) }
  }

  /// The row of this id, living or not.
  func entry(_ namespace: Int64, _ id: EntryID) throws -> EntryRow? {
    try db.first("SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND id = ?", .integer(namespace), .id(id)) { EntryRow($0) }
  }

  /// Nil when nothing is there; walks the unique index from the root.
  func lookUp(_ path: RemotePath, _ view: TreeView) throws -> EntryRow? {
    guard !path.components.isEmpty else { return try entry(view.namespace, view.root) }
    guard let (folder, names) = try nearing(path.components, view) else { return nil }
    var found: EntryRow?
    try db.rows(PathWalk.toEntry(names.count), PathWalk.values(view.namespace, folder, names)) {
      found = EntryRow($0)
      return false
    }
    return found
  }

  /// Walks until so few names are left that one statement goes the rest of the way: the folder there, and the names that are left, of which
  /// there is at least one; nil when a folder on the way is missing.
  func nearing(_ names: [EntryName], _ view: TreeView) throws -> (folder: EntryID, names: ArraySlice<EntryName>)? {
    var (folder, left) = (view.root, names[...])
    while left.count > PathWalk.longest {
      guard let next = try folderID(left.prefix(PathWalk.longest), view.namespace, below: folder) else { return nil }
      (folder, left) = (next, left.dropFirst(PathWalk.longest))
    }
    return (folder, left)
  }

  /// The id of the folder at the end of these names; nil when one is missing or no folder.
  func folderID(_ names: some Collection<EntryName>, _ view: TreeView) throws -> EntryID? {
    guard let (folder, left) = try nearing(Array(names), view) else { return nil }
    return left.isEmpty ? folder : try folderID(left, view.namespace, below: folder)
  }

  private func folderID(_ names: ArraySlice<EntryName>, _ namespace: Int64, below folder: EntryID) throws -> EntryID? {
    var found: EntryID?
    try db.rows(PathWalk.toFolder(names.count), PathWalk.values(namespace, folder, names)) {
      found = $0.isNull(0) ? nil : $0.id(0)
      return false
    }
    return found
  }

  /// The folder that something shall be put into.
  /// - Throws: `.notFound`, `.wrongKindOfEntry`.
  func folder(_ path: RemotePath, _ view: TreeView) throws -> EntryRow {
    guard let row = try lookUp(path, view) else {
      for length in 0..<path.components.count {
        let above = RemotePath(components: Array(path.components.prefix(length)))
        if let row = try lookUp(above, view), row.kind != .folder { throw Problem.noFolder(view.callerPath(above.text)) }
      }
      throw Problem(.notFound, "There is no folder \(view.callerPath(path.text)).")
    }
    guard row.kind == .folder else { throw Problem.noFolder(view.callerPath(path.text)) }
    return row
  }

  /// A living entry that the caller may do this with.
  /// - Throws: `.notFound`, `.forbidden`, `.invalidName`.
  func locate(_ reference: EntryReference, for operation: FileOperation, _ principal: Principal) throws -> Located {
    switch reference {
    case .path(let text):
      let asked = try RemotePath.checked(text)
      let (view, path) = try view(of: asked, principal)
      guard let row = try lookUp(path, view) else { throw Problem.nothingAt(asked.text) }
      return try located(row, path.text, view, for: operation, principal)
    case .id(let id):
      guard id != SharedFolder.id else { throw SharedFolder.closed }
      guard let (view, row) = try found(id, principal), let path = try path(of: row, view.namespace) else { throw Problem.noSuchEntry }
      return try located(row, path, view, for: operation, principal)
    }
  }

  private func located(
    _ row: EntryRow, _ path: String, _ view: TreeView, for operation: FileOperation, _ principal: Principal
  ) throws -> Located {
    let role = try role(at: row.id, view, principal)
    try operation.check(role, view.callerPath(path))
    return Located(row: row, path: path, view: view, role: role ?? .read)
  }

  /// Where a living entry is; nil when it or a folder above it was removed.
  func path(of row: EntryRow, _ namespace: Int64) throws -> String? {
    if row.isRemoved { return nil }
    guard let memory, let parent = row.parent else { return try formerPath(of: row, namespace, living: true) }
    let key = ReadMemory.Folder(namespace: namespace, id: parent)
    let folder: String?
    if let known = memory.paths[key] {
      folder = known
    } else {
      folder = try entry(namespace, parent).flatMap { try $0.isRemoved ? nil : formerPath(of: $0, namespace, living: true) }
      memory.paths[key] = .some(folder)
    }
    return folder.map { $0 == "/" ? "/" + row.name : $0 + "/" + row.name }
  }

  /// Where an entry is or was, by the names that the folders above it have now; nil when one of them is no longer there.
  /// - Parameter living: nil also when one of them is in the trash.
  func formerPath(of row: EntryRow, _ namespace: Int64, living: Bool = false) throws -> String? {
    guard var parent = row.parent else { return "/" }
    var names = [row.name]
    while true {
      let above: (name: String, parent: EntryID?, isRemoved: Bool)? = try db.first(
        "SELECT name, parent, removed_at IS NOT NULL FROM entries WHERE ns = ? AND id = ?", .integer(namespace), .id(parent)
      ) { ($0.text(0), $0.withBlob(1) { $0.isEmpty } ? nil : $0.id(1), $0.bool(2)) }
      guard let above, !living || !above.isRemoved else { return nil }
      guard let next = above.parent else { break }
      names.append(above.name)
      parent = next
    }
    return names.reversed().map { "/" + $0 }.joined()
  }

  func hasChildren(_ namespace: Int64, _ folder: EntryID) throws -> Bool {
    try db.first(
      "SELECT 1 FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL LIMIT 1", .integer(namespace), .id(folder)
    ) { _ in true } ?? false
  }

  func version(_ namespace: Int64, _ entry: EntryID, _ number: Int64) throws -> VersionRow? {
    try db.first(
      "SELECT \(VersionRow.columns) FROM versions WHERE ns = ? AND entry = ? AND version = ?", .integer(namespace), .id(entry),
      .integer(number)
    ) { VersionRow($0) }
  }

  func userName(_ number: Int64) throws -> String {
    try db.first("SELECT name FROM users WHERE number = ?", .integer(number)) { $0.text(0) } ?? "?"
  }

  func document(of row: VersionRow) throws -> VersionInfo {
    VersionInfo(
      version: row.version, size: row.size, contentHash: HexDigits.encode(row.contentHash), chunker: row.chunker,
      modifiedAt: row.modifiedAt, committedAt: row.committedAt, author: try userName(row.author), device: row.device,
      envelope: row.envelope.map { Base64URL.encode($0) })
  }
}
