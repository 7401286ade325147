import BlockModel
import BlockStore
import Platform
import StorageNode
import TestSupport
import Testing

@Suite("Several disks") struct DiskSetTests {
  private func record(_ bytes: [UInt8]) throws -> SealedRecord {
    let buffer = IOBuffer(capacity: RecordLayout.bufferBytes)
    let sealer = try RecordSealer(
      buffer: buffer, block: TestCluster.name(bytes), plainBytes: bytes.count, storedBytes: bytes.count, encoding: .plain, keys: nil)
    buffer.mutableBytes(RecordLayout.framesStart..<(RecordLayout.framesStart + bytes.count)).copyBytes(from: bytes)
    return try sealer.finish(gcEpoch: 1)
  }

  private func disks(_ capacities: [Int64]) -> [MemoryStore] {
    capacities.enumerated().map { MemoryStore(disk: DiskID(high: 77, low: UInt64($0.offset)), capacityBytes: $0.element) }
  }

  @Test("blocks spread by capacity, and each is found again on the disk that took it")
  func spread() async throws {
    var random = Seeds.random()
    let stores = disks([1 << 30, 1 << 30, 2 << 30])
    let set = DiskSet(stores)
    let blocks = (0..<1000).map { _ in random.bytes(20) }
    for block in blocks { _ = try await set.append(try record(block)) }
    let counts = stores.map { $0.space().blockCount }
    #expect(counts.reduce(0, +) == 1000)
    // Binomial with p = 1/4 and 1/2: six standard deviations are 82 and 95.
    #expect(abs(counts[0] - 250) < 85 && abs(counts[1] - 250) < 85 && abs(counts[2] - 500) < 96)
    for block in blocks { #expect(set.status(of: TestCluster.name(block)) != nil) }
  }

  @Test("blocks that come together lie where each would lie alone, and go elsewhere when that disk takes none")
  func together() async throws {
    var random = Seeds.random()
    let capacities: [Int64] = [1 << 30, 1 << 30, 2 << 30]
    let (stores, others) = (disks(capacities), disks(capacities))
    let (set, alone) = (DiskSet(stores), DiskSet(others))
    let blocks = (0..<300).map { _ in random.bytes(20) }
    let appended = try await set.append(blocks.map { try record($0) }).map { try $0.get().disk }
    for (block, disk) in zip(blocks, appended) { #expect(try await alone.append(try record(block)).disk == disk) }
    #expect(Set(appended).count == 3)

    let small = disks([16 << 10, 16 << 10])
    let counts = try await DiskSet(small).append(blocks.map { try record($0) }).reduce(into: (stored: 0, full: 0)) { counts, outcome in
      switch outcome {
      case .success(let appended): counts.stored += appended.outcome.wasNew ? 1 : 0
      case .failure(let error): counts.full += error.code == .full ? 1 : 0
      }
    }
    #expect(counts.stored + counts.full == blocks.count && counts.full > 0)
    // Each is refused only where both are full, so both end with as many as go into them.
    #expect(small[0].space().blockCount == small[1].space().blockCount && counts.stored == 2 * small[0].space().blockCount)
  }

  @Test("a fenced or full disk leaves the others serving, and what it holds stays readable")
  func fenced() async throws {
    var random = Seeds.random()
    let stores = disks([1 << 30, 1 << 30])
    let set = DiskSet(stores)
    let before = (0..<50).map { _ in random.bytes(20) }
    for block in before { _ = try await set.append(try record(block)) }
    stores[0].setHealth(.readOnly(reason: "test"))
    for block in (0..<50).map({ _ in random.bytes(20) }) {
      let appended = try await set.append(try record(block))
      #expect(appended.disk == stores[1].disk)
    }
    let pool = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: 2)
    for block in before {
      let payload = try await set.read(TestCluster.name(block), range: nil, into: pool)
      #expect(Array(payload.buffer.bytes(payload.range)) == block)
    }
    stores[1].setHealth(.fenced(reason: "test"))
    let late = try record(random.bytes(20))
    await #expect(throws: BlockStoreError.self) { try await set.append(late) }
    #expect(!set.hasRoom(forBytes: 1))
  }

  @Test("a block that two disks have is listed and counted once")
  func duplicates() async throws {
    var random = Seeds.random()
    let stores = disks([1 << 30, 1 << 30])
    let set = DiskSet(stores)
    let blocks = (0..<30).map { _ in random.bytes(20) }
    let single = MemoryStore()
    for block in blocks {
      for store in stores + [single] { _ = try await store.append(try record(block)) }
    }
    #expect(set.blocks(inPartition: 0, bits: 0, after: nil, limit: 100).map(\.id) == blocks.map { TestCluster.name($0) }.sorted())
    #expect(set.digest(ofPartition: 0, bits: 0) == single.digest(ofPartition: 0, bits: 0))
    #expect(try await set.quarantine(TestCluster.name(blocks[0]), ifEpochBelow: 2, at: WallTime(seconds: 1_800_000_000)))
    #expect(set.status(of: TestCluster.name(blocks[0])) == nil)
    #expect(stores.allSatisfy { $0.quarantined(after: nil, limit: 9).count == 1 })
    #expect(try await set.restore(TestCluster.name(blocks[0])))
    #expect(try await !set.restore(TestCluster.name(blocks[0])))
    #expect(set.status(of: TestCluster.name(blocks[0])) != nil)
  }

  @Test("a rotten copy on one disk is answered from the other")
  func rot() async throws {
    let stores = disks([1 << 30, 1 << 30])
    let set = DiskSet(stores)
    let bytes: [UInt8] = [1, 2, 3]
    for store in stores { _ = try await store.append(try record(bytes)) }
    #expect(stores[0].rot(TestCluster.name(bytes)))
    let pool = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: 2)
    let payload = try await set.read(TestCluster.name(bytes), range: nil, into: pool)
    #expect(Array(payload.buffer.bytes(payload.range)) == bytes)
  }
}
