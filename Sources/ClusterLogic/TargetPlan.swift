package import BlockModel

/// How a node seems to do.
package enum Liveness: String, Sendable, Codable {
  /// Heartbeats come.
  case alive
  /// Silent for a while: avoided, nothing moves.
  case suspect
  /// Silent for long: its blocks are re-replicated.
  case out
}

/// A node as `TargetPlanner` needs to know it.
package struct PlanMember: Sendable, Equatable {
  package var node: NodeID
  package var zone: ZoneID
  package var liveness: Liveness
  /// Takes new blocks: alive, and a disk of its has room.
  package var isWritable: Bool
  package init(node: NodeID, zone: ZoneID, liveness: Liveness, isWritable: Bool) {
    self.node = node
    self.zone = zone
    self.liveness = liveness
    self.isWritable = isWritable
  }
}

/// A partition on its way to the replicas that the layout names: first its targets are filled, then its sources retire.
package struct PlanFilling: Sendable, Equatable {
  package var partition: Int
  /// Replicas of the layout that lack some of it.
  package var targets: [NodeID]
  /// Nodes beyond the layout's that hold blocks of it: reads fall back to them, and they give their copies up when no target is left.
  package var sources: [NodeID]
  /// Replicas that were filled on this way: their copies are read back before a source gives its own up.
  package var arrivals: [NodeID]
  package init(partition: Int, targets: [NodeID], sources: [NodeID], arrivals: [NodeID] = []) {
    self.partition = partition
    self.targets = targets
    self.sources = sources
    self.arrivals = arrivals
  }

  /// Nothing is left to be done.
  package var isDone: Bool { targets.isEmpty && sources.isEmpty }

  /// The target has every live block.
  package mutating func fill(_ target: NodeID) {
    guard targets.contains(target) else { return }
    targets.removeAll { $0 == target }
    if !sources.isEmpty && !arrivals.contains(target) { arrivals.append(target) }
  }

  /// The source holds nothing of it any more, or will not be asked again.
  package mutating func retire(_ source: NodeID) { sources.removeAll { $0 == source } }
}

/// Where a block may be put: each candidate can be the first node of the PUT, with a forward list of its own.
package struct PutPlan: Sendable, Equatable {
  package struct First: Sendable, Equatable {
    package var node: NodeID
    package var zone: ZoneID
    /// The forward list in its order: the other replicas, then spares.
    package var forwards: [NodeID]
  }
  /// Best first; empty when no node takes blocks.
  package var candidates: [First]
  package var layoutVersion: UInt64
  /// Durable copies that acknowledge the write: min(W, copies that the layout can have).
  package var writeQuorum: Int
}

