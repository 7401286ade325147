import BlockModel
import Gateway
import HTTPTransport
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// A feed that a test adds to.
private final class Feed: Sendable {
  private let state = Mutex((count: 0, isOver: false))
  func add() { state.withLock { $0.count += 1 } }
  func end() { state.withLock { $0.isOver = true } }

  func page(after cursor: String?) throws -> ChangesPage {
    let (count, isOver) = state.withLock { $0 }
    if isOver { throw Problem(.unauthenticated, "The token was revoked.") }
    let seen = cursor.flatMap { Int($0) } ?? count
    let changes = (min(seen, count)..<count).map {
      Change(sequence: Int64($0), action: .created, entry: Samples.file(), oldPath: nil, at: Samples.moment)
    }
    return ChangesPage(changes: changes, cursor: String(count), hasMore: false, reset: false)
  }
}

@Suite("The change feed at the gateway")
struct ChangesTests {
  @Test("a long-poll answers when something changes, and without a change after its time")
  func longPoll() async throws {
    try await withGateway { gateway in
      let feed = Feed()
      gateway.control.on(UserOperations.GetChanges.self) { operation, _ in try feed.page(after: operation.cursor) }
      async let waiting = gateway.send(.get, "/v1/changes?cursor=0&wait=60")
      try await eventually("the poll waits") { gateway.control.calls.count >= 2 }
      feed.add()
      let reply = try await waiting
      #expect(try reply.decoded(ChangesPage.self).changes.count == 1)
      let none = try await gateway.send(.get, "/v1/changes?cursor=1&wait=1")
      #expect(none.status == 200)
      #expect(try none.decoded(ChangesPage.self).changes.isEmpty)
    }
  }

  @Test("stopping the gateway answers those who wait")
  func stopping() async throws {
    try await withGateway { gateway in
      let feed = Feed()
      gateway.control.on(UserOperations.GetChanges.self) { operation, _ in try feed.page(after: operation.cursor) }
      async let waiting = gateway.send(.get, "/v1/changes?cursor=0&wait=60")
      try await eventually("the poll waits") { gateway.control.calls.count >= 2 }
      let clock = ContinuousClock()
      let begin = clock.now
      gateway.service.stop()
      #expect(try await waiting.status == 200)
      #expect(clock.now - begin < .seconds(30))
    }
  }

  @Test("more than may wait are told to come back")
  func full() async throws {
    try await withGateway({ $0.waitingLimit = 0 }) { gateway in
      let feed = Feed()
      gateway.control.on(UserOperations.GetChanges.self) { operation, _ in try feed.page(after: operation.cursor) }
      for path in ["/v1/changes?cursor=0&wait=5", "/v1/changes/stream"] {
        let reply = try await gateway.send(.get, path)
        #expect(reply.status == 503 && reply.problem == "busy")
      }
    }
  }

  @Test("the stream tells that something changed, with a cursor to go on from, and ends when the token does")
  func stream() async throws {
    try await withGateway { gateway in
      let feed = Feed()
      gateway.control.on(UserOperations.GetChanges.self) { operation, _ in try feed.page(after: operation.cursor) }
      let request = HTTPClientRequest(
        method: .get, url: "http://127.0.0.1:\(gateway.server.port)/v1/changes/stream",
        headers: ["Authorization": "Bearer \(Samples.token)"])
      let received = Received()
      let client = gateway.client
      let reading = Task {
        try await client.stream(
          request, onHead: { head in #expect(head.headers["Content-Type"]?.hasPrefix("text/event-stream") == true) },
          onBytes: { received.append($0) })
      }
      func text() -> String { String(decoding: received.bytes, as: UTF8.self) }
      try await eventually("the greeting") { text().contains("retry: 2000") }
      #expect(!text().contains("event: change"))
      feed.add()
      try await eventually("the hint") { text().contains("id: 1\nevent: change\ndata: {\"cursor\":\"1\"}\n\n") }
      feed.end()
      try await reading.value
      #expect(text().contains("event: end"))
      #expect(text().contains("urn:cairn:problem:unauthenticated"))
    }
  }

  @Test("a wrong token or cursor gets a status and no stream")
  func refused() async throws {
    try await withGateway { gateway in
      gateway.control.on(UserOperations.GetChanges.self, fails: Problem(.invalidCursor, "No."))
      #expect(try await gateway.send(.get, "/v1/changes/stream?cursor=x").status == 400)
      let reply = try await gateway.send(.get, "/v1/changes/stream", token: nil)
      #expect(reply.status == 401)
    }
  }
}
