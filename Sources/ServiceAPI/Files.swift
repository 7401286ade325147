package import BlockModel

package enum EntryType: String, Sendable, Codable { case file, folder, symlink }

package enum Role: String, Sendable, Codable, Comparable {
  case read, write, admin, owner
  private var rank: Int {
    switch self {
    case .read: 0
    case .write: 1
    case .admin: 2
    case .owner: 3
    }
  }
  package static func < (a: Role, b: Role) -> Bool { a.rank < b.rank }
}

/// What a path says when two want it.
package enum ConflictPolicy: String, Sendable, Codable { case fail, copy, overwrite }

package enum Chunker: String, Sendable, Codable, CaseIterable { case fixed, cdc }

/// What may be asked of a folder: a chunker for the files in it, or to have none of its own.
package enum FolderChunker: String, Sendable, Codable, CaseIterable {
  case fixed, cdc, inherit

  package init(_ chunker: Chunker?) {
    switch chunker {
    case .fixed: self = .fixed
    case .cdc: self = .cdc
    case nil: self = .inherit
    }
  }

  /// The folder's own; nil inherits.
  package var chunker: Chunker? {
    switch self {
    case .fixed: .fixed
    case .cdc: .cdc
    case .inherit: nil
    }
  }
}

/// A file, folder or symlink as every answer shows it.
package struct FileEntry: Sendable, Codable, Equatable {
  package var id: EntryID
  package var path: String
  package var name: String
  package var kind: EntryType
  /// Bytes; 0 for folders and symlinks.
  package var size: Int64
  /// 64 hexadecimal digits; nil for folders and symlinks.
  package var contentHash: String?
  /// Grows with every change of the entry's content; also the strong ETag. 1 for a folder.
  package var version: Int64
  package var mimeType: String?
  package var modifiedAt: FileTime
  package var executable: Bool
  /// A symlink's target, uninterpreted.
  package var target: String?
  /// The owner's user name.
  package var owner: String
  /// The caller's role on it.
  package var role: Role
  /// True when another entry of the same folder has the same name but for upper and lower case; only listings say so.
  package var caseClash: Bool?
  /// What a malware scanner found in this version, which is not served; absent where it found nothing.
  package var quarantine: String?
  /// A folder's own, by which uploads into it are cut that name none; absent when it inherits. Only answers about one folder say so.
  package var chunker: Chunker?
  /// The folder's own, or that of the nearest folder above which has one.
  package var effectiveChunker: Chunker?
  /// True for an encrypted folder and for all below it: names, targets and contents are sealed by clients. Absent elsewhere.
  package var encrypted: Bool?
  /// The encrypted folder that it is or lies in, whose key opens it.
  package var keyFolder: EntryID?
  /// Of a file there: its plain size and content hash, sealed, in base 64 for URLs.
  package var envelope: String?
  /// Of clients alone, and never sent: it is sealed, and this one cannot open it.
  package var isLocked = false

  package init(
    id: EntryID, path: String, name: String, kind: EntryType, size: Int64, contentHash: String?, version: Int64, mimeType: String?,
    modifiedAt: FileTime, executable: Bool, target: String?, owner: String, role: Role, caseClash: Bool? = nil, quarantine: String? = nil,
    keyFolder: EntryID? = nil, envelope: String? = nil
  ) {
    self.id = id
    self.path = path
    self.name = name
    self.kind = kind
    self.size = size
    self.contentHash = contentHash
    self.version = version
    self.mimeType = mimeType
    self.modifiedAt = modifiedAt
    self.executable = executable
    self.target = target
    self.owner = owner
    self.role = role
    self.caseClash = caseClash
    self.quarantine = quarantine
    encrypted = keyFolder == nil ? nil : true
    self.keyFolder = keyFolder
    self.envelope = envelope
  }

  private enum CodingKeys: String, CodingKey {
    case id, path, name, kind, size, version, executable, target, owner, role, quarantine, chunker, encrypted, envelope
    case effectiveChunker = "effective_chunker"
    case keyFolder = "key_folder"
    case caseClash = "case_clash"
    case contentHash = "content_hash"
    case mimeType = "mime_type"
    case modifiedAt = "modified_at"
  }
}

