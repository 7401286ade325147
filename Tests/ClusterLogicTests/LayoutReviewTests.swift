import BlockModel
import ClusterLogic
import TestSupport
import Testing

@Suite("Staging and reviewing layouts") struct LayoutReviewTests {
  private func nodes(_ count: Int) -> [LayoutNode] {
    (0..<count).map { LayoutNode(id: node($0), zone: zone($0 % 3), weight: 1) }
  }

  private func first(_ count: Int) throws -> Layout {
    try LayoutPlanner.plan(
      previous: .empty(partitionBits: 6, replicationFactor: 3, writeQuorum: 2), nodes: nodes(count)
    ).layout
  }

  @Test("a later change of a node takes an earlier one's place, and removing takes it out")
  func staging() throws {
    let layout = try first(4)
    let heavy = StagedRole(node: node(1), role: .init(zone: zone(1), region: nil, weight: 2))
    var staged = LayoutStaging.adding(StagedRole(node: node(1), role: nil), to: [])
    staged = LayoutStaging.adding(StagedRole(node: node(0), role: nil), to: staged)
    staged = LayoutStaging.adding(heavy, to: staged)
    staged = LayoutStaging.adding(StagedRole(node: node(7), role: .init(zone: zone(5), region: nil, weight: 1)), to: staged)
    #expect(staged.map(\.node) == [node(0), node(1), node(7)])
    let next = LayoutStaging.nodes(of: layout, with: staged)
    #expect(next.map(\.id) == [node(1), node(2), node(3), node(7)])
    #expect(next[0].weight == 2 && next[3].zone == zone(5))
    #expect(LayoutStaging.nodes(of: layout, with: []) == layout.nodes)
  }

  @Test("the pairs of a review add up to what moves, and say where it comes from")
  func pairs() throws {
    let layout = try first(6)
    let plan = try LayoutPlanner.plan(previous: layout, nodes: nodes(7))
    let review = LayoutReview(plan, from: layout, filling: []) { layout.node($0)?.zone }
    #expect(review.pairs.reduce(0) { $0 + $1.partitions } == plan.movedReplicas)
    #expect(review.pairs.allSatisfy { $0.to == node(6) && $0.from != node(6) })
    #expect(review.fewestZonesNow == 3 && review.fewestZonesOnTheWay == 3)
  }

  @Test("a dead holder and a zone that empties are seen in the fewest zones")
  func zones() throws {
    let layout = try first(6)
    let fewer = try LayoutPlanner.plan(previous: layout, nodes: nodes(6).filter { $0.zone != zone(2) })
    let review = LayoutReview(fewer, from: layout, filling: []) { layout.node($0)?.zone }
    #expect(review.fewestZonesNow == 3 && review.fewestZonesOnTheWay == 2)
    let dead = LayoutReview(fewer, from: layout, filling: []) { $0 == node(0) ? nil : layout.node($0)?.zone }
    #expect(dead.fewestZonesNow == 2)
  }

  /// `CAIRN_BENCH=1 swift test -c release --filter LayoutReviewTests/lookup` measures; without it a small run keeps the code honest.
  @Test("a block's replicas are looked up in no time")
  func lookup() throws {
    let list = (0..<100).map { LayoutNode(id: node($0), zone: zone($0 % 10), weight: 1) }
    let layout = try LayoutPlanner.plan(
      previous: .empty(partitionBits: 12, replicationFactor: 3, writeQuorum: 2), nodes: list
    ).layout
    let isBenchmark = Environment.value("CAIRN_BENCH") != nil
    var random = SeededRandom(seed: 1)
    let blocks = (0..<4096).map { _ in BlockID(words: (random.next(), 0, 0, 0)) }
    for block in blocks { #expect(layout.replicaIndices(of: block).map { layout.nodes[Int($0)].id } == layout.replicas(of: block)) }
    let rounds = isBenchmark ? 20_000 : 2
    var sum = 0
    let clock = ContinuousClock()
    let elapsed = clock.measure {
      for _ in 0..<rounds {
        for block in blocks { for index in layout.replicaIndices(of: block) { sum &+= Int(index) } }
      }
    }
    let each = elapsed / Double(rounds * blocks.count)
    if isBenchmark { print("lookup of a block's replicas: \(each) each (checksum \(sum))") }
    #expect(!isBenchmark || each <= .nanoseconds(50))
  }
}
