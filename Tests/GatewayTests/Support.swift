import BlockModel
import Credentials
import Foundation
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import Testing

/// A gateway that listens, in front of a coordinator that a test plays.
struct TestGateway: Sendable {
  let control: FakeControl
  let service: GatewayService
  let server: HTTPServer
  let client: HTTPClient

  struct Reply: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var bytes: [UInt8]
    var text: String { String(decoding: bytes, as: UTF8.self) }

    func decoded<Value: Decodable>(_ type: Value.Type) throws -> Value { try JSONCoding.decode(type, from: bytes) }
    var object: [String: Any] {
      get throws { try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any], "no JSON object: \(text)") }
    }
    /// The kind of the problem document that this is.
    var problem: String? {
      guard headers["Content-Type"] == "application/problem+json", let object = try? object else { return nil }
      return (object["type"] as? String).map { $0.replacingOccurrences(of: "urn:cairn:problem:", with: "") }
    }
  }

  func send(
    _ method: HTTPMethod, _ path: String, json: String? = nil, token: String? = Samples.token, headers: HTTPHeaders = [:]
  ) async throws -> Reply {
    var request = HTTPClientRequest(method: method, url: "http://127.0.0.1:\(server.port)\(path)", headers: headers)
    if let token { request.headers["Authorization"] = "Bearer \(token)" }
    if let json { request.body = .bytes(Array(json.utf8)) }
    let response = try await client.send(request)
    return Reply(status: response.status, headers: response.headers, bytes: response.bytes)
  }
}

/// Runs a gateway on a free port of 127.0.0.1 for as long as `body` runs.
func withGateway(
  view: ClusterView? = Samples.view(), _ change: (inout GatewayConfiguration) -> Void = { _ in },
  body: (TestGateway) async throws -> Void
) async throws {
  let control = FakeControl()
  if let view { control.on(ClusterOperations.GetView.self) { _, _ in view } }
  var configuration = GatewayConfiguration()
  configuration.changePollInterval = .milliseconds(20)
  change(&configuration)
  let client = HTTPClient()
  let cache = ClusterViewCache(control: control, time: SystemTime(), logger: .none)
  let service = GatewayService(
    control: control, view: cache, signer: CapabilitySigner(root: Samples.secret.capabilityRoot), client: client, time: SystemTime(),
    configuration: configuration, logger: .none, metrics: Metrics())
  let server = HTTPServer(configuration: HTTPServer.Configuration(), router: service.router())
  try server.start()
  service.start()
  func stop() async {
    service.stop()
    await server.shutdown(grace: .seconds(1))
    client.shutdown()
  }
  do {
    try await body(TestGateway(control: control, service: service, server: server, client: client))
  } catch {
    await stop()
    throw error
  }
  await stop()
}

extension FakeControl {
  /// Answers everything that the gateway may ask.
  func answerAll() {
    on(UserOperations.SignUp.self) { operation, _ in UserInfo(id: UserID(high: 1, low: 1), name: operation.name, device: nil) }
    on(UserOperations.LogIn.self) { _, _ in SessionToken(token: Samples.token, expiresAt: Samples.moment) }
    on(UserOperations.LogOut.self) { _, _ in Done() }
    on(UserOperations.WhoAmI.self) { _, _ in UserInfo(id: UserID(high: 1, low: 1), name: "ann", device: "desk") }
    on(UserOperations.ListDevices.self) { _, _ in
      Page(
        items: [DeviceInfo(id: Samples.deviceID, name: "desk", createdAt: Samples.moment, lastSeenAt: Samples.moment, current: true)],
        next: nil)
    }
    on(UserOperations.RevokeDevice.self) { _, _ in Done() }
    on(UserOperations.GetUsage.self) { _, _ in Usage(used: 1, reserved: 2, quota: 3, files: 4) }
    on(UserOperations.OpenUpload.self) { _, _ in Samples.upload(missing: 3) }
    on(UserOperations.AddBlocks.self) { _, _ in Samples.upload(missing: 1) }
    on(UserOperations.GetUpload.self) { _, _ in Samples.upload(missing: 0, file: Samples.file()) }
    on(UserOperations.AddReceipts.self) { _, _ in Done() }
    on(UserOperations.CompleteUpload.self) { _, _ in Samples.file() }
    on(UserOperations.AbortUpload.self) { _, _ in Done() }
    on(UserOperations.OpenUploadBatch.self) { operation, _ in
      BatchOpenResponse(results: operation.request.uploads.map { _ in ItemResult(value: Samples.upload(missing: 1)) })
    }
    on(UserOperations.CompleteUploadBatch.self) { operation, _ in
      BatchCompleteResponse(results: operation.request.uploads.map { _ in ItemResult(value: Samples.file()) })
    }
    answerTree()
    answerSharing()
    answerKeys()
  }

