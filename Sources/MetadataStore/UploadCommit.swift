internal import BlockModel
internal import ClusterLogic
internal import Platform
internal import SQLSession
internal import ServiceAPI

/// Turning a session into a version, in one transaction.
///
/// What must hold (invariant 2): a version refers only to blocks that the caller had, not known to be below the write quorum, or that have
/// receipts of this upload for copies in enough zones. Blocks short of copies on the layout get their repair row with the version.
extension NamespaceEditor {
  /// A block of the upload that is not had, and what its receipts amount to.
  private struct Arrival {
    var block: BlockRef
    var standing: BlockStanding?
    var tally: ReceiptTally
  }

  /// Answers the file, or what is missing; then the receipts that came along are kept, so that they need not be sent again.
  func complete(_ opened: UploadRow, _ completion: Completion) throws -> ItemResult<FileEntry> {
    var upload = opened
    if upload.status == .uploaded { return ItemResult(value: try result(of: upload)) }
    try upload.checkOpen(at: now)
    let (target, path) = try self.view(of: RemotePath.checked(upload.path), principal)
    guard target.namespace == namespace else {
      throw Problem(.conflict, "\(upload.path) is in another tree now than when the upload began: open a new one.")
    }
    readable = try readableBlocks(for: upload)
    if let version = completion.ifVersion {
      try checkIsAt(version, path, upload)
      upload.baseVersion = version
      upload.policy = .fail
    }
    guard path.name != nil else { throw Problem.rootIsNoFile }
    let (there, questions) = try pathEnd(path)
    let announced = try announced(of: upload, asking: questions + deletionQuestions(of: completion.receipts))
    let blocks = announced.blocks
    // Who left the choice to the folder and did not hear of it has cut every 4 MiB; then the hash need not be taken on trust.
    if upload.isFoldersChunker, NamespaceEditor.areFixedPieces(blocks) { upload.chunker = .fixed }
    let content = try content(blocks, upload, completion)
    let (arrivals, missing) = try weigh(announced, upload, completion.receipts)
    guard missing.isEmpty else {
      try keep(completion.receipts, for: upload)
      for block in missing { try unmark(block, upload) }
      return ItemResult(
        problem: Problem(
          .missingBlocks, "\(missing.count) of the upload's blocks lack receipts for enough copies: put them and send the receipts.",
          missing: Array(missing.prefix(Limits.blocksPerRequest))))
    }
    for arrival in arrivals { try settle(arrival) }
    let (row, place) = try apply(place(content, upload, at: path, there), content, blocks, upload, envelope: completion.envelope)
    try end(upload, as: .uploaded, entry: row.id, version: row.version, hasReceipts: announced.hasReceipts)
    return ItemResult(value: try document(row, RemotePath.checked(place)))
  }

  /// - Throws: `.preconditionFailed` unless the upload's path is at `version`, which is 0 for nothing there.
  private func checkIsAt(_ version: Int64, _ path: RemotePath, _ upload: UploadRow) throws {
    let row = try lookUp(path, view)
    guard row?.version ?? 0 != version else { return }
    let now = row.map { "at version \($0.version)" } ?? "not there"
    throw Problem(
      .preconditionFailed, "\(upload.path) is \(now), and If-Match asks for \(version == 0 ? "nothing there" : "version \(version)").")
  }

  /// The answer to a repeated request: what the first one committed.
  private func result(of upload: UploadRow) throws -> FileEntry {
    guard let id = upload.entry, let number = upload.version, var row = try entry(namespace, id) else {
      throw Problem(.notFound, "This upload was committed, and the file was deleted since.")
    }
    if number != row.version, let version = try version(namespace, id, number) {
      row.version = number
      row.size = version.size
      row.contentHash = version.contentHash
      row.modifiedAt = version.modifiedAt
      row.envelope = version.envelope
    }
    return view.document(
      row, path: try path(of: row, namespace) ?? row.name, role: try role(at: row.id, view, principal) ?? .read)
  }

