import HTTPTransport
import TestSupport
import Testing

@Suite("event streams")
struct EventStreamTests {
  @Test("events arrive in order, with heartbeats between them")
  func events() async throws {
    let writers = Shared<[SSEWriter]>([])
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/events") { _, _ in
        let writer = SSEWriter(heartbeat: .milliseconds(30))
        writers.change { $0.append(writer) }
        return writer.response
      }
    } body: { server in
      try await withClient { client in
        let text = Shared("")
        async let reading: Void = client.stream(HTTPClientRequest(method: .get, url: server.base + "/events", stallTimeout: nil)) { _ in
        } onBytes: { bytes in
          text.change { $0 += String(decoding: bytes, as: UTF8.self) }
          return !text.now.contains("data: last\n\n")
        }
        try await eventually("the stream is open") { writers.now.count == 1 }
        let writer = try #require(writers.now.first)
        for number in 1...100 { writer.send(ServerSentEvent(id: "\(number)", data: "n\(number)")) }
        try await eventually("a heartbeat comes") { text.now.contains("\n:\n\n") }
        writer.send(ServerSentEvent(event: "end", data: "last"))
        try await reading
        let got = text.now
        let ids = got.split(separator: "\n").filter { $0.hasPrefix("id: ") }.map { String($0.dropFirst(4)) }
        #expect(ids == (1...100).map(String.init))
        #expect(got.hasSuffix("event: end\ndata: last\n\n"))
      }
      try await eventually("the writer learns that the reader left") { writers.now[0].isFinished }
    }
  }

  @Test("a finished stream ends after what was queued, and says so once")
  func finish() async throws {
    let closed = Shared(0)
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/events") { _, _ in
        let writer = SSEWriter { closed.change { $0 += 1 } }
        writer.send(ServerSentEvent(data: "only"))
        writer.finish()
        return writer.response
      }
    } body: { server in
      try await withClient { client in
        let response = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/events"))
        #expect(response.headers["Content-Type"] == "text/event-stream")
        #expect(String(decoding: response.bytes, as: UTF8.self) == "data: only\n\n")
      }
      #expect(closed.now == 1)
    }
  }

  @Test("a reader that falls too far behind loses its stream")
  func overflow() {
    let writer = SSEWriter(capacity: 3)
    for _ in 0..<3 { #expect(writer.send(ServerSentEvent(data: "x"))) }
    #expect(!writer.send(ServerSentEvent(data: "x")))
    #expect(writer.isFinished)
    #expect(!writer.send(ServerSentEvent(data: "x")))
  }

  @Test("stopping the server ends event streams properly and at once")
  func stop() async throws {
    var router = HTTPRouter()
    router.add(.get, "/events") { _, _ in SSEWriter().response }
    let server = HTTPServer(configuration: patientConfiguration(), router: router)
    try server.start()
    let url = server.base + "/events"
    try await withClient { client in
      let isOpen = Shared(false)
      async let reading: Void = client.stream(HTTPClientRequest(method: .get, url: url, stallTimeout: nil)) { _ in
        isOpen.change { $0 = true }
      } onBytes: { _ in
        true
      }
      try await eventually("the stream is open") { isOpen.now }
      await server.shutdown(grace: .seconds(600))
      // Throws when the stream's end was not a proper one.
      try await reading
    }
  }
}
