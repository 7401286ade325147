package import BlockModel

/// What repair has to know of the cluster; given anew whenever it changes.
package struct RepairView: Sendable, Equatable {
  package var layout: Layout
  /// Sorted by partition.
  package var filling: [PlanFilling]
  /// Sorted by node.
  package var members: [PlanMember]
  /// More nodes seem down than is believable: only blocks with one survivor are copied.
  package var isBraked: Bool
  /// The collection epoch. What is asked from now on is answered only by nodes that refuse deletes of older ones.
  package var gcEpoch: UInt64
  package init(layout: Layout, filling: [PlanFilling], members: [PlanMember], isBraked: Bool, gcEpoch: UInt64 = 1) {
    self.layout = layout
    self.filling = filling.sorted { $0.partition < $1.partition }
    self.members = members.sorted { $0.node < $1.node }
    self.isBraked = isBraked
    self.gcEpoch = gcEpoch
  }

  func member(_ node: NodeID) -> PlanMember? {
    let index = members.partitionPoint { $0.node < node }
    return index < members.count && members[index].node == node ? members[index] : nil
  }

  func liveness(_ node: NodeID) -> Liveness { member(node)?.liveness ?? .out }

  func fillingRow(_ partition: Int) -> PlanFilling? {
    let index = filling.partitionPoint { $0.partition < partition }
    return index < filling.count && filling[index].partition == partition ? filling[index] : nil
  }

  /// Whether the partition has as many copies on live nodes as it shall have: then filling another replica moves data, and repairs nothing.
  func isFull(_ partition: Int) -> Bool {
    holders(partition).count { liveness($0) == .alive } >= layout.replicasPerPartition
  }

  /// Nodes that hold a partition as far as the layout knows: filled replicas, then former ones.
  func holders(_ partition: Int) -> [NodeID] {
    let row = fillingRow(partition)
    return layout.replicas(ofPartition: partition).filter { !(row?.targets.contains($0) ?? false) } + (row?.sources ?? [])
  }
}

/// A block that metadata says is live.
package struct RepairBlock: Sendable, Equatable {
  package var id: BlockID
  /// Plain bytes.
  package var size: Int
  /// False when only an open upload pins it: then it may yet be missing everywhere.
  package var isReferenced: Bool
  /// Nodes off the layout that are said to hold it.
  package var strays: [NodeID]
  package init(id: BlockID, size: Int, isReferenced: Bool, strays: [NodeID] = []) {
    self.id = id
    self.size = size
    self.isReferenced = isReferenced
    self.strays = strays
  }
}

/// What a node says of a block: whether it is here, or with a check that reads, whether it is whole.
package enum RepairCheck: Sendable, Equatable { case present, missing, damaged }

/// What became of one copy.
package enum RepairCopyOutcome: Sendable, Equatable {
  /// Durable and verified at the target.
  case copied
  /// The target says that it had it already: to be checked again.
  case present
  /// Every source answered that it does not have it.
  case sourceMissing
  case failed
  case full
}

/// One block for a target to fetch.
package struct RepairCopy: Sendable, Equatable {
  package var block: BlockID
  package var size: Int
  /// Best first.
  package var sources: [NodeID]
}

/// What an operator asked to be re-checked.
package enum RepairScope: Sendable, Equatable {
  case everything
  case node(NodeID)
  case partition(Int)
  case block(RepairBlock)
}

/// How far the recheck that an operator started is.
package struct RecheckProgress: Sendable, Equatable {
  package var id: UInt64
  package var isRunning = true
  package var partitionsDone = 0
  package var partitionsTotal: Int
  package var blocksChecked = 0
  package var blocksCopied = 0
  package var bytesCopied: Int64 = 0
  /// Sentences; at most 100 are kept.
  package var failures: [String] = []
  package init(id: UInt64, partitionsTotal: Int) {
    self.id = id
    self.partitionsTotal = partitionsTotal
  }

  mutating func fail(_ sentence: String) {
    if failures.count < 100 && !failures.contains(sentence) { failures.append(sentence) }
  }
}

package typealias RepairRequest = UInt64

/// One page of what a node holds of a partition.
package struct HeldPage: Sendable, Equatable {
  package var blocks: [RepairBlock]
  /// The node's, from when it listed them: it gives them up only while nothing was written to the partition since.
  package var mark: UInt64
  package init(blocks: [RepairBlock], mark: UInt64) {
    self.blocks = blocks
    self.mark = mark
  }
}

