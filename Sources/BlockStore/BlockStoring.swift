package import BlockModel
package import Platform

/// One disk's blocks. Two implementations share one conformance suite: segments on a file system, and a model in memory.
///
/// A copy that was found bad is **set aside**: it is not shown, `read` answers `.rotten`, raises and deletes answer false, and the next
/// `append` of the block takes its place.
///
/// What must hold: a block that `append` or `raiseEpoch` acknowledged is returned, bit for bit, by every later read in this and every
/// later process until it is deleted; a record whose check fails is never returned.
package protocol BlockStoring: Sendable {
  /// This incarnation of the disk, made when the disk was formatted.
  var disk: DiskID { get }

  /// Where the block stands, from memory; nil when it is not here. Never blocks.
  func status(of block: BlockID) -> StoredBlock?
  /// As `status`, for many at once, in the order asked.
  func status(of blocks: [BlockID]) -> [StoredBlock?]

  /// Stores a finished record and answers when it is as durable as the store's mode promises.
  /// A block that is here already is not stored twice: its epoch is raised instead, and the copy that was here is what is acknowledged,
  /// only after this process knows that copy to be durable.
  func append(_ record: SealedRecord) async throws(BlockStoreError) -> AppendOutcome
  /// As `append`, for several that belong together, so that they are written and synced together; one outcome for each, in their order,
  /// once all are there.
  func append(_ records: [SealedRecord]) async -> [Result<AppendOutcome, BlockStoreError>]

  /// Durably raises the GC epoch of a block that is here; false when it is not here.
  func raiseEpoch(of block: BlockID, to epoch: UInt64) async throws(BlockStoreError) -> Bool

  /// The block's payload (in its stored encoding, unsealed and checked) for `range`, nil for all; at least one frame is read for any range.
  /// - Throws: `.notFound`, `.rotten` when the copy's check fails (it was looked up again and reread past the page cache first), `.busy`
  /// when no buffer came free.
  func read(_ block: BlockID, range: Range<Int>?, into pool: BufferPool) async throws(BlockStoreError) -> Payload

  /// As `read` of the whole payload, for a block that can be had from memory without waiting for anything; nil when it cannot, for whatever
  /// reason, and `read` has to be asked. Opens the record on the caller's thread: meant for small blocks.
  func readCached(_ block: BlockID, into buffer: IOBuffer) -> Payload?

  /// The portable record (header and sealed frames), checked, for another node.
  func readRecord(_ block: BlockID, into pool: BufferPool) async throws(BlockStoreError) -> SealedRecord

  /// Reads the copy back past the page cache, checks every frame, and the SHA-256 of the plain bytes.
  func verify(_ block: BlockID, using pool: BufferPool) async throws(BlockStoreError)

  /// Whether a copy of the block is here that was found bad and set aside, and no good one.
  func isSetAside(_ block: BlockID) -> Bool

  /// The next copies in the order in which they lie on the disk, from the one after `position` on, for the scrub.
  /// - Parameter end: copies at or beyond this place are left out; nil for none.
  /// - Throws: `.busy`, `.closed`.
  func copies(after position: CopyPosition, before end: CopyPosition?, limit: Int) async throws(BlockStoreError) -> CopyPage
  /// Reads copies back past the page cache, as `verify` does, with less weight than everything else; one outcome for each, in their order.
  /// A bad one is set aside; one that the disk cannot read although it can read others is too.
  /// - Throws: `.busy` when no buffer came free, `.closed`, `.fenced` when the whole disk has failed.
  func check(_ copies: [StoredCopy], using pool: BufferPool) async throws(BlockStoreError) -> [CopyCheck]
  /// Whether the disk is still where it was opened: its folder may be unmounted or gone while its files are open. One that is not has
  /// failed from then on.
  func isPresent() async -> Bool
  /// Where the next new block will lie at the earliest.
  func tail() -> CopyPosition
  /// How much there is under the data keys of each epoch, in the order of epochs; none with encryption off.
  ///
  /// Counted by segments, as far as their epochs are known: nothing in a segment is sealed under an older key than the one that was current
  /// when it was begun, but for what was on its way in that very moment.
  func keyEpochs() -> [KeyEpochUse]

  /// How far the scrub has come, as it was last saved; nil when it never was, or cannot be read.
  func loadScrub() async -> ScrubProgress?
  /// Keeps it on the disk, durably.
  /// - Throws: `.io`, `.busy`, `.closed`.
  func saveScrub(_ progress: ScrubProgress) async throws(BlockStoreError)

  /// Which of the blocks are here, in the order asked; the fastest way to ask for many. Never blocks.
  func existence(of blocks: [BlockID]) -> [Bool]

  /// The first half of a delete: when the block is here and its epoch is below `epoch`, it counts as missing from now on, but its copy
  /// stays. An `append` of the block or `restore` takes it back; `purge` deletes it.
  func quarantine(_ block: BlockID, ifEpochBelow epoch: UInt64, at time: WallTime) async throws(BlockStoreError) -> Bool

  /// Takes a block out of quarantine; false when it is in none.
  func restore(_ block: BlockID) async throws(BlockStoreError) -> Bool

  /// The blocks in quarantine in id order, from `after` on, at most `limit`.
  func quarantined(after: BlockID?, limit: Int) -> [QuarantinedBlock]

  /// Deletes blocks that have been in quarantine since before `time`, at most `limit` of them. Gives way to other writes.
  ///
  /// - Returns: how many went; fewer than `limit` when no more are due.
  func purge(quarantinedBefore time: WallTime, limit: Int) async throws(BlockStoreError) -> Int

  /// Deletes at once, a block that is here or in quarantine: writes a tombstone when its epoch is below `epoch`; false when it is not here
  /// or its epoch is not below. For what needs no undoing.
  func delete(_ block: BlockID, ifEpochBelow epoch: UInt64) async throws(BlockStoreError) -> Bool

  /// Does one piece of compaction, if there is one to do: moves about `limitBytes` of live records out of the segment that is worth it
  /// most, and removes the segment once nothing is left in it. Gives way to other writes. One call at a time; a second answers nil at once.
  ///
  /// - Returns: nil when there was nothing to do.
  func compact(limitBytes: Int) async throws(BlockStoreError) -> CompactionReport?

  /// Blocks of one partition in id order, from `after` on, at most `limit`.
  func blocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) -> [StoredBlock]
  /// An order-independent digest of one partition's block ids (sum of the ids' words, and the count): equal sets give equal digests.
  func digest(ofPartition partition: Int, bits: Int) -> PartitionDigest
  /// Blocks whose bad copy was set aside and that have no other one here: a restart must not forget them. At most `limit`, sorted.
  func setAsideBlocks(limit: Int) -> [BlockID]

  func space() -> DiskSpace
  func health() -> DiskHealth
  /// Finishes what is acknowledged, writes a checkpoint, and lets go of the disk. Later calls throw `.closed`.
  func close() async
}

