internal import BlockModel
internal import ServiceAPI

/// Something in the trash.
public struct TrashedEntry: Sendable, Equatable, Codable {
  /// As it was; the path is where it was.
  public var entry: Entry
  /// When it was removed.
  public var removedAt: Timestamp
  /// The user who removed it; nil when that is not known.
  public var removedBy: String?
  /// From then on it is gone for good.
  public var expiresAt: Timestamp

  init(_ item: TrashItem) {
    entry = Entry(item.entry)
    removedAt = Timestamp(item.removedAt)
    removedBy = item.removedBy
    expiresAt = Timestamp(item.expiresAt)
  }

  private enum CodingKeys: String, CodingKey {
    case entry
    case removedAt = "removed_at"
    case removedBy = "removed_by"
    case expiresAt = "expires_at"
  }
}

/// What a rewind did.
public struct RewindOutcome: Sendable, Equatable, Codable {
  /// Entries that were changed back.
  public var changed: Int
  /// Entries that could not be, because they are deleted for good.
  public var lost: Int
  /// Rewinding the same folder to this cursor undoes it.
  public var undo: String

  init(_ result: RewindResult) {
    changed = result.changed
    lost = result.lost
    undo = result.undo
  }
}

/// One user's access to somebody else's file or folder.
public struct ShareGrant: Sendable, Equatable, Codable {
  /// The member.
  public var user: String
  /// `read`, `write` or `admin`.
  public var role: String
  /// Who granted it.
  public var grantedBy: String
  /// When.
  public var grantedAt: Timestamp
  /// What is shared, as the caller sees it.
  public var entry: Entry
  /// Of the member's public key, when the key of an encrypted folder was just wrapped to it.
  public var fingerprint: String?

  init(_ share: ShareInfo) {
    user = share.user
    role = share.role.rawValue
    grantedBy = share.grantedBy
    grantedAt = Timestamp(share.grantedAt)
    entry = Entry(share.entry)
  }

  private enum CodingKeys: String, CodingKey {
    case user, role, entry, fingerprint
    case grantedBy = "granted_by"
    case grantedAt = "granted_at"
  }
}

/// A link that opens a file or folder to whoever has it.
public struct SharedLink: Sendable, Equatable, Codable {
  /// For managing it; opens nothing.
  public var id: String
  /// Where it opens; only in the answer that makes the link.
  public var url: String?
  /// What it opens.
  public var entry: Entry
  /// Who made it.
  public var createdBy: String
  /// When.
  public var createdAt: Timestamp
  /// When it ends; nil never.
  public var expiresAt: Timestamp?
  /// Whether it asks for a password.
  public var hasPassword: Bool
  /// How often it may be downloaded; nil without a limit.
  public var maxDownloads: Int64?
  /// How often it was.
  public var downloads: Int64

  init(_ link: LinkInfo, gateway: String) {
    id = link.id.hex
    url = link.token.map { "\(gateway)/l/\($0)" }
    entry = Entry(link.entry)
    createdBy = link.createdBy
    createdAt = Timestamp(link.createdAt)
    expiresAt = link.expiresAt.map { Timestamp($0) }
    hasPassword = link.hasPassword
    maxDownloads = link.maxDownloads
    downloads = link.downloads
  }

  private enum CodingKeys: String, CodingKey {
    case id, url, entry, downloads
    case createdBy = "created_by"
    case createdAt = "created_at"
    case expiresAt = "expires_at"
    case hasPassword = "has_password"
    case maxDownloads = "max_downloads"
  }
}

/// One change of what the user sees.
public struct FeedChange: Sendable, Equatable, Codable {
  /// `created`, `modified`, `moved`, `deleted`; `entered` and `left` for what came into sight or went out of it with all below.
  public var action: String
  /// As it was after the change.
  public var entry: Entry
  /// With `moved`: where it was.
  public var oldPath: String?
  /// When.
  public var at: Timestamp
  /// Who did it, when that was not the owner.
  public var actor: String?

  init(_ change: Change) {
    action = change.action.rawValue
    entry = Entry(change.entry)
    oldPath = change.oldPath
    at = Timestamp(change.at)
    actor = change.actor
  }

  private enum CodingKeys: String, CodingKey {
    case action, entry, at, actor
    case oldPath = "old_path"
  }
}

/// A page of the change feed.
public struct FeedPage: Sendable, Equatable, Codable {
  /// In commit order.
  public var changes: [FeedChange]
  /// Where to go on; keep it when the page is applied.
  public var cursor: String
  /// Whether more are waiting.
  public var hasMore: Bool
  /// The cursor that was given cannot be continued: list everything anew, and go on from the new one.
  public var reset: Bool

  init(_ page: ChangesPage) {
    changes = page.changes.map(FeedChange.init)
    cursor = page.cursor
    hasMore = page.hasMore
    reset = page.reset
  }

  private enum CodingKeys: String, CodingKey {
    case changes, cursor, reset
    case hasMore = "has_more"
  }
}

/// What somebody else did.
public struct Notice: Sendable, Equatable, Codable {
  /// `created`, `edited`, `moved`, `deleted`, `shared`, `unshared` or `quarantined`.
  public var kind: String
  /// When.
  public var at: Timestamp
  /// Who.
  public var actor: String
  /// What it was done to.
  public var entry: Entry

  init(_ notification: ServiceAPI.Notification) {
    kind = notification.kind.rawValue
    at = Timestamp(notification.at)
    actor = notification.actor
    entry = Entry(notification.entry)
  }
}
