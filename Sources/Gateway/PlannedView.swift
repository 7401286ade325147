internal import BlockModel
internal import ClusterLogic
package import ServiceAPI

/// A view of the cluster and the planner that was made of it once.
package struct PlannedView: Sendable {
  package let view: ClusterView
  let planner: TargetPlanner

  package init(_ view: ClusterView) {
    self.view = view
    planner = TargetPlanner(
      layout: view.layout,
      members: view.members.map { PlanMember(node: $0.node, zone: $0.zone, liveness: Liveness($0.state), isWritable: $0.writable) },
      filling: view.filling.map { PlanFilling(partition: $0.partition, targets: $0.targets, sources: $0.sources) })
  }

  /// By binary search: members are sorted by node.
  func member(_ node: NodeID) -> Member? {
    var low = 0
    var high = view.members.count
    while low < high {
      let middle = (low + high) / 2
      if view.members[middle].node < node { low = middle + 1 } else { high = middle }
    }
    return low < view.members.count && view.members[low].node == node ? view.members[low] : nil
  }
}

extension Liveness {
  init(_ state: NodeState) {
    switch state {
    case .alive: self = .alive
    case .suspect: self = .suspect
    case .out: self = .out
    }
  }
}
