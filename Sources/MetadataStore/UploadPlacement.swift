internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// Where a commit's content goes: compare-and-swap on the base version, and what the request says for the case that somebody was first.
///
/// | there now | `fail` | `copy` | `overwrite` |
/// |---|---|---|---|
/// | nothing, base absent or 0 | new | new | new |
/// | nothing, deleted at the base version | conflict | comes back, new version: edit beats delete | the same |
/// | nothing, another base above 0 (moved, or deleted later) | conflict | new | new |
/// | the base version | new version | new version | new version |
/// | the same content | no conflict: the file, its metadata brought up to date | | |
/// | anything else, also with no base or base 0 | conflict | a copy beside it | new version |
/// | a folder or symlink | wrong kind | a copy beside it | wrong kind |
///
/// An upload that names its base entry means that version of that entry. Another file at the path, whose versions are counted by
/// themselves, is then "anything else" whatever its version.
extension NamespaceEditor {
  enum Placement {
    case new(parent: EntryID, name: EntryName, path: String)
    case revise(EntryRow, path: String)
    case same(EntryRow, path: String)
  }

  /// - Parameters:
  ///   - path: the owner's.
  ///   - end: where it leads.
  func place(_ content: Content, _ upload: UploadRow, at path: RemotePath, _ end: PathEnd) throws -> Placement {
    guard let name = path.name else { throw Problem.rootIsNoFile }
    guard let row = end.entry else {
      if let deleted = try editedAfterDeletion(path, end.folder, upload) { return .revise(deleted, path: path.text) }
      let parent = try parentFolder(of: path, makeMissing: upload.parents, known: end.folder)
      if let base = upload.baseVersion, base > 0, upload.policy == .fail {
        throw Problem(.conflict, "Version \(base) of \(upload.path) is no longer there: it was deleted or moved meanwhile.")
      }
      return .new(parent: parent, name: name, path: path.text)
    }
    try require(.upload, at: row.id, path.text)
    if row.kind == .file {
      if try isSame(content, as: row, upload) { return .same(row, path: path.text) }
      if upload.isBased(on: row) { return .revise(row, path: path.text) }
    }
    switch upload.policy {
    case .overwrite where row.kind == .file: return .revise(row, path: path.text)
    case .copy: return try beside(name.text, path)
    case .fail where row.kind == .file: throw try conflict(with: row, path, upload)
    default:
      throw Problem(
        .wrongKindOfEntry, "There is already a \(row.kind.rawValue) at \(upload.path).", current: try document(row, path))
    }
  }

  /// Edit beats delete: a file that was deleted at the very version that the upload is based on comes back, and the upload revises it.
  private func editedAfterDeletion(_ path: RemotePath, _ folder: EntryID?, _ upload: UploadRow) throws -> EntryRow? {
    guard let base = upload.baseVersion, base > 0, upload.policy != .fail, let name = path.name, let folder else { return nil }
    let deleted = try db.first(
      """
      SELECT \(EntryRow.columns) FROM entries
      WHERE ns = ? AND parent = ? AND removed_at IS NOT NULL AND purging = 0 AND name = ? AND kind = 0 AND version = ?
        AND id = coalesce(?, id)
      ORDER BY removed_at DESC LIMIT 1
      """, .integer(namespace), .id(folder), .text(name.text), .integer(base),
      upload.baseEntry.map { .id($0) } ?? .null
    ) { EntryRow($0) }
    guard let deleted else { return nil }
    try require(.createIn, at: folder, path.parent?.text ?? "/")
    try bringBack(deleted, as: name, in: folder, path)
    return try entry(namespace, deleted.id)
  }

  private func conflict(with row: EntryRow, _ path: RemotePath, _ upload: UploadRow) throws -> Problem {
    let isOther = upload.baseEntry.map { $0 != row.id } ?? false
    // Another entry's version is shown to those only who may see that entry.
    let isShown = try !isOther || upload.baseEntry.map { try role(at: $0, view, principal) != nil } ?? false
    let base = try isShown ? upload.baseVersion.flatMap { try version(namespace, upload.baseEntry ?? row.id, $0) } : nil
    let sentence =
      switch upload.baseVersion {
      case .some(let number) where isOther:
        "Another file is at \(upload.path) now, at version \(row.version), than the one whose version \(number) this upload is based on."
      case nil, 0: "There is already a file at \(upload.path), at version \(row.version)."
      case .some(let number): "\(upload.path) is at version \(row.version), and this upload is based on version \(number)."
      }
    return Problem(
      .conflict, sentence + " Choose: overwrite it, keep a copy beside it, or start from its present version.",
      current: try document(row, path), base: try base.map { try document(of: $0) })
  }

