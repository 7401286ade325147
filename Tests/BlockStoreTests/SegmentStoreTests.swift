import BlockModel
import BlockStore
import Platform
import TestSupport
import Testing

/// What only the store on disk promises.
@Suite struct SegmentStoreTests {
  private func plain(_ number: Int, _ count: Int = 5000) -> [UInt8] { Fixtures.bytes(count, seed: UInt64(number)) }

  private func configuration(_ disk: SimulatedDisk, segmentBytes: Int = 256 << 10) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: "/disk-1", cluster: StoreKind.cluster, keys: Fixtures.ring(1))
    configuration.segmentBytes = segmentBytes
    configuration.fileSystem = disk
    configuration.readThreads = 1
    return configuration
  }

  @Test("blocks, epochs and deletions are there after a clean restart, from the checkpoint alone")
  func cleanRestart() async throws {
    try await withFolder { folder in
      let configuration = StoreKind.configuration(folder, keys: Fixtures.ring(1))
      var store = try SegmentStore.open(configuration)
      #expect(store.openReport.formatted)
      let disk = store.disk
      var ids: [BlockID] = []
      for number in 0..<30 { ids.append(try await store.append(Fixtures.record(plain(number), keys: configuration.keys)).block.id) }
      _ = try await store.raiseEpoch(of: ids[3], to: 77)
      _ = try await store.delete(ids[4], ifEpochBelow: 5)
      let space = store.space()
      await store.close()
      store = try SegmentStore.open(configuration)
      #expect(store.disk == disk)
      #expect(store.openReport.usedCheckpoint && store.openReport.scannedRecords == 0)
      #expect(store.status(of: ids[3])?.gcEpoch == 77 && store.status(of: ids[4]) == nil)
      #expect(store.space().usedBytes == space.usedBytes && store.space().blockCount == 29)
      for number in 0..<30 where number != 4 { #expect(try await store.bytes(ids[number]) == plain(number)) }
      await store.close()
    }
  }

  @Test("without a checkpoint, or with a damaged one, a scan finds the same", arguments: 0..<8)
  func scan(damage: Int) async throws {
    let disk = SimulatedDisk(seed: 1)
    var configuration = configuration(disk)
    configuration.checkpointRecords = 10
    let store = try SegmentStore.open(configuration)
    var ids: [BlockID] = []
    for number in 0..<60 { ids.append(try await store.append(Fixtures.record(plain(number, 9000), keys: configuration.keys)).block.id) }
    for id in ids.prefix(20) { _ = try await store.delete(id, ifEpochBelow: 9) }
    await store.close()
    let path = "/disk-1/index.checkpoint"
    let size = try #require(try disk.attributes(path)).size
    switch damage {
    case 0: try disk.remove(path)
    case 1: try disk.open(path, .write).truncate(to: size - 1)
    case 2: try disk.open(path, .write).truncate(to: 0)
    default: disk.flipBit(path, byte: Int(size) * (damage - 3) / 5 + 8, bit: UInt8(damage))
    }
    let again = try SegmentStore.open(configuration)
    #expect(!again.openReport.usedCheckpoint && again.openReport.scannedRecords == 80 && again.openReport.tornRecords == 0)
    #expect(ids.map { again.status(of: $0) != nil } == (0..<60).map { $0 >= 20 })
    for number in 20..<60 { #expect(try await again.bytes(ids[number]) == plain(number, 9000)) }
  }

  @Test("the highest sequence number wins in whatever order segments are scanned")
  func outOfOrder() async throws {
    let disk = SimulatedDisk(seed: 1)
    let configuration = configuration(disk, segmentBytes: 128 << 10)
    let store = try SegmentStore.open(configuration)
    func append(_ number: Int, epoch: UInt64) async throws -> BlockID {
      try await store.append(Fixtures.record(plain(number, 30_000), gcEpoch: epoch, keys: configuration.keys)).block.id
    }
    let (gone, back) = (try await append(1, epoch: 1), try await append(2, epoch: 50))
    for number in 10..<14 { _ = try await append(number, epoch: 1) }
    #expect(try await store.delete(gone, ifEpochBelow: 9))
    #expect(try await store.delete(back, ifEpochBelow: 99))
    for number in 20..<24 { _ = try await append(number, epoch: 1) }
    #expect(try await append(2, epoch: 3) == back)
    await store.close()
    let names = try disk.list("/disk-1/segments")
    #expect(names.count >= 3)
    for order in 0..<3 {
      let other = disk.afterCrash(losesPower: false)
      try other.remove("/disk-1/index.checkpoint")
      for (place, name) in names.enumerated() {
        let number = order == 0 ? names.count - place : order == 1 ? (place + 1) % names.count + 1 : place + 1
        try other.rename("/disk-1/segments/" + name, to: "/disk-1/segments/0000000\(number)" + name.dropFirst(8))
      }
      var configuration = configuration
      configuration.fileSystem = other
      let again = try SegmentStore.open(configuration)
      #expect(again.status(of: gone) == nil && again.status(of: back)?.gcEpoch == 3, "order \(order)")
      #expect(try await again.bytes(back) == plain(2, 30_000))
      #expect(again.space().blockCount == 9)
    }
  }

  @Test("a second opener is refused while the first is there")
  func locked() async throws {
    try await withFolder { folder in
      let configuration = StoreKind.configuration(folder, keys: nil)
      let store = try SegmentStore.open(configuration)
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration) } == .locked)
      await store.close()
      await (try SegmentStore.open(configuration)).close()
    }
  }

  @Test("a disk of another cluster, of a newer format, of no store at all, or with a damaged identity is refused and left as it is")
  func refusals() async throws {
    let disk = SimulatedDisk(seed: 1)
    var configuration = configuration(disk)
    await (try SegmentStore.open(configuration)).close()
    let identity = String(decoding: try #require(try Self.read(disk, "/disk-1/identity")), as: UTF8.self)
    configuration.cluster = ClusterID(high: 9, low: 9)
    #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration) } == .wrongCluster)
    configuration.cluster = StoreKind.cluster
    for (text, code) in [
      ("cairn disk 2\n", .newerFormat), ("", .malformed), (identity.replacing("disk ", with: "disc "), .malformed),
      (String(identity.dropLast(3)), .malformed), (identity.replacing("created 20", with: "created 21"), .malformed),
    ] as [(String, BlockStoreError.Code)] {
      try Self.write(disk, "/disk-1/identity", Array(text.utf8))
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration) } == code, "\(text)")
      #expect(try Self.read(disk, "/disk-1/identity") == Array(text.utf8))
    }
    try disk.remove("/disk-1/identity")
    #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration) } == .malformed, "a checkpoint without an identity")
    configuration.folder = "/disk-2"
    configuration.formatsEmptyFolder = false
    #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration) } == .malformed, "an empty mount point")
  }

  @Test("a disk with encrypted blocks does not open without their key or with another")
  func wrongKey() async throws {
    for crash in [false, true] {
      let disk = SimulatedDisk(seed: 1)
      var configuration = configuration(disk)
      let store = try SegmentStore.open(configuration)
      let id = try await store.append(Fixtures.record(plain(1), keys: configuration.keys)).block.id
      let other = crash ? disk.afterCrash(losesPower: true) : disk
      if !crash { await store.close() }
      configuration.fileSystem = other
      for keys in [nil, Fixtures.ring(2), DataKeyring(keys: [(1, SecretBytes(randomCount: 32))])] {
        configuration.keys = keys
        #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration) } == .wrongKey, "crash \(crash)")
      }
      configuration.keys = Fixtures.ring(1, 2)
      #expect(try await SegmentStore.open(configuration).bytes(id) == plain(1))
    }
  }

  @Test("a failed sync or write acknowledges nothing more; reads go on", arguments: [true, false])
  func fenced(sync: Bool) async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let id = try await store.append(Fixtures.record(plain(1), keys: Fixtures.ring(1))).block.id
    disk.withState { if sync { $0.faults.syncsUntilFailure = 0 } else { $0.faults.writesUntilFailure = 0 } }
    for number in 2..<5 {
      let record = try Fixtures.record(plain(number), keys: Fixtures.ring(1))
      #expect(await BlockStoreError.Code.thrown { _ = try await store.append(record) } == .fenced)
      #expect(store.status(of: record.header.block) == nil)
    }
    #expect(await BlockStoreError.Code.thrown { _ = try await store.raiseEpoch(of: id, to: 9) } == .fenced)
    guard case .fenced = store.health() else { return #expect(Bool(false), "\(store.health())") }
    #expect(try await store.bytes(id) == plain(1))
    await store.close()
  }

  @Test("a full disk refuses blocks, still deletes, and takes blocks again when there is room")
  func outOfSpace() async throws {
    let disk = SimulatedDisk(seed: 4)
    var configuration = configuration(disk, segmentBytes: 16 << 20)
    let time = ManualTime()
    configuration.time = time
    disk.withState { $0.faults.capacity = 40 << 20 }
    let store = try SegmentStore.open(configuration)
    var ids: [BlockID] = []
    var refusal: BlockStoreError.Code?
    for number in 0..<100 where refusal == nil {
      let record = try Fixtures.record(plain(number, 1_000_000), keys: Fixtures.ring(1))
      refusal = await BlockStoreError.Code.thrown { ids.append(try await store.append(record).block.id) }
    }
    #expect(refusal == .full)
    // Two segments of 16 MiB and one of 8.
    #expect((30...38).contains(ids.count))
    guard case .readOnly = store.health() else { return #expect(Bool(false), "\(store.health())") }
    for id in ids { #expect(try await store.delete(id, ifEpochBelow: 9)) }
    #expect(store.space().usedBytes == 0)
    disk.withState { $0.faults.capacity = 80 << 20 }
    time.advance(by: .seconds(2))
    #expect(try await store.append(Fixtures.record(plain(1, 1_000_000), keys: Fixtures.ring(1))).wasNew)
    #expect(store.health() == .healthy)
    await store.close()
  }

  @Test("a rotten copy is found, set aside for good, and replaced by the next append", arguments: [true, false])
  func rot(restart: Bool) async throws {
    let disk = SimulatedDisk(seed: 4)
    let configuration = configuration(disk)
    var store = try SegmentStore.open(configuration)
    let id = try await store.append(Fixtures.record(plain(1, 40_000), keys: Fixtures.ring(1))).block.id
    let other = try await store.append(Fixtures.record(plain(2, 40_000), keys: Fixtures.ring(1))).block.id
    let name = try #require(try disk.list("/disk-1/segments").first)
    disk.flipBit("/disk-1/segments/" + name, byte: 4096 + 20_000, bit: 3)
    #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(id) } == .rotten)
    #expect(store.status(of: id) == nil && store.space().blockCount == 1)
    #expect(await BlockStoreError.Code.thrown { _ = try await store.readRecord(id, into: Fixtures.pool()) } == .rotten)
    #expect(try await !store.raiseEpoch(of: id, to: 9))
    #expect(store.digest(ofPartition: 0, bits: 0).count == 1)
    if restart {
      store = try SegmentStore.open(
        {
          var again = configuration; again.fileSystem = disk.afterCrash(losesPower: true); return again
        }())
      #expect(store.status(of: id) == nil)
    }
    #expect(try await store.append(Fixtures.record(plain(1, 40_000), keys: Fixtures.ring(1))).wasNew)
    #expect(try await store.bytes(id) == plain(1, 40_000))
    #expect(try await store.bytes(other) == plain(2, 40_000))
  }

  @Test("verify reads the disk and not the cache, and knows wrong contents under good tags")
  func verify() async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let id = try await store.append(Fixtures.record(plain(1, 40_000), keys: Fixtures.ring(1))).block.id
    try await store.verify(id, using: Fixtures.pool())
    // Sealed properly under a name that is not its hash: what a node with a fault, or a bad one, may have stored.
    let wrong = Fixtures.id(of: [4])
    _ = try await store.append(Fixtures.record([1, 2, 3], named: wrong, keys: Fixtures.ring(1)))
    #expect(await BlockStoreError.Code.thrown { try await store.verify(wrong, using: Fixtures.pool()) } == .rotten)
    #expect(store.status(of: wrong) == nil)
    disk.withState { state in
      for inode in state.inodes.keys where state.inodes[inode]!.disk.count > 100_000 { state.inodes[inode]!.disk[4096 + 10_000] ^= 1 }
    }
    #expect(try await store.bytes(id) == plain(1, 40_000), "the cache is good")
    #expect(await BlockStoreError.Code.thrown { try await store.verify(id, using: Fixtures.pool()) } == .rotten)
  }

  @Test("a sector that cannot be read fails the read and condemns nothing")
  func unreadable() async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let id = try await store.append(Fixtures.record(plain(1, 40_000), keys: Fixtures.ring(1))).block.id
    disk.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [8192..<12_288] } }
    #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(id) } == .io)
    #expect(store.status(of: id) != nil)
    disk.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [] } }
    #expect(try await store.bytes(id) == plain(1, 40_000))
  }

  @Test("deleting gives space back on a real file system, and never a header")
  func punching() async throws {
    try await withFolder { folder in
      let configuration = StoreKind.configuration(folder, keys: Fixtures.ring(1))
      let store = try SegmentStore.open(configuration)
      var ids: [BlockID] = []
      for number in 0..<8 { ids.append(try await store.append(Fixtures.record(plain(number, 1 << 20), keys: Fixtures.ring(1))).block.id) }
      let path = configuration.folder + "/segments/" + (try #require(try Directory.list(configuration.folder + "/segments").first))
      let before = try #require(try Directory.attributes(path)).allocated
      for id in ids.prefix(6) { _ = try await store.delete(id, ifEpochBelow: 9) }
      // A delete is answered when it is durable; its pages go a moment later.
      try await eventually("The pages of the deleted blocks are given back") {
        before - (try #require(try Directory.attributes(path)).allocated) >= 6 << 20 - 6 * 4096
      }
      for (number, id) in ids.enumerated().dropFirst(6) { #expect(try await store.bytes(id) == plain(number, 1 << 20)) }
      await store.close()
      try Directory.remove(configuration.folder + "/index.checkpoint")
      let again = try SegmentStore.open(configuration)
      #expect(again.openReport.scannedRecords == 14 && again.space().blockCount == 2)
      await again.close()
    }
  }

  @Test("records' headers are found again among any damage, and no wrong byte is ever given out", arguments: 1...60 as ClosedRange<UInt64>)
  func scanFuzz(seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    let disk = SimulatedDisk(seed: seed)
    var configuration = configuration(disk, segmentBytes: 128 << 10)
    let store = try SegmentStore.open(configuration)
    var contents: [BlockID: [UInt8]] = [:]
    for number in 0..<12 {
      let bytes = plain(Int(seed) * 100 + number, [10, 3000, 20_000, 40_000][Int(random.next() % 4)])
      contents[try await store.append(Fixtures.record(bytes, keys: Fixtures.ring(1))).block.id] = bytes
    }
    await store.close()
    let damaged = disk.afterCrash(losesPower: false)
    if random.next() % 3 != 0 { try damaged.remove("/disk-1/index.checkpoint") }
    for name in try damaged.list("/disk-1/segments") { Self.damage(damaged, "/disk-1/segments/" + name, &random) }
    configuration.fileSystem = damaged
    do {
      let again = try SegmentStore.open(configuration)
      for block in again.blocks(inPartition: 0, bits: 0, after: nil, limit: 100) {
        let code = await BlockStoreError.Code.thrown {
          let bytes = try await again.bytes(block.id)
          #expect(bytes == contents[block.id], "seed \(seed)")
        }
        #expect(code == nil || code == .rotten || code == .io, "seed \(seed)")
      }
      // And it takes new blocks.
      let fresh = plain(7, 9000)
      let id = try await again.append(Fixtures.record(fresh, keys: Fixtures.ring(1))).block.id
      #expect(try await again.bytes(id) == fresh)
    } catch let error as BlockStoreError {
      #expect(error.code == .wrongKey || error.code == .wrongCluster, "seed \(seed): \(error)")
    }
  }

  private static func damage(_ disk: SimulatedDisk, _ path: String, _ random: inout SeededRandom) {
    let kind = random.next() % 6
    var draw = random.fork()
    disk.withState { state in
      guard let inode = state.names[path], var bytes = state.inodes[inode]?.disk, bytes.count > 8192 else { return }
      let count = UInt64(bytes.count)
      switch kind {
      case 0: for _ in 0..<20 { bytes[Int(draw.next() % count)] ^= 1 << UInt8(draw.next() % 8) }
      case 1:
        for _ in 0..<4 {
          let at = Int(draw.next() % (count - 512)); for index in at..<(at + 512) { bytes[index] = UInt8(truncatingIfNeeded: draw.next()) }
        }
      case 2: bytes.removeSubrange(Int(draw.next() % count)...)
      case 3:
        // A page written to the wrong place.
        let (from, to) = (Int(draw.next() % (count / 4096)) * 4096, Int(draw.next() % (count / 4096)) * 4096)
        if from + 4096 <= bytes.count, to + 4096 <= bytes.count {
          bytes.replaceSubrange(to..<(to + 4096), with: bytes[from..<(from + 4096)])
        }
      case 4: bytes.insert(contentsOf: [UInt8](repeating: 0x43, count: 64), at: Int(draw.next() % (count / 64)) * 64)
      default:
        state.inodes[inode]?.unreadable = [Int(draw.next() % count)..<(Int(draw.next() % count) + bytes.count)].map {
          $0.lowerBound..<min($0.upperBound, $0.lowerBound + 5000)
        }
      }
      state.inodes[inode]?.disk = bytes
      state.inodes[inode]?.cache = bytes
      state.inodes[inode]?.durable = bytes
    }
  }

  private static func read(_ disk: SimulatedDisk, _ path: String) throws -> [UInt8]? {
    let file = try disk.open(path, .read)
    var bytes = [UInt8](repeating: 0, count: Int(try file.size()))
    let count = try bytes.withUnsafeMutableBytes { try file.pread(into: $0, at: 0) }
    return Array(bytes.prefix(count))
  }

  private static func write(_ disk: SimulatedDisk, _ path: String, _ bytes: [UInt8]) throws {
    let file = try disk.open(path, [.write, .truncate])
    try bytes.withUnsafeBytes { try file.pwrite($0, at: 0) }
  }
}
