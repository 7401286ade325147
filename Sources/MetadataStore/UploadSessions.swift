internal import BlockModel
internal import ClusterLogic
internal import SQLSession
internal import ServiceAPI

extension NamespaceEditor {
  /// Positions that a file's block list may have.
  static let positionLimit = 1 << 24

  /// - Parameters:
  ///   - asked: the path as the caller says it.
  ///   - path: the owner's.
  func openUpload(_ request: UploadRequest, asked: RemotePath, _ path: RemotePath) throws -> UploadState {
    guard let above = path.parent else { throw Problem(.wrongKindOfEntry, "The root is a folder and not a file.") }
    try checkNotReserved(path)
    var upload = try UploadRow(
      request, id: .random(), namespace: namespace, path: asked, expiresAt: now + context.options.uploadLease)
    // What can be known to fail is refused before bytes travel. Conflicts are not: they are decided at commit, when all are known.
    if try folderID(above.components, view) == nil, !upload.parents { _ = try folder(above, view) }
    let there = try lookUp(path, view)
    if let there { try require(.upload, at: there.id, path.text) } else { try requireNearest(.createIn, above: path) }
    if upload.policy != .copy, let there, there.kind != .file {
      throw Problem(
        .wrongKindOfEntry, "There is already a \(there.kind.rawValue) at \(asked.text).", current: try document(there, path))
    }
    let number = try db.first(
      """
      INSERT INTO uploads (id, ns, user, device, status, expires_at, path, declared_size, content_hash,
      base_version, on_conflict, mime_type,
        modified_at, executable, chunker, parents, announced_bytes, position_count, lacking_bytes, reserved, base_entry)
      VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?) RETURNING number
      """, .id(upload.id), .integer(namespace), .integer(principal.userNumber), .text(principal.deviceName), .time(upload.expiresAt),
      .text(upload.path), .integer(upload.declaredSize), .blob(upload.contentHash), .integer(upload.baseVersion),
      .int(upload.policy.number), .text(upload.mimeType), .integer(upload.modifiedAt?.nanoseconds),
      .integer(upload.executable.map { $0 ? 1 : 0 }), .int(upload.chunker.number), .flag(upload.parents),
      upload.baseEntry.map { .id($0) } ?? .null
    ) { $0.int64(0) }
    guard let number else { throw MetadataError(.unusable, "The database did not number a row.") }
    upload.number = number
    let missing = try announce(request.blocks ?? [], start: 0, to: &upload)
    return upload.document(missing: missing, next: nil)
  }

  /// The role that making something at a path takes, at the nearest folder above it that is there.
  private func requireNearest(_ operation: FileOperation, above path: RemotePath) throws {
    guard view.mount != nil else { return }
    var path = path
    while let above = path.parent {
      if let row = try lookUp(above, view) { return try require(operation, at: row.id, above.text) }
      path = above
    }
  }

  func addBlocks(_ request: BlocksRequest, to upload: UploadRow) throws -> UploadState {
    var upload = upload
    upload.expiresAt = now + context.options.uploadLease
    let missing = try announce(request.blocks, start: request.start, to: &upload)
    return upload.document(missing: missing, next: nil)
  }

  /// Records a run of the block list, reserves what it lacks, pins what it has, and answers the blocks of the run that are to be put.
  private func announce(_ blocks: [BlockRef], start: Int, to upload: inout UploadRow) throws -> [MissingBlock] {
    guard blocks.count <= Limits.blocksPerRequest else {
      throw Problem(.malformed, "At most \(Limits.blocksPerRequest) blocks are announced at once.")
    }
    guard start >= 0, start <= NamespaceEditor.positionLimit - blocks.count else {
      throw Problem(.tooLarge, "A file has at most \(NamespaceEditor.positionLimit) blocks.")
    }
    let layout = try context.layout(transaction)
    if readable == nil { readable = try readableBlocks(for: upload) }
    var missing: [MissingBlock] = []
    for (offset, block) in blocks.enumerated() {
      guard (1...Limits.blockBytes).contains(block.size) else {
        throw Problem(.malformed, "A block has 1 to \(Limits.blockBytes) bytes.")
      }
      let position = start + offset
      try place(block, at: position, in: &upload)
      let (first, isHad) = try require(block, at: position, in: &upload, layout)
      if !isHad, first == position { missing.append(MissingBlock(index: position, id: block.id, size: block.size)) }
    }
    try reserve(&upload)
    return missing
  }

  private func place(_ block: BlockRef, at position: Int, in upload: inout UploadRow) throws {
    let added = try db.run(
      "INSERT OR IGNORE INTO upload_positions (upload, position, block, size) VALUES (?, ?, ?, ?)", .integer(upload.number),
      .int(position), .block(block.id), .int(block.size))
    guard added == 0 else {
      upload.announcedBytes += Int64(block.size)
      upload.positionCount += 1
      guard upload.announcedBytes <= Limits.fileBytes else { throw Problem(.tooLarge, "A file has at most \(Limits.fileBytes) bytes.") }
      return
    }
    let known = try db.first(
      "SELECT block, size FROM upload_positions WHERE upload = ? AND position = ?", .integer(upload.number), .int(position)
    ) { BlockRef(id: $0.block(0), size: $0.int(1)) }
    guard known == block else {
      throw Problem(.malformed, "Block \(position) was announced as another one before: a file that changed needs a new upload.")
    }
  }