  // MARK: - The content

  struct Content {
    var size: Int64
    var hash: [UInt8]
  }

  func announcedBlocks(of upload: UploadRow) throws -> [BlockRef] { try announced(of: upload, asking: []).blocks }

  /// What a commit has to know of an upload's blocks.
  private struct Announced {
    /// The file's, in order.
    var blocks: [BlockRef] = []
    /// Those that nobody knows are left out.
    var standings: [BlockID: BlockStanding] = [:]
    /// Whether any receipts are kept for it.
    var hasReceipts = false
  }

  /// One statement, because most files have one block and a large one has thousands, and the commit of either has to be quick.
  /// - Parameter others: asked besides.
  private func announced(of upload: UploadRow, asking others: [SQLQuestion]) throws -> Announced {
    var announced = Announced()
    announced.blocks.reserveCapacity(upload.positionCount)
    var voids = false
    let question = SQLQuestion(
      """
      SELECT p.block, \(BlockStanding.columns), p.position, p.size, (SELECT value FROM settings WHERE key = 'gc-epoch'),
        EXISTS (SELECT 1 FROM voided_receipts v WHERE v.upload = ?2), EXISTS (SELECT 1 FROM upload_receipts r WHERE r.upload = ?2),
        coalesce((SELECT value FROM settings WHERE key = 'gc-floor'), 0)
      FROM upload_positions p WHERE p.upload = ?2 ORDER BY p.position
      """, [.integer(principal.namespaceNumber), .integer(upload.number)]
    ) { [self] row in
      guard row.int(5) == announced.blocks.count else {
        throw Problem(.missingBlocks, "The upload's block list lacks block \(announced.blocks.count).")
      }
      let block = row.block(0)
      announced.blocks.append(BlockRef(id: block, size: row.int(6)))
      announced.standings[block] = BlockStanding(row, isReadable: readable?.contains(block) ?? false)
      if announced.blocks.count == 1 {
        epoch = UInt64(clamping: row.int64(7))
        deletesFloor = UInt64(clamping: row.int64(10))
        voids = row.bool(8)
        announced.hasReceipts = row.bool(9)
      }
      return true
    }
    // All rows at once where they are few, as nearly always, which spares PostgreSQL a cursor.
    if upload.positionCount <= Limits.blocksPerRequest {
      try db.ask([question] + others)
    } else {
      try db.ask(others)
      try db.stream(question.sql, question.values, question.read)
    }
    // Without blocks nobody asks.
    if !announced.blocks.isEmpty { self.voids = (upload.number, voids) }
    return announced
  }

  /// Checks the block list against what the client said of the file.
  private func content(_ blocks: [BlockRef], _ upload: UploadRow, _ completion: Completion) throws -> Content {
    let size = blocks.reduce(Int64(0)) { $0 + Int64($1.size) }
    for declared in [upload.declaredSize, try UploadRow.checked(size: completion.size)].compactMap({ $0 }) where declared != size {
      guard declared > size else {
        throw Problem(.hashMismatch, "The blocks announced have \(size) bytes and the file \(declared).")
      }
      throw Problem(.missingBlocks, "The blocks announced have \(size) bytes of the file's \(declared): announce the others.")
    }
    let claims = [upload.contentHash, try UploadRow.checked(contentHash: completion.contentHash)].compactMap { $0 }
    switch upload.chunker {
    case .fixed:
      guard NamespaceEditor.areFixedPieces(blocks) else {
        throw Problem(.hashMismatch, "With fixed chunking each block but the last has \(Limits.blockBytes) bytes.")
      }
      let hash = ContentHash.ofFixedPieces(blocks)
      guard claims.allSatisfy({ $0 == hash }) else {
        throw Problem(.hashMismatch, "The blocks have the content hash \(HexDigits.encode(hash)) and not the one that was sent.")
      }
      return Content(size: size, hash: hash)
    case .cdc:
      guard let claim = claims.last, claims.allSatisfy({ $0 == claim }) else {
        throw Problem(.malformed, "With content-defined chunking content_hash has to be sent, and the same each time.")
      }
      return Content(size: size, hash: claim)
    }
  }

