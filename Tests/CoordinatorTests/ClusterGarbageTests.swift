import BlockModel
import ClusterLogic
import Coordinator
import MetadataStore
import ServiceAPI
import Synchronization
import Testing

@Suite struct ClusterGarbageTests {
  /// A cluster of six nodes with 100 blocks, of which the first so many are garbage.
  private func cluster(
    garbage count: Int, cause: GarbageCause = .dereferenced, interval: Duration? = nil, shortestHold: Duration = .zero
  ) async throws -> (FakeCluster, FakeGarbage, [BlockID]) {
    let garbage = FakeGarbage()
    let cluster = FakeCluster(garbage: garbage) { configuration in
      configuration.garbage.grace = .seconds(5)
      configuration.garbageInterval = interval
      configuration.shortestHold = shortestHold
    }
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    let blocks = cluster.store(100, seed: 4)
    garbage.state.withLock { state in for block in blocks.prefix(count) { state.causes[block] = cause } }
    cluster.metadata.state.withLock { state in state.live.removeAll { blocks.prefix(count).contains($0.id) } }
    return (cluster, garbage, blocks)
  }

  private func held(_ cluster: FakeCluster) -> Set<BlockID> {
    cluster.nodes.state.withLock { nodes in nodes.values.reduce(into: []) { $0.formUnion($1.blocks) } }
  }

  private func status(_ cluster: FakeCluster) async throws -> GarbageStatus { try await cluster.perform(OperatorOperations.GetGarbage()) }

  private func finish(_ cluster: FakeCluster) async throws -> GarbageStatus {
    #expect(try await cluster.run { try await status(cluster).state == .idle })
    return try await status(cluster)
  }

  @Test("a run waits for its grace, deletes what nothing wants at every holder under its own epoch, and URLs carry that epoch")
  func run() async throws {
    let (cluster, garbage, blocks) = try await cluster(garbage: 30)
    try await cluster.step()
    let begun = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    #expect(begun.state == .collecting && begun.run?.phase == .settling)
    #expect(cluster.service.view?.gcEpoch == 2)
    await #expect(throws: Problem.self) { try await cluster.perform(OperatorOperations.StartGarbage(plan: false)) }
    let ended = try await finish(cluster)
    #expect(ended.run?.outcome == .finished && ended.run?.deleted.dereferenced == 30 && ended.run?.deleted.copies == 90)
    #expect(held(cluster) == Set(blocks.dropFirst(30)))
    let epochs = cluster.nodes.state.withLock { nodes in Set(nodes.values.flatMap(\.deleted.values)) }
    #expect(epochs == [2] && garbage.state.withLock { $0.log.count } == 30)
  }

  @Test("while a node purges sooner than uploads and URLs end nothing is collected, neither when told to nor when due")
  func shortHold() async throws {
    let (cluster, garbage, _) = try await cluster(garbage: 30, interval: .seconds(60), shortestHold: .seconds(100))
    cluster.holds.withLock { holds in for name in cluster.names { holds[name] = name == cluster.names[2] ? 99 : 100 } }
    try await cluster.step()
    let problem = await #expect(throws: Problem.self) { try await cluster.perform(OperatorOperations.StartGarbage(plan: false)) }
    #expect(problem?.kind == .conflict && problem?.detail.contains("\(cluster.names[2])") == true)
    for _ in 0..<200 { try await cluster.step() }
    #expect(garbage.state.withLock { $0.epoch } == 1 && held(cluster).count == 100)
    cluster.holds.withLock { $0[cluster.names[2]] = 100 }
    try await cluster.step()
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    #expect(try await finish(cluster).run?.deleted.blocks == 30)
  }

