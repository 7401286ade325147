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
  private static let windowBytes = 1 << 20
  /// Of a window that is read ahead: two threads hand it over, and that should be rare.
  private static let aheadBytes = 4 << 20
  /// What is kept of a window for a header that goes on in the next one.
  private static let carriedBytes = Segment.pageBytes

  private let file: any OpenFile
  private let segment: SegmentID
  private let size: Int
  private let ahead: ScanReadAhead?
  /// Room for what is carried over, and then a window.
  private var buffer = SegmentScanner.makeBuffer()
  /// Where the buffer's first byte would be in the file; below zero when it is in front of it.
  private var origin = 0
  /// The part of the file that the buffer holds; begins at a multiple of 4 KiB.
  private var window: Range<Int> = 0..<0
  /// What is being read ahead, and where to.
  private var coming: (range: Range<Int>, buffer: IOBuffer)?
  private var spare: IOBuffer?
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
  ///   - ahead: reads the windows that follow one another ahead; nil reads them when they are wanted.
  init(file: any OpenFile, segment: SegmentID, from start: Int, size: Int, ahead: ScanReadAhead? = nil) {
    self.file = file
    self.segment = segment
    self.size = size
    self.ahead = ahead
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

  private static func makeBuffer() -> IOBuffer { IOBuffer(capacity: carriedBytes + aheadBytes) }

  /// Sees to it that the window reaches from the position to `end`; false when it moved on past an unreadable page.
  private mutating func load(_ end: Int) throws(FileError) -> Bool {
    guard window.lowerBound > position || window.upperBound < end else { return true }
    if takeNext(), window.lowerBound <= position, window.upperBound >= end { return true }
    let start = position.roundedDown(to: Segment.pageBytes)
    let wanted = min(SegmentScanner.windowBytes, (size - start).roundedUp(to: Segment.pageBytes))
    // Large records are jumped over, and then what follows the window is not what comes next.
    let isSequential = start <= window.upperBound
    origin = start - SegmentScanner.carriedBytes
    do { try fill(start, wanted, at: 0) } catch {
      guard error.isInputOutput else { throw error }
      return try loadPagewise(start, end)
    }
    window = start..<min(start + wanted, size)
    if isSequential { readAhead() }
    return true
  }

  /// Begins to read what follows the window.
  private mutating func readAhead() {
    guard let ahead, window.upperBound < size, window.upperBound % Segment.pageBytes == 0 else { return }
    let count = min(SegmentScanner.aheadBytes, (size - window.upperBound).roundedUp(to: Segment.pageBytes))
    let buffer = spare ?? SegmentScanner.makeBuffer()
    spare = nil
    coming = (window.upperBound..<(window.upperBound + count), buffer)
    ahead.begin(file, window.upperBound, count, into: buffer, at: SegmentScanner.carriedBytes)
  }

  /// Goes over to what was read ahead; false when there is nothing of use. An error is met again when the window is read.
  private mutating func takeNext() -> Bool {
    guard let next = coming, let read = ahead?.finish() else { return false }
    coming = nil
    spare = next.buffer
    let carried = max(position.roundedDown(to: Segment.pageBytes), next.range.lowerBound - SegmentScanner.carriedBytes)
    guard case .success(let got) = read, next.range.lowerBound == window.upperBound, window.lowerBound <= carried,
      next.range.lowerBound - SegmentScanner.carriedBytes <= position, position < next.range.upperBound
    else { return false }
    let place = SegmentScanner.carriedBytes
    next.buffer.mutableBytes((place + got)..<(place + next.range.count)).initializeMemory(as: UInt8.self, repeating: 0)
    if carried < next.range.lowerBound {
      next.buffer.mutableBytes(0..<place).copyMemory(from: buffer.bytes((carried - origin)..<(carried - origin + place)))
    }
    (spare, buffer) = (buffer, next.buffer)
    origin = next.range.lowerBound - place
    window = min(carried, next.range.lowerBound)..<min(next.range.upperBound, size)
    readAhead()
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
    let place = SegmentScanner.carriedBytes + place
    let got = try file.pread(into: buffer.mutableBytes(place..<(place + count)), at: Int64(offset))
    // A file that became shorter than it was when the scan began has nothing more to say.
    buffer.mutableBytes((place + got)..<(place + count)).initializeMemory(as: UInt8.self, repeating: 0)
  }

  private func bytes(_ count: Int) -> UnsafeRawBufferPointer {
    let start = position - origin
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
