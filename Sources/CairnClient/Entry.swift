internal import BlockModel
internal import ServiceAPI

/// A moment to the nanosecond, counted from 1970 in UTC. Written as RFC 3339 text.
public struct Timestamp: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
  /// Since the start of 1970 in UTC; negative before.
  public var nanoseconds: Int64

  /// From nanoseconds since 1970.
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Nil when the text is not a time in RFC 3339 form.
  public init?(rfc3339 text: String) {
    guard let time = FileTime(rfc3339: text) else { return nil }
    nanoseconds = time.nanoseconds
  }

  /// Such as `2026-11-21T06:09:00.5Z`.
  public var rfc3339: String { FileTime(nanoseconds: nanoseconds).rfc3339 }
  /// The RFC 3339 text.
  public var description: String { rfc3339 }
  /// Earlier is less.
  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Reads RFC 3339 text.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let time = Timestamp(rfc3339: try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a time in RFC 3339 form")
    }
    self = time
  }

  /// Writes RFC 3339 text.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rfc3339)
  }

  init(_ time: FileTime) { nanoseconds = time.nanoseconds }
  init(_ time: WallTime) { self.init(FileTime(time)) }
}

/// A file, folder or symbolic link in the cluster. Encoded with the names of the gateway's API.
public struct Entry: Sendable, Equatable, Codable {
  /// What an entry is.
  public enum Kind: String, Sendable, Codable { case file, folder, symlink }

  /// Stays through renames and moves.
  public var id: String
  /// Absolute, such as `/docs/a.txt`.
  public var path: String
  /// The last component of the path.
  public var name: String
  /// What it is.
  public var kind: Kind
  /// Bytes; 0 for folders and links.
  public var size: Int64
  /// 64 hexadecimal digits; nil for folders and links.
  public var contentHash: String?
  /// Grows with every change of the content.
  public var version: Int64
  /// Such as `text/plain`; nil when nobody said.
  public var mimeType: String?
  /// The file's own time.
  public var modifiedAt: Timestamp
  /// Whether the owner may run it.
  public var executable: Bool
  /// A link's target.
  public var target: String?
  /// The owner's user name.
  public var owner: String
  /// The caller's: `read`, `write`, `admin` or `owner`.
  public var role: String
  /// What a malware scanner found in this version, whose content is not served; nil where it found nothing.
  public var quarantine: String?
  /// How a folder itself says that files in it are cut; nil when it inherits, and in lists.
  public var chunking: Chunking?
  /// How files in a folder are cut whose uploads do not say, by its own word or by that of the nearest folder above which has one; nil in
  /// lists.
  public var effectiveChunking: Chunking?
  /// True for an encrypted folder and for what is in it; nil elsewhere. All else here is as its users know it.
  public var encrypted: Bool?
  /// True for what is in an encrypted folder and cannot be opened on this device: its path, name and size are the sealed ones.
  public var locked: Bool?

  init(_ entry: FileEntry) {
    id = entry.id.hex
    path = entry.path
    name = entry.name
    kind =
      switch entry.kind {
      case .file: .file
      case .folder: .folder
      case .symlink: .symlink
      }
    size = entry.size
    contentHash = entry.contentHash
    version = entry.version
    mimeType = entry.mimeType
    modifiedAt = Timestamp(entry.modifiedAt)
    executable = entry.executable
    target = entry.target
    owner = entry.owner
    role = entry.role.rawValue
    quarantine = entry.quarantine
    chunking = entry.chunker.map { Chunking($0) }
    effectiveChunking = entry.effectiveChunker.map { Chunking($0) }
    encrypted = entry.encrypted
    locked = entry.isLocked ? true : nil
  }

  private enum CodingKeys: String, CodingKey {
    case chunking = "chunker"
    case effectiveChunking = "effective_chunker"
    case id, path, name, kind, size, version, executable, target, owner, role, quarantine, encrypted, locked
    case contentHash = "content_hash"
    case mimeType = "mime_type"
    case modifiedAt = "modified_at"
  }
}

/// One block of a file, and where its copies are.
public struct BlockPlacement: Sendable, Equatable, Codable {
  /// A copy, by the storage node that has it and the node's zone.
  public struct Copy: Sendable, Equatable, Codable {
    /// The storage node's name.
    public var node: String
    /// The zone that the node is in.
    public var zone: String
  }

  /// SHA-256 of the block's bytes, 64 hexadecimal digits.
  public var id: String
  /// Of its first byte in the file.
  public var offset: Int64
  /// Bytes.
  public var size: Int64
  /// Where it is read from, in the order in which nodes are asked.
  public var copies: [Copy]

  init(_ block: DownloadPlan.Block) {
    id = block.id.hex
    offset = block.offset
    size = Int64(block.size)
    copies = block.get.map { Copy(node: $0.node.text, zone: $0.zone.text) }
  }
}

/// One earlier or current content of a file.
public struct Revision: Sendable, Equatable, Codable {
  /// Names the revision; a later one has a higher number.
  public var version: Int64
  /// Bytes.
  public var size: Int64
  /// 64 hexadecimal digits.
  public var contentHash: String
  /// How it is cut into blocks; when `contentDefined`, its content hash is what its uploader claimed.
  public var chunking: Chunking
  /// The file's own time.
  public var modifiedAt: Timestamp
  /// When the cluster took it.
  public var committedAt: Timestamp
  /// The user who committed it.
  public var author: String
  /// The device that it was committed from.
  public var device: String?
  /// What a malware scanner found in it; it is not served then.
  public var quarantine: String?

  init(_ version: VersionInfo) {
    self.version = version.version
    size = version.size
    contentHash = version.contentHash
    chunking = Chunking(version.chunker)
    modifiedAt = Timestamp(version.modifiedAt)
    committedAt = Timestamp(version.committedAt)
    author = version.author
    device = version.device
    quarantine = version.quarantine
  }

  private enum CodingKeys: String, CodingKey {
    case version, size, author, device, quarantine
    case contentHash = "content_hash"
    case chunking = "chunker"
    case modifiedAt = "modified_at"
    case committedAt = "committed_at"
  }
}
