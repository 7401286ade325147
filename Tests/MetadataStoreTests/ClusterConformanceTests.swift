import BlockModel
import ClusterLogic
import MetadataStore
import ServiceAPI
import Testing

@Suite("The cluster's rows")
struct ClusterConformanceTests {
  @Test("layouts follow each other by number, and who is late is told", arguments: Engine.allCases)
  func layouts(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let next = Fixture.layout(version: 2)
    let filling = [FillingPartition(partition: 3, targets: [Fixture.node("n1")], sources: [Fixture.node("n4"), Fixture.node("n5")])]
    try await fixture.store.commitLayout(next, expectedVersion: 1, filling: filling)
    #expect(try await fixture.store.currentLayout() == next)
    #expect(try await fixture.store.layoutHistory(limit: 5).map(\.version) == [2, 1])
    #expect(try await fixture.store.fillingPartitions() == filling)
    await expectConflict { try await fixture.store.commitLayout(Fixture.layout(version: 2), expectedVersion: 1, filling: []) }
    await expectConflict { try await fixture.store.commitLayout(Fixture.layout(version: 9), expectedVersion: 2, filling: []) }
    await expectConflict { try await fixture.store.updateFilling([], filled: [], layoutVersion: 1) }
    await expectConflict { try await fixture.store.clearRepairs([], layoutVersion: 1, gcEpoch: 1) }
    try await fixture.store.updateFilling([FillingPartition(partition: 3, targets: [], sources: [])], filled: [], layoutVersion: 2)
    #expect(try await fixture.store.fillingPartitions().isEmpty)
  }

  @Test("what is staged, why layouts came, and how the way to one stands are remembered", arguments: Engine.allCases)
  func staged(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    #expect(try await fixture.store.stagedRoles().isEmpty)
    #expect(try await fixture.store.rebalance() == RebalanceRecord())
    let roles = [
      StagedRole(node: Fixture.node("n1"), role: nil),
      StagedRole(node: Fixture.node("n2"), role: .init(zone: ZoneID("z9")!, region: RegionID("eu")!, weight: 0.5)),
    ]
    try await fixture.store.saveStagedRoles(roles.reversed())
    #expect(try await fixture.store.stagedRoles() == roles)
    let paused = RebalanceRecord(isPaused: true, origin: 1, steps: 12)
    let filling = [
      FillingPartition(partition: 3, targets: [], sources: [Fixture.node("n4")], arrivals: [Fixture.node("n1"), Fixture.node("n2")])
    ]
    try await fixture.store.commitLayout(
      Fixture.layout(version: 2), expectedVersion: 1, filling: filling,
      note: LayoutNote(cause: "an operator's change", clearsStaged: true, rebalance: paused))
    #expect(try await fixture.store.stagedRoles().isEmpty)
    #expect(try await fixture.store.rebalance() == paused)
    #expect(try await fixture.store.fillingPartitions() == filling, "a source that has not retired keeps its row")
    let records = try await fixture.store.layoutRecords(limit: 9)
    #expect(records.map(\.layout.version) == [2, 1] && records[0].cause == "an operator's change" && records[0].committedAt != nil)
    // A refused commit changes none of it.
    try await fixture.store.saveStagedRoles(roles)
    await expectConflict {
      try await fixture.store.commitLayout(
        Fixture.layout(version: 2), expectedVersion: 1, filling: [], note: LayoutNote(cause: "late", clearsStaged: true, rebalance: .init())
      )
    }
    #expect(try await fixture.store.stagedRoles() == roles)
    #expect(try await fixture.store.rebalance() == paused)
    try await fixture.store.saveRebalance(RebalanceRecord())
    #expect(try await fixture.store.rebalance() == RebalanceRecord())
    #expect(try await fixture.store.tuning().isEmpty)
    let tuning = [ClusterTuning.Value(key: .repairRate, value: 1 << 40), ClusterTuning.Value(key: .outAfter, value: 900)]
    try await fixture.store.saveTuning(tuning)
    #expect(try await fixture.store.tuning() == tuning)
    try await fixture.store.saveTuning([tuning[1]])
    #expect(try await fixture.store.tuning() == [tuning[1]], "what is not named any more is gone")
    var node = Fixture.record("n1")
    node.region = RegionID("eu")!
    try await fixture.store.saveNode(node)
    #expect(try await fixture.store.nodes().first == node)
  }

