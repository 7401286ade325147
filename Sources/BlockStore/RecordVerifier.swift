package import BlockModel
package import Platform

/// Checks a record that another node sends, while it arrives: the header first, then each frame's tag. The record is kept as it came.
///
/// What must hold: `finish` answers only when every byte of exactly one record of the expected block was there and every tag fitted.
///
/// `@unchecked Sendable`: it has one owner at a time, and the cipher's state belongs to no thread.
package struct RecordVerifier: ~Copyable, @unchecked Sendable {
  /// The header, as soon as it was there.
  package private(set) var header: RecordHeader?
  private let buffer: IOBuffer
  private let block: BlockID
  private let keys: DataKeyring?
  private var cipher: RecordCipher?
  private var scratch: IOBuffer?
  private var checkedFrames = 0
  private var arrivedEnd = RecordLayout.localBytes

  /// - Parameters:
  ///   - buffer: where the wire form arrives, from `RecordLayout.localBytes` on.
  ///   - block: the block that is expected.
  ///   - keys: nil when encryption is off; an encrypted record is refused then, and so is a checksummed one when it is on.
  package init(buffer: IOBuffer, block: BlockID, keys: DataKeyring?) {
    self.buffer = buffer
    self.block = block
    self.keys = keys
  }

  /// Takes note that the buffer holds the record up to `end` (an offset in the buffer), and checks what became whole.
  ///
  /// - Throws: `.malformed` for another block, impossible lengths, too many bytes, or a tag that does not fit; `.newerFormat`;
  ///   `.wrongKey` when the data key of the record's epoch is not here or is another one, or encryption is on at one end only.
  package mutating func receive(upTo end: Int) throws(BlockStoreError) {
    precondition(end >= arrivedEnd && end <= buffer.capacity, "bytes arrive in order")
    arrivedEnd = end
    if header == nil {
      guard end >= RecordLayout.framesStart else { return }
      try accept(RecordHeader(decoding: buffer.bytes(RecordLayout.localBytes..<RecordLayout.framesStart)))
    }
    guard let header else { return }
    guard end <= RecordLayout.recordBytes(storedBytes: header.storedBytes) else {
      throw BlockStoreError(.malformed, "More bytes came than the record of block \(block) has.")
    }
    while checkedFrames < RecordLayout.frameCount(storedBytes: header.storedBytes) {
      let start = RecordLayout.frameStart(checkedFrames)
      let frameEnd = start + RecordCipher.frameBytes(checkedFrames, storedBytes: header.storedBytes)
      guard frameEnd + Limits.frameTagBytes <= end else { return }
      try check(frame: start..<frameEnd)
    }
  }

  /// The record, once all of it was there and right.
  ///
  /// - Parameter gcEpoch: the GC epoch to store it under.
  /// - Throws: `.malformed` when bytes are missing.
  package consuming func finish(gcEpoch: UInt64) throws(BlockStoreError) -> SealedRecord {
    guard let header, checkedFrames == RecordLayout.frameCount(storedBytes: header.storedBytes) else {
      throw BlockStoreError(.malformed, "The record of block \(block) ended before its last frame.")
    }
    return SealedRecord(header: header, buffer: buffer, gcEpoch: gcEpoch)
  }

  private mutating func accept(_ header: RecordHeader) throws(BlockStoreError) {
    guard header.block == block else {
      throw BlockStoreError(.malformed, "The record is of block \(header.block), not of \(block).")
    }
    guard (header.sealing == .encrypted) == (keys != nil) else {
      throw BlockStoreError(
        .wrongKey, keys == nil ? "The record is encrypted, and this node has encryption off." : "The record is not encrypted.")
    }
    guard buffer.capacity >= RecordLayout.recordBytes(storedBytes: header.storedBytes) else {
      throw BlockStoreError(.malformed, "The record of block \(block) is longer than its buffer.")
    }
    cipher = try RecordOpener.cipher(for: header, keys: keys)
    self.header = header
  }

  private mutating func check(frame range: Range<Int>) throws(BlockStoreError) {
    // The first frame is the longest.
    let scratch = self.scratch ?? IOBuffer(capacity: max(1, range.count))
    self.scratch = scratch
    let tag = buffer.bytes(range.upperBound..<(range.upperBound + Limits.frameTagBytes))
    let fits = cipher!.check(
      frame: checkedFrames, buffer.bytes(range), tag: tag.baseAddress!, scratch: scratch.mutableBytes(0..<range.count))
    guard fits else { throw BlockStoreError(.malformed, "Frame \(checkedFrames) of block \(block) does not fit its tag.") }
    checkedFrames += 1
  }
}
