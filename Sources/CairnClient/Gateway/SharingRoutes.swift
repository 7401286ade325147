internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI

extension GatewayConnection {
  // MARK: Revisions and trash

  func restoreVersion(_ version: Int64, of id: EntryID) async throws -> FileEntry {
    try await opened(try await call(.post, Self.file(id) + "/versions/\(version)/restore", repeatable: .keyed) as FileEntry)
  }

  func trash(cursor: String?, limit: Int) async throws -> Page<TrashItem> {
    var page: Page<TrashItem> = try await call(.get, "/v1/trash", query: [("cursor", cursor), ("limit", String(limit))])
    for (index, entry) in try await opened(page.items.map(\.entry)).enumerated() { page.items[index].entry = entry }
    return page
  }

  private struct Target: Encodable, Sendable { var path: String? }

  func restoreFromTrash(_ id: EntryID, to path: RemotePath?) async throws -> FileEntry {
    var target: RemotePath?
    if let path { target = try await sealed(path) }
    return try await opened(
      try await call(.post, "/v1/trash/\(id.hex)/restore", body: Target(path: target?.text), repeatable: .keyed) as FileEntry)
  }

  func emptyTrash() async throws -> EmptiedTrash { try await call(.delete, "/v1/trash") }
  func deleteFromTrash(_ id: EntryID) async throws { try await perform(.delete, "/v1/trash/\(id.hex)") }

  private struct Moment: Encodable, Sendable {
    var time: String?
    var cursor: String?
  }

  func rewind(_ id: EntryID, time: String?, cursor: String?) async throws -> RewindResult {
    try await call(.post, Self.file(id) + "/rewind", body: Moment(time: time, cursor: cursor), repeatable: .keyed)
  }

  /// - Parameter request: names entries by their ids: paths in it would have to be sealed first.
  func apply(_ request: ChangeSetRequest) async throws -> ChangeSetResponse {
    try await call(.post, "/v1/changesets", body: request, repeatable: .keyed)
  }

  /// Sends what is at a path to the trash and puts something else there, in one transaction.
  ///
  /// - Parameters:
  ///   - there: as it is known; when it is another version by now, nothing happens.
  ///   - change: that leaves an entry at the path; which path that is, is filled in.
  func replace(_ there: FileEntry, at path: RemotePath, by change: ChangeSetItem) async throws -> FileEntry {
    var change = change
    change.to = try await sealed(path).text
    let removal = ChangeSetItem(.delete, id: there.id, ifVersion: there.version)
    guard let entry = try await apply(ChangeSetRequest(changes: [removal, change])).results.last?.entry else {
      throw CairnError(.unexpected, "The gateway does not say what is at \(path) now.")
    }
    return try await opened(entry, at: path)
  }

  /// All or nothing, in order.
  func createFolders(_ paths: [RemotePath]) async throws -> [FileEntry] {
    var steps: [ChangeSetItem] = []
    for path in paths { steps.append(ChangeSetItem(.folder, path: try await sealed(path).text, parents: false)) }
    let made = try await apply(ChangeSetRequest(changes: steps)).results.compactMap(\.entry)
    guard made.count == paths.count else { throw CairnError(.unexpected, "The gateway answers for other folders than were asked for.") }
    var folders: [FileEntry] = []
    for (entry, path) in zip(made, paths) { folders.append(try await opened(entry, at: path)) }
    return folders
  }

  // MARK: Shares

  private struct Grant: Encodable, Sendable { var role: String }

  private static func member(_ id: EntryID, _ user: String) throws -> String {
    guard !user.isEmpty, !user.contains("/") else { throw CairnError(.invalidArgument, "“\(user)” is not a user's name.") }
    return file(id) + "/shares/" + URLText.encode(user)
  }

  func share(_ id: EntryID, with user: String, role: String) async throws -> ShareInfo {
    try await call(.put, try Self.member(id, user), body: Grant(role: role))
  }

  func unshare(_ id: EntryID, user: String) async throws { try await perform(.delete, try Self.member(id, user)) }

  func shares(of id: EntryID, cursor: String?) async throws -> Page<ShareInfo> {
    try await opened(try await call(.get, Self.file(id) + "/shares", query: [("cursor", cursor)]))
  }

  func shared(cursor: String?) async throws -> Page<ShareInfo> {
    try await opened(try await call(.get, "/v1/shared", query: [("cursor", cursor), ("limit", "1000")]))
  }

  private func opened(_ page: Page<ShareInfo>) async throws -> Page<ShareInfo> {
    var page = page
    for (index, entry) in try await opened(page.items.map(\.entry)).enumerated() { page.items[index].entry = entry }
    return page
  }

  // MARK: Links

  private struct NewLink: Encodable, Sendable {
    var expiresAt: WallTime?
    var password: String?
    var maxDownloads: Int64?
    private enum CodingKeys: String, CodingKey {
      case password
      case expiresAt = "expires_at"
      case maxDownloads = "max_downloads"
    }
  }

  func createLink(_ id: EntryID, expiresAt: WallTime?, password: String?, maxDownloads: Int64?) async throws -> LinkInfo {
    try await call(
      .post, Self.file(id) + "/links", body: NewLink(expiresAt: expiresAt, password: password, maxDownloads: maxDownloads),
      repeatable: .keyed)
  }

  func links(of id: EntryID?, cursor: String?) async throws -> Page<LinkInfo> {
    try await call(.get, id.map { Self.file($0) + "/links" } ?? "/v1/links", query: [("cursor", cursor), ("limit", "1000")])
  }

  func revokeLink(_ id: String) async throws { try await perform(.delete, "/v1/links/\(URLText.encode(id))") }

  // MARK: The feed

  func changes(cursor: String?, limit: Int, wait: Int) async throws -> ChangesPage {
    var page: ChangesPage = try await call(
      .get, "/v1/changes", query: [("cursor", cursor), ("limit", String(limit)), ("wait", wait > 0 ? String(wait) : nil)])
    let entries = try await opened(page.changes.map(\.entry))
    let view = try await view()
    for (index, entry) in entries.enumerated() {
      page.changes[index].entry = entry
      page.changes[index].oldPath = page.changes[index].oldPath.map { view.opened(path: $0, in: entry.keyFolder) }
    }
    return page
  }

  func notifications(cursor: String?, limit: Int) async throws -> Page<ServiceAPI.Notification> {
    var page: Page<ServiceAPI.Notification> = try await call(
      .get, "/v1/notifications", query: [("cursor", cursor), ("limit", String(limit))])
    for (index, entry) in try await opened(page.items.map(\.entry)).enumerated() { page.items[index].entry = entry }
    return page
  }
}
