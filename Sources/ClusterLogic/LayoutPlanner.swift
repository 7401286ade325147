package import BlockModel

/// What a change of nodes makes of a layout, and what it moves.
package struct LayoutPlan: Sendable, Equatable {
  /// One partition whose replicas change.
  package struct Move: Sendable, Equatable {
    package var partition: Int
    /// Replicas that it had and has no more.
    package var from: [NodeID]
    /// Replicas that it gets.
    package var to: [NodeID]
    package init(partition: Int, from: [NodeID], to: [NodeID]) {
      self.partition = partition
      self.from = from
      self.to = to
    }
  }

  package struct Load: Sendable, Equatable {
    package var node: NodeID
    /// Partitions before; 0 for a new node.
    package var before: Int
    package var after: Int
    /// The share that weights and zones give it, as a number of partitions.
    package var fairShare: Double
  }

  package var layout: Layout
  /// In the order of the partitions.
  package var moves: [Move]
  /// Nodes of the new layout, sorted by id.
  package var loads: [Load]
  /// Replicas that have to be made: the sum of `to` over all moves.
  package var movedReplicas: Int
  /// No layout with these loads could be reached with fewer.
  package var leastMovedReplicas: Int
}

/// Computes layouts: weighted rendezvous hashing with a cap per node (bounded load), disjoint zones, sticky to the previous layout.
///
/// The load of every node is its fair share as a whole number (`LayoutQuotas`), so rendezvous only decides *which* partitions it gets: a
/// candidate's weight in the draw is what it still lacks, and who lacks nothing does not take part. Replicas that stay within quota never
/// move.
///
/// What must hold:
/// - a partition's replicas are distinct nodes, spread over the regions as evenly as these allow, and in a region over distinct zones while
///   zones suffice, else over all its zones;
/// - the same previous layout and nodes give the same plan on every machine.
package enum LayoutPlanner {
  package enum Failure: Error, Sendable, Equatable {
    case noNodes
    case tooManyNodes
    case duplicateNode(NodeID)
    /// Weights lie between 0.1 and 20.
    case weightOutOfRange(NodeID)
    /// Two nodes of this zone name different regions.
    case zoneInTwoRegions(ZoneID)
  }

  package static let weights = 0.1...20.0

  /// The next version of `previous`, over these nodes (in any order).
  package static func plan(previous: Layout, nodes: [LayoutNode]) throws(Failure) -> LayoutPlan {
    let nodes = nodes.sorted { $0.id < $1.id }
    try check(nodes)
    let topology = LayoutTopology(nodes)
    var layout = previous
    layout.version += 1
    layout.nodes = nodes
    let width = layout.replicasPerPartition

    let start = LayoutAssignment.rows(of: previous, over: nodes, width: width)
    let quotas = LayoutQuotas(
      topology: topology, partitions: layout.partitionCount, width: width,
      current: LayoutAssignment.count(start, nodes: nodes.count))
    var assignment = LayoutAssignment(
      slots: start, width: width, partitions: layout.partitionCount, topology: topology, quotas: quotas, salt: layout.version)
    assignment.solve()
    layout.table = assignment.slots.map { UInt16($0) }
    return describe(previous: previous, layout: layout, quotas: quotas)
  }

  private static func check(_ nodes: [LayoutNode]) throws(Failure) {
    guard !nodes.isEmpty else { throw .noNodes }
    guard nodes.count <= Int(UInt16.max) else { throw .tooManyNodes }
    for (a, b) in zip(nodes, nodes.dropFirst()) where a.id == b.id { throw .duplicateNode(a.id) }
    for node in nodes where !weights.contains(node.weight) { throw .weightOutOfRange(node.id) }
    let byZone = nodes.sorted { ($0.zone, $0.id) < ($1.zone, $1.id) }
    for (a, b) in zip(byZone, byZone.dropFirst()) where a.zone == b.zone && a.region != b.region { throw .zoneInTwoRegions(a.zone) }
  }

  private static func describe(previous: Layout, layout: Layout, quotas: LayoutQuotas) -> LayoutPlan {
    let toNew = LayoutAssignment.indices(of: previous.nodes, in: layout.nodes)
    let (oldWidth, width) = (previous.replicasPerPartition, layout.replicasPerPartition)
    var before = [Int](repeating: 0, count: layout.nodes.count)
    var after = before
    var moves: [LayoutPlan.Move] = []
    for partition in 0..<layout.partitionCount {
      let old = previous.table[(partition * oldWidth)..<((partition + 1) * oldWidth)]
      let new = layout.table[(partition * width)..<((partition + 1) * width)]
      for index in old where toNew[Int(index)] >= 0 { before[toNew[Int(index)]] += 1 }
      for index in new { after[Int(index)] += 1 }
      let to = new.filter { index in !old.contains { toNew[Int($0)] == Int(index) } }
      let from = old.filter { index in !new.contains { toNew[Int(index)] == Int($0) } }
      guard !to.isEmpty || !from.isEmpty else { continue }
      moves.append(
        LayoutPlan.Move(partition: partition, from: from.map { previous.nodes[Int($0)].id }, to: to.map { layout.nodes[Int($0)].id }))
    }
    let loads = layout.nodes.indices.map { index in
      LayoutPlan.Load(node: layout.nodes[index].id, before: before[index], after: after[index], fairShare: quotas.share[index])
    }
    return LayoutPlan(
      layout: layout, moves: moves, loads: loads, movedReplicas: moves.reduce(0) { $0 + $1.to.count },
      leastMovedReplicas: loads.reduce(0) { $0 + max(0, $1.after - $1.before) })
  }
}
