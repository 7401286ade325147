import BlockModel
import BlockStore
import Glibc
import Platform
import Testing

/// The stores that the conformance suite runs over.
enum StoreKind: String, CaseIterable, CustomTestStringConvertible {
  case memory, segments, plainSegments, relaxedSegments

  var testDescription: String { rawValue }
  var keys: DataKeyring? { self == .plainSegments ? nil : Fixtures.ring(1) }

  /// Runs `body` on a fresh store and takes it away afterwards.
  func withStore(
    capacityBytes: Int64? = nil, _ body: (any BlockStoring, DataKeyring?) async throws -> Void
  ) async throws {
    let keys = keys
    if self == .memory {
      return try await body(MemoryStore(keys: keys, capacityBytes: capacityBytes ?? 1 << 40), keys)
    }
    try await withFolder { folder in
      var configuration = StoreKind.configuration(folder, keys: keys)
      configuration.capacityBytes = capacityBytes
      if self == .relaxedSegments { configuration.durability = .relaxed }
      let store = try SegmentStore.open(configuration)
      try await body(store, keys)
      await store.close()
    }
  }

  static let cluster = ClusterID(high: 1, low: 2)

  static func configuration(_ folder: String, keys: DataKeyring?) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: folder + "/disk-1", cluster: cluster, keys: keys)
    configuration.segmentBytes = 16 << 20
    configuration.readThreads = 2
    return configuration
  }
}

/// The value of an environment variable, nil when it is not set.
func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

func withFolder<R>(_ body: (String) async throws -> R) async throws -> R {
  let folder = try Directory.makeUnique(in: "/tmp", prefix: "cairn-store")
  do {
    let result = try await body(folder)
    try? Directory.removeTree(folder)
    return result
  } catch {
    try? Directory.removeTree(folder)
    throw error
  }
}

extension BlockStoring {
  func bytes(_ block: BlockID, _ range: Range<Int>? = nil, pool: BufferPool = Fixtures.pool()) async throws -> [UInt8] {
    let payload = try await read(block, range: range, into: pool)
    return Array(payload.buffer.bytes(payload.range))
  }
}
