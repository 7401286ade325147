import BlockModel
import Chaos
import HTTPTransport
import Platform
import TestSupport
import Testing

@Suite("The proxy between processes") struct LinkProxyTests {
  /// A server behind a proxy, and a client that calls from an address of its own.
  private struct Link {
    let proxy: LinkProxy
    let server: HTTPServer
    let client: HTTPClient
    let url: String

    func get(_ path: String, within patience: Duration = .seconds(20)) async throws(HTTPClientError) -> Int {
      let request = HTTPClientRequest(method: .get, url: url + path, deadline: patience)
      return try await client.send(request).count
    }

    func put(_ bytes: [UInt8]) async throws(HTTPClientError) -> [UInt8] {
      try await client.send(HTTPClientRequest(method: .put, url: url + "/echo", body: .bytes(bytes))).bytes
    }

    func stop() async {
      client.shutdown()
      await server.shutdown(grace: .zero)
      proxy.stop()
    }
  }

  private static func link() async throws -> Link {
    var router = HTTPRouter()
    router.add(.get, "/", inline: { _ in HTTPResponse(status: 200, body: .bytes([1, 2, 3])) }) { _, _ in HTTPResponse(status: 500) }
    router.add(.put, "/echo", maxBodyBytes: 8 << 20) { _, body in
      guard let bytes = try? await body.collect(limit: 8 << 20) else { return HTTPResponse(status: 500) }
      return HTTPResponse(status: 200, body: .bytes(bytes))
    }
    var configuration = HTTPServer.Configuration()
    configuration.address = "127.0.0.1"
    configuration.port = 0
    let server = HTTPServer(configuration: configuration, router: router)
    try server.start()
    var settings = HTTPClient.Configuration()
    settings.sourceAddress = "127.0.7.1"
    let advertised = FreePort.next()
    let parties = [
      LinkProxy.Party(name: "server", advertised: advertised, actual: server.port, source: "127.0.7.2"),
      LinkProxy.Party(name: "client", advertised: FreePort.next(), actual: 9, source: "127.0.7.1"),
    ]
    let proxy = LinkProxy(parties, seed: 1)
    try proxy.start()
    return Link(proxy: proxy, server: server, client: HTTPClient(configuration: settings), url: "http://127.0.0.1:\(advertised)")
  }

  @Test("a whole link carries large bodies unchanged, a slow and lossy one too")
  func carries() async throws {
    let link = try await Self.link()
    var random = Seeds.random()
    let bytes = (0..<3_000_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    #expect(try await link.put(bytes) == bytes)
    link.proxy.change { $0.add("slow", from: ["client"], to: ["server"], .init(delay: 0.001...0.01, loss: 0.05)) }
    #expect(try await link.put(Array(bytes.prefix(400_000))) == Array(bytes.prefix(400_000)))
    await link.stop()
  }

  @Test("a cut link answers nothing, on an open connection neither, and goes on when it is whole again")
  func cuts() async throws {
    let link = try await Self.link()
    #expect(try await link.get("/") == 3)
    link.proxy.change { $0.add("split", from: ["client"], to: ["server"], .init(isCut: true)) }
    // Longer than the proxy needs to see the rule.
    try await Task.sleep(for: .milliseconds(200))
    let failure = await #expect(throws: HTTPClientError.self) { try await link.get("/", within: .milliseconds(500)) }
    #expect(failure?.code == .timedOut)
    async let waiting = link.get("/")
    try await Task.sleep(for: .milliseconds(300))
    link.proxy.change { $0.remove("split") }
    #expect(try await waiting == 3, "what was held back arrives")
    await link.stop()
  }

  @Test("a cut in the other direction, or between others, is no cut")
  func otherWay() async throws {
    let link = try await Self.link()
    link.proxy.change { rules in
      rules.add("split", from: ["server"], to: ["client"], .init(isCut: true))
      rules.add("split", from: [LinkProxy.outside], to: ["server"], .init(isCut: true))
    }
    #expect(try await link.get("/") == 3)
    await link.stop()
  }

  @Test("a server that is gone is seen as a broken connection")
  func gone() async throws {
    let link = try await Self.link()
    await link.server.shutdown(grace: .zero)
    await #expect(throws: HTTPClientError.self) { try await link.get("/") }
    await link.stop()
  }
}
