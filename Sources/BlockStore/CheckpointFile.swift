internal import BlockModel
internal import Platform

/// Rows of entries, copied so that the index is not held while they are written.
struct CheckpointRows {
  private let buffer: IOBuffer
  private(set) var count = 0

  init(capacity: Int) { buffer = IOBuffer(capacity: max(1, capacity) * Checkpoint.entryRowBytes) }

  mutating func add(_ entry: PackedEntry) {
    entry.encode(into: buffer.base + count * Checkpoint.entryRowBytes)
    count += 1
  }

  subscript(row: Int) -> UnsafeRawBufferPointer {
    buffer.bytes((row * Checkpoint.entryRowBytes)..<((row + 1) * Checkpoint.entryRowBytes))
  }
}

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
    for byte in checkpoint.encodeHeader() { try takeRoom(1)[0] = byte }
  }

  mutating func add(_ stripe: CheckpointRows) throws(FileError) {
    for row in 0..<stripe.count { try takeRoom(Checkpoint.entryRowBytes).copyMemory(from: stripe[row]) }
    rows += UInt64(stripe.count)
  }

  /// Writes the marks, which are taken after the last entry was, and the trailer, and syncs the file. Answers its size in bytes.
  consuming func finish(marks: [Mark]) throws(FileError) -> Int64 {
    for mark in marks { Checkpoint.encode(mark, into: try takeRoom(Checkpoint.markRowBytes)) }
    try flush()
    let trailer = piece.mutableBytes(0..<Checkpoint.trailerBytes)
    trailer.initializeMemory(as: UInt8.self, repeating: 0)
    trailer.put(rows, at: 0)
    trailer.put(UInt32(marks.count), at: 8)
    let sum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: trailer[..<12]), continuing: checksum)
    trailer.put(sum, at: 12)
    try file.pwrite(UnsafeRawBufferPointer(trailer), at: offset)
    try file.fsync()
    return offset + Int64(Checkpoint.trailerBytes)
  }

  private mutating func takeRoom(_ count: Int) throws(FileError) -> UnsafeMutableRawBufferPointer {
    if used + count > CheckpointWriter.pieceBytes { try flush() }
    defer { used += count }
    return piece.mutableBytes(used..<(used + count))
  }

  private mutating func flush() throws(FileError) {
    let bytes = piece.bytes(0..<used)
    checksum = CRC32C.checksum(bytes, continuing: checksum)
    try file.pwrite(bytes, at: offset)
    offset += Int64(used)
    used = 0
  }
}

/// A checkpoint's file whose parts have the lengths that it says. Nothing of what it gives counts before it has come to the end and the
/// checksum fits.
struct CheckpointReader {
  private static let rowsPerPiece = 16_384

  let checkpoint: Checkpoint
  let fileBytes: Int64
  private let file: any OpenFile
  private let rows: Int
  private let marks: [Mark]
  private let headBytes: Int

  private var marksOffset: Int64 { Int64(headBytes) + Int64(rows) * Int64(Checkpoint.entryRowBytes) }

  /// Nil when there is no checkpoint of this disk, or none that can be read: the segments hold the truth.
  static func open(_ fileSystem: any FileSystem, folder: String, disk: DiskID) -> CheckpointReader? {
    guard let file = try? fileSystem.open(folder + "/" + Checkpoint.fileName, .read), let reader = try? CheckpointReader(file),
      reader.checkpoint.disk == disk
    else { return nil }
    return reader
  }

  private init?(_ file: any OpenFile) throws(FileError) {
    let size = try file.size()
    let small = IOBuffer(capacity: Checkpoint.headerBytes)
    guard size >= Int64(Checkpoint.headerBytes + Checkpoint.trailerBytes),
      try CheckpointReader.fill(small, Checkpoint.headerBytes, file, 0),
      let segmentCount = Checkpoint.segmentCount(decodingHeader: small.bytes(0..<Checkpoint.headerBytes)),
      try CheckpointReader.fill(small, Checkpoint.trailerBytes, file, size - Int64(Checkpoint.trailerBytes))
    else { return nil }
    let headBytes = Checkpoint.headerBytes + segmentCount * Checkpoint.segmentRowBytes
    let trailer = small.bytes(0..<Checkpoint.trailerBytes)
    let (rows, markCount) = (trailer.number(UInt64.self, at: 0), Int(trailer.number(UInt32.self, at: 8)))
    guard rows < 1 << 40, markCount <= 1 << MarkTable.slotBits else { return nil }
    let markBytes = markCount * Checkpoint.markRowBytes
    guard size == Int64(headBytes + Int(rows) * Checkpoint.entryRowBytes + markBytes + Checkpoint.trailerBytes) else { return nil }
    let head = IOBuffer(capacity: max(headBytes, markBytes))
    guard try CheckpointReader.fill(head, headBytes, file, 0), let checkpoint = Checkpoint(decodingHeader: head.bytes(0..<headBytes)),
      checkpoint.segments.count == segmentCount,
      try CheckpointReader.fill(head, markBytes, file, size - Int64(markBytes + Checkpoint.trailerBytes))
    else { return nil }
    self.checkpoint = checkpoint
    self.file = file
    self.rows = Int(rows)
    self.headBytes = headBytes
    fileBytes = size
    marks = (0..<markCount).map { mark in
      Checkpoint.decodeMark(head.bytes((mark * Checkpoint.markRowBytes)..<((mark + 1) * Checkpoint.markRowBytes)))
    }
  }

  /// Puts the entries into `index`, which has none; false when the file is damaged, and then the index is of no more use.
  ///
  /// - Parameter slots: the slot that a segment has now, by its row in the checkpoint; `.max` for none.
  func load(into index: BlockIndex, slots: [UInt32]) -> Bool { (try? fill(index, slots)) ?? false }

  private func fill(_ index: BlockIndex, _ slots: [UInt32]) throws(FileError) -> Bool {
    guard var loader = IndexLoader(index, marks: marks, slots: slots) else { return false }
    let piece = IOBuffer(capacity: max(headBytes, CheckpointReader.rowsPerPiece * Checkpoint.entryRowBytes))
    guard try CheckpointReader.fill(piece, headBytes, file, 0) else { return false }
    var checksum = CRC32C.checksum(piece.bytes(0..<headBytes))
    var done = 0
    while done < rows {
      let count = min(CheckpointReader.rowsPerPiece, rows - done)
      let bytes = count * Checkpoint.entryRowBytes
      guard try CheckpointReader.fill(piece, bytes, file, Int64(headBytes) + Int64(done) * Int64(Checkpoint.entryRowBytes)) else {
        return false
      }
      checksum = CRC32C.checksum(piece.bytes(0..<bytes), continuing: checksum)
      for row in 0..<count { guard loader.add(piece.base + row * Checkpoint.entryRowBytes) else { return false } }
      done += count
    }
    loader.finish()
    return try checkEnd(checksum)
  }

  /// The marks and the trailer, whose last field is the checksum of everything before it.
  private func checkEnd(_ checksum: UInt32) throws(FileError) -> Bool {
    let count = Int(fileBytes - marksOffset)
    let end = IOBuffer(capacity: count)
    guard try CheckpointReader.fill(end, count, file, marksOffset) else { return false }
    return end.bytes(0..<count).number(UInt32.self, at: count - 4) == CRC32C.checksum(end.bytes(0..<(count - 4)), continuing: checksum)
  }

  private static func fill(_ buffer: IOBuffer, _ count: Int, _ file: any OpenFile, _ offset: Int64) throws(FileError) -> Bool {
    try file.pread(into: buffer.mutableBytes(0..<count), at: offset) == count
  }
}
