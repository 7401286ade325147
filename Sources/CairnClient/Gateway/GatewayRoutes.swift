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

  func entry(at path: RemotePath) async throws -> FileEntry { try await call(.get, "/v1/files", query: [("path", path.text)]) }

  /// The entry, nil when nothing is there.
  func entryIfThere(at path: RemotePath) async throws -> FileEntry? {
    do { return try await entry(at: path) } catch let problem as Problem where problem.kind == .notFound { return nil }
  }

  func children(of path: RemotePath, recursive: Bool, cursor: String?, limit: Int = 1000) async throws -> Page<FileEntry> {
    try await call(
      .get, "/v1/files",
      query: [
        ("path", path.text), ("children", "1"), ("recursive", recursive ? "1" : nil), ("limit", String(limit)), ("cursor", cursor),
      ])
  }

  private struct NewFolder: Encodable, Sendable {
    var path: String
    var parents: Bool?
    var modifiedAt: FileTime?
    var chunker: FolderChunker?
    private enum CodingKeys: String, CodingKey {
      case path, parents, chunker
      case modifiedAt = "modified_at"
    }
  }

  func createFolder(
    _ path: RemotePath, parents: Bool, modifiedAt: FileTime?, chunker: FolderChunker? = nil
  ) async throws -> FileEntry {
    try await call(
      .post, "/v1/folders", body: NewFolder(path: path.text, parents: parents, modifiedAt: modifiedAt, chunker: chunker),
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
    try await call(
      .post, "/v1/symlinks", body: NewSymlink(path: path.text, target: target, parents: parents, modifiedAt: modifiedAt),
      repeatable: .keyed)
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
    let update = EntryUpdate(path: path?.text, modifiedAt: modifiedAt, executable: executable, chunker: chunker)
    return try await call(.patch, Self.file(id), body: update, ifMatch: ifVersion)
  }

  func delete(_ id: EntryID, forever: Bool, recursive: Bool, ifVersion: Int64? = nil) async throws {
    try await perform(
      .delete, Self.file(id), query: [("forever", forever ? "1" : nil), ("recursive", recursive ? "1" : nil)], ifMatch: ifVersion)
  }

  private struct CopyTarget: Encodable, Sendable { var path: String }

  func copy(_ id: EntryID, to path: RemotePath) async throws -> FileEntry {
    try await call(.post, Self.file(id) + "/copy", body: CopyTarget(path: path.text), repeatable: .keyed)
  }

  func versions(of id: EntryID, limit: Int, cursor: String?) async throws -> Page<VersionInfo> {
    try await call(.get, Self.file(id) + "/versions", query: [("limit", String(limit)), ("cursor", cursor)])
  }

  // MARK: Uploads

  func openUpload(_ request: UploadRequest) async throws -> UploadState {
    try await call(.post, "/v1/uploads", body: request, repeatable: .keyed)
  }

  func addBlocks(_ id: UploadID, start: Int, _ blocks: [BlockRef]) async throws -> UploadState {
    try await call(.post, Self.upload(id) + "/blocks", body: BlocksRequest(start: start, blocks: blocks))
  }

  /// Also renews the session's lease; the URLs in the answer are fresh.
  func uploadState(_ id: UploadID, cursor: String? = nil) async throws -> UploadState {
    try await call(.get, Self.upload(id), query: [("cursor", cursor)])
  }

  func addReceipts(_ id: UploadID, _ receipts: [String]) async throws {
    try await perform(.post, Self.upload(id) + "/receipts", body: ReceiptsRequest(receipts: receipts))
  }

  func completeUpload(_ id: UploadID, _ request: CompleteRequest) async throws -> FileEntry {
    try await call(.post, Self.upload(id) + "/complete", body: request, repeatable: .keyed)
  }

  func abortUpload(_ id: UploadID) async throws { try await perform(.delete, Self.upload(id)) }

  func openUploads(_ requests: [UploadRequest]) async throws -> [ItemResult<UploadState>] {
    let answer: BatchOpenResponse = try await call(
      .post, "/v1/uploads/batch", body: BatchOpenRequest(uploads: requests), repeatable: .keyed)
    return try Self.complete(answer.results, count: requests.count)
  }

  func completeUploads(_ items: [BatchCompleteRequest.Item]) async throws -> [ItemResult<FileEntry>] {
    let answer: BatchCompleteResponse = try await call(
      .post, "/v1/uploads/batch/complete", body: BatchCompleteRequest(uploads: items), repeatable: .keyed)
    return try Self.complete(answer.results, count: items.count)
  }

  // MARK: Downloads

  func downloadPlan(_ id: EntryID, version: Int64?, cursor: String? = nil, limit: Int = 256) async throws -> DownloadPlan {
    try await call(
      .get, Self.file(id) + "/download", query: [("version", version.map { String($0) }), ("cursor", cursor), ("limit", String(limit))])
  }

  private struct PlanRequest: Encodable, Sendable {
    struct Item: Encodable, Sendable { var id: EntryID }
    var entries: [Item]
  }

  private struct PlanAnswer: Decodable { var items: [ItemResult<DownloadPlan>] }

  func downloadPlans(_ ids: [EntryID]) async throws -> [ItemResult<DownloadPlan>] {
    let answer: PlanAnswer = try await call(.post, "/v1/downloads/batch", body: PlanRequest(entries: ids.map { .init(id: $0) }))
    return try Self.complete(answer.items, count: ids.count)
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
