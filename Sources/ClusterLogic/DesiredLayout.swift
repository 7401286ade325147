internal import BlockModel

/// What the layout should be without an operator's word: the first one, without nodes that are out, with those that came back.
package enum DesiredLayout {
  /// A node as the coordinator knows it.
  package struct Candidate: Sendable, Equatable {
    package var node: LayoutNode
    package var liveness: Liveness
    /// This process has had a heartbeat of it.
    package var wasHeard: Bool
    /// It was taken out because it was silent, or an operator let it in: it comes into the next layout.
    package var isComing: Bool
    package init(node: LayoutNode, liveness: Liveness, wasHeard: Bool, isComing: Bool) {
      self.node = node
      self.liveness = liveness
      self.wasHeard = wasHeard
      self.isComing = isComing
    }
  }

  /// The nodes that the layout should have; nil when it should stay.
  /// - Parameters:
  ///   - candidates: all nodes known, sorted by id.
  ///   - initialNodes: nodes that have to live before the first layout is made.
  package static func nodes(
    for layout: Layout, candidates: [Candidate], isBraked: Bool, initialNodes: Int
  ) -> [LayoutNode]? {
    if layout.version == 0 {
      let alive = candidates.filter { $0.wasHeard && $0.liveness == .alive }.map(\.node)
      return alive.isEmpty || alive.count < initialNodes ? nil : alive
    }
    guard !isBraked else { return nil }
    // Found by halving: this is asked at every tick.
    let staying = layout.nodes.filter { node in
      let index = candidates.partitionPoint { $0.node.id < node.id }
      return index < candidates.count && candidates[index].node.id == node.id && candidates[index].liveness != .out
    }
    let coming = candidates.filter { $0.isComing && $0.liveness == .alive && layout.node($0.node.id) == nil }.map(\.node)
    let desired = (staying + coming).sorted { $0.id < $1.id }
    return desired.isEmpty || desired == layout.nodes ? nil : desired
  }

  /// The next layout over these nodes: the table of an earlier one over the same, so that a node that comes back finds what it holds; else
  /// a planned one.
  /// - Parameter history: earlier layouts, newest first.
  package static func next(
    after current: Layout, over nodes: [LayoutNode], history: [Layout]
  ) throws(LayoutPlanner.Failure) -> Layout {
    if current.version > 0, let earlier = history.first(where: { $0.nodes == nodes && $0.partitionBits == current.partitionBits }) {
      var next = earlier
      next.version = current.version + 1
      return next
    }
    return try LayoutPlanner.plan(previous: current, nodes: nodes).layout
  }
}
