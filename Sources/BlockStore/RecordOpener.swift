internal import BlockModel
internal import Platform

/// Opens records: back to the payload that was sealed.
package enum RecordOpener {
  /// Opens a whole record in its buffer. The payload lies in one piece in the answered range afterwards, and the sealed form is gone.
  ///
  /// - Throws: `.malformed` when a tag does not fit; `.wrongKey` when the data key is not here or is another one.
  package static func open(_ record: SealedRecord, keys: DataKeyring?) throws(BlockStoreError) -> Range<Int> {
    let header = record.header
    let buffer = record.buffer
    var cipher = try cipher(for: header, keys: keys)
    var end = RecordLayout.framesStart
    for index in 0..<RecordLayout.frameCount(storedBytes: header.storedBytes) {
      let start = RecordLayout.frameStart(index)
      let count = RecordCipher.frameBytes(index, storedBytes: header.storedBytes)
      let frame = buffer.mutableBytes(start..<(start + count))
      let tag = buffer.bytes((start + count)..<(start + count + Limits.frameTagBytes))
      guard cipher.open(frame: index, inPlace: frame, tag: tag.baseAddress!) else {
        throw BlockStoreError(.malformed, "Frame \(index) of block \(header.block) does not fit its tag.")
      }
      // Ranges overlap: `copyMemory` moves.
      buffer.mutableBytes(end..<(end + count)).copyMemory(from: UnsafeRawBufferPointer(frame))
      end += count
    }
    return RecordLayout.framesStart..<end
  }

  /// Whether every tag of a whole record fits; the record stays as it is.
  ///
  /// - Throws: `.wrongKey` when the data key is not here or is another one.
  package static func check(_ record: SealedRecord, keys: DataKeyring?) throws(BlockStoreError) -> Bool {
    let header = record.header
    var cipher = try cipher(for: header, keys: keys)
    let scratch = IOBuffer(capacity: max(1, min(header.storedBytes, Limits.frameBytes)))
    for index in 0..<RecordLayout.frameCount(storedBytes: header.storedBytes) {
      let start = RecordLayout.frameStart(index)
      let end = start + RecordCipher.frameBytes(index, storedBytes: header.storedBytes)
      let tag = record.buffer.bytes(end..<(end + Limits.frameTagBytes))
      let fits = cipher.check(
        frame: index, record.buffer.bytes(start..<end), tag: tag.baseAddress!, scratch: scratch.mutableBytes(0..<(end - start)))
      guard fits else { return false }
    }
    return true
  }

  /// The cipher of a record, with its key unwrapped.
  static func cipher(for header: RecordHeader, keys: DataKeyring?) throws(BlockStoreError) -> RecordCipher {
    guard header.sealing == .encrypted else { return try RecordCipher(header: header, key: nil) }
    guard let keys else {
      throw BlockStoreError(.wrongKey, "Block \(header.block) is encrypted, and this node was started without a master key.")
    }
    return try RecordCipher(header: header, key: keys.unwrap(header.wrappedKey, epoch: header.keyEpoch))
  }
}