/// Plans transfers from what is known of the cluster: whom to send a block to, and where to read it.
///
/// What must hold: the same inputs give the same plan; nodes that are out are never named; a PUT's forwards never name a node twice.
package struct TargetPlanner: Sendable {
  package static let spareCount = 2

  package let layout: Layout
  /// Sorted by node.
  private let members: [PlanMember]
  private let seeds: [UInt64]
  /// Each once, in the order of the members.
  private let writableZones: [ZoneID]
  /// Sorted by partition.
  private let filling: [PlanFilling]

  package init(layout: Layout, members: [PlanMember], filling: [PlanFilling]) {
    self.layout = layout
    self.members = members.sorted { $0.node < $1.node }
    self.filling = filling.sorted { $0.partition < $1.partition }
    seeds = self.members.map { Rendezvous.seed($0.node.text) }
    var zones: [ZoneID] = []
    for member in self.members where member.isWritable && !zones.contains(member.zone) { zones.append(member.zone) }
    writableZones = zones
  }

  package func member(_ node: NodeID) -> PlanMember? {
    let index = members.partitionPoint { $0.node < node }
    return index < members.count && members[index].node == node ? members[index] : nil
  }

  // MARK: PUT

  /// Whom a client may send this block to. Replicas that take blocks come first, those of the caller's zone at the head, the others
  /// rotated by the block so that being first is spread evenly; then the spares; then replicas that seem down, in case they are not.
  package func put(_ block: BlockID, callerZone: ZoneID? = nil) -> PutPlan {
    // Before the first layout nobody knows how many copies in how many zones a write needs.
    guard layout.version > 0 else {
      return PutPlan(candidates: [], layoutVersion: 0, writeQuorum: layout.writeQuorum)
    }
    let replicas = layout.replicas(of: block).compactMap(member)
    let spares = spares(forPartition: block.partition(bits: layout.partitionBits), replicas: replicas)
    let takers = near(callerZone, rotated(replicas.filter(\.isWritable), by: block))
    let order = takers + spares + replicas.filter { !$0.isWritable && $0.liveness == .suspect }
    let candidates = order.map { first in
      PutPlan.First(
        node: first.node, zone: first.zone,
        forwards: (replicas.filter { $0.liveness != .out } + spares).map(\.node).filter { $0 != first.node }.capped(Limits.forwards))
    }
    return PutPlan(
      candidates: candidates, layoutVersion: layout.version, writeQuorum: min(layout.writeQuorum, max(1, layout.replicasPerPartition)))
  }

  /// Writable nodes outside of the replica set: first those in zones that no writable replica covers, then in zones without a spare yet;
  /// among equals by rendezvous over the partition, so that a lost node's load is spread over all.
  package func spares(forPartition partition: Int, replicas: [PlanMember]) -> [PlanMember] {
    let covered = replicas.filter(\.isWritable).map(\.zone)
    var spares: [PlanMember] = []
    while spares.count < TargetPlanner.spareCount {
      guard let best = spare(forPartition: partition, replicas, spares, covered) else { break }
      spares.append(members[best])
    }
    return spares
  }

  /// Members looked at before all are: among so many, one in a zone that nobody covers is found almost surely.
  private static let probes = 64

  /// In a large cluster the partition draws members one after the other and takes the first that could not be better; else all are
  /// compared.
  private func spare(forPartition partition: Int, _ replicas: [PlanMember], _ spares: [PlanMember], _ covered: [ZoneID]) -> Int? {
    func rank(_ index: Int) -> Int? {
      let member = members[index]
      guard member.isWritable, !replicas.contains(where: { $0.node == member.node }), !spares.contains(where: { $0.node == member.node })
      else { return nil }
      return (spares.contains { $0.zone == member.zone } ? 2 : 0) + (covered.contains(member.zone) ? 1 : 0)
    }
    if members.count > TargetPlanner.probes {
      let best = bestRank(spares.map(\.zone), covered)
      for probe in 0..<TargetPlanner.probes {
        let draw = Rendezvous.draw(seed: Rendezvous.mix(UInt64(partition)), key: UInt64(probe))
        let index = Int(draw % UInt64(members.count))
        if let rank = rank(index), rank <= best { return index }
      }
    }
    var best: (index: Int, rank: Int, draw: UInt64)?
    for index in members.indices {
      guard let rank = rank(index) else { continue }
      let draw = Rendezvous.draw(seed: seeds[index], key: UInt64(partition))
      if let best, best.rank < rank || best.rank == rank && best.draw >= draw { continue }
      best = (index, rank, draw)
    }
    return best?.index
  }

  /// The rank of a member in the zone that fits best.
  private func bestRank(_ taken: [ZoneID], _ covered: [ZoneID]) -> Int {
    writableZones.map { zone in (taken.contains(zone) ? 2 : 0) + (covered.contains(zone) ? 1 : 0) }.min() ?? 0
  }

  // MARK: GET

  /// Where to read a block, best first: live replicas that hold it, those of the caller's zone at the head, the others rotated by the
  /// block; then its strays, then the nodes that hold the partition beyond the layout, then replicas that are still being filled;
  /// suspects last, in the same order.
  package func get(_ block: BlockID, strays: [NodeID] = [], callerZone: ZoneID? = nil) -> [PlanMember] {
    let partition = block.partition(bits: layout.partitionBits)
    let row = fillingRow(partition)
    let replicas = layout.replicas(ofPartition: partition)
    let filled = replicas.filter { !(row?.targets.contains($0) ?? false) }.compactMap(member)
    let groups = [
      rotated(filled, by: block), strays.compactMap(member), rotated((row?.sources ?? []).compactMap(member), by: block),
      replicas.filter { row?.targets.contains($0) ?? false }.compactMap(member),
    ]
    var order: [PlanMember] = []
    for liveness in [Liveness.alive, .suspect] {
      for group in groups {
        for member in near(callerZone, group.filter { $0.liveness == liveness }) where !order.contains(where: { $0.node == member.node }) {
          order.append(member)
        }
      }
    }
    return order
  }

  private func fillingRow(_ partition: Int) -> PlanFilling? {
    let index = filling.partitionPoint { $0.partition < partition }
    return index < filling.count && filling[index].partition == partition ? filling[index] : nil
  }

  // MARK: Order

  /// Turned by the block's last bits: its first ones are the partition, which is the same for all blocks that share the replicas.
  private func rotated(_ list: [PlanMember], by block: BlockID) -> [PlanMember] {
    guard list.count > 1 else { return list }
    let shift = Int(block.words.3 % UInt64(list.count))
    return Array(list[shift...] + list[..<shift])
  }

  private func near(_ zone: ZoneID?, _ list: [PlanMember]) -> [PlanMember] {
    guard let zone else { return list }
    return list.filter { $0.zone == zone } + list.filter { $0.zone != zone }
  }
}

extension Array {
  /// The first index whose element does not satisfy `isBefore`; the array is sorted by it.
  func partitionPoint(_ isBefore: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  fileprivate func capped(_ limit: Int) -> [Element] { Array(prefix(limit)) }
}
