internal import BlockModel
internal import Platform

/// The last word on a copy: do its plain bytes have the hash that is its name?
enum PayloadHash {
  /// False also when a compressed payload does not decode to the block's length.
  static func fits(_ payload: UnsafeRawBufferPointer, _ block: StoredBlock) -> Bool {
    switch block.encoding {
    case .plain: return BlockID(words: SHA256Hasher.hash(payload)) == block.id
    case .zstd:
      let plain = IOBuffer(capacity: max(1, block.plainBytes))
      let bytes = plain.mutableBytes(0..<block.plainBytes)
      do throws(ZstandardError) { try Zstandard.decode(payload, into: bytes) } catch { return false }
      return BlockID(words: SHA256Hasher.hash(UnsafeRawBufferPointer(bytes))) == block.id
    }
  }
}
