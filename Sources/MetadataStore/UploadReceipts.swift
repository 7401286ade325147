internal import BlockModel
internal import ClusterLogic
internal import SQLSession
internal import ServiceAPI

extension NamespaceEditor {
  func addReceipts(_ receipts: [Receipt], to upload: UploadRow) throws {
    try keep(receipts, for: upload)
    try db.send("UPDATE uploads SET expires_at = ? WHERE number = ?", .time(now + context.options.uploadLease), .integer(upload.number))
  }

  /// Records receipts, and pins the blocks that they are for. Those that do not count on this cluster are left out without a word: what is
  /// missing at commit says enough.
  func keep(_ receipts: [Receipt], for upload: UploadRow) throws {
    let layout = try context.layout(transaction)
    let nodes = try context.nodes(transaction)
    let sizes = try announcedSizes(of: receipts.map(\.block), in: upload)
    var touched: [BlockID] = []
    for receipt in receipts {
      guard let size = sizes[receipt.block] else {
        throw Problem(.invalidReceipt, "A receipt is for block \(receipt.block), which this upload did not announce.")
      }
      try NamespaceEditor.check(receipt, of: upload.id, size: size)
      guard try counts(receipt, for: upload) else { continue }
      try db.send(
        """
        INSERT INTO upload_receipts (upload, block, node, disk, hashed) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (upload, block, node) DO UPDATE SET disk = excluded.disk, hashed = excluded.hashed
        """, .integer(upload.number),
        .block(receipt.block), .text(receipt.node.text), .id(receipt.disk), .flag(receipt.verification == .hashed))
      try db.send(
        """
        INSERT INTO blocks (id, size, namespaces, unreferenced_epoch) VALUES (?, ?, 0, ?)
        ON CONFLICT (id) DO UPDATE SET size = excluded.size, unreferenced_epoch = excluded.unreferenced_epoch WHERE blocks.namespaces = 0
        """, .block(receipt.block), .int(size), .integer(Int64(try knownGCEpoch())))
      if touched.last != receipt.block { touched.append(receipt.block) }
    }
    for (block, copies) in zip(touched, try receiptsKept(of: touched, upload)) {
      let tally = ReceiptTally(copies, of: block, layout: layout, nodes: nodes)
      try db.send(
        "UPDATE upload_blocks SET is_pinned = 1, is_had = max(is_had, ?) WHERE upload = ? AND block = ?",
        .flag(tally.suffices(layout)), .integer(upload.number), .block(block))
    }
  }

  /// - Throws: `.invalidReceipt` for a receipt that is genuine but of something else.
  static func check(_ receipt: Receipt, of upload: UploadID, size: Int) throws(Problem) {
    guard receipt.upload == upload else {
      throw Problem(.invalidReceipt, "A receipt for block \(receipt.block) belongs to another upload.")
    }
    guard receipt.plainBytes == size else {
      throw Problem(.invalidReceipt, "Block \(receipt.block) was announced with \(size) bytes and stored with \(receipt.plainBytes).")
    }
  }

  /// A receipt of an epoch that the block was deleted after says nothing, and one of a copy that its node gave up: that copy may be gone,
  /// and the block has to be put again.
  func counts(_ receipt: Receipt, for upload: UploadRow) throws -> Bool {
    guard receipt.durability == .strict || context.options.countsRelaxedReceipts else { return false }
    guard try !isVoid(receipt, for: upload) else { return false }
    if receipt.gcEpoch >= (try knownGCEpoch()) { return true }
    return try !mayBeDeletedKnowing(receipt.block, acknowledgedUnder: receipt.gcEpoch)
  }

  /// As `mayBeDeleted`, asking what is asked for each of a block's receipts once.
  private func mayBeDeletedKnowing(_ block: BlockID, acknowledgedUnder epoch: UInt64) throws -> Bool {
    let deleted = try deletedEpochs[block] ?? deletedEpoch(of: block)
    deletedEpochs[block] = .some(deleted)
    if let deleted { return epoch < deleted }
    let floor = try deletesFloor ?? gcFloor()
    deletesFloor = floor
    return epoch < floor
  }

  /// What `counts` will ask of these blocks; nothing where they are many, of which few need it.
  func deletionQuestions(of receipts: [Receipt]) -> [SQLQuestion] {
    let blocks = Set(receipts.map(\.block))
    guard blocks.count <= 16 else { return [] }
    return blocks.sorted().map { block in
      deletedEpochs[block] = .some(nil)
      return SQLQuestion("SELECT epoch FROM gc_deletes WHERE block = ?", [.block(block)]) { row in
        self.deletedEpochs[block] = UInt64(clamping: row.int64(0))
        return false
      }
    }
  }

  private func isVoid(_ receipt: Receipt, for upload: UploadRow) throws -> Bool {
    guard try hasVoidedReceipts(upload) else { return false }
    let voided = try db.first(
      "SELECT layout_version FROM voided_receipts WHERE upload = ? AND block = ? AND node = ?", .integer(upload.number),
      .block(receipt.block), .text(receipt.node.text)
    ) { UInt64(clamping: $0.int64(0)) }
    return !CopyReceipt.counts(under: receipt.layoutVersion, voided: voided)
  }

  /// Asked once for an upload: hardly any has some.
  private func hasVoidedReceipts(_ upload: UploadRow) throws -> Bool {
    if let voids, voids.upload == upload.number { return voids.areAny }
    let areAny = try db.first("SELECT 1 FROM voided_receipts WHERE upload = ? LIMIT 1", .integer(upload.number)) { _ in true } ?? false
    voids = (upload.number, areAny)
    return areAny
  }

  /// The epoch cannot change while this mutation runs.
  private func knownGCEpoch() throws -> UInt64 {
    if let epoch { return epoch }
    let epoch = try gcEpoch()
    self.epoch = epoch
    return epoch
  }

  /// For each block, in their order.
  func receiptsKept(of blocks: [BlockID], _ upload: UploadRow) throws -> [[CopyReceipt]] {
    var kept: [[CopyReceipt]] = Array(repeating: [], count: blocks.count)
    try db.rows(
      "SELECT node, disk, hashed FROM upload_receipts WHERE upload = ? AND block = ? ORDER BY node",
      each: blocks.map { [.integer(upload.number), .block($0)] }
    ) { index, row in
      if let node = NodeID(row.text(0)) { kept[index].append(CopyReceipt(node: node, disk: row.id(1), isHashed: row.bool(2))) }
    }
    return kept
  }

  private func announcedSizes(of blocks: [BlockID], in upload: UploadRow) throws -> [BlockID: Int] {
    var sizes: [BlockID: Int] = [:]
    var distinct: Set<BlockID> = []
    let blocks = blocks.filter { distinct.insert($0).inserted }
    try db.rows(
      "SELECT size FROM upload_blocks WHERE upload = ? AND block = ?", each: blocks.map { [.integer(upload.number), .block($0)] }
    ) { index, row in
      sizes[blocks[index]] = row.int(0)
    }
    return sizes
  }
}
