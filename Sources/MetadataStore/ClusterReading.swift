internal import BlockModel
internal import ClusterLogic
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension MetadataReading {
  func newestLayout(_ settings: ClusterIdentity) throws -> Layout {
    let document = try db.first("SELECT document FROM layouts ORDER BY version DESC LIMIT 1") { $0.blob(0) }
    guard let document else {
      return .empty(
        partitionBits: settings.partitionBits, replicationFactor: settings.replicationFactor, writeQuorum: settings.writeQuorum)
    }
    return try decodeLayout(document)
  }

  func newestLayoutVersion() throws -> UInt64 {
    UInt64(try db.first("SELECT coalesce(max(version), 0) FROM layouts") { $0.int64(0) } ?? 0)
  }

  func layoutHistory(limit: Int) throws -> [Layout] {
    try db.all("SELECT document FROM layouts ORDER BY version DESC LIMIT ?", .int(max(0, limit))) { try decodeLayout($0.blob(0)) }
  }

  func layoutRecords(limit: Int) throws -> [LayoutRecord] {
    try db.all("SELECT document, committed_at, cause FROM layouts ORDER BY version DESC LIMIT ?", .int(max(0, limit))) { row in
      LayoutRecord(layout: try decodeLayout(row.blob(0)), committedAt: row.int64(1) == 0 ? nil : row.time(1), cause: row.text(2))
    }
  }

  func stagedRoles() throws -> [StagedRole] {
    try db.all("SELECT node, zone, region, weight FROM staged_roles ORDER BY node") { row -> StagedRole in
      guard let node = NodeID(row.text(0)) else { throw MetadataError(.unusable, "The database names a node that cannot be one.") }
      let role = row.optionalText(1).flatMap { ZoneID($0) }.map { zone in
        StagedRole.Role(zone: zone, region: row.optionalText(2).flatMap { RegionID($0) }, weight: row.double(3))
      }
      return StagedRole(node: node, role: role)
    }
  }

  func rebalance() throws -> RebalanceRecord {
    func value(_ key: String) throws -> Int64? {
      try db.first("SELECT value FROM settings WHERE key = ?", .text(key)) { $0.int64(0) }
    }
    let origin = try value(Settings.rebalanceOrigin).flatMap { UInt64(exactly: $0) }
    return RebalanceRecord(
      isPaused: try value(Settings.rebalancePaused) == 1, origin: origin, steps: Int(try value(Settings.rebalanceSteps) ?? 0))
  }

  func tuning() throws -> [ClusterTuning.Value] {
    try ClusterTuning.Key.allCases.compactMap { key in
      try db.first("SELECT value FROM settings WHERE key = ?", .text(Settings.tuning(key))) { row in
        ClusterTuning.Value(key: key, value: row.int64(0))
      }
    }
  }

  private func decodeLayout(_ document: [UInt8]) throws -> Layout {
    do { return try JSONCoding.decode(Layout.self, from: document) } catch {
      throw MetadataError(.unusable, "A layout in the database cannot be read: \(error)")
    }
  }

  func allNodes() throws -> [NodeRecord] {
    try db.all("SELECT id, zone, weight, address, disks, is_out, region FROM nodes ORDER BY id") { row -> NodeRecord in
      guard let id = NodeID(row.text(0)), let zone = ZoneID(row.text(1)) else {
        throw MetadataError(.unusable, "The database names a node or zone that cannot be one.")
      }
      let disks = row.withBlob(4) { bytes in
        stride(from: 0, to: bytes.count, by: 16).map { start in
          DiskID(
            high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self)))
        }
      }
      return NodeRecord(
        id: id, zone: zone, region: row.optionalText(6).flatMap { RegionID($0) }, weight: row.double(2), address: row.text(3), disks: disks,
        isOut: row.bool(5))
    }
  }

  func fillingPartitions() throws -> [FillingPartition] {
    try db.all("SELECT partition, targets, sources, arrivals FROM filling ORDER BY partition") {
      FillingPartition(
        partition: $0.int(0), targets: NodeList.decode($0.text(1)), sources: NodeList.decode($0.text(2)),
        arrivals: NodeList.decode($0.text(3)))
    }
  }

  func liveBlocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) throws -> [LiveBlock] {
    let (low, high) = PartitionRange.bounds(partition, bits: bits)
    // Greater or equal from the partition's start, greater than `after` beyond it.
    let condition = after == nil ? ">=" : ">"
    return try db.all(
      """
      SELECT id, size, namespaces > 0 FROM blocks b WHERE id \(condition) ? AND id <= ?
      AND (namespaces > 0 OR EXISTS (SELECT 1 FROM upload_blocks u WHERE u.block = b.id AND u.is_pinned = 1)) ORDER BY id LIMIT ?
      """, .block(after ?? low), .block(high), .int(max(0, limit))
    ) { LiveBlock(id: $0.block(0), size: $0.int(1), isReferenced: $0.bool(2)) }
  }

  func referencedBlockCounts(partitions: Int) throws -> [Int] {
    var counts = [Int](repeating: 0, count: partitions)
    try db.each("SELECT partition, referenced FROM partition_blocks") { row in
      if counts.indices.contains(row.int(0)) { counts[row.int(0)] = row.int(1) }
      return true
    }
    return counts
  }

  /// Rows after the one of number `after`, each with its number.
  func repairs(after: Int64, limit: Int) throws -> [(number: Int64, row: RepairRow)] {
    try db.all(
      "SELECT r.number, r.block, b.size FROM repairs r JOIN blocks b ON b.id = r.block WHERE r.number > ? ORDER BY r.number LIMIT ?",
      .integer(after), .int(max(0, limit))
    ) { row in
      let block = row.block(1)
      return (row.int64(0), RepairRow(block: block, size: row.int(2), strays: try strays(of: block)))
    }
  }

  func uses(of block: BlockID, limit: Int) throws -> BlockUses {
    let size = try db.first("SELECT size FROM blocks WHERE id = ?", .block(block)) { $0.int(0) }
    let leases = try db.all(
      "SELECT u.id FROM upload_blocks b JOIN uploads u ON u.number = b.upload WHERE b.block = ? AND b.is_pinned = 1 LIMIT 1000",
      .block(block)
    ) { row -> UploadID in row.id(0) }
    let namespaces = try db.all(
      """
      SELECT n.number, u.name FROM namespaces n JOIN users u ON u.number = n.owner
      WHERE EXISTS (SELECT 1 FROM namespace_blocks b WHERE b.ns = n.number AND b.block = ?) LIMIT ?
      """, .block(block), .int(max(0, limit))
    ) { ($0.int64(0), $0.text(1)) }
    var uses: [BlockExplanation.Use] = []
    for (namespace, owner) in namespaces where uses.count < limit {
      try appendUses(of: block, in: namespace, owner: owner, limit: limit, to: &uses)
    }
    return BlockUses(size: size, uses: uses, leases: leases)
  }

  /// Reads the namespace's lists of blocks: slow and for explanations only, which is why no index is kept for it.
  private func appendUses(
    of block: BlockID, in namespace: Int64, owner: String, limit: Int, to uses: inout [BlockExplanation.Use]
  ) throws {
    let pages = try db.all(
      "SELECT hash FROM block_pages WHERE ns = ? AND instr(blocks, ?) > 0 LIMIT 1000", .integer(namespace), .block(block)
    ) { $0.blob(0) }
    try db.each(
      """
      SELECT v.entry, v.version, v.pages, instr(coalesce(v.blocks, x''), ?2) FROM versions v
      WHERE v.ns = ?1 AND (v.pages IS NOT NULL OR instr(v.blocks, ?2) > 0)
      """, .integer(namespace), .block(block)
    ) { row in
      let names = BlockPages.names(row.optionalBlob(2) ?? [])
      guard row.int64(3) > 0 || names.contains(where: { pages.contains($0) }) else { return true }
      let path = try entry(namespace, row.id(0)).flatMap { try self.path(of: $0, namespace) } ?? "(in the trash)"
      uses.append(BlockExplanation.Use(owner: owner, path: path, version: row.int64(1)))
      return uses.count < limit
    }
  }
}

/// The block ids of one partition.
enum PartitionRange {
  static func bounds(_ partition: Int, bits: Int) -> (low: BlockID, high: BlockID) {
    precondition((0...32).contains(bits), "a partition number has at most 32 bits")
    let start = bits == 0 ? 0 : UInt64(partition) << UInt64(64 - bits)
    let rest: UInt64 = bits == 0 ? .max : (1 << UInt64(64 - bits)) - 1
    return (BlockID(words: (start, 0, 0, 0)), BlockID(words: (start | rest, .max, .max, .max)))
  }
}

/// Names of nodes as one text; a node's name has no comma.
enum NodeList {
  static func encode(_ nodes: [NodeID]) -> String { nodes.map(\.text).joined(separator: ",") }
  static func decode(_ text: String) -> [NodeID] { text.split(separator: ",").compactMap { NodeID(String($0)) } }
}
