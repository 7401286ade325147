import BlockModel
import ClusterLogic
import Testing

/// What a node said counts no more once it lost a disk. Both mistakes were found by the simulated cluster.
@Suite struct DiskLossTests {
  private let filled = node(2)

  /// A scheduler that was told to fill one node in one partition, and the comparison that it asks for first.
  private func filling(
    _ now: MonotonicTime
  ) throws -> (scheduler: RepairScheduler, view: RepairView, request: RepairRequest, reference: NodeID) {
    let nodes = (0..<3).map { LayoutNode(id: node($0), zone: zone($0), weight: 1) }
    let layout = try LayoutPlanner.plan(
      previous: .empty(partitionBits: 0, replicationFactor: 3, writeQuorum: 2), nodes: nodes
    ).layout
    let members = nodes.map { PlanMember(node: $0.id, zone: $0.zone, liveness: .alive, isWritable: true) }
    let view = RepairView(
      layout: layout, filling: [PlanFilling(partition: 0, targets: [filled], sources: [])], members: members, isBraked: false)
    var scheduler = RepairScheduler(view: view)
    for effect in scheduler.step(.timer, now: now) {
      if case .compare(let request, filled, let reference, 0) = effect { return (scheduler, view, request, reference) }
    }
    throw NothingAsked()
  }

  private struct NothingAsked: Error {}

  private func marksFilled(_ effects: [RepairScheduler.Effect]) -> Bool {
    effects.contains { if case .markFilled = $0 { true } else { false } }
  }

  @Test("a replica whose disk was found to be lost meanwhile vouches for nobody", arguments: [false, true])
  func lostReference(isLost: Bool) throws {
    let now = MonotonicTime.seconds(1)
    var (scheduler, view, request, reference) = try filling(now)
    if isLost {
      view.filling = LayoutTransition.refilling(reference, in: view.layout, filling: view.filling)
      _ = scheduler.step(.view(view), now: now)
    }
    #expect(marksFilled(scheduler.step(.compared(request, true), now: now)) != isLost)
  }

  @Test("a target that loses a disk while it is filled is filled from the first block on")
  func lostTarget() throws {
    let now = MonotonicTime.seconds(1)
    var (scheduler, _, request, _) = try filling(now)
    let effects = scheduler.step(.diskLost(filled), now: now)
    #expect(effects.contains { if case .compare(_, filled, _, 0) = $0 { true } else { false } }, "it begins again")
    #expect(!marksFilled(scheduler.step(.compared(request, true), now: now)), "an answer from before says nothing")
  }

  @Test("what was confirmed before the disk was lost marks nothing as filled")
  func confirmedBefore() {
    var cluster = RepairSimulation(seed: 31, nodes: 4, zones: 4, blocks: 200)
    cluster.filling = LayoutTransition.refilling(node(2), in: cluster.layout, filling: [])
    cluster.nodes[node(2)]!.blocks = []
    cluster.tellView()
    var losses = 0
    let isDone = cluster.run(seconds: 600) { cluster in
      // Every now and then all that was copied so far is lost once more.
      if losses < 5, cluster.copiedItems > 20 * (losses + 1) {
        losses += 1
        cluster.nodes[node(2)]!.blocks = []
        cluster.queue.removeAll { if case .settled = $0.event { true } else { false } }
        cluster.deliver(.diskLost(node(2)))
        let rows = LayoutTransition.refilling(node(2), in: cluster.layout, filling: cluster.filling)
        cluster.filling = (cluster.filling.filter { row in !rows.contains { $0.partition == row.partition } } + rows)
          .sorted { $0.partition < $1.partition }
        cluster.tellView()
      }
      return cluster.filling.isEmpty
    }
    #expect(isDone && losses == 5 && cluster.lacking.isEmpty && cluster.violations.isEmpty, "\(cluster.violations)")
  }
}
