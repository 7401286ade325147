internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension ReadTransaction {
  /// A session's state with a page of its lacking blocks, in file order.
  func uploadState(_ id: UploadID, cursor: String?, at now: WallTime, _ principal: Principal) throws -> UploadState {
    guard var upload = try upload(id, principal) else { throw Problem.noSuchUpload }
    if upload.status == .uploading, upload.expiresAt <= now { upload.status = .expired }
    guard upload.status == .uploading else {
      return upload.document(missing: [], next: nil, file: try committedFile(of: upload, principal))
    }
    let after = try cursor.map { try NumberCursor.decode("u", count: 1, $0)[0] } ?? -1
    let limit = Limits.blocksPerRequest
    var missing = try db.all(
      """
      SELECT p.position, p.block, p.size FROM upload_positions p WHERE p.upload = ? AND p.position > ?
        AND (SELECT b.is_had FROM upload_blocks b WHERE b.upload = p.upload AND b.block = p.block AND b.first_position = p.position) = 0
      ORDER BY p.position LIMIT ?
      """, .integer(upload.number), .integer(after), .int(limit + 1)
    ) { MissingBlock(index: $0.int(0), id: $0.block(1), size: $0.int(2)) }
    let hasMore = missing.count > limit
    if hasMore { missing.removeLast() }
    return upload.document(missing: missing, next: hasMore ? missing.last.map { NumberCursor.encode("u", Int64($0.index)) } : nil)
  }

  private func committedFile(of upload: UploadRow, _ principal: Principal) throws -> FileEntry? {
    guard let id = upload.entry, let view = try view(of: id, principal), let row = try entry(view.namespace, id),
      let path = try path(of: row, view.namespace)
    else { return nil }
    return view.document(row, path: path, role: try role(at: id, view, principal) ?? .read)
  }

  // MARK: - Downloads

  static let planLimit = 1000

  /// One page of a version's blocks. The cursor holds the version, so that the pages of one plan are of one version.
  func downloadPlan(
    _ reference: EntryReference, version number: Int64?, cursor: String?, limit: Int, _ scanning: ContentScanning, _ principal: Principal
  ) throws -> DownloadPlan {
    try plan(of: locate(reference, for: .download, principal), version: number, cursor: cursor, limit: limit, scanning)
  }

  func plan(of found: Located, version number: Int64?, cursor: String?, limit: Int, _ scanning: ContentScanning) throws -> DownloadPlan {
    guard found.row.kind == .file else { throw Problem(.wrongKindOfEntry, "\(found.callerPath) is not a file.") }
    let namespace = found.view.namespace
    var first = 0
    var offset: Int64 = 0
    var wanted = number ?? found.row.version
    if let cursor {
      let values = try NumberCursor.decode("d", count: 3, cursor)
      guard values[0] == wanted || number == nil, values[1] >= 0, values[1] <= Int64(NamespaceEditor.positionLimit), values[2] >= 0 else {
        throw ListCursor.invalid
      }
      (wanted, first, offset) = (values[0], Int(values[1]), values[2])
    }
    guard let version = try version(namespace, found.row.id, wanted) else {
      throw Problem(.notFound, "\(found.callerPath) has no version \(wanted).")
    }
    try checkScan(namespace, found.row.id, wanted, path: found.callerPath, scanning)
    let limit = min(max(1, limit), ReadTransaction.planLimit)
    var blocks: [DownloadPlan.Block] = []
    for block in try self.blocks(of: version.list, namespace, first: first, limit: limit) {
      let strays = try strays(of: block.id)
      blocks.append(DownloadPlan.Block(id: block.id, offset: offset, size: block.size, strays: strays.isEmpty ? nil : strays))
      offset += Int64(block.size)
    }
    let next = first + blocks.count < version.list.count ? NumberCursor.encode("d", wanted, Int64(first + blocks.count), offset) : nil
    return DownloadPlan(
      file: found.document, size: version.size,
      contentHash: HexDigits.encode(version.contentHash), version: wanted, chunker: version.chunker, blocks: blocks, next: next,
      envelope: version.envelope.map { Base64URL.encode($0) })
  }

  func versions(of reference: EntryReference, limit: Int, cursor: String?, _ principal: Principal) throws -> Page<VersionInfo> {
    let found = try locate(reference, for: .listVersions, principal)
    guard found.row.kind == .file else { throw Problem(.wrongKindOfEntry, "\(found.callerPath) is not a file.") }
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let before = try cursor.map { try NumberCursor.decode("v", count: 1, $0)[0] } ?? .max
    var rows = try db.all(
      "SELECT \(VersionRow.columns) FROM versions WHERE ns = ? AND entry = ? AND version < ? ORDER BY version DESC LIMIT ?",
      .integer(found.view.namespace), .id(found.row.id), .integer(before), .int(limit + 1)
    ) { VersionRow($0) }
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    return Page(
      items: try rows.map { row in
        var document = try document(of: row)
        document.quarantine = try finding(found.view.namespace, found.row.id, row.version)
        return document
      }, next: hasMore ? rows.last.map { NumberCursor.encode("v", $0.version) } : nil)
  }
}

extension MetadataReading {
  func strays(of block: BlockID) throws -> [NodeID] {
    if let memory {
      let hasStrays = try memory.hasStrays ?? db.first("SELECT 1 FROM strays LIMIT 1") { _ in true } ?? false
      memory.hasStrays = hasStrays
      if !hasStrays { return [] }
    }
    return try db.all("SELECT node FROM strays WHERE block = ? ORDER BY node", .block(block)) { NodeID($0.text(0)) }.compactMap { $0 }
  }
}

extension BlockList {
  var count: Int {
    switch self {
    case .short(let packed): packed.count / BlockList.packedBytes
    case .pages(_, let count): count
    }
  }
}
