internal import BlockModel
internal import Platform

/// One segment file of a disk. Its place in the store's table of segments is its slot.
struct Segment: Equatable, Sendable {
  /// Grows with every segment of the disk; never given twice.
  var number: UInt32
  var id: SegmentID
  /// Bytes of the file: what was preallocated.
  var fileBytes: Int
  /// Where the next record goes; a multiple of 4 KiB.
  var endBytes: Int
  /// Bytes below `endBytes` that were given back by punching.
  var punchedBytes: Int64 = 0
  /// Records of blocks that were written to it, whatever became of the blocks.
  var blockRecords = 0
  /// Those of them that the index names.
  var usage = SegmentUsage()
  /// Bytes of control records that compaction wrote anew into it: they were needed then.
  var restatedBytes: Int64 = 0
  /// Its file was removed: it names a slot that nothing may refer to any more.
  var isGone = false

  /// Compaction could not empty it, and leaves it alone until the next start.
  var isKept = false

  /// Bytes that it takes on the disk, without what is preallocated behind its end.
  var occupiedBytes: Int64 { isGone ? 0 : Int64(endBytes) - punchedBytes }
  /// Records whose blocks are deleted or lie elsewhere by now.
  var deadRecords: Int { max(0, blockRecords - usage.records) }

  /// `<number, 8 digits>-<id, 32 digits>.seg`, hexadecimal.
  var fileName: String { Segment.fileName(number: number, id: id) }

  static let pageBytes = 4096
  static let fileNameSuffix = ".seg"

  static func fileName(number: UInt32, id: SegmentID) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits + "-" + id.hex + fileNameSuffix
  }

  /// Nil for any other name.
  static func parse(fileName: String) -> (number: UInt32, id: SegmentID)? {
    guard fileName.utf8.count == 8 + 1 + 32 + fileNameSuffix.utf8.count, fileName.hasSuffix(fileNameSuffix) else { return nil }
    let parts = fileName.dropLast(fileNameSuffix.count).split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let number = UInt32(parts[0], radix: 16), let id = SegmentID(hex: String(parts[1])),
      Segment.fileName(number: number, id: id) == fileName
    else { return nil }
    return (number, id)
  }
}

/// Live records of a segment: those that the index names, quarantined ones and ones that are set aside included.
struct SegmentUsage: Equatable, Sendable {
  var records = 0
  /// Bytes of the records themselves, and with what their places take.
  var recordBytes: Int64 = 0
  var placedBytes: Int64 = 0

  mutating func add(recordBytes bytes: Int) {
    records += 1
    recordBytes += Int64(bytes)
    placedBytes += Int64(RecordPlacement.segmentBytes(recordBytes: bytes))
  }

  mutating func remove(recordBytes bytes: Int) {
    records -= 1
    recordBytes -= Int64(bytes)
    placedBytes -= Int64(RecordPlacement.segmentBytes(recordBytes: bytes))
  }
}

/// What the first page of a segment says after its local header (`docs/formats.md`, "Segment header").
struct SegmentHeader: Equatable, Sendable {
  static let byteCount = 128

  var cluster: ClusterID
  var disk: DiskID
  var number: UInt32
  /// The data key's epoch when the segment was made, and that key's check value; 0 and zeros with encryption off.
  var keyEpoch: UInt32
  var keyCheck: [UInt8]

  init(cluster: ClusterID, disk: DiskID, number: UInt32, keys: DataKeyring?) {
    self.cluster = cluster
    self.disk = disk
    self.number = number
    keyEpoch = keys?.current?.epoch ?? 0
    keyCheck = keys.flatMap { keys in keys.current.flatMap { keys.checkValue($0.epoch) } } ?? [UInt8](repeating: 0, count: 32)
  }

  func encode(into bytes: UnsafeMutableRawBufferPointer) {
    let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[..<SegmentHeader.byteCount])
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    bytes.put(cluster.bytes, at: 0)
    bytes.put(disk.bytes, at: 16)
    bytes.put(number, at: 32)
    bytes.put(keyEpoch, at: 36)
    bytes.put(keyCheck, at: 40)
  }

  init?(decoding bytes: UnsafeRawBufferPointer) {
    guard bytes.count == SegmentHeader.byteCount, UnsafeRawBufferPointer(rebasing: bytes[72...]).isZero,
      let cluster = ClusterID(hex: HexDigits.encode(bytes[0..<16])), let disk = DiskID(hex: HexDigits.encode(bytes[16..<32]))
    else { return nil }
    self.cluster = cluster
    self.disk = disk
    number = bytes.number(UInt32.self, at: 32)
    keyEpoch = bytes.number(UInt32.self, at: 36)
    keyCheck = Array(bytes[40..<72])
  }

  /// - Throws: `.wrongCluster` for a segment of another cluster or disk, `.wrongKey` when the keys here are not those it was written under.
  func check(cluster: ClusterID, disk: DiskID, keys: DataKeyring?) throws(BlockStoreError) {
    guard self.cluster == cluster, self.disk == disk else {
      throw BlockStoreError(.wrongCluster, "Segment \(number) belongs to disk \(self.disk) of cluster \(self.cluster).")
    }
    guard keyEpoch > 0 else { return }
    guard let keys else {
      throw BlockStoreError(.wrongKey, "The disk holds encrypted blocks, and no master key was given.")
    }
    guard keys.checkValue(keyEpoch) == keyCheck else {
      throw BlockStoreError(
        .wrongKey, "The data key of epoch \(keyEpoch) is missing or is not the one that the disk's blocks were written under.")
    }
  }
}