/// What the index knows of one block.
package struct StoredBlock: Sendable, Equatable {
  package var id: BlockID
  package var plainBytes: Int
  package var storedBytes: Int
  package var encoding: ContentEncoding
  package var gcEpoch: UInt64
  package init(id: BlockID, plainBytes: Int, storedBytes: Int, encoding: ContentEncoding, gcEpoch: UInt64) {
    self.id = id
    self.plainBytes = plainBytes
    self.storedBytes = storedBytes
    self.encoding = encoding
    self.gcEpoch = gcEpoch
  }
}

/// A block that counts as missing and can be taken back.
package struct QuarantinedBlock: Sendable, Equatable {
  package var block: StoredBlock
  /// The GC epoch of the delete.
  package var epoch: UInt64
  /// Rounded up to the minute.
  package var since: WallTime
  package init(block: StoredBlock, epoch: UInt64, since: WallTime) {
    self.block = block
    self.epoch = epoch
    self.since = since
  }
}

/// What one piece of compaction did.
package struct CompactionReport: Sendable, Equatable {
  package var movedRecords = 0
  /// Bytes written, with headers and control records.
  package var movedBytes = 0
  /// Bytes of the segment that was removed; 0 when it is not done yet.
  package var removedBytes: Int64 = 0
  package init() {}
}

