import BlockModel
import BlockStore
import CommandLineKit
import Platform
import Synchronization

/// `cairnbench store-index`: what a block store's index takes in memory and time, on a disk folder of its own.
enum StoreIndexBench {
  static let command = Command(
    "store-index", summary: "measure a block store's index",
    discussion: "Makes disks below FOLDER and removes them. Ten million blocks take 2.6 GB there and about a GB of memory.",
    options: [
      CommandOption("folder", value: "FOLDER", help: "where the disks go", default: "/var/tmp"),
      CommandOption("blocks", value: "N", help: "blocks in the index", kind: .integer(10_000...50_000_000), default: "10000000"),
      CommandOption("scan", value: "BYTES", help: "bytes of 16 KiB blocks that are scanned", kind: .size, default: "2GiB"),
    ]
  ) { invocation in
    let count = invocation.int("blocks") ?? 10_000_000
    let console = invocation.console
    console.print("| what | measured | goal |\n|---|---|---|")
    try memory(count, console)
    let folder = try Directory.makeUnique(in: invocation.option("folder") ?? "/var/tmp", prefix: "cairn-index")
    defer { try? Directory.removeTree(folder) }
    try await opening(count, folder + "/disk-1", console)
    try await scanning(Int(invocation.size("scan") ?? 2 << 30) / (16 << 10), folder + "/disk-2", console)
  }

  private static let clock = ContinuousClock()

  private static func seconds(_ body: () throws -> Void) rethrows -> Double { try clock.measure(body).inSeconds }

  private static func id(_ number: Int) -> BlockID {
    var random = SeededRandom(seed: UInt64(number))
    return BlockID(words: (random.next(), random.next(), random.next(), random.next()))
  }

  /// The index alone: memory, adding, and asking for ids that are here and for as many that are not, in batches of 10,000.
  private static func memory(_ count: Int, _ console: Console) throws {
    let ids = (0..<min(count, 2_000_000)).map { id($0 * 2 % (2 * count)) }
    let before = Machine.residentBytes
    let index = BlockIndex()
    let filling = try seconds {
      for number in 0..<count {
        try index.set(
          IndexEntry(
            id: id(number), location: RecordLocation(slot: 1, unit: UInt32(number % 1000)), plainBytes: 16_384, storedBytes: 16_384,
            encoding: .plain, gcEpoch: 3))
      }
    }
    let bytes = Double(Machine.residentBytes - before) / Double(count)
    console.print("| memory a block, of \(HumanFormat.count(count)) | \(rounded(bytes, 2)) bytes | ≤ 48 |")
    console.print("| blocks added a second, at random | \(HumanFormat.count(Int(Double(count) / filling))) | |")
    var found = 0
    let asking = seconds {
      for start in stride(from: 0, to: ids.count, by: 10_000) {
        for exists in index.existence(of: Array(ids[start..<min(ids.count, start + 10_000)])) where exists { found += 1 }
      }
    }
    console.print(
      "| ids asked for a second, in batches of 10,000, \(found * 100 / ids.count) % of them here "
        + "| \(HumanFormat.count(Int(Double(ids.count) / asking))) | ≥ 2,000,000 |")
  }

  private static func configuration(_ folder: String, durability: Receipt.Durability = .relaxed) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: folder, cluster: ClusterID(high: 1, low: 2), keys: nil)
    configuration.durability = durability
    configuration.checkpointRecords = .max
    return configuration
  }

  private static func fill(_ store: SegmentStore, _ count: Int, payloadBytes: Int) async throws {
    let next = Counter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<512 {
        group.addTask {
          let buffer = IOBuffer(capacity: RecordLayout.recordBytes(storedBytes: payloadBytes).roundedUp(to: 4096))
          buffer.mutableBytes(0..<buffer.capacity).initializeMemory(as: UInt8.self, repeating: 7)
          while true {
            let number = next.next()
            guard number < count else { return }
            let sealer = try RecordSealer(
              buffer: buffer, block: id(number), plainBytes: payloadBytes, storedBytes: payloadBytes, encoding: .plain, keys: nil)
            _ = try await store.append(try sealer.finish(gcEpoch: 1))
          }
        }
      }
      try await group.waitForAll()
    }
  }

  /// A disk of empty blocks: everything but the index is as small as it can be.
  private static func opening(_ count: Int, _ folder: String, _ console: Console) async throws {
    let store = try SegmentStore.open(configuration(folder))
    try await fill(store, count, payloadBytes: 0)
    let start = clock.now
    await store.close()
    console.print("| checkpoint of \(HumanFormat.count(count)) blocks written | \(rounded((clock.now - start).inSeconds, 2)) s | |")
    var blocks = 0
    var again: SegmentStore?
    let opening = try seconds {
      again = try SegmentStore.open(configuration(folder))
      blocks = again?.space().blockCount ?? 0
    }
    guard let again, again.openReport.usedCheckpoint, blocks == count else { throw CommandFailure(.failed, "\(blocks) blocks were found.") }
    console.print("| the same opened from the checkpoint | \(rounded(opening, 2)) s | ≤ 5 s |")
    await again.close()
  }

  /// A scan without a checkpoint, against reading the same files past the page cache from start to end. Strict, because later records then
  /// vouch for earlier ones as they do on a node's disk.
  private static func scanning(_ count: Int, _ folder: String, _ console: Console) async throws {
    let store = try SegmentStore.open(configuration(folder, durability: .strict))
    try await fill(store, count, payloadBytes: 16 << 10)
    await store.close()
    try Directory.remove(folder + "/index.checkpoint")
    var bytes: Int64 = 0
    let buffer = IOBuffer(capacity: 1 << 20)
    let reading = try seconds {
      for name in try Directory.list(folder + "/segments") {
        let file = try File(folder + "/segments/" + name, [.read, .direct])
        var offset: Int64 = 0
        while true {
          let got = try file.pread(into: buffer.mutableBytes(0..<(1 << 20)), at: offset)
          offset += Int64(got)
          if got < 1 << 20 { break }
        }
        bytes += offset
      }
    }
    var scanned: SegmentStore?
    let scanning = try seconds { scanned = try SegmentStore.open(configuration(folder)) }
    guard let scanned, scanned.openReport.scannedRecords == count else {
      throw CommandFailure(.failed, "The scan did not find all blocks.")
    }
    await scanned.close()
    func rate(_ seconds: Double) -> Double { Double(bytes) / 1e6 / seconds }
    console.print(
      "| \(HumanFormat.size(bytes)) of 16 KiB blocks scanned: MB/s, against reading the files past the cache "
        + "| \(rounded(rate(scanning))) against \(rounded(rate(reading))), ratio \(rounded(reading / scanning, 2)) | ≥ 1 |")
  }
}

/// Hands out numbers to many tasks.
private final class Counter: Sendable {
  private let value = Mutex(0)
  func next() -> Int {
    value.withLock { value in
      defer { value += 1 }; return value
    }
  }
}
