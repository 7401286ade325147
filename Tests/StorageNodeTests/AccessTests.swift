import BlockModel
import Credentials
import HTTPTransport
import Journal
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

/// What each route of a node lets in: the operations of the capabilities that open it, or nothing that is asked for. A route without a
/// row fails the test.
private let table: [String: Door] = [
  "PUT /v1/blocks/{id}": .opens([.put, .replicate]),
  "GET /v1/blocks/{id}": .opens([.get, .record]),
  "DELETE /v1/blocks/{id}": .opens([]),
  "POST /v1/blocks/batch": .opens([.put]),
  "POST /v1/blocks/batch/get": .opens([.get]),
  "POST /v1/blocks/batch/replicate": .opens([.replicate]),
  "POST /v1/control/{hash}": .opens([.control]),
  "POST /v1/journal/{hash}": .opens([.control]),
  "GET /healthz": .open,
  "GET /readyz": .open,
  "GET /metrics": .open,
]

private enum Door {
  case open
  case opens([CapabilityOperation])
}

/// A URL that is not quite genuine.
private enum Forgery: String, CaseIterable {
  case otherNode, otherCluster, stolenKey, expired, otherBlock, otherSize, unknownEpoch, noSignature, nothing
}

@Suite("Who gets in at a node")
struct AccessTests {
  @Test("every route opens to the capabilities that the table names, and to no other operation")
  func operations() async throws {
    try await withCluster(.alone) { cluster in
      let routes = cluster.nodes[0].node.router.routes.map { "\($0.method.rawValue) \($0.pattern)" }
      #expect(Set(routes) == Set(table.keys), "each route of the node has a row")
      let visit = try await Visit(cluster)
      for (route, door) in table.sorted(by: { $0.key < $1.key }) {
        for operation in CapabilityOperation.allCases {
          let status = try await visit.knock(route, operation)
          switch door {
          case .open: #expect(status == 200)
          case .opens(let operations):
            if operations.contains(operation) {
              // A plain block is no sealed record: admitted, then refused for what it is.
              #expect(
                operation == .replicate ? [400, 409, 422].contains(status) : (200..<300).contains(status),
                "\(route) \(operation): \(status)")
            } else {
              #expect(status == 403, "\(route) \(operation): \(status)")
            }
          }
        }
      }
    }
  }

  @Test("a capability of another node, cluster, block, size, time or epoch, or signed with another node's stolen key, opens nothing")
  func forgeries() async throws {
    try await withCluster(.alone) { cluster in
      let visit = try await Visit(cluster)
      for (route, door) in table.sorted(by: { $0.key < $1.key }) {
        guard case .opens(let operations) = door, let operation = operations.first else { continue }
        for forgery in Forgery.allCases {
          let status = try await visit.knock(route, operation, forgery)
          #expect([400, 401, 403].contains(status), "\(route) with \(forgery): \(status)")
        }
      }
    }
  }
}

@Suite("Mutual TLS at a node")
struct NodePeerTests {
  @Test("with mutual TLS a genuine capability of daemons takes a daemon's certificate besides, and clients' capabilities take none")
  func daemonsOnly() async throws {
    try await withCluster(.alone) { cluster in
      let authority = try Certificates.makeAuthority(name: "test", days: 1)
      func issue(_ kind: String) throws -> CertificatePair {
        try Certificates.issue(kind: kind, name: "\(kind)-1", hosts: ["127.0.0.1"], days: 1, authority: authority)
      }
      let own = try issue("node")
      var tls = HTTPServer.Configuration.TLS(
        certificatePEM: own.certificatePEM, keyPEM: own.keyPEM, clientCAPEM: authority.certificatePEM)
      tls.requiresClientCertificate = false
      var configuration = HTTPServer.Configuration()
      configuration.connectionMemoryBytes = 256 << 10
      configuration.tls = tls
      let server = HTTPServer(configuration: configuration, router: cluster.nodes[0].node.router)
      try server.start()
      let rows: [(String, CapabilityOperation, [String])] = [
        ("PUT /v1/blocks/{id}", .put, ["", "gateway", "node", "coordinator"]), ("PUT /v1/blocks/{id}", .replicate, ["node"]),
        ("GET /v1/blocks/{id}", .get, ["", "gateway", "node", "coordinator"]), ("GET /v1/blocks/{id}", .record, ["node"]),
        ("POST /v1/blocks/batch/replicate", .replicate, ["node"]), ("POST /v1/blocks/batch", .put, ["", "node"]),
        ("POST /v1/control/{hash}", .control, ["node", "coordinator"]), ("POST /v1/journal/{hash}", .control, ["node", "coordinator"]),
      ]
      for kind in ["", "gateway", "node", "coordinator"] {
        var settings = HTTPClient.Configuration()
        settings.caPEM = authority.certificatePEM
        if !kind.isEmpty {
          let pair = try issue(kind)
          settings.clientCertificatePEM = pair.certificatePEM
          settings.clientKeyPEM = pair.keyPEM
        }
        let client = HTTPClient(configuration: settings)
        let visit = try await Visit(cluster, client: client, address: "https://127.0.0.1:\(server.port)")
        for (route, operation, kinds) in rows where kinds.contains(kind) || kinds.count < 3 {
          let status = try await visit.knock(route, operation)
          #expect((status != 403) == (kinds.contains(kind) || kinds.contains("")), "\(route) \(operation) for “\(kind)”: \(status)")
        }
        client.shutdown()
      }
      await server.shutdown(grace: .seconds(1))
    }
  }
}