extension RepairScheduler {
  package struct Configuration: Sendable, Equatable {
    /// Blocks of one page: what a node is asked about at once.
    package var pageBlocks = 256
    /// Blocks and bytes of one copy command.
    package var copyBlocks = 64
    package var copyBytes = 16 << 20
    /// Blocks that a source gives up at once.
    package var retireBlocks = 64
    /// Pages worked on at once; in a large cluster one for every eight nodes, up to a bound.
    package var activePasses = 16
    /// Copy commands at once to one target, and naming one node as their first source.
    package var copiesPerNode = 2
    package var readsPerNode = 4
    /// Plain bytes copied per second, in all: so many, or so many for each node that lives, whichever is more.
    package var bytesPerSecond: Int64 = 512 << 20
    package var bytesPerSecondPerNode: Int64 = 0
    /// Of these, what moving may take; `rebalance` changes it.
    package var moveBytesPerSecond: Int64 = 256 << 20
    package var moveBytesPerSecondPerNode: Int64 = 0
    /// Waits after a failure: doubled from the first to the last.
    package var firstBackoff: Duration = .milliseconds(500)
    package var lastBackoff: Duration = .seconds(10)
    /// Tries of one page by a recheck before it reports and goes on.
    package var recheckAttempts = 4
    /// How long a recheck that has gone through everything waits for what does not come nearer: longer than the longest backoff.
    package var recheckPatience: Duration = .seconds(30)
    package init() {}

    /// Plain bytes that may be copied per second with so many nodes alive.
    package func bytesPerSecond(liveNodes: Int) -> Int64 {
      max(bytesPerSecond, bytesPerSecondPerNode.multipliedSaturated(by: Int64(liveNodes)))
    }

    /// What moving may take of it at most.
    package func moveBytesPerSecond(liveNodes: Int) -> Int64 {
      let ofNodes = moveBytesPerSecondPerNode.multipliedSaturated(by: Int64(liveNodes))
      return min(bytesPerSecond(liveNodes: liveNodes), max(moveBytesPerSecond, ofNodes))
    }

    func activePasses(liveNodes: Int) -> Int { max(activePasses, min(Configuration.mostActivePasses, liveNodes / 8)) }

    private static let mostActivePasses = 1024
  }

  package enum Event: Sendable, Equatable {
    case view(RepairView)
    /// There are repair rows.
    case repairsWaiting
    /// An operator's recheck; a running one is replaced.
    case recheck(id: UInt64, RepairScope)
    /// Answers to effects; nil where none came. `listed` holds less than the limit at the end of the partition, `repairsListed` of the
    /// rows.
    case listed(RepairRequest, [RepairBlock]?)
    case repairsListed(RepairRequest, [RepairBlock]?)
    case heldListed(RepairRequest, HeldPage?)
    case checked(RepairRequest, [RepairCheck]?)
    case copied(RepairRequest, [RepairCopyOutcome]?)
    /// The answer to `markFilled`, `markRetired`, `clearRepairs` and `voidReceipts`.
    case settled(RepairRequest, Bool)
    /// The answer to `seal`: true when the source refuses older layouts for the partition, durably, and none of their writes is under way.
    case sealed(RepairRequest, Bool)
    /// The answer to `compare`: whether both hold the same blocks of the partition; nil where one did not answer.
    case compared(RepairRequest, Bool?)
    /// The answer to `retire`: true when none of the blocks is there any more.
    case retired(RepairRequest, Bool)
    /// The node lost a disk: what it said so far counts no more. To be given before the loss is noted.
    case diskLost(NodeID)
    /// How fast data may move that nothing is missing of; paused, none moves. Repair goes on.
    case rebalance(isPaused: Bool, bytesPerSecond: Int64)
    /// What may be copied a second, in all, from now on.
    case limit(bytesPerSecond: Int64, bytesPerSecondPerNode: Int64)
    /// Time has passed; to be given at least every 200 ms.
    case timer

    /// It answers an effect: all that it lets begin is what waited for that.
    var isAnswer: Bool {
      switch self {
      case .listed, .repairsListed, .heldListed, .checked, .copied, .settled, .sealed, .compared, .retired: true
      case .view, .repairsWaiting, .recheck, .diskLost, .rebalance, .limit, .timer: false
      }
    }
  }

  /// Each is answered by exactly one event with the same request, sooner or later.
  package enum Effect: Sendable, Equatable {
    case list(RepairRequest, partition: Int, after: BlockID?, limit: Int)
    case listRepairs(RepairRequest, after: BlockID?, limit: Int)
    /// `reading`: past the page cache, and re-hashed.
    case check(RepairRequest, node: NodeID, blocks: [BlockID], reading: Bool)
    case copy(RepairRequest, target: NodeID, items: [RepairCopy])
    /// Whether the target holds the same blocks of the partition as a whole replica, by their digests.
    case compare(RepairRequest, target: NodeID, reference: NodeID, partition: Int)
    /// The source shall refuse writes of layouts before this one for the partition.
    case seal(RepairRequest, source: NodeID, partition: Int, layoutVersion: UInt64)
    /// One page of what the node holds of the partition, referenced or not; answered by `heldListed`.
    case listHeld(RepairRequest, node: NodeID, partition: Int, after: BlockID?, limit: Int)
    /// What the source has acknowledged of these blocks under this layout or an older one counts for no upload any more: it is about to
    /// give them up.
    /// Not done while a delete of one of them that was logged under the epoch or later, and that a version refers to again, may be on its
    /// way to a replica.
    case voidReceipts(RepairRequest, source: NodeID, blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64)
    /// The source drops these blocks, which every replica confirmed, unless it took writes since the mark.
    case retire(RepairRequest, source: NodeID, partition: Int, blocks: [BlockID], mark: UInt64, layoutVersion: UInt64)
    /// The source holds nothing of the partition any more.
    case markRetired(RepairRequest, partition: Int, source: NodeID, layoutVersion: UInt64)
    /// The target has every live block of the partition.
    /// Blocks that were deleted under the epoch or later and are referred to again get repair rows.
    case markFilled(RepairRequest, partition: Int, target: NodeID, layoutVersion: UInt64, gcEpoch: UInt64)
    /// These blocks have all their copies on the layout of this version. The rows of those that were deleted under the epoch or later stay.
    case clearRepairs(RepairRequest, blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64)
  }
}

extension Int64 {
  fileprivate func multipliedSaturated(by other: Int64) -> Int64 {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }
}
