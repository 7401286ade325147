package import BlockModel

/// One durable copy of a block as a receipt says it; its signature, upload and size were checked.
package struct CopyReceipt: Sendable, Equatable {
  package var node: NodeID
  package var disk: DiskID
  /// This node computed the block's hash itself.
  package var isHashed: Bool
  package init(node: NodeID, disk: DiskID, isHashed: Bool) {
    self.node = node
    self.disk = disk
    self.isHashed = isHashed
  }
}

extension CopyReceipt {
  /// Whether a receipt speaks of a copy that is still there, as far as retirement goes.
  ///
  /// A node that gives a block up does so under a layout, after what it acknowledged under that layout or an older one was voided. What it
  /// acknowledges under a newer one came after that.
  /// - Parameters:
  ///   - layoutVersion: that the receipt was given under.
  ///   - voided: the newest layout under which the node gave the block up while the upload was open; nil for none.
  package static func counts(under layoutVersion: UInt64, voided: UInt64?) -> Bool { voided.map { layoutVersion > $0 } ?? true }
}

/// What the receipts of one block amount to.
///
/// A copy counts when its node is known and the disk it names is still that disk: a disk that was wiped came back under another id.
/// A node that is out counts too (unreachable is not missing), but not as a copy on the layout: repair has to look after that one.
package struct ReceiptTally: Sendable, Equatable {
  /// What the coordinator's own table says of a node.
  package struct Holder: Sendable, Equatable {
    package var zone: ZoneID
    /// Disks whose copies count.
    package var disks: [DiskID]
    package var isOut: Bool
    package init(zone: ZoneID, disks: [DiskID], isOut: Bool) {
      self.zone = zone
      self.disks = disks
      self.isOut = isOut
    }
  }

  /// What a commit writes down of a block that arrived.
  package enum Outcome: Sendable, Equatable {
    /// Nothing is to be noted.
    case nothing
    /// Its repair and stray rows go: it has all its copies now.
    case healed
    /// It lacks copies on the layout: a repair row with at least so many zones, and a row for each stray.
    case lacking(zones: Int, strays: [NodeID])
  }

  /// Distinct zones that hold a copy, by the coordinator's own table of nodes.
  package private(set) var zones = 0
  /// Copies on the replicas that the layout names.
  package private(set) var onLayout = 0
  /// Nodes that hold a copy and are not among the block's replicas, in the order of their names.
  package private(set) var strays: [NodeID] = []
  package private(set) var hasHashed = false

  /// - Parameter holder: nil for a node that nobody knows.
  package init(_ receipts: [CopyReceipt], of block: BlockID, layout: Layout, holder: (NodeID) -> Holder?) {
    let replicas = layout.version == 0 ? [] : layout.replicas(of: block)
    var counted: [NodeID] = []
    var zones: [ZoneID] = []
    for receipt in receipts {
      guard let node = holder(receipt.node), node.disks.contains(receipt.disk) else { continue }
      hasHashed = hasHashed || receipt.isHashed
      guard !counted.contains(receipt.node) else { continue }
      counted.append(receipt.node)
      if !zones.contains(node.zone) { zones.append(node.zone) }
      if replicas.contains(receipt.node) {
        if !node.isOut { onLayout += 1 }
      } else {
        strays.append(receipt.node)
      }
    }
    self.zones = zones.count
    strays.sort()
  }

  /// Whether a version may refer to the block on the strength of these copies alone.
  package func suffices(_ layout: Layout) -> Bool { hasHashed && zones >= layout.zonesForCommit }

  /// What is to be written down when a version refers to the block from now on.
  /// - Parameter standing: nil for a block that nobody knew.
  package func outcome(_ standing: BlockStanding?, _ layout: Layout) -> Outcome {
    let hasRepair = standing?.hasRepair ?? false
    // A block that others refer to and that has no repair row has all its copies already.
    guard hasRepair || standing?.namespaces ?? 0 == 0 else { return .nothing }
    if onLayout >= layout.targetCopies { return hasRepair ? .healed : .nothing }
    return .lacking(zones: zones, strays: strays)
  }
}

/// How one block stands, for one namespace and for all.
package struct BlockStanding: Sendable, Equatable {
  package var size: Int
  /// Namespaces that refer to it.
  package var namespaces: Int64
  /// This namespace refers to it.
  package var isMine: Bool
  package var hasRepair: Bool
  /// Zones known to hold a copy, where a repair is due.
  package var zones: Int?
  package init(size: Int, namespaces: Int64, isMine: Bool, hasRepair: Bool, zones: Int?) {
    self.size = size
    self.namespaces = namespaces
    self.isMine = isMine
    self.hasRepair = hasRepair
    self.zones = zones
  }

  /// Whether a version may refer to the block without new receipts: the caller has it, and it is not known to be below the write quorum.
  package func isHad(_ layout: Layout) -> Bool { isMine && (!hasRepair || (zones ?? 0) >= layout.zonesForCommit) }
}

extension Layout {
  /// Zones in which a block has to be durable before a version refers to it. Never none: a cluster without nodes commits nothing, and one
  /// without a layout only what is where any layout could want it.
  package var zonesForCommit: Int { version == 0 ? writeQuorum : max(1, requiredZones) }
}