extension TestCluster.Options {
  fileprivate static var alone: Self {
    var options = Self()
    options.zones = ["a"]
    options.replicas = 1
    options.writeQuorum = 1
    return options
  }
}

/// Requests to the one node of a cluster.
private struct Visit {
  let cluster: TestCluster
  let bytes: [UInt8] = Array("a block to knock with".utf8)
  let command: [UInt8]
  private let client: HTTPClient
  private let address: String

  /// - Parameter address: where the node is asked, when not at its own server.
  init(_ cluster: TestCluster, client: HTTPClient? = nil, address: String? = nil) async throws {
    self.cluster = cluster
    self.client = client ?? cluster.client
    self.address = address ?? cluster.nodes[0].address
    command = try JSONCoding.encode(NodeCommand.listQuarantined(after: nil, limit: 1))
    _ = try await cluster.store(bytes)
  }

  /// The status; of a batch of one the status of its item.
  func knock(_ route: String, _ operation: CapabilityOperation, _ forgery: Forgery? = nil) async throws -> Int {
    let parts = route.split(separator: " ").map(String.init)
    let body =
      if parts[1].hasPrefix("/v1/control") { command } else if parts[1].hasPrefix("/v1/journal") { JournalRequest.status.encoded } else {
        bytes
      }
    let signed = try signed(operation, body, forgery)
    var path = parts[1]
    var content = body
    if path.contains("/batch") {
      content = BlockBatch.begin()
      BlockBatch.append(to: &content, text: "/v1/blocks/" + signed, data: path.hasSuffix("/get") ? [] : bytes)
    } else if path.contains("{") {
      path = path.prefix { $0 != "{" } + signed
    }
    var request = HTTPClientRequest(method: HTTPMethod(rawValue: parts[0]), url: address + path)
    if parts[0] == "PUT" || parts[0] == "POST" { request.body = .bytes(content) }
    let response = try await client.send(request)
    guard response.status == 200, path.contains("/batch") else { return response.status }
    if path.hasSuffix("/get") { return try BlockBatch.parse(response.bytes).first?.status ?? 0 }
    return try JSONCoding.decode(BatchPutReply.self, from: response.bytes).items.first?.status ?? 0
  }

  /// The path's last component and the query of a signed URL.
  private func signed(_ operation: CapabilityOperation, _ body: [UInt8], _ forgery: Forgery?) throws -> String {
    let now = SystemTime().wall().seconds
    var capability = cluster.capability(
      operation, TestCluster.name(body), size: body.count, at: 0, expires: forgery == .expired ? now - 1 : now + 600)
    if operation != .put { capability.writeQuorum = 0 }
    var signer = cluster.signer
    switch forgery {
    case .otherNode: capability.node = NodeID("node-2")!
    case .otherCluster: signer = CapabilitySigner(secret: .generate())
    case .unknownEpoch: capability.keyEpoch = 7
    default: break
    }
    var signature = signer.sign(capability)
    if forgery == .stolenKey {
      // Whoever has the keys of node-2 signs with them what is meant for node-1.
      var stolen = capability
      stolen.node = NodeID("node-2")!
      signature = signer.sign(stolen)
    }
    if forgery == .noSignature { signature = String(repeating: "0", count: 64) }
    var block = capability.block
    if forgery == .otherBlock { block = TestCluster.name([1]) }
    let url = capability.pathAndQuery(signature: signature)
    var query = String(url[url.firstIndex(of: "?")!...])
    if forgery == .otherSize { query = query.replacing("size=\(body.count)", with: "size=\(body.count + 1)") }
    return block.hex + (forgery == .nothing ? "" : query)
  }
}
