package import BlockModel
package import ClusterLogic
internal import SQLSession
package import ServiceAPI
internal import Synchronization

/// The cluster's keeping: each is one call of the writer or of a reader.
extension SQLMetadataStore {
  package func clusterIdentity() async throws(MetadataError) -> ClusterIdentity { settings }

  package func raiseGeneration() async throws(MetadataError) -> UInt64 {
    // Nodes remember the highest they have seen, so a restored database goes above it without having this one.
    try await writer.writeHere(.rows, isRepeatable: true) { try $0.raiseGeneration() }
  }

  package func currentLayout() async throws(MetadataError) -> Layout {
    let settings = settings
    return try await readers.read { try $0.newestLayout(settings) }
  }

  package func layoutHistory(limit: Int) async throws(MetadataError) -> [Layout] {
    try await readers.read { try $0.layoutHistory(limit: limit) }
  }

  package func commitLayout(
    _ layout: Layout, expectedVersion: UInt64, filling: [FillingPartition], note: LayoutNote
  ) async throws(MetadataError) {
    try await writer.write(.cluster) { try $0.commitLayout(layout, expectedVersion: expectedVersion, filling: filling, note: note) }
  }

  package func layoutRecords(limit: Int) async throws(MetadataError) -> [LayoutRecord] {
    try await readers.read { try $0.layoutRecords(limit: limit) }
  }

  package func stagedRoles() async throws(MetadataError) -> [StagedRole] {
    try await readers.read { try $0.stagedRoles() }
  }

  package func saveStagedRoles(_ roles: [StagedRole]) async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) { try $0.saveStagedRoles(roles) }
  }

  package func rebalance() async throws(MetadataError) -> RebalanceRecord {
    try await readers.read { try $0.rebalance() }
  }

  package func saveRebalance(_ record: RebalanceRecord) async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) { try $0.saveRebalance(record) }
  }

  package func tuning() async throws(MetadataError) -> [ClusterTuning.Value] {
    try await readers.read { try $0.tuning() }
  }

  package func saveTuning(_ values: [ClusterTuning.Value]) async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) { try $0.saveTuning(values) }
  }

  package func fillingPartitions() async throws(MetadataError) -> [FillingPartition] {
    try await readers.read { try $0.fillingPartitions() }
  }

  package func updateFilling(
    _ rows: [FillingPartition], filled: [FilledPartition], layoutVersion: UInt64
  ) async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) { try $0.updateFilling(rows, filled: filled, layoutVersion: layoutVersion) }
  }

  package func nodes() async throws(MetadataError) -> [NodeRecord] {
    try await readers.read { try $0.allNodes() }
  }

  package func saveNode(_ node: NodeRecord) async throws(MetadataError) {
    // Heartbeats say it again; a node that comes back has to be known before the journal can go on with it.
    try await writer.writeHere(.cluster, isRepeatable: true) { try $0.saveNode(node) }
  }

  package func liveBlocks(
    inPartition partition: Int, bits: Int, after: BlockID?, limit: Int
  ) async throws(MetadataError) -> [LiveBlock] {
    try await readers.read { try $0.liveBlocks(inPartition: partition, bits: bits, after: after, limit: limit) }
  }

  package func referencedBlockCounts() async throws(MetadataError) -> [Int] {
    let partitions = 1 << settings.partitionBits
    return try await readers.read { try $0.referencedBlockCounts(partitions: partitions) }
  }

  package func repairs(after: BlockID?, limit: Int) async throws(MetadataError) -> [RepairRow] {
    let start = after.map { repairPages.place(after: $0) } ?? 0
    let rows = try await readers.read { try $0.repairs(after: start, limit: limit) }
    if let last = rows.last { repairPages.remember(last.row.block, at: last.number) }
    return rows.map(\.row)
  }

  package func repairCount() async throws(MetadataError) -> Int {
    try await readers.read { try $0.db.first("SELECT count(*) FROM repairs") { $0.int(0) } ?? 0 }
  }

  package func addRepairs(_ blocks: [BlockID]) async throws(MetadataError) {
    try await writer.write(repeatable: true) { try $0.addRepairs(blocks) }
  }

  package func clearRepairs(_ blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) async throws(MetadataError) {
    try await writer.write(repeatable: true) { try $0.clearRepairs(blocks, layoutVersion: layoutVersion, gcEpoch: gcEpoch) }
  }

  package func voidReceipts(
    of node: NodeID, for blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64
  ) async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) {
      try $0.voidReceipts(of: node, for: blocks, layoutVersion: layoutVersion, gcEpoch: gcEpoch)
    }
  }

  package func strays(of blocks: [BlockID]) async throws(MetadataError) -> [BlockID: [NodeID]] {
    try await readers.read { transaction in
      var found: [BlockID: [NodeID]] = [:]
      for block in blocks {
        let nodes = try transaction.strays(of: block)
        if !nodes.isEmpty { found[block] = nodes }
      }
      return found
    }
  }

  package func dataKeyEpochs() async throws(MetadataError) -> [DataKeyEpochRecord] {
    try await readers.read { try $0.dataKeyEpochs() }
  }

  package func saveDataKeyEpoch(_ record: DataKeyEpochRecord) async throws(MetadataError) -> DataKeyEpochRecord {
    try await writer.write(repeatable: true) { try $0.saveDataKeyEpoch(record) }
  }

  package func gcEpoch() async throws(MetadataError) -> UInt64 {
    try await readers.read { UInt64(try Settings.number($0.db, Settings.gcEpoch)) }
  }

  package func uses(of block: BlockID, limit: Int) async throws(MetadataError) -> BlockUses {
    try await readers.read { try $0.uses(of: block, limit: limit) }
  }

  package func recount() async throws(MetadataError) -> [RecountFinding] {
    try await readers.read { try $0.recount() }
  }
}

/// Where the pages of repair rows ended. The last row of a page may be repaired and gone when the next page is asked for, and the pages are
/// in order of age, which its block id does not tell.
final class RepairPages: Sendable {
  private static let bound = 256
  private let ends = Mutex<(numbers: [BlockID: Int64], order: [BlockID])>(([:], []))

  /// The number of the row that ended a page; 0, the start, for one that nobody remembers.
  func place(after block: BlockID) -> Int64 { ends.withLock { $0.numbers[block] ?? 0 } }

  func remember(_ block: BlockID, at number: Int64) {
    ends.withLock { ends in
      if ends.numbers.updateValue(number, forKey: block) == nil { ends.order.append(block) }
      if ends.order.count > RepairPages.bound { ends.numbers[ends.order.removeFirst()] = nil }
    }
  }
}
