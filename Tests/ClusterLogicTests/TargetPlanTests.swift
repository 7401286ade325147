import BlockModel
import ClusterLogic
import Testing

@Suite struct TargetPlanTests {
  /// Six nodes in three zones (node n is in zone n % 3), one partition with replicas 0, 1, 2.
  private let layout = Layout(
    version: 7, partitionBits: 1, replicationFactor: 3, writeQuorum: 2,
    nodes: (0..<6).map { LayoutNode(id: node($0), zone: zone($0 % 3), weight: 1) }, table: [0, 1, 2, 3, 4, 5])

  private func planner(
    suspect: [Int] = [], out: [Int] = [], full: [Int] = [], filling: [PlanFilling] = []
  ) -> TargetPlanner {
    let members = (0..<6).map { number in
      let liveness: Liveness = out.contains(number) ? .out : suspect.contains(number) ? .suspect : .alive
      return PlanMember(
        node: node(number), zone: zone(number % 3), liveness: liveness, isWritable: liveness == .alive && !full.contains(number))
    }
    return TargetPlanner(layout: layout, members: members, filling: filling)
  }

  @Test("a healthy partition's replicas come first, each with the others and two spares of different zones to forward to")
  func healthyPut() {
    let plan = planner().put(block(partition: 0, bits: 1, tail: 0))
    #expect(plan.candidates.prefix(3).map(\.node) == [node(0), node(1), node(2)])
    #expect(plan.candidates.count == 5)
    let forwards = plan.candidates[0].forwards
    #expect(forwards.prefix(2) == [node(1), node(2)])
    #expect(forwards.count == 4 && Set(forwards.suffix(2).map { planner().member($0)!.zone }).count == 2)
    #expect(plan.layoutVersion == 7 && plan.writeQuorum == 2)
  }

  @Test("being first rotates with the block, and the caller's zone goes before")
  func rotation() {
    #expect(planner().put(block(partition: 0, bits: 1, tail: 1)).candidates[0].node == node(1))
    #expect(planner().put(block(partition: 0, bits: 1, tail: 2)).candidates[0].node == node(2))
    let near = planner().put(block(partition: 0, bits: 1, tail: 1), callerZone: zone(0))
    #expect(near.candidates.prefix(3).map(\.node) == [node(0), node(1), node(2)])
  }

  @Test("the first spare stands in the zone of the replica that does not take blocks", arguments: [([1], []), ([], [1])])
  func spareZone(suspect: [Int], full: [Int]) {
    let plan = planner(suspect: suspect, full: full).put(block(partition: 0, bits: 1, tail: 0))
    #expect(plan.candidates.prefix(3).map(\.node) == [node(0), node(2), node(4)])
    #expect(plan.candidates[2].forwards.contains(node(1)), "the replica stays in the list, in case it is up")
  }

  @Test("a node that is out is in no plan")
  func out() {
    let plan = planner(out: [1])
    let named = plan.put(block(partition: 0, bits: 1, tail: 0)).candidates.flatMap { [$0.node] + $0.forwards }
    #expect(!named.contains(node(1)))
    #expect(plan.get(block(partition: 0, bits: 1, tail: 0)).map(\.node) == [node(0), node(2)])
  }

  @Test("no forward list names a node twice or its own first node", arguments: 0..<12)
  func distinct(tail: Int) {
    let plan = planner(suspect: [tail % 6], full: [(tail + 2) % 6]).put(block(partition: tail % 2, bits: 1, tail: UInt64(tail)))
    for first in plan.candidates {
      #expect(Set(first.forwards).count == first.forwards.count && !first.forwards.contains(first.node))
    }
  }

  @Test("reads go to filled replicas, strays, former holders, replicas being filled, and suspects, in this order")
  func readOrder() {
    let planner = planner(suspect: [0], filling: [PlanFilling(partition: 0, targets: [node(2)], sources: [node(4)])])
    #expect(
      planner.get(block(partition: 0, bits: 1, tail: 0), strays: [node(5)]).map(\.node) == [node(1), node(5), node(4), node(2), node(0)])
    #expect(planner.get(block(partition: 1, bits: 1, tail: 1), callerZone: zone(2)).map(\.node) == [node(5), node(4), node(3)])
  }

  @Test("the spares of a lost node's partitions are spread over the nodes")
  func spread() {
    var used = [NodeID: Int]()
    let planner = planner()
    for partition in 0..<600 {
      let spares = planner.spares(forPartition: partition, replicas: [planner.member(node(0))!])
      used[spares[0].node, default: 0] += 1
    }
    for number in [1, 2, 4, 5] { #expect((100...200).contains(used[node(number)] ?? 0), "node \(number): \(used)") }
  }

  @Test("in a cluster of thousands the spares obey the same rules, and are spread over all nodes")
  func largeCluster() {
    let count = 3000
    let members = (0..<count).map { PlanMember(node: node($0), zone: zone($0 % 10), liveness: .alive, isWritable: $0 % 7 != 0) }
    let planner = TargetPlanner(layout: layout, members: members, filling: [])
    var first: [NodeID] = []
    for partition in 0..<2000 {
      // Two replicas take blocks, the third one, in zone 4, does not.
      let replicas = [members[1], members[2], members[14]]
      let spares = planner.spares(forPartition: partition, replicas: replicas)
      #expect(spares == planner.spares(forPartition: partition, replicas: replicas))
      #expect(spares.count == 2 && Set(spares.map(\.zone)).count == 2 && spares.allSatisfy(\.isWritable))
      #expect(spares.allSatisfy { ![zone(1), zone(2)].contains($0.zone) && !replicas.contains($0) })
      first.append(spares[0].node)
    }
    #expect(Set(first).count > 1000)
  }
}

extension TargetPlanTests {
  @Test("before the first layout nobody is named: how many copies in how many zones a write needs is not known yet")
  func noLayout() {
    let members = (0..<3).map { PlanMember(node: node($0), zone: zone($0), liveness: .alive, isWritable: true) }
    let empty = Layout.empty(partitionBits: 1, replicationFactor: 3, writeQuorum: 2)
    #expect(TargetPlanner(layout: empty, members: members, filling: []).put(block(partition: 0, bits: 1, tail: 0)).candidates.isEmpty)
  }
}
