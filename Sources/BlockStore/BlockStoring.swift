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

  /// Writes a tombstone when the block is here and its epoch is below `epoch`; false when it is not here or its epoch is not below.
  func delete(_ block: BlockID, ifEpochBelow epoch: UInt64) async throws(BlockStoreError) -> Bool

  /// Blocks of one partition in id order, from `after` on, at most `limit`.
  func blocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) -> [StoredBlock]
  /// An order-independent digest of one partition's block ids (sum of the ids' words, and the count): equal sets give equal digests.
  func digest(ofPartition partition: Int, bits: Int) -> PartitionDigest

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
  package init(capacityBytes: Int64, usedBytes: Int64, freeBytes: Int64, blockCount: Int) {
    self.capacityBytes = capacityBytes
    self.usedBytes = usedBytes
    self.freeBytes = freeBytes
    self.blockCount = blockCount
  }
}

package enum DiskHealth: Sendable, Equatable {
  case healthy
  /// Takes no new blocks; serves reads and deletes.
  case readOnly(reason: String)
  /// A write or sync failed: nothing more is acknowledged until a restart has rechecked the tail.
  case fenced(reason: String)
}

package struct BlockStoreError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    case notFound, rotten, full, fenced, busy, closed, locked, wrongCluster, newerFormat, wrongKey, malformed, io
  }
  package var code: Code
  package var message: String
  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  package var description: String { message }
}
