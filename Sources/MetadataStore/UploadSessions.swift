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
    guard let above = path.parent else { throw Problem.rootIsNoFile }
    try checkNotReserved(path)
    var upload = try UploadRow(
      request, id: .random(), namespace: namespace, path: asked, expiresAt: now + context.options.uploadLease)
    // What can be known to fail is refused before bytes travel. Conflicts are not: they are decided at commit, when all are known.
    let (there, questions) = try pathEnd(path)
    try db.ask(questions)
    if there.folder == nil, !upload.parents { _ = try folder(above, view) }
    if let entry = there.entry { try require(.upload, at: entry.id, path.text) } else { try requireNearest(.createIn, above: path) }
    if upload.policy != .copy, let entry = there.entry, entry.kind != .file {
      throw Problem(
        .wrongKindOfEntry, "There is already a \(entry.kind.rawValue) at \(asked.text).", current: try document(entry, path))
    }
    try checkSealing(request, path, there)
    if request.chunker == nil {
      upload.chunker = try folderChunker(for: request, at: path, in: there.folder)
      upload.isFoldersChunker = true
    }
    let blocks = request.blocks ?? []
    try NamespaceEditor.check(blocks, from: 0)
    let written = upload.expecting(blocks)
    let number = try db.first(
      """
      INSERT INTO uploads (id, ns, user, device, status, expires_at, path, declared_size, content_hash, base_version, on_conflict,
        mime_type, modified_at, executable, chunker, parents, announced_bytes, position_count, lacking_bytes, reserved, base_entry)
      VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number
      """, .id(upload.id), .integer(namespace), .integer(principal.userNumber), .text(principal.deviceName), .time(upload.expiresAt),
      .text(upload.path), .integer(upload.declaredSize), .blob(upload.contentHash), .integer(upload.baseVersion),
      .int(upload.policy.number), .text(upload.mimeType), .integer(upload.modifiedAt?.nanoseconds),
      .integer(upload.executable.map { $0 ? 1 : 0 }), .int(upload.chunkerNumber), .flag(upload.parents),
      .integer(written.announcedBytes), .int(written.positionCount), .integer(written.lackingBytes), .integer(written.reserved),
      upload.baseEntry.map { .id($0) } ?? .null
    ) { $0.int64(0) }
    guard let number else { throw MetadataError(.unusable, "The database did not number a row.") }
    upload.number = number
    let missing = try announce(blocks, start: 0, to: &upload, isNew: true)
    if !upload.hasCounters(of: written) { try writeCounters(upload) }
    return upload.document(missing: missing, next: nil)
  }

  /// What goes into an encrypted folder has to be sealed, and says so before anything of it travels.
  private func checkSealing(_ request: UploadRequest, _ path: RemotePath, _ there: PathEnd) throws {
    let inside: EntryID?
    if let entry = there.entry {
      inside = entry.keyFolder
    } else if let folder = there.folder {
      inside = try keyFolder(of: folder)
    } else {
      inside = try keyFolder(above: path)
    }
    let isSealed = request.encrypted ?? false
    guard isSealed == (inside != nil) else {
      throw Problem(
        .encryptionBoundary,
        isSealed
          ? "This upload is sealed, and its folder is not encrypted."
          : "The folder is encrypted, and this upload is not sealed: use a client that does that.")
    }
    guard inside != nil else { return }
    guard request.onConflict != .copy else { throw Problem.noCopyBeside }
    if let name = path.name { try check(name, in: inside) }
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
    try NamespaceEditor.check(request.blocks, from: request.start)
    let missing = try announce(request.blocks, start: request.start, to: &upload, isNew: false)
    try writeCounters(upload)
    return upload.document(missing: missing, next: nil)
  }

  private static func check(_ blocks: [BlockRef], from start: Int) throws(Problem) {
    guard blocks.count <= Limits.blocksPerRequest else {
      throw Problem(.malformed, "At most \(Limits.blocksPerRequest) blocks are announced at once.")
    }
    guard start >= 0, start <= positionLimit - blocks.count else {
      throw Problem(.tooLarge, "A file has at most \(positionLimit) blocks.")
    }
    guard blocks.allSatisfy({ (1...Limits.blockBytes).contains($0.size) }) else {
      throw Problem(.malformed, "A block has 1 to \(Limits.blockBytes) bytes.")
    }
  }

  /// Records a run of the block list, reserves what it lacks, pins what it has, and answers the blocks of the run that are to be put.
  ///
  /// All that is asked of the database is asked for the whole run at once: with PostgreSQL each question is a round trip.
  /// - Parameter isNew: nothing was announced for the upload before.
  private func announce(
    _ blocks: [BlockRef], start: Int, to upload: inout UploadRow, isNew: Bool
  ) throws -> [MissingBlock] {
    var missing: [MissingBlock] = []
    if !blocks.isEmpty {
      let layout = try context.layout(transaction)
      if readable == nil { readable = try readableBlocks(for: upload) }
      try place(blocks, from: start, in: &upload, isNew: isNew)
      var needs = try needs(of: upload, from: start, count: blocks.count)
      for (offset, block) in blocks.enumerated() {
        let position = start + offset
        let (first, isHad) = try require(block, at: position, in: &upload, layout, &needs)
        if !isHad, first == position { missing.append(MissingBlock(index: position, id: block.id, size: block.size)) }
      }
    }
    try reserve(&upload)
    return missing
  }

  /// Writes the positions that were not announced before; those that were have to be the same again.
  private func place(_ blocks: [BlockRef], from start: Int, in upload: inout UploadRow, isNew: Bool) throws {
    var known: [Int: BlockRef] = [:]
    if !isNew {
      try db.rows(
        "SELECT position, block, size FROM upload_positions WHERE upload = ? AND position >= ? AND position < ?",
        [.integer(upload.number), .int(start), .int(start + blocks.count)]
      ) {
        known[$0.int(0)] = BlockRef(id: $0.block(1), size: $0.int(2))
        return true
      }
    }
    for (position, block) in zip(start..., blocks) {
      if let known = known[position] {
        guard known == block else {
          throw Problem(.malformed, "Block \(position) was announced as another one before: a file that changed needs a new upload.")
        }
        continue
      }
      upload.announcedBytes += Int64(block.size)
      upload.positionCount += 1
      guard upload.announcedBytes <= Limits.fileBytes else { throw Problem(.tooLarge, "A file has at most \(Limits.fileBytes) bytes.") }
      try db.send(
        "INSERT INTO upload_positions (upload, position, block, size) VALUES (?, ?, ?, ?)", .integer(upload.number), .int(position),
        .block(block.id), .int(block.size))
    }
  }

  /// What the upload has noted of a block, and how the block stands.
  private struct Need {
    /// Nil until it is noted.
    var noted: (first: Int, isHad: Bool, size: Int)?
    var standing: BlockStanding?
  }

  /// Of each distinct block of a run of the list.
  private func needs(of upload: UploadRow, from start: Int, count: Int) throws -> [BlockID: Need] {
    var needs: [BlockID: Need] = [:]
    needs.reserveCapacity(count)
    try db.rows(
      """
      SELECT p.block, \(BlockStanding.columns),
        (SELECT u.first_position FROM upload_blocks u WHERE u.upload = p.upload AND u.block = p.block),
        (SELECT u.is_had FROM upload_blocks u WHERE u.upload = p.upload AND u.block = p.block),
        (SELECT u.size FROM upload_blocks u WHERE u.upload = p.upload AND u.block = p.block)
      FROM upload_positions p WHERE p.upload = ?2 AND p.position >= ?3 AND p.position < ?4
      """, [.integer(principal.namespaceNumber), .integer(upload.number), .int(start), .int(start + count)]
    ) { row in
      let block = row.block(0)
      needs[block] = Need(
        noted: row.isNull(5) ? nil : (first: row.int(5), isHad: row.bool(6), size: row.int(7)),
        standing: BlockStanding(row, isReadable: readable?.contains(block) ?? false))
      return true
    }
    return needs
  }

  /// Notes that the upload needs the block. Answers its first position and whether it needs no putting.
  private func require(
    _ block: BlockRef, at position: Int, in upload: inout UploadRow, _ layout: Layout, _ needs: inout [BlockID: Need]
  ) throws -> (first: Int, isHad: Bool) {
    guard let need = needs[block.id] else { throw MetadataError(.unusable, "The database lost a block that it was given.") }
    if let known = need.noted {
      guard known.size == block.size else { throw Problem(.malformed, "Block \(block.id) is announced with two sizes.") }
      guard position < known.first else { return (known.first, known.isHad) }
      needs[block.id]?.noted?.first = position
      try db.send(
        "UPDATE upload_blocks SET first_position = ? WHERE upload = ? AND block = ?", .int(position), .integer(upload.number),
        .block(block.id))
      return (position, known.isHad)
    }
    if let standing = need.standing, standing.isMine, standing.size != block.size {
      throw Problem(.hashMismatch, "Block \(block.id) has \(standing.size) bytes and not \(block.size).")
    }
    let isHad = need.standing?.isHad(layout) ?? false
    needs[block.id]?.noted = (first: position, isHad: isHad, size: block.size)
    try db.send(
      "INSERT INTO upload_blocks (upload, block, size, first_position, is_had, is_pinned) VALUES (?, ?, ?, ?, ?, ?)",
      .integer(upload.number), .block(block.id), .int(block.size), .int(position), .flag(isHad), .flag(isHad))
    if !isHad { upload.lackingBytes += Int64(block.size) }
    return (position, isHad)
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

  /// Takes from the quota what the session needs now.
  private func reserve(_ upload: inout UploadRow) throws {
    let needed = upload.neededReservation
    let more = needed - upload.reserved
    state.reserved += more
    upload.reserved = needed
    if let quota, more > 0, state.used + state.reserved > quota {
      throw Problem(.quota, "This needs \(state.used + state.reserved - quota) bytes more than the quota of \(quota): make room first.")
    }
  }

  /// Renews the lease, and writes the session's counters.
  private func writeCounters(_ upload: UploadRow) throws {
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
  ///
  /// - Parameter hasReceipts: whether any are kept for it; nil for who does not know.
  func end(
    _ upload: UploadRow, as status: UploadStatus, entry: EntryID? = nil, version: Int64? = nil, hasReceipts: Bool? = nil
  ) throws {
    state.reserved -= upload.reserved
    try db.send(
      "UPDATE uploads SET status = ?, reserved = 0, expires_at = ?, entry = ?, version = ? WHERE number = ?", .int(status.number),
      .time(now + context.options.memory), entry.map { .id($0) } ?? .null, .integer(version), .integer(upload.number))
    if status != .uploaded { try noteAbandoned(upload) }
    try db.send("DELETE FROM upload_positions WHERE upload = ?", .integer(upload.number))
    try db.send("DELETE FROM upload_blocks WHERE upload = ?", .integer(upload.number))
    if hasReceipts ?? true { try db.send("DELETE FROM upload_receipts WHERE upload = ?", .integer(upload.number)) }
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
      uploadID: id, status: status, expiresAt: expiresAt, blockCount: positionCount, missing: missing, next: next, file: file,
      chunker: chunker)
  }
}
