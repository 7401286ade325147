internal import BlockModel
internal import ServiceAPI

/// Revisions, the trash, sharing, and the change feed.
extension CairnClient {
  // MARK: Revisions and trash

  /// Makes an earlier revision's content the newest one, as a new revision.
  @discardableResult
  public func revert(_ path: String, to version: Int64) async throws(CairnError) -> Entry {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      return Entry(try await gateway.restoreVersion(version, of: entry.id))
    }
  }

  /// What was deleted, the last first; at most `limit`.
  public func trash(limit: Int = 1000) async throws(CairnError) -> [TrashedEntry] {
    try await answering {
      try await collect(limit) { cursor, count in try await gateway.trash(cursor: cursor, limit: count) }.map(TrashedEntry.init)
    }
  }

  /// Takes something out of the trash.
  ///
  /// - Parameters:
  ///   - item: its id, or the path where it was; of several the one that was deleted last.
  ///   - path: where it goes; nil is where it was.
  @discardableResult
  public func restore(_ item: String, to path: String? = nil) async throws(CairnError) -> Entry {
    try await answering {
      let id = try await trashed(item)
      let target = try path.map { text in try RemotePath(text) }
      if let target { try await checkBorder(try await trashed(id), to: target) }
      let restored = try await gateway.restoreFromTrash(id, to: target)
      await gateway.folders.forgetView()
      return Entry(restored)
    }
  }

  /// Deletes something in the trash for good.
  public func removeFromTrash(_ item: String) async throws(CairnError) {
    try await answering { try await gateway.deleteFromTrash(try await trashed(item)) }
  }

  /// Deletes all that is in the trash for good; answers how much that was.
  @discardableResult
  public func emptyTrash() async throws(CairnError) -> Int {
    try await answering { try await gateway.emptyTrash().removed }
  }

  private func trashed(_ item: String) async throws -> EntryID {
    if let id = EntryID(hex: item) { return id }
    let path = try RemotePath(item).text
    if let found = try await firstInTrash({ $0.path == path }) { return found.id }
    throw CairnError(.notFound, "Nothing in the trash was at \(path); see “cairn trash”.")
  }

  private func trashed(_ id: EntryID) async throws -> FileEntry {
    if let found = try await firstInTrash({ $0.id == id }) { return found }
    throw CairnError(.notFound, "There is no such thing in the trash; see “cairn trash”.")
  }

  private func firstInTrash(_ isWanted: (FileEntry) -> Bool) async throws -> FileEntry? {
    var cursor: String?
    repeat {
      let page = try await gateway.trash(cursor: cursor, limit: 1000)
      if let found = page.items.first(where: { isWanted($0.entry) }) { return found.entry }
      cursor = page.next
    } while cursor != nil
    return nil
  }

  /// Makes a folder as it was at a time.
  public func rewind(_ path: String, to time: Timestamp) async throws(CairnError) -> RewindOutcome {
    try await rewind(path, time: time.rfc3339, cursor: nil)
  }

  /// Makes a folder as it was at a place of the change feed.
  public func rewind(_ path: String, toCursor cursor: String) async throws(CairnError) -> RewindOutcome {
    try await rewind(path, time: nil, cursor: cursor)
  }

  private func rewind(_ path: String, time: String?, cursor: String?) async throws(CairnError) -> RewindOutcome {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      return RewindOutcome(try await gateway.rewind(entry.id, time: time, cursor: cursor))
    }
  }

  // MARK: Shares

  /// Shares a file or folder with a user, or changes their role.
  ///
  /// An encrypted folder's key goes along, wrapped to the user's public key, which this device remembers from then on.
  ///
  /// - Parameters:
  ///   - role: `read`, `write` or `admin`.
  ///   - acceptNewKey: of a user whose public key is not the one that this device remembers.
  /// - Throws: `CairnError` `noKey` for an encrypted folder when the user has no key pair yet; `keyChanged`.
  @discardableResult
  public func share(
    _ path: String, with user: String, role: String, acceptNewKey: Bool = false
  ) async throws(CairnError) -> ShareGrant {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      guard entry.encrypted == true else { return ShareGrant(try await gateway.share(entry.id, with: user, role: role)) }
      return try await shareEncrypted(entry, with: user, role: role, acceptNewKey: acceptNewKey)
    }
  }

  /// Takes a share back.
  ///
  /// - Parameter user: the member; nil gives up the caller's own share of something.
  public func unshare(_ path: String, from user: String? = nil) async throws(CairnError) {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      var name = user
      if name == nil { name = try await gateway.currentUser().name }
      try await gateway.unshare(entry.id, user: name ?? "")
      if user == nil { try await gateway.folders.removed(RemotePath(path), gateway) }
    }
  }

  /// With whom something is shared.
  public func shares(of path: String) async throws(CairnError) -> [ShareGrant] {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      return try await collect(.max) { cursor, _ in try await gateway.shares(of: entry.id, cursor: cursor) }.map(ShareGrant.init)
    }
  }

  /// What others share with the user; each under `/Shared with me`.
  public func shared() async throws(CairnError) -> [ShareGrant] {
    try await answering { try await collect(.max) { cursor, _ in try await gateway.shared(cursor: cursor) }.map(ShareGrant.init) }
  }

  // MARK: Links

  /// Makes a link that opens a file or folder to whoever has it.
  public func createLink(
    to path: String, expiresAt: Timestamp? = nil, password: String? = nil, maxDownloads: Int64? = nil
  ) async throws(CairnError) -> SharedLink {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      let link = try await gateway.createLink(
        entry.id, expiresAt: expiresAt.map { WallTime(microseconds: $0.nanoseconds / 1000) }, password: password,
        maxDownloads: maxDownloads)
      return SharedLink(link, gateway: gateway.base)
    }
  }

  /// The links of something, or all that the user made.
  public func links(of path: String? = nil) async throws(CairnError) -> [SharedLink] {
    try await answering {
      var id: EntryID?
      if let path { id = try await gateway.entry(at: RemotePath(path)).id }
      return try await collect(.max) { cursor, _ in try await gateway.links(of: id, cursor: cursor) }
        .map { SharedLink($0, gateway: gateway.base) }
    }
  }

  /// Revokes a link by its id.
  public func revokeLink(_ id: String) async throws(CairnError) {
    try await answering { try await gateway.revokeLink(id) }
  }

  // MARK: The feed

  /// What changed after a cursor; without one, from the beginning.
  ///
  /// - Parameter wait: how long to wait for a change when there is none, at most 15 seconds: less than a silent gateway is given.
  public func changes(after cursor: String? = nil, limit: Int = 1000, wait: Duration = .zero) async throws(CairnError) -> FeedPage {
    try await answering {
      FeedPage(try await gateway.changes(cursor: cursor, limit: limit, wait: Int(min(15, max(0, wait.components.seconds)))))
    }
  }

  /// What others did, the newest first; at most `limit`.
  public func notifications(limit: Int = 100) async throws(CairnError) -> [Notice] {
    try await answering {
      try await collect(limit) { cursor, count in try await gateway.notifications(cursor: cursor, limit: count) }.map(Notice.init)
    }
  }

  /// Pages one after the other until there is no more or it is enough.
  private func collect<Item>(_ limit: Int, _ page: (String?, Int) async throws -> Page<Item>) async throws -> [Item] {
    var items: [Item] = []
    var cursor: String?
    repeat {
      let next = try await page(cursor, min(limit - items.count, 1000))
      items += next.items
      cursor = next.items.isEmpty && next.next == nil ? nil : next.next
    } while cursor != nil && items.count < limit
    return Array(items.prefix(limit))
  }
}
