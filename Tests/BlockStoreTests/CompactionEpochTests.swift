import BlockModel
import BlockStore
import Platform
import Testing

/// What compaction may forget of a block's GC epoch: nothing.
@Suite struct CompactionEpochTests {
  private static func configuration(_ disk: SimulatedDisk) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: "/disk-1", cluster: StoreKind.cluster, keys: nil)
    configuration.segmentBytes = 128 << 10
    configuration.checkpointRecords = 1_000_000
    configuration.readThreads = 1
    configuration.fileSystem = disk
    configuration.compaction.leastGainBytes = 1
    return configuration
  }

  @Test(
    "the epoch that a block was taken back under outlives the compaction of the record that said so, whatever came after it",
    arguments: [false, true])
  func epochOfRestore(isQuarantinedAgain: Bool) async throws {
    let disk = SimulatedDisk(seed: 1)
    let store = try SegmentStore.open(Self.configuration(disk))
    let now = WallTime(seconds: 1_800_000_000)
    func append(_ number: UInt64, bytes: Int, epoch: UInt64) async throws -> BlockID {
      try await store.append(Fixtures.record(Fixtures.bytes(bytes, seed: number), gcEpoch: epoch, keys: nil)).block.id
    }
    // The first segment stays as it is: all in it is live.
    let block = try await append(1, bytes: 60_000, epoch: 1)
    _ = try await append(2, bytes: 50_000, epoch: 1)
    #expect(try await store.quarantine(block, ifEpochBelow: 10, at: now))
    // The second one has the record that took the block back, and will have nothing else that lives.
    let passing = try await append(3, bytes: 60_000, epoch: 1)
    #expect(try await append(1, bytes: 60_000, epoch: 17) == block)
    if isQuarantinedAgain { #expect(try await store.quarantine(block, ifEpochBelow: 30, at: now)) }
    _ = try await append(4, bytes: 60_000, epoch: 1)
    _ = try await append(5, bytes: 60_000, epoch: 1)
    #expect(try await store.delete(passing, ifEpochBelow: 9))
    var removed: Int64 = 0
    while let report = try await store.compact(limitBytes: 1 << 20) { removed += report.removedBytes }
    #expect(removed > 0)

    let again = try SegmentStore.open(Self.configuration(disk.afterCrash(losesPower: true)))
    #expect(!again.openReport.usedCheckpoint)
    if isQuarantinedAgain {
      #expect(again.quarantined(after: nil, limit: 9).map(\.block.gcEpoch) == [17])
      #expect(try await !again.delete(block, ifEpochBelow: 10), "a delete of before takes it again")
    } else {
      #expect(again.status(of: block)?.gcEpoch == 17)
    }
  }
}