  private func expectConflict(_ body: () async throws -> Void) async {
    do {
      try await body()
      Issue.record("not refused")
    } catch { #expect((error as? MetadataError)?.code == .conflict) }
  }

  @Test("of those who replace the lease's row at once one succeeds, and only over what they saw", arguments: Engine.allCases)
  func lease(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let store = try #require(fixture.store as? any JobsLeaseStore)
    let free = JobsLeaseRow(holder: 0, beat: 0)
    #expect(try await store.jobsLease() == free)
    let winners = try await withThrowingTaskGroup(of: UInt64?.self) { group in
      for holder in UInt64(1)...8 {
        group.addTask { try await store.replaceJobsLease(free, by: JobsLeaseRow(holder: .max - holder, beat: 1)) ? holder : nil }
      }
      return try await group.reduce(into: [UInt64]()) { if let winner = $1 { $0.append(winner) } }
    }
    #expect(winners.count == 1)
    #expect(try await store.jobsLease() == JobsLeaseRow(holder: .max - (winners.first ?? 0), beat: 1))
    #expect(try await !store.replaceJobsLease(free, by: JobsLeaseRow(holder: 3, beat: 2)))
  }

  @Test("generations only grow, nodes and founders are remembered", arguments: Engine.allCases)
  func keeping(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let first = try await fixture.store.raiseGeneration()
    #expect(try await fixture.store.raiseGeneration() == first + 1)
    var node = Fixture.record("n1")
    node.isOut = true
    node.disks = [DiskID(high: 1, low: 1), DiskID(high: 2, low: 2)]
    try await fixture.store.saveNode(node)
    #expect(try await fixture.store.nodes().first == node)
    let (n1, n2) = (Fixture.node("n1"), Fixture.node("n2"))
    #expect(try await fixture.store.saveDataKeyEpoch(.init(epoch: 1, founder: n1, check: "")).founder == n1)
    #expect(try await fixture.store.saveDataKeyEpoch(.init(epoch: 1, founder: n2, check: "zz")) == .init(epoch: 1, founder: n1, check: ""))
    #expect(try await fixture.store.saveDataKeyEpoch(.init(epoch: 1, founder: n1, check: "ab")).check == "ab")
    #expect(try await fixture.store.saveDataKeyEpoch(.init(epoch: 1, founder: n1, check: "cd")).check == "ab")
    #expect(try await fixture.store.dataKeyEpochs().count == 1)
    #expect(try await fixture.store.clusterIdentity() == Fixture.identity())
  }

  @Test("live blocks come by partition, in order, page by page; counts say how many", arguments: Engine.allCases)
  func liveBlocks(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let blocks = (1...40).map { Fixture.block(UInt64($0)) }
    for (number, block) in blocks.enumerated() { try await fixture.put("/\(number)", [block], as: ada) }
    var found: [BlockID] = []
    for partition in 0..<16 {
      var after: BlockID?
      while true {
        let page = try await fixture.store.liveBlocks(inPartition: partition, bits: 4, after: after, limit: 2)
        #expect(page.allSatisfy { $0.id.partition(bits: 4) == partition && $0.isReferenced && $0.size == 1000 })
        found += page.map(\.id)
        guard page.count == 2 else { break }
        after = page.last?.id
      }
    }
    #expect(found == blocks.map(\.id).sorted())
    #expect(try await fixture.store.liveBlocks(inPartition: 0, bits: 0, after: nil, limit: 100).count == 40)
    let counts = try await fixture.store.referencedBlockCounts()
    #expect(counts.count == 16 && counts.reduce(0, +) == 40)
    #expect(counts.indices.allSatisfy { partition in counts[partition] == blocks.count { $0.id.partition(bits: 4) == partition } })
  }

  @Test("repairs page by age, also when the last row of a page was repaired meanwhile", arguments: Engine.allCases)
  func repairPages(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let blocks = (1...5).map { Fixture.block(UInt64($0)) }
    for (number, block) in blocks.enumerated() { try await fixture.put("/\(number)", [block], as: ada, copies: 2) }
    let first = try await fixture.store.repairs(after: nil, limit: 2).map(\.block)
    #expect(first == [blocks[0].id, blocks[1].id])
    try await fixture.store.clearRepairs([blocks[1].id], layoutVersion: 1, gcEpoch: 1)
    #expect(try await fixture.store.repairs(after: first.last, limit: 2).map(\.block) == [blocks[2].id, blocks[3].id])
  }

  @Test("a node's new disk takes the old one's receipts out of the count", arguments: Engine.allCases)
  func newDisk(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    let state = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    try await fixture.store.addReceipts(Fixture.receipts(state.uploadID, block), to: state.uploadID, for: ada)
    #expect(try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada).missing.isEmpty)
    for name in Fixture.replicas(block.id).prefix(2) {
      try await fixture.store.saveNode(Fixture.record(name, disk: DiskID(high: 8, low: 8)))
    }
    let refusal = await problem { try await fixture.store.completeUpload(Completion(upload: state.uploadID), for: ada) }
    #expect(refusal?.kind == .missingBlocks)
  }
}
