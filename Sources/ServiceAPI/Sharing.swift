package import BlockModel

/// One user's access to somebody else's file or folder.
package struct ShareInfo: Sendable, Codable, Equatable {
  /// The member's user name.
  package var user: String
  package var role: Role
  package var grantedBy: String
  package var grantedAt: WallTime
  /// What is shared, as the caller sees it.
  package var entry: FileEntry
  package init(user: String, role: Role, grantedBy: String, grantedAt: WallTime, entry: FileEntry) {
    self.user = user
    self.role = role
    self.grantedBy = grantedBy
    self.grantedAt = grantedAt
    self.entry = entry
  }
  private enum CodingKeys: String, CodingKey {
    case user, role, entry
    case grantedBy = "granted_by"
    case grantedAt = "granted_at"
  }
}

/// A link that opens a file or folder to whoever has it. `token` is there only in the answer that makes the link.
package struct LinkInfo: Sendable, Codable, Equatable {
  package var id: LinkID
  package var token: String?
  package var entry: FileEntry
  package var createdBy: String
  package var createdAt: WallTime
  package var expiresAt: WallTime?
  package var hasPassword: Bool
  package var maxDownloads: Int64?
  package var downloads: Int64
  package init(
    id: LinkID, token: String?, entry: FileEntry, createdBy: String, createdAt: WallTime, expiresAt: WallTime?, hasPassword: Bool,
    maxDownloads: Int64?, downloads: Int64
  ) {
    self.id = id
    self.token = token
    self.entry = entry
    self.createdBy = createdBy
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.hasPassword = hasPassword
    self.maxDownloads = maxDownloads
    self.downloads = downloads
  }
  private enum CodingKeys: String, CodingKey {
    case id, token, entry, downloads
    case createdBy = "created_by"
    case createdAt = "created_at"
    case expiresAt = "expires_at"
    case hasPassword = "has_password"
    case maxDownloads = "max_downloads"
  }
}

/// What a link shows to whoever opens it: no owner's path, no ids but none that open anything.
package struct LinkContent: Sendable, Codable, Equatable {
  /// One file or folder, named below the link: `/` is what was linked.
  package struct Item: Sendable, Codable, Equatable {
    package var path: String
    package var name: String
    package var kind: EntryType
    package var size: Int64
    package var contentHash: String?
    package var version: Int64
    package var mimeType: String?
    package var modifiedAt: FileTime
    package init(
      path: String, name: String, kind: EntryType, size: Int64, contentHash: String?, version: Int64, mimeType: String?,
      modifiedAt: FileTime
    ) {
      self.path = path
      self.name = name
      self.kind = kind
      self.size = size
      self.contentHash = contentHash
      self.version = version
      self.mimeType = mimeType
      self.modifiedAt = modifiedAt
    }
    private enum CodingKeys: String, CodingKey {
      case path, name, kind, size, version
      case contentHash = "content_hash"
      case mimeType = "mime_type"
      case modifiedAt = "modified_at"
    }
  }
  package var item: Item
  /// With a folder: a page of what is in it.
  package var children: [Item]
  package var next: String?
  package var expiresAt: WallTime?
  package init(item: Item, children: [Item], next: String?, expiresAt: WallTime?) {
    self.item = item
    self.children = children
    self.next = next
    self.expiresAt = expiresAt
  }
  private enum CodingKeys: String, CodingKey {
    case item, children, next
    case expiresAt = "expires_at"
  }
}

/// What somebody else did to the caller's files and to what is shared with them.
package struct Notification: Sendable, Codable, Equatable {
  package enum Kind: String, Sendable, Codable {
    case created, edited, moved, deleted, shared, unshared
    /// A malware scanner found something in a version of the caller's own.
    case quarantined
  }
  package var kind: Kind
  package var at: WallTime
  /// Who did it, by user name; with `quarantined` who committed the version.
  package var actor: String
  package var entry: FileEntry
  package init(kind: Kind, at: WallTime, actor: String, entry: FileEntry) {
    self.kind = kind
    self.at = at
    self.actor = actor
    self.entry = entry
  }
}

