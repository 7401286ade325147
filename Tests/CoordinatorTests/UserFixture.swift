import BlockModel
import ClusterLogic
import Coordinator
import Credentials
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

/// The users' side of a coordinator over a real store, with the keys of one node.
final class UserFixture: Sendable {
  static let cluster = ClusterID(high: 1, low: 2)
  let folder: TemporaryFolder
  let time = ManualTime()
  let secret = ClusterSecret.generate()
  let store: SQLMetadataStore
  let dispatcher = ControlDispatcher()
  let users: UserService
  static let node = NodeID("n1")!
  static let disk = DiskID(high: 3, low: 4)

  init() async throws {
    folder = try TemporaryFolder()
    store = try await SQLMetadataStore.open(
      path: folder.path("db"),
      identity: ClusterIdentity(cluster: Self.cluster, partitionBits: 4, replicationFactor: 1, writeQuorum: 1), time: time)
    users = UserService(
      store: store, receipts: ReceiptVerifier(root: secret.receiptRoot, cluster: Self.cluster), time: time)
    users.register(on: dispatcher)
    let zone = try #require(ZoneID("z"))
    try await store.saveNode(
      NodeRecord(id: Self.node, zone: zone, weight: 1, address: "http://127.0.0.1:1", disks: [Self.disk], isOut: false))
    let layout = Layout(
      version: 1, partitionBits: 4, replicationFactor: 1, writeQuorum: 1, nodes: [LayoutNode(id: Self.node, zone: zone, weight: 1)],
      table: Array(repeating: 0, count: 16))
    try await store.commitLayout(layout, expectedVersion: 0, filling: [])
  }

  static func context(_ token: String? = nil, key: String? = nil, address: String = "10.0.0.1") -> ControlContext {
    ControlContext(userToken: token, idempotencyKey: key, requestID: "test", remoteAddress: address)
  }

  func signUp(
    _ name: String = "ada", password: String = "correct horse", key: String? = nil
  ) async throws(Problem) -> UserInfo {
    try await dispatcher.perform(UserOperations.SignUp(name: name, password: password), context: Self.context(key: key))
  }

  func logIn(
    _ name: String = "ada", password: String = "correct horse", device: String = "laptop", key: String? = nil
  ) async throws(Problem) -> String {
    try await dispatcher.perform(
      UserOperations.LogIn(name: name, password: password, device: device), context: Self.context(key: key)
    ).token
  }

  func receipt(_ upload: UploadID, _ block: BlockRef, secret: ClusterSecret? = nil) -> String {
    ReceiptSigner(keys: (secret ?? self.secret).nodeKeys(Self.node, cluster: Self.cluster)).sign(
      Receipt(
        cluster: Self.cluster, upload: upload, block: block.id, plainBytes: block.size, storedBytes: block.size, node: Self.node,
        disk: Self.disk, layoutVersion: 1, gcEpoch: 1, durability: .strict, verification: .hashed, keyEpoch: 1))
  }
}

/// The problem that an operation is refused with.
func refusal<T>(_ location: SourceLocation = #_sourceLocation, _ body: () async throws -> T) async -> Problem? {
  do {
    _ = try await body()
    Issue.record("not refused", sourceLocation: location)
    return nil
  } catch { return error as? Problem }
}
