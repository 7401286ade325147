import ClusterLogic
import Testing

@Suite struct LayoutCopiesTests {
  private func layout(nodes: Int) throws -> Layout {
    try LayoutPlannerTests.fresh(LayoutPlannerTests.nodes(nodes, zones: nodes), bits: 4).layout
  }

  @Test(
    "as many copies are wanted as are configured, or as there ever were nodes where these are fewer",
    arguments: [(1, 1, 1), (2, 2, 2), (2, 3, 3), (1, 3, 3), (3, 3, 3), (6, 9, 3), (3, 0, 3)])
  func wanted(nodes: Int, known: Int, copies: Int) throws {
    #expect(try layout(nodes: nodes).wantedCopies(knownNodes: known) == copies)
  }

  @Test("a layout that gives blocks fewer copies than the one before is warned of, another is not")
  func warning() throws {
    let three = try layout(nodes: 3)
    #expect(three.copiesWarning(nodesLeft: 2) == "2 nodes would be left, so blocks would have 2 copies instead of 3.")
    #expect(three.copiesWarning(nodesLeft: 3) == nil && three.copiesWarning(nodesLeft: 4) == nil)
    #expect(try layout(nodes: 6).copiesWarning(nodesLeft: 3) == nil)
    #expect(try layout(nodes: 2).copiesWarning(nodesLeft: 2) == nil)
  }
}
