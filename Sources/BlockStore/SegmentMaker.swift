internal import BlockModel
internal import Platform

/// Makes new segment files.
///
/// What must hold: when `make` returns, the file, its space, its header and its name are durable, so a record in it needs no more than
/// an `fdatasync` of the file. A file that a crash left half made has no record in it, and the next start removes it.
struct SegmentMaker {
  let files: SegmentFiles
  let identity: DiskIdentity
  let keys: DataKeyring?
  /// Bytes of a new segment when there is room.
  let segmentBytes: Int
  /// Draws the bits of a new segment's id.
  let randomWord: @Sendable () -> UInt64

  /// A segment for blocks holds at least the largest record.
  static let smallestForBlocks = 8 << 20
  static let smallestForControl = 64 << 10

  /// What a new segment is for.
  enum Purpose { case blocks, moves, control }

  /// The sizes to try: the wanted one, and halves of it as long as they are of use, none above `freeBytes`.
  func sizes(_ purpose: Purpose, freeBytes: Int64 = .max) -> [Int] {
    guard purpose != .control else { return [SegmentMaker.smallestForControl] }
    var sizes = [segmentBytes]
    while let last = sizes.last, last / 2 >= SegmentMaker.smallestForBlocks { sizes.append((last / 2).roundedUp(to: Segment.pageBytes)) }
    return sizes.filter { Int64($0) <= freeBytes }
  }

  /// Nil when the disk has no room for a segment of any of the sizes.
  func make(
    number: UInt32, sequence: UInt64, durableSequence: UInt64, sizes: [Int]
  ) throws(FileError) -> (segment: Segment, file: any OpenFile)? {
    for size in sizes {
      let id = SegmentID(high: randomWord(), low: randomWord())
      let segment = Segment(number: number, id: id, fileBytes: size, endBytes: Segment.pageBytes)
      let path = files.path(of: segment)
      do {
        let file = try files.fileSystem.open(path, [.read, .write, .create, .exclusive])
        try allocate(file, size)
        try writeHeader(of: segment, to: file, sequence: sequence, durableSequence: durableSequence)
        try file.fsync()
        try files.fileSystem.syncDirectory(files.folder)
        return (segment, file)
      } catch {
        guard error.isOutOfSpace else { throw error }
        // What could not be removed is empty and is removed at the next start.
        try? files.fileSystem.remove(path)
      }
    }
    return nil
  }

  static let reserveName = "reserve"

  /// Makes the file that keeps space free for bad times, if it is not there; answers its size, 0 when there is no room for one.
  func keepReserve(folder: String, bytes: Int) -> Int64 {
    let path = folder + "/" + SegmentMaker.reserveName
    let fileSystem = files.fileSystem
    do {
      if let there = try fileSystem.attributes(path), there.kind == .file, there.size >= Int64(SegmentMaker.smallestForControl) {
        return there.size
      }
      let file = try fileSystem.open(path, [.read, .write, .create, .truncate])
      // What only promises space is no reserve.
      try file.allocate(offset: 0, length: Int64(bytes), keepSize: false)
      try file.fsync()
      try fileSystem.syncDirectory(folder)
      return Int64(bytes)
    } catch {
      try? fileSystem.remove(path)
      return 0
    }
  }

  /// Turns the reserve into a segment: its space is there whatever the file system says. It counts once its name and header are durable; a
  /// crash before leaves the reserve, or an empty segment, or neither.
  func makeFromReserve(
    folder: String, number: UInt32, sequence: UInt64, durableSequence: UInt64
  ) throws(FileError) -> (segment: Segment, file: any OpenFile) {
    let reserve = folder + "/" + SegmentMaker.reserveName
    let opened = try files.fileSystem.open(reserve, [.read, .write])
    let segment = Segment(
      number: number, id: SegmentID(high: randomWord(), low: randomWord()), fileBytes: Int(try opened.size()), endBytes: Segment.pageBytes)
    try writeHeader(of: segment, to: opened, sequence: sequence, durableSequence: durableSequence)
    try opened.fsync()
    try files.fileSystem.rename(reserve, to: files.path(of: segment))
    try files.fileSystem.syncDirectory(files.folder)
    try files.fileSystem.syncDirectory(folder)
    return (segment, try files.fileSystem.open(files.path(of: segment), [.read, .write]))
  }

  /// Where the file system cannot preallocate, the file is sparse: running out of space then fails a write, which fences the disk.
  private func allocate(_ file: any OpenFile, _ size: Int) throws(FileError) {
    do { try file.allocate(offset: 0, length: Int64(size), keepSize: false) } catch {
      guard error.isNotSupported else { throw error }
      try file.truncate(to: Int64(size))
    }
  }

  private func writeHeader(of segment: Segment, to file: any OpenFile, sequence: UInt64, durableSequence: UInt64) throws(FileError) {
    let page = IOBuffer(capacity: Segment.pageBytes)
    let bytes = page.mutableBytes(0..<Segment.pageBytes)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    let body = page.mutableBytes(LocalHeader.byteCount..<(LocalHeader.byteCount + SegmentHeader.byteCount))
    SegmentHeader(cluster: identity.cluster, disk: identity.disk, number: segment.number, keys: keys).encode(into: body)
    let header = LocalHeader(
      kind: .segment, segment: segment.id, unit: 0, bodyBytes: SegmentHeader.byteCount, sequence: sequence, gcEpoch: 0,
      durableSequence: durableSequence, bodyChecksum: LocalHeader.checksum(ofBody: UnsafeRawBufferPointer(body)))
    header.encode(into: bytes)
    try file.pwrite(UnsafeRawBufferPointer(bytes), at: 0)
  }
}
