internal import BlockModel
internal import Platform

/// Lays the records of one batch out and makes the list of pieces to write.
struct BatchBuilder {
  private(set) var batchEnd: Int
  var batch: CommitBatch
  /// The control records' bytes; they have no buffers of their own.
  private let controls: IOBuffer
  private var controlsUsed = 0

  /// - Parameter controls: the most control records that will be added.
  init(_ batch: CommitBatch, controls: Int) {
    self.batch = batch
    batchEnd = batch.offset
    self.controls = IOBuffer(capacity: max(1, controls) * RecordPlacement.controlBytes)
  }

  /// Bytes so far, without the padding at the end.
  var byteCount: Int { batchEnd - batch.offset }

  mutating func answer(_ answer: @escaping StoreOperation.Answer, _ result: Result<StoreOperation.Outcome, BlockStoreError>) {
    batch.answers.append((answer, result))
  }

  /// Whether a record, and the padding after it, ends at or below `limit`.
  func fits(recordBytes: Int, below limit: Int) -> Bool {
    let start = RecordPlacement.start(after: batchEnd, recordBytes: recordBytes)
    return (start + recordBytes).roundedUp(to: Segment.pageBytes) <= limit
  }

  /// The unit that the next record of `recordBytes` begins at.
  func unit(recordBytes: Int) -> UInt32 {
    UInt32(RecordPlacement.start(after: batchEnd, recordBytes: recordBytes) / LocalHeader.unitBytes)
  }

  /// Adds a block's record. Its local header goes into its own buffer; the bytes that travel between nodes are not touched.
  mutating func add(_ header: LocalHeader, _ buffer: IOBuffer, recordBytes: Int) {
    header.encode(into: buffer.mutableBytes(0..<LocalHeader.byteCount))
    add(.bytes(buffer, 0..<recordBytes), recordBytes, header.sequence)
  }

  /// Encodes the body of a control record in its place. `addControl` follows.
  mutating func encodeControl(_ body: ControlBody) -> UnsafeMutableRawBufferPointer {
    let start = controlsUsed + LocalHeader.byteCount
    let bytes = controls.mutableBytes(start..<(start + ControlBody.byteCount))
    body.encode(into: bytes)
    return bytes
  }

  mutating func addControl(_ header: LocalHeader) {
    let start = controlsUsed
    header.encode(into: controls.mutableBytes(start..<(start + LocalHeader.byteCount)))
    controlsUsed += RecordPlacement.controlBytes
    add(.bytes(controls, start..<controlsUsed), RecordPlacement.controlBytes, header.sequence)
  }

  /// The batch, padded to whole pages.
  func finish() -> CommitBatch {
    var batch = batch
    let end = batchEnd.roundedUp(to: Segment.pageBytes)
    if end > batchEnd { batch.pieces.append(.zeros(end - batchEnd)) }
    batch.byteCount = end - batch.offset
    return batch
  }

  private mutating func add(_ piece: CommitBatch.Piece, _ recordBytes: Int, _ sequence: UInt64) {
    let start = RecordPlacement.start(after: batchEnd, recordBytes: recordBytes)
    let end = RecordPlacement.end(of: start, recordBytes: recordBytes)
    if start > batchEnd { batch.pieces.append(.zeros(start - batchEnd)) }
    batch.pieces.append(piece)
    if end > start + recordBytes { batch.pieces.append(.zeros(end - start - recordBytes)) }
    batchEnd = end
    batch.lastSequence = sequence
    batch.recordCount += 1
  }
}
