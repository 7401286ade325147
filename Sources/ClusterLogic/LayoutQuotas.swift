internal import BlockModel

/// How many replicas each zone and node shall hold: their fair shares, as whole numbers.
///
/// What must hold: the node quotas sum to partitions × width; a zone's sum is at most its cap × partitions, and a node's at most
/// partitions; what the caps cut off is shared by the others in proportion to their weights.
struct LayoutQuotas {
  /// Replicas of one partition that a region may hold at most, and must hold.
  var regionCap: [Int]
  var regionFloor: [Int]
  /// Replicas of one partition that a zone may hold at most: 1 while the zones of its region suffice.
  var zoneCap: [Int]
  /// Replicas of one partition that a zone must hold: 1 where its region has no more zones than replicas for sure, else 0.
  var zoneFloor: [Int]
  /// The zones of each region that must hold a replica, ascending.
  var floorZones: [[Int]]
  /// Fair share of each node, before rounding.
  var share: [Double]
  /// The whole number of replicas for each node.
  var quota: [Int]

  /// - Parameters:
  ///   - current: replicas that each node holds now; decides who gets the odd one, so that rounding alone moves nothing.
  init(topology: LayoutTopology, partitions: Int, width: Int, current: [Int]) {
    (regionCap, regionFloor) = LayoutQuotas.regionBounds(topology, width: width)
    zoneCap = [Int](repeating: 0, count: topology.zoneCount)
    zoneFloor = zoneCap
    for (region, zones) in topology.zonesOf.enumerated() {
      let most = LayoutQuotas.cap(zones.map { topology.members[$0].count }, width: regionCap[region])
      for zone in zones {
        zoneCap[zone] = min(most, topology.members[zone].count)
        zoneFloor[zone] = zones.count <= regionFloor[region] ? 1 : 0
      }
    }
    let floors = zoneFloor
    floorZones = topology.zonesOf.map { zones in zones.filter { floors[$0] > 0 } }
    share = [Double](repeating: 0, count: topology.zoneOf.count)
    quota = [Int](repeating: 0, count: topology.zoneOf.count)
    let held = topology.members.map { $0.reduce(0) { $0 + current[$1] } }
    let regionShares = regionShares(topology, partitions: partitions, width: width)
    let regionQuota = LayoutQuotas.rounded(
      regionShares, total: partitions * width, most: regionCap.map { $0 * partitions },
      current: topology.zonesOf.map { $0.reduce(0) { $0 + held[$1] } })
    for (region, zones) in topology.zonesOf.enumerated() {
      let zoneShares = zoneShares(topology, zones, total: regionQuota[region], partitions: partitions)
      let zoneQuota = LayoutQuotas.rounded(
        zoneShares, total: regionQuota[region], most: zones.map { zoneCap[$0] * partitions }, current: zones.map { held[$0] })
      for (zone, total) in zip(zones, zoneQuota) { shareOut(total, over: topology.members[zone], topology, current, partitions) }
    }
  }

  private mutating func shareOut(_ total: Int, over members: [Int], _ topology: LayoutTopology, _ current: [Int], _ partitions: Int) {
    let shares = LayoutQuotas.nodeShares(members.map { topology.weight[$0] }, total: Double(total), most: Double(partitions))
    let whole = LayoutQuotas.rounded(
      shares, total: total, most: members.map { _ in partitions }, current: members.map { current[$0] })
    for (index, member) in members.enumerated() {
      share[member] = shares[index]
      quota[member] = whole[index]
    }
  }

  /// The smallest bound per place at which so many places hold `width` replicas together.
  private static func cap(_ capacities: [Int], width: Int) -> Int {
    var most = 1
    while capacities.reduce(0, { $0 + min(most, $1) }) < width { most += 1 }
    return most
  }

  /// As even as the regions' nodes allow: no region holds two replicas while another could take one of them.
  private static func regionBounds(_ topology: LayoutTopology, width: Int) -> (cap: [Int], floor: [Int]) {
    let capacities = topology.zonesOf.map { $0.reduce(0) { $0 + topology.members[$1].count } }
    let most = cap(capacities, width: width)
    let caps = capacities.map { min(most, $0) }
    let total = caps.reduce(0, +)
    return (caps, caps.map { max(caps.count <= width ? 1 : 0, width - (total - $0)) })
  }

  // MARK: Shares

  /// What a zone takes at a level of replicas per weight: each node and the zone only as far as their caps.
  private func open(_ zone: Int, _ topology: LayoutTopology, level: Double, partitions: Int) -> Double {
    let open = topology.members[zone].reduce(0.0) { $0 + min(Double(partitions), level * topology.weight[$1]) }
    return min(max(open, Double(zoneFloor[zone] * partitions)), Double(zoneCap[zone] * partitions))
  }

