import BlockModel
import ClusterLogic
import Coordinator
import ServiceAPI
import Synchronization
import Testing

@Suite("How a cluster is, in a word") struct ClusterHealthTests {
  private func started(nodes: Int) async throws -> FakeCluster {
    let cluster = FakeCluster(nodes: nodes)
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    return cluster
  }

  /// After the counts of blocks were taken anew.
  private func status(_ cluster: FakeCluster) async throws -> ClusterStatus {
    for _ in 0..<11 { try await cluster.step() }
    return try await cluster.perform(OperatorOperations.GetStatus())
  }

  private func isWhole(_ cluster: FakeCluster, nodes: Int) -> Bool {
    cluster.service.view!.layout.nodes.count == nodes && cluster.service.view!.filling.allSatisfy(\.targets.isEmpty)
      && cluster.lacking.isEmpty
  }

  @Test("a cluster that never had as many nodes as copies are configured is healthy with the copies that it can have", arguments: [1, 2])
  func small(nodes: Int) async throws {
    let cluster = try await started(nodes: nodes)
    _ = cluster.store(50, seed: 1)
    let status = try await status(cluster)
    #expect(status.health == .healthy && status.reasons.isEmpty && status.underReplicatedBlocks == 0, "\(status.reasons)")
  }

  @Test("drained below the configured copies a cluster is degraded, says what to do, and is healthy when the node is let in again")
  func drained() async throws {
    let cluster = try await started(nodes: 3)
    _ = cluster.store(60, seed: 2)
    _ = try await cluster.perform(OperatorOperations.DrainNode(node: node(3)))
    #expect(try await cluster.run { cluster.service.view!.filling.isEmpty })
    let short = try await status(cluster)
    #expect(short.health == .degraded && short.underReplicatedBlocks == 60, "\(short)")
    #expect(short.reasons.contains { $0.contains("2 copies at most and not 3") && $0.contains("cairnctl admit") }, "\(short.reasons)")
    #expect(!short.reasons.contains { $0.contains("repair makes them by itself") }, "no repair can: \(short.reasons)")
    _ = try await cluster.perform(OperatorOperations.AdmitNode(node: node(3)))
    #expect(try await cluster.run { isWhole(cluster, nodes: 3) })
    let whole = try await status(cluster)
    #expect(whole.health == .healthy && whole.underReplicatedBlocks == 0, "\(whole.reasons)")
  }

  @Test("after two of three nodes died one after the other, nothing is healthy before both are back with all that they lack")
  func twoDeaths() async throws {
    let cluster = try await started(nodes: 3)
    _ = cluster.store(60, seed: 3)
    for (number, left) in [(3, 2), (2, 1)] {
      cluster.kill(node(number))
      #expect(try await cluster.run { cluster.service.view!.layout.nodes.count == left })
    }
    let alone = try await status(cluster)
    #expect(alone.health == .atRisk && alone.underReplicatedBlocks == 60, "\(alone.reasons)")
    _ = cluster.store(40, seed: 4)
    _ = try await status(cluster)
    for number in [2, 3] { cluster.revive(node(number)) }
    let isHealed = try await cluster.run {
      guard try await cluster.perform(OperatorOperations.GetStatus()).health == .healthy else { return false }
      #expect(isWhole(cluster, nodes: 3), "healthy too early: layout \(cluster.service.view!.layout.version)")
      return true
    }
    #expect(isHealed)
  }

  @Test("a layout whose commit nobody confirmed is found in the database, and until then nothing is healthy")
  func unconfirmedLayout() async throws {
    let cluster = try await started(nodes: 6)
    let first = cluster.service.view!.layout
    _ = cluster.store(100, seed: 5)
    cluster.metadata.state.withLock { $0.losesLayoutAnswer = true }
    cluster.kill(node(2))
    #expect(try await cluster.run { cluster.metadata.state.withLock { $0.layouts.count == 2 } })
    #expect(cluster.service.view!.layout.version == 1)
    // It is back before the coordinator has tried once more: by the layout that it knows nothing is wrong.
    cluster.revive(node(2))
    _ = try await cluster.perform(cluster.heartbeat(node(2)))
    let unsettled = try await cluster.perform(OperatorOperations.GetStatus())
    #expect(unsettled.health == .degraded && unsettled.reasons.contains { $0.contains("not confirmed") }, "\(unsettled.reasons)")
    let isHealed = try await cluster.run {
      // The node's return only moves replicas, with all copies where they were: that is no reason to be less than healthy.
      try await cluster.perform(OperatorOperations.GetStatus()).health == .healthy && isWhole(cluster, nodes: 6)
    }
    #expect(isHealed && cluster.service.view!.layout.table == first.table && cluster.service.view!.layout.version == 3)
    #expect(cluster.metadata.state.withLock { $0.layouts.last } == cluster.service.view!.layout)
  }

  @Test("while an operator's change only moves replicas a cluster is healthy, and a death meanwhile is not overlooked")
  func moves() async throws {
    let cluster = try await started(nodes: 6)
    _ = cluster.store(60, seed: 7)
    _ = try await cluster.perform(OperatorOperations.ControlRebalance(action: .pause))
    _ = try await cluster.perform(OperatorOperations.DrainNode(node: node(4)))
    let moving = try await status(cluster)
    #expect(moving.health == .healthy && moving.underReplicatedBlocks == 0, "\(moving.reasons)")
    #expect(cluster.service.view!.filling.contains { !$0.targets.isEmpty })
    cluster.kill(node(4))
    let lost = try await status(cluster)
    #expect(lost.health == .degraded && lost.underReplicatedBlocks > 0, "\(lost.reasons)")
  }

  @Test("a node that waits to be let in, or that an operator took out of many, is no reason to worry")
  func strangers() async throws {
    let cluster = try await started(nodes: 6)
    _ = cluster.store(60, seed: 6)
    _ = try await cluster.perform(OperatorOperations.DrainNode(node: node(4)))
    #expect(try await cluster.run { cluster.service.view!.filling.isEmpty })
    let status = try await status(cluster)
    #expect(status.health == .healthy && status.reasons.contains { $0.contains("node-4 is not in the layout") }, "\(status.reasons)")
  }
}
