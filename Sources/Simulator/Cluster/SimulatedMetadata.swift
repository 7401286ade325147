internal import BlockModel
internal import ClusterLogic

/// The database, by the same rules as `MetadataStore`, in memory: what is here outlives every process, and each call is one transaction.
///
/// What a commit may refer to and what it notes is decided by `ReceiptTally` and `BlockStanding`, as it is there.
final class SimulatedMetadata {
  struct Node: Equatable {
    var id: NodeID
    var zone: ZoneID
    var weight: Double
    var disks: [DiskID]
    var isOut: Bool

    var placed: LayoutNode { LayoutNode(id: id, zone: zone, weight: weight) }
  }

  struct File {
    var name: Int
    var version: Int
    var blocks: [BlockID]
  }

  struct Change: Equatable {
    var sequence: Int
    var name: Int
    /// 0 when the file was deleted.
    var version: Int
    var blocks: [BlockID]
  }

  struct Namespace {
    /// Sorted by name.
    var files: [File] = []
    var changes: [Change] = []
    var references: [BlockID: Int] = [:]
    var used = 0
    var reserved = 0

    func file(_ name: Int) -> File? { files.first { $0.name == name } }
  }

  struct Block {
    var size: Int
    var namespaces = 0
    var unreferencedEpoch: UInt64
    /// A version referred to it once; else an upload announced it and ended.
    var wasReferenced = false
  }

  enum Status { case open, committed, aborted, expired }

  struct Upload {
    var id: UploadID
    var namespace: Int
    var name: Int
    /// Nil overwrites whatever is there.
    var base: Int?
    var blocks: [BlockID]
    var status = Status.open
    var expiresAt: MonotonicTime
    var had: Set<BlockID> = []
    var pinned: Set<BlockID> = []
    var receipts: [BlockID: [SimulatedReceipt]] = [:]
    /// The layouts under which nodes gave blocks up while this was open. Looked up only.
    var voids: [BlockID: [NodeID: UInt64]] = [:]
    var reserved = 0
    /// The version that it became.
    var version: Int?
  }

  // What a coordinator starts from.
  var generation: UInt64 = 0
  var layouts: [Layout]
  /// Sorted by partition.
  var filling: [PlanFilling] = []
  /// Sorted by id.
  var nodes: [Node] = []
  var gcEpoch: UInt64 = 1
  var rebalanceOrigin: UInt64?
  var isPaused = false

  var namespaces: [Namespace]
  var blocks: [BlockID: Block] = [:]
  /// Sorted.
  private(set) var known: [BlockID] = []
  var uploads: [UploadID: Upload] = [:]
  /// In the order in which they were opened.
  var uploadOrder: [UploadID] = []
  /// In the order in which they were noted; zones are nil where nobody knows.
  var repairs: [(block: BlockID, zones: Int?)] = []
  var strays: [BlockID: [NodeID]] = [:]
  /// The log of deletes: the epoch of each block's newest one, below which copies go and receipts do not count.
  var deletes: [BlockID: UInt64] = [:]
  /// The run of the garbage collector that has not ended, and whose it is.
  var openRun: (run: GarbageRun, generation: UInt64)?
  var runs: UInt64 = 0
  /// When the newest run began.
  var collectedAt: MonotonicTime?
  let settings: ClusterScenario.Settings
  let bug: ClusterBug?

  init(_ settings: ClusterScenario.Settings, bug: ClusterBug?) {
    self.settings = settings
    self.bug = bug
    namespaces = Array(repeating: Namespace(), count: settings.namespaces)
    layouts = [
      Layout.empty(
        partitionBits: settings.partitionBits, replicationFactor: settings.replicationFactor, writeQuorum: settings.writeQuorum)
    ]
  }

  var layout: Layout { layouts[layouts.count - 1] }

  func node(_ id: NodeID) -> Node? { nodes.first { $0.id == id } }

  func save(_ node: Node) {
    nodes.removeAll { $0.id == node.id }
    nodes.append(node)
    nodes.sort { $0.id < $1.id }
  }

  // MARK: Layouts

  /// - Returns: false when another one was faster.
  func commit(_ next: Layout, expected: UInt64, filling rows: [PlanFilling], origin: UInt64?) -> Bool {
    guard layout.version == expected, next.version == expected + 1 else { return false }
    layouts.append(next)
    filling = rows
    rebalanceOrigin = origin
    return true
  }

  func updateFilling(_ rows: [PlanFilling], filled: [(partition: Int, gcEpoch: UInt64)], layoutVersion: UInt64) -> Bool {
    guard layout.version == layoutVersion else { return false }
    for (partition, epoch) in filled {
      for block in known where block.partition(bits: settings.partitionBits) == partition && isReferenced(block) {
        if isDeleted(block, since: epoch), !repairs.contains(where: { $0.block == block }) { noteRepair(block, zones: nil) }
      }
    }
    for row in rows {
      filling.removeAll { $0.partition == row.partition }
      if !row.isDone { filling.append(row) }
    }
    filling.sort { $0.partition < $1.partition }
    return true
  }

  // MARK: Blocks

  func isReferenced(_ block: BlockID) -> Bool { (blocks[block]?.namespaces ?? 0) > 0 }

