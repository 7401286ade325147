import BlockModel
import BlockStore
import Glibc
import Platform

/// Appends to a store of its own, each record sealed as a node's first replica seals it. Hashing is the node's, not the store's.
struct StoreBench: Sendable {
  private let store: SegmentStore
  private let keys: DataKeyring?

  init(folder: String, isEncrypted: Bool, durability: Receipt.Durability) throws {
    keys = isEncrypted ? DataKeyring(keys: [(epoch: 1, key: SecretBytes(randomCount: 32))]) : nil
    var configuration = SegmentStore.Configuration(folder: folder, cluster: ClusterID.random(), keys: keys)
    configuration.durability = durability
    store = try SegmentStore.open(configuration)
  }

  func append(count: Int, sizeBytes: Int, writers: Int) async -> (round: RoundResult, processorSeconds: Double) {
    let capacity = RecordLayout.recordBytes(storedBytes: sizeBytes).roundedUp(to: 4096)
    let buffers = BufferPool(bufferCapacity: capacity, limit: writers)
    // Every writer's memory is touched before the clock starts.
    _ = await LoadGenerator.run(count: writers, concurrency: writers) { _ in try await append(sizeBytes, buffers) }
    let before = ProcessorLimits.processorSeconds()
    let round = await LoadGenerator.run(count: count, concurrency: writers) { _ in try await append(sizeBytes, buffers) }
    return (round, ProcessorLimits.processorSeconds() - before)
  }

  /// The name is random and the bytes are whatever the buffer holds: neither makes a difference here.
  private func append(_ sizeBytes: Int, _ buffers: BufferPool) async throws -> Int {
    let buffer = try await buffers.acquire(patience: .seconds(60))
    let block = BlockID(words: (.random(in: 0 ... .max), .random(in: 0 ... .max), .random(in: 0 ... .max), .random(in: 0 ... .max)))
    let sealer = try RecordSealer(
      buffer: buffer, block: block, plainBytes: sizeBytes, storedBytes: sizeBytes, encoding: .plain, keys: keys)
    _ = try await store.append(try sealer.finish(gcEpoch: 1))
    return sizeBytes
  }

  func close() async { await store.close() }
}

/// What many stores do: a file for each block, written under a temporary name, synced, renamed, and the folder synced.
struct FilePerBlock: Sendable {
  let folder: String

  func write(count: Int, sizeBytes: Int, writers: Int) async -> (round: RoundResult, processorSeconds: Double) {
    let bytes = IOBuffer(capacity: sizeBytes)
    SecureRandom.fill(bytes.mutableBytes(0..<sizeBytes))
    let threads = BlockingPool(name: "files", threads: writers, queueLimit: writers)
    let before = ProcessorLimits.processorSeconds()
    let round = await LoadGenerator.run(count: count, concurrency: writers) { [folder] index in
      try await threads.run {
        let file = try File("\(folder)/.\(index)", [.write, .create])
        try file.pwrite(bytes.bytes(0..<sizeBytes), at: 0)
        try file.fdatasync()
        try Directory.renameDurably("\(folder)/.\(index)", to: "\(folder)/\(index)")
        return sizeBytes
      }
    }
    return (round, ProcessorLimits.processorSeconds() - before)
  }
}

/// What one core can do at most.
enum ProcessorLimits {
  static func hashing() -> Double { rate { _ = SHA256Hasher.hash($0.bytes(0..<$0.capacity)) } }

  static func copying() -> Double {
    // As far apart as a block that arrives and the page cache: no cache holds both.
    let targets = (0..<32).map { _ in IOBuffer(capacity: Limits.blockBytes) }
    var next = 0
    return rate { source in
      targets[next % targets.count].mutableBytes(0..<source.capacity).copyMemory(from: source.bytes(0..<source.capacity))
      next += 1
    }
  }

  /// MB/s of `work` over a block in memory, for a second.
  private static func rate(_ work: (IOBuffer) -> Void) -> Double {
    let sources = (0..<32).map { _ in
      let buffer = IOBuffer(capacity: Limits.blockBytes)
      SecureRandom.fill(buffer.mutableBytes(0..<Limits.blockBytes))
      return buffer
    }
    let clock = ContinuousClock()
    let began = clock.now
    var rounds = 0
    while clock.now - began < .seconds(1) {
      work(sources[rounds % sources.count])
      rounds += 1
    }
    return Double(rounds * Limits.blockBytes) / 1e6 / (clock.now - began).inSeconds
  }

  /// Of all threads of this process, user and system.
  static func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }
}