extension UserOperations {
  /// Grants a role, or changes it.
  package struct Share: ControlOperation {
    package typealias Response = ShareInfo
    package static let name = "share"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var user: String
    package var role: Role
    package init(entry: EntryReference, user: String, role: Role) {
      self.entry = entry
      self.user = user
      self.role = role
    }
  }

  /// Takes a share back; a member may give up their own.
  package struct Unshare: ControlOperation {
    package typealias Response = Done
    package static let name = "unshare"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var user: String
    package init(entry: EntryReference, user: String) {
      self.entry = entry
      self.user = user
    }
  }

  /// With whom an entry is shared, by user name.
  package struct ListShares: ControlOperation {
    package typealias Response = Page<ShareInfo>
    package static let name = "list-shares"
    package static let audience = ControlAudience.user
    package static let isRead = true
    package var entry: EntryReference
    package var limit: Int
    package var cursor: String?
    package init(entry: EntryReference, limit: Int, cursor: String?) {
      self.entry = entry
      self.limit = limit
      self.cursor = cursor
    }
  }

  /// What others share with the caller, by name.
  package struct ListShared: ControlOperation {
    package typealias Response = Page<ShareInfo>
    package static let name = "list-shared"
    package static let audience = ControlAudience.user
    package static let isRead = true
    package var limit: Int
    package var cursor: String?
    package init(limit: Int, cursor: String?) {
      self.limit = limit
      self.cursor = cursor
    }
  }

  package struct CreateLink: ControlOperation {
    package typealias Response = LinkInfo
    package static let name = "create-link"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var expiresAt: WallTime?
    package var password: String?
    package var maxDownloads: Int64?
    package init(entry: EntryReference, expiresAt: WallTime?, password: String?, maxDownloads: Int64?) {
      self.entry = entry
      self.expiresAt = expiresAt
      self.password = password
      self.maxDownloads = maxDownloads
    }
  }

  /// The links of one entry, or without one all that the caller made.
  package struct ListLinks: ControlOperation {
    package typealias Response = Page<LinkInfo>
    package static let name = "list-links"
    package static let audience = ControlAudience.user
    package static let isRead = true
    package var entry: EntryReference?
    package var limit: Int
    package var cursor: String?
    package init(entry: EntryReference?, limit: Int, cursor: String?) {
      self.entry = entry
      self.limit = limit
      self.cursor = cursor
    }
  }

  package struct RevokeLink: ControlOperation {
    package typealias Response = Done
    package static let name = "revoke-link"
    package static let audience = ControlAudience.user
    package var link: LinkID
    package init(link: LinkID) { self.link = link }
  }

  /// Opens a link for whoever has it, without counting.
  package struct OpenLink: ControlOperation {
    package typealias Response = LinkContent
    package static let name = "open-link"
    package static let audience = ControlAudience.gateway
    package var token: String
    package var password: String?
    /// Below the link: `/` is what was linked.
    package var path: String
    package var limit: Int
    package var cursor: String?
    package init(token: String, password: String?, path: String, limit: Int, cursor: String?) {
      self.token = token
      self.password = password
      self.path = path
      self.limit = limit
      self.cursor = cursor
    }
  }

  /// The plan of a download through a link. The first page counts as a download; later ones, named by a cursor, do not.
  package struct DownloadByLink: ControlOperation {
    package typealias Response = DownloadPlan
    package static let name = "download-by-link"
    package static let audience = ControlAudience.gateway
    package var token: String
    package var password: String?
    package var path: String
    package var version: Int64?
    package var cursor: String?
    package var limit: Int
    /// False for a question about the file alone (HEAD).
    package var counts: Bool
    package init(token: String, password: String?, path: String, version: Int64?, cursor: String?, limit: Int, counts: Bool) {
      self.token = token
      self.password = password
      self.path = path
      self.version = version
      self.cursor = cursor
      self.limit = limit
      self.counts = counts
    }
  }

  /// What others did, the newest first.
  package struct ListNotifications: ControlOperation {
    package typealias Response = Page<Notification>
    package static let name = "list-notifications"
    package static let audience = ControlAudience.user
    package static let isRead = true
    package var limit: Int
    package var cursor: String?
    package init(limit: Int, cursor: String?) {
      self.limit = limit
      self.cursor = cursor
    }
  }
}
