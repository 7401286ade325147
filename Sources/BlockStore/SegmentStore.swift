package import BlockModel
package import Platform
internal import Synchronization

/// Blocks in append-only segment files in one folder of one disk (`docs/formats.md`).
///
/// What must hold: nothing is acknowledged before an `fdatasync` that covers it returned without error, in this process; nothing is
/// read from a record whose check fails; and after the first failed write or sync nothing is acknowledged any more.
///
/// Threads: callers' tasks only queue; one write and one sync run at a time on the store's own threads, checkpoints and reads on others.
/// The state's lock is held for planning and counting; no lock is held over a call that blocks.
package final class SegmentStore: BlockStoring {
  /// How a disk is opened.
  package struct Configuration: Sendable {
    /// The disk's folder; made when it is not there.
    package var folder: String
    package var cluster: ClusterID
    /// Nil when encryption is off.
    package var keys: DataKeyring?
    package var durability = Receipt.Durability.strict
    /// Bytes of a segment, 64 KiB to 1 GiB, a multiple of 4 KiB.
    package var segmentBytes = 1 << 30
    /// The most that segments may take, without their unused ends; nil for as much as the file system has.
    package var capacityBytes: Int64?
    /// Whether an empty folder becomes a new disk. Without it, a mount that is missing is not mistaken for one.
    package var formatsEmptyFolder = true
    package var readThreads = 8
    /// Operations that may wait for the writer; one more is refused with `.busy`.
    package var queueLimit = 4096
    /// Records after which a checkpoint of the index is written, or an eighth of the blocks if that is more.
    package var checkpointRecords = 100_000
    package var openFileLimit = 256
    /// Bytes from which on a batch is written past the page cache.
    package var directWriteBytes = 1 << 20
    package var fileSystem: any FileSystem = LinuxFileSystem()
    package var time: any TimeSource = SystemTime()
    /// Makes the queues that the store's blocking work runs on: name, threads, and jobs that may wait. A simulator gives its own; it sees
    /// every call to `fileSystem` and nothing else that blocks, and no lock is held during one.
    package var makeQueue: @Sendable (_ name: String, _ threads: Int, _ queueLimit: Int) -> any WorkQueue = { name, threads, limit in
      BlockingPool(name: name, threads: threads, queueLimit: limit)
    }
    /// Draws the bits of new identifiers.
    package var randomWord: @Sendable () -> UInt64 = { .random(in: 0 ... .max) }

    package init(folder: String, cluster: ClusterID, keys: DataKeyring?) {
      self.folder = folder
      self.cluster = cluster
      self.keys = keys
    }
  }

  /// What opening found; for logs and for tests.
  package struct OpenReport: Sendable, Equatable {
    /// Records that were read from segments because no checkpoint covered them.
    package var scannedRecords = 0
    /// Records at the end that were not known to be durable and were checked frame by frame.
    package var checkedRecords = 0
    /// Those of them that failed, torn by a crash or never acknowledged, and were set aside.
    package var tornRecords = 0
    package var usedCheckpoint = false
    package var formatted = false
    package var unreadableBytes = 0
  }

  package let disk: DiskID
  package let openReport: OpenReport
  let configuration: Configuration
  let index: BlockIndex
  let files: SegmentFiles
  let maker: SegmentMaker
  let writer: BatchWriter
  let readers = ReaderRegistry()
  let state: Mutex<State>
  /// Writers and syncers.
  let commitThreads: any WorkQueue
  /// One thread: a checkpoint is written after the other.
  let checkpointThread: any WorkQueue
  let readThreads: any WorkQueue

  struct State {
    var commit: GroupCommit<StoreOperation, CommitBatch>
    var ledger: CommitLedger
    /// By slot.
    var segments: [Segment]
    var applied: AppliedPosition
    var liveBytes: Int64
    var failure: String?
    var fullReason: String?
    var retryWhenFull = MonotonicTime.zero
    var isClosing = false
    var drainWaiters: [CheckedContinuation<Void, Never>] = []
    var recordsSinceCheckpoint = 0
    var isCheckpointing = false
    /// Keeps other processes out for as long as it is open.
    var lock: (any OpenFile)?
  }

  /// How far the index and the disk agree: everything before this place is durable and in the index.
  struct AppliedPosition: Equatable, Sendable {
    var slot: UInt32
    var offset: Int
    /// The last sequence number before it.
    var sequence: UInt64
  }

  init(_ recovered: RecoveredDisk, _ configuration: Configuration, lock: any OpenFile) {
    self.configuration = configuration
    disk = recovered.identity.disk
    openReport = recovered.report
    index = recovered.index
    files = recovered.files
    maker = SegmentMaker(
      files: recovered.files, identity: recovered.identity, keys: configuration.keys, segmentBytes: configuration.segmentBytes,
      randomWord: configuration.randomWord)
    writer = BatchWriter(directBytes: configuration.directWriteBytes)
    commitThreads = configuration.makeQueue("store-commit", 4, 64)
    checkpointThread = configuration.makeQueue("store-index", 1, 4)
    readThreads = configuration.makeQueue("store-read", configuration.readThreads, 4096)
    var limits = GroupCommit<StoreOperation, CommitBatch>.Limits()
    limits.queued = configuration.queueLimit
    state = Mutex(
      State(
        commit: GroupCommit(limits: limits) { $0.segmentBytes }, ledger: recovered.ledger, segments: recovered.segments,
        applied: recovered.applied, liveBytes: recovered.liveBytes, lock: lock))
  }

  package func status(of block: BlockID) -> StoredBlock? {
    index.entry(of: block).flatMap { $0.isSetAside ? nil : $0.stored }
  }

  package func status(of blocks: [BlockID]) -> [StoredBlock?] { blocks.map { status(of: $0) } }

  package func blocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) -> [StoredBlock] {
    var found: [StoredBlock] = []
    guard limit > 0 else { return found }
    index.walk(partition: partition, bits: bits, after: after) { entry in
      if !entry.isSetAside { found.append(entry.stored) }
      return found.count < limit
    }
    return found
  }

  package func digest(ofPartition partition: Int, bits: Int) -> PartitionDigest { index.digest(partition: partition, bits: bits) }

  /// Asks the file system, which answers from memory.
  package func space() -> DiskSpace {
    let available = (try? configuration.fileSystem.space(configuration.folder).available) ?? 0
    let shown = index.totals.shown
    return state.withLock { state in
      let unused = Int64(state.ledger.active.map { max(0, $0.blockLimit - $0.end) } ?? 0)
      let onDisk = max(0, available) + unused
      let occupied = state.ledger.occupiedBytes
      let capacity = min(configuration.capacityBytes ?? .max, occupied + onDisk)
      return DiskSpace(
        capacityBytes: capacity, usedBytes: state.liveBytes, freeBytes: max(0, min(onDisk, capacity - occupied)), blockCount: shown)
    }
  }

  package func health() -> DiskHealth {
    state.withLock { state in
      if let failure = state.failure { return .fenced(reason: failure) }
      if state.ledger.refusesBlocks { return .readOnly(reason: state.fullReason ?? "The disk is full.") }
      if state.ledger.isAtCapacity { return .readOnly(reason: "The disk has reached its configured capacity.") }
      return .healthy
    }
  }

  package func close() async {
    await withCheckedContinuation { continuation in
      let isIdle = state.withLock { state in
        state.isClosing = true
        if !state.commit.isIdle { state.drainWaiters.append(continuation) }
        return state.commit.isIdle
      }
      if isIdle { continuation.resume() }
    }
    await withCheckedContinuation { continuation in
      let refusal = checkpointThread.submit {
        self.writeCheckpoint(isLast: true)
        continuation.resume()
      }
      if refusal != nil { continuation.resume() }
    }
    files.closeAll()
    state.withLock { $0.lock = nil }
  }
}
