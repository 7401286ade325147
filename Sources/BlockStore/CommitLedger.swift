internal import BlockModel
internal import Platform

/// What the writer knows beyond the index: where the next record goes, the next sequence number, and what the blocks that are written
/// but not yet durable will be. Turns operations into batches; does no I/O.
///
/// What must hold: sequence numbers are given once and grow with the place; the decision about an operation sees every operation
/// before it, durable or not; nothing is decided twice.
struct CommitLedger {
  /// The segment that is written to.
  struct Active {
    var slot: UInt32
    var id: SegmentID
    var end: Int
    /// Where block records stop; the rest of the file is for control records when no new segment can be had.
    var blockLimit: Int
    var fileBytes: Int
  }

  private struct Pending {
    /// Nil when the block will be gone.
    var entry: IndexEntry?
    var batch: UInt64
  }

  var active: Active?
  var nextSequence: UInt64 = 1
  var durableSequence: UInt64 = 0
  /// Bytes in all segments that are not punched.
  var occupiedBytes: Int64 = 0
  /// The most that `occupiedBytes` may become by blocks; nil when only the disk is the limit.
  var capacityBytes: Int64?
  /// No segment for blocks can be had now: blocks are refused, control records go into what is left.
  var refusesBlocks = false
  /// A block was refused because of `capacityBytes`; goes down when space is given back.
  var isAtCapacity = false
  /// Number of a segment by its slot.
  var segmentNumbers: [UInt32] = []

  private var pending: [BlockID: Pending] = [:]
  private var nextBatch: UInt64 = 1

  /// Makes a batch of the first operations, as many as the active segment takes.
  ///
  /// - Returns: the batch, and the operations that need a new segment.
  mutating func plan(_ operations: [StoreOperation], _ index: BlockIndex) -> (batch: CommitBatch, left: ArraySlice<StoreOperation>) {
    var batch = CommitBatch(number: nextBatch, slot: active?.slot ?? 0, offset: active?.end ?? 0)
    nextBatch += 1
    var builder = BatchBuilder(batch, controls: operations.count)
    var taken = 0
    for operation in operations {
      guard decide(operation, &builder, index) else { break }
      taken += 1
    }
    batch = builder.finish()
    active?.end = batch.offset + batch.byteCount
    occupiedBytes += Int64(batch.byteCount)
    return (batch, operations[taken...])
  }

  /// The batch is durable, or never will be: its blocks are what the index says.
  mutating func forget(_ batch: CommitBatch) {
    for id in batch.touched where pending[id]?.batch == batch.number { pending[id] = nil }
  }

  /// Pages of a deleted record were given back.
  mutating func giveBack(_ bytes: Int) {
    occupiedBytes -= Int64(bytes)
    isAtCapacity = false
    refusesBlocks = false
  }

  /// Answers that nothing was to be done.
  func refuse(_ operation: StoreOperation, _ builder: inout BatchBuilder) -> Bool {
    builder.answer(operation.answer, .success(.changed(false)))
    return true
  }

  mutating func delete(_ id: BlockID, _ epoch: UInt64, _ operation: StoreOperation, _ builder: inout BatchBuilder) -> Bool {
    guard control(.tombstone, ControlBody(block: id), epoch: epoch, &builder) else { return false }
    builder.batch.changes.append(.remove(id))
    builder.batch.deletes = true
    remember(id, nil, &builder)
    builder.answer(operation.answer, .success(.changed(true)))
    return true
  }

  /// The entry that a block will have after everything that was planned.
  func current(_ id: BlockID, _ index: BlockIndex) -> IndexEntry? {
    let indexed = index.entry(of: id)
    guard let pending = pending[id] else { return indexed }
    guard var entry = pending.entry else { return nil }
    // A reader that found rot does not wait for the writer.
    if let indexed, indexed.isSetAside, indexed.location == entry.location { entry.isSetAside = true }
    return entry
  }

  /// False when the operation needs a record and the active segment has no room for it.
  private mutating func decide(_ operation: StoreOperation, _ builder: inout BatchBuilder, _ index: BlockIndex) -> Bool {
    switch operation.request {
    case .append(let record): return append(record, operation.answer, &builder, index)
    case .raiseEpoch(let id, let epoch):
      guard let entry = current(id, index), entry.isShown else { return refuse(operation, &builder) }
      guard raise(entry, to: epoch, &builder) else { return false }
      builder.answer(operation.answer, .success(.changed(true)))
    case .delete(let id, let epoch):
      guard let entry = current(id, index), !entry.isSetAside, entry.gcEpoch < epoch else { return refuse(operation, &builder) }
      return delete(id, epoch, operation, &builder)
    case .quarantine, .restore, .purge, .move, .restate: return decideSpace(operation, &builder, index)
    case .setAside(let id, let location):
      let body = ControlBody(block: id, segmentNumber: segmentNumbers[Int(location.slot)], unit: location.unit)
      guard control(.setAside, body, epoch: 0, &builder) else { return false }
      builder.batch.changes.append(.setAside(id, location))
      builder.answer(operation.answer, .success(.changed(true)))
    }
    return true
  }

