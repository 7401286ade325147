internal import BlockModel
internal import Platform

/// What a caller asks of the writer, and where the answer goes.
struct StoreOperation: Sendable {
  enum Request: Sendable {
    case append(SealedRecord)
    case raiseEpoch(BlockID, to: UInt64)
    case delete(BlockID, ifEpochBelow: UInt64)
    /// Notes durably that the copy at a place is bad.
    case setAside(BlockID, RecordLocation)
    case quarantine(BlockID, Quarantine)
    case restore(BlockID)
    /// Deletes a block that has been quarantined since before a time.
    case purge(BlockID, quarantinedBefore: WallTime)
    /// Writes a copy that lies at a place once more, for its segment to go.
    case move(SealedRecord, from: RecordLocation)
    /// Says anew what a control record of a segment says that is to go, if it still holds.
    case restate(LocalHeader, ControlBody, segmentSlot: UInt32)
  }

  enum Outcome: Sendable {
    case appended(AppendOutcome)
    case changed(Bool)
  }

  typealias Answer = @Sendable (Result<Outcome, BlockStoreError>) -> Void

  var request: Request
  var answer: Answer

  /// Bytes that the operation may take in a segment, with padding.
  var segmentBytes: Int {
    switch request {
    case .append(let record):
      return RecordPlacement.segmentBytes(recordBytes: RecordLayout.recordBytes(storedBytes: record.header.storedBytes))
    case .move(let record, _):
      return RecordPlacement.segmentBytes(recordBytes: RecordLayout.recordBytes(storedBytes: record.header.storedBytes))
        + RecordPlacement.controlBytes
    case .raiseEpoch, .delete, .setAside, .quarantine, .restore, .purge, .restate: return RecordPlacement.controlBytes
    }
  }
}

/// Where records go in a segment.
///
/// Every batch begins at a multiple of 4 KiB and is padded to one, so no two batches touch the same 4 KiB: whatever a torn or failed
/// write does, it does to a batch that nobody was told about. Inside of a batch small records are packed at 64 bytes, and large ones
/// have whole pages to themselves, so that their space can be punched out.
enum RecordPlacement {
  /// Records below this many bytes are packed.
  static let packedBelow = 32 << 10
  static let controlBytes = LocalHeader.byteCount + ControlBody.byteCount

  static func isLarge(recordBytes: Int) -> Bool { recordBytes >= packedBelow }

  /// Where a record goes when the batch has come to `end`.
  static func start(after end: Int, recordBytes: Int) -> Int {
    end.roundedUp(to: isLarge(recordBytes: recordBytes) ? Segment.pageBytes : LocalHeader.unitBytes)
  }

  /// Where the next one may start.
  static func end(of start: Int, recordBytes: Int) -> Int {
    (start + recordBytes).roundedUp(to: isLarge(recordBytes: recordBytes) ? Segment.pageBytes : LocalHeader.unitBytes)
  }

  /// The most that a record may take.
  static func segmentBytes(recordBytes: Int) -> Int { end(of: 0, recordBytes: recordBytes) }

  /// The pages of a record that can be given back while its headers stay.
  static func punchable(offset: Int, recordBytes: Int) -> Range<Int>? {
    let start = (offset + RecordLayout.framesStart).roundedUp(to: Segment.pageBytes)
    let end = RecordPlacement.end(of: offset, recordBytes: recordBytes).roundedDown(to: Segment.pageBytes)
    return start < end ? start..<end : nil
  }
}

/// What becomes of the index when a batch is durable.
enum IndexChange: Sendable {
  case set(IndexEntry)
  case raiseEpoch(BlockID, UInt64)
  case remove(BlockID)
  /// The entry with its new place.
  case move(IndexEntry)
  case quarantine(BlockID, Quarantine)
  case restore(BlockID, UInt64)
  case setAside(BlockID, RecordLocation)
}

/// Consecutive records of one segment, with what follows from their being durable.
struct CommitBatch: Sendable {
  /// What lies in the segment from `offset` on, without gaps.
  enum Piece: Sendable {
    case bytes(IOBuffer, Range<Int>)
    case zeros(Int)
  }

  var number: UInt64
  var slot: UInt32
  var offset = 0
  var byteCount = 0
  var pieces: [Piece] = []
  var changes: [IndexChange] = []
  var answers: [(StoreOperation.Answer, Result<StoreOperation.Outcome, BlockStoreError>)] = []
  /// The file that it was written to. The sync takes the same: one opened later need not be told of an earlier failure.
  var file: (any OpenFile)?
  /// Blocks whose state after this batch the ledger keeps until it is durable.
  var touched: [BlockID] = []
  var lastSequence: UInt64 = 0
  /// A deletion or a move is in it: space is given back afterwards, so it is synced in relaxed mode too.
  var deletes = false
  var recordCount = 0
  /// Bytes of control records that compaction wrote anew.
  var restatedBytes: Int64 = 0

  init(number: UInt64, slot: UInt32, offset: Int) {
    self.number = number
    self.slot = slot
    self.offset = offset
  }
}
