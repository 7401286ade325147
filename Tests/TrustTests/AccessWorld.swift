import BlockModel
import ClusterLogic
import Coordinator
import Credentials
import Gateway
import HTTPTransport
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// Who asks, seen from a folder that `owner` shares.
enum Caller: String, Sendable, CaseIterable, CustomTestStringConvertible {
  case owner, admin, writer, reader
  /// Knows the ids and has no share.
  case stranger
  /// Had a share, which was taken back.
  case formerMember
  /// Has the role of an admin, and an operator disabled the account.
  case disabled
  /// An admin's device that was logged out.
  case loggedOut
  /// Sends a link's token as if it were a user's.
  case linkHolder
  case anonymous

  var testDescription: String { rawValue }

  /// Whether the token that is sent is somebody's now.
  var isKnown: Bool {
    switch self {
    case .owner, .admin, .writer, .reader, .stranger, .formerMember: true
    case .disabled, .loggedOut, .linkHolder, .anonymous: false
    }
  }

  /// What the caller may do with the shared folder and what is in it.
  var role: Role? {
    switch self {
    case .owner: .owner
    case .admin: .admin
    case .writer: .write
    case .reader: .read
    default: nil
    }
  }
}

/// A gateway that listens, the users' side of a coordinator over a real store behind it, and a shared folder with somebody in every role.
final class AccessWorld: Sendable {
  static let cluster = ClusterID(high: 1, low: 2)
  static let node = NodeID("n1")!
  static let zone = ZoneID("z")!
  static let disk = DiskID(high: 3, low: 4)
  static let password = "correct horse"

  let secret = ClusterSecret.generate()
  let dispatcher: ControlDispatcher
  let client = HTTPClient()
  let service: GatewayService
  private let folder: TemporaryFolder
  private let store: SQLMetadataStore
  private let server: HTTPServer
  private let tokens = Mutex<[Caller: String]>([:])
  private let count = Atomic<Int>(0)

  init(
    time: any TimeSource = SystemTime(), storeTime: any TimeSource = SystemTime(), _ change: (inout GatewayConfiguration) -> Void = { _ in }
  ) async throws {
    folder = try TemporaryFolder()
    store = try await SQLMetadataStore.open(
      path: folder.path("db"),
      identity: ClusterIdentity(cluster: Self.cluster, partitionBits: 4, replicationFactor: 1, writeQuorum: 1),
      time: storeTime)
    let store = store
    dispatcher = ControlDispatcher { try? await store.note(actor: $0, action: $1, subject: $2) }
    UserService(store: store, receipts: ReceiptVerifier(root: secret.receiptRoot, cluster: Self.cluster)).register(on: dispatcher)
    try await store.saveNode(
      NodeRecord(id: Self.node, zone: Self.zone, weight: 1, address: "http://127.0.0.1:1", disks: [Self.disk], isOut: false))
    let layout = Layout(
      version: 1, partitionBits: 4, replicationFactor: 1, writeQuorum: 1, nodes: [LayoutNode(id: Self.node, zone: Self.zone, weight: 1)],
      table: Array(repeating: 0, count: 16))
    try await store.commitLayout(layout, expectedVersion: 0, filling: [])
    let view = ClusterView(
      cluster: Self.cluster, revision: 1, generation: 1, layout: layout,
      members: [Member(node: Self.node, zone: Self.zone, address: "http://127.0.0.1:1", state: .alive, writable: true)], gcEpoch: 1,
      filling: [])
    dispatcher.register(ClusterOperations.GetView.self) { operation, _ async throws(Problem) in
      if operation.revision == view.revision { try? await Task.sleep(for: .milliseconds(operation.waitMilliseconds)) }
      return view
    }
    var configuration = GatewayConfiguration()
    change(&configuration)
    service = GatewayService(
      control: dispatcher, view: ClusterViewCache(control: dispatcher, time: SystemTime(), logger: .none),
      signer: CapabilitySigner(root: secret.capabilityRoot), client: client, time: time, configuration: configuration,
      logger: .none, metrics: Metrics())
    server = HTTPServer(configuration: HTTPServer.Configuration(), router: service.router())
    try server.start()
    service.start()
    try await populate()
  }

  func stop() async {
    service.stop()
    await server.shutdown(grace: .seconds(1))
    client.shutdown()
    await store.close()
  }

