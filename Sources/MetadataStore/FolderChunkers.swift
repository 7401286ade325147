internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// Which chunker files get that nobody named one for: the one of the nearest folder above that has one.
///
/// It is asked for when a folder is shown by itself and when an upload leaves the choice to the folder, and by nothing else: a listing, a
/// commit and the change feed never look for it.
extension MetadataReading {
  /// The chunker that a folder's files get, by its own or by what it inherits.
  func effectiveChunker(of folder: EntryID, _ namespace: Int64) throws -> Chunker {
    let number = try db.first(
      """
      WITH RECURSIVE above (parent, chunker) AS (
        SELECT parent, chunker FROM entries WHERE ns = ?1 AND id = ?2 UNION ALL
        SELECT e.parent, e.chunker FROM above JOIN entries e ON e.ns = ?1 AND e.id = above.parent WHERE above.chunker IS NULL)
      SELECT chunker FROM above WHERE chunker IS NOT NULL
      """, .integer(namespace), .id(folder)
    ) { $0.int(0) }
    return number.map { Chunker(number: $0) } ?? .fixed
  }

  /// What is shown of an entry that is asked for by itself: of a folder also its chunkers.
  func fullDocument(_ found: Located) throws -> FileEntry { try withChunkers(found.document, found.row, found.view) }

  func withChunkers(_ document: FileEntry, _ row: EntryRow, _ view: TreeView) throws -> FileEntry {
    guard row.kind == .folder else { return document }
    var document = document
    document.chunker = row.chunker
    document.effectiveChunker = try row.chunker ?? effectiveChunker(of: row.id, view.namespace)
    return document
  }
}

extension NamespaceEditor {
  /// Members see no part of this in the change feed: how files are cut is nothing that a replayed tree has.
  func setChunker(_ choice: FolderChunker, of row: inout EntryRow, _ path: String) throws {
    guard row.kind == .folder else {
      throw Problem(.wrongKindOfEntry, "\(view.callerPath(path)) is no folder, and only folders say how the files in them are cut.")
    }
    guard choice.chunker != row.chunker else { return }
    row.chunker = choice.chunker
    try db.send(
      "UPDATE entries SET chunker = ? WHERE ns = ? AND id = ?", .integer(row.chunker.map { Int64($0.number) }), .integer(namespace),
      .id(row.id))
  }

  /// The chunker of an upload that names none.
  ///
  /// What is announced whole as one block at most is the same with either, and its content hash can be checked as a fixed one; so small
  /// files cost no question.
  /// - Parameter folder: the one that the file will be in; nil while it is not there.
  func folderChunker(for request: UploadRequest, at path: RemotePath, in folder: EntryID?) throws -> Chunker {
    if let blocks = request.blocks, blocks.count <= 1, request.size == blocks.reduce(0, { $0 + Int64($1.size) }) { return .fixed }
    if let folder { return try effectiveChunker(of: folder, namespace) }
    var path = path
    while let above = path.parent {
      if let row = try lookUp(above, view) { return try row.chunker ?? effectiveChunker(of: row.id, namespace) }
      path = above
    }
    return .fixed
  }
}
