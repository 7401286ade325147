internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI

/// Where plain becomes sealed and back: every route that names a path, or answers entries, goes through here.
extension GatewayConnection {
  func view() async throws -> FolderView { try await folders.view(self) }

  /// A path as the cluster knows it.
  func sealed(_ path: RemotePath) async throws -> RemotePath { try await view().sealed(path) }

  func opened(_ entry: FileEntry) async throws -> FileEntry { try await opened([entry])[0] }

  func opened(_ entries: [FileEntry]) async throws -> [FileEntry] {
    var view = try await view()
    // Something encrypted came into sight since the view was made.
    if let unknown = entries.lazy.compactMap(\.keyFolder).first(where: { view.root($0) == nil }) {
      view = try await folders.view(self, knowing: unknown)
    }
    return try entries.map { entry throws(CairnError) in try view.opened(entry) }
  }

  func opened(_ page: Page<FileEntry>) async throws -> Page<FileEntry> { Page(items: try await opened(page.items), next: page.next) }

  /// What is at a path is in the folder that the path is in, whatever the cluster says.
  func opened(_ entry: FileEntry, at path: RemotePath) async throws -> FileEntry {
    if let root = try await view().root(over: path), entry.keyFolder != root.id { throw FolderView.contradiction(path.text) }
    return try await opened(entry)
  }

  /// - Parameter folder: the encrypted folder that the file is known to be in; nil for outside of all.
  func opened(_ plan: DownloadPlan, in folder: EntryID?) async throws -> FilePlan {
    guard plan.file.keyFolder == folder else { throw FolderView.contradiction(plan.file.path) }
    var plan = plan
    plan.file = try await opened(plan.file)
    guard let folder else { return FilePlan(plan: plan, cipher: nil, size: plan.size, contentHash: plan.contentHash) }
    let cipher = try await view().cipher(of: folder)
    guard let content = plan.envelope.flatMap({ cipher.opened(envelope: $0, of: plan.contentHash) }) else {
      throw CairnError(
        .corrupted, "\(plan.file.path) was not written by anybody who has the folder's key, or was changed since; it is not to be trusted.")
    }
    return FilePlan(plan: plan, cipher: cipher, size: content.size, contentHash: content.contentHash)
  }

  /// An upload as the cluster gets it.
  /// - Throws: `CairnError` `encryption` unless it is sealed just where it has to be.
  func sealed(_ request: UploadRequest) async throws -> UploadRequest {
    let path = try RemotePath(request.path)
    let view = try await view()
    guard try (view.root(around: path) != nil) == (request.encrypted ?? false) else {
      await folders.forgetView()
      throw CairnError(.encryption, "\(path) came into an encrypted folder, or out of one, meanwhile; start again.")
    }
    var request = request
    request.path = try view.sealed(path).text
    return request
  }

  func opened(_ state: UploadState) async throws -> UploadState {
    guard let file = state.file else { return state }
    var state = state
    state.file = try await opened(file)
    return state
  }

  func opened(_ results: [ItemResult<FileEntry>]) async throws -> [ItemResult<FileEntry>] {
    var opened: [ItemResult<FileEntry>] = []
    for result in results {
      if let value = result.value {
        opened.append(ItemResult(value: try await self.opened(value)))
      } else {
        opened.append(result)
      }
    }
    return await openedProblems(opened)
  }

  func openedProblems<Value>(_ results: [ItemResult<Value>]) async -> [ItemResult<Value>] {
    var results = results
    for index in results.indices {
      if let problem = results[index].problem { results[index].problem = await opened(problem) }
    }
    return results
  }

  /// Its sentence, and what it shows, as the user knows them. A refusal at a border means that the view was out of date.
  func opened(_ problem: Problem) async -> Problem {
    if problem.kind == .encryptionBoundary { await folders.forgetView() }
    guard let view = await folders.present, !view.roots.isEmpty else { return problem }
    var problem = problem
    problem.detail = view.opened(sentence: problem.detail)
    if let current = problem.current { problem.current = (try? view.opened(current)) ?? current }
    return problem
  }

  // MARK: Keys

  func keyPair() async throws -> KeyPairInfo? {
    do { return try await call(.get, "/v1/keys") as KeyPairInfo } catch let problem as Problem where problem.kind == .notFound {
      return nil
    }
  }

  private struct NewKeyPair: Encodable, Sendable {
    var publicKey: String
    var wrappedPrivateKey: String
    var replaces: Int64
    private enum CodingKeys: String, CodingKey {
      case replaces
      case publicKey = "public_key"
      case wrappedPrivateKey = "wrapped_private_key"
    }
  }

  func putKeyPair(publicKey: String, wrappedPrivateKey: String, replaces: Int64) async throws -> KeyPairInfo {
    try await call(
      .put, "/v1/keys", body: NewKeyPair(publicKey: publicKey, wrappedPrivateKey: wrappedPrivateKey, replaces: replaces))
  }

  /// Nil for a user who has none, or is none.
  func publicKey(of user: String) async throws -> PublicKeyInfo? {
    do { return try await call(.get, "/v1/keys", query: [("user", user)]) as PublicKeyInfo } catch let problem as Problem
      where problem.kind == .notFound
    { return nil }
  }

  func folderKeys() async throws -> [FolderKeyInfo] {
    var found: [FolderKeyInfo] = []
    var cursor: String?
    do {
      repeat {
        let page: Page<FolderKeyInfo> = try await call(.get, "/v1/folders/keys", query: [("limit", "1000"), ("cursor", cursor)])
        found += page.items
        cursor = page.next
      } while cursor != nil
    } catch let problem as Problem where problem.kind == .notFound || problem.kind == .methodNotAllowed {
      // A cluster of a version before there were any.
      return []
    }
    return found
  }

  private struct NewFolderKey: Encodable, Sendable {
    var user: String
    var wrappedKey: String
    var generation: Int64
    private enum CodingKeys: String, CodingKey {
      case user, generation
      case wrappedKey = "wrapped_key"
    }
  }

  func putFolderKey(_ folder: EntryID, user: String, wrappedKey: String, generation: Int64) async throws {
    try await perform(
      .put, Self.file(folder) + "/keys", body: NewFolderKey(user: user, wrappedKey: wrappedKey, generation: generation))
  }
}
