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

/// 46 bytes of an entry in the index: the id, and 112 packed bits.
///
///     0   32 bytes   the id's four words
///     32  8          slot (18 bits), unit (24), slot of the GC epoch (22)
///     40  6          plain length (23), stored length (23), encoding (1), set aside (1)
struct PackedEntry {
  static let byteCount = 46

  let bytes: UnsafeMutableRawPointer

  private func word(_ offset: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
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

  var epochSlot: UInt32 { UInt32(truncatingIfNeeded: place >> 42) }
  var isSetAside: Bool { lengths >> 47 & 1 == 1 }
  var location: RecordLocation { RecordLocation(slot: UInt32(place & 0x3ffff), unit: UInt32((place >> 18) & 0xff_ffff)) }
  var storedBytes: Int { Int((lengths >> 23) & 0x7f_ffff) }

  /// Only the GC epoch changes.
  func setEpochSlot(_ slot: UInt32) { put(place & ((1 << 42) - 1) | UInt64(slot) << 42, 32) }
  func setSetAside() { put(lengths: lengths | 1 << 47) }

  func load(epoch: (UInt32) -> UInt64) -> IndexEntry {
    let (place, lengths) = (place, lengths)
    return IndexEntry(
      id: id, location: RecordLocation(slot: UInt32(place & 0x3ffff), unit: UInt32((place >> 18) & 0xff_ffff)),
      plainBytes: Int(lengths & 0x7f_ffff), storedBytes: Int((lengths >> 23) & 0x7f_ffff),
      encoding: lengths >> 46 & 1 == 1 ? .zstd : .plain, isSetAside: lengths >> 47 & 1 == 1, gcEpoch: epoch(epochSlot))
  }

  func store(_ entry: IndexEntry, epochSlot: UInt32) {
    precondition(
      entry.location.slot < 1 << RecordLocation.slotBits && entry.location.unit < 1 << RecordLocation.unitBits
        && entry.plainBytes < 1 << 23 && entry.storedBytes < 1 << 23, "an index entry's fields have their widths")
    put(entry.id.words.0, 0)
    put(entry.id.words.1, 8)
    put(entry.id.words.2, 16)
    put(entry.id.words.3, 24)
    put(UInt64(entry.location.slot) | UInt64(entry.location.unit) << 18 | UInt64(epochSlot) << 42, 32)
    let flags: UInt64 = (entry.encoding == .zstd ? 1 << 46 : 0) | (entry.isSetAside ? 1 << 47 : 0)
    put(lengths: UInt64(entry.plainBytes) | UInt64(entry.storedBytes) << 23 | flags)
  }
}
