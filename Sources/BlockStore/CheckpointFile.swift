internal import BlockModel
internal import Platform

/// Writes checkpoints in pieces of a megabyte, so that their memory does not grow with the index.
struct CheckpointWriter: ~Copyable {
  private static let pieceBytes = 1 << 20

  private let file: any OpenFile
  private let piece = IOBuffer(capacity: CheckpointWriter.pieceBytes)
  private var used = 0
  private var offset: Int64 = 0
  private var checksum: UInt32 = 0
  private var rows: UInt64 = 0

  init(_ file: any OpenFile, _ checkpoint: Checkpoint) throws(FileError) {
    self.file = file
    for byte in checkpoint.encodeHeader() {
      try makeRoom(1)
      piece.mutableBytes(used..<(used + 1))[0] = byte
      used += 1
    }
  }

  mutating func add(_ entry: IndexEntry) throws(FileError) {
    try makeRoom(Checkpoint.entryRowBytes)
    Checkpoint.encode(entry, into: piece.mutableBytes(used..<(used + Checkpoint.entryRowBytes)))
    used += Checkpoint.entryRowBytes
    rows += 1
  }

  /// Writes the trailer and syncs the file.
  consuming func finish() throws(FileError) {
    try flush()
    let trailer = piece.mutableBytes(0..<Checkpoint.trailerBytes)
    trailer.initializeMemory(as: UInt8.self, repeating: 0)
    trailer.put(rows, at: 0)
    let sum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: trailer[..<8]), continuing: checksum)
    trailer.put(sum, at: 8)
    try file.pwrite(UnsafeRawBufferPointer(trailer), at: offset)
    try file.fsync()
  }

  private mutating func makeRoom(_ count: Int) throws(FileError) {
    if used + count > CheckpointWriter.pieceBytes { try flush() }
  }

  private mutating func flush() throws(FileError) {
    let bytes = piece.bytes(0..<used)
    checksum = CRC32C.checksum(bytes, continuing: checksum)
    try file.pwrite(bytes, at: offset)
    offset += Int64(used)
    used = 0
  }
}

/// Reads checkpoints. Nothing of what it gives counts before it has come to the end and the checksum fits.
enum CheckpointReader {
  private static let rowsPerPiece = 16_384

  /// The checkpoint, with its entries put into `index`; nil when there is no good one, and then `index` is of no more use.
  static func load(_ fileSystem: any FileSystem, folder: String, disk: DiskID, into index: BlockIndex) throws(BlockStoreError)
    -> Checkpoint?
  {
    do {
      let file = try fileSystem.open(folder + "/" + Checkpoint.fileName, .read)
      return try load(file, disk, index)
    } catch {
      if let error = error as? BlockStoreError { throw error }
      // Whatever keeps it from being read: the segments hold the truth.
      return nil
    }
  }

  private static func load(_ file: any OpenFile, _ disk: DiskID, _ index: BlockIndex) throws -> Checkpoint? {
    let size = try file.size()
    var checksum: UInt32 = 0
    let first = IOBuffer(capacity: Checkpoint.headerBytes)
    guard size >= Int64(Checkpoint.headerBytes + Checkpoint.trailerBytes), try fill(first, Checkpoint.headerBytes, file, 0),
      let segmentCount = Checkpoint.segmentCount(decodingHeader: first.bytes(0..<Checkpoint.headerBytes))
    else { return nil }
    let headBytes = Checkpoint.headerBytes + segmentCount * Checkpoint.segmentRowBytes
    let rowBytes = size - Int64(headBytes + Checkpoint.trailerBytes)
    guard rowBytes >= 0, rowBytes % Int64(Checkpoint.entryRowBytes) == 0 else { return nil }
    let head = IOBuffer(capacity: headBytes)
    guard try fill(head, headBytes, file, 0) else { return nil }
    checksum = CRC32C.checksum(head.bytes(0..<headBytes))
    guard let checkpoint = Checkpoint(decodingHeader: head.bytes(0..<headBytes)), checkpoint.disk == disk,
      checkpoint.segments.count == segmentCount
    else { return nil }

    let rows = Int(rowBytes / Int64(Checkpoint.entryRowBytes))
    let piece = IOBuffer(capacity: rowsPerPiece * Checkpoint.entryRowBytes)
    var done = 0
    while done < rows {
      let count = min(rowsPerPiece, rows - done)
      let bytes = count * Checkpoint.entryRowBytes
      guard try fill(piece, bytes, file, Int64(headBytes) + Int64(done) * Int64(Checkpoint.entryRowBytes)) else { return nil }
      checksum = CRC32C.checksum(piece.bytes(0..<bytes), continuing: checksum)
      for row in 0..<count {
        let start = row * Checkpoint.entryRowBytes
        let bytes = piece.bytes(start..<(start + Checkpoint.entryRowBytes))
        guard let entry = Checkpoint.decode(bytes, segments: checkpoint.segments) else { return nil }
        try index.set(entry)
      }
      done += count
    }
    guard try fill(first, Checkpoint.trailerBytes, file, size - Int64(Checkpoint.trailerBytes)) else { return nil }
    let trailer = first.bytes(0..<Checkpoint.trailerBytes)
    checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: trailer[..<8]), continuing: checksum)
    return trailer.number(UInt64.self, at: 0) == UInt64(rows) && trailer.number(UInt32.self, at: 8) == checksum ? checkpoint : nil
  }

  private static func fill(_ buffer: IOBuffer, _ count: Int, _ file: any OpenFile, _ offset: Int64) throws(FileError) -> Bool {
    try file.pread(into: buffer.mutableBytes(0..<count), at: offset) == count
  }
}
