internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension SQLValue {
  static func id<Kind>(_ id: Identifier<Kind>) -> SQLValue {
    .blob(
      [UInt8](unsafeUninitializedCapacity: 16) { buffer, count in
        let bytes = UnsafeMutableRawBufferPointer(buffer)
        bytes.storeBytes(of: id.high.bigEndian, toByteOffset: 0, as: UInt64.self)
        bytes.storeBytes(of: id.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        count = 16
      })
  }
  static func block(_ id: BlockID) -> SQLValue { .blob(id.bytes) }
  static func time(_ time: WallTime) -> SQLValue { .integer(time.microseconds) }
  static func time(_ time: FileTime) -> SQLValue { .integer(time.nanoseconds) }
}

extension SQLRow {
  func id<Kind>(_ column: Int32) -> Identifier<Kind> {
    withBlob(column) { bytes in
      precondition(bytes.count >= 16, "the schema keeps ids as 16 bytes")
      return Identifier(
        high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
        low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }
  }
  func block(_ column: Int32) -> BlockID { withBlob(column) { BlockID(loading: $0) } }
  func time(_ column: Int32) -> WallTime { WallTime(microseconds: int64(column)) }
  func fileTime(_ column: Int32) -> FileTime { FileTime(nanoseconds: int64(column)) }
}

extension EntryType {
  var number: Int {
    switch self {
    case .file: 0
    case .folder: 1
    case .symlink: 2
    }
  }
  init(number: Int) { self = number == 0 ? .file : number == 1 ? .folder : .symlink }
}

extension Change.Action {
  var number: Int {
    switch self {
    case .created: 0
    case .modified: 1
    case .moved: 2
    case .deleted: 3
    case .entered: 4
    case .left: 5
    }
  }
  init(number: Int) { self = [.created, .modified, .moved, .deleted, .entered, .left][number] }
}

extension ConflictPolicy {
  var number: Int {
    switch self {
    case .fail: 0
    case .copy: 1
    case .overwrite: 2
    }
  }
  init(number: Int) { self = [.fail, .copy, .overwrite][number] }
}

extension Chunker {
  var number: Int { self == .fixed ? 0 : 1 }
  init(number: Int) { self = number == 0 ? .fixed : .cdc }
}

extension UploadStatus {
  var number: Int {
    switch self {
    case .uploading: 0
    case .uploaded: 1
    case .aborted: 2
    case .expired: 3
    }
  }
  init(number: Int) { self = [.uploading, .uploaded, .aborted, .expired][number] }
}

/// A row of `entries`.
struct EntryRow {
  static let columns = columns(of: "entries")
  /// The same of a table with another name.
  static func columns(of table: String) -> String {
    let plain =
      "id, parent, name, kind, version, size, content_hash, mime_type, modified_at, executable, target, "
      + "removed_at IS NOT NULL, chunker, key_folder, envelope"
    return plain.split(separator: ", ").map { "\(table).\($0)" }.joined(separator: ", ") + """
      , (SELECT c.finding FROM content_scans c WHERE c.ns = \(table).ns AND c.entry = \(table).id AND c.version = \(table).version \
      AND c.state = 1)
      """
  }
  static let columnCount: Int32 = 16

  var id: EntryID
  /// Nil for the root.
  var parent: EntryID?
  var name: String
  var kind: EntryType
  var version: Int64
  var size: Int64
  var contentHash: [UInt8]?
  var mimeType: String?
  var modifiedAt: FileTime
  var executable: Bool
  var target: String?
  /// Itself in the trash, or deleted for good; those below a removed folder do not say so.
  var isRemoved: Bool
  /// A folder's own; nil inherits.
  var chunker: Chunker?
  /// The encrypted folder that it is or lies in.
  var keyFolder: EntryID?
  /// What the client says there of the newest version of a file.
  var envelope: [UInt8]?
  /// What a malware scanner found in the present version.
  var quarantine: String?

  init(_ row: any SQLRow) {
    id = row.id(0)
    parent = row.withBlob(1) { $0.isEmpty } ? nil : row.id(1)
    name = row.text(2)
    kind = EntryType(number: row.int(3))
    version = row.int64(4)
    size = row.int64(5)
    contentHash = row.optionalBlob(6)
    mimeType = row.optionalText(7)
    modifiedAt = row.fileTime(8)
    executable = row.bool(9)
    target = row.optionalText(10)
    isRemoved = row.bool(11)
    chunker = row.optionalInt64(12).map { Chunker(number: Int($0)) }
    keyFolder = row.isNull(13) ? nil : row.id(13)
    envelope = row.optionalBlob(14)
    quarantine = row.optionalText(15)
  }

  init(
    id: EntryID, parent: EntryID?, name: String, kind: EntryType, version: Int64 = 1, size: Int64 = 0, contentHash: [UInt8]? = nil,
    mimeType: String? = nil, modifiedAt: FileTime, executable: Bool = false, target: String? = nil, chunker: Chunker? = nil
  ) {
    self.id = id
    self.parent = parent
    self.name = name
    self.kind = kind
    self.version = version
    self.size = size
    self.contentHash = contentHash
    self.mimeType = mimeType
    self.modifiedAt = modifiedAt
    self.executable = executable
    self.target = target
    self.chunker = chunker
    isRemoved = false
  }

  func document(path: String, owner: String) -> FileEntry {
    FileEntry(
      id: id, path: path, name: name, kind: kind, size: size, contentHash: contentHash.map { HexDigits.encode($0) }, version: version,
      mimeType: kind.mediaType(name: name, declared: mimeType), modifiedAt: modifiedAt, executable: executable, target: target,
      owner: owner, role: .owner, quarantine: quarantine, keyFolder: keyFolder,
      envelope: envelope.map { Base64URL.encode($0) })
  }
}

extension EntryType {
  /// What an entry's media type is said to be; only files have one.
  func mediaType(name: String, declared: String?) -> String? {
    self == .file ? MediaType.of(name: name, declared: declared) : nil
  }
}

/// A row of `versions`.
struct VersionRow {
  static let columns =
    "version, size, content_hash, chunker, modified_at, committed_at, author, device, block_count, blocks, pages, envelope"

  var version: Int64
  var size: Int64
  var contentHash: [UInt8]
  var chunker: Chunker
  var modifiedAt: FileTime
  var committedAt: WallTime
  var author: Int64
  var device: String?
  var list: BlockList
  /// In an encrypted folder: what the client says of it.
  var envelope: [UInt8]?

  static let columnCount: Int32 = 12

  init(_ row: any SQLRow) {
    version = row.int64(0)
    size = row.int64(1)
    contentHash = row.blob(2)
    chunker = Chunker(number: row.int(3))
    modifiedAt = row.fileTime(4)
    committedAt = row.time(5)
    author = row.int64(6)
    device = row.optionalText(7)
    let count = row.int(8)
    list = row.optionalBlob(10).map { .pages($0, count: count) } ?? .short(row.optionalBlob(9) ?? [])
    envelope = row.optionalBlob(11)
  }

  init(
    version: Int64, size: Int64, contentHash: [UInt8], chunker: Chunker, modifiedAt: FileTime, committedAt: WallTime, author: Int64,
    device: String?, list: BlockList, envelope: [UInt8]? = nil
  ) {
    self.version = version
    self.size = size
    self.contentHash = contentHash
    self.chunker = chunker
    self.modifiedAt = modifiedAt
    self.committedAt = committedAt
    self.author = author
    self.device = device
    self.list = list
    self.envelope = envelope
  }
}

/// The blocks of a version as a row keeps them.
enum BlockList: Equatable {
  /// At most `shortest` blocks, packed.
  case short([UInt8])
  /// The names of pages, 32 bytes each, and how many blocks they hold in all.
  case pages([UInt8], count: Int)

  /// Blocks that stand in the version's own row: most files are this small, and a page would cost them a row more.
  static let shortest = 4
  static let packedBytes = 36

  static func pack(_ blocks: some Collection<BlockRef>) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: blocks.count * packedBytes) { buffer, count in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      for (index, block) in blocks.enumerated() {
        block.id.store(into: UnsafeMutableRawBufferPointer(rebasing: bytes[(index * packedBytes)...]))
        bytes.storeBytes(of: UInt32(block.size).bigEndian, toByteOffset: index * packedBytes + 32, as: UInt32.self)
      }
      count = blocks.count * packedBytes
    }
  }

  static func unpack(_ packed: [UInt8]) -> [BlockRef] {
    packed.withUnsafeBytes { bytes in
      (0..<(bytes.count / packedBytes)).map { index in
        let start = index * packedBytes
        return BlockRef(
          id: BlockID(loading: UnsafeRawBufferPointer(rebasing: bytes[start...])),
          size: Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 32, as: UInt32.self))))
      }
    }
  }
}
