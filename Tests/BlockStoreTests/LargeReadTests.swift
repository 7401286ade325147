import BlockModel
import BlockStore
import Platform
import Testing

/// Large records are read past the page cache until somebody asks for them again.
@Suite struct LargeReadTests {
  private static let large = 1_500_000
  private static let ring = Fixtures.ring(1)

  private struct Reads: Equatable {
    var direct: Int
    var cached: Int
  }

  private func configuration(_ disk: SimulatedDisk) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: "/disk-1", cluster: StoreKind.cluster, keys: LargeReadTests.ring)
    configuration.segmentBytes = 8 << 20
    configuration.fileSystem = disk
    configuration.readThreads = 1
    return configuration
  }

  /// What `body` answers, and in how many calls it reads.
  private func counted<Answer>(_ disk: SimulatedDisk, _ body: () async throws -> Answer) async rethrows -> (answer: Answer, reads: Reads) {
    disk.withState { ($0.directReads, $0.cachedReads) = (0, 0) }
    let answer = try await body()
    return (answer, disk.withState { Reads(direct: $0.directReads, cached: $0.cachedReads) })
  }

  private func append(_ store: SegmentStore, _ plain: [UInt8], compress: Bool = false) async throws -> BlockID {
    try await store.append(Fixtures.record(plain, keys: LargeReadTests.ring, compress: compress)).block.id
  }

  @Test("a large block is read past the page cache in one call, and through it when it is asked for again")
  func secondRead() async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let plain = [1, 2].map { Fixtures.bytes(LargeReadTests.large, seed: $0) }
    let ids = [try await append(store, plain[0]), try await append(store, plain[1])]
    for index in [0, 1] {
      let first = try await counted(disk) { try await store.bytes(ids[index]) }
      #expect(first.answer == plain[index] && first.reads == Reads(direct: 1, cached: 0))
    }
    for index in [1, 0, 0] {
      let again = try await counted(disk) { try await store.bytes(ids[index], 0..<LargeReadTests.large) }
      #expect(again.answer == plain[index] && again.reads == Reads(direct: 0, cached: 1))
    }
    await store.close()
  }

  @Test("small blocks and parts of large ones are read through the page cache, and do not count as read")
  func throughCache() async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let (plain, small) = (Fixtures.bytes(LargeReadTests.large, seed: 1), Fixtures.bytes(900_000, seed: 2))
    let (id, smallID) = (try await append(store, plain), try await append(store, small))
    let range = 70_000..<1_200_000
    let ofSmall = try await counted(disk) { try await store.bytes(smallID) }
    #expect(ofSmall.answer == small && ofSmall.reads == Reads(direct: 0, cached: 1))
    let ofPart = try await counted(disk) { try await store.bytes(id, range) }
    #expect(ofPart.answer == Array(plain[range]) && ofPart.reads.direct == 0)
    let ofAll = try await counted(disk) { try await store.bytes(id) }
    #expect(ofAll.answer == plain && ofAll.reads == Reads(direct: 1, cached: 0))
    await store.close()
  }

  @Test("a record for another node is read past the page cache, is the one that was stored, and does not count as read")
  func records() async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let plain = Fixtures.bytes(LargeReadTests.large, seed: 1)
    let stored = try Fixtures.record(plain, keys: LargeReadTests.ring)
    let wire = Fixtures.wire(stored)
    let id = try await store.append(stored).block.id
    for _ in 1...2 {
      let copied = try await counted(disk) { try await store.readRecord(id, into: Fixtures.pool()) }
      #expect(Fixtures.wire(copied.answer) == wire && copied.reads == Reads(direct: 1, cached: 0))
    }
    let read = try await counted(disk) { try await store.bytes(id) }
    #expect(read.answer == plain && read.reads == Reads(direct: 1, cached: 0))
    await store.close()
  }

  @Test("a compressed large block comes in its stored form, past the page cache and through it alike")
  func compressed() async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    // Half of it is worth compressing, so that what is stored is large still.
    let plain = Fixtures.bytes(LargeReadTests.large, seed: 1) + [UInt8](repeating: 7, count: LargeReadTests.large)
    let id = try await append(store, plain, compress: true)
    let stored = try #require(store.status(of: id))
    #expect(stored.encoding == .zstd && stored.storedBytes < plain.count && stored.storedBytes > 1 << 20)
    let first = try await counted(disk) { try await store.bytes(id) }
    let again = try await counted(disk) { try await store.bytes(id) }
    #expect(first.reads == Reads(direct: 1, cached: 0) && again.reads == Reads(direct: 0, cached: 1) && first.answer == again.answer)
    let (packed, decoded) = (IOBuffer(capacity: first.answer.count), IOBuffer(capacity: plain.count))
    packed.mutableBytes(0..<first.answer.count).copyBytes(from: first.answer)
    try Zstandard.decode(packed.bytes(0..<first.answer.count), into: decoded.mutableBytes(0..<plain.count))
    #expect(Array(decoded.bytes(0..<plain.count)) == plain)
    await store.close()
  }

  @Test("a bit that rotted anywhere in a large record is found by the first read, which gives nothing", arguments: 0..<12)
  func rot(place: Int) async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let plain = Fixtures.bytes(LargeReadTests.large, seed: 1)
    let id = try await append(store, plain)
    let segment = try #require(try disk.list("/disk-1/segments").first)
    // The record begins on the segment's second page: its headers, its frames, its last tag.
    let recordBytes = RecordLayout.recordBytes(storedBytes: plain.count)
    let byte =
      place < 3 ? [70, 130, 255][place] : RecordLayout.framesStart + (recordBytes - RecordLayout.framesStart - 1) * (place - 3) / 8
    disk.flipBit("/disk-1/segments/" + segment, byte: 4096 + byte, bit: 3)
    let refused = await counted(disk) { await BlockStoreError.Code.thrown { _ = try await store.bytes(id) } }
    #expect(refused.answer == .rotten && refused.reads.direct == 2, "looked at again before it is condemned")
    #expect(store.status(of: id) == nil && store.isSetAside(id))
    await store.close()
  }

  @Test("a page of a large record that cannot be read fails the read and condemns nothing")
  func unreadable() async throws {
    let disk = SimulatedDisk(seed: 4)
    let store = try SegmentStore.open(configuration(disk))
    let plain = Fixtures.bytes(LargeReadTests.large, seed: 1)
    let id = try await append(store, plain)
    disk.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [819_200..<823_296] } }
    #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(id) } == .io)
    #expect(store.status(of: id) != nil)
    disk.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [] } }
    #expect(try await store.bytes(id) == plain)
    await store.close()
  }

  @Test("what was read is remembered until as many others were, and nothing else is taken for it")
  func history() {
    var random = SeededRandom(seed: 9)
    func block() -> BlockID { BlockID(words: (0, 0, 0, random.next())) }
    let history = ReadHistory(places: 256)
    let first = (0..<64).map { _ in block() }
    #expect(first.allSatisfy { !history.note($0) })
    #expect(first.filter { history.note($0) }.count > 40, "a few share a place")
    #expect((0..<2560).allSatisfy { _ in !history.note(block()) })
    #expect(first.allSatisfy { !history.note($0) })
  }
}
