import BlockModel
import BlockStore
import Platform
import StorageNode
import TestSupport
import Testing

@Suite("Giving space back") struct DiskMaintenanceTests {
  @Test("a deleted block is there to be taken back until its hold is over, then its space comes back, and what is live stays")
  func holdThenSpace() async throws {
    let folder = try TemporaryFolder()
    let time = ManualTime()
    let disk = try await TestStores.open(
      .segments, folder: folder.path("disk"), cluster: ClusterID.random(), keys: nil, capacityBytes: nil,
      pool: BlockingPool(name: "test", threads: 1))
    let registry = Metrics()
    let maintenance = DiskMaintenance([disk], hold: .seconds(3600), time: time, metrics: NodeMetrics(registry), log: .none)
    var random = Seeds.random()
    var blocks: [BlockID] = []
    for _ in 0..<40 { blocks.append(try await disk.append(try TestRecords.record(random.bytes(1_000_000))).block.id) }
    for block in blocks.dropFirst(8) { #expect(try await disk.quarantine(block, ifEpochBelow: 5, at: time.wall())) }
    let full = disk.space()

    time.advance(by: .seconds(3500))
    #expect(await maintenance.step(disk) == CompactionPace().idle, "there is nothing to do yet")
    #expect(try await disk.restore(blocks[39]), "inside the hold it is taken back")
    // Holds are kept in whole minutes, rounded up.
    time.advance(by: .seconds(200))
    for _ in 0..<20 { _ = await maintenance.step(disk) }
    try await eventually("the space is back") { disk.space().occupiedBytes < full.occupiedBytes / 2 }
    #expect(disk.quarantined(after: nil, limit: 100).isEmpty)
    #expect(try await !disk.restore(blocks[20]), "after the hold it is gone")
    for block in blocks.prefix(8) + [blocks[39]] { #expect(disk.status(of: block) != nil) }
    #expect(disk.space().blockCount == 9)
    let text = registry.render()
    #expect(text.contains("cairn_node_purged_blocks_total{disk=\"\(disk.disk.hex)\"} 31"), "\(text)")
    await disk.close()
  }

  @Test("trouble on a disk is waited out, and a closed disk is none")
  func trouble() async throws {
    let folder = try TemporaryFolder()
    let failing = FailingDisk()
    var configuration = SegmentStore.Configuration(folder: folder.path("disk"), cluster: ClusterID.random(), keys: nil)
    configuration.segmentBytes = 8 << 20
    configuration.fileSystem = failing
    let disk = try SegmentStore.open(configuration)
    let time = ManualTime()
    let maintenance = DiskMaintenance([disk], hold: .zero, time: time, metrics: NodeMetrics(), log: .none)
    var random = Seeds.random()
    let block = try await disk.append(try TestRecords.record(random.bytes(5000))).block.id
    #expect(try await disk.quarantine(block, ifEpochBelow: 5, at: time.wall()))
    time.advance(by: .seconds(120))
    failing.fail(.everything)
    #expect(await maintenance.step(disk) == DiskMaintenance.restAfterTrouble)
    #expect(disk.status(of: block) == nil)
    await disk.close()
    #expect(await maintenance.step(disk) == DiskMaintenance.restAfterTrouble)
  }
}
