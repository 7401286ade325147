package import BlockModel
package import ClusterLogic
package import ServiceAPI

/// The part of the metadata that the cluster's own keeping needs: identity, generations, nodes, layouts, and which blocks are live.
///
/// What must hold: whatever a mutation acknowledged is durable; a layout's version and a generation only grow.
package protocol ClusterMetadata: Sendable {
  /// Made once, when the database is made.
  func clusterIdentity() async throws(MetadataError) -> ClusterIdentity
  /// Raises the coordinator's generation durably and answers the new one; called once by every start.
  func raiseGeneration() async throws(MetadataError) -> UInt64

  /// The newest layout; the empty one of version 0 in a new cluster.
  func currentLayout() async throws(MetadataError) -> Layout
  /// Newest first.
  func layoutHistory(limit: Int) async throws(MetadataError) -> [Layout]
  /// Commits the next layout together with the partitions that it leaves to be filled.
  /// - Throws: `.conflict` when the newest version is not `expectedVersion`.
  func commitLayout(
    _ layout: Layout, expectedVersion: UInt64, filling: [FillingPartition], note: LayoutNote
  ) async throws(MetadataError)
  /// Newest first, with when and why they came.
  func layoutRecords(limit: Int) async throws(MetadataError) -> [LayoutRecord]
  /// What operators have staged for the next layout, sorted by node.
  func stagedRoles() async throws(MetadataError) -> [StagedRole]
  /// Replaces all of it.
  func saveStagedRoles(_ roles: [StagedRole]) async throws(MetadataError)
  func rebalance() async throws(MetadataError) -> RebalanceRecord
  func saveRebalance(_ record: RebalanceRecord) async throws(MetadataError)
  /// What operators set of the running cluster, in the order of `ClusterTuning.Key`.
  func tuning() async throws(MetadataError) -> [ClusterTuning.Value]
  /// Replaces all of it.
  func saveTuning(_ values: [ClusterTuning.Value]) async throws(MetadataError)
  func fillingPartitions() async throws(MetadataError) -> [FillingPartition]
  /// Replaces the row of each partition named (one that is done goes), if the layout is still `layoutVersion`; else `.conflict`.
  /// - Parameter filled: partitions of which a replica is whole now, by words given in an epoch: blocks deleted in it or later that
  ///   versions refer to again get repair rows, because a late delete may take the copy that was seen.
  func updateFilling(_ rows: [FillingPartition], filled: [FilledPartition], layoutVersion: UInt64) async throws(MetadataError)

  func nodes() async throws(MetadataError) -> [NodeRecord]
  func saveNode(_ node: NodeRecord) async throws(MetadataError)

  /// Blocks of one partition that are live: referenced by a version, or announced under an open upload lease with a receipt. In id order.
  func liveBlocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) async throws(MetadataError) -> [LiveBlock]
  /// How many blocks versions refer to, in all and in each partition of the layout (index = partition).
  func referencedBlockCounts() async throws(MetadataError) -> [Int]

  /// Blocks with fewer copies on the layout than it asks for, oldest first.
  func repairs(after: BlockID?, limit: Int) async throws(MetadataError) -> [RepairRow]
  func repairCount() async throws(MetadataError) -> Int
  /// Notes that blocks need repair (rot reported, a copy found missing); those that no version refers to are left out.
  func addRepairs(_ blocks: [BlockID]) async throws(MetadataError)
  /// Removes the repair rows and stray rows of blocks that have all copies on the layout of this version; `.conflict` when it is no
  /// longer the newest. The rows of blocks whose delete was logged under `gcEpoch` or later stay: a late delete may take a copy that was
  /// seen in that epoch, and none that was seen in a later one.
  func clearRepairs(_ blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) async throws(MetadataError)
  /// A node is about to give up its copies of these blocks: what it acknowledged of them under this layout or an older one counts for no
  /// upload that is open now, whether its receipts are here or still to come. `.conflict` when the layout is no longer the newest,
  /// or when versions refer again to one of the blocks whose delete was logged under `gcEpoch` or later.
  func voidReceipts(of node: NodeID, for blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) async throws(MetadataError)
  func strays(of blocks: [BlockID]) async throws(MetadataError) -> [BlockID: [NodeID]]

  /// Records who founded a data-key epoch and the key's check value. Answers what is recorded: the first to come stays.
  func dataKeyEpochs() async throws(MetadataError) -> [DataKeyEpochRecord]
  func saveDataKeyEpoch(_ record: DataKeyEpochRecord) async throws(MetadataError) -> DataKeyEpochRecord

  func gcEpoch() async throws(MetadataError) -> UInt64

  /// Who uses a block: at most `limit` file versions, and the open uploads that pin it.
  func uses(of block: BlockID, limit: Int) async throws(MetadataError) -> BlockUses
  /// Recounts what is kept as a count (references, usage, reservations, change sequences, listing from the feed) and answers each
  /// discrepancy as a sentence,
  /// under the number of the invariant it breaks.
  func recount() async throws(MetadataError) -> [RecountFinding]
}

