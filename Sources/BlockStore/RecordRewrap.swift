internal import BlockModel
internal import Platform

/// Brings a record's key under the current data key: the header's 128 bytes change, the frames stay as they are, because nothing in them
/// depends on which data key wraps theirs.
package enum RecordRewrap {
  /// The record under the current data key, in its buffer; as it is when it is there already, or under a newer one.
  ///
  /// Nobody else may read the buffer meanwhile.
  ///
  /// - Throws: `.wrongKey` when the key that it is under is not here.
  package static func rewrap(_ record: SealedRecord, keys: DataKeyring?) throws(BlockStoreError) -> SealedRecord {
    guard let header = try rewrap(record.header, keys: keys) else { return record }
    header.encode(into: record.buffer.mutableBytes(RecordLayout.localBytes..<RecordLayout.framesStart))
    return SealedRecord(header: header, buffer: record.buffer, gcEpoch: record.gcEpoch)
  }

  /// The header under the current data key; nil when it is there already, under a newer one, or the record is not encrypted.
  package static func rewrap(_ header: RecordHeader, keys: DataKeyring?) throws(BlockStoreError) -> RecordHeader? {
    guard header.sealing == .encrypted, let keys, let current = keys.current, header.keyEpoch < current.epoch else { return nil }
    let recordKey = try keys.unwrap(header.wrappedKey, epoch: header.keyEpoch)
    var header = header
    (header.keyEpoch, header.wrappedKey) = try keys.wrap(recordKey)
    return header
  }
}
