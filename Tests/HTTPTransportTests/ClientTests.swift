import BlockModel
import HTTPTransport
import Platform
import TestSupport
import Testing

@Suite("the client")
struct ClientTests {
  private static func addRoutes(_ router: inout HTTPRouter) {
    router.add(.get, "/", inline: { _ in HTTPResponse(status: 200, body: .bytes(Array("ok".utf8))) }) { _, _ in HTTPResponse(status: 500) }
    router.add(.get, "/never") { _, _ in
      try? await Task.sleep(for: .seconds(60))
      return HTTPResponse(status: 200)
    }
    router.add(.get, "/moved") { _, _ in HTTPResponse(status: 307, headers: ["Location": "/"]) }
    router.add(.get, "/large") { _, _ in HTTPResponse(status: 200, body: .bytes([UInt8](repeating: 1, count: 100_000))) }
    router.add(.get, "/missing") { _, _ in
      .problem(status: 404, type: "not-found", title: "Not found", detail: "No such block.")
    }
    router.add(.get, "/endless") { _, _ in
      HTTPResponse(status: 200, headers: ["X-Kind": "endless"], body: .stream(length: nil) { .bytes([UInt8](repeating: 1, count: 1000)) })
    }
    router.add(.get, "/stalls") { _, _ in
      let count = Shared(0)
      return HTTPResponse(
        status: 200,
        body: .stream(length: 10_000) {
          count.change { $0 += 1 }
          if count.now > 1 { try await Task.sleep(for: .seconds(60)) }
          return .bytes([UInt8](repeating: 1, count: 1000))
        })
    }
    router.add(.put, "/count", maxBodyBytes: 4 << 20) { _, body in
      let buffer = IOBuffer(capacity: 4 << 20)
      body.receive(into: buffer, placement: .contiguous, limit: 4 << 20)
      var (count, ended) = (0, false)
      do {
        while !ended { (count, ended) = try await body.received(beyond: count) }
      } catch {
        return HTTPResponse(status: 400)
      }
      return HTTPResponse(status: 200, body: .buffer(buffer, range: 0..<count))
    }
  }

  private static func code(_ body: () async throws -> Void) async -> HTTPClientError.Code? {
    do {
      try await body()
      return nil
    } catch {
      return (error as? HTTPClientError)?.code
    }
  }

