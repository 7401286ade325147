internal import BlockModel
internal import SQLSession
internal import ServiceAPI

extension NamespaceEditor {
  /// Entries that one transaction deletes for good; more go in the background, so that no deletion holds up the writer.
  static let purgeStep = 512

  func deleteEntry(_ operation: UserOperations.DeleteEntry) throws {
    let found = try locate(operation.entry, for: operation.forever ? .deleteForever : .delete)
    try check(operation.ifVersion, found)
    try checkMovable(found)
    if found.row.kind == .folder, !operation.recursive, try hasChildren(namespace, found.row.id) {
      throw Problem(.notEmpty, "\(found.callerPath) is not empty: delete it recursively, or what is in it first.")
    }
    try remove(found.row, path: found.path, forever: operation.forever)
    try transaction.log(
      actor: principal.userName, action: operation.forever ? "delete-forever" : "delete",
      subject: "\(found.row.id.hex) of \(found.view.owner)")
    if operation.forever { _ = try purge(limit: NamespaceEditor.purgeStep) }
  }

  /// To the trash, with all below, or on the way to be deleted for good.
  func remove(_ row: EntryRow, path: String, forever: Bool) throws {
    let at = try record(.deleted, row, path: path, was: row)
    try db.send(
      "UPDATE entries SET removed_at = ?, removed_by = ?, purging = ? WHERE ns = ? AND id = ?", .time(at), .integer(principal.userNumber),
      .flag(forever), .integer(namespace), .id(row.id))
    sharedAbove = [:]
  }

  /// Takes away about `limit` rows that were deleted for good, what is in a folder before the folder. Answers how many went.
  func purge(limit: Int) throws -> Int {
    var gone = 0
    while gone < limit, let top = try nextToPurge() {
      var stack = [top]
      while gone < limit, let current = stack.last {
        let children = current.kind == .folder ? try allChildren(of: current.id, limit: 64) : []
        if children.isEmpty {
          try remove(current)
          stack.removeLast()
          gone += 1
        }
        for child in children {
          if child.kind == .folder {
            stack.append(child)
          } else {
            try remove(child)
            gone += 1
          }
        }
      }
    }
    return gone
  }

  private func nextToPurge() throws -> EntryRow? {
    try db.first("SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND purging = 1 LIMIT 1", .integer(namespace)) { EntryRow($0) }
  }

  /// Children of a folder, those in the trash too.
  private func allChildren(of folder: EntryID, limit: Int) throws -> [EntryRow] {
    let living = try db.all(
      "SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL LIMIT ?", .integer(namespace),
      .id(folder), .int(limit)
    ) { EntryRow($0) }
    guard living.isEmpty else { return living }
    return try db.all(
      "SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NOT NULL LIMIT ?", .integer(namespace),
      .id(folder), .int(limit)
    ) { EntryRow($0) }
  }

  /// One row with all its versions.
  private func remove(_ row: EntryRow) throws {
    if row.kind == .file {
      let versions = try db.all(
        "SELECT \(VersionRow.columns) FROM versions WHERE ns = ? AND entry = ?", .integer(namespace), .id(row.id)
      ) { VersionRow($0) }
      for version in versions { try release(version.list) }
      try db.send("DELETE FROM versions WHERE ns = ? AND entry = ?", .integer(namespace), .id(row.id))
      try forgetScans(of: row.id)
      state.files -= 1
    }
    try transaction.forgetSharing(of: row.id, self)
    try db.send("DELETE FROM entries WHERE ns = ? AND id = ?", .integer(namespace), .id(row.id))
  }
}
