import BlockModel
import BlockStore
import Foundation
import Platform
import TestSupport
import Testing

/// A scan that reads ahead finds what one finds that does not.
@Suite struct ScanReadAheadTests {
  private static let keys = Fixtures.ring(1)
  private static let sizes = [0, 100, 3000, 9000, 70_000, 700_000, 1_040_000, 4 << 20]

  private static func configuration(_ folder: String, ahead: Bool) -> SegmentStore.Configuration {
    var configuration = StoreKind.configuration(folder, keys: keys)
    configuration.segmentBytes = 12 << 20
    configuration.scansAhead = ahead
    return configuration
  }

  @Test("reading ahead changes nothing of what a scan finds, whatever sizes records have and whatever is damaged", arguments: [0, 40])
  func sameFindings(damages: Int) async throws {
    var random = Seeds.random()
    let folder = try TemporaryFolder()
    let store = try SegmentStore.open(Self.configuration(folder.path("whole"), ahead: true))
    var ids: [BlockID] = []
    for number in 0..<240 {
      // Runs of small records are read one window after the other; large ones are jumped over.
      let size = Self.sizes[Int(random.next() % (number % 80 < 60 ? 5 : 8))]
      let record = try Fixtures.record(Fixtures.bytes(size, seed: UInt64(number)), named: Self.id(number), keys: Self.keys)
      ids.append(try await store.append(record).block.id)
    }
    for id in ids.prefix(20) { _ = try await store.delete(id, ifEpochBelow: 9) }
    await store.close()
    let disk = folder.path("whole") + "/disk-1"
    try Directory.remove(disk + "/index.checkpoint")
    for _ in 0..<damages {
      let name = try #require(try Directory.list(disk + "/segments").sorted().randomElement(using: &random))
      let file = try File(disk + "/segments/" + name, [.read, .write])
      let noise = random.bytes(64)
      let place = 4096 + Int64(random.next() % UInt64(try file.size() / 64 - 64)) * 64
      try noise.withUnsafeBytes { try file.pwrite($0, at: place) }
    }
    try FileManager.default.copyItem(atPath: folder.path("whole"), toPath: folder.path("copy"))
    let ahead = try SegmentStore.open(Self.configuration(folder.path("whole"), ahead: true))
    let plain = try SegmentStore.open(Self.configuration(folder.path("copy"), ahead: false))
    #expect(!ahead.openReport.usedCheckpoint && ahead.openReport.scannedRecords > 150)
    #expect(ahead.openReport.scannedRecords == plain.openReport.scannedRecords)
    #expect(ahead.openReport.tornRecords == plain.openReport.tornRecords)
    #expect(ahead.status(of: ids) == plain.status(of: ids))
    if damages == 0 { #expect(ahead.space().blockCount == 220) }
    await ahead.close()
    await plain.close()
  }

  private static func id(_ number: Int) -> BlockID {
    var random = SeededRandom(seed: UInt64(number))
    return BlockID(words: (random.next(), random.next(), random.next(), random.next()))
  }
}
