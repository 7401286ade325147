internal import BlockModel
internal import ClusterLogic

/// One durable copy of a block as a receipt says it; its signature, upload and size were checked.
struct CopyReceipt: Equatable {
  var node: NodeID
  var disk: DiskID
  /// This node computed the block's hash itself.
  var isHashed: Bool
}

/// What the receipts of one block amount to.
///
/// A copy counts when its node is known and the disk it names is still that disk: a disk that was wiped came back under another id.
/// A node that is out counts too (unreachable is not missing), but not as a copy on the layout: repair has to look after that one.
struct ReceiptTally: Equatable {
  /// Distinct zones that hold a copy, by the coordinator's own table of nodes.
  private(set) var zones = 0
  /// Copies on the replicas that the layout names.
  private(set) var onLayout = 0
  /// Nodes that hold a copy and are not among the block's replicas, in the order of their names.
  private(set) var strays: [NodeID] = []
  private(set) var hasHashed = false

  init(_ receipts: [CopyReceipt], of block: BlockID, layout: Layout, nodes: [NodeID: NodeRecord]) {
    let replicas = layout.version == 0 ? [] : layout.replicas(of: block)
    var counted: [NodeID] = []
    var zones: [ZoneID] = []
    for receipt in receipts {
      guard let node = nodes[receipt.node], node.disks.contains(receipt.disk) else { continue }
      hasHashed = hasHashed || receipt.isHashed
      guard !counted.contains(node.id) else { continue }
      counted.append(node.id)
      if !zones.contains(node.zone) { zones.append(node.zone) }
      if replicas.contains(node.id) {
        if !node.isOut { onLayout += 1 }
      } else {
        strays.append(node.id)
      }
    }
    self.zones = zones.count
    strays.sort()
  }

  /// Whether a version may refer to the block on the strength of these copies alone.
  func suffices(_ layout: Layout) -> Bool { hasHashed && zones >= layout.zonesForCommit }
}

extension Layout {
  /// Zones in which a block has to be durable before a version refers to it. Never none: a cluster without nodes commits nothing.
  var zonesForCommit: Int { max(1, requiredZones) }
}
