import BlockModel
import BlockStore
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import Synchronization
import TestSupport

/// A coordinator that notes what heartbeats say, and tells where other replicas are when it knows the cluster.
final class FakeControl: ControlPlane {
  private struct State {
    var rotten: Set<BlockID> = []
    var disks: [[DiskReport]] = []
    var clientRequests = 0
    var sourcesAsked = 0
    var sources: (@Sendable (BlockID, Int, NodeID) -> [SignedTarget])?
  }
  private let state = Mutex(State())

  var rotten: Set<BlockID> { state.withLock { $0.rotten } }
  /// What the last heartbeats said of the first disk's scrub.
  var scrubs: [ScrubReport] { state.withLock { $0.disks.compactMap { $0.first?.scrub } } }
  var disks: [DiskReport] { state.withLock { $0.disks.last ?? [] } }
  var beats: Int { state.withLock { $0.disks.count } }
  /// What heartbeats said that clients asked for, all together.
  var clientRequests: Int { state.withLock { $0.clientRequests } }
  var sourcesAsked: Int { state.withLock { $0.sourcesAsked } }

  func giveSources(of cluster: TestCluster) {
    state.withLock { state in
      state.sources = { [unowned cluster] block, size, caller in
        cluster.nodes.indices.filter { cluster.nodes[$0].id != caller }.map { index in
          SignedTarget(
            node: cluster.nodes[index].id, zone: cluster.nodes[index].zone,
            url: cluster.url(cluster.capability(.record, block, size: size, at: index)))
        }
      }
    }
  }

  func perform<Operation: ControlOperation>(_ operation: Operation, context: ControlContext) async throws(Problem) -> Operation.Response {
    var answer: Any?
    if let heartbeat = operation as? ClusterOperations.Heartbeat {
      state.withLock { state in
        state.rotten.formUnion(heartbeat.rottenBlocks)
        state.disks.append(heartbeat.disks)
        state.clientRequests += heartbeat.foreground?.requests ?? 0
      }
      answer = HeartbeatReply(view: nil, generation: 1, dataKeys: .use(current: 1), intervalMilliseconds: 1000)
    } else if let request = operation as? ClusterOperations.GetReplicaSources {
      let give = state.withLock { state in
        state.sourcesAsked += 1
        return state.sources
      }
      answer = context.node.flatMap { caller in give.map { ReplicaSources(sources: $0(request.block, request.size, caller)) } }
    }
    guard let response = answer as? Operation.Response else { throw Problem(.unavailable, "The coordinator is down.") }
    return response
  }
}

extension TestNode {
  /// Changes a byte of the node's copy where it lies.
  func damage(_ block: BlockID, random: inout SeededRandom) throws {
    if let memory = disk as? MemoryStore {
      guard memory.rot(block) else { throw NoSuchCopy() }
      return
    }
    try TestRecords.damage(block, folder: folder.path("disk"), random: &random)
  }
}

struct NoSuchCopy: Error {}

enum TestRecords {
  static func record(_ bytes: [UInt8], keys: DataKeyring? = nil) throws -> SealedRecord {
    let buffer = IOBuffer(capacity: RecordLayout.bufferBytes)
    let sealer = try RecordSealer(
      buffer: buffer, block: TestCluster.name(bytes), plainBytes: bytes.count, storedBytes: bytes.count, encoding: .plain, keys: keys)
    for start in stride(from: 0, to: bytes.count, by: Limits.frameBytes) {
      let piece = bytes[start..<min(start + Limits.frameBytes, bytes.count)]
      let place = RecordLayout.frameStart(start / Limits.frameBytes)
      buffer.mutableBytes(place..<(place + piece.count)).copyBytes(from: piece)
    }
    return try sealer.finish(gcEpoch: 1)
  }

  /// Flips a bit behind the last headers of this block that any segment has, on the disk and in the page cache.
  static func damage(_ block: BlockID, folder: String, random: inout SeededRandom) throws {
    let name = block.hex
    var found: (path: String, offset: Int)?
    for file in try Directory.list(folder + "/segments") {
      let path = folder + "/segments/" + file
      guard let bytes = try AtomicFile.read(path, limit: 64 << 20) else { continue }
      let id = HexDigits.decode(name)!
      var offset = 4096
      while offset + RecordLayout.framesStart < bytes.count {
        // A record: the id stands 80 bytes behind the local header's start.
        if bytes[offset] == UInt8(ascii: "C"), bytes[offset + 5] == 1, bytes[(offset + 80)..<(offset + 112)].elementsEqual(id) {
          found = (path, offset)
        }
        offset += 64
      }
    }
    guard let found else { throw NoSuchCopy() }
    let file = try File(found.path, [.read, .write])
    let at = Int64(found.offset + RecordLayout.framesStart + Int.random(in: 0..<8, using: &random))
    var byte: [UInt8] = [0]
    _ = try byte.withUnsafeMutableBytes { try file.pread(into: $0, at: at) }
    byte[0] ^= 4
    try byte.withUnsafeBytes { try file.pwrite($0, at: at) }
    try file.fdatasync()
  }
}
