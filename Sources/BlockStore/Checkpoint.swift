internal import BlockModel
internal import Platform

/// The index on disk (`docs/formats.md`, "Checkpoint"): an acceleration and nothing more. Without a good one the segments are scanned.
///
/// What must hold: it covers every record before `position`, all of which were durable when it was written. Raises and
/// deletions that came later may be in it too; replaying the records from the position on brings any such mixture to the same end.
struct Checkpoint: Equatable, Sendable {
  static let fileName = "index.checkpoint"
  static let magic: UInt64 = 0x3158_494e_5249_4143  // "CAIRNIX1" read as a little-endian number
  static let formatVersion: UInt32 = 2
  static let headerBytes = 64
  static let segmentRowBytes = 48
  static let entryRowBytes = PackedEntry.byteCount
  static let markRowBytes = 24
  static let trailerBytes = 16

  var disk: DiskID
  var nextSequence: UInt64
  var durableSequence: UInt64
  /// The segment and the offset from which records are to be replayed; no segment when there was none.
  var positionSlot: UInt32
  var positionOffset: Int
  /// By slot.
  var segments: [Segment]

  func encodeHeader() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Checkpoint.headerBytes + segments.count * Checkpoint.segmentRowBytes)
    bytes.withUnsafeMutableBytes { bytes in
      bytes.put(Checkpoint.magic, at: 0)
      bytes.put(Checkpoint.formatVersion, at: 8)
      bytes.put(UInt32(segments.count), at: 12)
      bytes.put(disk.bytes, at: 16)
      bytes.put(nextSequence, at: 32)
      bytes.put(durableSequence, at: 40)
      bytes.put(positionSlot, at: 48)
      bytes.put(UInt64(positionOffset), at: 52)
      for (slot, segment) in segments.enumerated() {
        let row = Checkpoint.headerBytes + slot * Checkpoint.segmentRowBytes
        // A segment that is gone keeps its row, so that rows and slots agree; no segment has the number 0.
        guard !segment.isGone else { continue }
        bytes.put(segment.number, at: row)
        bytes.put(UInt32(clamping: segment.blockRecords), at: row + 4)
        bytes.put(segment.id.bytes, at: row + 8)
        bytes.put(UInt64(segment.endBytes), at: row + 24)
        bytes.put(UInt64(segment.punchedBytes), at: row + 32)
      }
    }
    return bytes
  }

  /// Nil when the bytes are not the header of a checkpoint of this version.
  init?(decodingHeader bytes: UnsafeRawBufferPointer) {
    guard let rows = Checkpoint.segmentCount(decodingHeader: bytes),
      bytes.count >= Checkpoint.headerBytes + rows * Checkpoint.segmentRowBytes, let disk = DiskID(hex: HexDigits.encode(bytes[16..<32]))
    else { return nil }
    self.disk = disk
    nextSequence = bytes.number(UInt64.self, at: 32)
    durableSequence = bytes.number(UInt64.self, at: 40)
    positionSlot = bytes.number(UInt32.self, at: 48)
    positionOffset = Int(clamping: bytes.number(UInt64.self, at: 52))
    segments = (0..<rows).compactMap { slot in
      let row = Checkpoint.headerBytes + slot * Checkpoint.segmentRowBytes
      return SegmentID(hex: HexDigits.encode(bytes[(row + 8)..<(row + 24)])).map { id in
        let number = bytes.number(UInt32.self, at: row)
        return Segment(
          number: number, id: id, fileBytes: 0, endBytes: Int(clamping: bytes.number(UInt64.self, at: row + 24)),
          punchedBytes: Int64(clamping: bytes.number(UInt64.self, at: row + 32)), blockRecords: Int(bytes.number(UInt32.self, at: row + 4)),
          isGone: number == 0)
      }
    }
  }

  init(
    disk: DiskID, nextSequence: UInt64, durableSequence: UInt64, positionSlot: UInt32, positionOffset: Int, segments: [Segment]
  ) {
    self.disk = disk
    self.nextSequence = nextSequence
    self.durableSequence = durableSequence
    self.positionSlot = positionSlot
    self.positionOffset = positionOffset
    self.segments = segments
  }

  /// Whether a record lies before the position.
  func covers(_ location: RecordLocation) -> Bool {
    location.slot < positionSlot || location.slot == positionSlot && location.offset < Int64(positionOffset)
  }

  /// Rows of the table of segments, from the first 64 bytes; nil when they are no checkpoint's.
  static func segmentCount(decodingHeader bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count >= headerBytes, bytes.number(UInt64.self, at: 0) == magic, bytes.number(UInt32.self, at: 8) == formatVersion else {
      return nil
    }
    let count = Int(bytes.number(UInt32.self, at: 12))
    return count <= RecordLocation.slotLimit ? count : nil
  }

  static func encode(_ mark: Mark, into row: UnsafeMutableRawBufferPointer) {
    row.put(mark.gcEpoch, at: 0)
    row.put(mark.quarantine?.epoch ?? 0, at: 8)
    row.put(mark.quarantine?.minute ?? 0, at: 16)
    row.put(UInt32(mark.quarantine == nil ? 0 : 1), at: 20)
  }

  static func decodeMark(_ row: UnsafeRawBufferPointer) -> Mark {
    let quarantine = Quarantine(epoch: row.number(UInt64.self, at: 8), minute: row.number(UInt32.self, at: 16))
    return Mark(gcEpoch: row.number(UInt64.self, at: 0), quarantine: row.number(UInt32.self, at: 20) == 1 ? quarantine : nil)
  }
}