package struct AppendOutcome: Sendable, Equatable {
  /// False when an equal block was here already.
  package var wasNew: Bool
  package var block: StoredBlock
  package init(wasNew: Bool, block: StoredBlock) {
    self.wasNew = wasNew
    self.block = block
  }
}

/// A sealed record in a buffer: the space for the store's own local header, the portable header, and the frames, as `RecordLayout` places
/// them.
///
/// While a store appends it, the store owns the bytes that do not travel: those before `RecordLayout.localBytes` and those behind the
/// record. So one buffer is appended to one store at a time; others may read the wire form from it meanwhile. A buffer with room for the
/// record rounded up to 4 KiB is written from where it is.
package struct SealedRecord: Sendable {
  package let header: RecordHeader
  package let buffer: IOBuffer
  /// GC epoch that the record is stored under.
  package var gcEpoch: UInt64
  package init(header: RecordHeader, buffer: IOBuffer, gcEpoch: UInt64) {
    self.header = header
    self.buffer = buffer
    self.gcEpoch = gcEpoch
  }
}

/// A block's payload in memory.
package struct Payload: Sendable {
  package let block: StoredBlock
  package let buffer: IOBuffer
  /// Where in the buffer the asked bytes are.
  package let range: Range<Int>
  package init(block: StoredBlock, buffer: IOBuffer, range: Range<Int>) {
    self.block = block
    self.buffer = buffer
    self.range = range
  }
}

/// How much of a disk is sealed under the data keys of one epoch.
package struct KeyEpochUse: Sendable, Equatable {
  package var epoch: UInt32
  package var segments: Int
  package var bytes: Int64
  package init(epoch: UInt32, segments: Int, bytes: Int64) {
    self.epoch = epoch
    self.segments = segments
    self.bytes = bytes
  }
}

package struct PartitionDigest: Sendable, Equatable, Codable {
  package var count: Int
  package var words: [UInt64]
  package init(count: Int, words: [UInt64]) {
    self.count = count
    self.words = words
  }
}

package struct DiskSpace: Sendable, Equatable {
  /// Bytes that blocks may take in all, live records' bytes, and bytes that can be had without compaction.
  package var capacityBytes: Int64
  package var usedBytes: Int64
  package var freeBytes: Int64
  package var blockCount: Int
  /// Bytes that the store takes on its file system: what `du` says of its folder.
  package var occupiedBytes: Int64
  package var level: SpaceLevel
  package init(
    capacityBytes: Int64, usedBytes: Int64, freeBytes: Int64, blockCount: Int, occupiedBytes: Int64 = 0, level: SpaceLevel = .normal
  ) {
    self.capacityBytes = capacityBytes
    self.usedBytes = usedBytes
    self.freeBytes = freeBytes
    self.blockCount = blockCount
    self.occupiedBytes = occupiedBytes
    self.level = level
  }
}

package enum DiskHealth: Sendable, Equatable {
  case healthy
  /// Takes no new blocks; serves reads and deletes.
  case readOnly(reason: String)
  /// A write or sync failed: nothing more is acknowledged until a restart has rechecked the tail. What it holds is still read.
  case fenced(reason: String)
  /// The disk is not there or does not answer: nothing that it holds can be read.
  case failed(reason: String)

  /// Whether what the disk holds can be read.
  package var isThere: Bool {
    switch self {
    case .healthy, .readOnly, .fenced: true
    case .failed: false
    }
  }

  /// Whether the copies on the disk count: on one that takes no more writes they are read, but are to have others beside them.
  package var isSound: Bool {
    switch self {
    case .healthy, .readOnly: true
    case .fenced, .failed: false
    }
  }
}

package struct BlockStoreError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    case notFound, rotten, full, fenced, busy, closed, locked, wrongCluster, wrongNode, newerFormat, wrongKey, malformed, io
    /// The disk answered that it cannot read this place.
    case unreadable
  }
  package var code: Code
  package var message: String
  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  package var description: String { message }
}
