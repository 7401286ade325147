internal import BlockModel
internal import Platform

/// The 128 bytes of the portable header (`docs/formats.md`, "Portable header"). The same bytes lie on every replica.
extension RecordHeader {
  static let magic: UInt64 = 0x3144_524e_5249_4143  // "CAIRNRD1" read as a little-endian number
  static let formatVersion: UInt16 = 1

  private enum Offset {
    static let magic = 0
    static let version = 8
    static let encoding = 10
    static let sealing = 11
    static let keyEpoch = 12
    static let block = 16
    static let plainBytes = 48
    static let storedBytes = 52
    static let wrappedKey = 56
    static let reserved = 96
    static let checksum = 124
  }

  /// Says what keeps these fields from being a record's, nil when nothing does.
  package var fault: String? {
    guard (0...Limits.blockBytes).contains(plainBytes) else { return "a block has at most \(Limits.blockBytes) bytes, not \(plainBytes)" }
    switch encoding {
    case .plain:
      guard storedBytes == plainBytes else { return "a plain block of \(plainBytes) bytes cannot take \(storedBytes)" }
    case .zstd:
      guard storedBytes > 0, storedBytes < plainBytes else { return "a compressed block of \(plainBytes) bytes cannot take \(storedBytes)" }
    }
    switch sealing {
    case .checksummed: return keyEpoch == 0 && wrappedKey.isEmpty ? nil : "a record without encryption names a key"
    case .encrypted: return keyEpoch > 0 && wrappedKey.count == KeyWrap.wrappedSize ? nil : "an encrypted record names no key"
    }
  }

  /// Writes the 128 bytes to the start of `bytes`. The fields have no fault.
  package func encode(into bytes: UnsafeMutableRawBufferPointer) {
    precondition(bytes.count >= RecordLayout.headerBytes && fault == nil, "a header with a fault is never written")
    let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[..<RecordLayout.headerBytes])
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    bytes.put(RecordHeader.magic, at: Offset.magic)
    bytes.put(RecordHeader.formatVersion, at: Offset.version)
    bytes.put(encoding.rawValue, at: Offset.encoding)
    bytes.put(sealing.rawValue, at: Offset.sealing)
    bytes.put(keyEpoch, at: Offset.keyEpoch)
    block.store(into: UnsafeMutableRawBufferPointer(rebasing: bytes[Offset.block..<Offset.plainBytes]))
    bytes.put(UInt32(plainBytes), at: Offset.plainBytes)
    bytes.put(UInt32(storedBytes), at: Offset.storedBytes)
    bytes.put(wrappedKey, at: Offset.wrappedKey)
    bytes.put(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<Offset.checksum])), at: Offset.checksum)
  }

  /// Reads the 128 bytes at the start of `bytes`; whatever they are, a header that this returns has no fault.
  ///
  /// - Throws: `.newerFormat` for a version that this program does not know, `.malformed` for anything else that is not a header.
  package init(decoding bytes: UnsafeRawBufferPointer) throws(BlockStoreError) {
    guard bytes.count >= RecordLayout.headerBytes, bytes.number(UInt64.self, at: Offset.magic) == RecordHeader.magic else {
      throw BlockStoreError(.malformed, "These bytes are no record: the header does not begin as one.")
    }
    let checked = UnsafeRawBufferPointer(rebasing: bytes[..<Offset.checksum])
    guard bytes.number(UInt32.self, at: Offset.checksum) == CRC32C.checksum(checked) else {
      throw BlockStoreError(.malformed, "The record's header does not fit its checksum.")
    }
    let version = bytes.number(UInt16.self, at: Offset.version)
    guard version == RecordHeader.formatVersion else {
      throw BlockStoreError(.newerFormat, "The record has format \(version); this program knows format \(RecordHeader.formatVersion).")
    }
    guard let encoding = ContentEncoding(rawValue: bytes[Offset.encoding]), let sealing = Sealing(rawValue: bytes[Offset.sealing]) else {
      throw BlockStoreError(.malformed, "The record's header names an unknown encoding or sealing.")
    }
    let wrapped = UnsafeRawBufferPointer(rebasing: bytes[Offset.wrappedKey..<Offset.reserved])
    let unused = UnsafeRawBufferPointer(rebasing: bytes[(sealing == .encrypted ? Offset.reserved : Offset.wrappedKey)..<Offset.checksum])
    self.init(
      block: BlockID(loading: UnsafeRawBufferPointer(rebasing: bytes[Offset.block..<Offset.plainBytes])),
      plainBytes: Int(bytes.number(UInt32.self, at: Offset.plainBytes)),
      storedBytes: Int(bytes.number(UInt32.self, at: Offset.storedBytes)),
      encoding: encoding, sealing: sealing, keyEpoch: bytes.number(UInt32.self, at: Offset.keyEpoch),
      wrappedKey: sealing == .encrypted ? Array(wrapped) : [])
    guard unused.isZero else { throw BlockStoreError(.malformed, "The record's header has bytes where none may be.") }
    if let fault { throw BlockStoreError(.malformed, "The record's header is not possible: \(fault).") }
  }
}
