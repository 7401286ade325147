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

  /// Bytes of the record in its segment, unpadded.
  var recordBytes: Int { RecordLayout.recordBytes(storedBytes: storedBytes) }

  var stored: StoredBlock {
    StoredBlock(id: id, plainBytes: plainBytes, storedBytes: storedBytes, encoding: encoding, gcEpoch: gcEpoch)
  }

  package init(
    id: BlockID, location: RecordLocation, plainBytes: Int, storedBytes: Int, encoding: ContentEncoding, isSetAside: Bool = false,
    gcEpoch: UInt64
  ) {
    self.id = id
    self.location = location
    self.plainBytes = plainBytes
    self.storedBytes = storedBytes
    self.encoding = encoding
    self.isSetAside = isSetAside
    self.gcEpoch = gcEpoch
  }

  init(_ header: RecordHeader, location: RecordLocation, gcEpoch: UInt64) {
    self.init(
      id: header.block, location: location, plainBytes: header.plainBytes, storedBytes: header.storedBytes, encoding: header.encoding,
      gcEpoch: gcEpoch)
  }
}

/// The GC epochs that blocks are stored under, each kept once: many blocks share few epochs.
struct EpochTable {
  static let slotBits = 22
  private var values: [UInt64] = []
  private var slots: [UInt64: UInt32] = [:]

  subscript(slot: UInt32) -> UInt64 { values[Int(slot)] }

  /// The slot of `epoch`; nil when the table is full, which takes four million different epochs since the store was opened.
  mutating func slot(of epoch: UInt64) -> UInt32? {
    if let slot = slots[epoch] { return slot }
    guard values.count < 1 << EpochTable.slotBits else { return nil }
    let slot = UInt32(values.count)
    values.append(epoch)
    slots[epoch] = slot
    return slot
  }
}

/// 44 bytes of an entry in the index: the id without its first 16 bits, which its bucket implies, and 112 packed bits.
///
///     0   6 bytes   the last 48 bits of the id's first word
///     6   24        the id's other words
///     30  8         slot (18 bits), unit (24), slot of the GC epoch (22)
///     38  6         plain length (23), stored length (23), encoding (1), set aside (1)
struct PackedEntry {
  static let byteCount = 44

  let bytes: UnsafeMutableRawPointer

  /// The bits of the id's first word that the bucket does not imply: what entries are ordered by first.
  var key: UInt64 {
    UInt64(bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self)) << 16
      | UInt64(bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
  }

  private func word(_ offset: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }

  func id(bucket: Int) -> BlockID { BlockID(words: (UInt64(bucket) << 48 | key, word(6), word(14), word(22))) }

  /// Whether this entry's id comes before `id`, which belongs to the same bucket.
  func precedes(_ id: BlockID) -> Bool {
    let other = id.words.0 & 0xffff_ffff_ffff
    let own = key
    return own == other ? (word(6), word(14), word(22)) < (id.words.1, id.words.2, id.words.3) : own < other
  }

  func matches(_ id: BlockID) -> Bool {
    key == id.words.0 & 0xffff_ffff_ffff && word(6) == id.words.1 && word(14) == id.words.2 && word(22) == id.words.3
  }

  var epochSlot: UInt32 { UInt32(truncatingIfNeeded: word(30) >> 42) }

  /// Only the GC epoch changes.
  func setEpochSlot(_ slot: UInt32) {
    let kept = word(30) & ((1 << 42) - 1)
    bytes.storeBytes(of: kept | UInt64(slot) << 42, toByteOffset: 30, as: UInt64.self)
  }

  var isSetAside: Bool { bytes.load(fromByteOffset: 43, as: UInt8.self) & 0x80 != 0 }

  func setSetAside() {
    let upper = bytes.loadUnaligned(fromByteOffset: 42, as: UInt16.self)
    bytes.storeBytes(of: upper | 1 << 15, toByteOffset: 42, as: UInt16.self)
  }

  func load(bucket: Int, epoch: (UInt32) -> UInt64) -> IndexEntry {
    let place = word(30)
    let lengths =
      UInt64(bytes.loadUnaligned(fromByteOffset: 38, as: UInt32.self)) | UInt64(bytes.loadUnaligned(fromByteOffset: 42, as: UInt16.self)) << 32
    return IndexEntry(
      id: id(bucket: bucket),
      location: RecordLocation(slot: UInt32(place & 0x3ffff), unit: UInt32((place >> 18) & 0xff_ffff)),
      plainBytes: Int(lengths & 0x7f_ffff), storedBytes: Int((lengths >> 23) & 0x7f_ffff),
      encoding: lengths >> 46 & 1 == 1 ? .zstd : .plain, isSetAside: lengths >> 47 & 1 == 1, gcEpoch: epoch(epochSlot))
  }

  func store(_ entry: IndexEntry, epochSlot: UInt32) {
    precondition(
      entry.location.slot < 1 << RecordLocation.slotBits && entry.location.unit < 1 << RecordLocation.unitBits
        && entry.plainBytes < 1 << 23 && entry.storedBytes < 1 << 23, "an index entry's fields have their widths")
    let first = entry.id.words.0
    bytes.storeBytes(of: UInt32(truncatingIfNeeded: first >> 16), toByteOffset: 0, as: UInt32.self)
    bytes.storeBytes(of: UInt16(truncatingIfNeeded: first), toByteOffset: 4, as: UInt16.self)
    bytes.storeBytes(of: entry.id.words.1, toByteOffset: 6, as: UInt64.self)
    bytes.storeBytes(of: entry.id.words.2, toByteOffset: 14, as: UInt64.self)
    bytes.storeBytes(of: entry.id.words.3, toByteOffset: 22, as: UInt64.self)
    bytes.storeBytes(
      of: UInt64(entry.location.slot) | UInt64(entry.location.unit) << 18 | UInt64(epochSlot) << 42, toByteOffset: 30, as: UInt64.self)
    let flags: UInt64 = (entry.encoding == .zstd ? 1 << 46 : 0) | (entry.isSetAside ? 1 << 47 : 0)
    let lengths = UInt64(entry.plainBytes) | UInt64(entry.storedBytes) << 23 | flags
    bytes.storeBytes(of: UInt32(truncatingIfNeeded: lengths), toByteOffset: 38, as: UInt32.self)
    bytes.storeBytes(of: UInt16(truncatingIfNeeded: lengths >> 32), toByteOffset: 42, as: UInt16.self)
  }
}
