internal import BlockModel
internal import ServiceAPI

extension WriteTransaction {
  /// All steps in order in this one transaction; the first that is refused undoes all.
  func apply(
    _ request: ChangeSetRequest, receipts: [Completion?], _ principal: Principal
  ) throws -> ChangeSetResponse {
    guard (1...ChangeSetRequest.limit).contains(request.changes.count), receipts.count == request.changes.count else {
      throw Problem(.malformed, "A change set has 1 to \(ChangeSetRequest.limit) changes.")
    }
    return ChangeSetResponse(
      results: try request.changes.enumerated().map { index, item in
        do { return ChangeSetResponse.Outcome(entry: try apply(item, receipts[index], principal)) } catch var problem as Problem {
          problem.detail = "Nothing was changed, because of change \(index): " + problem.detail
          throw problem
        }
      })
  }

  private func apply(_ item: ChangeSetItem, _ completion: Completion?, _ principal: Principal) throws -> FileEntry? {
    switch item.op {
    case .folder:
      return try createFolder(
        .init(
          path: try item.needed(item.path, "path"), parents: item.parents ?? false, modifiedAt: item.modifiedAt,
          chunker: item.chunker), principal)
    case .symlink:
      return try createSymlink(
        .init(
          path: try item.needed(item.path, "path"), target: try item.needed(item.target, "target"), parents: item.parents ?? false,
          modifiedAt: item.modifiedAt), principal)
    case .update:
      return try updateEntry(
        .init(
          entry: try item.reference(), newPath: item.to, modifiedAt: item.modifiedAt, executable: item.executable,
          chunker: item.chunker, ifVersion: item.ifVersion), principal)
    case .delete:
      let operation = UserOperations.DeleteEntry(
        entry: try item.reference(), forever: item.forever ?? false, recursive: item.recursive ?? false, ifVersion: item.ifVersion)
      try edit(operation.entry, principal) { try $0.deleteEntry(operation) }
      return nil
    case .copy:
      return try copyEntry(
        .init(entry: try item.reference(), newPath: try item.needed(item.to, "to"), replaces: item.replaces), principal)
    case .revert:
      let operation = UserOperations.RestoreVersion(
        entry: try item.reference(), version: try item.needed(item.version, "version"), ifVersion: item.ifVersion)
      return try edit(operation.entry, principal) { try $0.restoreVersion(operation) }
    case .restore: return try restoreFromTrash(try item.needed(item.id, "id"), to: item.to, principal)
    case .complete:
      guard let completion else { throw Problem(.malformed, "A step `complete` needs `upload_id`.") }
      let result = try complete(completion, principal)
      if let problem = result.problem { throw problem }
      return result.value
    }
  }

  func createFolder(_ operation: UserOperations.CreateFolder, _ principal: Principal) throws -> FileEntry {
    let (view, path) = try view(of: RemotePath.checked(operation.path), principal)
    return try edit(view, principal) { editor in
      guard let key = operation.key else {
        return try editor.createFolder(
          path, parents: operation.parents, modifiedAt: operation.modifiedAt, chunker: operation.chunker)
      }
      return try editor.createEncryptedFolder(
        path, parents: operation.parents, modifiedAt: operation.modifiedAt, chunker: operation.chunker, key: key)
    }
  }

  func createSymlink(_ operation: UserOperations.CreateSymlink, _ principal: Principal) throws -> FileEntry {
    let (view, path) = try view(of: RemotePath.checked(operation.path), principal)
    return try edit(view, principal) { try $0.createSymlink(path, operation) }
  }
}

extension ChangeSetItem {
  fileprivate func needed<T>(_ value: T?, _ name: String) throws(Problem) -> T {
    guard let value else { throw Problem(.malformed, "A step `\(op.rawValue)` needs `\(name)`.") }
    return value
  }

  fileprivate func reference() throws(Problem) -> EntryReference {
    switch (id, path) {
    case (let id?, nil): return .id(id)
    case (nil, let path?): return .path(path)
    default: throw Problem(.malformed, "A step `\(op.rawValue)` needs `id` or `path`, and not both.")
    }
  }
}