  @Test("a plan tells and changes nothing")
  func plan() async throws {
    let (cluster, garbage, _) = try await cluster(garbage: 7, cause: .unlogged)
    try await cluster.step()
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: true))
    let planned = try await finish(cluster)
    #expect(planned.plan?.marked.unlogged == 7 && planned.plan?.marked.copies == 21 && planned.plan?.marked.held == 300)
    #expect(planned.run == nil && held(cluster).count == 100 && garbage.state.withLock { $0.epoch } == 1)
    #expect(cluster.service.view?.gcEpoch == 1)
  }

  @Test("a dead node is skipped and keeps what it has; when it is back the next run finds it")
  func deadNode() async throws {
    let (cluster, _, _) = try await cluster(garbage: 30)
    let dead = cluster.names[1]
    let kept = cluster.nodes.state.withLock { $0[dead]!.blocks }
    cluster.kill(dead)
    #expect(try await cluster.run { cluster.service.view!.members.first { $0.node == dead }?.state != .alive })
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    let first = try await finish(cluster)
    #expect(first.run?.outcome == .finished && first.run?.deleted.blocks == 30)
    #expect(cluster.nodes.state.withLock { $0[dead]!.deleted.isEmpty })
    cluster.revive(dead)
    #expect(try await cluster.run { cluster.service.view!.members.first { $0.node == dead }?.state == .alive })
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    let second = try await finish(cluster)
    #expect(second.run?.number == 2 && second.run?.deleted.deletedBefore ?? 0 > 0)
    let gone = cluster.nodes.state.withLock { Set($0[dead]!.deleted.keys) }
    #expect(!gone.isEmpty && gone.isSubset(of: kept))
  }

  @Test("a coordinator that dies leaves its run to the next one")
  func takeover() async throws {
    let (cluster, garbage, blocks) = try await cluster(garbage: 30)
    try await cluster.step()
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    for _ in 0..<20 { try await cluster.step() }
    try await cluster.restart()
    #expect(garbage.state.withLock { $0.runs.count } == 1)
    #expect(try await cluster.run { garbage.state.withLock { $0.runs.last?.outcome } == .finished })
    #expect(held(cluster) == Set(blocks.dropFirst(30)) && garbage.state.withLock { $0.runs.count } == 1)
  }

  @Test("undo takes back everything and holds; release lets the next run go")
  func undo() async throws {
    let (cluster, garbage, blocks) = try await cluster(garbage: 30)
    try await cluster.step()
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    _ = try await finish(cluster)
    _ = try await cluster.perform(OperatorOperations.UndoGarbage(sinceRun: nil))
    let undone = try await finish(cluster)
    #expect(undone.undo == GarbageUndo(restoredCopies: 90, nodesDone: 6, nodesTotal: 6, skipped: []))
    #expect(held(cluster) == Set(blocks) && undone.hold != nil)
    await #expect(throws: Problem.self) { try await cluster.perform(OperatorOperations.StartGarbage(plan: false)) }
    #expect(try await cluster.perform(OperatorOperations.ReleaseGarbage()).hold == nil)
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    #expect(try await finish(cluster).run?.deleted.deletedBefore == 30)
    await #expect(throws: Problem.self) { try await cluster.perform(OperatorOperations.UndoGarbage(sinceRun: 77)) }
    _ = garbage
  }

  @Test("with a backup's database nodes take back what was deleted since by themselves, when all of them are there")
  func undoAfterRestore() async throws {
    let (cluster, garbage, blocks) = try await cluster(garbage: 30)
    try await cluster.step()
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    _ = try await finish(cluster)
    #expect(held(cluster) == Set(blocks.dropFirst(30)))
    garbage.state.withLock { state in
      state.isUndoDue = true
      state.hold = "restored"
    }
    cluster.kill(node(3))
    try await cluster.restart()
    for _ in 0..<200 { try await cluster.step() }
    #expect(garbage.state.withLock { $0.isUndoDue }, "one node may have what the others lack")
    cluster.revive(node(3))
    #expect(try await cluster.run { garbage.state.withLock { !$0.isUndoDue } })
    #expect(held(cluster) == Set(blocks) && garbage.state.withLock { $0.hold } == "restored")
  }

  @Test("runs begin by themselves when their time has come, and not while collecting is on hold")
  func interval() async throws {
    let (cluster, garbage, _) = try await cluster(garbage: 30, interval: .seconds(60))
    #expect(try await cluster.run { garbage.state.withLock { $0.runs.last?.outcome } == .finished })
    #expect(garbage.state.withLock { $0.runs.map(\.cause) } == ["interval"])
    try await garbage.holdGarbage("a test")
    for _ in 0..<800 { try await cluster.step() }
    #expect(garbage.state.withLock { $0.runs.count } == 1)
    try await garbage.holdGarbage(nil)
    #expect(try await cluster.run { garbage.state.withLock { $0.runs.count } == 2 })
  }

  @Test("what nodes deleted is held against the log by an audit")
  func audit() async throws {
    let (cluster, garbage, blocks) = try await cluster(garbage: 30)
    try await cluster.step()
    _ = try await cluster.perform(OperatorOperations.StartGarbage(plan: false))
    _ = try await finish(cluster)
    func fourth() async throws -> AuditFinding? {
      _ = try await cluster.perform(OperatorOperations.StartAudit())
      while try await cluster.perform(OperatorOperations.GetAudit()).running { try await Task.sleep(for: .milliseconds(5)) }
      return try await cluster.perform(OperatorOperations.GetAudit()).findings?.first { $0.invariant == 4 }
    }
    let sound = try await fourth()
    #expect(sound?.holds == true && sound?.checked == 90)
    garbage.state.withLock { $0.log[blocks[3]] = nil }
    let broken = try await fourth()
    #expect(broken?.holds == false && broken?.violations.count == 3)
  }
}
