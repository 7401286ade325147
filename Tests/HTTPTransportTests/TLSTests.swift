import HTTPTransport
import Platform
import Testing

@Suite("TLS")
struct TLSTests {
  private static func addRoutes(_ router: inout HTTPRouter) {
    router.add(.get, "/", inline: { _ in HTTPResponse(status: 200, body: .bytes(Array("ok".utf8))) }) { _, _ in HTTPResponse(status: 500) }
    router.add(.put, "/echo", maxBodyBytes: 8 << 20) { _, body in
      let buffer = IOBuffer(capacity: 8 << 20)
      body.receive(into: buffer, placement: .contiguous, limit: 8 << 20)
      var (count, ended) = (0, false)
      while !ended {
        guard let next = try? await body.received(beyond: count) else { return HTTPResponse(status: 500) }
        (count, ended) = next
      }
      return HTTPResponse(status: 200, body: .buffer(buffer, range: 0..<count))
    }
    router.add(.put, "/late", maxBodyBytes: 8 << 20) { _, body in
      try? await Task.sleep(for: .milliseconds(100))
      return HTTPResponse(status: (try? await body.collect(limit: 8 << 20))?.count == 3_000_000 ? 200 : 500)
    }
    router.add(.put, "/no", maxBodyBytes: 8 << 20, gate: { _ in HTTPResponse(status: 403) }) { _, _ in HTTPResponse(status: 500) }
  }

  @Test("blocks go both ways over TLS with a pinned CA", arguments: [1, 20_000, 4 << 20])
  func roundTrip(size: Int) async throws {
    let certificates = try await TestCertificates.shared()
    let sent = pattern(size)
    try await withServer {
      $0.tls = certificates.server
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      try await withClient {
        $0.caPEM = certificates.ca
      } body: { client in
        for _ in 0..<3 {
          let target = IOBuffer(capacity: 8 << 20)
          let source = UploadSource(buffer: filled(sent), length: size, ready: size)
          let response = try await client.send(
            HTTPClientRequest(method: .put, url: server.base + "/echo", body: .buffer(source), responseBuffer: target))
          #expect(response.status == 200)
          #expect(target.bytes(0..<response.count).elementsEqual(sent))
        }
      }
      #expect(server.counters.acceptedConnections == 1)
    }
  }

  @Test("a body that waited for its reader arrives over TLS")
  func late() async throws {
    let certificates = try await TestCertificates.shared()
    try await withServer {
      $0.tls = certificates.server
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      try await withClient {
        $0.caPEM = certificates.ca
      } body: { client in
        let response = try await client.send(HTTPClientRequest(method: .put, url: server.base + "/late", body: .bytes(pattern(3_000_000))))
        #expect(response.status == 200)
      }
    }
  }

  @Test("a refusal is seen over TLS, drained or at once", arguments: ["", "100-continue"])
  func refusal(expect: String) async throws {
    let certificates = try await TestCertificates.shared()
    try await withServer {
      $0.tls = certificates.server
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      try await withClient {
        $0.caPEM = certificates.ca
      } body: { client in
        for _ in 0..<5 {
          let response = try await client.send(
            HTTPClientRequest(
              method: .put, url: server.base + "/no", headers: expect.isEmpty ? [:] : ["Expect": expect], body: .bytes(pattern(4 << 20))))
          #expect(response.status == 403)
        }
      }
    }
  }

  @Test("a server of another CA is not trusted, and neither is one by the machine's own CAs", arguments: [true, false])
  func wrongCA(pinned: Bool) async throws {
    let certificates = try await TestCertificates.shared()
    let other = try await TestCertificates.other()
    try await withServer {
      $0.tls = certificates.server
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      try await withClient {
        $0.caPEM = pinned ? other.ca : nil
      } body: { client in
        let error = await #expect(throws: HTTPClientError.self) {
          try await client.send(HTTPClientRequest(method: .get, url: server.base + "/"))
        }
        #expect(error?.code == .tls)
      }
      #expect(server.counters.requests == 0)
    }
  }

  @Test("a client needs a certificate where the server asks for one")
  func clientCertificate() async throws {
    let certificates = try await TestCertificates.shared()
    let other = try await TestCertificates.other()
    try await withServer {
      $0.tls = certificates.server
      $0.tls?.clientCAPEM = certificates.ca
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      for (certificate, key, status) in [
        (certificates.clientCertificate, certificates.clientKey, 200), (nil, nil, 403), (other.clientCertificate, other.clientKey, 403),
      ] as [([UInt8]?, [UInt8]?, Int)] {
        try await withClient {
          $0.caPEM = certificates.ca
          $0.clientCertificatePEM = certificate
          $0.clientKeyPEM = key
        } body: { client in
          try await expectStatus(status, try await client.send(HTTPClientRequest(method: .get, url: server.base + "/")))
        }
      }
    }
  }

  @Test("a certificate that cannot be used is a clear error")
  func badCertificate() async throws {
    let certificates = try await TestCertificates.shared()
    let other = try await TestCertificates.other()
    for tls in [
      HTTPServer.Configuration.TLS(certificatePEM: Array("nonsense".utf8), keyPEM: certificates.server.keyPEM),
      HTTPServer.Configuration.TLS(certificatePEM: certificates.server.certificatePEM, keyPEM: other.server.keyPEM),
    ] {
      var configuration = HTTPServer.Configuration()
      configuration.tls = tls
      let error = #expect(throws: HTTPServerError.self) { try HTTPServer(configuration: configuration, router: HTTPRouter()).start() }
      #expect(error?.code == .invalidCertificate)
    }
  }

  @Test("plain text on a TLS port costs the one connection only")
  func plainText() async throws {
    let certificates = try await TestCertificates.shared()
    try await withServer {
      $0.tls = certificates.server
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        _ = socket.receiveToEnd()
      }
      try await withClient {
        $0.caPEM = certificates.ca
      } body: { client in
        try await expectStatus(200, try await client.send(HTTPClientRequest(method: .get, url: server.base + "/")))
      }
    }
  }
}
