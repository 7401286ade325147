internal import BlockModel

/// The table while it is being computed.
///
/// Four steps, each of which moves a replica only when it must: take away what breaks the zone rules; fill the empty places with nodes
/// that are below quota; hand replicas of nodes above quota to nodes below; where no single replacement does that, find a chain of them.
struct LayoutAssignment {
  /// Row-major: node indices, −1 where a place is empty.
  private(set) var slots: [Int32]
  private let width: Int
  private let partitions: Int
  private let topology: LayoutTopology
  private let quotas: LayoutQuotas
  private let salt: UInt64
  private var count: [Int]
  /// What the nodes of each zone lack, summed.
  private var need: [Int]
  /// Rows in which a replica was placed by this plan.
  private var touched: [Bool]

  init(slots: [Int32], width: Int, partitions: Int, topology: LayoutTopology, quotas: LayoutQuotas, salt: UInt64) {
    self.slots = slots
    self.width = width
    self.partitions = partitions
    self.topology = topology
    self.quotas = quotas
    self.salt = salt
    count = LayoutAssignment.count(slots, nodes: topology.zoneOf.count)
    need = []
    touched = [Bool](repeating: false, count: partitions)
  }

  mutating func solve() {
    let isNew = !slots.contains { $0 >= 0 }
    for partition in 0..<partitions { enforceZones(partition) }
    refreshNeed()
    fillEmptyPlaces()
    // A second replica of a partition moves only when it cannot be helped.
    for untouchedOnly in [true, false] { handOver(untouchedOnly: untouchedOnly) }
    chainHandOvers()
    if isNew { for partition in 0..<partitions { shuffle(partition) } }
  }

  // MARK: Rows

  /// The previous table in terms of the new nodes, with empty places for nodes that are gone. Of rows that were wider the first replicas
  /// stay.
  static func rows(of previous: Layout, over nodes: [LayoutNode], width: Int) -> [Int32] {
    let toNew = indices(of: previous.nodes, in: nodes)
    let oldWidth = previous.replicasPerPartition
    var slots = [Int32](repeating: -1, count: previous.partitionCount * width)
    for partition in 0..<previous.partitionCount where oldWidth > 0 {
      var place = partition * width
      let row = previous.table[(partition * oldWidth)..<((partition + 1) * oldWidth)]
      for old in row {
        let new = toNew[Int(old)]
        // Where the width stays, replicas keep their places, so that orders of preference stay.
        if oldWidth == width || new >= 0 {
          guard place < (partition + 1) * width else { break }
          slots[place] = Int32(new)
          place += 1
        }
      }
    }
    return slots
  }

  /// For each of `from`, sorted by id, its index in `to`; −1 where it is not there.
  static func indices(of from: [LayoutNode], in to: [LayoutNode]) -> [Int] {
    from.map { node in
      let index = to.partitionPoint { $0.id < node.id }
      return index < to.count && to[index].id == node.id ? index : -1
    }
  }

  static func count(_ slots: [Int32], nodes: Int) -> [Int] {
    var count = [Int](repeating: 0, count: nodes)
    for slot in slots where slot >= 0 { count[Int(slot)] += 1 }
    return count
  }

  private func places(_ partition: Int) -> Range<Int> { (partition * width)..<((partition + 1) * width) }

  private func inZone(_ zone: Int, _ partition: Int) -> Int {
    var found = 0
    for place in places(partition) where slots[place] >= 0 && topology.zoneOf[Int(slots[place])] == zone { found += 1 }
    return found
  }

  private func inRegion(_ region: Int, _ partition: Int) -> Int {
    var found = 0
    for place in places(partition) where slots[place] >= 0 && topology.regionOf[topology.zoneOf[Int(slots[place])]] == region { found += 1 }
    return found
  }

  /// What a region must still get in this partition: the zones that must hold a replica and hold none, and how many replicas at least.
  private func missing(_ region: Int, _ partition: Int) -> (zones: [Int], replicas: Int) {
    let zones = quotas.floorZones[region].filter { inZone($0, partition) < quotas.zoneFloor[$0] }
    return (zones, max(zones.count, quotas.regionFloor[region] - inRegion(region, partition)))
  }