  @Test("a deadline ends a request that takes longer")
  func deadline() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let code = await Self.code {
          _ = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/never", deadline: .milliseconds(200)))
        }
        #expect(code == .timedOut)
      }
    }
  }

  @Test("a response that stops coming is a stall")
  func stall() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let code = await Self.code {
          _ = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/stalls", stallTimeout: .milliseconds(300)))
        }
        #expect(code == .stalled)
      }
    }
  }

  @Test("cancelling the task ends its request and nobody else's")
  func cancellation() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let task = Task {
          await Self.code { _ = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/never")) }
        }
        try await eventually("the request is there") { server.counters.activeRequests == 1 }
        task.cancel()
        #expect(await task.value == .cancelled)
        try await expectStatus(200, try await client.send(HTTPClientRequest(method: .get, url: server.base + "/")))
        let before = Task {
          withUnsafeCurrentTask { $0?.cancel() }
          return await Self.code { _ = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/never")) }
        }
        #expect(await before.value == .cancelled)
      }
    }
  }

  @Test("shutting down fails what is under way and what comes later")
  func shutdown() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      let client = HTTPClient()
      async let code = Self.code { _ = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/never")) }
      try await eventually("the request is there") { server.counters.activeRequests == 1 }
      client.shutdown()
      #expect(await code == .shutDown)
      #expect(await Self.code { _ = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/")) } == .shutDown)
    }
  }

  @Test(
    "what cannot be sent is refused before it is",
    arguments: ["ftp://127.0.0.1/", "127.0.0.1/", "", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y"])
  func invalid(url: String) async throws {
    try await withClient { client in
      #expect(await Self.code { _ = try await client.send(HTTPClientRequest(method: .get, url: url)) } == .invalidURL)
      #expect(
        await Self.code {
          _ = try await client.send(HTTPClientRequest(method: .get, url: "http://127.0.0.1:1/", headers: ["X": "a\r\nY: b"]))
        } == .invalidURL)
    }
  }

  @Test("nobody there is cannotConnect, an unknown name cannotResolve")
  func nobody() async throws {
    try await withClient { client in
      let silent = SilentPort()
      let refused = await Self.code {
        _ = try await client.send(HTTPClientRequest(method: .get, url: "http://127.0.0.1:\(silent.number)/"))
      }
      #expect(refused == .cannotConnect)
      let unknown = await Self.code { _ = try await client.send(HTTPClientRequest(method: .get, url: "https://no-such-host.invalid/")) }
      #expect(unknown == .cannotResolve)
      withExtendedLifetime(silent) {}
    }
  }

  @Test(
    "nothing is sent in the clear to another machine",
    arguments: ["http://192.0.2.1/", "HTTP://example.org/", "http://127.0.0.1@192.0.2.1/"])
  func plainHTTP(url: String) async throws {
    try await withClient { client in
      let refused = await Self.code { _ = try await client.send(HTTPClientRequest(method: .get, url: url)) }
      #expect(refused == .plain)
    }
  }

  @Test("a redirect is handed over, not followed")
  func redirect() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let response = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/moved"))
        #expect(response.status == 307)
        #expect(response.headers["location"] == "/")
      }
    }
  }

  @Test("a response over the limit is given up", arguments: [true, false])
  func tooLarge(inBuffer: Bool) async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let code = await Self.code {
          _ = try await client.send(
            HTTPClientRequest(
              method: .get, url: server.base + "/large", responseBuffer: inBuffer ? IOBuffer(capacity: 99_999) : nil,
              responseLimit: inBuffer ? 1 << 20 : 99_999))
        }
        #expect(code == .responseTooLarge)
      }
    }
  }

  @Test("an error's document is collected although a buffer was given")
  func errorBesideBuffer() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let buffer = IOBuffer(capacity: 4096)
        let response = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/missing", responseBuffer: buffer))
        #expect(response.status == 404)
        #expect(String(decoding: response.bytes, as: UTF8.self).contains("No such block."))
      }
    }
  }

  @Test("a stream is read until its reader has enough")
  func stream() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let head = Shared<HTTPClientResponse?>(nil)
        let count = Shared(0)
        try await client.stream(HTTPClientRequest(method: .get, url: server.base + "/endless")) { response in
          head.change { $0 = response }
        } onBytes: { bytes in
          count.change { $0 += bytes.count }
          return count.now < 50_000
        }
        #expect(head.now?.headers["X-Kind"] == "endless")
        #expect(count.now >= 50_000)
      }
      try await eventually("the server stops") { server.counters.activeRequests == 0 }
    }
  }

  @Test("an upload goes on as its bytes get ready, and arrives as it was", arguments: [1, 7])
  func relay(step: Int) async throws {
    let seed = Seeds.next()
    let size = 2_000_000
    let bytes = pattern(size, seed: seed)
    let buffer = IOBuffer(capacity: size + 64)
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let source = UploadSource(buffer: buffer, start: 64, length: size)
        async let response = client.send(HTTPClientRequest(method: .put, url: server.base + "/count", body: .buffer(source)))
        var ready = 0
        var random = SeededRandom(seed: seed)
        while ready < size {
          let next = min(size, ready + Int.random(in: 1...(100_000 / step), using: &random))
          bytes[ready..<next].withUnsafeBytes { buffer.mutableBytes((64 + ready)..<(64 + next)).copyMemory(from: $0) }
          ready = next
          source.advance(to: ready)
          if Int.random(in: 0..<4, using: &random) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        }
        let answer = try await response
        #expect(answer.status == 200, "seed \(seed)")
        #expect(answer.bytes == bytes, "seed \(seed)")
      }
    }
  }

  @Test("an upload that is given up is no upload", arguments: [0, 100_000])
  func abort(ready: Int) async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let source = UploadSource(buffer: IOBuffer(capacity: 1 << 20), length: 1 << 20, ready: ready)
        async let code = Self.code {
          _ = try await client.send(HTTPClientRequest(method: .put, url: server.base + "/count", body: .buffer(source)))
        }
        try await eventually("the request is there") { server.counters.activeRequests == 1 }
        source.abort()
        #expect(await code == .uploadAborted)
        try await eventually("the server knows") { server.counters.activeRequests == 0 }
      }
    }
  }

  @Test("connections are kept and their number is bounded")
  func connections() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient {
        $0.connectionsPerHost = 4
        $0.threads = 2
      } body: { client in
        try await withThrowingTaskGroup(of: Void.self) { group in
          for _ in 0..<16 {
            group.addTask {
              for _ in 0..<25 {
                try await expectStatus(200, try await client.send(HTTPClientRequest(method: .get, url: server.base + "/")))
              }
            }
          }
          try await group.waitForAll()
        }
      }
      #expect(server.counters.requests == 400)
      #expect(server.counters.acceptedConnections <= 8)
    }
  }

  @Test("a kept connection that the server closed meanwhile is no error, and a restarted server gets its port back")
  func staleConnection() async throws {
    var configuration = patientConfiguration()
    var router = HTTPRouter()
    Self.addRoutes(&router)
    try await withClient { client in
      for _ in 0..<3 {
        let server = HTTPServer(configuration: configuration, router: router)
        try server.start()
        configuration.port = server.port
        let response = try await client.send(
          HTTPClientRequest(method: .put, url: server.base + "/count", body: .bytes(pattern(50_000))))
        #expect(response.status == 200)
        await server.shutdown(grace: .zero)
      }
    }
  }
}