  /// Fills all regions to one level.
  private func regionShares(_ topology: LayoutTopology, partitions: Int, width: Int) -> [Double] {
    func shares(level: Double) -> [Double] {
      topology.zonesOf.indices.map { region in
        let sum = topology.zonesOf[region].reduce(0.0) { $0 + open($1, topology, level: level, partitions: partitions) }
        return min(max(sum, Double(regionFloor[region] * partitions)), Double(regionCap[region] * partitions))
      }
    }
    let full = Double(partitions) / (topology.weight.min() ?? 1)
    return shares(level: LayoutQuotas.bisect(upTo: full, target: Double(partitions * width)) { shares(level: $0).reduce(0, +) })
  }

  /// Fills the zones of a region to one level.
  private func zoneShares(_ topology: LayoutTopology, _ zones: [Int], total: Int, partitions: Int) -> [Double] {
    func shares(level: Double) -> [Double] { zones.map { open($0, topology, level: level, partitions: partitions) } }
    let full = Double(partitions) / (topology.weight.min() ?? 1)
    return shares(level: LayoutQuotas.bisect(upTo: full, target: Double(total)) { shares(level: $0).reduce(0, +) })
  }

  private static func nodeShares(_ weights: [Double], total: Double, most: Double) -> [Double] {
    let level = bisect(upTo: most / (weights.min() ?? 1), target: total) { level in
      weights.reduce(0.0) { $0 + min(most, level * $1) }
    }
    return weights.map { min(most, level * $0) }
  }

  /// Where a function that never falls reaches the target; halving 80 times leaves no error that a double could show.
  private static func bisect(upTo high: Double, target: Double, _ function: (Double) -> Double) -> Double {
    var low = 0.0
    var high = high
    for _ in 0..<80 {
      let middle = (low + high) / 2
      if function(middle) < target { low = middle } else { high = middle }
    }
    return high
  }

  /// Whole numbers with the given sum, each its share rounded down or up. Rounded up are first those whom one more costs little of their
  /// share (so that a node of a small weight is not overloaded by a whole partition), among these first the ones that hold as many
  /// already.
  private static func rounded(_ shares: [Double], total: Int, most: [Int], current: [Int]) -> [Int] {
    var whole = shares.indices.map { min(most[$0], Int((shares[$0] + 1e-6).rounded(.down))) }
    let fraction = shares.indices.map { max(0, shares[$0] - Double(whole[$0])) }
    let cost = shares.indices.map { index in
      let excess = Double(whole[index] + 1) / max(shares[index], 1e-9)
      return excess <= 1.008 ? 0 : excess
    }
    let order = shares.indices.sorted { a, b in
      if cost[a] != cost[b] { return cost[a] < cost[b] }
      let (keepsA, keepsB) = (current[a] > whole[a], current[b] > whole[b])
      if keepsA != keepsB { return keepsA }
      return fraction[a] != fraction[b] ? fraction[a] > fraction[b] : a < b
    }
    var rest = total - whole.reduce(0, +)
    // The first round takes those with a fraction; the second is for what floating point may have lost.
    for isExact in [false, true] {
      for index in order where rest > 0 && (fraction[index] <= 1e-6) == isExact && whole[index] < most[index] {
        whole[index] += 1
        rest -= 1
      }
    }
    for index in order.reversed() where rest < 0 && whole[index] > 0 {
      whole[index] -= 1
      rest += 1
    }
    return whole
  }
}

/// The nodes of a layout by index, and the zones and regions that they stand in.
struct LayoutTopology {
  var zoneOf: [Int]
  /// The region of each zone, and the zones of each region, ascending.
  var regionOf: [Int]
  var zonesOf: [[Int]]
  var weight: [Double]
  /// Node indices of each zone, ascending.
  var members: [[Int]]
  var nodeSeed: [UInt64]
  var zoneSeed: [UInt64]
  var zoneCount: Int { members.count }

  init(_ nodes: [LayoutNode]) {
    var names = nodes.map(\.zone).sorted()
    var unique = 0
    for index in names.indices where unique == 0 || names[unique - 1] != names[index] {
      names[unique] = names[index]
      unique += 1
    }
    names.removeLast(names.count - unique)
    zoneOf = nodes.map { node in names.partitionPoint { $0 < node.zone } }
    weight = nodes.map(\.weight)
    members = [[Int]](repeating: [], count: names.count)
    for index in nodes.indices { members[zoneOf[index]].append(index) }
    nodeSeed = nodes.map { Rendezvous.seed($0.id.text) }
    zoneSeed = names.map { Rendezvous.seed("zone/" + $0.text) }
    let regions = members.map { nodes[$0[0]].region?.text ?? "" }
    regionOf = regions.map { region in LayoutTopology.rank(region, in: regions) }
    zonesOf = [[Int]](repeating: [], count: (regionOf.max() ?? -1) + 1)
    for (zone, region) in regionOf.enumerated() { zonesOf[region].append(zone) }
  }

  /// How many distinct names of the list come before this one.
  private static func rank(_ name: String, in names: [String]) -> Int {
    var before: [String] = []
    for other in names where other < name && !before.contains(other) { before.append(other) }
    return before.count
  }
}