  private func empty(_ partition: Int) -> Int { places(partition).count { slots[$0] < 0 } }

  private func holds(_ partition: Int, _ node: Int) -> Bool {
    for place in places(partition) where slots[place] == Int32(node) { return true }
    return false
  }

  private func lack(_ node: Int) -> Int { quotas.quota[node] - count[node] }

  private mutating func put(_ node: Int, at place: Int) {
    let old = Int(slots[place])
    if old >= 0 {
      count[old] -= 1
      if lack(old) > 0 { need[topology.zoneOf[old]] += 1 }
    }
    if lack(node) > 0 { need[topology.zoneOf[node]] -= 1 }
    count[node] += 1
    slots[place] = Int32(node)
    touched[place / width] = true
  }

  private mutating func refreshNeed() {
    need = topology.members.map { $0.reduce(0) { $0 + max(0, lack($1)) } }
  }

  /// The partitions in an order that has nothing to do with their numbers, another for each version.
  private func scattered(_ step: Int) -> Int {
    (step &* 0x9E37_79B1 &+ Int(truncatingIfNeeded: Rendezvous.mix(salt))) & (partitions - 1)
  }

  // MARK: 1. Zones

  private mutating func enforceZones(_ partition: Int) {
    // A place that is empty breaks no cap, and every zone above its cap has a replica here.
    for place in places(partition) where slots[place] >= 0 {
      let zone = topology.zoneOf[Int(slots[place])]
      while inZone(zone, partition) > quotas.zoneCap[zone] { vacate(partition) { $0 == zone } }
    }
    var needed = 0
    for (region, zones) in topology.zonesOf.enumerated() {
      while inRegion(region, partition) > quotas.regionCap[region] { vacate(partition, where: zones.contains) }
      let missing = missing(region, partition)
      while quotas.regionCap[region] - inRegion(region, partition) < missing.zones.count {
        let crowded = zones.filter { inZone($0, partition) > quotas.zoneFloor[$0] }
        vacate(partition, where: crowded.contains)
      }
      needed += self.missing(region, partition).replicas
    }
    while empty(partition) < needed {
      let crowded = (0..<topology.zoneCount).filter { zone in
        let region = topology.regionOf[zone]
        let isRegionCrowded = inRegion(region, partition) > quotas.regionFloor[region] || !missing(region, partition).zones.isEmpty
        return isRegionCrowded && inZone(zone, partition) > quotas.zoneFloor[zone]
      }
      vacate(partition, where: crowded.contains)
      needed = topology.zonesOf.indices.reduce(0) { $0 + missing($1, partition).replicas }
    }
  }

  /// Empties the place, among those in the given zones, whose node is furthest above its quota.
  private mutating func vacate(_ partition: Int, where isCandidate: (Int) -> Bool) {
    var best: Int?
    for place in places(partition) where slots[place] >= 0 && isCandidate(topology.zoneOf[Int(slots[place])]) {
      if let found = best, lack(Int(slots[found])) <= lack(Int(slots[place])) { continue }
      best = place
    }
    guard let best else { preconditionFailure("a crowded zone has a replica to give up") }
    count[Int(slots[best])] -= 1
    slots[best] = -1
  }

  // MARK: 2. Empty places

  /// How many replicas of this partition a zone could take, into places that are empty now.
  private func room(_ zone: Int, _ partition: Int, empty: Int) -> Int {
    let region = topology.regionOf[zone]
    return min(empty, quotas.zoneCap[zone] - inZone(zone, partition), quotas.regionCap[region] - inRegion(region, partition))
  }

