import BlockModel
import ClusterLogic
import Coordinator
import HTTPTransport
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import Testing

@Suite("Disks that go, and what nodes may fetch") struct DiskLossTests {
  private func started() async throws -> FakeCluster {
    let cluster = FakeCluster()
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    return cluster
  }

  private func disk(_ number: UInt64, _ state: DiskState) -> DiskReport {
    DiskReport(id: DiskID(high: 8, low: number), state: state, reason: "test", capacityBytes: 1 << 40, usedBytes: 0, blockCount: 0)
  }

  /// One step in which a node says this of its disks.
  private func step(_ cluster: FakeCluster, _ disks: [DiskReport], of name: NodeID) async throws {
    cluster.time.advance(by: .milliseconds(100))
    for other in cluster.names {
      var heartbeat = cluster.heartbeat(other)
      if other == name { heartbeat.disks = disks }
      _ = try await cluster.perform(heartbeat)
    }
    await cluster.service.tick()
    try await Task.sleep(for: .milliseconds(2))
  }

  private func record(_ cluster: FakeCluster, _ name: NodeID) -> Set<DiskID> {
    Set(cluster.metadata.state.withLock { $0.nodes[name]?.disks } ?? [])
  }

  @Test("a disk that fails is given time to come back; then what it held is copied, once", arguments: [DiskState.fenced, .missing])
  func failing(state: DiskState) async throws {
    let cluster = try await started()
    let name = node(4)
    for _ in 0..<5 { try await step(cluster, [disk(1, .healthy), disk(2, .healthy)], of: name) }
    // The disk that the node had before is not reported any more: its partitions are looked at, and found to be whole.
    for _ in 0..<300 where !cluster.service.view!.filling.isEmpty {
      try await step(cluster, [disk(1, .healthy), disk(2, .healthy)], of: name)
    }
    #expect(cluster.service.view!.filling.isEmpty && record(cluster, name) == [disk(1, .healthy).id, disk(2, .healthy).id])
    let blocks = cluster.store(100, seed: 8)
    let held = cluster.nodes.state.withLock { $0[name]!.blocks }
    #expect(!held.isEmpty && !blocks.isEmpty)

    // 4 s of 5: nothing moves, its receipts count, and when it is back nothing ever happened.
    for _ in 0..<40 { try await step(cluster, [disk(1, .healthy), disk(2, state)], of: name) }
    #expect(cluster.service.view!.filling.isEmpty && record(cluster, name).count == 2)
    try await step(cluster, [disk(1, .healthy), disk(2, .healthy)], of: name)
    for _ in 0..<40 { try await step(cluster, [disk(1, .healthy), disk(2, state)], of: name) }
    #expect(cluster.service.view!.filling.isEmpty)

    cluster.nodes.state.withLock { $0[name]!.blocks = [] }
    for _ in 0..<20 { try await step(cluster, [disk(1, .healthy), disk(2, state)], of: name) }
    for _ in 0..<1000 where !cluster.lacking.isEmpty || !cluster.service.view!.filling.isEmpty {
      try await step(cluster, [disk(1, .healthy), disk(2, state)], of: name)
    }
    #expect(cluster.lacking.isEmpty && record(cluster, name) == [disk(1, .healthy).id])
    // It stays lost without being looked at again and again, also by the next coordinator.
    try await cluster.restart()
    for _ in 0..<100 { try await step(cluster, [disk(1, .healthy), disk(2, state)], of: name) }
    #expect(cluster.service.view!.filling.isEmpty)
    let copies = cluster.nodes.state.withLock { $0[name]!.copies }
    #expect(copies == held.count)
    // It comes back: its copies count again.
    for _ in 0..<5 { try await step(cluster, [disk(1, .healthy), disk(2, .healthy)], of: name) }
    #expect(record(cluster, name).count == 2 && cluster.service.view!.filling.isEmpty)
  }

  @Test("a node is told where other copies are only when it is to hold the block, and only live holders are named")
  func sources() async throws {
    let cluster = try await started()
    let block = cluster.store(1, seed: 3)[0]
    let replicas = cluster.service.view!.layout.replicas(of: block)
    let request = ClusterOperations.GetReplicaSources(block: block, size: 1000)
    let all = try await cluster.dispatcher.performOn(cluster.service, request, node: replicas[0])
    #expect(all.sources.map(\.node) == Array(replicas.dropFirst()))
    for source in all.sources { #expect(source.url.contains("op=record") && source.url.contains("node=\(source.node)")) }
    let stranger = cluster.names.first { !replicas.contains($0) }!
    await #expect(throws: Problem.self) { try await cluster.dispatcher.performOn(cluster.service, request, node: stranger) }
    await #expect(throws: Problem.self) { try await cluster.dispatcher.performOn(cluster.service, request) }
    cluster.kill(replicas[1])
    #expect(try await cluster.run { cluster.service.view!.members.contains { $0.node == replicas[1] && $0.state != .alive } })
    let left = try await cluster.dispatcher.performOn(cluster.service, request, node: replicas[0])
    #expect(left.sources.map(\.node) == [replicas[2]])
  }

  @Test("starting and pausing the scrub reaches every live node, and says which did not answer")
  func scrub() async throws {
    let cluster = try await started()
    cluster.nodes.state.withLock { $0[node(2)]!.isUp = false }
    let answer = try await cluster.perform(OperatorOperations.ControlScrub(action: .pause, node: nil))
    #expect(answer.silent == [node(2)] && answer.done == [1, 3, 4, 5, 6].map { node($0) })
    #expect(cluster.nodes.state.withLock { $0[node(3)]!.scrub } == .pause)
    let one = try await cluster.perform(OperatorOperations.ControlScrub(action: .start, node: node(3)))
    #expect(one.done == [node(3)] && cluster.nodes.state.withLock { $0[node(3)]!.scrub } == .start)
    #expect(cluster.nodes.state.withLock { $0[node(4)]!.scrub } == .pause)
    await #expect(throws: Problem.self) { try await cluster.perform(OperatorOperations.ControlScrub(action: .start, node: node(99))) }
  }
}