  /// An open upload lacks the block or pins it.
  func isLeased(_ block: BlockID) -> Bool {
    uploadOrder.contains { id in
      guard let upload = uploads[id], upload.status == .open, upload.blocks.contains(block) else { return false }
      return upload.pinned.contains(block) || !upload.had.contains(block)
    }
  }

  func isPinned(_ block: BlockID) -> Bool {
    uploadOrder.contains { id in uploads[id].map { $0.status == .open && $0.pinned.contains(block) } ?? false }
  }

  /// Notes a block that an upload has, or had, something to do with.
  func learn(_ block: BlockID, size: Int) {
    if let row = blocks[block] {
      guard row.namespaces == 0 else { return }
      blocks[block]?.size = size
      blocks[block]?.unreferencedEpoch = gcEpoch
      return
    }
    blocks[block] = Block(size: size, unreferencedEpoch: gcEpoch)
    known.insert(block, at: known.partitioningIndex { $0 < block })
  }

  func forget(_ block: BlockID) {
    blocks[block] = nil
    known.removeAll { $0 == block }
  }

  /// Blocks of the partition that a version refers to or an upload pins, after `after`.
  func liveBlocks(inPartition partition: Int, after: BlockID?, limit: Int) -> [RepairBlock] {
    var found: [RepairBlock] = []
    for block in known where block.partition(bits: settings.partitionBits) == partition && (after.map { block > $0 } ?? true) {
      guard found.count < limit, let row = blocks[block] else { break }
      guard row.namespaces > 0 || isPinned(block) else { continue }
      found.append(RepairBlock(id: block, size: row.size, isReferenced: row.namespaces > 0))
    }
    return found
  }

  func repairRows(after: BlockID?, limit: Int) -> [RepairBlock] {
    let start = after.flatMap { last in repairs.firstIndex { $0.block == last }.map { $0 + 1 } } ?? 0
    return repairs[start...].prefix(limit).map { row in
      RepairBlock(id: row.block, size: blocks[row.block]?.size ?? 1, isReferenced: true, strays: strays[row.block] ?? [])
    }
  }

  func addRepairs(_ found: [BlockID]) {
    for block in found where isReferenced(block) { noteRepair(block, zones: nil) }
  }

  private func noteRepair(_ block: BlockID, zones: Int?) {
    if let index = repairs.firstIndex(where: { $0.block == block }) {
      repairs[index].zones = zones.map { max($0, repairs[index].zones ?? 0) }
    } else {
      repairs.append((block, zones))
    }
  }

  /// Whether a delete of it that was logged under this epoch or a later one is on record.
  func isDeleted(_ block: BlockID, since epoch: UInt64) -> Bool {
    bug != .forgetsLateDeletes && deletes[block].map { $0 >= epoch } ?? false
  }

  /// - Returns: the rows that went; nil when another layout is newer.
  func clearRepairs(_ done: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) -> [BlockID]? {
    guard layout.version == layoutVersion else { return nil }
    let gone = done.filter { !isDeleted($0, since: gcEpoch) }
    for block in gone { dropRows(block) }
    return gone
  }

  func dropRows(_ block: BlockID) {
    repairs.removeAll { $0.block == block }
    strays[block] = nil
  }

  func standing(_ block: BlockID, namespace: Int) -> BlockStanding? {
    guard let row = blocks[block] else { return nil }
    let repair = repairs.first { $0.block == block }
    let isMine = namespaces[namespace].references[block] != nil || bug == .deduplicatesGlobally && row.namespaces > 0
    return BlockStanding(
      size: row.size, namespaces: Int64(row.namespaces), isMine: isMine, hasRepair: repair != nil, zones: repair?.zones)
  }

  func apply(_ outcome: ReceiptTally.Outcome, to block: BlockID) {
    switch outcome {
    case .nothing: break
    case .healed: dropRows(block)
    case .lacking(let zones, let found):
      guard bug != .forgetsRepairRows else { return }
      noteRepair(block, zones: zones)
      for node in found where !(strays[block] ?? []).contains(node) { strays[block, default: []].append(node) }
    }
  }

  // MARK: References

  func addReference(_ block: BlockID, namespace: Int) {
    if let count = namespaces[namespace].references[block] {
      namespaces[namespace].references[block] = count + 1
      return
    }
    namespaces[namespace].references[block] = 1
    namespaces[namespace].used += blocks[block]?.size ?? 0
    blocks[block]?.namespaces += 1
  }

  func dropReference(_ block: BlockID, namespace: Int) {
    guard let count = namespaces[namespace].references[block] else { return }
    namespaces[namespace].references[block] = count > 1 ? count - 1 : nil
    guard count == 1 else { return }
    namespaces[namespace].used -= blocks[block]?.size ?? 0
    blocks[block]?.namespaces -= 1
    guard !isReferenced(block) else { return }
    blocks[block]?.unreferencedEpoch = gcEpoch
    blocks[block]?.wasReferenced = true
    dropRows(block)
  }
}

/// A node's word for one durable copy, for one upload.
struct SimulatedReceipt {
  var upload: UploadID
  var block: BlockID
  var node: NodeID
  var disk: DiskID
  var layoutVersion: UInt64
  var gcEpoch: UInt64
  var isHashed: Bool
}

extension Array {
  /// The first index whose element does not satisfy `isBefore`; the array is sorted by it.
  func partitioningIndex(_ isBefore: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