  /// The zones that may take the next replica of this partition so that every place that is left can be filled within all bounds.
  private func allowedZones(_ partition: Int) -> [Int] {
    let missing = topology.zonesOf.indices.map { self.missing($0, partition) }
    let isForced = empty(partition) <= missing.reduce(0) { $0 + $1.replicas }
    var allowed: [Int] = []
    for (region, zones) in topology.zonesOf.enumerated() where !isForced || missing[region].replicas > 0 {
      let room = quotas.regionCap[region] - inRegion(region, partition)
      guard room > 0 else { continue }
      let slack = isForced ? missing[region].replicas : room
      if missing[region].zones.count >= slack {
        allowed += missing[region].zones
      } else {
        allowed += zones.filter { inZone($0, partition) < quotas.zoneCap[$0] }
      }
    }
    return allowed.sorted()
  }

  private mutating func fillEmptyPlaces() {
    // What each zone could still take in the rows to come: where it lacks as much as that, it has to be chosen.
    var rows: [Int] = []
    var open = [Int](repeating: 0, count: topology.zoneCount)
    for step in 0..<partitions {
      let partition = scattered(step)
      let empty = empty(partition)
      guard empty > 0 else { continue }
      rows.append(partition)
      for zone in 0..<topology.zoneCount { open[zone] += room(zone, partition, empty: empty) }
    }
    for partition in rows {
      let empty = empty(partition)
      for zone in 0..<topology.zoneCount { open[zone] -= room(zone, partition, empty: empty) }
      for place in places(partition) where slots[place] < 0 {
        let zone = zoneForEmptyPlace(partition, open: open)
        put(nodeForEmptyPlace(partition, zone: zone), at: place)
      }
    }
  }

  private func zoneForEmptyPlace(_ partition: Int, open: [Int]) -> Int {
    var best: (zone: Int, urgency: Int, cost: Double)?
    for zone in allowedZones(partition) {
      let urgency = max(0, need[zone] - open[zone])
      let draw = Rendezvous.draw(seed: topology.zoneSeed[zone], key: UInt64(partition * width + inZone(zone, partition)))
      let cost = need[zone] > 0 ? Rendezvous.cost(draw: draw, weight: Double(need[zone])) : .infinity
      if let best, best.urgency > urgency || best.urgency == urgency && best.cost <= cost { continue }
      best = (zone, urgency, cost)
    }
    guard let best else { preconditionFailure("the zones' caps leave room for every replica") }
    return best.zone
  }

  private func nodeForEmptyPlace(_ partition: Int, zone: Int) -> Int {
    if let node = drawNode(partition, zone: zone) { return node }
    // Nobody there lacks anything: the one least above its quota, which hands something over later.
    var best: Int?
    for node in topology.members[zone] where !holds(partition, node) {
      if let found = best, lack(found) >= lack(node) { continue }
      best = node
    }
    guard let best else { preconditionFailure("a zone's cap is at most its number of nodes") }
    return best
  }

  /// The node of this zone that the partition draws among those that lack replicas, each weighing what it lacks.
  private func drawNode(_ partition: Int, zone: Int) -> Int? {
    var best: Int?
    var bestCost = Double.infinity
    for node in topology.members[zone] {
      let lack = lack(node)
      guard lack > 0 else { continue }
      let draw = Rendezvous.draw(seed: topology.nodeSeed[node], key: UInt64(partition))
      // Most draws lose so clearly that their logarithm need not be taken.
      guard Rendezvous.leastCost(draw: draw) < bestCost * Double(lack) else { continue }
      let cost = Rendezvous.cost(draw: draw, weight: Double(lack))
      if cost < bestCost && !holds(partition, node) { (best, bestCost) = (node, cost) }
    }
    return best
  }

  // MARK: 3. Handing over

  /// Whether in this partition the replica at `place` may be replaced by one in `zone`.
  private func mayReplace(_ place: Int, with zone: Int, _ partition: Int) -> Bool {
    let own = topology.zoneOf[Int(slots[place])]
    if own == zone { return true }
    guard inZone(zone, partition) < quotas.zoneCap[zone], inZone(own, partition) > quotas.zoneFloor[own] else { return false }
    let (from, to) = (topology.regionOf[own], topology.regionOf[zone])
    return from == to || inRegion(to, partition) < quotas.regionCap[to] && inRegion(from, partition) > quotas.regionFloor[from]
  }

