import BlockModel
import ClusterLogic
import Coordinator
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// Which answers of nodes count. The simulated cluster found what happens when others do.
@Suite struct RepairDriverTests {
  private let target = node(4)

  private func started() async throws -> FakeCluster {
    let cluster = FakeCluster()
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    return cluster
  }

  /// One step in which the target reports only a disk of this number.
  private func step(_ cluster: FakeCluster, disk number: UInt64) async throws {
    cluster.time.advance(by: .milliseconds(100))
    for name in cluster.names {
      var heartbeat = cluster.heartbeat(name)
      if name == target {
        heartbeat.disks = [
          DiskReport(
            id: DiskID(high: 8, low: number), state: .healthy, reason: nil, capacityBytes: 1 << 40, usedBytes: 0, blockCount: 0)
        ]
      }
      _ = try await cluster.perform(heartbeat)
    }
    await cluster.service.tick()
    try await Task.sleep(for: .milliseconds(2))
  }

  /// Why a replica's digest may say nothing.
  enum Doubt: CaseIterable { case none, disk, aside }

  @Test(
    "equal digests fill a node only when the other one has all its disks and set no bad copy aside", arguments: Doubt.allCases)
  func doubtfulDigest(doubt: Doubt) async throws {
    let cluster = try await started()
    let blocks = cluster.store(100, seed: 5)
    let layout = cluster.service.view!.layout
    // The replica that the target is compared with lacks one block, as the target does after the loss.
    let found = blocks.lazy.compactMap { block -> (BlockID, NodeID)? in
      let others = layout.replicas(of: block).filter { $0 != target }
      return others.count == 2 ? (block, others[block.partition(bits: layout.partitionBits) % 2]) : nil
    }
    let (lost, reference) = try #require(found.first)
    let partition = lost.partition(bits: layout.partitionBits)
    cluster.nodes.state.withLock { nodes in
      nodes[reference]!.blocks.remove(lost)
      nodes[target]!.blocks.remove(lost)
      if doubt == .disk { nodes[reference]!.digestDisks = [] }
      if doubt == .aside { nodes[reference]!.asides = [lost] }
    }
    var wasFilling = false
    for _ in 0..<1000 where !wasFilling || cluster.service.view!.filling.contains(where: { $0.partition == partition }) {
      try await step(cluster, disk: 1)
      wasFilling = wasFilling || !cluster.service.view!.filling.isEmpty
    }
    #expect(wasFilling && !cluster.service.view!.filling.contains { $0.partition == partition })
    let isThere = cluster.nodes.state.withLock { $0[target]!.blocks.contains(lost) }
    #expect(isThere == (doubt != .none), "a digest without doubt spares looking")
  }

  @Test(
    "a node that loses its disk again and again while it is filled counts as filled only with what it has now", arguments: UInt64(1)...3)
  func lostAgain(seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    let cluster = try await started()
    let blocks = cluster.store(120, seed: seed)
    let layout = cluster.service.view!.layout
    let mine = blocks.filter { layout.replicas(of: $0).contains(target) }
    var disk: UInt64 = 0
    for step in 0..<150 {
      // Not so often that nothing is ever marked.
      if step < 100, random.next() % 4 == 0 {
        disk += 1
        cluster.nodes.state.withLock { $0[target]!.blocks = [] }
      }
      try await self.step(cluster, disk: disk)
      let rows = cluster.service.view!.filling.filter { $0.targets.contains(target) }.map(\.partition)
      let held = cluster.nodes.state.withLock { $0[target]!.blocks }
      let wrong = mine.filter { !held.contains($0) && !rows.contains($0.partition(bits: layout.partitionBits)) }
      try #require(wrong.isEmpty || disk == 0, "seed \(seed), step \(step): \(wrong.count) blocks are missing and nobody knows")
    }
    for _ in 0..<1000 where !cluster.lacking.isEmpty { try await step(cluster, disk: disk) }
    #expect(cluster.lacking.isEmpty && disk > 5)
  }
}
