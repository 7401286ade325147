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

  /// The SHA-256 of each 4 MiB of a local file of this size, read and hashed as many at a time as there are threads and buffers.
  ///
  /// - Parameter known: in the order of the pieces; what is not nil is not read.
  /// - Returns: nil when the file is shorter.
  static func pieces(of file: File, size: Int64, known: [BlockID?] = [], _ resources: TransferResources) async throws -> [BlockID]? {
    let piece = Int64(Limits.blockBytes)
    let count = Int((size + piece - 1) / piece)
    let pieces = try await withThrowingTaskGroup(of: (Int, BlockID?).self) { group in
      var pieces = known.count == count ? known : Array(repeating: nil, count: count)
      for index in 0..<count where pieces[index] == nil {
        let buffer = try await resources.buffer()
        let offset = Int64(index) * piece
        let wanted = Int(min(piece, size - offset))
        group.addTask {
          try await resources.threads.run {
            let read = try file.pread(into: buffer.mutableBytes(0..<wanted), at: offset)
            return (index, read == wanted ? BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<read))) : nil)
          }
        }
      }
      for try await (index, hash) in group { pieces[index] = hash }
      return pieces
    }
    let whole = pieces.compactMap { $0 }
    return whole.count == count ? whole : nil
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
