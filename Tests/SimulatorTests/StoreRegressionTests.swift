import BlockModel
import BlockStore
import Platform
import Simulator
import Testing

/// What was found once, as short as it could be made.
@Suite struct StoreRegressionTests {
  private static func configuration(_ disk: SimulatedDisk) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: "/disk-1", cluster: StoreRun.cluster, keys: nil)
    configuration.segmentBytes = 256 << 10
    configuration.fileSystem = disk
    return configuration
  }

  @Test("a torn copy does not take the place of an acknowledged one, though the deletion between them was lost")
  func tornCopyAfterLostDeletion() async throws {
    var settings = StoreSequence.Settings()
    settings.checkpointRecords = 1_000_000
    settings.isEncrypted = false
    settings.interruptionShare = 1_000_000
    let sequence = StoreSequence(
      settings,
      steps: [
        .init(.reopen),
        .init(.append(6, epoch: 6), ticks: 1),
        .init(.delete(6, below: 7), ticks: 3),
        .init(.append(6, epoch: 10), ticks: 2),
        .init(.append(5, epoch: 4), ticks: 1, seed: 4_284_144_170),
        .init(.losePower, ticks: 1000, seed: 3_731_333_117),
        .init(.append(3, epoch: 2), ticks: 1000),
      ])
    #expect(try await SequencePlayer.play(sequence) == nil)
  }

  @Test("a copy that is stored when the rotten one was just set aside has an epoch of its own, whatever was asked for before")
  func copyAfterSettingAside() async throws {
    var settings = StoreSequence.Settings()
    settings.checkpointRecords = 1_000_000
    settings.isEncrypted = false
    settings.interruptionShare = 1_000_000
    let sequence = StoreSequence(
      settings,
      steps: [
        .init(.settle),
        .init(.append(9, epoch: 0)),
        .init(.append(9, epoch: 9), ticks: 1000),
        .init(.kill, ticks: 1000),
        .init(.failSync(0)),
        .init(.delete(9, below: 3)),
        .init(.append(9, epoch: 12)),
        .init(.read(9)),
        .init(.readRange(9, 119_389, 94_452), ticks: 1),
        .init(.delete(9, below: 2), ticks: 1),
        .init(.rollBack),
        .init(.read(9), ticks: 4),
        .init(.append(9, epoch: 0)),
        .init(.append(9, epoch: 2)),
        .init(.raise(9, to: 8), ticks: 1000),
      ])
    #expect(try await SequencePlayer.play(sequence) == nil)
  }

  @Test("an old deletion that could not be read for a while does not win over a copy that was stored meanwhile")
  func sequenceNumbersAreNotGivenAgain() async throws {
    let disk = SimulatedDisk(seed: 1)
    var store = try SegmentStore.open(Self.configuration(disk))
    let (block, other) = (StoreContents.numbered(0), StoreContents.numbered(1))
    _ = try await store.append(block.record(gcEpoch: 1, isEncrypted: false))
    _ = try await store.append(other.record(gcEpoch: 1, isEncrypted: false))
    for epoch in 2..<9 as Range<UInt64> { _ = try await store.raiseEpoch(of: other.id, to: epoch) }
    #expect(try await store.delete(block.id, ifEpochBelow: 5))
    // All but the first record is unreadable at the next start; the block seems to be there.
    var next = disk.afterCrash(losesPower: true, seed: 1)
    let segment = "/disk-1/segments/" + (try #require(next.names(in: "/disk-1/segments").first))
    next.makeUnreadable(segment, 8192..<(256 << 10))
    store = try SegmentStore.open(Self.configuration(next))
    #expect(store.openReport.unreadableBytes > 0)
    #expect(try await store.delete(block.id, ifEpochBelow: 5))
    #expect(try await store.append(block.record(gcEpoch: 6, isEncrypted: false)).wasNew)
    next = next.afterCrash(losesPower: true, seed: 2)
    next.makeReadable()
    store = try SegmentStore.open(Self.configuration(next))
    #expect(store.status(of: block.id)?.gcEpoch == 6)
  }

  @Test("a folder that a killed process had just made outlives a power failure once the next process stored something in it")
  func folderOfKilledProcess() async throws {
    // The process is killed when the folder is made and the one above it is not synced yet: at each of the first points in turn.
    for points in 0..<30 {
      let scheduler = SimulatedScheduler(fibers: FiberPool(), interruptionShare: 1)
      var disk = SimulatedDisk(seed: 1) { scheduler.passPoint() }
      let (first, block) = (Self.configuration(disk), StoreContents.numbered(0))
      scheduler.spawn { _ = try? SegmentStore.open(first) }
      var random = SeededRandom(seed: UInt64(points))
      for _ in 0..<points { _ = scheduler.step(&random) }
      let killed = disk
      disk = disk.afterCrash(losesPower: false, seed: 1)
      killed.switchOff()
      #expect(scheduler.run(&random))
      let store = try SegmentStore.open(Self.configuration(disk))
      _ = try await store.append(block.record(gcEpoch: 1, isEncrypted: false))
      for seed in 0..<6 as Range<UInt64> {
        let again = try SegmentStore.open(Self.configuration(disk.afterCrash(losesPower: true, seed: seed)))
        #expect(again.status(of: block.id) != nil, "killed after \(points) points, power lost with seed \(seed)")
      }
    }
  }
}
