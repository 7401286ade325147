internal import BlockModel
internal import SQLSession
internal import ServiceAPI

extension NamespaceEditor {
  /// Makes an earlier revision's content the newest one. Versions only grow: the revert is a version of its own, and can be reverted.
  func restoreVersion(_ operation: UserOperations.RestoreVersion) throws -> FileEntry {
    let found = try locate(operation.entry, for: .revert)
    guard found.row.kind == .file else { throw Problem(.wrongKindOfEntry, "\(found.callerPath) is not a file.") }
    try check(operation.ifVersion, found)
    guard let version = try version(namespace, found.row.id, operation.version) else {
      throw Problem(.notFound, "\(found.callerPath) has no version \(operation.version).")
    }
    guard version.version != found.row.version else { return found.document }
    let row = try revert(found.row, to: version, path: found.path)
    return found.view.document(row, path: found.path, role: found.role)
  }

  /// - Parameter path: where the file is.
  func revert(_ row: EntryRow, to version: VersionRow, path: String) throws -> EntryRow {
    try retain(version.list)
    return try revise(row, with: version, of: (namespace, row.id), path: path)
  }

  /// Makes the content of a version the newest of a file, as a version of its own.
  ///
  /// - Parameters:
  ///   - version: its list of blocks is counted for this namespace already.
  ///   - origin: the file that has the version.
  ///   - path: where the file is that is revised.
  func revise(
    _ row: EntryRow, with version: VersionRow, of origin: (namespace: Int64, entry: EntryID), path: String
  ) throws -> EntryRow {
    let was = row
    var row = row
    row.version += 1
    row.size = version.size
    row.contentHash = version.contentHash
    row.envelope = version.envelope
    row.modifiedAt = version.modifiedAt
    row.quarantine = try finding(origin.namespace, origin.entry, version.version)
    try update(row)
    let at = try record(.modified, row, path: path, was: was)
    var copy = version
    copy.version = row.version
    copy.committedAt = at
    copy.author = principal.userNumber
    copy.device = principal.deviceName
    try insert(copy, of: row.id)
    try inheritScan(by: copy.version, of: row.id, from: (origin.namespace, origin.entry, version.version))
    try supersede(was, at: at)
    return row
  }

  /// Another version took this one's place: from now on its retention runs.
  func supersede(_ row: EntryRow, at time: WallTime) throws {
    try db.send(
      "UPDATE versions SET superseded_at = ? WHERE ns = ? AND entry = ? AND version = ?", .time(time), .integer(namespace), .id(row.id),
      .integer(row.version))
  }
}
