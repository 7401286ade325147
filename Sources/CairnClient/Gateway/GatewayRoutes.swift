internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI

/// The gateway's routes as functions, one a route.
extension GatewayConnection {
  static func file(_ id: EntryID) -> String { "/v1/files/\(id.hex)" }
  private static func upload(_ id: UploadID) -> String { "/v1/uploads/\(id.hex)" }

  private struct Credentials: Encodable, Sendable {
    var name: String
    var password: String
    var device: String?
  }

  func signUp(name: String, password: String) async throws -> UserInfo {
    try await call(.post, "/v1/users", body: Credentials(name: name, password: password), repeatable: .keyed, authenticated: false)
  }

  func logIn(name: String, password: String, device: String) async throws -> SessionToken {
    try await call(
      .post, "/v1/sessions", body: Credentials(name: name, password: password, device: device), repeatable: .keyed, authenticated: false)
  }

  private struct PasswordChange: Encodable, Sendable {
    var password: String
    var newPassword: String
    var keepDevices: Bool
    private enum CodingKeys: String, CodingKey {
      case password
      case newPassword = "new_password"
      case keepDevices = "keep_devices"
    }
  }

  func changePassword(_ password: String, to newPassword: String, keepDevices: Bool) async throws {
    // Not tried again after an unknown outcome: the password it names may be the former one by then.
    try await perform(
      .put, "/v1/me/password", body: PasswordChange(password: password, newPassword: newPassword, keepDevices: keepDevices), repeatable: .no
    )
  }

  func logOut() async throws { try await perform(.delete, "/v1/sessions/current") }
  func currentUser() async throws -> UserInfo { try await call(.get, "/v1/me") }
  func devices() async throws -> Page<DeviceInfo> { try await call(.get, "/v1/devices") }
  func revokeDevice(_ id: DeviceID) async throws { try await perform(.delete, "/v1/devices/\(id.hex)") }
  func usage() async throws -> Usage { try await call(.get, "/v1/usage") }

  // MARK: Tree

  func entry(at path: RemotePath) async throws -> FileEntry {
    let path = (plain: path, sealed: try await sealed(path))
    return try await opened(try await call(.get, "/v1/files", query: [("path", path.sealed.text)]), at: path.plain)
  }

  /// Wherever it is now.
  func entry(_ id: EntryID) async throws -> FileEntry { try await opened(try await call(.get, Self.file(id))) }

  /// The entry, nil when nothing is there.
  func entryIfThere(at path: RemotePath) async throws -> FileEntry? {
    do { return try await entry(at: path) } catch let problem as Problem where problem.kind == .notFound { return nil }
  }

