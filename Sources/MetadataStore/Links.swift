internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// A row of `links` with what it is of.
private struct LinkRow {
  static let columns = "l.id, l.ns, l.entry, l.creator, l.password, l.created_at, l.expires_at, l.max_downloads, l.downloads"

  var id: LinkID
  var namespace: Int64
  var entry: EntryID
  var creator: Int64
  var password: String?
  var createdAt: WallTime
  var expiresAt: WallTime?
  var maxDownloads: Int64?
  var downloads: Int64

  init(_ row: any SQLRow) {
    id = row.id(0)
    namespace = row.int64(1)
    entry = row.id(2)
    creator = row.int64(3)
    password = row.optionalText(4)
    createdAt = row.time(5)
    expiresAt = row.optionalInt64(6).map { WallTime(microseconds: $0) }
    maxDownloads = row.optionalInt64(7)
    downloads = row.int64(8)
  }

  func document(_ entry: FileEntry, createdBy: String) -> LinkInfo {
    LinkInfo(
      id: id, token: nil, entry: entry, createdBy: createdBy, createdAt: createdAt, expiresAt: expiresAt, hasPassword: password != nil,
      maxDownloads: maxDownloads, downloads: downloads)
  }
}

extension Problem {
  /// The same for a link that never was, was revoked, has expired or is used up: who has none learns nothing.
  static let noSuchLink = Problem(.notFound, "This link opens nothing: it was revoked, has expired, is used up, or never was.")
}

// MARK: - Managing

extension WriteTransaction {
  func createLink(_ link: NewLink, _ principal: Principal) throws -> LinkInfo {
    try edit(link.entry, principal) { editor in
      let found = try editor.locate(link.entry, for: .link)
      guard found.row.parent != nil else { throw Problem(.forbidden, "The root cannot be linked: link what is in it.") }
      guard found.row.kind != .symlink else { throw Problem(.wrongKindOfEntry, "A symlink cannot be linked: link what it leads to.") }
      guard found.row.keyFolder == nil else {
        throw Problem(.encryptionBoundary, "A link opens nothing that is encrypted: whoever has the link has no key.")
      }
      try db.send(
        """
        INSERT INTO links (id, ns, entry, creator, token_hash, password, created_at, expires_at, max_downloads, downloads)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
        """, .id(link.id), .integer(editor.namespace), .id(found.row.id), .integer(principal.userNumber), .blob(link.tokenHash),
        .text(link.password), .time(now), .integer(link.expiresAt?.microseconds), .integer(link.maxDownloads))
      try log(actor: principal.userName, action: "create-link", subject: "\(link.id.hex) \(found.row.id.hex)")
      return LinkInfo(
        id: link.id, token: nil, entry: found.document, createdBy: principal.userName, createdAt: now, expiresAt: link.expiresAt,
        hasPassword: link.password != nil, maxDownloads: link.maxDownloads, downloads: 0)
    }
  }

  /// Whoever made it, and whoever may make links of the entry.
  func revokeLink(_ id: LinkID, _ principal: Principal) throws {
    let link = try db.first("SELECT \(LinkRow.columns) FROM links l WHERE l.id = ?", .id(id)) { LinkRow($0) }
    guard let link else { throw Problem(.notFound, "There is no such link.") }
    if link.creator != principal.userNumber {
      let isOwner = link.namespace == principal.namespaceNumber
      if !isOwner, (try? locate(.id(link.entry), for: .link, principal)) == nil { throw Problem(.notFound, "There is no such link.") }
    }
    try db.send("DELETE FROM links WHERE id = ?", .id(id))
    try log(actor: principal.userName, action: "revoke-link", subject: id.hex)
  }

  /// Counts a download, unless the link has had all that it may have.
  func countDownload(_ tokenHash: [UInt8]) throws {
    let counted = try db.run(
      "UPDATE links SET downloads = downloads + 1 WHERE token_hash = ? AND (max_downloads IS NULL OR downloads < max_downloads)",
      .blob(tokenHash))
    guard counted > 0 else { throw Problem.noSuchLink }
  }
}

