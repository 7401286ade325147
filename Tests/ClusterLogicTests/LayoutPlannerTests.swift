import BlockModel
import ClusterLogic
import Testing

@Suite struct LayoutPlannerTests {
  static func nodes(_ count: Int, zones: Int, weight: (Int) -> Double = { _ in 1 }) -> [LayoutNode] {
    (0..<count).map { LayoutNode(id: node($0), zone: zone($0 % zones), weight: weight($0)) }
  }

  static func fresh(_ nodes: [LayoutNode], bits: Int = 12, replicas: Int = 3) throws -> LayoutPlan {
    try LayoutPlanner.plan(previous: .empty(partitionBits: bits, replicationFactor: replicas, writeQuorum: min(2, replicas)), nodes: nodes)
  }

  /// Everything that a layout must be, whatever came before it.
  static func check(_ plan: LayoutPlan, balance: Double, stickiness: Double? = 1.02, _ note: String) {
    let layout = plan.layout
    let zones = Set(layout.nodes.map(\.zone)).count
    for partition in 0..<layout.partitionCount {
      let replicas = layout.replicas(ofPartition: partition)
      let covered = Set(replicas.map { layout.node($0)!.zone }).count
      guard Set(replicas).count == layout.replicasPerPartition, covered == min(zones, layout.replicasPerPartition) else {
        Issue.record("partition \(partition) has \(replicas) in \(covered) zones; \(note)")
        return
      }
    }
    for load in plan.loads {
      // A whole partition more is what rounding costs a node whose share is small.
      let bound = max(load.fairShare * balance, load.fairShare.rounded(.up))
      #expect(Double(load.after) <= bound + 1e-6, "\(load) of \(layout.nodes.count) nodes; \(note)")
    }
    #expect(plan.loads.reduce(0) { $0 + $1.after } == layout.table.count)
    guard let stickiness else { return }
    #expect(Double(plan.movedReplicas) <= Double(plan.leastMovedReplicas) * stickiness, "\(note)")
  }

  @Test("equal nodes get equal loads", arguments: [(6, 3), (12, 3), (12, 4), (100, 10), (7, 7), (5, 5), (3, 3)])
  func equal(nodes: Int, zones: Int) throws {
    let plan = try Self.fresh(Self.nodes(nodes, zones: zones))
    // Zones of one node more or less have another fair share where there are as many zones as replicas.
    Self.check(plan, balance: 1.01, "\(nodes) nodes in \(zones) zones")
  }