  private func answerSharing() {
    let share = ShareInfo(user: "bob", role: .write, grantedBy: "ann", grantedAt: Samples.moment, entry: Samples.file(kind: .folder))
    let item = LinkContent.Item(
      path: "/", name: "a.txt", kind: .file, size: 3, contentHash: Samples.hash, version: 5, mimeType: "text/plain",
      modifiedAt: Samples.file().modifiedAt)
    func link(_ token: String?) -> LinkInfo {
      LinkInfo(
        id: LinkID(high: 5, low: 6), token: token, entry: Samples.file(), createdBy: "ann", createdAt: Samples.moment,
        expiresAt: Samples.moment, hasPassword: true, maxDownloads: 3, downloads: 1)
    }
    let (made, listed) = (link("token"), link(nil))
    on(UserOperations.RestoreVersion.self) { _, _ in Samples.file(version: 6) }
    on(UserOperations.ListTrash.self) { _, _ in
      Page(
        items: [TrashItem(entry: Samples.file(), removedAt: Samples.moment, removedBy: "bob", expiresAt: Samples.moment)], next: nil)
    }
    on(UserOperations.RestoreFromTrash.self) { _, _ in Samples.file() }
    on(UserOperations.EmptyTrash.self) { _, _ in EmptiedTrash(removed: 1) }
    on(UserOperations.Rewind.self) { _, _ in RewindResult(changed: 3, lost: 0, undo: "c0") }
    on(UserOperations.ApplyChangeSet.self) { operation, _ in
      ChangeSetResponse(results: operation.request.changes.map { _ in ChangeSetResponse.Outcome(entry: Samples.file()) })
    }
    on(UserOperations.Share.self) { _, _ in share }
    on(UserOperations.Unshare.self) { _, _ in Done() }
    on(UserOperations.ListShares.self) { _, _ in Page(items: [share], next: nil) }
    on(UserOperations.ListShared.self) { _, _ in Page(items: [share], next: "more") }
    on(UserOperations.CreateLink.self) { _, _ in made }
    on(UserOperations.ListLinks.self) { _, _ in Page(items: [listed], next: nil) }
    on(UserOperations.RevokeLink.self) { _, _ in Done() }
    on(UserOperations.OpenLink.self) { _, _ in
      LinkContent(item: item, children: [], next: nil, expiresAt: Samples.moment)
    }
    on(UserOperations.DownloadByLink.self) { _, _ in Self.plan() }
    on(UserOperations.ListNotifications.self) { _, _ in
      Page(items: [Notification(kind: .edited, at: Samples.moment, actor: "bob", entry: Samples.file())], next: nil)
    }
  }

  private func answerKeys() {
    let pair = KeyPairInfo(publicKey: "AA", wrappedPrivateKey: "AA", generation: 1, createdAt: Samples.moment)
    on(UserOperations.GetKeyPair.self) { _, _ in pair }
    on(UserOperations.PutKeyPair.self) { _, _ in pair }
    on(UserOperations.GetPublicKey.self) { operation, _ in PublicKeyInfo(user: operation.user, publicKey: "AA", generation: 1) }
    on(UserOperations.ListFolderKeys.self) { _, _ in
      let key = WrappedKey(wrappedKey: "AA", generation: 1)
      return Page(items: [FolderKeyInfo(folder: Samples.file(kind: .folder), key: key, grantedBy: "ann")], next: nil)
    }
    on(UserOperations.PutFolderKey.self) { _, _ in Done() }
  }

  private func answerTree() {
    on(UserOperations.Stat.self) { _, _ in Samples.file() }
    on(UserOperations.ListFolder.self) { _, _ in Page(items: [Samples.file(), Samples.file(kind: .symlink)], next: "more") }
    on(UserOperations.CreateFolder.self) { _, _ in Samples.file(kind: .folder) }
    on(UserOperations.CreateSymlink.self) { _, _ in Samples.file(kind: .symlink) }
    on(UserOperations.UpdateEntry.self) { _, _ in Samples.file(version: 6) }
    on(UserOperations.DeleteEntry.self) { _, _ in Done() }
    on(UserOperations.CopyEntry.self) { _, _ in Samples.file() }
    on(UserOperations.ListVersions.self) { _, _ in Page(items: [Samples.versionInfo], next: nil) }
    on(UserOperations.GetDownloadPlan.self) { _, _ in Self.plan() }
    on(UserOperations.GetDownloadPlans.self) { operation, _ in
      Page(
        items: operation.entries.enumerated().map {
          $0.offset == 0 ? ItemResult(value: Self.plan()) : ItemResult(problem: Problem(.notFound, "no"))
        },
        next: nil)
    }
    on(UserOperations.GetChanges.self) { _, _ in
      ChangesPage(
        changes: [Change(sequence: 1, action: .moved, entry: Samples.file(), oldPath: "/old", at: Samples.moment)], cursor: "c1",
        hasMore: false,
        reset: false)
    }
  }

  static func plan() -> DownloadPlan {
    DownloadPlan(
      file: Samples.file(), size: 3, contentHash: Samples.hash, version: 5, chunker: .fixed,
      blocks: [.init(id: Samples.block(1), offset: 0, size: 3, strays: [Samples.node(6)])], next: nil)
  }
}
