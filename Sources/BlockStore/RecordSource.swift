internal import BlockModel
internal import Platform

/// Reads past the page cache in whole pages and keeps what it read last, so that neighbouring small records cost one read.
/// For one thread.
final class PageReader {
  static let windowBytes = 256 << 10

  private var buffer: IOBuffer?
  private var window = 0..<0
  /// The file that the window is of.
  private var source: ObjectIdentifier?

  /// False when the file ends before.
  func read(_ pieces: [UnsafeMutableRawBufferPointer], _ wanted: Int, _ file: any OpenFile, at offset: Int) throws(FileError) -> Bool {
    if source != ObjectIdentifier(file) || offset < window.lowerBound || offset + wanted > window.upperBound {
      try load(offset, wanted, file)
    }
    guard let buffer, offset + wanted <= window.upperBound else { return false }
    var taken = offset - window.lowerBound
    for piece in pieces {
      piece.copyMemory(from: buffer.bytes(taken..<(taken + piece.count)))
      taken += piece.count
    }
    return true
  }

  private func load(_ offset: Int, _ wanted: Int, _ file: any OpenFile) throws(FileError) {
    let start = offset.roundedDown(to: Segment.pageBytes)
    let needed = (offset + wanted).roundedUp(to: Segment.pageBytes) - start
    window = 0..<0
    let buffer = self.buffer.flatMap { $0.capacity >= needed ? $0 : nil } ?? IOBuffer(capacity: max(PageReader.windowBytes, needed))
    self.buffer = buffer
    source = ObjectIdentifier(file)
    // A page that cannot be read may lie behind what is wanted.
    var got = needed
    do { got = try file.pread(into: buffer.mutableBytes(0..<buffer.capacity.roundedDown(to: Segment.pageBytes)), at: Int64(start)) } catch {
      guard error.isInputOutput else { throw error }
      got = try file.pread(into: buffer.mutableBytes(0..<needed), at: Int64(start))
    }
    window = start..<(start + got)
  }
}

/// One record where it lies in its segment's file.
struct RecordSource {
  let file: any OpenFile
  let segment: SegmentID
  /// Where in the file the record begins.
  let offset: Int64
  let recordBytes: Int
  /// The file is read past the page cache, in whole pages, by this reader; nil for a read through the cache.
  var direct: PageReader?
  /// Reads only what is in memory; what is not counts as not fetched.
  var isCachedOnly = false

  /// Fills the pieces, which lie one after the other in the record from `start` on; false when the file ends before.
  func fetch(_ pieces: [UnsafeMutableRawBufferPointer], from start: Int) throws(BlockStoreError) -> Bool {
    let wanted = pieces.reduce(0) { $0 + $1.count }
    if isCachedOnly { return file.preadvCached(into: pieces, at: offset + Int64(start)) == wanted }
    do {
      guard let direct else { return try file.preadv(into: pieces, at: offset + Int64(start)) == wanted }
      return try direct.read(pieces, wanted, file, at: Int(offset) + start)
    } catch { throw RecordSource.failure(error) }
  }

  /// Whether `fetchPages` can read the record: past the page cache, longer than what a reader of neighbours keeps, in whole pages.
  func hasPages(for buffer: IOBuffer) -> Bool {
    direct != nil && recordBytes > PageReader.windowBytes && offset % Int64(Segment.pageBytes) == 0
      && recordBytes.roundedUp(to: Segment.pageBytes) <= buffer.capacity
  }

  /// Reads the whole record to the start of the buffer, straight from the disk; false when the file ends before.
  func fetchPages(into buffer: IOBuffer) throws(BlockStoreError) -> Bool {
    do {
      return try file.pread(into: buffer.mutableBytes(0..<recordBytes.roundedUp(to: Segment.pageBytes)), at: offset) >= recordBytes
    } catch { throw RecordSource.failure(error) }
  }

  private static func failure(_ error: FileError) -> BlockStoreError {
    error.isInputOutput ? BlockStoreError(.unreadable, error.description) : .io(error)
  }

  /// The portable header in the record's first bytes, nil unless they are the headers of exactly this copy.
  func header(_ bytes: UnsafeRawBufferPointer, of entry: IndexEntry) -> RecordHeader? {
    let head = UnsafeRawBufferPointer(rebasing: bytes[..<RecordLayout.framesStart])
    guard
      let record = SegmentScanner.parse(head, segment: segment, offset: Int(offset), limit: Int(offset) + recordBytes),
      case .block(let header) = record.content, header.block == entry.id, header.plainBytes == entry.plainBytes,
      header.storedBytes == entry.storedBytes, header.encoding == entry.encoding
    else { return nil }
    return header
  }

  /// Reads frames so that their payload lies in one piece from the buffer's start on, and opens them there; false when a check fails.
  ///
  /// The tags and the headers are read to behind the payload: a buffer that holds the whole record has room for both.
  func openFrames(
    _ frames: ClosedRange<Int>, of entry: IndexEntry, into buffer: IOBuffer, keys: DataKeyring?
  ) throws(BlockStoreError) -> Bool {
    let payloadBytes = min(entry.storedBytes, (frames.upperBound + 1) * Limits.frameBytes) - frames.lowerBound * Limits.frameBytes
    let tags = payloadBytes..<(payloadBytes + frames.count * Limits.frameTagBytes)
    let head = buffer.mutableBytes(tags.upperBound..<(tags.upperBound + RecordLayout.framesStart))
    func payload(_ index: Int) -> UnsafeMutableRawBufferPointer {
      let start = (index - frames.lowerBound) * Limits.frameBytes
      return buffer.mutableBytes(start..<(start + RecordCipher.frameBytes(index, storedBytes: entry.storedBytes)))
    }
    func tag(_ index: Int) -> UnsafeMutableRawBufferPointer {
      let start = tags.lowerBound + (index - frames.lowerBound) * Limits.frameTagBytes
      return buffer.mutableBytes(start..<(start + Limits.frameTagBytes))
    }
    var pieces: [UnsafeMutableRawBufferPointer] = []
    pieces.reserveCapacity(2 * frames.count + 1)
    for index in frames { pieces += [payload(index), tag(index)] }
    if frames.lowerBound == 0 {
      guard try fetch([head] + pieces, from: 0) else { return false }
    } else {
      guard try fetch([head], from: 0), try fetch(pieces, from: RecordLayout.frameStart(frames.lowerBound)) else { return false }
    }
    guard let header = header(UnsafeRawBufferPointer(head), of: entry) else { return false }
    var cipher = try RecordOpener.cipher(for: header, keys: keys)
    for index in frames {
      guard cipher.open(frame: index, inPlace: payload(index), tag: UnsafeRawPointer(tag(index).baseAddress!)) else { return false }
    }
    return true
  }
}
