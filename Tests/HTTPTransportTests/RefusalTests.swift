import HTTPTransport
import Platform
import TestSupport
import Testing

@Suite("refusals and limits")
struct RefusalTests {
  private static let forbidden: HTTPGate = { _ in
    .problem(status: 403, type: "forbidden", title: "Forbidden", detail: "The signature does not match.")
  }
  private static let neverAsked: HTTPHandler = { _, _ in
    Issue.record("a refused request reached the handler")
    return HTTPResponse(status: 500)
  }

  @Test("a client that waits for 100-continue is refused without sending its body")
  func continueRefused() async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.put, "/block", maxBodyBytes: 4 << 20, gate: Self.forbidden, handler: Self.neverAsked)
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\nExpect: 100-continue\r\n\r\n")
        let response = try #require(socket.receiveResponse())
        #expect(response.status == 403)
        #expect(socket.isClosed)
      }
    }
  }

  @Test("a client that waits for 100-continue is told to go on")
  func continueAccepted() async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.put, "/block", maxBodyBytes: 4 << 20) { _, body in
        HTTPResponse(status: (try? await body.collect(limit: 100))?.count == 5 ? 201 : 500)
      }
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        #expect(socket.receiveResponse()?.status == 100)
        try socket.send("hello")
        #expect(socket.receiveResponse()?.status == 201)
      }
    }
  }

  @Test(
    "a refusal reaches a client that writes its whole body before it reads, and one that did not wait for 100-continue",
    arguments: [
      ("", 1000), ("", 4 << 20), ("Expect: 100-continue\r\n", 4 << 20), ("Expect: 100-continue\r\n", 1000), ("", 5 << 20),
    ])
  func refusalIsSeen(header: String, size: Int) async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.put, "/block", maxBodyBytes: 8 << 20, gate: Self.forbidden, handler: Self.neverAsked)
    } body: { server in
      let port = server.port
      for _ in 0..<5 {
        try await blocking {
          let socket = try RawSocket(port: port)
          try socket.send("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: \(size)\r\n\(header)\r\n")
          try socket.send([UInt8](repeating: 1, count: size))
          var response = socket.receiveResponse()
          if response?.status == 100 { response = socket.receiveResponse() }
          #expect(response?.status == 403)
        }
      }
    }
  }

  @Test("a body over a route's limit is 413 for the client that sends it all the same", arguments: [1 << 20, 30 << 20])
  func tooLarge(size: Int) async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.post, "/document", maxBodyBytes: 1000, handler: Self.neverAsked)
    } body: { server in
      try await withClient { client in
        let source = UploadSource(buffer: IOBuffer(capacity: size), length: size, ready: size)
        let response = try await client.send(HTTPClientRequest(method: .post, url: server.base + "/document", body: .buffer(source)))
        #expect(response.status == 413)
      }
    }
  }

  @Test("a refused connection serves the next request when the body was read to its end")
  func keepsConnection() async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.put, "/no", gate: Self.forbidden, handler: Self.neverAsked)
      router.add(.put, "/early") { _, _ in HTTPResponse(status: 409) }
      router.add(.get, "/yes") { _, _ in HTTPResponse(status: 200) }
    } body: { server in
      try await withClient { client in
        for path in ["/no", "/early"] {
          let source = UploadSource(buffer: IOBuffer(capacity: 500_000), length: 500_000, ready: 500_000)
          let refused = try await client.send(HTTPClientRequest(method: .put, url: server.base + path, body: .buffer(source)))
          #expect(refused.status == (path == "/no" ? 403 : 409))
        }
        #expect(try await client.send(HTTPClientRequest(method: .get, url: server.base + "/yes")).status == 200)
      }
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        for path in ["/no", "/early"] {
          try socket.send("PUT \(path) HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
          try socket.send([UInt8](repeating: 1, count: 200_000))
          #expect(socket.receiveResponse()?.status == (path == "/no" ? 403 : 409))
        }
        try socket.send("GET /yes HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(socket.receiveResponse()?.status == 200)
      }
    }
  }

  @Test("a refusal while the upload waits for bytes reaches the sender")
  func refusalWhilePaused() async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.put, "/block", maxBodyBytes: 100, handler: Self.neverAsked)
    } body: { server in
      try await withClient { client in
        // Beyond the drain limit, so the refusal comes at once, and the rest of the body never.
        let source = UploadSource(buffer: IOBuffer(capacity: 8 << 20), length: 8 << 20, ready: 10)
        let response = try await client.send(HTTPClientRequest(method: .put, url: server.base + "/block", body: .buffer(source)))
        #expect(response.status == 413)
      }
    }
  }

  @Test("connections above the limit are told 503 and when to come back, and the served ones go on", arguments: [false, true])
  func connectionLimit(perAddress: Bool) async throws {
    try await withServer {
      if perAddress { $0.perAddressLimit = 3 } else { $0.connectionLimit = 3 }
    } routes: { router in
      router.add(.get, "/", inline: { _ in HTTPResponse(status: 200) }) { _, _ in HTTPResponse(status: 500) }
    } body: { server in
      let port = server.port
      try await blocking {
        let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        var served: [RawSocket] = []
        for _ in 0..<3 {
          let socket = try RawSocket(port: port)
          try socket.send(get)
          #expect(socket.receiveResponse()?.status == 200)
          served.append(socket)
        }
        for _ in 0..<5 {
          let socket = try RawSocket(port: port)
          try socket.send(get)
          let response = try #require(socket.receiveResponse())
          #expect(response.status == 503)
          #expect(response.head.contains("Retry-After: 1"))
          #expect(socket.isClosed)
        }
        for socket in served {
          try socket.send(get)
          #expect(socket.receiveResponse()?.status == 200)
        }
      }
      #expect(server.counters.refusedConnections == 5)
      try await eventually("the places are free again") { server.counters.activeConnections == 0 }
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(socket.receiveResponse()?.status == 200)
      }
    }
  }

  @Test("a port in use is a clear error")
  func portInUse() async throws {
    try await withServer { _ in
    } routes: { _ in
    } body: { server in
      var configuration = HTTPServer.Configuration()
      configuration.port = server.port
      let second = HTTPServer(configuration: configuration, router: HTTPRouter())
      let error = #expect(throws: HTTPServerError.self) { try second.start() }
      #expect(error?.code == .addressInUse)
      #expect(error?.message.contains("\(server.port)") == true)
    }
  }

  @Test("an address that is none is refused", arguments: ["localhost", "300.1.1.1", ""])
  func invalidAddress(address: String) {
    var configuration = HTTPServer.Configuration()
    configuration.address = address
    let error = #expect(throws: HTTPServerError.self) { try HTTPServer(configuration: configuration, router: HTTPRouter()).start() }
    #expect(error?.code == .invalidAddress)
  }
}
