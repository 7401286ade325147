internal import BlockModel
internal import Platform

/// The content hash of a file: SHA-256 over the concatenated SHA-256 of its 4 MiB pieces, the public Dropbox `content_hash`.
enum ContentHash {
  /// From the hashes of all pieces, in order. With fixed chunking these are the block ids.
  static func ofPieces(_ pieces: some Sequence<BlockID>) -> String {
    var hasher = SHA256Hasher()
    for piece in pieces { hasher.update(piece.bytes) }
    return BlockID(words: hasher.finalize()).hex
  }

  /// Of a local file, read from start to end through `buffer`, which holds a piece. Blocks.
  static func ofFile(_ file: File, buffer: IOBuffer) throws(FileError) -> String {
    var pieces: [BlockID] = []
    var offset: Int64 = 0
    while true {
      let count = try file.pread(into: buffer.mutableBytes(0..<Limits.blockBytes), at: offset)
      if count > 0 { pieces.append(BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<count)))) }
      if count < Limits.blockBytes { return ofPieces(pieces) }
      offset += Int64(count)
    }
  }
}
