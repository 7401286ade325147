package import BlockModel

/// What an operator asks to imagine gone.
package enum ImaginedLoss: Sendable, Equatable {
  case zone(ZoneID)
  case node(NodeID)
  /// A disk, and the node that it is in.
  case disk(DiskID, NodeID)
}

/// What would be left of a cluster that lost a zone, a node or a disk for good, and what new copies would take. A value; nothing
/// changes.
///
/// What must hold: only copies on live nodes count as left, whether or not they are the ones that are imagined gone; a partition that a
/// replica still lacks counts without that replica.
package struct LossForecast: Sendable, Equatable {
  /// A node as the coordinator knows it.
  package struct Node: Sendable, Equatable {
    package var id: NodeID
    package var zone: ZoneID
    package var isAlive: Bool
    package var disks: [Disk]
    package init(id: NodeID, zone: ZoneID, isAlive: Bool, disks: [Disk]) {
      self.id = id
      self.zone = zone
      self.isAlive = isAlive
      self.disks = disks
    }

    var usedBytes: Int64 { disks.reduce(0) { $0 + $1.usedBytes } }
    var capacityBytes: Int64 { disks.reduce(0) { $0 + $1.capacityBytes } }
  }

  package struct Disk: Sendable, Equatable {
    package var id: DiskID
    package var usedBytes: Int64
    package var capacityBytes: Int64
    package init(id: DiskID, usedBytes: Int64, capacityBytes: Int64) {
      self.id = id
      self.usedBytes = usedBytes
      self.capacityBytes = capacityBytes
    }
  }

  package struct Cluster: Sendable, Equatable {
    package var layout: Layout
    /// Sorted by partition.
    package var filling: [PlanFilling]
    /// Sorted by id.
    package var nodes: [Node]
    /// Referenced blocks of each partition.
    package var blocks: [Int]
    /// Bytes a second that repair may copy in all.
    package var repairBytesPerSecond: Int64
    /// Silence after which repair begins.
    package var outAfter: Duration
    package init(
      layout: Layout, filling: [PlanFilling], nodes: [Node], blocks: [Int], repairBytesPerSecond: Int64, outAfter: Duration
    ) {
      self.layout = layout
      self.filling = filling
      self.nodes = nodes
      self.blocks = blocks
      self.repairBytesPerSecond = repairBytesPerSecond
      self.outAfter = outAfter
    }

    func node(_ id: NodeID) -> Node? {
      let index = nodes.partitionPoint { $0.id < id }
      return index < nodes.count && nodes[index].id == id ? nodes[index] : nil
    }
  }

  /// Blocks by what would be left of them.
  package struct Standing: Sendable, Equatable {
    /// Copies on live nodes, or zones with such.
    package var left: Int
    package var blocks: Int
    package init(left: Int, blocks: Int) {
      self.left = left
      self.blocks = blocks
    }
  }

  package struct Fullness: Sendable, Equatable {
    package var node: NodeID
    /// Used part of its capacity, 0 to 1.
    package var share: Double
  }

  /// Nodes that would be gone, sorted; none with a disk.
  package private(set) var lostNodes: [NodeID] = []
  /// Referenced blocks that would have fewer copies than they shall, by copies and by zones left; ascending.
  package private(set) var byCopies: [Standing] = []
  package private(set) var byZones: [Standing] = []
  package private(set) var referencedBlocks = 0
  /// Whether writes would find the zones that they need.
  package private(set) var acceptsWrites = true
  package private(set) var capacityBefore: Int64 = 0
  package private(set) var capacityAfter: Int64 = 0
  package private(set) var usedBefore: Int64 = 0
  /// Used when all copies are made anew.
  package private(set) var usedAfterRepair: Int64 = 0
  /// The node that would be fullest then; nil without nodes.
  package private(set) var fullest: Fullness?
  package private(set) var bytesToCopy: Int64 = 0
  /// Nodes that would be given copies.
  package private(set) var copyingNodes = 0
  /// From the loss to its repair: silence that has to pass, then copying at the full rate. Longer when clients need the disks.
  package private(set) var detectionSeconds = 0.0
  package private(set) var copyingSeconds = 0.0
  /// Why copies could not all be made anew, one sentence each.
  package private(set) var obstacles: [String] = []

  /// - Parameter loss: of something that the cluster has.
  package init(_ loss: ImaginedLoss, of cluster: Cluster) {
    let lost = LossForecast.lostNodes(loss, cluster)
    lostNodes = lost
    referencedBlocks = cluster.blocks.reduce(0, +)
    countStandings(loss, cluster)
    capacityBefore = cluster.nodes.reduce(0) { $0 + $1.capacityBytes }
    usedBefore = cluster.nodes.reduce(0) { $0 + $1.usedBytes }
    let living = cluster.nodes.filter { $0.isAlive && !LossForecast.has(lost, $0.id) && cluster.layout.node($0.id) != nil }
    let zones = LossForecast.distinct(living.map(\.zone))
    acceptsWrites = cluster.layout.version > 0 && zones >= cluster.layout.requiredZones
    if case .disk(let disk, let node) = loss { forecastDisk(disk, node, cluster) } else { forecastNodes(lost, cluster) }
    detectionSeconds = cluster.outAfter.inSeconds
    copyingSeconds = Double(bytesToCopy) / Double(max(1, cluster.repairBytesPerSecond))
  }

  /// Blocks of which nothing would be left on a live node.
  package var lostBlocks: Int { byCopies.first { $0.left == 0 }?.blocks ?? 0 }
  /// Blocks that one more loss could destroy.
  package var lastCopyBlocks: Int { byCopies.first { $0.left == 1 }?.blocks ?? 0 }
  package var underReplicatedBlocks: Int { byCopies.reduce(0) { $0 + $1.blocks } }

  private static func lostNodes(_ loss: ImaginedLoss, _ cluster: Cluster) -> [NodeID] {
    switch loss {
    case .zone(let zone): cluster.nodes.filter { $0.zone == zone }.map(\.id)
    case .node(let node): [node]
    case .disk: []
    }
  }

  // MARK: What is left

  private mutating func countStandings(_ loss: ImaginedLoss, _ cluster: Cluster) {
    let layout = cluster.layout
    guard layout.version > 0 else { return }
    let width = layout.replicasPerPartition
    var copies = [Int](repeating: 0, count: width + 1)
    var zones = copies
    var next = 0
    let share = LossForecast.lostShare(loss, cluster)
    for partition in 0..<layout.partitionCount {
      while next < cluster.filling.count && cluster.filling[next].partition < partition { next += 1 }
      let row = next < cluster.filling.count && cluster.filling[next].partition == partition ? cluster.filling[next] : nil
      let blocks = partition < cluster.blocks.count ? cluster.blocks[partition] : 0
      guard blocks > 0 else { continue }
      let holders = layout.replicas(ofPartition: partition).filter { !(row?.targets.contains($0) ?? false) } + (row?.sources ?? [])
      let alive = holders.compactMap { cluster.node($0) }.filter(\.isAlive)
      let left = alive.filter { !LossForecast.has(lostNodes, $0.id) }
      // Of the blocks that a node holds on several disks, only those on the lost one are hit.
      let hit: Int
      if case .disk(_, let node) = loss, alive.contains(where: { $0.id == node }) {
        hit = Int((Double(blocks) * share).rounded())
        let rest = left.filter { $0.id != node }
        count(hit, rest, width, &copies, &zones)
      } else {
        hit = 0
      }
      count(blocks - hit, left, width, &copies, &zones)
    }
    byCopies = LossForecast.standings(copies, below: width)
    byZones = LossForecast.standings(zones, below: min(width, layout.zoneCount))
  }

  private func count(_ blocks: Int, _ holders: [Node], _ width: Int, _ copies: inout [Int], _ zones: inout [Int]) {
    copies[min(width, holders.count)] += blocks
    zones[min(width, LossForecast.distinct(holders.map(\.zone)))] += blocks
  }

  private static func standings(_ counts: [Int], below full: Int) -> [Standing] {
    counts.indices.filter { $0 < full && counts[$0] > 0 }.map { Standing(left: $0, blocks: counts[$0]) }
  }

  /// The share of its node's blocks that a disk holds, by bytes.
  private static func lostShare(_ loss: ImaginedLoss, _ cluster: Cluster) -> Double {
    guard case .disk(let disk, let node) = loss, let holder = cluster.node(node) else { return 0 }
    guard holder.usedBytes > 0 else { return 1 / Double(max(1, holder.disks.count)) }
    return Double(holder.disks.first { $0.id == disk }?.usedBytes ?? 0) / Double(holder.usedBytes)
  }

  // MARK: What it takes

  /// A node makes what its disk held anew on its other disks; one that has no other is as good as lost.
  private mutating func forecastDisk(_ disk: DiskID, _ node: NodeID, _ cluster: Cluster) {
    guard let holder = cluster.node(node), let gone = holder.disks.first(where: { $0.id == disk }) else { return }
    capacityAfter = capacityBefore - gone.capacityBytes
    guard holder.disks.count > 1 else {
      obstacles.append("It is the only disk of \(node): the node can hold nothing without it, so it is as if the node were lost.")
      return forecastNodes([node], cluster)
    }
    bytesToCopy = gone.usedBytes
    usedAfterRepair = usedBefore
    copyingNodes = 1
    let capacity = holder.capacityBytes - gone.capacityBytes
    note(fullness: [Fullness(node: node, share: Double(holder.usedBytes) / Double(max(1, capacity)))])
  }

  private mutating func forecastNodes(_ lost: [NodeID], _ cluster: Cluster) {
    let staying = cluster.nodes.filter { !LossForecast.has(lost, $0.id) }
    capacityAfter = staying.reduce(0) { $0 + $1.capacityBytes }
    usedAfterRepair = staying.reduce(0) { $0 + $1.usedBytes }
    let layout = cluster.layout
    let nodes = layout.nodes.filter { !LossForecast.has(lost, $0.id) }
    guard !nodes.isEmpty, nodes.count < layout.nodes.count else {
      if nodes.isEmpty && !layout.nodes.isEmpty { obstacles.append("No node would be left.") }
      return
    }
    let plan: LayoutPlan
    do throws(LayoutPlanner.Failure) { plan = try LayoutPlanner.plan(previous: layout, nodes: nodes) } catch {
      obstacles.append("No layout can be made of the nodes that would be left: \(error).")
      return
    }
    // Of an average replica; partitions are hashes, so they are alike.
    let held = cluster.nodes.filter { layout.node($0.id) != nil }.reduce(Int64(0)) { $0 + $1.usedBytes }
    let perReplica = Double(held) / Double(max(1, layout.table.count))
    bytesToCopy = Int64(perReplica * Double(plan.movedReplicas))
    usedAfterRepair += bytesToCopy
    let gains = plan.loads.filter { $0.after > $0.before }
    copyingNodes = gains.count
    let replicas = plan.layout.replicasPerPartition
    if replicas < layout.replicasPerPartition {
      obstacles.append(
        "\(nodes.count) nodes would be left, so blocks could have \(replicas) copies instead of \(layout.replicasPerPartition).")
    }
    note(
      fullness: plan.loads.compactMap { load in
        guard let node = cluster.node(load.node), node.capacityBytes > 0 else { return nil }
        let used = Double(node.usedBytes) + perReplica * Double(load.after - load.before)
        return Fullness(node: load.node, share: used / Double(node.capacityBytes))
      })
  }

  /// Above this a disk takes no copies by repair.
  private static let fullShare = 0.9

  private mutating func note(fullness: [Fullness]) {
    for entry in fullness {
      if let fullest, fullest.share >= entry.share { continue }
      fullest = entry
    }
    let full = fullness.count { $0.share > LossForecast.fullShare }
    if full > 0 { obstacles.append("\(full) of the nodes left would be more than 90 % full, where repair stops: add space first.") }
  }

  /// Whether the sorted list has it.
  private static func has(_ nodes: [NodeID], _ node: NodeID) -> Bool {
    let index = nodes.partitionPoint { $0 < node }
    return index < nodes.count && nodes[index] == node
  }

  private static func distinct(_ zones: [ZoneID]) -> Int {
    var seen: [ZoneID] = []
    for zone in zones where !seen.contains(zone) { seen.append(zone) }
    return seen.count
  }
}
