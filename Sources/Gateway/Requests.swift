internal import BlockModel
internal import ServiceAPI

/// The bodies of requests that are not documents of `ServiceAPI` as they stand. Members not named here are ignored.

struct SignUpRequest: Decodable, Sendable {
  var name: String
  var password: String
}

struct LogInRequest: Decodable, Sendable {
  var name: String
  var password: String
  /// What the device list shows; `unnamed` when not given.
  var device: String?
}

struct PasswordRequest: Decodable, Sendable {
  /// The present one.
  var password: String
  var newPassword: String
  var keepDevices: Bool?
  private enum CodingKeys: String, CodingKey {
    case password
    case newPassword = "new_password"
    case keepDevices = "keep_devices"
  }
}

struct FolderRequest: Decodable, Sendable {
  var path: String
  var parents: Bool?
  var modifiedAt: FileTime?
  var chunker: FolderChunker?
  /// Makes it an encrypted folder.
  var encrypted: WrappedKey?
  private enum CodingKeys: String, CodingKey {
    case path, parents, chunker, encrypted
    case modifiedAt = "modified_at"
  }
}

/// The caller's key pair.
struct KeyPairRequest: Decodable, Sendable {
  var publicKey: String
  var wrappedPrivateKey: String
  /// The generation that it takes the place of; 0 and absent for the first.
  var replaces: Int64?
  private enum CodingKeys: String, CodingKey {
    case replaces
    case publicKey = "public_key"
    case wrappedPrivateKey = "wrapped_private_key"
  }
}

/// A folder's key for a user.
struct FolderKeyRequest: Decodable, Sendable {
  var user: String
  var wrappedKey: String
  var generation: Int64
  private enum CodingKeys: String, CodingKey {
    case user, generation
    case wrappedKey = "wrapped_key"
  }
}

struct SymlinkRequest: Decodable, Sendable {
  var path: String
  var target: String
  var parents: Bool?
  var modifiedAt: FileTime?
  private enum CodingKeys: String, CodingKey {
    case path, target, parents
    case modifiedAt = "modified_at"
  }
}

/// What is absent stays as it is.
struct UpdateRequest: Decodable, Sendable {
  /// The whole new path: moves, renames, or both.
  var path: String?
  var modifiedAt: FileTime?
  var executable: Bool?
  /// Of a folder.
  var chunker: FolderChunker?
  private enum CodingKeys: String, CodingKey {
    case path, executable, chunker
    case modifiedAt = "modified_at"
  }
}

struct CopyRequest: Decodable, Sendable {
  var path: String
  var replaces: Int64?
}

struct DownloadBatchRequest: Decodable, Sendable {
  /// Exactly one of the two.
  struct Item: Decodable, Sendable {
    var id: EntryID?
    var path: String?
  }
  var entries: [Item]
}

/// Exactly one of the two.
struct RewindRequest: Decodable, Sendable {
  var time: WallTime?
  var cursor: String?
}

struct RestoreRequest: Decodable, Sendable {
  /// Where it goes; where it was when absent.
  var path: String?
}

struct ShareRequest: Decodable, Sendable {
  var role: Role
}

struct LinkRequest: Decodable, Sendable {
  var expiresAt: WallTime?
  var password: String?
  var maxDownloads: Int64?
  private enum CodingKeys: String, CodingKey {
    case password
    case expiresAt = "expires_at"
    case maxDownloads = "max_downloads"
  }
}
