internal import BlockModel
internal import HTTPTransport
internal import Platform

/// What all transfers of a client share, so that one bound holds over files and blocks: buffers, threads, and what was learned of nodes.
///
/// Whatever a transfer has in memory lies in one of `buffers`; who holds one never waits for a second.
final class TransferResources: Sendable {
  /// Longer than any pause of the network that the transfer itself would survive.
  static let patienceForBuffer: Duration = .seconds(3600)

  let transport: any HTTPRequesting
  let buffers: BufferPool
  /// Reading, hashing, compressing, writing.
  let threads: BlockingPool
  /// What waits for the disk rather than for a processor: as many requests at a time as keep a disk busy.
  let disk: BlockingPool
  /// One for each thread of `threads`, held only while a job runs.
  let scratch: BufferPool
  /// Small blocks on their way at a time; they share a buffer or have small ones of their own.
  let smallBlocks: TaskLimit
  /// Blocks at a time that are read once more to be sent.
  let rereads: TaskLimit
  let health: NodeHealth
  let pace: TransferPace
  let time: any TimeSource
  let compress: Bool
  let parallel: Int
  let patience: Duration

  init(transport: any HTTPRequesting, configuration: Configuration, time: any TimeSource = SystemTime()) {
    let processors = min(max(Machine.processorCount, 2), 8)
    self.transport = transport
    parallel = min(max(configuration.parallel, 1), 64)
    // Two more than travel at a time: one being read, one being hashed.
    // With room for a block at any place within a page.
    buffers = BufferPool(bufferCapacity: Limits.blockBytes + PartFile.alignment, limit: parallel + 2)
    threads = BlockingPool(name: "cairn-work", threads: processors, queueLimit: 4096)
    disk = BlockingPool(name: "cairn-disk", threads: min(parallel, 4), queueLimit: 4096)
    scratch = BufferPool(bufferCapacity: Limits.blockBytes, limit: processors)
    smallBlocks = TaskLimit(parallel * 4)
    rereads = TaskLimit(parallel)
    health = NodeHealth(time: time)
    pace = TransferPace(bytesPerSecond: configuration.bytesPerSecond, time: time)
    compress = configuration.compress
    patience = max(configuration.patience, .seconds(1))
    self.time = time
  }

  func buffer() async throws -> IOBuffer { try await buffers.acquire(patience: TransferResources.patienceForBuffer) }
}

/// How a URL was refused, where that is not for another node to mend.
enum NodeRefusal: Error, Sendable {
  /// Expired, or of a layout that is past: fresh URLs are needed.
  case staleURL
  /// Says what the node said; another node may do.
  case failed(status: Int, detail: String)
  /// The bytes that came are not the block, or what came with them makes no sense.
  case wrongAnswer
  /// What was sent is not what its name says: only a fresh read helps.
  case wrongBytes(detail: String)

  /// Whether asking another node is pointless.
  static func isFinal(_ error: any Error) -> Bool {
    switch error {
    case NodeRefusal.staleURL, NodeRefusal.wrongBytes: true
    case is CancellationError, is FileError: true
    default: false
    }
  }

  /// What the user is told when no node would do.
  static func sentence(_ error: any Error, verb: String) -> CairnError {
    switch error {
    case NodeRefusal.failed(status: 507, _):
      CairnError(.quota, "No storage node has room for a block; ask the operator for space, then start again.", status: 507)
    case NodeRefusal.failed(let status, let detail):
      CairnError(.unavailable, "No storage node could \(verb) a block (\(detail)); try again, it goes on where it stopped.", status: status)
    case NodeRefusal.wrongAnswer:
      CairnError(.corrupted, "Every copy of a block that was reached is damaged; tell the operator to run “cairnctl repair”.")
    case NodeRefusal.wrongBytes(let detail):
      CairnError(
        .corrupted, "A block changed between hashing and sending (\(detail)); start again, and check this machine's memory if it recurs.")
    case NodeRefusal.staleURL:
      CairnError(
        .unavailable, "The storage nodes refuse URLs that were just made; check that the clocks of the cluster agree, then try again.")
    case let error as HTTPClientError where error.code != .cancelled:
      CairnError(.unavailable, "No storage node could be reached (\(error.message)); try again, it goes on where it stopped.")
    default: CairnError(error)
    }
  }
}
