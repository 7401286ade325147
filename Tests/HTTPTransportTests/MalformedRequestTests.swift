import BlockModel
import HTTPTransport
import Platform
import TestSupport
import Testing

@Suite("what no HTTP client would send")
struct MalformedRequestTests {
  private static func addRoutes(_ router: inout HTTPRouter) {
    router.add(.get, "/", inline: { _ in HTTPResponse(status: 200, body: .bytes(Array("ok".utf8))) }) { _, _ in HTTPResponse(status: 500) }
    router.add(.get, "/slow") { _, _ in
      try? await Task.sleep(for: .milliseconds(20))
      return HTTPResponse(status: 200, body: .bytes(Array("slow".utf8)))
    }
    router.add(.put, "/block", maxBodyBytes: 1 << 20) { _, body in
      let buffer = IOBuffer(capacity: 1 << 20)
      body.receive(into: buffer, placement: .contiguous, limit: 1 << 20)
      var (count, ended) = (0, false)
      while !ended {
        guard let next = try? await body.received(beyond: count) else { return HTTPResponse(status: 500) }
        (count, ended) = next
      }
      return HTTPResponse(status: 201, body: .bytes(Array("\(count)".utf8)))
    }
    router.add(.post, "/chunked", allowsChunked: true) { _, body in
      do throws(HTTPBodyError) {
        return HTTPResponse(status: 200, body: .bytes(try await body.collect(limit: 100_000)))
      } catch {
        return HTTPResponse(status: error == .tooLarge ? 413 : 400)
      }
    }
  }

  /// Sends `text` on a connection of its own and reads until the server closes.
  private static func exchange(_ text: String, at server: HTTPServer) async throws -> RawResponse? {
    let port = server.port
    return try await blocking {
      let socket = try RawSocket(port: port)
      try? socket.send(text)
      return socket.receiveResponse()
    }
  }

  @Test(
    "a malformed request is answered 400 and the server goes on",
    arguments: [
      "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a\u{0}b HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /?q=%ff HTTP/1.1\r\nHost: h\r\n\r\n", "GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nno colon here\r\n\r\n",
      "PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: ten\r\n\r\n",
      "PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
      "PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "PUT /block HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nabc",
      "PUT /block HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "POST /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "GET / HTTP/x.y\r\nHost: h\r\n\r\n",
      "POST /chunked HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ])
  func malformed(text: String) async throws {
    try await withServer(routes: Self.addRoutes) { server in
      let response = try #require(try await Self.exchange(text, at: server))
      #expect(response.status == 400, "\(text.debugDescription)")
      let healthy = try await Self.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n", at: server)
      #expect(healthy?.body == "ok")
    }
  }

  @Test(
    "absurd heads are refused",
    arguments: [
      ("GET / HTTP/1.1\r\nHost: h\r\nX: \(String(repeating: "a", count: 17_000))\r\n\r\n", [431]),
      ("GET /?\(String(repeating: "a", count: 17_000)) HTTP/1.1\r\nHost: h\r\n\r\n", [431, 414]),
      ("GET / HTTP/1.1\r\nHost: h\r\n" + (0..<3000).map { "X-\($0): 1\r\n" }.joined() + "\r\n", [431]),
      ("GET / HTTP/1.1\r\nHost: h\r\nX: \(String(repeating: "a", count: 300_000))\r\n\r\n", [431]),
      ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", [505]), ("GET / HTTP/0.9\r\nHost: h\r\n\r\n", [505]),
      ("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", [413, 400]),
      ("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n", [413]),
    ])
  func absurd(text: String, statuses: [Int]) async throws {
    try await withServer(routes: Self.addRoutes) { server in
      let response = try #require(try await Self.exchange(text, at: server))
      #expect(statuses.contains(response.status), "\(response.status)")
    }
  }

  @Test("random garbage neither stops the server nor is answered with success")
  func garbage() async throws {
    let seed = Seeds.next()
    try await withServer {
      $0.minimumRateGrace = .milliseconds(200)
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      let port = server.port
      try await blocking {
        var random = SeededRandom(seed: seed)
        for round in 0..<150 {
          var text = Array("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: x\r\n\r\nabcde".utf8)
          for _ in 0..<Int.random(in: 1..<30, using: &random) {
            text[Int.random(in: 0..<text.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
          }
          let socket = try RawSocket(port: port, seconds: 10)
          try? socket.send(text)
          socket.shutdownSending()
          let answer = socket.receiveToEnd()
          #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 "), "seed \(seed) round \(round): \(answer.prefix(80).debugDescription)")
        }
      }
      let healthy = try await Self.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n", at: server)
      #expect(healthy?.body == "ok")
      try await eventually("all connections are gone") { server.counters.activeConnections == 0 }
      #expect(server.counters.activeRequests == 0)
    }
  }

  @Test("requests sent in one go are answered in order")
  func pipelined() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      let port = server.port
      let answers = try await blocking {
        let socket = try RawSocket(port: port)
        let put = "PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde"
        let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        let slow = "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"
        try socket.send(get + slow + put + slow + get)
        return (0..<5).map { _ in socket.receiveResponse()?.body }
      }
      #expect(answers == ["ok", "slow", "5", "slow", "ok"])
    }
  }

  @Test("a short body is never a body", arguments: [10, 100_000])
  func shortBody(declared: Int) async throws {
    let failures = Shared<[HTTPBodyError]>([])
    let finished = Shared(0)
    try await withServer { _ in
    } routes: { router in
      router.add(.put, "/block", maxBodyBytes: 1 << 20) { _, body in
        let buffer = IOBuffer(capacity: 1 << 20)
        body.receive(into: buffer, placement: .contiguous, limit: 1 << 20)
        do throws(HTTPBodyError) {
          var (count, ended) = (0, false)
          while !ended { (count, ended) = try await body.received(beyond: count) }
          finished.change { $0 += 1 }
        } catch {
          failures.change { $0.append(error) }
        }
        return HTTPResponse(status: 201)
      }
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: \(declared)\r\n\r\n")
        try socket.send([UInt8](repeating: 7, count: declared - 1))
      }
      try await eventually("the request is over") { server.counters.activeRequests == 0 }
      // A small body is gathered before the handler starts, so a short one never reaches it.
      if declared > 32 << 10 { try await eventually("the handler was told") { failures.now == [.incomplete] } }
      #expect(finished.now == 0)
    }
  }

  @Test("a body that is too long for the reader is refused, and so is a chunked one")
  func tooLong() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      let declared = try await Self.exchange(
        "PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n" + String(repeating: "a", count: 1_048_577), at: server)
      #expect(declared?.status == 413)
      let chunk = String(repeating: "a", count: 0x8000)
      let chunked = try await Self.exchange(
        "POST /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + String(repeating: "8000\r\n\(chunk)\r\n", count: 8)
          + "0\r\n\r\n", at: server)
      #expect(chunked?.status == 413)
      let unwanted = try await Self.exchange(
        "PUT /block HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", at: server)
      #expect(unwanted?.status == 411)
    }
  }

  @Test("a chunked body is taken apart where a route allows it, extensions and trailers apart")
  func chunked() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      let response = try await Self.exchange(
        "POST /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nTrailer: 1\r\n\r\n",
        at: server)
      #expect(response?.status == 200)
      #expect(response?.body == "abcdefgh")
    }
  }
}
