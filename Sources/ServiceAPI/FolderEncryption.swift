package import BlockModel

// Keys as clients hand them to each other through the cluster, which can open none of them. Bytes are in base 64 for URLs, unpadded.

/// A user's key pair for sharing; only that user gets it.
package struct KeyPairInfo: Sendable, Codable, Equatable {
  package var publicKey: String
  /// Under the user's recovery phrase.
  package var wrappedPrivateKey: String
  /// Counts the user's pairs, from 1.
  package var generation: Int64
  package var createdAt: WallTime
  package init(publicKey: String, wrappedPrivateKey: String, generation: Int64, createdAt: WallTime) {
    self.publicKey = publicKey
    self.wrappedPrivateKey = wrappedPrivateKey
    self.generation = generation
    self.createdAt = createdAt
  }
  private enum CodingKeys: String, CodingKey {
    case generation
    case publicKey = "public_key"
    case wrappedPrivateKey = "wrapped_private_key"
    case createdAt = "created_at"
  }
}

/// What others need to share with a user.
package struct PublicKeyInfo: Sendable, Codable, Equatable {
  package var user: String
  package var publicKey: String
  package var generation: Int64
  package init(user: String, publicKey: String, generation: Int64) {
    self.user = user
    self.publicKey = publicKey
    self.generation = generation
  }
  private enum CodingKeys: String, CodingKey {
    case user, generation
    case publicKey = "public_key"
  }
}

/// A folder's key, wrapped to somebody's public key of a generation.
package struct WrappedKey: Sendable, Codable, Equatable {
  package var wrappedKey: String
  package var generation: Int64
  package init(wrappedKey: String, generation: Int64) {
    self.wrappedKey = wrappedKey
    self.generation = generation
  }
  private enum CodingKeys: String, CodingKey {
    case generation
    case wrappedKey = "wrapped_key"
  }
}

/// An encrypted folder that the caller sees, and its key, wrapped to the caller.
package struct FolderKeyInfo: Sendable, Codable, Equatable {
  package var folder: FileEntry
  /// Absent while nobody gave the caller the key.
  package var key: WrappedKey?
  /// The user who did, by name.
  package var grantedBy: String?
  package init(folder: FileEntry, key: WrappedKey?, grantedBy: String?) {
    self.folder = folder
    self.key = key
    self.grantedBy = grantedBy
  }
  private enum CodingKeys: String, CodingKey {
    case folder, key
    case grantedBy = "granted_by"
  }
}

extension UserOperations {
  /// - Throws: `.notFound` when the caller has no key pair.
  package struct GetKeyPair: ControlOperation {
    package typealias Response = KeyPairInfo
    package static let name = "get-key-pair"
    package static let audience = ControlAudience.user
    package init() {}
  }

  /// Keeps a key pair for the caller. What was wrapped to a former one stays, and nobody can open it without that.
  package struct PutKeyPair: ControlOperation {
    package typealias Response = KeyPairInfo
    package static let name = "put-key-pair"
    package static let audience = ControlAudience.user
    package var publicKey: String
    package var wrappedPrivateKey: String
    /// The generation that this pair takes the place of; 0 for the first.
    package var replaces: Int64
    package init(publicKey: String, wrappedPrivateKey: String, replaces: Int64) {
      self.publicKey = publicKey
      self.wrappedPrivateKey = wrappedPrivateKey
      self.replaces = replaces
    }
  }

  package struct GetPublicKey: ControlOperation {
    package typealias Response = PublicKeyInfo
    package static let name = "get-public-key"
    package static let audience = ControlAudience.user
    package var user: String
    package init(user: String) { self.user = user }
  }

  /// The encrypted folders that the caller sees, with the keys that are wrapped to them.
  package struct ListFolderKeys: ControlOperation {
    package typealias Response = Page<FolderKeyInfo>
    package static let name = "list-folder-keys"
    package static let audience = ControlAudience.user
    package var limit: Int
    package var cursor: String?
    package init(limit: Int, cursor: String?) {
      self.limit = limit
      self.cursor = cursor
    }
  }

  /// Hands a folder's key to a user who sees the folder.
  package struct PutFolderKey: ControlOperation {
    package typealias Response = Done
    package static let name = "put-folder-key"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var user: String
    package var key: WrappedKey
    package init(entry: EntryReference, user: String, key: WrappedKey) {
      self.entry = entry
      self.user = user
      self.key = key
    }
  }
}
