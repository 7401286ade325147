package import BlockModel

/// Where a record lies: a segment's slot in the store's table, and the unit of 64 bytes in it.
package struct RecordLocation: Hashable, Comparable, Sendable {
  package static let slotBits = 18
  package static let unitBits = 24
  /// Segments that one disk can have, and bytes that one segment can have: 1 GiB.
  package static let slotLimit = 1 << slotBits
  package static let segmentBytesLimit = (1 << unitBits) * LocalHeader.unitBytes

  package var slot: UInt32
  package var unit: UInt32

  package init(slot: UInt32, unit: UInt32) {
    self.slot = slot
    self.unit = unit
  }

  var offset: Int64 { Int64(unit) * Int64(LocalHeader.unitBytes) }

  package static func < (a: RecordLocation, b: RecordLocation) -> Bool { (a.slot, a.unit) < (b.slot, b.unit) }
}

/// What the index knows of one block, unpacked.
package struct IndexEntry: Equatable, Sendable {
  package var id: BlockID
  package var location: RecordLocation
  package var plainBytes: Int
  package var storedBytes: Int
  package var encoding: ContentEncoding
  /// The copy was found bad: it is not shown, not deleted, and gives way to the next copy that is appended.
  package var isSetAside: Bool
  package var gcEpoch: UInt64
  /// The block is deleted for now: it is not shown, and its copy waits for the end of the hold or for being taken back.
  package var quarantine: Quarantine?

  var isShown: Bool { !isSetAside && quarantine == nil }

  /// Bytes of the record in its segment, unpadded.
  var recordBytes: Int { RecordLayout.recordBytes(storedBytes: storedBytes) }

  var stored: StoredBlock {
    StoredBlock(id: id, plainBytes: plainBytes, storedBytes: storedBytes, encoding: encoding, gcEpoch: gcEpoch)
  }

  package init(
    id: BlockID, location: RecordLocation, plainBytes: Int, storedBytes: Int, encoding: ContentEncoding, isSetAside: Bool = false,
    gcEpoch: UInt64, quarantine: Quarantine? = nil
  ) {
    self.id = id
    self.location = location
    self.plainBytes = plainBytes
    self.storedBytes = storedBytes
    self.encoding = encoding
    self.isSetAside = isSetAside
    self.gcEpoch = gcEpoch
    self.quarantine = quarantine
  }

  init(_ header: RecordHeader, location: RecordLocation, gcEpoch: UInt64) {
    self.init(
      id: header.block, location: location, plainBytes: header.plainBytes, storedBytes: header.storedBytes, encoding: header.encoding,
      gcEpoch: gcEpoch)
  }
}

/// Since when a block is quarantined, and by which delete.
package struct Quarantine: Hashable, Sendable {
  /// The GC epoch that the delete was given.
  package var epoch: UInt64
  /// Minutes since 1970 in UTC, rounded up: no hold is shorter than was asked for, and many blocks share one value.
  package var minute: UInt32

  package init(epoch: UInt64, minute: UInt32) {
    self.epoch = epoch
    self.minute = minute
  }

  package init(epoch: UInt64, since time: WallTime) {
    self.init(epoch: epoch, minute: UInt32(clamping: time.seconds / 60 + 1))
  }

  package var since: WallTime { WallTime(seconds: Int64(minute) * 60) }
}

/// What garbage collection knows of a block. Many blocks share few of these.
struct Mark: Hashable, Sendable {
  var gcEpoch: UInt64
  var quarantine: Quarantine?
}

/// The marks that blocks have, each kept once.
struct MarkTable: Sendable {
  static let slotBits = 21
  private(set) var values: [Mark] = []
  private var slots: [Mark: UInt32] = [:]

  init() {}

  /// Nil for more than the table can hold.
  init?(_ values: [Mark]) {
    guard values.count <= 1 << MarkTable.slotBits else { return nil }
    self.values = values
    for (slot, mark) in values.enumerated() { slots[mark] = UInt32(slot) }
  }

  subscript(slot: UInt32) -> Mark { values[Int(slot)] }

  /// The slot of `mark`; nil when the table is full, which takes two million different marks since the store was opened.
  mutating func slot(of mark: Mark) -> UInt32? {
    if let slot = slots[mark] { return slot }
    guard values.count < 1 << MarkTable.slotBits else { return nil }
    let slot = UInt32(values.count)
    values.append(mark)
    slots[mark] = slot
    return slot
  }
}

/// 46 bytes of an entry in the index: the id, and 112 packed bits.
///
///     0   32 bytes   the id's four words
///     32  8          slot (18 bits), unit (24), quarantined (1), slot of the mark (21)
///     40  6          plain length (23), stored length (23), encoding (1), set aside (1)
struct PackedEntry {
  static let byteCount = 46

  let bytes: UnsafeMutableRawPointer

