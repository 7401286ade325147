import BlockModel
import BlockStore
import Glibc
import Platform
import Simulator

/// Appends, raises and deletes numbered blocks, several at once, and says so.
enum StoreWriter {
  /// Blocks that are worked on at the same time.
  private static let burst = 4

  static func run(folder: String, count: Int) async -> Int32 {
    // All calls to the disk come from one thread: whoever counts them to stop at the Nth has one count.
    let thread = BlockingPool(name: "disk", threads: 1)
    do {
      let configuration = configuration(folder, thread)
      let store = try await thread.run { try SegmentStore.open(configuration) }
      for first in stride(from: 0, to: count, by: burst) {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for number in first..<min(count, first + burst) { group.addTask { try await work(on: number, store) } }
          try await group.waitForAll()
        }
      }
      await store.close()
      return 0
    } catch {
      say("failed: \(error)")
      return 3
    }
  }

  private static func configuration(_ folder: String, _ thread: BlockingPool) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: folder, cluster: StoreRun.cluster, keys: StoreContents.keys)
    configuration.segmentBytes = 256 << 10
    configuration.checkpointRecords = 12
    configuration.directWriteBytes = 64 << 10
    configuration.makeQueue = { _ in thread }
    return configuration
  }

  /// Every block is appended; some are raised, deleted, and appended again.
  private static func work(on number: Int, _ store: SegmentStore) async throws {
    let block = StoreContents.numbered(number)
    try await tell("append \(number) \(number % 5)") {
      _ = try await store.append(block.record(gcEpoch: UInt64(number % 5), isEncrypted: true))
    }
    if number % 3 == 0 { try await tell("raise \(number) 7") { _ = try await store.raiseEpoch(of: block.id, to: 7) } }
    if number % 4 == 0 { try await tell("delete \(number) 9") { _ = try await store.delete(block.id, ifEpochBelow: 9) } }
    if number % 8 == 0 {
      try await tell("append \(number) 10") { _ = try await store.append(block.record(gcEpoch: 10, isEncrypted: true)) }
    }
  }

  private static func tell(_ what: String, _ body: () async throws -> Void) async throws {
    say("? " + what)
    try await body()
    say("! " + what)
  }

  /// One `write`, so that lines of different tasks do not mix and nothing waits in a buffer of this process.
  static func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
  }
}
