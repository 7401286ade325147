import BlockModel
import ClusterLogic
import Coordinator
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import Testing

@Suite struct ClusterServiceTests {
  private func started(nodes: Int = 6) async throws -> FakeCluster {
    let cluster = FakeCluster(nodes: nodes)
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    return cluster
  }

  @Test("the first layout is committed when the expected number of nodes has come, and not before")
  func firstLayout() async throws {
    let cluster = FakeCluster(nodes: 6)
    try await cluster.start()
    for name in cluster.names.prefix(5) { _ = try await cluster.perform(cluster.heartbeat(name)) }
    await cluster.service.tick()
    #expect(cluster.service.view!.layout.version == 0)
    let empty = try await cluster.perform(OperatorOperations.GetStatus())
    #expect(empty.health == .unavailable)
    try await cluster.step()
    try await cluster.step()
    let layout = cluster.service.view!.layout
    #expect(layout.version == 1 && layout.nodes.map(\.id) == cluster.names && cluster.service.view!.filling.isEmpty)
    let stored = try await cluster.metadata.currentLayout()
    #expect(stored == layout)
    let status = try await cluster.perform(OperatorOperations.GetStatus())
    #expect(status.health == .healthy && status.reasons.isEmpty && status.nodes.count == 6)
  }

  @Test("a killed node becomes suspect, then out; its blocks get their copies elsewhere; nothing is lacking then")
  func nodeLost() async throws {
    let cluster = try await started()
    _ = cluster.store(300, seed: 1)
    cluster.kill(node(2))
    #expect(try await cluster.run { cluster.service.view!.members[1].state == .suspect })
    #expect(cluster.service.view!.layout.version == 1)
    cluster.time.advance(by: .seconds(1))
    for name in cluster.names where name != node(2) { _ = try await cluster.perform(cluster.heartbeat(name)) }
    let degraded = try await cluster.perform(OperatorOperations.GetStatus())
    #expect(degraded.health == .degraded && degraded.underReplicatedBlocks > 0 && degraded.referencedBlocks == 300)
    #expect(try await cluster.run { cluster.service.view!.layout.version == 2 && cluster.service.view!.filling.isEmpty })
    #expect(cluster.lacking.isEmpty)
    #expect(cluster.service.view!.layout.node(node(2)) == nil)
    #expect(try await cluster.metadata.nodes().first { $0.id == node(2) }?.isOut == true)
    cluster.time.advance(by: .milliseconds(900))
    try await cluster.step()
    let healed = try await cluster.perform(OperatorOperations.GetStatus())
    #expect(healed.underReplicatedBlocks == 0 && healed.jobs.isEmpty)
  }

  @Test("a node that comes back after out gets its old place, and only what it missed is copied")
  func nodeBack() async throws {
    let cluster = try await started()
    let first = cluster.service.view!.layout
    _ = cluster.store(200, seed: 2)
    cluster.kill(node(3))
    #expect(try await cluster.run { cluster.service.view!.layout.version == 2 && cluster.service.view!.filling.isEmpty })
    let missed = cluster.store(50, seed: 3)
    cluster.revive(node(3))
    #expect(try await cluster.run { cluster.service.view!.layout.version == 3 && cluster.service.view!.filling.isEmpty })
    #expect(cluster.service.view!.layout.table == first.table)
    #expect(cluster.lacking.isEmpty)
    let copied = cluster.nodes.state.withLock { $0[node(3)]!.copies }
    #expect(copied == missed.count { first.replicas(of: $0).contains(node(3)) })
    #expect(try await cluster.run { try await cluster.metadata.nodes().first { $0.id == node(3) }?.isOut == false })
  }

  @Test("a coordinator that starts again finishes what the one before it began")
  func restart() async throws {
    let cluster = try await started()
    _ = cluster.store(200, seed: 4)
    cluster.kill(node(5))
    #expect(try await cluster.run { cluster.service.view!.layout.version == 2 })
    try await cluster.restart()
    #expect(cluster.service.view!.generation == 2 && cluster.service.view!.layout.version == 2)
    #expect(try await cluster.run { cluster.service.view!.filling.isEmpty })
    #expect(cluster.lacking.isEmpty)
    cluster.revive(node(5))
    #expect(try await cluster.run { cluster.service.view!.layout.version == 3 && cluster.service.view!.filling.isEmpty })
    #expect(cluster.lacking.isEmpty)
  }