  /// Equal content is never a conflict. A hash that a client only claimed decides nothing; then the block lists have to be equal.
  private func isSame(_ content: Content, as row: EntryRow, _ upload: UploadRow) throws -> Bool {
    guard row.size == content.size, row.contentHash == content.hash, let version = try version(namespace, row.id, row.version) else {
      return false
    }
    if version.chunker == .fixed, upload.chunker == .fixed { return true }
    return try blocks(of: version.list, namespace) == announcedBlocks(of: upload)
  }

  private func beside(_ name: String, _ path: RemotePath) throws -> Placement {
    let parent = try parentFolder(of: path, makeMissing: false)
    guard try keyFolder(of: parent) == nil else { throw Problem.noCopyBeside }
    let naming = ConflictNaming(device: principal.deviceName, at: now)
    for attempt in 0..<100 {
      let copy = try EntryName(naming.name(for: name, attempt: attempt))
      if try child(namespace, parent, copy.text) == nil {
        return .new(parent: parent, name: copy, path: RemotePath(components: path.components.dropLast() + [copy]).text)
      }
    }
    throw Problem(.conflict, "There are too many conflicted copies of \(view.callerPath(path.text)) from this second.")
  }

  func apply(
    _ placement: Placement, _ content: Content, _ blocks: [BlockRef], _ upload: UploadRow, envelope: String?
  ) throws -> (EntryRow, path: String) {
    switch placement {
    case .same(var row, let path):
      try bringUpToDate(&row, path: path, upload)
      return (row, path)
    case .revise(var row, let path):
      let envelope = try checkedEnvelope(envelope, in: row.keyFolder)
      let list = try storeWithinQuota(blocks, upload)
      let was = row
      row.version += 1
      row.quarantine = nil
      row.size = content.size
      row.contentHash = content.hash
      row.envelope = envelope
      row.mimeType = upload.mimeType ?? row.mimeType
      row.modifiedAt = upload.modifiedAt ?? FileTime(now)
      row.executable = upload.executable ?? row.executable
      try update(row)
      let at = try record(.modified, row, path: path, was: was)
      try insert(versionRow(row, list, upload, at: at), of: row.id)
      try queueScan(of: row.version, size: row.size, row.id)
      try supersede(was, at: at)
      return (row, path)
    case .new(let parent, let name, let path):
      let list = try storeWithinQuota(blocks, upload)
      var row = try marked(
        EntryRow(
          id: context.orderedID(now), parent: parent, name: name.text, kind: .file, size: content.size, contentHash: content.hash,
          mimeType: upload.mimeType, modifiedAt: upload.modifiedAt ?? FileTime(now), executable: upload.executable ?? false),
        named: name, in: parent)
      row.envelope = try checkedEnvelope(envelope, in: row.keyFolder)
      try insert(row)
      let at = try record(.created, row, path: path)
      try insert(versionRow(row, list, upload, at: at), of: row.id)
      try queueScan(of: row.version, size: row.size, row.id)
      state.files += 1
      return (row, path)
    }
  }

  private func versionRow(_ row: EntryRow, _ list: BlockList, _ upload: UploadRow, at time: WallTime) -> VersionRow {
    VersionRow(
      version: row.version, size: row.size, contentHash: row.contentHash ?? [], chunker: upload.chunker, modifiedAt: row.modifiedAt,
      committedAt: time, author: principal.userNumber, device: principal.deviceName, list: list,
      envelope: row.envelope)
  }

  /// Metadata that came with equal content: it never conflicts, and changes no version.
  private func bringUpToDate(_ row: inout EntryRow, path: String, _ upload: UploadRow) throws {
    let was = row
    row.mimeType = upload.mimeType ?? row.mimeType
    row.modifiedAt = upload.modifiedAt ?? row.modifiedAt
    row.executable = upload.executable ?? row.executable
    guard (was.mimeType, was.modifiedAt, was.executable) != (row.mimeType, row.modifiedAt, row.executable) else { return }
    try update(row)
    try record(.modified, row, path: path, was: was)
  }

  /// Counts the references, and turns the session's reservation into use. More than was reserved can be needed when blocks that the caller
  /// had were deleted for good meanwhile.
  private func storeWithinQuota(_ blocks: [BlockRef], _ upload: UploadRow) throws -> BlockList {
    let before = state.used
    let list = try store(blocks)
    if let quota, state.used - before > upload.reserved, state.used + state.reserved - upload.reserved > quota {
      throw Problem(.quota, "This needs more than is left of the quota of \(quota) bytes: make room first.")
    }
    return list
  }
}