  func word(_ offset: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
  private func put(_ word: UInt64, _ offset: Int) { bytes.storeBytes(of: word, toByteOffset: offset, as: UInt64.self) }

  var id: BlockID { BlockID(words: (word(0), word(8), word(16), word(24))) }

  func precedes(_ id: BlockID) -> Bool {
    let first = word(0)
    return first == id.words.0 ? self.id < id : first < id.words.0
  }

  private var place: UInt64 { word(32) }
  private var lengths: UInt64 {
    UInt64(bytes.loadUnaligned(fromByteOffset: 40, as: UInt32.self)) | UInt64(bytes.loadUnaligned(fromByteOffset: 44, as: UInt16.self))
      << 32
  }

  private func put(lengths: UInt64) {
    bytes.storeBytes(of: UInt32(truncatingIfNeeded: lengths), toByteOffset: 40, as: UInt32.self)
    bytes.storeBytes(of: UInt16(truncatingIfNeeded: lengths >> 32), toByteOffset: 44, as: UInt16.self)
  }

  var markSlot: UInt32 { UInt32(truncatingIfNeeded: place >> 43) }
  var isQuarantined: Bool { place >> 42 & 1 == 1 }
  var isSetAside: Bool { lengths >> 47 & 1 == 1 }
  var isShown: Bool { !isSetAside && !isQuarantined }
  var location: RecordLocation {
    let place = place
    return RecordLocation(slot: UInt32(place & 0x3ffff), unit: UInt32((place >> 18) & 0xff_ffff))
  }
  var storedBytes: Int { Int((lengths >> 23) & 0x7f_ffff) }

  /// Only the mark changes.
  func setMark(_ slot: UInt32, isQuarantined: Bool) { put(place & ((1 << 42) - 1) | PackedEntry.markBits(slot, isQuarantined), 32) }
  func setSetAside() { put(lengths: lengths | 1 << 47) }

  private static func markBits(_ slot: UInt32, _ isQuarantined: Bool) -> UInt64 { UInt64(slot) << 43 | (isQuarantined ? 1 << 42 : 0) }

  func load(mark: (UInt32) -> Mark) -> IndexEntry {
    let (place, lengths) = (place, lengths)
    let mark = mark(UInt32(truncatingIfNeeded: place >> 43))
    return IndexEntry(
      id: id, location: RecordLocation(slot: UInt32(place & 0x3ffff), unit: UInt32((place >> 18) & 0xff_ffff)),
      plainBytes: Int(lengths & 0x7f_ffff), storedBytes: Int((lengths >> 23) & 0x7f_ffff),
      encoding: lengths >> 46 & 1 == 1 ? .zstd : .plain, isSetAside: lengths >> 47 & 1 == 1, gcEpoch: mark.gcEpoch,
      quarantine: mark.quarantine)
  }

  func store(_ entry: IndexEntry, markSlot: UInt32) {
    precondition(
      entry.location.slot < 1 << RecordLocation.slotBits && entry.location.unit < 1 << RecordLocation.unitBits
        && entry.plainBytes < 1 << 23 && entry.storedBytes < 1 << 23, "an index entry's fields have their widths")
    put(entry.id.words.0, 0)
    put(entry.id.words.1, 8)
    put(entry.id.words.2, 16)
    put(entry.id.words.3, 24)
    let mark = PackedEntry.markBits(markSlot, entry.quarantine != nil)
    put(UInt64(entry.location.slot) | UInt64(entry.location.unit) << 18 | mark, 32)
    let flags: UInt64 = (entry.encoding == .zstd ? 1 << 46 : 0) | (entry.isSetAside ? 1 << 47 : 0)
    put(lengths: UInt64(entry.plainBytes) | UInt64(entry.storedBytes) << 23 | flags)
  }
}

/// Rows of a checkpoint: a packed entry with the id's bytes in their own order and everything else little-endian.
extension PackedEntry {
  /// Writes the entry as a checkpoint's row.
  func encode(into row: UnsafeMutableRawPointer) {
    for offset in stride(from: 0, to: 32, by: 8) { row.storeBytes(of: word(offset).bigEndian, toByteOffset: offset, as: UInt64.self) }
    row.storeBytes(of: word(32).littleEndian, toByteOffset: 32, as: UInt64.self)
    (row + 40).copyMemory(from: bytes + 40, byteCount: 6)
  }

  /// Takes a checkpoint's row over; `slots` says which slot a segment has now, by the slot that it had then, and `.max` that it has none.
  ///
  /// - Returns: false for a row that no index has written.
  func decode(_ row: UnsafeRawPointer, slots: [UInt32], marks: [Mark]) -> Bool {
    for offset in stride(from: 0, to: 32, by: 8) {
      put(UInt64(bigEndian: row.loadUnaligned(fromByteOffset: offset, as: UInt64.self)), offset)
    }
    let place = UInt64(littleEndian: row.loadUnaligned(fromByteOffset: 32, as: UInt64.self))
    (bytes + 40).copyMemory(from: row + 40, byteCount: 6)
    let (slot, mark, lengths) = (Int(place & 0x3ffff), Int(place >> 43), lengths)
    let (plain, stored) = (Int(lengths & 0x7f_ffff), Int((lengths >> 23) & 0x7f_ffff))
    let end = ((place >> 18) & 0xff_ffff) * UInt64(LocalHeader.unitBytes) + UInt64(RecordLayout.recordBytes(storedBytes: stored))
    guard slot < slots.count, slots[slot] < RecordLocation.slotLimit, mark < marks.count,
      (marks[mark].quarantine != nil) == (place >> 42 & 1 == 1),
      plain <= Limits.blockBytes, stored <= plain, end <= UInt64(RecordLocation.segmentBytesLimit)
    else { return false }
    put(place & ~0x3ffff | UInt64(slots[slot]), 32)
    return true
  }

  var recordBytes: Int { RecordLayout.recordBytes(storedBytes: Int((lengths >> 23) & 0x7f_ffff)) }
}