  private mutating func handOver(untouchedOnly: Bool) {
    for step in 0..<partitions {
      let partition = scattered(step)
      if untouchedOnly && touched[partition] { continue }
      var giving = places(partition).filter { lack(Int(slots[$0])) < 0 }
      giving.sort { (lack(Int(slots[$0])), $0) < (lack(Int(slots[$1])), $1) }
      for place in giving {
        guard let node = takerOf(place, partition) else { continue }
        put(node, at: place)
        if untouchedOnly { break }
      }
    }
  }

  private func takerOf(_ place: Int, _ partition: Int) -> Int? {
    var best: Int?
    var bestCost = Double.infinity
    for zone in 0..<topology.zoneCount where need[zone] > 0 && mayReplace(place, with: zone, partition) {
      let draw = Rendezvous.draw(seed: topology.zoneSeed[zone], key: UInt64(partition))
      let cost = Rendezvous.cost(draw: draw, weight: Double(need[zone]))
      guard cost < bestCost, let node = drawNode(partition, zone: zone) else { continue }
      (best, bestCost) = (node, cost)
    }
    return best
  }

  // MARK: 4. Chains

  /// While a node is above its quota and another below: the shortest chain of replacements from one to the other, found breadth first.
  /// Each costs one move per link instead of one, so they come last; rows full of the zones that lack something are what makes them
  /// necessary.
  private mutating func chainHandOvers() {
    while need.contains(where: { $0 > 0 }), let chain = shortestChain() {
      for (partition, from, to) in chain.reversed() {
        guard let place = places(partition).first(where: { slots[$0] == Int32(from) }), !holds(partition, to),
          mayReplace(place, with: topology.zoneOf[to], partition)
        else { return }
        put(to, at: place)
      }
    }
  }

  private func shortestChain() -> [(partition: Int, from: Int, to: Int)]? {
    let rows = partitionsByNode()
    var cameFrom = [(partition: Int, node: Int)?](repeating: nil, count: count.count)
    var queue = count.indices.filter { lack($0) < 0 }
    var isNew = count.indices.map { lack($0) >= 0 }
    var fresh = topology.members.map { $0.filter { isNew[$0] } }
    var head = 0
    while head < queue.count {
      let node = queue[head]
      head += 1
      for partition in rows[node] {
        guard let place = places(partition).first(where: { slots[$0] == Int32(node) }) else { continue }
        for zone in 0..<topology.zoneCount where !fresh[zone].isEmpty && mayReplace(place, with: zone, partition) {
          for next in fresh[zone] where !holds(partition, next) {
            isNew[next] = false
            cameFrom[next] = (partition, node)
            if lack(next) > 0 { return links(to: next, cameFrom) }
            queue.append(next)
          }
          fresh[zone].removeAll { !isNew[$0] }
        }
      }
    }
    return nil
  }

  private func links(
    to end: Int, _ cameFrom: [(partition: Int, node: Int)?]
  ) -> [(partition: Int, from: Int, to: Int)] {
    var chain: [(partition: Int, from: Int, to: Int)] = []
    var node = end
    while let (partition, previous) = cameFrom[node] {
      chain.append((partition, previous, node))
      node = previous
    }
    return chain.reversed()
  }

  private func partitionsByNode() -> [[Int]] {
    var rows = count.map { count in
      var row: [Int] = []
      row.reserveCapacity(count)
      return row
    }
    for place in slots.indices { rows[Int(slots[place])].append(place / width) }
    return rows
  }

  // MARK: Order

  /// The order of a new row by draw, so that being first is spread evenly whatever the order in which zones were filled.
  private mutating func shuffle(_ partition: Int) {
    let row = places(partition).map { slots[$0] }.sorted {
      let (a, b) = (Int($0), Int($1))
      return Rendezvous.draw(seed: topology.nodeSeed[a] ^ 1, key: UInt64(partition))
        < Rendezvous.draw(seed: topology.nodeSeed[b] ^ 1, key: UInt64(partition))
    }
    for (place, node) in zip(places(partition), row) { slots[place] = node }
  }
}
