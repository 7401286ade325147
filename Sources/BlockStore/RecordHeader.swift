package import BlockModel
internal import Platform

/// Where the parts of a record stand in its buffer, on disk, and on the wire between nodes.
///
///     0          64                192                                         recordBytes
///     | local    | portable header | frame 0 | tag | frame 1 | tag | … last | tag |
///                |<------------- the wire form: what nodes send each other -------->|
///
/// The local header is the store's own (segment, offset, sequence number, GC epoch) and is written when the record gets its place.
/// The portable header and the frames are the same bytes on every replica.
package enum RecordLayout {
  package static let localBytes = 64
  package static let headerBytes = 128
  package static let framesStart = localBytes + headerBytes

  package static func frameCount(storedBytes: Int) -> Int { max(1, (storedBytes + Limits.frameBytes - 1) / Limits.frameBytes) }
  /// Where frame `index` begins.
  package static func frameStart(_ index: Int) -> Int { framesStart + index * (Limits.frameBytes + Limits.frameTagBytes) }
  /// Bytes of the whole record, unpadded.
  package static func recordBytes(storedBytes: Int) -> Int {
    framesStart + storedBytes + frameCount(storedBytes: storedBytes) * Limits.frameTagBytes
  }
  /// The part that travels between nodes.
  package static func wireRange(storedBytes: Int) -> Range<Int> { localBytes..<recordBytes(storedBytes: storedBytes) }
  /// A buffer of this size holds any record, padded to 4 KiB.
  package static let bufferBytes = recordBytes(storedBytes: Limits.blockBytes).roundedUp(to: 4096)
}

/// The portable header's content. Its 128 bytes are defined in `docs/formats.md`.
package struct RecordHeader: Sendable, Equatable {
  package enum Sealing: UInt8, Sendable {
    /// Tags are CRC-32C of the frame, its number and the block id, zero-padded to 16 bytes.
    case checksummed = 0
    /// AES-256-GCM under the record's own key, which is wrapped by the data key of `keyEpoch`.
    case encrypted = 1
  }
  package var block: BlockID
  package var plainBytes: Int
  package var storedBytes: Int
  package var encoding: ContentEncoding
  package var sealing: Sealing
  package var keyEpoch: UInt32
  /// 40 bytes (RFC 3394) when encrypted, empty otherwise.
  package var wrappedKey: [UInt8]

  package init(
    block: BlockID, plainBytes: Int, storedBytes: Int, encoding: ContentEncoding, sealing: Sealing, keyEpoch: UInt32, wrappedKey: [UInt8]
  ) {
    self.block = block
    self.plainBytes = plainBytes
    self.storedBytes = storedBytes
    self.encoding = encoding
    self.sealing = sealing
    self.keyEpoch = keyEpoch
    self.wrappedKey = wrappedKey
  }
}
