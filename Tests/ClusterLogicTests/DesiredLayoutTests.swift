import BlockModel
import ClusterLogic
import Testing

@Suite struct DesiredLayoutTests {
  private func candidate(
    _ number: Int, _ liveness: Liveness = .alive, wasHeard: Bool = true, isComing: Bool = false
  ) -> DesiredLayout.Candidate {
    DesiredLayout.Candidate(
      node: LayoutNode(id: node(number), zone: zone(number), weight: 1), liveness: liveness, wasHeard: wasHeard, isComing: isComing)
  }

  private let empty = Layout.empty(partitionBits: 2, replicationFactor: 3, writeQuorum: 2)

  private func first(_ count: Int) throws -> Layout {
    try LayoutPlanner.plan(previous: empty, nodes: (0..<count).map { candidate($0).node }).layout
  }

  @Test("the first layout waits for as many nodes as were announced, and takes those that were heard")
  func firstLayout() {
    let nodes = [candidate(0), candidate(1), candidate(2, wasHeard: false), candidate(3, .suspect)]
    #expect(DesiredLayout.nodes(for: empty, candidates: nodes, isBraked: false, initialNodes: 3) == nil)
    #expect(DesiredLayout.nodes(for: empty, candidates: nodes, isBraked: false, initialNodes: 2)?.map(\.id) == [node(0), node(1)])
  }

  @Test("who is out goes, who comes and lives gets in, and with the brake on nothing changes")
  func later() throws {
    let layout = try first(4)
    let nodes = [candidate(0), candidate(1), candidate(2, .suspect), candidate(3, .out), candidate(4, isComing: true), candidate(5)]
    let desired = DesiredLayout.nodes(for: layout, candidates: nodes, isBraked: false, initialNodes: 1)
    #expect(desired?.map(\.id) == [node(0), node(1), node(2), node(4)])
    #expect(DesiredLayout.nodes(for: layout, candidates: nodes, isBraked: true, initialNodes: 1) == nil)
    let same = (0..<4).map { candidate($0) }
    #expect(DesiredLayout.nodes(for: layout, candidates: same, isBraked: false, initialNodes: 1) == nil)
    let all = (0..<4).map { candidate($0, .out) }
    #expect(DesiredLayout.nodes(for: layout, candidates: all, isBraked: false, initialNodes: 1) == nil, "never an empty one")
  }

  @Test("a node that comes back finds the table that it left")
  func history() throws {
    let layout = try first(4)
    let without = try DesiredLayout.next(after: layout, over: Array(layout.nodes.dropLast()), history: [layout])
    let back = try DesiredLayout.next(after: without, over: layout.nodes, history: [without, layout])
    #expect(back.table == layout.table && back.version == 3)
  }
}
