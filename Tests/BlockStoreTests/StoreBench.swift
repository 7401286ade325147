import BlockModel
import BlockStore
import Glibc
import Platform
import Synchronization
import Testing

/// Figures, not promises: `CAIRN_BENCH=1 swift test -c release --filter StoreBench`. `CAIRN_BENCH_FOLDER` says where; ratios are taken in
/// one run.
@Suite(.serialized, .enabled(if: environment("CAIRN_BENCH") != nil))
struct StoreBench {
  private static let folder = environment("CAIRN_BENCH_FOLDER") ?? "/var/tmp"
  private static let clock = ContinuousClock()

  private func withStore<R>(
    _ durability: Receipt.Durability = .strict, keys: DataKeyring? = Fixtures.ring(1), _ body: (SegmentStore) async throws -> R
  ) async throws -> R {
    let folder = try Directory.makeUnique(in: Self.folder, prefix: "cairn-bench")
    defer { try? Directory.removeTree(folder) }
    var configuration = SegmentStore.Configuration(folder: folder + "/disk-1", cluster: StoreKind.cluster, keys: keys)
    configuration.durability = durability
    let store = try SegmentStore.open(configuration)
    let result = try await body(store)
    await store.close()
    return result
  }

  /// Seconds that `writers` tasks take for `count` blocks of `bytes` each, sealing included.
  private func append(_ store: SegmentStore, writers: Int, count: Int, bytes: Int, keys: DataKeyring?) async throws -> Double {
    let next = Counter()
    let plain = Fixtures.bytes(bytes, seed: 1)
    let started = Self.clock.now
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<writers {
        group.addTask {
          let buffer = IOBuffer(capacity: RecordLayout.recordBytes(storedBytes: bytes).roundedUpToPage)
          while true {
            let number = next.next()
            guard number < count else { return }
            Fixtures.place(plain, in: buffer)
            let id = BlockID(words: (UInt64(number) &* 0x9E37_79B9_7F4A_7C15, 0, 0, UInt64(number)))
            _ = try await store.append(Self.record(id, bytes, buffer, keys))
          }
        }
      }
      try await group.waitForAll()
    }
    return Self.seconds(since: started)
  }

  private static func record(_ id: BlockID, _ bytes: Int, _ buffer: IOBuffer, _ keys: DataKeyring?) throws -> SealedRecord {
    let sealer = try RecordSealer(buffer: buffer, block: id, plainBytes: bytes, storedBytes: bytes, encoding: .plain, keys: keys)
    return try sealer.finish(gcEpoch: 1)
  }

  private static func seconds(since start: ContinuousClock.Instant) -> Double {
    let (seconds, attoseconds) = (clock.now - start).components
    return Double(seconds) + Double(attoseconds) / 1e18
  }

  private static func format(_ value: Double) -> String {
    let tenths = Int((value * 100).rounded())
    return "\(tenths / 100).\(tenths % 100 < 10 ? "0" : "")\(tenths % 100)"
  }

  @Test("4 MiB strict encrypted appends against one sequential writer with O_DIRECT and O_DSYNC-like syncs")
  func largeAppends() async throws {
    let count = Int(environment("CAIRN_BENCH_MIB") ?? "2048")! / 4
    for round in 0..<3 {
      let plainSeconds = try Self.sequential(count: count)
      let storeSeconds = try await withStore { try await append($0, writers: 16, count: count, bytes: 4 << 20, keys: Fixtures.ring(1)) }
      let clearSeconds = try await withStore(keys: nil) { try await append($0, writers: 16, count: count, bytes: 4 << 20, keys: nil) }
      let mib = Double(count * 4)
      print(
        "4 MiB strict, 16 writers, round \(round): store \(Int(mib / storeSeconds)) MiB/s, without encryption \(Int(mib / clearSeconds)),"
          + " sequential direct write + fdatasync \(Int(mib / plainSeconds)) MiB/s, ratio \(Self.format(plainSeconds / storeSeconds))")
    }
  }

  /// 4 MiB at a time past the page cache into a preallocated file, each synced: what `dd oflag=direct,dsync` does.
  private static func sequential(count: Int) throws -> Double {
    let path = folder + "/cairn-bench-\(getpid())"
    defer { try? Directory.remove(path) }
    var file = try? File(path, [.write, .create, .direct])
    if file == nil { file = try File(path, [.write, .create]) }
    let buffer = IOBuffer(capacity: 4 << 20)
    place(buffer)
    let started = clock.now
    for number in 0..<count {
      try file!.pwrite(buffer.bytes(0..<(4 << 20)), at: Int64(number) * (4 << 20))
      try file!.fdatasync()
    }
    return seconds(since: started)
  }

  private static func place(_ buffer: IOBuffer) {
    buffer.mutableBytes(0..<buffer.capacity).copyBytes(from: Fixtures.bytes(buffer.capacity, seed: 3))
  }

  @Test("16 KiB strict appends with 64 writers, against a file, a sync, a rename and a folder sync for each")
  func smallAppends() async throws {
    for round in 0..<3 {
      let store = try await withStore { try await append($0, writers: 64, count: 20_000, bytes: 16 << 10, keys: Fixtures.ring(1)) }
      let files = try Self.filePerBlock(writers: 64, count: 2000)
      print(
        "16 KiB strict, 64 writers, round \(round): store \(Int(20_000 / store))/s, file per block \(Int(2000 / files))/s,"
          + " ratio \(Self.format((20_000 / store) / (2000 / files)))")
    }
    let alone = try await withStore { try await append($0, writers: 1, count: 1000, bytes: 16 << 10, keys: Fixtures.ring(1)) }
    print("16 KiB strict, 1 writer: \(Int(1000 / alone))/s")
  }

  private static func filePerBlock(writers: Int, count: Int) throws -> Double {
    let folder = try Directory.makeUnique(in: folder, prefix: "cairn-bench")
    defer { try? Directory.removeTree(folder) }
    let buffer = IOBuffer(capacity: 16 << 10)
    place(buffer)
    let next = Counter()
    let started = clock.now
    let threads = (0..<writers).map { writer in
      WorkerThread.start(name: "bench-\(writer)") {
        while true {
          let number = next.next()
          guard number < count else { return }
          let path = folder + "/\(number)"
          do {
            let file = try File(path + ".tmp", [.write, .create])
            try file.pwrite(buffer.bytes(0..<(16 << 10)), at: 0)
            try file.fdatasync()
            try Directory.rename(path + ".tmp", to: path)
            try Directory.sync(folder)
          } catch { return }
        }
      }
    }
    for thread in threads { thread.join() }
    return seconds(since: started)
  }

  @Test("warm reads of 16 KiB and 4 MiB")
  func reads() async throws {
    for (bytes, count, reads) in [(16 << 10, 5000, 60_000), (4 << 20, 64, 1500)] {
      for keys in [Fixtures.ring(1), nil] as [DataKeyring?] {
        try await withStore(.relaxed, keys: keys) { store in
          _ = try await append(store, writers: 8, count: count, bytes: bytes, keys: keys)
          let pool = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: 8)
          let next = Counter()
          let started = Self.clock.now
          try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
              group.addTask {
                while true {
                  let number = next.next()
                  guard number < reads else { return }
                  let id = BlockID(words: (UInt64(number % count) &* 0x9E37_79B9_7F4A_7C15, 0, 0, UInt64(number % count)))
                  _ = try await store.read(id, range: nil, into: pool)
                }
              }
            }
            try await group.waitForAll()
          }
          let seconds = Self.seconds(since: started)
          print(
            "read \(bytes >> 10) KiB warm, 8 readers, \(keys == nil ? "checksummed" : "encrypted"): \(Int(Double(reads) / seconds))/s,"
              + " \(Int(Double(reads * bytes >> 20) / seconds)) MiB/s")
        }
      }
    }
  }

  @Test("opening four hundred thousand blocks from a checkpoint")
  func opening() async throws {
    // Entries are made by appending empty blocks without syncs; only the checkpoint is measured.
    let folder = try Directory.makeUnique(in: Self.folder, prefix: "cairn-bench")
    defer { try? Directory.removeTree(folder) }
    var configuration = SegmentStore.Configuration(folder: folder + "/disk-1", cluster: StoreKind.cluster, keys: nil)
    configuration.durability = .relaxed
    configuration.checkpointRecords = .max
    let store = try SegmentStore.open(configuration)
    let count = 400_000
    _ = try await append(store, writers: 256, count: count, bytes: 0, keys: nil)
    let closing = Self.clock.now
    await store.close()
    let closed = Self.seconds(since: closing)
    let opening = Self.clock.now
    let again = try SegmentStore.open(configuration)
    let opened = Self.seconds(since: opening)
    #expect(again.space().blockCount == count)
    await again.close()
    try Directory.remove(configuration.folder + "/index.checkpoint")
    let scanning = Self.clock.now
    let scanned = try SegmentStore.open(configuration)
    print("\(count) blocks: checkpoint written in \(closed) s, opened in \(opened) s, scanned in \(Self.seconds(since: scanning)) s")
    #expect(scanned.openReport.scannedRecords == count)
    await scanned.close()
  }
}

/// Hands out numbers to many tasks.
final class Counter: Sendable {
  private let value = Atomic<Int>(0)
  func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}
