internal import BlockModel
internal import Platform
internal import Synchronization

/// Writes a batch to its segment: small ones through the page cache, where their readers will look for them, large ones past it.
///
/// Past the cache nothing is copied: a large record lies in a page-aligned buffer and goes to a page-aligned place, and the kernel need
/// not find and fill as many pages again. Measured with 4 MiB records that took more of the processor than sealing them.
final class BatchWriter: Sendable {
  /// Batches from this many bytes on go past the page cache.
  private let directBytes: Int

  private let zeros: IOBuffer = {
    let buffer = IOBuffer(capacity: Segment.pageBytes)
    buffer.mutableBytes(0..<Segment.pageBytes).initializeMemory(as: UInt8.self, repeating: 0)
    return buffer
  }()
  /// Kept for the next batch; one write runs at a time.
  private let staging = Mutex<IOBuffer?>(nil)

  init(directBytes: Int) { self.directBytes = directBytes }

  /// - Parameter direct: the same file opened past the page cache; asked for when it is needed.
  func write(_ batch: CommitBatch, to file: any OpenFile, direct: () throws(FileError) -> any OpenFile) throws(FileError) {
    guard batch.byteCount >= directBytes else {
      return try file.pwritev(batch.pieces.map(bytes), at: Int64(batch.offset))
    }
    let direct = try direct()
    let buffer = takeStaging(batch.byteCount - batch.pieces.reduce(0) { $0 + (BatchWriter.alignedBytes($1) ?? 0) })
    try direct.pwritev(alignedPieces(of: batch, buffer), at: Int64(batch.offset))
    staging.withLock { $0 = buffer }
  }

  private func bytes(_ piece: CommitBatch.Piece) -> UnsafeRawBufferPointer {
    switch piece {
    case .bytes(let buffer, let range): return buffer.bytes(range)
    case .zeros(let count): return zeros.bytes(0..<count)
    }
  }

  /// Bytes of a piece with the padding behind it, when it can be written from where it is.
  private static func alignedBytes(_ piece: CommitBatch.Piece) -> Int? {
    guard case .bytes(let buffer, let range) = piece, range.lowerBound == 0, RecordPlacement.isLarge(recordBytes: range.count) else {
      return nil
    }
    let padded = range.count.roundedUp(to: Segment.pageBytes)
    return padded <= buffer.capacity ? padded : nil
  }

  /// The batch in pieces of whole pages. What is not a large record is gathered in `staging`.
  private func alignedPieces(of batch: CommitBatch, _ staging: IOBuffer) -> [UnsafeRawBufferPointer] {
    var pieces: [UnsafeRawBufferPointer] = []
    var (runStart, staged, paddingWritten) = (0, 0, 0)
    for piece in batch.pieces {
      if let padded = BatchWriter.alignedBytes(piece), case .bytes(let buffer, let range) = piece {
        if staged > runStart { pieces.append(staging.bytes(runStart..<staged)) }
        runStart = staged
        // Behind the record its buffer may hold bytes of somebody else's block.
        buffer.mutableBytes(range.count..<padded).initializeMemory(as: UInt8.self, repeating: 0)
        pieces.append(buffer.bytes(0..<padded))
        paddingWritten = padded - range.count
        continue
      }
      let source = bytes(piece)
      let count = source.count - paddingWritten
      staging.mutableBytes(staged..<(staged + count)).copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<count]))
      staged += count
      paddingWritten = 0
    }
    if staged > runStart { pieces.append(staging.bytes(runStart..<staged)) }
    return pieces
  }

  private func takeStaging(_ count: Int) -> IOBuffer {
    let kept = staging.withLock { staging in
      defer { staging = nil }
      return staging
    }
    if let kept, kept.capacity >= count { return kept }
    return IOBuffer(capacity: max(Segment.pageBytes, count))
  }
}