package struct ClusterIdentity: Sendable, Equatable {
  package var cluster: ClusterID
  package var partitionBits: Int
  package var replicationFactor: Int
  package var writeQuorum: Int
  package init(cluster: ClusterID, partitionBits: Int, replicationFactor: Int, writeQuorum: Int) {
    self.cluster = cluster
    self.partitionBits = partitionBits
    self.replicationFactor = replicationFactor
    self.writeQuorum = writeQuorum
  }
}

/// A node as the database remembers it over restarts of the coordinator.
package struct NodeRecord: Sendable, Equatable {
  package var id: NodeID
  package var zone: ZoneID
  package var region: RegionID?
  package var weight: Double
  package var address: String
  /// The disks' incarnations that count for receipts.
  package var disks: [DiskID]
  /// True from the moment it was declared out until it is taken back.
  package var isOut: Bool
  package init(id: NodeID, zone: ZoneID, region: RegionID? = nil, weight: Double, address: String, disks: [DiskID], isOut: Bool) {
    self.id = id
    self.zone = zone
    self.region = region
    self.weight = weight
    self.address = address
    self.disks = disks
    self.isOut = isOut
  }
}

package struct LiveBlock: Sendable, Equatable {
  package var id: BlockID
  /// Plain bytes.
  package var size: Int
  /// False when only an open upload pins it.
  package var isReferenced: Bool
  package init(id: BlockID, size: Int, isReferenced: Bool) {
    self.id = id
    self.size = size
    self.isReferenced = isReferenced
  }
}

package struct RepairRow: Sendable, Equatable {
  package var block: BlockID
  package var size: Int
  /// Nodes off the layout that acknowledged a copy.
  package var strays: [NodeID]
  package init(block: BlockID, size: Int, strays: [NodeID]) {
    self.block = block
    self.size = size
    self.strays = strays
  }
}

package struct DataKeyEpochRecord: Sendable, Equatable {
  package var epoch: UInt32
  package var founder: NodeID
  /// Empty until the founder has stated it.
  package var check: String
  package init(epoch: UInt32, founder: NodeID, check: String) {
    self.epoch = epoch
    self.founder = founder
    self.check = check
  }
}

package struct BlockUses: Sendable, Equatable {
  package var size: Int?
  package var uses: [BlockExplanation.Use]
  package var leases: [UploadID]
  package init(size: Int?, uses: [BlockExplanation.Use], leases: [UploadID]) {
    self.size = size
    self.uses = uses
    self.leases = leases
  }
}

package struct RecountFinding: Sendable, Equatable {
  package var invariant: Int
  package var sentence: String
  package init(invariant: Int, sentence: String) {
    self.invariant = invariant
    self.sentence = sentence
  }
}

/// What a metadata store answers instead of a result.
package struct MetadataError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// Somebody else was first.
    case conflict
    /// The request cannot be granted; the problem says why, for the client.
    case refused
    /// The database cannot be reached or is shutting down; the outcome of a mutation is unknown.
    case unavailable
    /// The database's disk is full.
    case full
    /// The database is damaged, of a newer schema, or of another cluster.
    case unusable
  }
  package var code: Code
  package var message: String
  /// With `.refused`.
  package var problem: Problem?
  package init(_ code: Code, _ message: String, problem: Problem? = nil) {
    self.code = code
    self.message = message
    self.problem = problem
  }
  package var description: String { message }
}

/// A partition that one more replica has whole, and the collection epoch in which its node was asked.
package struct FilledPartition: Sendable, Equatable {
  package var partition: Int
  package var gcEpoch: UInt64
  package init(partition: Int, gcEpoch: UInt64) {
    self.partition = partition
    self.gcEpoch = gcEpoch
  }
}