  @Test("the first replica is spread as evenly as the draw does it")
  func primaries() throws {
    let layout = try Self.fresh(Self.nodes(12, zones: 3)).layout
    var first = [Int](repeating: 0, count: 12)
    for partition in 0..<layout.partitionCount { first[Int(layout.table[partition * 3])] += 1 }
    for count in first { #expect((280...400).contains(count), "\(first)") }
  }

  @Test(
    "with fewer zones than replicas the copies lie on distinct nodes in all zones", arguments: [(1, 1), (2, 1), (4, 1), (5, 2), (2, 2)])
  func fewZones(nodes: Int, zones: Int) throws {
    Self.check(try Self.fresh(Self.nodes(nodes, zones: zones)), balance: 1.05, "\(nodes) nodes in \(zones) zones")
  }

  @Test("zones of very unequal sizes share as fairly as distinct zones allow")
  func unequalZones() throws {
    let sizes = [1, 2, 5, 12]
    var list: [LayoutNode] = []
    for (number, size) in sizes.enumerated() {
      for _ in 0..<size { list.append(LayoutNode(id: node(list.count), zone: zone(number), weight: 1)) }
    }
    let plan = try Self.fresh(list)
    Self.check(plan, balance: 1.05, "sizes \(sizes)")
    #expect(plan.loads.last!.after < 4096 / 11, "the largest zone holds one replica of each partition")
  }

  @Test("one more of twelve moves what the new node holds, and nothing else", arguments: [3, 4, 6])
  func add(zones: Int) throws {
    let before = try Self.fresh(Self.nodes(12, zones: zones)).layout
    let plan = try LayoutPlanner.plan(previous: before, nodes: Self.nodes(13, zones: zones))
    Self.check(plan, balance: 1.01, "\(zones) zones")
    #expect(plan.loads.last!.before == 0)
    #expect(Double(plan.movedReplicas) <= 1.02 * Double(plan.loads.last!.after), "\(plan.movedReplicas) moved")
    #expect(plan.moves.allSatisfy { $0.to.count == 1 })
  }

  @Test("one less of twelve moves what it held, and nothing else", arguments: [3, 4, 6])
  func remove(zones: Int) throws {
    let before = try Self.fresh(Self.nodes(12, zones: zones)).layout
    let plan = try LayoutPlanner.plan(previous: before, nodes: Self.nodes(12, zones: zones).filter { $0.id != node(5) })
    Self.check(plan, balance: 1.01, "\(zones) zones")
    #expect(Double(plan.movedReplicas) <= 1.02 * 1024, "\(plan.movedReplicas) moved")
  }

  @Test("a weight that changes moves the difference", arguments: [(3, 2.0), (4, 2.0), (4, 0.5), (6, 1.1)])
  func weight(zones: Int, weight: Double) throws {
    let before = try Self.fresh(Self.nodes(12, zones: zones)).layout
    let plan = try LayoutPlanner.plan(previous: before, nodes: Self.nodes(12, zones: zones) { $0 == 4 ? weight : 1 })
    Self.check(plan, balance: 1.05, "\(zones) zones, weight \(weight)")
  }

  @Test("a new zone takes its share and nothing moves besides", arguments: [3, 4])
  func addZone(zones: Int) throws {
    let old = Self.nodes(12, zones: zones)
    let before = try Self.fresh(old).layout
    let new = old + (12..<15).map { LayoutNode(id: node($0), zone: zone(9), weight: 1) }
    let plan = try LayoutPlanner.plan(previous: before, nodes: new)
    Self.check(plan, balance: 1.01, "\(zones) zones and one")
    let gained = plan.loads.suffix(3).reduce(0) { $0 + $1.after }
    #expect(Double(plan.movedReplicas) <= 1.02 * Double(gained))
    #expect(plan.moves.allSatisfy { $0.to.count == 1 })
  }

  private static func isSpread(_ layout: Layout, regions: [RegionID]) -> Bool {
    let width = layout.replicasPerPartition
    return (0..<layout.partitionCount).allSatisfy { partition in
      let counts = regions.map { region in layout.replicas(ofPartition: partition).count { layout.node($0)!.region == region } }
      return counts.max()! <= (width + regions.count - 1) / regions.count && counts.min()! >= width / regions.count
    }
  }

  @Test(
    "replicas spread over regions first, then over the zones within", arguments: [(2, 3, 3), (3, 2, 3), (2, 2, 4), (4, 2, 3), (2, 1, 3)])
  func regions(regionCount: Int, zonesEach: Int, replicas: Int) throws {
    let regions = (0..<regionCount).map { RegionID("r-\($0)")! }
    var list = (0..<(regionCount * zonesEach * 3)).map { number in
      let zoneNumber = number % (regionCount * zonesEach)
      return LayoutNode(id: node(number), zone: zone(zoneNumber), region: regions[zoneNumber % regionCount], weight: 1)
    }
    let plan = try Self.fresh(list, bits: 10, replicas: replicas)
    #expect(Self.isSpread(plan.layout, regions: regions))
    for load in plan.loads { #expect(Double(load.after) <= load.fairShare.rounded(.up) + 1e-6) }
    for partition in 0..<plan.layout.partitionCount where zonesEach * regionCount >= replicas && zonesEach >= 2 {
      #expect(Set(plan.layout.replicas(ofPartition: partition).map { plan.layout.node($0)!.zone }).count == replicas)
    }
    list.remove(at: 1)
    list.append(LayoutNode(id: node(99), zone: zone(0), region: regions[0], weight: 2))
    let next = try LayoutPlanner.plan(previous: plan.layout, nodes: list)
    #expect(Self.isSpread(next.layout, regions: regions))
    #expect(next.loads.allSatisfy { Double($0.after) <= max($0.fairShare * 1.05, $0.fairShare.rounded(.up)) + 1e-6 })
  }

  @Test("a region that fails alone leaves a copy of everything; one of a single node takes its share whatever that is")
  func unequalRegions() throws {
    let (small, large) = (RegionID("small")!, RegionID("large")!)
    let list = (0..<7).map { number in
      LayoutNode(id: node(number), zone: zone(number), region: number == 0 ? small : large, weight: 1)
    }
    let plan = try Self.fresh(list, bits: 8)
    #expect(plan.loads[0].after == 256 && plan.loads.dropFirst().allSatisfy { (84...86).contains($0.after) })
    #expect(throws: LayoutPlanner.Failure.zoneInTwoRegions(zone(1))) {
      try LayoutPlanner.plan(previous: plan.layout, nodes: [list[1], LayoutNode(id: node(9), zone: zone(1), weight: 1)])
    }
  }

  @Test("weights from 0.1 to 20 share as they should where a fair split exists", arguments: UInt64(1)...10)
  func weights(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    // In each of six zones the same weights, so that no zone and no node needs more than one replica of each partition.
    let weights = (0..<4).map { _ in Double(Int.random(in: 1...200, using: &random)) / 10 }
    let list = Self.nodes(24, zones: 6) { weights[$0 / 6] }
    let plan = try Self.fresh(list)
    Self.check(plan, balance: 1.05, "weights \(weights)")
    for (node, load) in zip(list, plan.loads) {
      let fair = 4096 * 3 * node.weight / list.reduce(0) { $0 + $1.weight }
      if fair <= 4096 { #expect(Double(load.after) <= max(1.05 * fair, fair.rounded(.up)), "weights \(weights)") }
    }
  }

  @Test(
    "one node per zone, and zones of unequal size where a fair split exists", arguments: [[1, 1, 1, 1], [2, 3, 3, 4], [4, 5, 6, 3, 6]])
  func zoneSizes(sizes: [Int]) throws {
    var list: [LayoutNode] = []
    for (number, size) in sizes.enumerated() {
      for _ in 0..<size { list.append(LayoutNode(id: node(list.count), zone: zone(number), weight: 1)) }
    }
    let plan = try Self.fresh(list)
    let fair = Double(4096 * 3) / Double(list.count)
    #expect(sizes.max()! * 3 <= list.count, "a zone holds one replica of each partition at most")
    for load in plan.loads { #expect(Double(load.after) <= 1.05 * fair, "sizes \(sizes): \(load)") }
  }

  @Test("the same nodes again move nothing")
  func stable() throws {
    let before = try Self.fresh(Self.nodes(11, zones: 3)).layout
    let plan = try LayoutPlanner.plan(previous: before, nodes: Self.nodes(11, zones: 3).reversed())
    #expect(plan.moves.isEmpty && plan.layout.table == before.table && plan.layout.version == before.version + 1)
  }

  @Test("growing from one node to many obeys the rules at every step")
  func growing() throws {
    var layout = Layout.empty(partitionBits: 8, replicationFactor: 3, writeQuorum: 2)
    for count in 1...16 {
      let plan = try LayoutPlanner.plan(previous: layout, nodes: Self.nodes(count, zones: 5))
      Self.check(plan, balance: 1.05, "grown to \(count)")
      layout = plan.layout
    }
    for count in (1...15).reversed() {
      let plan = try LayoutPlanner.plan(previous: layout, nodes: Self.nodes(count, zones: 5))
      // Zones that fill up to one replica of every partition force chains, which move more than the loads alone tell.
      Self.check(plan, balance: 1.05, stickiness: 1.25, "shrunk to \(count)")
      layout = plan.layout
    }
  }

  @Test("bad nodes are refused")
  func refused() {
    let empty = Layout.empty(partitionBits: 4, replicationFactor: 3, writeQuorum: 2)
    #expect(throws: LayoutPlanner.Failure.noNodes) { try LayoutPlanner.plan(previous: empty, nodes: []) }
    let two = LayoutNode(id: node(1), zone: zone(1), weight: 1)
    #expect(throws: LayoutPlanner.Failure.duplicateNode(node(1))) { try LayoutPlanner.plan(previous: empty, nodes: [two, two]) }
    let heavy = LayoutNode(id: node(1), zone: zone(1), weight: 21)
    #expect(throws: LayoutPlanner.Failure.weightOutOfRange(node(1))) { try LayoutPlanner.plan(previous: empty, nodes: [heavy]) }
  }

  @Test("random clusters under random changes stay balanced, disjoint and sticky", arguments: UInt64(1)...40)
  func random(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let zones = Int.random(in: 1...8, using: &random)
    let replicas = Int.random(in: 1...4, using: &random)
    var list = (0..<Int.random(in: 1...24, using: &random)).map { number in
      let place = zone(Int.random(in: 0..<zones, using: &random))
      return LayoutNode(id: node(number), zone: place, weight: Double(Int.random(in: 1...40, using: &random)) / 4)
    }
    var plan = try Self.fresh(list, bits: 10, replicas: replicas)
    Self.check(plan, balance: 1.05, "seed \(seed), new")
    for step in 0..<6 {
      var isZoneChange = false
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        list.append(LayoutNode(id: node(100 + step), zone: zone(Int.random(in: 0...zones, using: &random)), weight: 1))
      case 1 where list.count > 1: list.remove(at: Int.random(in: 0..<list.count, using: &random))
      case 2:
        isZoneChange = true
        list[Int.random(in: 0..<list.count, using: &random)].zone = zone(Int.random(in: 0..<zones, using: &random))
      default: list[Int.random(in: 0..<list.count, using: &random)].weight = Double(Int.random(in: 1...40, using: &random)) / 4
      }
      let again = try LayoutPlanner.plan(previous: plan.layout, nodes: list)
      plan = try LayoutPlanner.plan(previous: plan.layout, nodes: list.reversed())
      #expect(again == plan, "the same inputs give the same plan (seed \(seed))")
      Self.check(plan, balance: 1.05, stickiness: isZoneChange ? nil : 1.5, "seed \(seed), step \(step)")
    }
  }

  @Test("4,096 partitions over 100 nodes are planned at once")
  func size() throws {
    let before = try Self.fresh(Self.nodes(100, zones: 10)).layout
    Self.check(try LayoutPlanner.plan(previous: before, nodes: Self.nodes(101, zones: 10)), balance: 1.01, "100 nodes and one")
  }
}