  private mutating func append(
    _ record: SealedRecord, _ answer: @escaping StoreOperation.Answer, _ builder: inout BatchBuilder, _ index: BlockIndex
  ) -> Bool {
    if let entry = current(record.header.block, index), !entry.isSetAside {
      let isHere = entry.quarantine == nil ? raise(entry, to: record.gcEpoch, &builder) : restore(entry, to: record.gcEpoch, &builder)
      guard isHere else { return false }
      var block = entry.stored
      block.gcEpoch = max(block.gcEpoch, record.gcEpoch)
      builder.answer(answer, .success(.appended(AppendOutcome(wasNew: false, block: block))))
      return true
    }
    let bytes = RecordLayout.recordBytes(storedBytes: record.header.storedBytes)
    if isOverCapacity(adding: builder.byteCount + RecordPlacement.segmentBytes(recordBytes: bytes)) { isAtCapacity = true }
    if refusesBlocks || isAtCapacity {
      builder.answer(answer, .failure(.full))
      return true
    }
    guard let active, builder.fits(recordBytes: bytes, below: active.blockLimit) else { return false }
    let nowhere = RecordLocation(slot: active.slot, unit: 0)
    let entry = place(record, IndexEntry(record.header, location: nowhere, gcEpoch: record.gcEpoch), active, isHeld: false, &builder)
    builder.batch.changes.append(.set(entry))
    builder.answer(answer, .success(.appended(AppendOutcome(wasNew: true, block: entry.stored))))
    return true
  }

  private mutating func raise(_ entry: IndexEntry, to epoch: UInt64, _ builder: inout BatchBuilder) -> Bool {
    guard epoch > entry.gcEpoch else { return true }
    guard control(.epochRaise, ControlBody(block: entry.id), epoch: epoch, &builder) else { return false }
    builder.batch.changes.append(.raiseEpoch(entry.id, epoch))
    var raised = entry
    raised.gcEpoch = epoch
    remember(entry.id, raised, &builder)
    return true
  }

  mutating func control(_ kind: LocalHeader.Kind, _ body: ControlBody, epoch: UInt64, _ builder: inout BatchBuilder) -> Bool {
    let bytes = RecordPlacement.controlBytes
    guard let active, builder.fits(recordBytes: bytes, below: refusesBlocks ? active.fileBytes : active.blockLimit) else { return false }
    let buffer = builder.encodeControl(body)
    let header = LocalHeader(
      kind: kind, segment: active.id, unit: builder.unit(recordBytes: bytes), bodyBytes: ControlBody.byteCount, sequence: takeSequence(),
      gcEpoch: epoch, durableSequence: durableSequence, bodyChecksum: LocalHeader.checksum(ofBody: UnsafeRawBufferPointer(buffer)))
    builder.addControl(header)
    return true
  }

  /// Puts a block's record at the batch's end; `entry` is what the index will say of it there. The caller has seen that it fits.
  mutating func place(
    _ record: SealedRecord, _ entry: IndexEntry, _ active: Active, isHeld: Bool, _ builder: inout BatchBuilder
  ) -> IndexEntry {
    let bytes = RecordLayout.recordBytes(storedBytes: record.header.storedBytes)
    let header = LocalHeader(
      kind: .block, segment: active.id, unit: builder.unit(recordBytes: bytes), bodyBytes: bytes - LocalHeader.byteCount,
      sequence: takeSequence(), gcEpoch: entry.gcEpoch, durableSequence: durableSequence,
      bodyChecksum: LocalHeader.checksum(ofBody: record.buffer.bytes(RecordLayout.localBytes..<RecordLayout.framesStart)), isHeld: isHeld)
    var placed = entry
    placed.location = RecordLocation(slot: active.slot, unit: header.unit)
    builder.add(header, record.buffer, recordBytes: bytes)
    remember(placed.id, placed, &builder)
    return placed
  }

  mutating func takeSequence() -> UInt64 {
    defer { nextSequence += 1 }
    return nextSequence
  }

  mutating func remember(_ id: BlockID, _ entry: IndexEntry?, _ builder: inout BatchBuilder) {
    pending[id] = Pending(entry: entry, batch: builder.batch.number)
    builder.batch.touched.append(id)
  }

  private func isOverCapacity(adding bytes: Int) -> Bool {
    capacityBytes.map { occupiedBytes + Int64(bytes) > $0 } ?? false
  }
}

extension CommitLedger {
  /// Part of a segment that blocks leave to control records, so that deletes go on when the disk is full.
  static func reserve(fileBytes: Int) -> Int { min(1 << 20, fileBytes / 16).roundedUp(to: Segment.pageBytes) }

  /// Where block records stop in a segment.
  static func blockLimit(fileBytes: Int) -> Int { fileBytes - reserve(fileBytes: fileBytes) }

  /// Writes go to a new segment from now on.
  mutating func begin(_ segment: Segment, slot: UInt32) {
    active = Active(segment, slot: slot)
    segmentNumbers.append(segment.number)
    occupiedBytes += Int64(segment.endBytes)
  }
}

extension CommitLedger.Active {
  init(_ segment: Segment, slot: UInt32) {
    self.init(
      slot: slot, id: segment.id, end: segment.endBytes,
      blockLimit: CommitLedger.blockLimit(fileBytes: segment.fileBytes), fileBytes: segment.fileBytes)
  }
}
