internal import BlockModel
internal import Platform

/// A record that a scan met: where, and what its checked headers say. Its frames were not looked at.
struct ScannedRecord: Sendable {
  enum Content: Sendable {
    case block(RecordHeader)
    case control(ControlBody)
    case segment(SegmentHeader)
  }

  var local: LocalHeader
  var content: Content
}

/// Walks a segment's records from a place on.
///
/// What must hold: any bytes may be there. A record counts when its local header belongs to this segment and this place and both
/// checksums fit; after anything else the walk goes on at the next unit of 64 bytes, so one bad record costs only itself.
struct SegmentScanner {
  private static let windowBytes = 256 << 10

  private let file: any OpenFile
  private let segment: SegmentID
  private let size: Int
  private let buffer = IOBuffer(capacity: SegmentScanner.windowBytes)
  /// The part of the file that the buffer holds; begins at a multiple of 4 KiB.
  private var window: Range<Int> = 0..<0
  private(set) var position: Int

  /// Where the last record that was met ends.
  private(set) var recordsEnd: Int
  /// Where the last bytes end that are neither records nor zeros; 0 when there are none.
  private(set) var debrisEnd = 0
  /// Bytes that are neither records nor zeros, and where the first of them are.
  private(set) var debrisBytes = 0
  private(set) var firstDebris: Int?
  /// Where a good header stands whose record goes on behind the end of the file.
  private(set) var cutRecord: Int?
  /// Bytes of pages that the disk could not read.
  private(set) var unreadableBytes = 0

  /// - Parameters:
  ///   - start: a multiple of 64.
  ///   - size: bytes of the file.
  init(file: any OpenFile, segment: SegmentID, from start: Int, size: Int) {
    self.file = file
    self.segment = segment
    self.size = size
    position = start
    recordsEnd = start
  }

  /// The next record, nil at the end of the file.
  mutating func next() throws(FileError) -> ScannedRecord? {
    while position + LocalHeader.byteCount <= size {
      guard try load(min(size, position + RecordLayout.framesStart)) else { continue }
      if skipZeros() { continue }
      if let record = parse() {
        position = (position + record.local.recordBytes).roundedUp(to: LocalHeader.unitBytes)
        recordsEnd = position
        return record
      }
      noteDebris()
      position += LocalHeader.unitBytes
      debrisEnd = position
    }
    return nil
  }

  private mutating func noteDebris() {
    debrisBytes += LocalHeader.unitBytes
    firstDebris = firstDebris ?? position
    let unit = UInt32(position / LocalHeader.unitBytes)
    guard let header = LocalHeader(decoding: bytes(LocalHeader.byteCount), segment: segment, unit: unit) else { return }
    if header.recordBytes > size - position { cutRecord = cutRecord ?? position }
  }

  /// Sees to it that the window reaches from the position to `end`; false when it moved on past an unreadable page.
  private mutating func load(_ end: Int) throws(FileError) -> Bool {
    guard window.lowerBound > position || window.upperBound < end else { return true }
    let start = position.roundedDown(to: Segment.pageBytes)
    let wanted = min(SegmentScanner.windowBytes, (size - start).roundedUp(to: Segment.pageBytes))
    do { try fill(start, wanted, at: 0) } catch {
      guard error.isInputOutput else { throw error }
      return try loadPagewise(start, end)
    }
    window = start..<min(start + wanted, size)
    return true
  }

  /// After a failed read: the pages one by one, until the first that cannot be read.
  private mutating func loadPagewise(_ start: Int, _ end: Int) throws(FileError) -> Bool {
    var readable = start
    while readable < end {
      do { try fill(readable, Segment.pageBytes, at: readable - start) } catch {
        guard error.isInputOutput else { throw error }
        unreadableBytes += Segment.pageBytes
        position = readable + Segment.pageBytes
        debrisEnd = position
        return false
      }
      readable += Segment.pageBytes
    }
    window = start..<min(readable, size)
    return true
  }

  private mutating func fill(_ offset: Int, _ count: Int, at place: Int) throws(FileError) {
    window = 0..<0
    let got = try file.pread(into: buffer.mutableBytes(place..<(place + count)), at: Int64(offset))
    // A file that became shorter than it was when the scan began has nothing more to say.
    buffer.mutableBytes((place + got)..<(place + count)).initializeMemory(as: UInt8.self, repeating: 0)
  }

  private func bytes(_ count: Int) -> UnsafeRawBufferPointer {
    let start = position - window.lowerBound
    return buffer.bytes(start..<(start + min(count, window.upperBound - position)))
  }

  /// Skips a page of zeros, or a unit of them.
  private mutating func skipZeros() -> Bool {
    if position % Segment.pageBytes == 0 {
      let page = bytes(Segment.pageBytes)
      if page.count == Segment.pageBytes, page.isZero {
        position += Segment.pageBytes
        return true
      }
    }
    guard bytes(LocalHeader.unitBytes).isZero else { return false }
    position += LocalHeader.unitBytes
    return true
  }

  private func parse() -> ScannedRecord? {
    SegmentScanner.parse(bytes(RecordLayout.framesStart), segment: segment, offset: position, limit: size)
  }

  /// The record that begins with `bytes`, of which at least the local header and the first 128 bytes of the body must be there.
  static func parse(_ bytes: UnsafeRawBufferPointer, segment: SegmentID, offset: Int, limit: Int) -> ScannedRecord? {
    guard let local = LocalHeader(decoding: bytes, segment: segment, unit: UInt32(offset / LocalHeader.unitBytes)),
      local.bodyBytes <= limit - offset - LocalHeader.byteCount
    else { return nil }
    let bodyHead = min(local.bodyBytes, RecordLayout.headerBytes)
    guard bytes.count >= LocalHeader.byteCount + bodyHead else { return nil }
    let body = UnsafeRawBufferPointer(rebasing: bytes[LocalHeader.byteCount..<(LocalHeader.byteCount + bodyHead)])
    guard LocalHeader.checksum(ofBody: body) == local.bodyChecksum, let content = content(local, body) else { return nil }
    return ScannedRecord(local: local, content: content)
  }

  private static func content(_ local: LocalHeader, _ body: UnsafeRawBufferPointer) -> ScannedRecord.Content? {
    switch local.kind {
    case .block:
      guard let header = try? RecordHeader(decoding: body),
        local.recordBytes == RecordLayout.recordBytes(storedBytes: header.storedBytes)
      else { return nil }
      return .block(header)
    case .tombstone, .epochRaise, .setAside, .quarantine, .restore:
      guard local.bodyBytes == ControlBody.byteCount else { return nil }
      return ControlBody(decoding: body).map { .control($0) }
    case .segment:
      guard local.unit == 0, local.bodyBytes == SegmentHeader.byteCount else { return nil }
      return SegmentHeader(decoding: body).map { .segment($0) }
    }
  }
}
