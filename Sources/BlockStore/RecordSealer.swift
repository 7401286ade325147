package import BlockModel
package import Platform

/// Makes a record of a block whose payload arrives in its place in a buffer: 64 KiB pieces from `RecordLayout.framesStart` on, 16 bytes
/// apart, where the tags will go. Used by the first node; every other replica gets the record as it is.
///
/// What must hold: the caller has hashed (and, when compressed, decoded) the bytes below what it passes to `seal`, because they are
/// ciphertext afterwards; and it calls `finish` only when the whole block was found right, because until then the last frame is
/// missing and nobody can take the record for one.
///
/// `@unchecked Sendable`: it has one owner at a time, and the cipher's state belongs to no thread.
package struct RecordSealer: ~Copyable, @unchecked Sendable {
  package let header: RecordHeader
  private let buffer: IOBuffer
  private var cipher: RecordCipher
  private var sealedFrames = 0

  /// Writes the portable header to the buffer, under a fresh random key.
  ///
  /// - Parameters:
  ///   - buffer: holds at least `RecordLayout.recordBytes(storedBytes:)`.
  ///   - keys: nil when encryption is off; tags are CRC-32C then.
  /// - Throws: `.malformed` for lengths that no block has, `.wrongKey` when there is no data key yet.
  package init(
    buffer: IOBuffer, block: BlockID, plainBytes: Int, storedBytes: Int, encoding: ContentEncoding, keys: DataKeyring?
  ) throws(BlockStoreError) {
    var header = RecordHeader(
      block: block, plainBytes: plainBytes, storedBytes: storedBytes, encoding: encoding, sealing: .checksummed, keyEpoch: 0, wrappedKey: []
    )
    if let fault = header.fault { throw BlockStoreError(.malformed, "No record can be made: \(fault).") }
    precondition(buffer.capacity >= RecordLayout.recordBytes(storedBytes: storedBytes), "the record does not fit into its buffer")
    var recordKey: SecretBytes?
    if let keys {
      let fresh = SecretBytes(randomCount: KeyWrap.keySize)
      (header.keyEpoch, header.wrappedKey) = try keys.wrap(fresh)
      header.sealing = .encrypted
      recordKey = fresh
    }
    cipher = try RecordCipher(header: header, key: recordKey)
    self.header = header
    self.buffer = buffer
    header.encode(into: buffer.mutableBytes(RecordLayout.localBytes..<RecordLayout.framesStart))
  }

  /// Where in the buffer the bytes that may be sent end; they begin at `RecordLayout.localBytes`.
  package var wireEnd: Int { RecordLayout.frameStart(sealedFrames) }

  /// Seals, where they lie, the frames whose payload is all there, except for the last one.
  ///
  /// - Parameter payloadBytes: payload that arrived so far, tags' gaps not counted.
  /// - Returns: `wireEnd`.
  package mutating func seal(payloadBytes: Int) throws(BlockStoreError) -> Int {
    precondition(payloadBytes <= header.storedBytes, "more payload than the record was made for")
    let last = RecordLayout.frameCount(storedBytes: header.storedBytes) - 1
    while sealedFrames < min(payloadBytes / Limits.frameBytes, last) { try sealNext() }
    return wireEnd
  }

  /// Seals what is left, the last frame included. The whole payload is in the buffer and was found right.
  ///
  /// - Parameter gcEpoch: the GC epoch of the capability that the block came under.
  package consuming func finish(gcEpoch: UInt64) throws(BlockStoreError) -> SealedRecord {
    while sealedFrames < RecordLayout.frameCount(storedBytes: header.storedBytes) { try sealNext() }
    return SealedRecord(header: header, buffer: buffer, gcEpoch: gcEpoch)
  }

  private mutating func sealNext() throws(BlockStoreError) {
    let start = RecordLayout.frameStart(sealedFrames)
    let end = start + RecordCipher.frameBytes(sealedFrames, storedBytes: header.storedBytes)
    let tag = buffer.mutableBytes(end..<(end + Limits.frameTagBytes))
    try cipher.seal(frame: sealedFrames, in: buffer.mutableBytes(start..<end), tag: tag.baseAddress!)
    sealedFrames += 1
  }
}
