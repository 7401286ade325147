internal import BlockModel
internal import Platform

/// The 64 bytes before everything in a segment (`docs/formats.md`, "Local header"): where it lies, what it is, and when it was written.
///
/// What must hold: a header counts only in the segment and at the offset that it names, so stale bytes of another segment, a
/// misdirected write, and a copy of a segment stored as a user's block are never taken for records.
struct LocalHeader: Equatable, Sendable {
  enum Kind: UInt8, Sendable {
    /// A portable header and frames follow.
    case block = 1
    /// A `ControlBody` follows: the block is not here any more.
    case tombstone = 2
    /// A `ControlBody` follows: the block's GC epoch is at least this header's.
    case epochRaise = 3
    /// A `ControlBody` follows: the copy at the body's place is bad and does not count.
    case setAside = 4
    /// A `SegmentHeader` follows; first in every segment and nowhere else.
    case segment = 5
    /// A `ControlBody` follows: the block counts as missing until it is taken back.
    case quarantine = 6
    /// A `ControlBody` follows: the block is out of quarantine, and its GC epoch is at least this header's.
    case restore = 7
  }

  static let byteCount = RecordLayout.localBytes
  static let magic: UInt32 = 0x4c4e_5243  // "CRNL" read as a little-endian number
  static let formatVersion: UInt8 = 1
  /// Places are multiples of this many bytes.
  static let unitBytes = 64

  var kind: Kind
  var segment: SegmentID
  /// Where the header lies, in units of 64 bytes from the segment's start.
  var unit: UInt32
  /// Bytes that follow the header, without padding.
  var bodyBytes: Int
  /// Disk-wide, growing, never given twice. The highest of a block wins.
  var sequence: UInt64
  var gcEpoch: UInt64
  /// Every sequence number up to this one was known to be durable when the header was written.
  var durableSequence: UInt64
  /// CRC-32C of the body's first 128 bytes, or of all of a shorter one.
  var bodyChecksum: UInt32
  /// Compaction wrote the record of a block in quarantine: it stays in it as an older copy says, until the record that follows says so itself.
  var isHeld = false

  private static let heldFlag: UInt16 = 1

  private enum Offset {
    static let magic = 0
    static let version = 4
    static let kind = 5
    static let flags = 6
    static let segment = 8
    static let unit = 24
    static let bodyBytes = 28
    static let sequence = 32
    static let gcEpoch = 40
    static let durableSequence = 48
    static let bodyChecksum = 56
    static let checksum = 60
  }

  /// Bytes of header and body, unpadded.
  var recordBytes: Int { LocalHeader.byteCount + bodyBytes }

  static func checksum(ofBody body: UnsafeRawBufferPointer) -> UInt32 {
    CRC32C.checksum(UnsafeRawBufferPointer(rebasing: body[..<min(body.count, RecordLayout.headerBytes)]))
  }

  /// Writes the 64 bytes to the start of `bytes`.
  func encode(into bytes: UnsafeMutableRawBufferPointer) {
    bytes.put(LocalHeader.magic, at: Offset.magic)
    bytes.put(LocalHeader.formatVersion, at: Offset.version)
    bytes.put(kind.rawValue, at: Offset.kind)
    bytes.put(isHeld ? LocalHeader.heldFlag : 0, at: Offset.flags)
    bytes.put(segment.bytes, at: Offset.segment)
    bytes.put(unit, at: Offset.unit)
    bytes.put(UInt32(bodyBytes), at: Offset.bodyBytes)
    bytes.put(sequence, at: Offset.sequence)
    bytes.put(gcEpoch, at: Offset.gcEpoch)
    bytes.put(durableSequence, at: Offset.durableSequence)
    bytes.put(bodyChecksum, at: Offset.bodyChecksum)
    bytes.put(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<Offset.checksum])), at: Offset.checksum)
  }

  /// What the first 64 bytes say, nil when they are no header of this segment at this place.
  init?(decoding bytes: UnsafeRawBufferPointer, segment: SegmentID, unit: UInt32) {
    guard bytes.count >= LocalHeader.byteCount, bytes.number(UInt32.self, at: Offset.magic) == LocalHeader.magic,
      bytes.number(UInt32.self, at: Offset.unit) == unit,
      bytes.number(UInt32.self, at: Offset.checksum) == CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<Offset.checksum])),
      bytes[Offset.version] == LocalHeader.formatVersion, let kind = Kind(rawValue: bytes[Offset.kind]),
      bytes.number(UInt16.self, at: Offset.flags) & ~(kind == .block ? LocalHeader.heldFlag : 0) == 0,
      LocalHeader.segment(of: bytes) == segment
    else { return nil }
    self.init(
      kind: kind, segment: segment, unit: unit, bodyBytes: Int(bytes.number(UInt32.self, at: Offset.bodyBytes)),
      sequence: bytes.number(UInt64.self, at: Offset.sequence), gcEpoch: bytes.number(UInt64.self, at: Offset.gcEpoch),
      durableSequence: bytes.number(UInt64.self, at: Offset.durableSequence),
      bodyChecksum: bytes.number(UInt32.self, at: Offset.bodyChecksum),
      isHeld: bytes.number(UInt16.self, at: Offset.flags) & LocalHeader.heldFlag != 0)
  }

  init(
    kind: Kind, segment: SegmentID, unit: UInt32, bodyBytes: Int, sequence: UInt64, gcEpoch: UInt64, durableSequence: UInt64,
    bodyChecksum: UInt32, isHeld: Bool = false
  ) {
    self.kind = kind
    self.segment = segment
    self.unit = unit
    self.bodyBytes = bodyBytes
    self.sequence = sequence
    self.gcEpoch = gcEpoch
    self.durableSequence = durableSequence
    self.bodyChecksum = bodyChecksum
    self.isHeld = isHeld
  }

  private static func segment(of bytes: UnsafeRawBufferPointer) -> SegmentID {
    let high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: Offset.segment, as: UInt64.self))
    let low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: Offset.segment + 8, as: UInt64.self))
    return SegmentID(high: high, low: low)
  }
}

/// The 64 bytes that follow the local header of everything that is said about a block.
struct ControlBody: Equatable, Sendable {
  static let byteCount = 64

  var block: BlockID
  /// In a set-aside note, where the bad copy lies: number of its segment and unit in it. In a tombstone that was written anew, the number
  /// of the last segment that may hold an older copy. Both 0 otherwise.
  var segmentNumber: UInt32
  var unit: UInt32
  /// In a quarantine record, since when: minutes since 1970 in UTC.
  var minute: UInt32

  func encode(into bytes: UnsafeMutableRawBufferPointer) {
    let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[..<ControlBody.byteCount])
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    block.store(into: bytes)
    bytes.put(segmentNumber, at: 32)
    bytes.put(unit, at: 36)
    bytes.put(minute, at: 40)
  }

  init(block: BlockID, segmentNumber: UInt32 = 0, unit: UInt32 = 0, minute: UInt32 = 0) {
    self.block = block
    self.segmentNumber = segmentNumber
    self.unit = unit
    self.minute = minute
  }

  /// Nil for another count of bytes, or when the reserved ones are not zero.
  init?(decoding bytes: UnsafeRawBufferPointer) {
    guard bytes.count == ControlBody.byteCount, UnsafeRawBufferPointer(rebasing: bytes[44...]).isZero else { return nil }
    self.init(
      block: BlockID(loading: bytes), segmentNumber: bytes.number(UInt32.self, at: 32), unit: bytes.number(UInt32.self, at: 36),
      minute: bytes.number(UInt32.self, at: 40))
  }
}
