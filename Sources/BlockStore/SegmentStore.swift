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
  /// What a queue of the store's is for: its threads' name and number, jobs that may wait, and how urgent they are.
  package struct QueueKind: Sendable {
    package var name: String
    package var threads: Int
    package var queueLimit: Int
    package var priority = ThreadPriority.normal
  }

  package struct Configuration: Sendable {
    /// The disk's folder; made when it is not there.
    package var folder: String
    package var cluster: ClusterID
    /// Whose disk it is: one that says it is another node's is refused, one that says nothing is claimed. Nil does not ask.
    package var owner: NodeID?
    /// Nil when encryption is off.
    package var keys: DataKeyring?
    package var durability = Receipt.Durability.strict
    /// Bytes of a segment, 64 KiB to 1 GiB, a multiple of 4 KiB.
    package var segmentBytes = 1 << 30
    /// The most that segments may take, without their unused ends; nil for as much as the file system has.
    package var capacityBytes: Int64?
    /// Whether an empty folder becomes a new disk. Without it, a mount that is missing is not mistaken for one.
    package var formatsEmptyFolder = true
    package var watermarks = Watermarks()
    package var compaction = CompactionPolicy()
    /// Kept free by a file of this size, so that deletes and compaction go on when the file system has nothing left; at most a segment.
    package var reserveBytes = 64 << 20
    package var readThreads = 8
    /// Operations that may wait for the writer; one more is refused with `.busy`.
    package var queueLimit = 4096
    /// Records after which a checkpoint of the index is written, or an eighth of the blocks if that is more.
    package var checkpointRecords = 100_000
    package var openFileLimit = 256
    /// Bytes from which on a batch is written past the page cache.
    package var directWriteBytes = 1 << 20
    /// Bytes of a record from which on it is read past the page cache when it was not read lately; no fewer than `directWriteBytes`, so
    /// that it was written past it too.
    package var directReadBytes = 1 << 20
    package var fileSystem: any FileSystem = LinuxFileSystem()
    package var time: any TimeSource = SystemTime()
    /// Makes the queues that the store's blocking work runs on. A simulator gives its own; it sees every call to `fileSystem` and nothing
    /// else that blocks, and no lock is held during one.
    package var makeQueue: @Sendable (QueueKind) -> any WorkQueue = { kind in
      BlockingPool(name: kind.name, threads: kind.threads, queueLimit: kind.queueLimit, priority: kind.priority)
    }
    /// A scan at the start reads the next megabyte on a thread of its own, which is not one of `makeQueue`'s. A simulator says no.
    package var scansAhead = true
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
  let history = ReadHistory()
  let state: Mutex<State>
  /// Writers and syncers.
  let commitThreads: any WorkQueue
  /// One thread: a checkpoint is written after the other.
  let checkpointThread: any WorkQueue
  let readThreads: any WorkQueue
  /// For the scrub: one, of lower weight than the others.
  let scrubThread: any WorkQueue
  /// Whether `State.dead` is set, for lookups, which take no lock.
  let isDead = Atomic<Bool>(false)

  struct State {
    var commit: GroupCommit<StoreOperation, CommitBatch>
    var ledger: CommitLedger
    /// By slot.
    var segments: [Segment]
    var applied: AppliedPosition
    /// Bytes of the records that the index names.
    var liveBytes: Int64
    /// Bytes of the files beside the segments.
    var checkpointBytes: Int64
    var reserveBytes: Int64 = 0
    /// The segment that is being compacted, nil between two.
    var compaction: CompactionJob?
    var isCompacting = false
    var failure: String?
    /// Why nothing can be read: the disk does not answer.
    var dead: String?
    var fullReason: String?
    var retryWhenFull = MonotonicTime.zero
    var isClosing = false
    var drainWaiters: [CheckedContinuation<Void, Never>] = []
    var recordsSinceCheckpoint = 0
    var isCheckpointing = false
    /// The data key's epoch when each segment was begun, by the segment's number, as far as it is known; 0 without encryption.
    var keyEpochs: [UInt32: UInt32] = [:]
    /// Keeps other processes out for as long as it is open.
    var lock: (any OpenFile)?

    /// Nothing is on its way that changes the disk.
    var isDrained: Bool { commit.isIdle && !isCompacting }
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
    commitThreads = configuration.makeQueue(QueueKind(name: "store-commit", threads: 4, queueLimit: 64))
    checkpointThread = configuration.makeQueue(QueueKind(name: "store-index", threads: 1, queueLimit: 4))
    readThreads = configuration.makeQueue(QueueKind(name: "store-read", threads: configuration.readThreads, queueLimit: 4096))
    scrubThread = configuration.makeQueue(QueueKind(name: "store-scrub", threads: 1, queueLimit: 16, priority: .background))
    var limits = GroupCommit<StoreOperation, CommitBatch>.Limits()
    limits.queued = configuration.queueLimit
    state = Mutex(
      State(
        commit: GroupCommit(limits: limits) { $0.segmentBytes }, ledger: recovered.ledger, segments: recovered.segments,
        applied: recovered.applied, liveBytes: recovered.segments.reduce(0) { $0 + $1.usage.recordBytes },
        checkpointBytes: recovered.checkpointBytes, lock: lock))
  }

  package func status(of block: BlockID) -> StoredBlock? {
    guard !isDead.load(ordering: .relaxed) else { return nil }
    return index.entry(of: block).flatMap { $0.isShown ? $0.stored : nil }
  }

  package func status(of blocks: [BlockID]) -> [StoredBlock?] { blocks.map { status(of: $0) } }

  package func existence(of blocks: [BlockID]) -> [Bool] {
    isDead.load(ordering: .relaxed) ? blocks.map { _ in false } : index.existence(of: blocks)
  }

  package func blocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) -> [StoredBlock] {
    var found: [StoredBlock] = []
    guard limit > 0, !isDead.load(ordering: .relaxed) else { return found }
    index.walk(partition: partition, bits: bits, after: after) { entry in
      if entry.isShown { found.append(entry.stored) }
      return found.count < limit
    }
    return found
  }

  package func setAsideBlocks(limit: Int) -> [BlockID] { index.setAsideBlocks(limit: limit) }

  package func digest(ofPartition partition: Int, bits: Int) -> PartitionDigest {
    isDead.load(ordering: .relaxed) ? .empty : index.digest(partition: partition, bits: bits)
  }

  package func health() -> DiskHealth {
    state.withLock { state in
      if let dead = state.dead { return .failed(reason: dead) }
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
        if !state.isDrained { state.drainWaiters.append(continuation) }
        return state.isDrained
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
