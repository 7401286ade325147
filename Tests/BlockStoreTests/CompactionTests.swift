import BlockModel
import BlockStore
import Glibc
import Platform
import TestSupport
import Testing

/// Space on real files: what compaction costs, what the disk's figures are worth, and what happens when there is none left.
@Suite struct CompactionTests {
  private static func configuration(_ folder: String, segmentBytes: Int, capacityBytes: Int64? = nil) -> SegmentStore.Configuration {
    var configuration = StoreKind.configuration(folder, keys: nil)
    configuration.segmentBytes = segmentBytes
    configuration.capacityBytes = capacityBytes
    return configuration
  }

  static func id(_ number: UInt64) -> BlockID {
    var random = SeededRandom(seed: number)
    return BlockID(words: (random.next(), random.next(), random.next(), random.next()))
  }

  /// A block of which only the name and the length are of interest.
  private static func append(_ number: UInt64, _ plain: [UInt8], to store: SegmentStore) async throws {
    _ = try await store.append(Fixtures.record(plain, named: id(number), keys: nil))
  }

  private static func compactAll(_ store: SegmentStore) async throws -> CompactionReport {
    var all = CompactionReport()
    while let report = try await store.compact(limitBytes: 4 << 20) {
      all.movedRecords += report.movedRecords
      all.movedBytes += report.movedBytes
      all.removedBytes += report.removedBytes
    }
    return all
  }

  /// What `du` says of a folder, in bytes.
  private static func allocated(_ folder: String) throws -> Int64 {
    var bytes: Int64 = 0
    for name in try Directory.list(folder) {
      guard let attributes = try Directory.attributes(folder + "/" + name) else { continue }
      bytes += attributes.kind == .directory ? try allocated(folder + "/" + name) : attributes.allocated
    }
    return bytes
  }

  private static func expectFits(_ store: SegmentStore, _ folder: String, _ when: String) throws {
    let (said, is_) = (store.space().occupiedBytes, try allocated(folder))
    #expect(abs(said - is_) * 100 <= 2 * is_, "\(when): \(said) said, \(is_) on the disk")
  }

  @Test("the bytes that a disk says it takes are what du says, within 2 %")
  func accounting() async throws {
    try await withFolder { folder in
      var configuration = Self.configuration(folder, segmentBytes: 8 << 20)
      configuration.compaction.mostLive[.normal] = 980
      configuration.compaction.leastGainBytes = 1
      var store = try SegmentStore.open(configuration)
      try Self.expectFits(store, configuration.folder, "new")
      for number in 0..<300 as Range<UInt64> {
        try await Self.append(number, Fixtures.bytes([300, 5000, 40_000, 300_000][Int(number % 4)], seed: number), to: store)
      }
      try Self.expectFits(store, configuration.folder, "filled")
      for number in 0..<300 as Range<UInt64> where number % 3 != 0 { _ = try await store.delete(Self.id(number), ifEpochBelow: 9) }
      try Self.expectFits(store, configuration.folder, "deleted")
      await store.close()
      store = try SegmentStore.open(configuration)
      try Self.expectFits(store, configuration.folder, "opened from a checkpoint")
      await store.close()
      try Directory.remove(configuration.folder + "/index.checkpoint")
      store = try SegmentStore.open(configuration)
      try Self.expectFits(store, configuration.folder, "opened by a scan")
      #expect(try await Self.compactAll(store).removedBytes > 1 << 20)
      try Self.expectFits(store, configuration.folder, "compacted")
      #expect(store.space().blockCount == 100)
      await store.close()
    }
  }

  @Test("compaction writes at most half a byte for each byte that users write, with 70 % of the disk live", arguments: [true, false])
  func writeAmplification(mixed: Bool) async throws {
    try await withFolder { folder in
      let sizes = mixed ? [2000, 5000, 9000, 16_384, 40_000, 120_000, 500_000] : [16_384]
      var load = CompactionLoad(sizes: sizes)
      let capacity: Int64 = 64 << 20
      var configuration = Self.configuration(folder, segmentBytes: 2 << 20, capacityBytes: capacity)
      configuration.durability = .relaxed
      configuration.reserveBytes = 0
      let store = try SegmentStore.open(configuration)
      while store.space().usedBytes < capacity * 7 / 10 { try await load.put(16, to: store) }
      (load.writtenBytes, load.movedBytes) = (0, 0)
      while load.writtenBytes < capacity {
        try await load.delete(16, from: store)
        while store.space().usedBytes < capacity * 7 / 10 { try await load.put(16, to: store) }
        try await load.compact(store)
      }
      let amplification = Double(load.writtenBytes + load.movedBytes) / Double(load.writtenBytes)
      print("write amplification at 70 % live, \(mixed ? "mixed sizes" : "16 KiB"): \(amplification)")
      #expect(load.movedBytes > 0 || mixed, "large records' pages are punched out, small ones' are not")
      #expect(amplification <= 1.5)
      #expect(store.space().blockCount == load.live.count)
      await store.close()
    }
  }

