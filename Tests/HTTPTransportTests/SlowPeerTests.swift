import HTTPTransport
import Platform
import TestSupport
import Testing

@Suite("slow peers, and stopping")
struct SlowPeerTests {
  private static func impatient(_ configuration: inout HTTPServer.Configuration) {
    configuration.idleTimeout = .milliseconds(400)
    configuration.minimumRate = 100_000
    configuration.minimumRateGrace = .milliseconds(400)
  }

  private static func addRoutes(_ router: inout HTTPRouter) {
    router.add(.get, "/", inline: { _ in HTTPResponse(status: 200) }) { _, _ in HTTPResponse(status: 500) }
  }

  @Test(
    "a connection without a whole head is closed after the idle time",
    arguments: ["", "GET / HT", "GET / HTTP/1.1\r\nHost: h\r\nX: ", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"])
  func idle(text: String) async throws {
    try await withServer(Self.impatient, routes: Self.addRoutes) { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send(text)
        let began = ContinuousClock.now
        _ = socket.receiveToEnd()
        #expect(ContinuousClock.now - began < .seconds(10))
      }
      #expect(server.counters.timedOutConnections == 1)
    }
  }

  @Test("a head that trickles in is closed too")
  func trickle() async throws {
    try await withServer(Self.impatient, routes: Self.addRoutes) { server in
      let port = server.port
      let sent = try await blocking {
        let socket = try RawSocket(port: port)
        var sent = 0
        // One byte now and then keeps a naive idle timer from ever running out.
        for byte in Array("GET / HTTP/1.1\r\nHost: h\r\nX: ".utf8) + [UInt8](repeating: 97, count: 1000) {
          do { try socket.send([byte]) } catch { break }
          sent += 1
          sleepThread(milliseconds: 20)
        }
        return sent
      }
      #expect(sent < 1000)
    }
  }

  @Test("a body below the minimum rate ends with timedOut, and the connection closes")
  func slowBody() async throws {
    let ended = Shared<HTTPBodyError?>(nil)
    try await withServer(Self.impatient) { router in
      router.add(.put, "/block", maxBodyBytes: 1 << 20) { _, body in
        body.receive(into: IOBuffer(capacity: 1 << 20), placement: .contiguous, limit: 1 << 20)
        do throws(HTTPBodyError) {
          var (count, isAll) = (0, false)
          while !isAll { (count, isAll) = try await body.received(beyond: count) }
        } catch {
          ended.change { $0 = error }
        }
        return HTTPResponse(status: 408)
      }
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        for _ in 0..<1000 {
          do { try socket.send([1, 2, 3]) } catch { break }
          sleepThread(milliseconds: 20)
        }
        #expect(socket.isClosed)
      }
      try await eventually("the handler was told") { ended.now == .timedOut }
    }
  }

