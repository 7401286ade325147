import BlockModel
import ClusterLogic
import Coordinator
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import Testing

@Suite("Layouts that operators make, and the way there") struct ClusterRebalanceTests {
  private func started(nodes: Int = 7, initial: Int? = nil) async throws -> FakeCluster {
    let cluster = FakeCluster(nodes: nodes)
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    return cluster
  }

  private func problem(_ body: () async throws -> Void) async -> Problem.Kind? {
    do {
      try await body()
      return nil
    } catch { return (error as? Problem)?.kind }
  }

  private func isSettled(_ cluster: FakeCluster) -> Bool { cluster.service.view!.filling.isEmpty }

  private func faults(_ cluster: FakeCluster) -> [String] { cluster.nodes.state.withLock { nodes in nodes.values.flatMap(\.faults) } }

  @Test("what is staged outlives a restart, is planned, and is applied by version and hash only")
  func staging() async throws {
    let cluster = try await started()
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.PlanLayout()) } == .conflict, "nothing is staged")
    let role = OperatorOperations.AssignRole(node: node(1), zone: nil, region: nil, weight: 3)
    let staged = try await cluster.perform(role)
    #expect(staged.nextVersion == 2 && staged.staged.first?.role?.zone == zone(0) && staged.staged.first?.role?.weight == 3)
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.RemoveRole(node: node(99))) } == .notFound)
    let heavy = OperatorOperations.AssignRole(node: node(1), zone: nil, region: nil, weight: 99)
    #expect(await problem { _ = try await cluster.perform(heavy) } == .malformed)
    try await cluster.restart()
    for name in cluster.names { _ = try await cluster.perform(cluster.heartbeat(name)) }
    let plan = try await cluster.perform(OperatorOperations.PlanLayout())
    #expect(plan.version == 2 && plan.bytes > 0 && plan.seconds > 0 && plan.fewestZonesNow == 3 && plan.fewestZonesOnTheWay == 3)
    #expect(plan.moves.reduce(0) { $0 + $1.partitions } == plan.movedReplicas && plan.moves.allSatisfy { $0.to == node(1) })
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.ApplyLayout(version: 3, hash: nil)) } == .conflict)
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.ApplyLayout(version: 2, hash: "00")) } == .conflict)
    _ = try await cluster.perform(OperatorOperations.AssignRole(node: node(2), zone: nil, region: nil, weight: 2))
    let stale = OperatorOperations.ApplyLayout(version: 2, hash: plan.hash)
    #expect(await problem { _ = try await cluster.perform(stale) } == .conflict, "somebody else staged meanwhile")
    let again = try await cluster.perform(OperatorOperations.PlanLayout())
    #expect(again.hash != plan.hash)
    let applied = try await cluster.perform(OperatorOperations.ApplyLayout(version: 2, hash: again.hash))
    #expect(applied.hash == again.hash && cluster.service.view!.layout.version == 2)
    #expect(cluster.service.view!.layout.node(node(1))?.weight == 3)
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.PlanLayout()) } == .conflict, "what was applied is not staged")
    let history = try await cluster.perform(OperatorOperations.GetLayoutHistory(limit: 5))
    #expect(history.layouts.map(\.version) == [2, 1] && history.layouts[0].changed == [node(1), node(2)])
    #expect(history.layouts[1].added.count == 7)
    _ = try await cluster.perform(OperatorOperations.RemoveRole(node: node(3)))
    let reverted = try await cluster.perform(OperatorOperations.RevertLayout())
    #expect(reverted.staged.map(\.node) == [node(3)])
    #expect(try await cluster.metadata.stagedRoles().isEmpty)
  }

  @Test("a drained node gives up everything after it is elsewhere, takes nothing more, and stays out", arguments: [false, true])
  func drain(restarts: Bool) async throws {
    let cluster = try await started()
    let blocks = cluster.store(200, seed: 1)
    let held = cluster.nodes.state.withLock { $0[node(2)]!.blocks.count }
    try await cluster.step()
    let begun = try await cluster.perform(OperatorOperations.DrainNode(node: node(2)))
    #expect(begun.state == .draining && begun.blocksLeft == held && !begun.mayBeUnplugged)
    #expect(cluster.service.view!.members.first { $0.node == node(2) }?.writable == false)
    if restarts {
      for _ in 0..<3 { try await cluster.step() }
      try await cluster.restart()
    }
    #expect(try await cluster.run { self.isSettled(cluster) })
    try await cluster.step()
    cluster.service.askJournal { $0 == node(2) }
    #expect(try await cluster.perform(OperatorOperations.GetDrain(node: node(2))).state == .draining, "the journal needs it")
    cluster.service.askJournal { _ in false }
    let asked = cluster.service.journalNodes
    #expect(asked.map(\.node) == cluster.names, "records of before may need nodes that left the layout")
    #expect(asked.filter { !$0.isInLayout }.map(\.node) == [node(2)])
    let done = try await cluster.perform(OperatorOperations.GetDrain(node: node(2)))
    #expect(done.state == .drained && done.mayBeUnplugged && done.blocksLeft == 0)
    #expect(cluster.lacking.isEmpty && faults(cluster).isEmpty)
    cluster.nodes.state.withLock { nodes in
      #expect(nodes[node(2)]!.blocks.isEmpty && nodes[node(2)]!.retired.count == held)
      let voided = cluster.metadata.state.withLock { $0.voided[node(2)] ?? [] }
      #expect(voided.isSuperset(of: nodes[node(2)]!.retired), "no receipt of what it gave up counts")
      for block in blocks { #expect(nodes.values.count { $0.blocks.contains(block) } == 3) }
    }
    // Unplugged, it is no reason to worry, and plugged in again it does not come back by itself.
    cluster.kill(node(2))
    #expect(try await cluster.run { cluster.service.view!.members.first { $0.node == node(2) }?.state == .out })
    cluster.time.advance(by: .seconds(1))
    for name in cluster.names where name != node(2) { _ = try await cluster.perform(cluster.heartbeat(name)) }
    #expect(try await cluster.perform(OperatorOperations.GetStatus()).health == .healthy)
    cluster.revive(node(2))
    for _ in 0..<10 { try await cluster.step() }
    #expect(cluster.service.view!.layout.node(node(2)) == nil && cluster.service.view!.layout.version == 2)
  }

  @Test("a drain that would leave too few zones is refused")
  func refused() async throws {
    let cluster = try await started(nodes: 2)
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.DrainNode(node: node(1))) } == .conflict)
    #expect(cluster.service.view!.layout.version == 1)
  }

  @Test("what a node holds beyond the layout, as somebody's spare, is found and given up")
  func leftovers() async throws {
    let cluster = try await started()
    let blocks = cluster.store(100, seed: 2)
    _ = try await cluster.perform(OperatorOperations.DrainNode(node: node(4)))
    #expect(try await cluster.run { self.isSettled(cluster) })
    // A write that was planned before reached it afterwards.
    cluster.nodes.state.withLock { $0[node(4)]!.blocks.formUnion(blocks.prefix(5)) }
    try await cluster.step()
    #expect(try await cluster.perform(OperatorOperations.GetDrain(node: node(4))).state == .draining)
    #expect(
      try await cluster.run {
        let status = try await cluster.perform(OperatorOperations.GetDrain(node: node(4)))
        return status.state == .drained
      })
    #expect(cluster.lacking.isEmpty && faults(cluster).isEmpty)
  }

  @Test("paused, nothing moves, over a restart too; aborted, everything is where it was")
  func pauseAndAbort() async throws {
    let cluster = try await started()
    let blocks = cluster.store(200, seed: 3)
    let before = cluster.service.view!.layout
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.ControlRebalance(action: .abort)) } == .conflict)
    _ = try await cluster.perform(OperatorOperations.ControlRebalance(action: .pause))
    _ = try await cluster.perform(OperatorOperations.DrainNode(node: node(5)))
    for _ in 0..<20 { try await cluster.step() }
    try await cluster.restart()
    for _ in 0..<20 { try await cluster.step() }
    var status = try await cluster.perform(OperatorOperations.GetRebalance())
    #expect(status.state == .paused && status.stepsDone == 0 && status.stepsTotal > 0 && status.originVersion == 1)
    #expect(!status.waiting.isEmpty && cluster.nodes.state.withLock { nodes in nodes.values.allSatisfy { $0.copies == 0 } })
    _ = try await cluster.perform(OperatorOperations.ControlRebalance(action: .resume))
    #expect(try await cluster.run { try await cluster.perform(OperatorOperations.GetRebalance()).stepsDone > 3 })
    status = try await cluster.perform(OperatorOperations.ControlRebalance(action: .abort))
    #expect(cluster.service.view!.layout.version == 3 && cluster.service.view!.layout.table == before.table)
    #expect(try await cluster.run { self.isSettled(cluster) })
    #expect(cluster.lacking.isEmpty && faults(cluster).isEmpty)
    cluster.nodes.state.withLock { nodes in
      for block in blocks { #expect(nodes.values.count { $0.blocks.contains(block) } == 3) }
    }
    #expect(try await cluster.perform(OperatorOperations.GetRebalance()).state == .idle)
  }

  @Test("a node that dies while it is drained is not waited for; what it held gets its copies from the others")
  func deathOfDrained() async throws {
    let cluster = try await started()
    _ = cluster.store(200, seed: 4)
    _ = try await cluster.perform(OperatorOperations.DrainNode(node: node(6)))
    for _ in 0..<3 { try await cluster.step() }
    cluster.kill(node(6))
    #expect(try await cluster.run { self.isSettled(cluster) && cluster.lacking.isEmpty })
    #expect(try await cluster.perform(OperatorOperations.GetDrain(node: node(6))).state == .silent)
    cluster.revive(node(6))
    #expect(
      try await cluster.run { try await cluster.perform(OperatorOperations.GetDrain(node: node(6))).state == .drained },
      "when it comes back it gives up what it still has")
    #expect(cluster.lacking.isEmpty && faults(cluster).isEmpty)
  }
}
