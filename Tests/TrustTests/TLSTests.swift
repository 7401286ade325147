import BlockModel
import Coordinator
import Credentials
import HTTPTransport
import Platform
import ServiceAPI
import TestSupport
import Testing

/// An authority made here, and what it issues.
struct TestAuthority {
  let authority: CertificatePair

  init() throws { authority = try Certificates.makeAuthority(name: "test", days: 2) }

  func issue(_ kind: String, _ name: String, hosts: [String] = ["127.0.0.1", "localhost"]) throws -> CertificatePair {
    try Certificates.issue(kind: kind, name: name, hosts: hosts, days: 2, authority: authority)
  }

  func server(_ pair: CertificatePair, asks: TestAuthority? = nil) -> HTTPServer.Configuration.TLS {
    var tls = HTTPServer.Configuration.TLS(
      certificatePEM: pair.certificatePEM, keyPEM: pair.keyPEM, clientCAPEM: asks?.authority.certificatePEM)
    tls.requiresClientCertificate = false
    return tls
  }

  func client(showing pair: CertificatePair? = nil, alsoTrusting other: TestAuthority? = nil) -> HTTPClient {
    var configuration = HTTPClient.Configuration()
    configuration.caPEM = authority.certificatePEM + (other?.authority.certificatePEM ?? [])
    configuration.clientCertificatePEM = pair?.certificatePEM
    configuration.clientKeyPEM = pair?.keyPEM
    return HTTPClient(configuration: configuration)
  }
}

@Suite("TLS between daemons", .serialized)
struct TLSTests {
  private func withServer(
    _ tls: HTTPServer.Configuration.TLS, _ router: HTTPRouter, _ body: (HTTPServer, String) async throws -> Void
  ) async throws {
    var configuration = HTTPServer.Configuration()
    configuration.tls = tls
    let server = HTTPServer(configuration: configuration, router: router)
    try server.start()
    do { try await body(server, "https://127.0.0.1:\(server.port)") } catch {
      await server.shutdown(grace: .zero)
      throw error
    }
    await server.shutdown(grace: .seconds(1))
  }

  /// Answers who asks.
  private var mirror: HTTPRouter {
    var router = HTTPRouter()
    router.add(.get, "/who") { head, _ in HTTPResponse(status: 200, body: .bytes(Array("\(head.peer)".utf8))) }
    return router
  }

  private func who(_ client: HTTPClient, _ base: String) async throws -> String {
    let response = try await client.send(HTTPClientRequest(method: .get, url: base + "/who"))
    return String(decoding: response.bytes, as: UTF8.self)
  }

  /// The same, or why there is no answer.
  private func answer(_ client: HTTPClient, _ base: String) async -> String {
    do { return try await who(client, base) } catch { return "\(error)" }
  }

  @Test("a server knows who asks from a certificate of its authority, and nobody from any other or none")
  func identity() async throws {
    let (ours, theirs) = (try TestAuthority(), try TestAuthority())
    try await withServer(ours.server(try ours.issue("coordinator", "c"), asks: ours), mirror) { _, base in
      let cases: [(CertificatePair?, String)] = [
        (try ours.issue("node", "node-1"), "certificate(kind: \"node\", name: \"node-1\")"),
        (try ours.issue("gateway", "g"), "certificate(kind: \"gateway\", name: \"g\")"), (nil, "stranger"),
        (try theirs.issue("node", "node-1"), "stranger"),
      ]
      for (pair, expected) in cases {
        let client = ours.client(showing: pair)
        for _ in 0..<2 { #expect(try await who(client, base) == expected) }
        client.shutdown()
      }
    }
    try await withServer(ours.server(try ours.issue("gateway", "g")), mirror) { _, base in
      let client = ours.client(showing: try ours.issue("node", "node-1"))
      #expect(try await who(client, base) == "unasked")
      client.shutdown()
    }
  }

  @Test("a client takes no server of another authority, and none that was issued for another host")
  func pinning() async throws {
    let (ours, theirs) = (try TestAuthority(), try TestAuthority())
    try await withServer(ours.server(try ours.issue("node", "n")), mirror) { _, base in
      let stranger = theirs.client()
      await #expect { try await who(stranger, base) } throws: { ($0 as? HTTPClientError)?.code == .tls }
      stranger.shutdown()
    }
    try await withServer(ours.server(try ours.issue("node", "n", hosts: ["10.1.2.3"])), mirror) { _, base in
      let client = ours.client()
      await #expect { try await who(client, base) } throws: { ($0 as? HTTPClientError)?.code == .tls }
      client.shutdown()
    }
  }

  @Test("certificates and the authority itself are replaced while requests go on: open connections stay, new ones see the new one")
  func rotation() async throws {
    let (old, new) = (try TestAuthority(), try TestAuthority())
    try await withServer(old.server(try old.issue("node", "n")), mirror) { server, base in
      let (before, busy, both) = (old.client(), old.client(), old.client(alsoTrusting: new))
      #expect(await answer(before, base) == "unasked")
      #expect(await answer(busy, base) == "unasked")
      let traffic = Task { [busy] in
        var count = 0
        while !Task.isCancelled {
          if await answer(busy, base) == "unasked" { count += 1 } else if !Task.isCancelled { return 0 }
        }
        return count
      }
      try server.replaceTLS(new.server(try new.issue("node", "n")))
      let after = new.client()
      #expect(await answer(after, base) == "unasked")
      #expect(await answer(both, base) == "unasked")
      #expect(await answer(before, base) == "unasked", "on the connection that it has")
      traffic.cancel()
      #expect(await traffic.value > 0)
      let late = old.client()
      await #expect { try await who(late, base) } throws: { ($0 as? HTTPClientError)?.code == .tls }
      late.replaceTLS(caPEM: new.authority.certificatePEM, certificatePEM: nil, keyPEM: nil)
      #expect(await answer(late, base) == "unasked")
      #expect(throws: HTTPServerError.self) {
        try server.replaceTLS(HTTPServer.Configuration.TLS(certificatePEM: Array("no".utf8), keyPEM: Array("no".utf8)))
      }
      #expect(await answer(after, base) == "unasked")
      for client in [before, busy, both, after, late] { client.shutdown() }
    }
  }

