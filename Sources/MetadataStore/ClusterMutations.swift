internal import BlockModel
internal import ClusterLogic
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension WriteTransaction {
  func raiseGeneration() throws -> UInt64 {
    try db.run("UPDATE settings SET value = value + 1 WHERE key = ?", .text(Settings.generation))
    return UInt64(try Settings.number(db, Settings.generation))
  }

  func commitLayout(_ layout: Layout, expectedVersion: UInt64, filling: [FillingPartition], note: LayoutNote) throws {
    try checkLayoutVersion(expectedVersion)
    guard layout.version == expectedVersion + 1, layout.partitionBits == context.settings.partitionBits else {
      throw MetadataError(.conflict, "A layout follows the newest one by number, with as many partitions.")
    }
    try db.run(
      "INSERT INTO layouts (version, document, committed_at, cause) VALUES (?, ?, ?, ?)", .integer(Int64(layout.version)),
      .blob(try JSONCoding.encode(layout)), .time(now), .text(note.cause))
    try db.run("DELETE FROM filling")
    for row in filling { try saveFilling(row) }
    if note.clearsStaged { try db.run("DELETE FROM staged_roles") }
    if let rebalance = note.rebalance { try saveRebalance(rebalance) }
    try log(actor: "coordinator", action: "commit-layout", subject: "\(layout.version)")
    try noteClusterChange()
  }

  func updateFilling(_ rows: [FillingPartition], filled: [FilledPartition], layoutVersion: UInt64) throws {
    try checkLayoutVersion(layoutVersion)
    for row in rows { try saveFilling(row) }
    for part in filled {
      let (low, high) = PartitionRange.bounds(part.partition, bits: context.settings.partitionBits)
      try db.run(
        """
        INSERT INTO repairs (block, zones) SELECT d.block, NULL FROM gc_deletes d JOIN blocks b ON b.id = d.block
        WHERE d.block >= ? AND d.block <= ? AND d.epoch >= ? AND b.namespaces > 0 ON CONFLICT (block) DO NOTHING
        """, .block(low), .block(high), .integer(Int64(part.gcEpoch)))
    }
  }

  private func saveFilling(_ row: FillingPartition) throws {
    guard !row.targets.isEmpty || !row.sources.isEmpty else {
      try db.run("DELETE FROM filling WHERE partition = ?", .int(row.partition))
      return
    }
    try db.run(
      """
      INSERT INTO filling (partition, targets, sources, arrivals) VALUES (?, ?, ?, ?) ON CONFLICT (partition) DO UPDATE SET
        targets = excluded.targets, sources = excluded.sources, arrivals = excluded.arrivals
      """, .int(row.partition),
      .text(NodeList.encode(row.targets)), .text(NodeList.encode(row.sources)), .text(NodeList.encode(row.arrivals)))
  }

  func saveStagedRoles(_ roles: [StagedRole]) throws {
    try db.run("DELETE FROM staged_roles")
    for change in roles {
      try db.run(
        "INSERT INTO staged_roles (node, zone, region, weight) VALUES (?, ?, ?, ?)", .text(change.node.text),
        .text(change.role?.zone.text), .text(change.role?.region?.text), change.role.map { .real($0.weight) } ?? .null)
    }
  }

  func saveRebalance(_ record: RebalanceRecord) throws {
    let values: [(String, Int64)] = [
      (Settings.rebalancePaused, record.isPaused ? 1 : 0), (Settings.rebalanceOrigin, record.origin.map { Int64($0) } ?? -1),
      (Settings.rebalanceSteps, Int64(record.steps)),
    ]
    for (key, value) in values { try Settings.set(db, key, value) }
  }

  func saveTuning(_ values: [ClusterTuning.Value]) throws {
    for key in ClusterTuning.Key.allCases {
      if let value = values.first(where: { $0.key == key }) {
        try Settings.set(db, Settings.tuning(key), value.value)
      } else {
        try db.run("DELETE FROM settings WHERE key = ?", .text(Settings.tuning(key)))
      }
    }
  }

  private func checkLayoutVersion(_ expected: UInt64) throws {
    try context.holdCluster(self)
    let newest = try newestLayoutVersion()
    guard newest == expected else {
      throw MetadataError(.conflict, "The newest layout is version \(newest) and not \(expected).")
    }
  }

  func saveNode(_ node: NodeRecord) throws {
    try db.run(
      """
      INSERT INTO nodes (id, zone, weight, address, disks, is_out, region) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        zone = excluded.zone, weight = excluded.weight, address = excluded.address, disks = excluded.disks, is_out = excluded.is_out,
        region = excluded.region
      """, .text(node.id.text),
      .text(node.zone.text), .real(node.weight), .text(node.address), .blob(node.disks.flatMap(\.bytes)), .flag(node.isOut),
      .text(node.region?.text))
    try noteClusterChange()
  }

  /// Layouts or nodes changed: what anybody keeps of them decoded is of no use any more.
  private func noteClusterChange() throws {
    try db.run("UPDATE settings SET value = value + 1 WHERE key = ?", .text(Settings.clusterRevision))
    context.forget()
  }

  /// Blocks that nothing refers to are left out: repair copies only what is live. How many copies are left is not known here.
  func addRepairs(_ blocks: [BlockID]) throws {
    for block in blocks {
      try db.run(
        """
        INSERT INTO repairs (block, zones) SELECT id, NULL FROM blocks WHERE id = ? AND namespaces > 0
        ON CONFLICT (block) DO UPDATE SET zones = NULL
        """, .block(block))
    }
  }

  func clearRepairs(_ blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) throws {
    try checkLayoutVersion(layoutVersion)
    for block in blocks where try !isDeleted(block, since: gcEpoch) {
      try db.run("DELETE FROM repairs WHERE block = ?", .block(block))
      try db.run("DELETE FROM strays WHERE block = ?", .block(block))
    }
  }

  /// Nobody commits meanwhile, and who commits afterwards sees it: so no version counts a copy that its node was told to drop.
  func voidReceipts(of node: NodeID, for blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) throws {
    try checkLayoutVersion(layoutVersion)
    for block in blocks where try isDeleted(block, since: gcEpoch) {
      let isReferenced = try db.first("SELECT namespaces > 0 FROM blocks WHERE id = ?", .block(block), read: { $0.bool(0) }) ?? false
      guard !isReferenced else {
        throw MetadataError(.conflict, "A delete of block \(block.hex), which a version refers to again, may be on its way.")
      }
    }
    for block in blocks {
      try db.run(
        """
        INSERT INTO voided_receipts (upload, block, node, layout_version) SELECT upload, block, ?, ? FROM upload_blocks WHERE block = ?
        ON CONFLICT (upload, block, node) DO UPDATE SET layout_version = excluded.layout_version
        """, .text(node.text), .integer(Int64(layoutVersion)), .block(block))
      try db.run(
        "DELETE FROM upload_receipts WHERE block = ? AND node = ? AND upload IN (SELECT upload FROM upload_blocks WHERE block = ?)",
        .block(block), .text(node.text), .block(block))
    }
  }

  func saveDataKeyEpoch(_ record: DataKeyEpochRecord) throws -> DataKeyEpochRecord {
    try db.run(
      "INSERT OR IGNORE INTO data_key_epochs (epoch, founder, check_value) VALUES (?, ?, ?)", .int(Int(record.epoch)),
      .text(record.founder.text), .text(record.check))
    // The founder states the check value once; what stands stays.
    try db.run(
      "UPDATE data_key_epochs SET check_value = ? WHERE epoch = ? AND founder = ? AND check_value = ''", .text(record.check),
      .int(Int(record.epoch)), .text(record.founder.text))
    guard let kept = try dataKeyEpochs().first(where: { $0.epoch == record.epoch }) else {
      throw MetadataError(.unusable, "The database lost a data-key epoch.")
    }
    return kept
  }
}

extension MetadataReading {
  func dataKeyEpochs() throws -> [DataKeyEpochRecord] {
    try db.all("SELECT epoch, founder, check_value FROM data_key_epochs ORDER BY epoch") { row -> DataKeyEpochRecord in
      guard let founder = NodeID(row.text(1)), let epoch = UInt32(exactly: row.int64(0)) else {
        throw MetadataError(.unusable, "The database names a data-key epoch that cannot be one.")
      }
      return DataKeyEpochRecord(epoch: epoch, founder: founder, check: row.text(2))
    }
  }
}