  @Test("when too many nodes fall silent the layout stays, and the status says why")
  func brake() async throws {
    let cluster = try await started()
    _ = cluster.store(50, seed: 5)
    for number in [1, 2, 3] { cluster.kill(node(number)) }
    _ = try await cluster.run(steps: 150) { false }
    #expect(cluster.service.view!.layout.version == 1)
    let status = try await cluster.perform(OperatorOperations.GetStatus())
    #expect(status.reasons.contains { $0.contains("nothing is moved") })
    for number in [1, 2, 3] { cluster.revive(node(number)) }
    #expect(try await cluster.run { cluster.service.view!.members.allSatisfy { $0.state == .alive } })
    #expect(cluster.service.view!.layout.version == 1)
  }

  @Test("an operator who knows that the silent nodes are down indeed releases the brake, and repair goes on")
  func brakeReleased() async throws {
    let cluster = try await started()
    _ = cluster.store(50, seed: 15)
    // Two of a zone and one more: every block keeps a copy.
    for number in [1, 4, 2] { cluster.kill(node(number)) }
    _ = try await cluster.run(steps: 150) { false }
    #expect(cluster.service.view!.layout.version == 1)
    _ = try await cluster.perform(OperatorOperations.StartRepair(node: nil, block: nil, partition: nil, overridesBrake: true))
    #expect(
      try await cluster.run { cluster.service.view!.layout.version > 1 && cluster.service.view!.filling.isEmpty && cluster.lacking.isEmpty }
    )
    #expect(cluster.service.view!.layout.nodes.map(\.id) == [node(3), node(5), node(6)])
  }

  @Test("rot that a node reports is repaired")
  func rot() async throws {
    let cluster = try await started()
    let blocks = cluster.store(20, seed: 6)
    let victim = cluster.service.view!.layout.replicas(of: blocks[0])[0]
    cluster.nodes.state.withLock { _ = $0[victim]!.blocks.remove(blocks[0]) }
    _ = try await cluster.perform(cluster.heartbeat(victim, rotten: [blocks[0]]))
    #expect(try await cluster.run { cluster.metadata.state.withLock { $0.repairs.isEmpty } })
    #expect(cluster.lacking.isEmpty)
  }

  @Test("a database that is away stops nothing for good: the change is made when it is back")
  func databaseAway() async throws {
    let cluster = try await started()
    _ = cluster.store(60, seed: 7)
    cluster.kill(node(1))
    _ = try await cluster.run { cluster.service.view!.members[0].state == .suspect }
    cluster.metadata.state.withLock { $0.isBroken = true }
    _ = try await cluster.run(steps: 100) { false }
    #expect(cluster.service.view!.layout.version == 1)
    cluster.metadata.state.withLock { $0.isBroken = false }
    #expect(try await cluster.run { cluster.service.view!.layout.version == 2 && cluster.service.view!.filling.isEmpty })
    #expect(cluster.lacking.isEmpty)
  }

  @Test("a wiped disk makes the node's partitions be filled again")
  func wipedDisk() async throws {
    let cluster = try await started()
    _ = cluster.store(100, seed: 8)
    cluster.nodes.state.withLock { $0[node(4)]!.blocks = [] }
    var heartbeat = cluster.heartbeat(node(4))
    heartbeat.disks[0].id = DiskID(high: 99, low: 99)
    _ = try await cluster.perform(heartbeat)
    await cluster.service.tick()
    #expect(!cluster.service.view!.filling.isEmpty)
    for _ in 0..<3000 where !cluster.lacking.isEmpty || !cluster.service.view!.filling.isEmpty {
      cluster.time.advance(by: .milliseconds(100))
      for name in cluster.names { _ = try await cluster.perform(name == node(4) ? heartbeat : cluster.heartbeat(name)) }
      await cluster.service.tick()
      try await Task.sleep(for: .milliseconds(2))
    }
    #expect(cluster.lacking.isEmpty && cluster.service.view!.filling.isEmpty)
  }

  @Test("a heartbeat under another node's token, with a bad address, or from a newer cluster is refused")
  func refused() async throws {
    let cluster = try await started()
    await #expect(throws: Problem.self) {
      _ = try await cluster.dispatcher.performOn(cluster.service, cluster.heartbeat(node(1)), node: node(2))
    }
    for address in ["", "ftp://x:1", "http://x:1/path", "http://", "http://a b:1"] {
      var heartbeat = cluster.heartbeat(node(1))
      heartbeat.address = address
      await #expect(throws: Problem.self) { _ = try await cluster.perform(heartbeat) }
    }
    var twin = cluster.heartbeat(node(1))
    twin.address = "http://elsewhere:9"
    twin.processID = 4711
    await #expect { _ = try await cluster.perform(twin) } throws: { ($0 as? Problem)?.kind == .conflict }
    var future = cluster.heartbeat(node(1))
    future.generation = 99
    await #expect { _ = try await cluster.perform(future) } throws: { ($0 as? Problem)?.kind == .fenced }
    cluster.kill(node(2))
    for _ in 0..<100 {
      cluster.time.advance(by: .milliseconds(100))
      await cluster.service.tick()
    }
    #expect(cluster.service.view!.layout.version == 1, "a fenced coordinator changes nothing any more")
  }

  @Test("a view comes at once when it is news, and a poll ends when something changes")
  func views() async throws {
    let cluster = try await started()
    let view = try await cluster.perform(ClusterOperations.GetView(revision: 0, waitMilliseconds: 30_000))
    #expect(view == cluster.service.view)
    async let next = cluster.perform(ClusterOperations.GetView(revision: view.revision, waitMilliseconds: 60_000))
    cluster.kill(node(1))
    #expect(try await cluster.run { cluster.service.view!.members[0].state == .suspect })
    #expect(try await next.members[0].state == .suspect)
    let reply = cluster.replies.withLock { $0[node(2)]! }
    #expect(reply.generation == 1 && reply.intervalMilliseconds == 200)
    var known = cluster.heartbeat(node(2))
    known.viewRevision = cluster.service.view!.revision
    let nothing = try await cluster.perform(known)
    #expect(nothing.view == nil && nothing.update == nil)
    // Who has the layout gets the rest only.
    known.viewRevision = 1
    known.layoutVersion = cluster.service.view!.layout.version
    let rest = try await cluster.perform(known)
    let present = cluster.service.view!
    #expect(rest.view == nil && rest.update != nil)
    #expect(rest.update.flatMap { present.updated(by: $0) } == narrowed(present, for: known.node))
    known.layoutVersion = 99
    #expect(try await cluster.perform(known).view == narrowed(present, for: known.node))
  }

  /// Of partitions on their way, those that the node gives up.
  private func narrowed(_ view: ClusterView, for node: NodeID) -> ClusterView {
    var view = view
    view.filling = view.filling.filter { $0.sources.contains(node) }
    return view
  }

  @Test("a node that gets whatever changed has what one gets that asks for all, through deaths, returns and layouts")
  func updates() async throws {
    let cluster = try await started()
    let follower = node(2)
    var known: ClusterView?
    var (updates, layouts, small) = (0, 0, 0)
    for step in 0..<400 {
      if step == 20 || step == 200 { cluster.kill(node(1)) }
      if step == 150 { cluster.revive(node(1)) }
      if step == 300 { _ = try await cluster.perform(OperatorOperations.AssignRole(node: node(3), zone: nil, region: nil, weight: 2)) }
      if step == 310, let version = cluster.service.view?.layout.version {
        _ = try await cluster.perform(OperatorOperations.ApplyLayout(version: version + 1, hash: nil))
      }
      try await cluster.step()
      // Not at every step: some news are several changes at once.
      guard step % 3 == 0 else { continue }
      var heartbeat = cluster.heartbeat(follower)
      heartbeat.viewRevision = known?.revision ?? 0
      heartbeat.layoutVersion = known?.layout.version
      let reply = try await cluster.perform(heartbeat)
      if let update = reply.update {
        updates += 1
        layouts += update.layoutChanges.count
        if update.since != nil && update.members.count < 3 { small += 1 }
        known = try #require(known?.updated(by: update), "step \(step)")
      } else if let view = reply.view {
        known = view
      }
      heartbeat.viewRevision = 0
      heartbeat.layoutVersion = nil
      #expect(known == (try await cluster.perform(heartbeat)).view, "step \(step)")
    }
    #expect(updates > 5 && layouts >= 2 && small > 3, "\(updates) updates, \(layouts) with layouts, \(small) small")
  }

  @Test("a full recheck heals rotten and missing copies, and reports when all are there")
  func recheck() async throws {
    let cluster = try await started()
    let blocks = cluster.store(100, seed: 9)
    let layout = cluster.service.view!.layout
    cluster.nodes.state.withLock { nodes in
      for block in blocks.prefix(5) { nodes[layout.replicas(of: block)[0]]!.rotten.insert(block) }
      for block in blocks.suffix(5) { nodes[layout.replicas(of: block)[1]]!.blocks.remove(block) }
    }
    let begun = try await cluster.perform(OperatorOperations.StartRepair(node: nil, block: nil, partition: nil))
    #expect(begun.running && begun.partitionsTotal == 16)
    #expect(try await cluster.run { try await !cluster.perform(OperatorOperations.GetRepair()).running })
    let done = try await cluster.perform(OperatorOperations.GetRepair())
    #expect(done.id == begun.id && done.blocksCopied == 10 && done.failures.isEmpty && done.partitionsDone == 16)
    #expect(cluster.lacking.isEmpty)
    await #expect { _ = try await cluster.perform(OperatorOperations.StartRepair(node: nil, block: nil, partition: 16)) } throws: {
      ($0 as? Problem)?.kind == .malformed
    }
    _ = try await cluster.perform(OperatorOperations.StartRepair(node: nil, block: blocks[3], partition: nil))
    #expect(try await cluster.run { try await !cluster.perform(OperatorOperations.GetRepair()).running })
  }

  @Test("a recheck begun while a node has just died ends with every block on all its new replicas")
  func recheckAfterKill() async throws {
    let cluster = try await started()
    _ = cluster.store(100, seed: 10)
    cluster.kill(node(6))
    _ = try await cluster.perform(OperatorOperations.StartRepair(node: nil, block: nil, partition: nil))
    #expect(try await cluster.run { try await !cluster.perform(OperatorOperations.GetRepair()).running })
    #expect(cluster.service.view!.layout.version == 2 && cluster.lacking.isEmpty)
    #expect(try await cluster.perform(OperatorOperations.GetRepair()).failures.isEmpty)
  }

  @Test("a block's explanation says who uses it and what its copies are worth")
  func explain() async throws {
    let cluster = try await started()
    let blocks = cluster.store(10, seed: 11)
    let replicas = cluster.service.view!.layout.replicas(of: blocks[0])
    let extra = cluster.names.first { !replicas.contains($0) }!
    cluster.nodes.state.withLock { nodes in
      nodes[replicas[1]]!.rotten.insert(blocks[0])
      nodes[replicas[2]]!.isUp = false
      nodes[extra]!.blocks.insert(blocks[0])
    }
    let explanation = try await cluster.perform(OperatorOperations.ExplainBlock(block: blocks[0]))
    #expect(explanation.size == 1000 && explanation.uses.map(\.path) == ["/a"])
    #expect(explanation.copies.map(\.node) == replicas + [extra])
    #expect(explanation.copies.map(\.role) == ["replica", "replica", "replica", "extra"])
    #expect(explanation.copies.map(\.state) == [.valid, .rotten, nil, .valid])
  }
}