  @Test("a small disk that was filled to the last byte deletes, compacts, and takes blocks again")
  func outOfSpace() async throws {
    guard let folder = try Self.mountSmallDisk(megabytes: 96) else {
      print("skipped: mounting a small tmpfs needs root and the right to mount")
      return
    }
    defer { Self.unmount(folder) }
    var configuration = Self.configuration(folder, segmentBytes: 16 << 20)
    // Once all pages of deleted blocks are punched out, little else is to be had, and compaction would leave it for worse times.
    configuration.compaction.leastGainBytes = 1
    for level in SpaceLevel.allCases { configuration.compaction.mostLive[level] = 950 }
    let store = try SegmentStore.open(configuration)
    let plains = [3000, 20_000, 200_000].map { Fixtures.bytes($0, seed: UInt64($0)) }
    var kept: [UInt64] = []
    var number: UInt64 = 0
    while await BlockStoreError.Code.thrown(by: { try await Self.append(number, plains[Int(number % 3)], to: store) }) == nil {
      kept.append(number)
      number += 1
    }
    guard case .readOnly = store.health() else { return #expect(Bool(false), "\(store.health())") }
    // Less than the smallest segment is left of what blocks may take, which is much of a disk as small as this.
    #expect(store.space().level >= .warning)
    // Somebody else takes what is left, to the last byte.
    try Self.fill(folder + "/ballast")
    #expect(try FileSystemSpaceProbe.available(folder) == 0)
    for id in kept.prefix(6) { #expect(try await store.bytes(Self.id(id)) == plains[Int(id % 3)], "reads go on") }
    let time = WallTime(seconds: 1_800_000_000)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for id in kept where id % 8 != 0 { group.addTask { try await store.quarantine(Self.id(id), ifEpochBelow: 9, at: time) } }
      for try await done in group { #expect(done) }
    }
    while try await store.purge(quarantinedBefore: WallTime(seconds: 1_900_000_000), limit: 200) > 0 {}
    // Pages are punched out behind the answers; until then there is no room to move anything to.
    try await eventually("what was purged has given its space back") {
      try FileSystemSpaceProbe.available(folder) > Int64(configuration.segmentBytes)
    }
    let report = try await Self.compactAll(store)
    #expect(report.removedBytes > 0)
    kept.removeAll { $0 % 8 != 0 }
    for id in 1_000_000..<1_000_030 as Range<UInt64> {
      try await Self.append(id, plains[Int(id % 3)], to: store)
      kept.append(id)
    }
    for id in kept { #expect(try await store.bytes(Self.id(id)) == plains[Int(id % 3)]) }
    await store.close()
    let again = try SegmentStore.open(configuration)
    #expect(again.space().blockCount == kept.count)
    await again.close()
  }

  private static func mountSmallDisk(megabytes: Int) throws -> String? {
    let folder = try Directory.makeUnique(in: "/tmp", prefix: "cairn-small")
    guard mount("tmpfs", folder, "tmpfs", 0, "size=\(megabytes)m") == 0 else {
      try Directory.removeTree(folder)
      return nil
    }
    return folder
  }

  private static func unmount(_ folder: String) {
    umount2(folder, Int32(2))
    try? Directory.removeTree(folder)
  }

  private static func fill(_ path: String) throws {
    let file = try File(path, [.write, .create])
    let piece = [UInt8](repeating: 1, count: 4096)
    var offset: Int64 = 0
    do { while true { try piece.withUnsafeBytes { try file.pwrite($0, at: offset) }; offset += 4096 } } catch let error as FileError {
      guard error.isOutOfSpace else { throw error }
    }
  }
}

enum FileSystemSpaceProbe {
  static func available(_ folder: String) throws -> Int64 { try LinuxFileSystem().space(folder).available }
}

/// Users who keep a disk at one level: blocks come and go at random, several at a time.
private struct CompactionLoad {
  let plains: [[UInt8]]
  var live: [UInt64] = []
  var writtenBytes: Int64 = 0
  var movedBytes: Int64 = 0
  private var next: UInt64 = 0
  private var random = SeededRandom(seed: 7)

  init(sizes: [Int]) { plains = sizes.map { Fixtures.bytes($0, seed: UInt64($0)) } }

  mutating func put(_ count: UInt64, to store: SegmentStore) async throws {
    var left = Array(next..<(next + count))
    next += count
    while !left.isEmpty {
      let refused = try await withThrowingTaskGroup(of: UInt64?.self) { [plains] group in
        for number in left {
          group.addTask {
            let record = try Fixtures.record(plains[Int(number % UInt64(plains.count))], named: CompactionTests.id(number), keys: nil)
            do throws(BlockStoreError) { _ = try await store.append(record) } catch {
              guard error.code == .full else { throw error }
              return number
            }
            return nil
          }
        }
        return try await group.reduce(into: [UInt64]()) { refused, number in if let number { refused.append(number) } }
      }
      for number in left where !refused.contains(number) {
        live.append(number)
        writtenBytes += Int64(RecordLayout.recordBytes(storedBytes: plains[Int(number % UInt64(plains.count))].count))
      }
      left = refused
      if !left.isEmpty { #expect(try await compact(store) > 0, "space can be had") }
    }
  }

  mutating func delete(_ count: Int, from store: SegmentStore) async throws {
    var victims: [UInt64] = []
    for _ in 0..<count {
      live.swapAt(Int(random.next() % UInt64(live.count)), live.count - 1)
      victims.append(live.removeLast())
    }
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in victims { group.addTask { try await store.delete(CompactionTests.id(number), ifEpochBelow: 9) } }
      for try await done in group { #expect(done) }
    }
  }

  /// As a node does: whatever is worth it now. Answers the bytes that came back.
  @discardableResult
  mutating func compact(_ store: SegmentStore) async throws -> Int64 {
    var removed: Int64 = 0
    while let report = try await store.compact(limitBytes: 4 << 20) {
      movedBytes += Int64(report.movedBytes)
      removed += report.removedBytes
    }
    return removed
  }
}