  /// Everybody logs in, the folder is shared, and those who lose what they had lose it.
  private func populate() async throws {
    for caller in Caller.allCases where caller != .anonymous && caller != .linkHolder {
      _ = try await perform(UserOperations.SignUp(name: name(of: caller), password: Self.password))
      let token = try await logIn(as: caller)
      tokens.withLock { $0[caller] = token }
      _ = try await perform(keyPair(of: caller), token: token)
    }
    _ = try await perform(UserOperations.SignUp(name: "third", password: Self.password))
    let shared = try await asOwner(UserOperations.CreateFolder(path: "/shared", parents: false, modifiedAt: nil))
    for caller in Caller.allCases {
      let isLost = [.formerMember, .disabled, .loggedOut].contains(caller)
      guard caller != .owner, let role = isLost ? .admin : caller.role else { continue }
      _ = try await asOwner(UserOperations.Share(entry: .id(shared.id), user: name(of: caller), role: role))
    }
    _ = try await asOwner(UserOperations.Unshare(entry: .id(shared.id), user: name(of: .formerMember)))
    _ = try await perform(OperatorOperations.SetUserDisabled(user: name(of: .disabled), isDisabled: true))
    _ = try await perform(UserOperations.LogOut(), token: token(of: .loggedOut))
    let link = try await link(to: file().id)
    tokens.withLock { $0[.linkHolder] = link.token }
  }

  /// One step of the store's tidying up.
  func tidy() async throws -> Int { try await store.expire() }

  // MARK: People

  func name(of caller: Caller) -> String { caller.rawValue.lowercased() }
  func token(of caller: Caller) -> String? { tokens.withLock { $0[caller] } }

  /// A further device of the caller's.
  func logIn(as caller: Caller) async throws -> String {
    try await perform(UserOperations.LogIn(name: name(of: caller), password: Self.password, device: "device-\(next())")).token
  }

  /// Where the caller sees the shared folder, or would.
  func sharedPath(_ caller: Caller) -> String { caller == .owner ? "/shared" : "/Shared with me/shared" }