  private static func areFixedPieces(_ blocks: [BlockRef]) -> Bool { blocks.dropLast().allSatisfy { $0.size == Limits.blockBytes } }

  // MARK: - The blocks

  /// Looks at each distinct block: the ones that arrived, and the ones that a version may not refer to yet.
  private func weigh(
    _ announced: Announced, _ upload: UploadRow, _ receipts: [Receipt]
  ) throws -> (arrivals: [Arrival], missing: [BlockID]) {
    let layout = try context.layout(transaction)
    let nodes = try context.nodes(transaction)
    let given = Dictionary(grouping: receipts, by: \.block)
    var seen: Set<BlockID> = []
    var arrivals: [Arrival] = []
    var missing: [BlockID] = []
    for block in announced.blocks where seen.insert(block.id).inserted {
      let standing = announced.standings[block.id]
      let isHad = standing?.isHad(layout) ?? false
      // A block that is had and in full health needs nothing.
      if isHad, standing?.hasRepair == false, given[block.id] == nil { continue }
      var copies = announced.hasReceipts ? try receiptsKept(of: [block.id], upload)[0] : []
      for receipt in given[block.id] ?? [] {
        try NamespaceEditor.check(receipt, of: upload.id, size: block.size)
        guard try counts(receipt, for: upload) else { continue }
        copies.removeAll { $0.node == receipt.node }
        copies.append(CopyReceipt(node: receipt.node, disk: receipt.disk, isHashed: receipt.verification == .hashed))
      }
      let tally = ReceiptTally(copies, of: block.id, layout: layout, nodes: nodes)
      if tally.suffices(layout) {
        arrivals.append(Arrival(block: block, standing: standing, tally: tally))
      } else if !isHad {
        missing.append(block.id)
      }
    }
    // In the order of the receipts, so that what is refused does not depend on a dictionary.
    if let stranger = receipts.first(where: { !seen.contains($0.block) }) {
      throw Problem(.invalidReceipt, "A receipt is for block \(stranger.block), which this upload did not announce.")
    }
    return (arrivals, missing)
  }

  /// A block that lost its standing since it was announced is listed as lacking again.
  private func unmark(_ block: BlockID, _ upload: UploadRow) throws {
    try db.send("UPDATE upload_blocks SET is_had = 0 WHERE upload = ? AND block = ?", .integer(upload.number), .block(block))
  }

  /// Writes the repair and stray rows that a newly arrived block calls for, or takes away those that its arrival made good.
  private func settle(_ arrival: Arrival) throws {
    let block = arrival.block.id
    switch arrival.tally.outcome(arrival.standing, try context.layout(transaction)) {
    case .nothing: return
    case .healed:
      try db.send("DELETE FROM repairs WHERE block = ?", .block(block))
      try db.send("DELETE FROM strays WHERE block = ?", .block(block))
    case .lacking(let zones, let strays):
      try db.send(
        """
        INSERT INTO repairs (block, zones) VALUES (?, ?)
        ON CONFLICT (block) DO UPDATE SET zones = max(coalesce(repairs.zones, 0), excluded.zones)
        """, .block(block), .int(zones))
      for node in strays { try db.send("INSERT OR IGNORE INTO strays (block, node) VALUES (?, ?)", .block(block), .text(node.text)) }
    }
  }
}

/// The public Dropbox content hash: SHA-256 over the concatenated SHA-256 of the 4 MiB pieces.
enum ContentHash {
  /// With fixed chunking the pieces are the blocks, so their names are all it takes.
  static func ofFixedPieces(_ blocks: [BlockRef]) -> [UInt8] {
    var names: [UInt8] = []
    names.reserveCapacity(blocks.count * BlockID.byteCount)
    for block in blocks { names += block.id.bytes }
    return SHA256Hasher.hash(names)
  }
}