/// One revision of a file.
package struct VersionInfo: Sendable, Codable, Equatable {
  package var version: Int64
  package var size: Int64
  package var contentHash: String
  /// With `cdc` the content hash is what the client claimed.
  package var chunker: Chunker
  package var modifiedAt: FileTime
  package var committedAt: WallTime
  /// The user and device that committed it.
  package var author: String
  package var device: String?
  /// What a malware scanner found in it; it is not served then.
  package var quarantine: String?
  /// Of a file in an encrypted folder: its plain size and content hash, sealed.
  package var envelope: String?

  package init(
    version: Int64, size: Int64, contentHash: String, chunker: Chunker, modifiedAt: FileTime, committedAt: WallTime, author: String,
    device: String?, envelope: String? = nil
  ) {
    self.version = version
    self.size = size
    self.contentHash = contentHash
    self.chunker = chunker
    self.modifiedAt = modifiedAt
    self.committedAt = committedAt
    self.author = author
    self.device = device
    self.envelope = envelope
  }

  private enum CodingKeys: String, CodingKey {
    case version, size, author, device, chunker, quarantine, envelope
    case contentHash = "content_hash"
    case modifiedAt = "modified_at"
    case committedAt = "committed_at"
  }
}

/// A block of a file, in order.
package struct BlockRef: Sendable, Codable, Equatable {
  package var id: BlockID
  /// Plain bytes.
  package var size: Int
  package init(id: BlockID, size: Int) {
    self.id = id
    self.size = size
  }
}

/// One page of a list; `next` is the opaque cursor of the page after it.
package struct Page<Item: Sendable & Codable>: Sendable, Codable {
  package var items: [Item]
  package var next: String?
  package init(items: [Item], next: String?) {
    self.items = items
    self.next = next
  }
}

/// One change of a namespace, as one user sees it.
package struct Change: Sendable, Codable, Equatable {
  package enum Action: String, Sendable, Codable {
    case created, modified, moved, deleted
    /// It came into the caller's sight with all below it: list it.
    case entered
    /// It went out of the caller's sight with all below it.
    case left
  }
  /// Counts the changes of the namespace that it happened in.
  package var sequence: Int64
  package var action: Action
  package var entry: FileEntry
  /// With `moved`: where it was.
  package var oldPath: String?
  package var at: WallTime
  /// Who did it, by user name, when it was not the owner.
  package var actor: String?
  /// The shared entry that it happened in; nil in the caller's own tree.
  package var share: EntryID?
  package init(
    sequence: Int64, action: Action, entry: FileEntry, oldPath: String?, at: WallTime, actor: String? = nil, share: EntryID? = nil
  ) {
    self.actor = actor
    self.share = share
    self.sequence = sequence
    self.action = action
    self.entry = entry
    self.oldPath = oldPath
    self.at = at
  }
  private enum CodingKeys: String, CodingKey {
    case sequence, action, entry, at, actor, share
    case oldPath = "old_path"
  }
}

/// Names an entry by path or by id.
package enum EntryReference: Sendable, Codable, Equatable {
  case path(String)
  case id(EntryID)
}

/// A user, as `GET /v1/me` shows it.
package struct UserInfo: Sendable, Codable, Equatable {
  package var id: UserID
  package var name: String
  package var device: String?
  package init(id: UserID, name: String, device: String?) {
    self.id = id
    self.name = name
    self.device = device
  }
}

package struct DeviceInfo: Sendable, Codable, Equatable {
  package var id: DeviceID
  package var name: String
  package var createdAt: WallTime
  package var lastSeenAt: WallTime?
  package var current: Bool
  package init(id: DeviceID, name: String, createdAt: WallTime, lastSeenAt: WallTime?, current: Bool) {
    self.id = id
    self.name = name
    self.createdAt = createdAt
    self.lastSeenAt = lastSeenAt
    self.current = current
  }
  private enum CodingKeys: String, CodingKey {
    case id, name, current
    case createdAt = "created_at"
    case lastSeenAt = "last_seen_at"
  }
}

/// Bytes; `quota` nil is unlimited.
package struct Usage: Sendable, Codable, Equatable {
  package var used: Int64
  package var reserved: Int64
  package var quota: Int64?
  package var files: Int64
  package init(used: Int64, reserved: Int64, quota: Int64?, files: Int64) {
    self.used = used
    self.reserved = reserved
    self.quota = quota
    self.files = files
  }
}

package struct SessionToken: Sendable, Codable, Equatable {
  package var token: String
  package var expiresAt: WallTime
  package init(token: String, expiresAt: WallTime) {
    self.token = token
    self.expiresAt = expiresAt
  }
  private enum CodingKeys: String, CodingKey {
    case token
    case expiresAt = "expires_at"
  }
}
