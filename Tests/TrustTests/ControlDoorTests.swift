import BlockModel
import Coordinator
import Credentials
import HTTPTransport
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

/// Who may ask the coordinator what; an operation without a row fails the test.
private let audiences: [ControlAudience: [String]] = [
  .node: ["heartbeat", "get-data-key-ticket", "get-replica-sources"],
  .gateway: ["get-view", "await-changes", "sign-up", "log-in", "open-link", "download-by-link"],
  .op: [
    "admit-node", "apply-layout", "assign-role", "control-rebalance", "control-scrub", "drain-node", "explain-block", "get-audit",
    "get-audit-log",
    "get-data-keys", "get-drain", "get-garbage", "get-layout", "get-layout-history", "get-rebalance", "get-repair", "get-status",
    "get-metadata", "migrate-metadata", "get-quarantine-status", "list-quarantine", "change-quarantine",
    "list-users", "plan-layout", "release-garbage", "remove-role", "reset-user-password", "revert-layout", "rotate-data-keys",
    "get-durability", "get-tuning", "set-tuning", "set-user-disabled", "set-user-quota", "simulate-loss", "start-audit", "start-garbage",
    "start-repair", "undo-garbage",
  ],
  .user: [
    "abort-upload", "add-blocks", "add-receipts", "apply-change-set", "change-password", "complete-upload", "complete-upload-batch",
    "copy-entry", "create-folder", "create-link", "create-symlink", "delete-entry", "empty-trash", "get-changes", "get-download-plan",
    "get-download-plans", "get-key-pair", "get-public-key", "get-upload", "get-usage", "list-devices", "list-folder", "list-folder-keys",
    "list-links", "list-notifications", "list-shared", "list-shares", "list-trash", "list-versions", "log-out", "open-upload",
    "open-upload-batch", "put-folder-key", "put-key-pair", "restore-from-trash", "restore-version", "revoke-device", "revoke-link",
    "rewind", "share", "stat", "unshare", "update-entry", "who-am-i",
  ],
]

@Suite("Who may ask the coordinator what")
struct ControlDoorTests {
  @Test("every control operation opens to the tokens of its audience, and to no other token")
  func table() async throws {
    let folder = try TemporaryFolder()
    let (secret, cluster) = (ClusterSecret.generate(), ClusterID(high: 1, low: 2))
    let store = try await SQLMetadataStore.open(
      path: folder.path("db"), identity: ClusterIdentity(cluster: cluster, partitionBits: 4, replicationFactor: 3, writeQuorum: 2))
    let client = HTTPClient()
    let dispatcher = ControlDispatcher()
    UserService(store: store, receipts: ReceiptVerifier(root: secret.receiptRoot, cluster: cluster)).register(on: dispatcher)
    ClusterService(
      metadata: store, signer: CapabilitySigner(secret: secret), http: client, time: SystemTime(), configuration: .dev(initialNodes: 3),
      logger: .none, metrics: Metrics(), garbage: store
    ).register(on: dispatcher)
    QuarantineService(store: store, scanner: nil).register(on: dispatcher)
    MigrationService(isShared: true, logger: .none) { _ in }.register(on: dispatcher)
    var router = HTTPRouter()
    ControlRoutes(dispatcher: dispatcher, verifier: ServiceTokenVerifier(root: secret.controlRoot), logger: .none).add(to: &router)
    let server = HTTPServer(configuration: HTTPServer.Configuration(), router: router)
    try server.start()

    let named = audiences.values.flatMap { $0 }
    #expect(Set(dispatcher.operationNames) == Set(named) && named.count == Set(named).count, "each operation has one row")
    let node = NodeID("node-1")!
    let root = secret.controlRoot
    let stranger = ClusterSecret.generate()
    let bearers: [(name: String, token: String?, opens: [ControlAudience])] = [
      ("a node", root.token(.node(node)), [.node]), ("a gateway", root.token(.gateway("g")), [.gateway, .user]),
      ("an operator", root.token(.op("ada")), [.op]), ("another cluster's operator", stranger.controlRoot.token(.op("ada")), []),
      ("nobody", nil, []),
      ("a node that says it is an operator", root.token(.node(node)).replacing(".node.node-1", with: ".operator.node-1"), []),
    ]
    for (audience, names) in audiences {
      for name in names {
        #expect(dispatcher.audience(of: name) == audience)
        for bearer in bearers {
          // This is no document: who is let in is told so, and nothing happens.
          var request = HTTPClientRequest(
            method: .post, url: "http://127.0.0.1:\(server.port)/v1/control/\(name)", body: .bytes(Array("{".utf8)))
          if let token = bearer.token { request.headers["Authorization"] = "Bearer \(token)" }
          let status = try await client.send(request).status
          let expected = bearer.opens.contains(audience) ? 400 : bearer.opens.isEmpty ? 401 : 403
          #expect(status == expected, "\(name) for \(bearer.name): \(status)")
        }
      }
    }
    // What speaks another protocol is told so, before anything of it is read.
    for (version, expected) in [("1", 400), ("0", 503), ("2", 503), ("x", 503)] {
      var request = HTTPClientRequest(
        method: .post, url: "http://127.0.0.1:\(server.port)/v1/control/get-status", headers: ["Cairn-Protocol": version],
        body: .bytes(Array("{".utf8)))
      request.headers["Authorization"] = "Bearer \(root.token(.op("ada")))"
      let status = try await client.send(request).status
      #expect(status == expected, "protocol \(version): \(status)")
    }
    await server.shutdown(grace: .seconds(1))
    client.shutdown()
    await store.close()
  }
}