  @Test("the coordinator takes a daemon's token only beside that daemon's own certificate; an operator's token needs none")
  func controlDoor() async throws {
    let (ours, theirs) = (try TestAuthority(), try TestAuthority())
    let secret = ClusterSecret.generate()
    let dispatcher = ControlDispatcher()
    dispatcher.register(ClusterOperations.GetView.self) { _, _ async throws(Problem) in throw Problem(.unavailable, "") }
    dispatcher.register(ClusterOperations.GetDataKeyTicket.self) { _, _ async throws(Problem) in throw Problem(.unavailable, "") }
    dispatcher.register(OperatorOperations.GetStatus.self) { _, _ async throws(Problem) in throw Problem(.unavailable, "") }
    var router = HTTPRouter()
    ControlRoutes(dispatcher: dispatcher, verifier: ServiceTokenVerifier(root: secret.controlRoot), logger: .none).add(to: &router)
    let root = secret.controlRoot
    let node = root.token(.node(NodeID("node-1")!))
    let (gateway, op) = (root.token(.gateway("g")), root.token(.op("ada")))
    let own = try ours.issue("node", "node-1")
    let cases: [(String, CertificatePair?, String, Int)] = [
      (node, own, "get-data-key-ticket", 400), (node, nil, "get-data-key-ticket", 403),
      (node, try ours.issue("node", "node-2"), "get-data-key-ticket", 403),
      (node, try ours.issue("gateway", "node-1"), "get-data-key-ticket", 403),
      (node, try theirs.issue("node", "node-1"), "get-data-key-ticket", 403),
      (gateway, try ours.issue("gateway", "g"), "get-view", 400), (gateway, own, "get-view", 403), (gateway, nil, "get-view", 403),
      (op, nil, "get-status", 400), (op, own, "get-status", 400),
    ]
    try await withServer(ours.server(try ours.issue("coordinator", "c"), asks: ours), router) { _, base in
      for (index, (token, pair, name, expected)) in cases.enumerated() {
        let client = ours.client(showing: pair)
        let response = try await client.send(
          HTTPClientRequest(
            method: .post, url: "\(base)/v1/control/\(name)", headers: ["Authorization": "Bearer \(token)"], body: .bytes(Array("{".utf8)))
        )
        #expect(response.status == expected, "case \(index)")
        client.shutdown()
      }
    }
  }

  @Test("a certificate's end can be read, and one that does not fit its authority, or has no hosts, is not made")
  func makingThem() throws {
    let (ours, theirs) = (try TestAuthority(), try TestAuthority())
    let pair = try ours.issue("node", "n")
    let left = try #require(Certificates.secondsLeft(pair.certificatePEM))
    #expect((2 * 86_400 - 120...2 * 86_400).contains(left))
    #expect(Certificates.secondsLeft(Array("nothing".utf8)) == nil)
    let mixed = CertificatePair(certificatePEM: ours.authority.certificatePEM, keyPEM: theirs.authority.keyPEM)
    #expect(throws: CryptoError.self) { try Certificates.issue(kind: "node", name: "n", hosts: ["a"], days: 1, authority: mixed) }
    for hosts in [[], [""], ["a,DNS:b"], ["a b"], ["é"]] {
      #expect(throws: CryptoError.self) {
        try Certificates.issue(kind: "node", name: "n", hosts: hosts, days: 1, authority: ours.authority)
      }
    }
  }

  @Test(
    "plain HTTP is for this machine alone",
    arguments: [
      ("http://127.0.0.1:1", true), ("http://localhost:1", true), ("http://[::1]:1", true), ("https://10.0.0.1", true),
      ("http://10.0.0.1", false), ("http://localhost.example", false), ("http://example.org/127.", false),
      ("http://127.example.org", false), ("http://127.0.0.1.example.org", false), ("http://localhost:x@example.org/", false),
      ("http://127.0.0.1:80@example.org/", false), ("HTTP://10.0.0.1", false), ("HTTP://LOCALHOST:8", true), ("http://127.0.0.1?x", true),
      ("http://example.org#@127.0.0.1", false), ("http://example.org\\@127.0.0.1", false), ("127.0.0.1:80", false),
      ("ftp://127.0.0.1", false),
      ("http://127.1", false), ("http://0127.0.0.1", false), ("http://[::1]", true), ("http://[::2]:1", false), ("", false),
    ])
  func plain(url: String, mayReach: Bool) {
    #expect(PlainHTTP.mayReach(url) == mayReach)
  }
}
