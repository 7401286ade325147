internal import BlockModel
internal import ServiceAPI

/// A moment to the nanosecond, counted from 1970 in UTC. Written as RFC 3339 text.
public struct Timestamp: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
  public var nanoseconds: Int64

  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Nil when the text is not a time in RFC 3339 form.
  public init?(rfc3339 text: String) {
    guard let time = FileTime(rfc3339: text) else { return nil }
    nanoseconds = time.nanoseconds
  }

  public var rfc3339: String { FileTime(nanoseconds: nanoseconds).rfc3339 }
  public var description: String { rfc3339 }
  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanoseconds < b.nanoseconds }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let time = Timestamp(rfc3339: try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a time in RFC 3339 form")
    }
    self = time
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rfc3339)
  }

  init(_ time: FileTime) { nanoseconds = time.nanoseconds }
  init(_ time: WallTime) { self.init(FileTime(time)) }
}

/// A file, folder or symbolic link in the cluster. Encoded with the names of the gateway's API.
public struct Entry: Sendable, Equatable, Codable {
  public enum Kind: String, Sendable, Codable { case file, folder, symlink }

  /// Stays through renames and moves.
  public var id: String
  /// Absolute, such as `/docs/a.txt`.
  public var path: String
  public var name: String
  public var kind: Kind
  /// Bytes; 0 for folders and links.
  public var size: Int64
  /// 64 hexadecimal digits; nil for folders and links.
  public var contentHash: String?
  /// Grows with every change of the content.
  public var version: Int64
  public var mimeType: String?
  public var modifiedAt: Timestamp
  public var executable: Bool
  /// A link's target.
  public var target: String?
  public var owner: String
  /// The caller's: `read`, `write`, `admin` or `owner`.
  public var role: String

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
  }

  private enum CodingKeys: String, CodingKey {
    case id, path, name, kind, size, version, executable, target, owner, role
    case contentHash = "content_hash"
    case mimeType = "mime_type"
    case modifiedAt = "modified_at"
  }
}

/// One earlier or current content of a file.
public struct Revision: Sendable, Equatable, Codable {
  public var version: Int64
  /// Bytes.
  public var size: Int64
  public var contentHash: String
  public var modifiedAt: Timestamp
  public var committedAt: Timestamp
  public var author: String
  public var device: String?

  init(_ version: VersionInfo) {
    self.version = version.version
    size = version.size
    contentHash = version.contentHash
    modifiedAt = Timestamp(version.modifiedAt)
    committedAt = Timestamp(version.committedAt)
    author = version.author
    device = version.device
  }

  private enum CodingKeys: String, CodingKey {
    case version, size, author, device
    case contentHash = "content_hash"
    case modifiedAt = "modified_at"
    case committedAt = "committed_at"
  }
}
