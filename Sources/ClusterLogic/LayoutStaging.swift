package import BlockModel

/// What an operator wants of one node in the next layout; staged until it is applied or reverted.
package struct StagedRole: Sendable, Codable, Equatable {
  /// What the node is to be; nil takes it out of the layout.
  package struct Role: Sendable, Codable, Equatable {
    package var zone: ZoneID
    package var region: RegionID?
    package var weight: Double
    package init(zone: ZoneID, region: RegionID?, weight: Double) {
      self.zone = zone
      self.region = region
      self.weight = weight
    }
  }
  package var node: NodeID
  package var role: Role?
  package init(node: NodeID, role: Role?) {
    self.node = node
    self.role = role
  }
}

/// Staged changes over a layout's nodes.
package enum LayoutStaging {
  /// The nodes that the next layout has, sorted by id.
  package static func nodes(of layout: Layout, with staged: [StagedRole]) -> [LayoutNode] {
    var nodes = layout.nodes.filter { node in !staged.contains { $0.node == node.id } }
    for change in staged {
      guard let role = change.role else { continue }
      nodes.append(LayoutNode(id: change.node, zone: role.zone, region: role.region, weight: role.weight))
    }
    return nodes.sorted { $0.id < $1.id }
  }

  /// The list with one more change; a later change of a node takes an earlier one's place. Sorted by node.
  package static func adding(_ change: StagedRole, to staged: [StagedRole]) -> [StagedRole] {
    (staged.filter { $0.node != change.node } + [change]).sorted { $0.node < $1.node }
  }
}

/// What a plan would move, for whoever decides whether to apply it.
package struct LayoutReview: Sendable, Equatable {
  /// Replicas that go from one node to another. The bytes may come from any node that has them; `from` is who gives its replica up, or
  /// where nobody does, who keeps one.
  package struct Pair: Sendable, Equatable {
    package var from: NodeID
    package var to: NodeID
    package var partitions: Int
  }

  /// Sorted by `from`, then `to`.
  package private(set) var pairs: [Pair] = []
  /// The fewest zones in which any partition has a whole copy on a live node: now, and at any moment of the way. Copies go only after
  /// their successors are whole, so the way is never worse than its beginning and its end.
  package private(set) var fewestZonesNow = 0
  package private(set) var fewestZonesOnTheWay = 0

  /// - Parameters:
  ///   - filling: what the present layout still lacks.
  ///   - zone: of a node that lives; nil for one that does not.
  package init(_ plan: LayoutPlan, from layout: Layout, filling: [PlanFilling], zone: (NodeID) -> ZoneID?) {
    countPairs(plan, layout)
    guard layout.version > 0 else { return }
    let rows = filling.sorted { $0.partition < $1.partition }
    var next = 0
    (fewestZonesNow, fewestZonesOnTheWay) = (.max, .max)
    for partition in 0..<layout.partitionCount {
      while next < rows.count && rows[next].partition < partition { next += 1 }
      let row = next < rows.count && rows[next].partition == partition ? rows[next] : nil
      let holders = layout.replicas(ofPartition: partition).filter { !(row?.targets.contains($0) ?? false) } + (row?.sources ?? [])
      let now = LayoutReview.distinct(holders.compactMap(zone))
      let then = LayoutReview.distinct(plan.layout.replicas(ofPartition: partition).compactMap { plan.layout.node($0)?.zone })
      fewestZonesNow = min(fewestZonesNow, now)
      fewestZonesOnTheWay = min(fewestZonesOnTheWay, now, then)
    }
  }

  private mutating func countPairs(_ plan: LayoutPlan, _ layout: Layout) {
    var found: [(from: NodeID, to: NodeID)] = []
    for move in plan.moves {
      for (index, to) in move.to.enumerated() {
        let from = index < move.from.count ? move.from[index] : layout.replicas(ofPartition: move.partition).first
        if let from { found.append((from, to)) }
      }
    }
    found.sort { ($0.from, $0.to) < ($1.from, $1.to) }
    for pair in found {
      if let last = pairs.last, last.from == pair.from, last.to == pair.to {
        pairs[pairs.count - 1].partitions += 1
      } else {
        pairs.append(Pair(from: pair.from, to: pair.to, partitions: 1))
      }
    }
  }

  private static func distinct(_ zones: [ZoneID]) -> Int {
    var seen: [ZoneID] = []
    for zone in zones where !seen.contains(zone) { seen.append(zone) }
    return seen.count
  }
}