  func children(of path: RemotePath, recursive: Bool, cursor: String?, limit: Int = 1000) async throws -> Page<FileEntry> {
    let view = try await view()
    let root = try view.root(over: path)
    // Without the key there is nothing to be shown of it.
    _ = try root?.cipher.get()
    let page: Page<FileEntry> = try await call(
      .get, "/v1/files",
      query: [
        ("path", try view.sealed(path).text), ("children", "1"), ("recursive", recursive ? "1" : nil), ("limit", String(limit)),
        ("cursor", cursor),
      ])
    if let root, page.items.contains(where: { $0.keyFolder != root.id }) { throw FolderView.contradiction(path.text) }
    try view.check(page.items)
    var opened = try await opened(page)
    // The cluster's order is that of sealed names. With folders' contents in between it is left as it is.
    if root != nil, !recursive { opened.items.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) } }
    return opened
  }

  private struct NewFolder: Encodable, Sendable {
    var path: String
    var parents: Bool?
    var modifiedAt: FileTime?
    var chunker: FolderChunker?
    var encrypted: WrappedKey?
    private enum CodingKeys: String, CodingKey {
      case path, parents, chunker, encrypted
      case modifiedAt = "modified_at"
    }
  }

  func createFolder(
    _ path: RemotePath, parents: Bool, modifiedAt: FileTime?, chunker: FolderChunker? = nil
  ) async throws -> FileEntry {
    let body = NewFolder(path: try await sealed(path).text, parents: parents, modifiedAt: modifiedAt, chunker: chunker)
    return try await opened(try await call(.post, "/v1/folders", body: body, repeatable: .keyed), at: path)
  }

  /// Makes an encrypted folder where no other is; its own name is plain.
  func createEncryptedFolder(
    _ path: RemotePath, parents: Bool, chunker: FolderChunker?, key: WrappedKey
  ) async throws -> FileEntry {
    try await call(
      .post, "/v1/folders", body: NewFolder(path: path.text, parents: parents, modifiedAt: nil, chunker: chunker, encrypted: key),
      repeatable: .keyed)
  }

  private struct NewSymlink: Encodable, Sendable {
    var path: String
    var target: String
    var parents: Bool?
    var modifiedAt: FileTime?
    private enum CodingKeys: String, CodingKey {
      case path, target, parents
      case modifiedAt = "modified_at"
    }
  }

  func createSymlink(_ path: RemotePath, target: String, parents: Bool, modifiedAt: FileTime?) async throws -> FileEntry {
    let view = try await view()
    let body = NewSymlink(
      path: try view.sealed(path).text, target: try view.cipher(at: path)?.sealed(target: target) ?? target, parents: parents,
      modifiedAt: modifiedAt)
    return try await opened(try await call(.post, "/v1/symlinks", body: body, repeatable: .keyed), at: path)
  }

  private struct EntryUpdate: Encodable, Sendable {
    var path: String?
    var modifiedAt: FileTime?
    var executable: Bool?
    var chunker: FolderChunker?
    private enum CodingKeys: String, CodingKey {
      case path, executable, chunker
      case modifiedAt = "modified_at"
    }
  }

  func update(
    _ id: EntryID, path: RemotePath? = nil, modifiedAt: FileTime? = nil, executable: Bool? = nil, chunker: FolderChunker? = nil,
    ifVersion: Int64? = nil
  ) async throws -> FileEntry {
    var target: RemotePath?
    if let path { target = try await sealed(path) }
    let update = EntryUpdate(path: target?.text, modifiedAt: modifiedAt, executable: executable, chunker: chunker)
    return try await opened(try await call(.patch, Self.file(id), body: update, ifMatch: ifVersion))
  }

  func delete(_ id: EntryID, forever: Bool, recursive: Bool, ifVersion: Int64? = nil) async throws {
    try await perform(
      .delete, Self.file(id), query: [("forever", forever ? "1" : nil), ("recursive", recursive ? "1" : nil)], ifMatch: ifVersion)
  }

  private struct CopyTarget: Encodable, Sendable {
    var path: String
    var replaces: Int64?
  }

  /// - Parameter replaces: the version of the file at the path, whose next version the copy is to be; nil when nothing may be there.
  func copy(_ id: EntryID, to path: RemotePath, replaces: Int64? = nil) async throws -> FileEntry {
    let body = CopyTarget(path: try await sealed(path).text, replaces: replaces)
    return try await opened(try await call(.post, Self.file(id) + "/copy", body: body, repeatable: .keyed), at: path)
  }

  func versions(of entry: FileEntry, limit: Int, cursor: String?) async throws -> Page<VersionInfo> {
    var page: Page<VersionInfo> = try await call(
      .get, Self.file(entry.id) + "/versions", query: [("limit", String(limit)), ("cursor", cursor)])
    guard let folder = entry.keyFolder else { return page }
    let cipher = try await view().cipher(of: folder)
    for index in page.items.indices {
      let version = page.items[index]
      guard let content = version.envelope.flatMap({ cipher.opened(envelope: $0, of: version.contentHash) }) else {
        throw CairnError(.corrupted, "Version \(version.version) of \(entry.path) was not written by anybody who has the folder's key.")
      }
      (page.items[index].size, page.items[index].contentHash) = (content.size, content.contentHash)
    }
    return page
  }

  // MARK: Uploads

  func openUpload(_ request: UploadRequest) async throws -> UploadState {
    try await call(.post, "/v1/uploads", body: try await sealed(request), repeatable: .keyed)
  }

  func addBlocks(_ id: UploadID, start: Int, _ blocks: [BlockRef]) async throws -> UploadState {
    try await call(.post, Self.upload(id) + "/blocks", body: BlocksRequest(start: start, blocks: blocks))
  }

  /// Also renews the session's lease; the URLs in the answer are fresh.
  func uploadState(_ id: UploadID, cursor: String? = nil) async throws -> UploadState {
    try await opened(try await call(.get, Self.upload(id), query: [("cursor", cursor)]) as UploadState)
  }

  func addReceipts(_ id: UploadID, _ receipts: [String]) async throws {
    try await perform(.post, Self.upload(id) + "/receipts", body: ReceiptsRequest(receipts: receipts))
  }

  func completeUpload(_ id: UploadID, _ request: CompleteRequest) async throws -> FileEntry {
    try await opened(try await call(.post, Self.upload(id) + "/complete", body: request, repeatable: .keyed) as FileEntry)
  }

  func abortUpload(_ id: UploadID) async throws { try await perform(.delete, Self.upload(id)) }

  func openUploads(_ requests: [UploadRequest]) async throws -> [ItemResult<UploadState>] {
    var sealed: [UploadRequest] = []
    for request in requests { sealed.append(try await self.sealed(request)) }
    let answer: BatchOpenResponse = try await call(
      .post, "/v1/uploads/batch", body: BatchOpenRequest(uploads: sealed), repeatable: .keyed)
    return await openedProblems(try Self.complete(answer.results, count: requests.count))
  }

  func completeUploads(_ items: [BatchCompleteRequest.Item]) async throws -> [ItemResult<FileEntry>] {
    let answer: BatchCompleteResponse = try await call(
      .post, "/v1/uploads/batch/complete", body: BatchCompleteRequest(uploads: items), repeatable: .keyed)
    return try await opened(try Self.complete(answer.results, count: items.count))
  }

  // MARK: Downloads

  /// - Parameter folder: the encrypted folder that the file is known to be in.
  func downloadPlan(_ id: EntryID, in folder: EntryID?, version: Int64?) async throws -> FilePlan {
    try await opened(try await planPage(id, version: version, cursor: nil), in: folder)
  }

  /// A page of a plan as it is stored.
  func planPage(_ id: EntryID, version: Int64?, cursor: String?, limit: Int = 256) async throws -> DownloadPlan {
    try await call(
      .get, Self.file(id) + "/download", query: [("version", version.map { String($0) }), ("cursor", cursor), ("limit", String(limit))])
  }

  private struct PlanRequest: Encodable, Sendable {
    struct Item: Encodable, Sendable { var id: EntryID }
    var entries: [Item]
  }

  private struct PlanAnswer: Decodable { var items: [ItemResult<DownloadPlan>] }

  /// - Parameter files: ids and folders as with `downloadPlan`.
  func downloadPlans(_ files: [(id: EntryID, folder: EntryID?)]) async throws -> [Result<FilePlan, any Error>] {
    let answer: PlanAnswer = try await call(.post, "/v1/downloads/batch", body: PlanRequest(entries: files.map { .init(id: $0.id) }))
    var plans: [Result<FilePlan, any Error>] = []
    for (file, item) in zip(files, try Self.complete(answer.items, count: files.count)) {
      do { plans.append(.success(try await opened(try item.get(), in: file.folder))) } catch { plans.append(.failure(error)) }
    }
    return plans
  }

  private static func complete<Value>(_ results: [ItemResult<Value>], count: Int) throws -> [ItemResult<Value>] {
    guard results.count == count else {
      throw CairnError(
        .unexpected, "The gateway answered \(results.count) of \(count) items; check that client and cluster have one version.")
    }
    return results
  }
}

extension ItemResult {
  /// The value, or the problem thrown.
  func get() throws -> Value {
    if let value { return value }
    throw problem ?? Problem(.internalError, "The gateway answered neither a value nor a problem for this item.")
  }
}