extension ReadTransaction {
  /// The links of an entry, or without one all that the caller made; the newest first.
  func links(of reference: EntryReference?, limit: Int, cursor: String?, _ principal: Principal) throws -> Page<LinkInfo> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let before = try cursor.map { try NumberCursor.decode("l", count: 1, $0)[0] } ?? .max
    var rows: [LinkRow]
    let found = try reference.map { try locate($0, for: .link, principal) }
    if let found {
      rows = try db.all(
        "SELECT \(LinkRow.columns) FROM links l WHERE l.ns = ? AND l.entry = ? AND l.created_at < ? ORDER BY l.created_at DESC LIMIT ?",
        .integer(found.view.namespace), .id(found.row.id), .integer(before), .int(limit + 1)
      ) { LinkRow($0) }
    } else {
      rows = try db.all(
        "SELECT \(LinkRow.columns) FROM links l WHERE l.creator = ? AND l.created_at < ? ORDER BY l.created_at DESC LIMIT ?",
        .integer(principal.userNumber), .integer(before), .int(limit + 1)
      ) { LinkRow($0) }
    }
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    let items = try rows.compactMap { row -> LinkInfo? in
      // A link of what is in the trash, or no longer the caller's to link, opens nothing and is not shown.
      guard let entry = found?.document ?? (try? locate(.id(row.entry), for: .link, principal))?.document else { return nil }
      return row.document(entry, createdBy: try userName(row.creator))
    }
    return Page(items: items, next: hasMore ? rows.last.map { NumberCursor.encode("l", $0.createdAt.microseconds) } : nil)
  }
}

// MARK: - Opening

extension ReadTransaction {
  /// What to check a link's password against; the outer nil when there is no link that opens anything now.
  func linkPassword(_ tokenHash: [UInt8], at now: WallTime) throws -> String?? {
    try link(tokenHash, at: now).map { $0.password }
  }

  private func link(_ tokenHash: [UInt8], at now: WallTime) throws -> LinkRow? {
    let link = try db.first("SELECT \(LinkRow.columns) FROM links l WHERE l.token_hash = ?", .blob(tokenHash)) { LinkRow($0) }
    guard let link, link.expiresAt.map({ $0 > now }) ?? true else { return nil }
    return link
  }

  /// What is at a path below the link. A link opens what its maker may link now: with the maker's role it goes, too.
  private func open(_ link: LinkRow, _ path: String) throws -> Located {
    guard let creator = try user(number: link.creator), let top = try? locate(.id(link.entry), for: .link, creator) else {
      throw Problem.noSuchLink
    }
    let below = try RemotePath.checked(path)
    guard !below.components.isEmpty else { return top }
    let whole = RemotePath(components: try RemotePath.checked(top.path).components + below.components)
    guard top.row.kind == .folder, let row = try lookUp(whole, top.view), row.keyFolder == nil else {
      throw Problem.nothingAt(below.text)
    }
    return Located(row: row, path: whole.text, view: top.view, role: .read)
  }

  func linkContent(
    _ tokenHash: [UInt8], path: String, limit: Int, cursor: String?, at now: WallTime
  ) throws -> LinkContent {
    guard let link = try link(tokenHash, at: now), link.maxDownloads.map({ link.downloads < $0 }) ?? true else { throw Problem.noSuchLink }
    let found = try open(link, path)
    let after = try cursor.map { try ListCursor.decode($0) } ?? []
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    var rows =
      found.row.kind == .folder
      ? try children(of: found.row.id, after: after.first, limit: limit + 1, found.view.namespace) : []
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    let prefix = path == "/" ? "/" : path + "/"
    return LinkContent(
      item: LinkContent.Item(found.row, path: path),
      children: rows.filter { $0.keyFolder == nil }.map { LinkContent.Item($0, path: prefix + $0.name) },
      next: hasMore ? rows.last.map { ListCursor.encode([$0.name]) } : nil, expiresAt: link.expiresAt)
  }

  /// - Parameter isCounted: the download is counted already, so the limit no longer counts.
  func linkPlan(
    _ tokenHash: [UInt8], path: String, version: Int64?, cursor: String?, limit: Int, isCounted: Bool, _ scanning: ContentScanning,
    at now: WallTime
  ) throws -> DownloadPlan {
    guard let link = try link(tokenHash, at: now), isCounted || link.maxDownloads.map({ link.downloads < $0 }) ?? true else {
      throw Problem.noSuchLink
    }
    // A link shows what is there now; only the pages of one download go on with the version that they began with.
    return try plan(of: open(link, path), version: cursor == nil ? nil : version, cursor: cursor, limit: limit, scanning)
  }
}

extension LinkContent.Item {
  fileprivate init(_ row: EntryRow, path: String) {
    self.init(
      path: path, name: row.name, kind: row.kind, size: row.size, contentHash: row.contentHash.map { HexDigits.encode($0) },
      version: row.version, mimeType: row.kind.mediaType(name: row.name, declared: row.mimeType), modifiedAt: row.modifiedAt)
  }
}