  /// A number that nothing was called by before.
  func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).newValue }

  // MARK: Things to ask for

  func perform<Op: ControlOperation>(_ operation: Op, token: String? = nil) async throws -> Op.Response {
    try await dispatcher.perform(operation, context: ControlContext(userToken: token, requestID: "test", remoteAddress: "127.0.0.9"))
  }

  func asOwner<Op: ControlOperation>(_ operation: Op) async throws -> Op.Response {
    try await perform(operation, token: token(of: .owner))
  }

  /// An upload of the owner's into the shared folder.
  func upload(_ name: String? = nil, bytes: Int = 0) async throws -> (state: UploadState, block: BlockRef?) {
    let block = bytes > 0 ? BlockRef(id: BlockID(words: (UInt64(next()), 1, 2, 3)), size: bytes) : nil
    let state = try await asOwner(
      UserOperations.OpenUpload(
        request: UploadRequest(
          path: "/shared/\(name ?? "file-\(next())")", size: Int64(bytes), blocks: block.map { [$0] } ?? [], onConflict: .overwrite)))
    return (state, block)
  }

  func receipt(_ upload: UploadID, _ block: BlockRef) -> String {
    ReceiptSigner(keys: secret.nodeKeys(Self.node, cluster: Self.cluster)).sign(
      Receipt(
        cluster: Self.cluster, upload: upload, block: block.id, plainBytes: block.size, storedBytes: block.size, node: Self.node,
        disk: Self.disk, layoutVersion: 1, gcEpoch: 1, durability: .strict, verification: .hashed, keyEpoch: 1))
  }

  /// A fresh file of the owner's in the shared folder.
  func file(_ name: String? = nil, bytes: Int = 0) async throws -> FileEntry {
    let (state, block) = try await upload(name, bytes: bytes)
    return try await asOwner(
      UserOperations.CompleteUpload(
        upload: state.uploadID, request: CompleteRequest(receipts: block.map { [receipt(state.uploadID, $0)] } ?? []), ifVersion: nil))
  }

  // MARK: Keys

  /// Everybody has one.
  func keyPair(of caller: Caller) -> UserOperations.PutKeyPair {
    let seed = UInt8(Caller.allCases.firstIndex(of: caller) ?? 0)
    return UserOperations.PutKeyPair(
      publicKey: Base64URL.encode([UInt8](repeating: seed, count: SealedForm.publicKeyBytes)),
      wrappedPrivateKey: Base64URL.encode([UInt8](repeating: seed, count: SealedForm.wrappedPrivateKeyBytes)), replaces: 0)
  }

  let wrappedKey = WrappedKey(
    wrappedKey: Base64URL.encode([UInt8](repeating: 5, count: SealedForm.wrappedFolderKeyBytes)), generation: 1)

  /// A fresh encrypted folder of the owner's in the shared one.
  func vault() async throws -> FileEntry {
    try await asOwner(
      UserOperations.CreateFolder(path: "/shared/vault-\(next())", parents: false, modifiedAt: nil, key: wrappedKey))
  }

  func folderIn() async throws -> FileEntry {
    try await asOwner(UserOperations.CreateFolder(path: "/shared/folder-\(next())", parents: false, modifiedAt: nil))
  }

  /// A fresh file in the owner's trash.
  func removed() async throws -> EntryID {
    let file = try await file()
    _ = try await asOwner(UserOperations.DeleteEntry(entry: .id(file.id), forever: false, recursive: false, ifVersion: nil))
    return file.id
  }

  func link(
    to entry: EntryID, by caller: Caller = .owner, password: String? = nil, expiresAt: WallTime? = nil
  ) async throws -> (id: LinkID, token: String) {
    let link = try await perform(
      UserOperations.CreateLink(entry: .id(entry), expiresAt: expiresAt, password: password, maxDownloads: nil), token: token(of: caller))
    return (link.id, try #require(link.token))
  }

  // MARK: Asking

  /// A request to the gateway.
  struct Ask: Sendable {
    var method: HTTPMethod
    var path: String
    var json: String?
    /// Instead of the caller's.
    var token: String?
    var headers: HTTPHeaders = [:]
    /// The answer has no end.
    var isStream = false
    init(
      _ method: HTTPMethod, _ path: String, json: String? = nil, token: String? = nil, headers: HTTPHeaders = [:], isStream: Bool = false
    ) {
      self.method = method
      self.path = path
      self.json = json
      self.token = token
      self.headers = headers
      self.isStream = isStream
    }
  }

  private func request(_ ask: Ask, as caller: Caller) -> HTTPClientRequest {
    var request = HTTPClientRequest(method: ask.method, url: "http://127.0.0.1:\(server.port)\(ask.path)", headers: ask.headers)
    if let token = ask.token ?? token(of: caller), request.headers["Authorization"] == nil {
      request.headers["Authorization"] = "Bearer \(token)"
    }
    if let json = ask.json { request.body = .bytes(Array(json.utf8)) }
    return request
  }

  func response(_ ask: Ask, as caller: Caller) async throws -> HTTPClientResponse { try await client.send(request(ask, as: caller)) }

  /// The status; of a batch of one the status of its item.
  func send(_ ask: Ask, as caller: Caller) async throws -> (status: Int, text: String) {
    let request = request(ask, as: caller)
    guard !ask.isStream else {
      let status = Status()
      try await client.stream(request, onHead: { status.value.store($0.status, ordering: .relaxed) }, onBytes: { _ in false })
      return (status.value.load(ordering: .relaxed), "")
    }
    let response = try await client.send(request)
    let text = String(decoding: response.bytes, as: UTF8.self)
    if response.status == 200, let item = try? JSONCoding.decode(BatchOfOne.self, from: response.bytes).problem {
      return (item.status, text)
    }
    return (response.status, text)
  }

  private final class Status: Sendable {
    let value = Atomic<Int>(0)
  }

  private struct BatchOfOne: Decodable {
    struct Item: Decodable { var problem: Refused? }
    struct Refused: Decodable { var status: Int }
    var results: [Item]?
    var items: [Item]?
    var problem: Refused? { (results ?? items)?.first?.problem }
  }
}

/// Runs a body over a world, and ends the world whatever happens.
func withWorld(
  time: any TimeSource = SystemTime(), storeTime: any TimeSource = SystemTime(),
  _ change: (inout GatewayConfiguration) -> Void = { _ in }, _ body: (AccessWorld) async throws -> Void
) async throws {
  let world = try await AccessWorld(time: time, storeTime: storeTime, change)
  do { try await body(world) } catch {
    await world.stop()
    throw error
  }
  await world.stop()
}
