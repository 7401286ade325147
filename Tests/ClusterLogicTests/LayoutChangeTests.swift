import BlockModel
import ClusterLogic
import Testing

@Suite struct LayoutChangeTests {
  private static func layout(_ nodes: [LayoutNode], after: Layout? = nil) throws -> Layout {
    try LayoutPlanner.plan(
      previous: after ?? .empty(partitionBits: 8, replicationFactor: 3, writeQuorum: 2), nodes: nodes
    ).layout
  }

  private static func changes(_ old: [LayoutNode]) -> [[LayoutNode]] {
    [
      old, Array(old.dropFirst()), old + LayoutPlannerTests.nodes(13, zones: 3).suffix(1),
      old.map { $0.id == node(4) ? LayoutNode(id: $0.id, zone: $0.zone, weight: 3) : $0 },
      old.map { $0.id == node(4) ? LayoutNode(id: $0.id, zone: zone(7), weight: 1) : $0 },
      Array(old.dropFirst(3)) + [LayoutNode(id: node(90), zone: zone(1), weight: 2)],
    ]
  }

  @Test("applied to what it was made from, a change gives the new layout, whatever changed", arguments: 0..<6)
  func roundTrip(number: Int) throws {
    let nodes = LayoutPlannerTests.nodes(12, zones: 3)
    let old = try Self.layout(nodes)
    let new = try Self.layout(Self.changes(nodes)[number], after: old)
    let change = try #require(LayoutChange(from: old, to: new))
    #expect(change.applied(to: old) == new)
    #expect(change.applied(to: new) == nil, "it is for one layout only")
  }

  @Test("a layout of the same version that is another is noticed")
  func confused() throws {
    let nodes = LayoutPlannerTests.nodes(12, zones: 3)
    let old = try Self.layout(nodes)
    let change = try #require(LayoutChange(from: old, to: try Self.layout(Array(nodes.dropLast()), after: old)))
    // Of rows that the change does not touch.
    let places = old.table.indices.filter { !old.replicas(ofPartition: $0 / 3).contains(node(11)) }
    let second = try #require(places.first { old.table[$0] != old.table[places[0]] })
    var other = old
    other.table.swapAt(places[0], second)
    #expect(change.applied(to: other) == nil)
  }

  @Test("the first layout, and one of other shape, has no change")
  func shapes() throws {
    let two = try Self.layout(LayoutPlannerTests.nodes(2, zones: 2))
    let three = try Self.layout(LayoutPlannerTests.nodes(3, zones: 3), after: two)
    #expect(LayoutChange(from: two, to: three) == nil)
    #expect(LayoutChange(from: .empty(partitionBits: 8, replicationFactor: 3, writeQuorum: 2), to: two) == nil)
  }
}