  /// Notes that the upload needs the block. Answers its first position and whether it needs no putting.
  private func require(
    _ block: BlockRef, at position: Int, in upload: inout UploadRow, _ layout: Layout
  ) throws -> (first: Int, isHad: Bool) {
    let known = try db.first(
      "SELECT first_position, is_had, size FROM upload_blocks WHERE upload = ? AND block = ?", .integer(upload.number), .block(block.id)
    ) { (first: $0.int(0), isHad: $0.bool(1), size: $0.int(2)) }
    if let known {
      guard known.size == block.size else { throw Problem(.malformed, "Block \(block.id) is announced with two sizes.") }
      guard position < known.first else { return (known.first, known.isHad) }
      try db.send(
        "UPDATE upload_blocks SET first_position = ? WHERE upload = ? AND block = ?", .int(position), .integer(upload.number),
        .block(block.id))
      return (position, known.isHad)
    }
    let standing = try standing(block.id)
    if let standing, standing.isMine, standing.size != block.size {
      throw Problem(.hashMismatch, "Block \(block.id) has \(standing.size) bytes and not \(block.size).")
    }
    let isHad = standing?.isHad(layout) ?? false
    try db.send(
      "INSERT INTO upload_blocks (upload, block, size, first_position, is_had, is_pinned) VALUES (?, ?, ?, ?, ?, ?)",
      .integer(upload.number), .block(block.id), .int(block.size), .int(position), .flag(isHad), .flag(isHad))
    if !isHad { upload.lackingBytes += Int64(block.size) }
    return (position, isHad)
  }

  /// How a block stands for the caller. A member may read a part of the namespace only, and whether the rest has a block is not for them to
  /// know: what counts for them is what their own files have and what the file that they revise has. That is less than all they may read,
  /// never more.
  func standing(_ block: BlockID) throws -> BlockStanding? {
    var standing = try db.first(
      """
      SELECT b.size, b.namespaces, n.refs IS NOT NULL, r.number IS NOT NULL, r.zones FROM blocks b
      LEFT JOIN namespace_blocks n ON n.ns = ?1 AND n.block = b.id LEFT JOIN repairs r ON r.block = b.id WHERE b.id = ?2
      """, .integer(principal.namespaceNumber), .block(block)
    ) {
      BlockStanding(
        size: $0.int(0), namespaces: $0.int64(1), isMine: $0.bool(2), hasRepair: $0.bool(3), zones: $0.optionalInt64(4).map { Int($0) })
    }
    if standing?.isMine == false, readable?.contains(block) == true { standing?.isMine = true }
    return standing
  }

  /// The blocks of the file that a member's upload revises; empty in the own tree, where the counts say it.
  func readableBlocks(for upload: UploadRow) throws -> Set<BlockID> {
    guard view.mount != nil else { return [] }
    let path = try view(of: RemotePath.checked(upload.path), principal).path
    guard let row = try lookUp(path, view), row.kind == .file, try role(at: row.id, view, principal) != nil,
      let version = try version(namespace, row.id, row.version)
    else { return [] }
    return Set(try blocks(of: version.list, namespace).map(\.id))
  }

  /// Takes from the quota what the session needs now, renews the lease, and writes the session's counters.
  private func reserve(_ upload: inout UploadRow) throws {
    let needed = upload.neededReservation
    let more = needed - upload.reserved
    state.reserved += more
    upload.reserved = needed
    if let quota, more > 0, state.used + state.reserved > quota {
      throw Problem(.quota, "This needs \(state.used + state.reserved - quota) bytes more than the quota of \(quota): make room first.")
    }
    try db.send(
      """
      UPDATE uploads SET expires_at = ?, announced_bytes = ?, position_count = ?, lacking_bytes = ?, reserved = ? WHERE number = ?
      """, .time(upload.expiresAt), .integer(upload.announcedBytes), .int(upload.positionCount), .integer(upload.lackingBytes),
      .integer(upload.reserved), .integer(upload.number))
  }

  func abortUpload(_ upload: UploadRow) throws {
    switch upload.status {
    case .aborted, .expired: return
    case .uploaded: throw Problem(.conflict, "This upload is committed: delete the file instead.")
    case .uploading: try end(upload, as: .aborted)
    }
  }

  /// Frees what an open session holds. Its row stays for a while, to say what became of it.
  func end(_ upload: UploadRow, as status: UploadStatus, entry: EntryID? = nil, version: Int64? = nil) throws {
    state.reserved -= upload.reserved
    try db.send(
      "UPDATE uploads SET status = ?, reserved = 0, expires_at = ?, entry = ?, version = ? WHERE number = ?", .int(status.number),
      .time(now + context.options.memory), entry.map { .id($0) } ?? .null, .integer(version), .integer(upload.number))
    if status != .uploaded { try noteAbandoned(upload) }
    try db.send("DELETE FROM upload_positions WHERE upload = ?", .integer(upload.number))
    try db.send("DELETE FROM upload_blocks WHERE upload = ?", .integer(upload.number))
    try db.send("DELETE FROM upload_receipts WHERE upload = ?", .integer(upload.number))
  }

  /// What the session announced may be on nodes, with or without receipts: this is what accounts for it when it is collected.
  private func noteAbandoned(_ upload: UploadRow) throws {
    try db.run(
      """
      INSERT INTO blocks (id, size, namespaces, unreferenced_epoch) SELECT block, size, 0, ? FROM upload_blocks WHERE upload = ?
      ON CONFLICT (id) DO UPDATE SET unreferenced_epoch = excluded.unreferenced_epoch WHERE blocks.namespaces = 0
      """, .integer(Int64(try gcEpoch())), .integer(upload.number))
  }
}

extension UploadRow {
  func document(missing: [MissingBlock], next: String?, file: FileEntry? = nil) -> UploadState {
    UploadState(
      uploadID: id, status: status, expiresAt: expiresAt, blockCount: positionCount, missing: missing, next: next, file: file)
  }
}