  @Test("a reader below the minimum rate loses its connection")
  func slowReader() async throws {
    let records = Shared<[HTTPExchangeRecord]>([])
    try await withServer {
      Self.impatient(&$0)
      $0.observer = { record in records.change { $0.append(record) } }
    } routes: { router in
      let buffer = IOBuffer(capacity: 32 << 20)
      router.add(.get, "/block") { _, _ in HTTPResponse(status: 200, body: .buffer(buffer, range: 0..<(32 << 20))) }
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port, receiveBuffer: 4096)
        try socket.send("GET /block HTTP/1.1\r\nHost: h\r\n\r\n")
        _ = socket.receive(100)
        let deadline = ContinuousClock.now + .seconds(10)
        while records.now.isEmpty, ContinuousClock.now < deadline { sleepThread(milliseconds: 10) }
      }
      #expect(records.now.first?.ending == .timedOut)
      #expect(records.now.first?.status == 200)
    }
  }

  @Test("a handler that takes its time is no slow peer")
  func slowHandler() async throws {
    try await withServer(Self.impatient) { router in
      router.add(.post, "/think") { _, body in
        let bytes = try? await body.collect(limit: 100_000)
        try? await Task.sleep(for: .milliseconds(1500))
        return HTTPResponse(status: bytes?.count == 50_000 ? 200 : 500)
      }
      router.add(.put, "/later") { _, body in
        try? await Task.sleep(for: .milliseconds(1500))
        let bytes = try? await body.collect(limit: 1 << 20)
        return HTTPResponse(status: bytes?.count == 1 << 20 ? 200 : 500)
      }
    } body: { server in
      try await withClient { client in
        let thought = try await client.send(
          HTTPClientRequest(method: .post, url: server.base + "/think", body: .bytes(pattern(50_000))))
        #expect(thought.status == 200)
        let later = try await client.send(HTTPClientRequest(method: .put, url: server.base + "/later", body: .bytes(pattern(1 << 20))))
        #expect(later.status == 200)
      }
    }
  }

  @Test("bytes that nobody takes stay out of the server's memory")
  func backPressure() async throws {
    let door = Door()
    try await withServer {
      $0.connectionMemoryBytes = 64 << 10
    } routes: { router in
      router.add(.put, "/block", maxBodyBytes: 64 << 20) { _, body in
        await door.pass()
        body.receive(into: IOBuffer(capacity: 64 << 20), placement: .contiguous, limit: 64 << 20)
        var (count, ended) = (0, false)
        while !ended {
          guard let next = try? await body.received(beyond: count) else { return HTTPResponse(status: 500) }
          (count, ended) = next
        }
        return HTTPResponse(status: 201)
      }
    } body: { server in
      let port = server.port
      let sent = Shared(0)
      async let status = blocking {
        let socket = try RawSocket(port: port)
        try socket.send("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: \(64 << 20)\r\n\r\n")
        for _ in 0..<1024 {
          try socket.send([UInt8](repeating: 1, count: 64 << 10))
          sent.change { $0 += 64 << 10 }
        }
        return socket.receiveResponse()?.status
      }
      // The sender comes to a stop when the two sockets' buffers are full; nothing of the body was counted as taken.
      var before = -1
      while sent.now != before || before == 0 {
        before = sent.now
        try await Task.sleep(for: .milliseconds(200))
      }
      #expect(before < 32 << 20)
      #expect(server.counters.bodyBytesIn == 0)
      door.open()
      #expect(try await status == 201)
    }
  }

  @Test("a stream is pulled no faster than its reader takes it")
  func streamBackPressure() async throws {
    let pulled = Shared(0)
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/endless") { _, _ in
        HTTPResponse(
          status: 200,
          body: .stream(length: nil) {
            pulled.change { $0 += 1 }
            return .bytes([UInt8](repeating: 1, count: 64 << 10))
          })
      }
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port, receiveBuffer: 64 << 10)
        try socket.send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
        _ = socket.receive(1)
        var before = -1
        while pulled.now != before {
          before = pulled.now
          sleepThread(milliseconds: 300)
        }
        #expect(before < 512)
      }
      try await eventually("the stream is let go") { server.counters.activeRequests == 0 }
    }
  }

  @Test("a client that leaves cancels the handler that works for it")
  func leaving() async throws {
    let cancelled = Shared(false)
    try await withServer(Self.impatient) { router in
      router.add(.get, "/wait") { _, _ in
        try? await Task.sleep(for: .seconds(60))
        cancelled.change { $0 = Task.isCancelled }
        return HTTPResponse(status: 200)
      }
    } body: { server in
      let port = server.port
      try await blocking {
        let socket = try RawSocket(port: port)
        try socket.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        sleepThread(milliseconds: 50)
      }
      try await eventually("the handler is cancelled") { cancelled.now }
    }
  }

  @Test("stopping lets a running request finish, refuses new connections, and closes idle ones")
  func drain() async throws {
    let door = Door()
    var configuration = patientConfiguration()
    configuration.threads = 2
    var router = HTTPRouter()
    router.add(.get, "/wait") { _, _ in
      await door.pass()
      return HTTPResponse(status: 200, body: .bytes(Array("done".utf8)))
    }
    let server = HTTPServer(configuration: configuration, router: router)
    try server.start()
    let port = server.port
    async let answer = blocking {
      let socket = try RawSocket(port: port)
      try socket.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
      return (socket.receiveResponse(), socket.isClosed)
    }
    async let idleIsClosed = blocking {
      let socket = try RawSocket(port: port)
      return socket.isClosed
    }
    try await eventually("the request runs") { server.counters.activeRequests == 1 && server.counters.activeConnections == 2 }
    async let stopped: Void = server.shutdown(grace: .seconds(20))
    #expect(try await idleIsClosed)
    try await eventually("nobody listens") { (try? RawSocket(port: port)) == nil }
    #expect(server.counters.activeRequests == 1)
    door.open()
    let (response, isClosed) = try await answer
    #expect(response?.status == 200)
    #expect(response?.body == "done")
    #expect(response?.head.lowercased().contains("connection: close") == true)
    #expect(isClosed)
    await stopped
    #expect(server.counters.activeConnections == 0)
  }

  @Test("when the grace is over, whatever still runs is cancelled and closed", arguments: [1, 2, 4])
  func hardStop(threads: Int) async throws {
    let started = Shared(0)
    let cancelled = Shared<[String]>([])
    var configuration = patientConfiguration()
    configuration.threads = threads
    var router = HTTPRouter()
    router.add(.get, "/wait") { _, _ in
      started.change { $0 += 1 }
      try? await Task.sleep(for: .seconds(60))
      if Task.isCancelled { cancelled.change { $0.append("wait") } }
      return HTTPResponse(status: 200)
    }
    router.add(.put, "/never", maxBodyBytes: 1 << 30) { _, body in
      started.change { $0 += 1 }
      let buffer = IOBuffer(capacity: 1 << 20)
      body.receive(into: buffer, placement: .contiguous, limit: 1 << 20)
      do throws(HTTPBodyError) {
        while true { _ = try await body.received(beyond: 1 << 20) }
      } catch {
        cancelled.change { $0.append("put \(error)") }
      }
      return HTTPResponse(status: 200)
    }
    router.add(.get, "/stream") { _, _ in
      HTTPResponse(
        status: 200,
        body: .stream(length: nil) {
          started.change { $0 += 1 }
          do { try await Task.sleep(for: .seconds(60)) } catch { cancelled.change { $0.append("stream") } }
          return nil
        })
    }
    let server = HTTPServer(configuration: configuration, router: router)
    try server.start()
    let port = server.port
    async let done: Void = blocking {
      let sockets = try (0..<30).map { index in
        let socket = try RawSocket(port: port)
        switch index % 3 {
        case 0: try socket.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        case 1: try socket.send("PUT /never HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
        default: try socket.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        }
        return socket
      }
      for socket in sockets { _ = socket.receiveToEnd() }
    }
    try await eventually("all requests run") { started.now == 30 }
    await server.shutdown(grace: .milliseconds(50))
    #expect(server.counters.activeConnections == 0)
    try await done
    try await eventually("all were cancelled") { cancelled.now.count == 30 }
    for kind in ["wait", "put cancelled", "stream"] { #expect(cancelled.now.filter { $0 == kind }.count == 10) }
  }
}
