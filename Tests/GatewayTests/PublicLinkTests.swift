import BlockModel
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("Public links at the gateway")
struct PublicLinkTests {
  private static let item = LinkContent.Item(
    path: "/", name: "<script>alert(1)</script>&\"'", kind: .folder, size: 0, contentHash: nil, version: 1, mimeType: nil,
    modifiedAt: FileTime(nanoseconds: 0))

  @Test("a browser gets a page without scripts, in which every name is escaped; programs get JSON")
  func page() async throws {
    try await withGateway { gateway in
      var child = Self.item
      child.path = "/a b?<x>"
      child.name = "a b?<x>"
      child.kind = .file
      let content = LinkContent(item: Self.item, children: [child], next: "more", expiresAt: nil)
      gateway.control.on(UserOperations.OpenLink.self) { _, _ in content }
      let page = try await gateway.send(.get, "/l/tok", token: nil, headers: ["Accept": "text/html,application/xhtml+xml,*/*;q=0.8"])
      #expect(page.status == 200 && page.headers["Content-Type"]?.hasPrefix("text/html") == true)
      #expect(!page.text.contains("<script") && page.text.contains("&lt;script&gt;"))
      #expect(page.text.contains("href=\"/l/tok/raw?path=%2Fa%20b%3F%3Cx%3E\""))
      #expect(page.headers["Content-Security-Policy"]?.contains("default-src 'none'") == true)
      let json = try await gateway.send(.get, "/l/tok", token: nil)
      #expect(try json.decoded(LinkContent.self) == content)
    }
  }

  @Test("the password comes by basic authentication, and its lack is asked for")
  func password() async throws {
    try await withGateway { gateway in
      gateway.control.on(UserOperations.OpenLink.self) { operation, _ in
        guard operation.password == "pass:word" else { throw Problem(.unauthenticated, "No.") }
        return LinkContent(item: Self.item, children: [], next: nil, expiresAt: nil)
      }
      let asked = try await gateway.send(.get, "/l/tok", token: nil)
      #expect(asked.status == 401 && asked.headers["WWW-Authenticate"]?.hasPrefix("Basic") == true)
      // user:pass:word
      let opened = try await gateway.send(.get, "/l/tok", token: nil, headers: ["Authorization": "Basic dXNlcjpwYXNzOndvcmQ="])
      #expect(opened.status == 200)
    }
  }

  @Test("a download counts when its bytes are sent, and not for a head, a match or a range that is none")
  func counting() async throws {
    try await withGateway { gateway in
      gateway.control.on(UserOperations.DownloadByLink.self) { _, _ in
        var plan = FakeControl.plan()
        plan.blocks = []
        plan.size = 0
        return plan
      }
      func counted() -> Int {
        gateway.control.calls.count { ($0.operation as? UserOperations.DownloadByLink)?.counts == true }
      }
      func status(_ method: HTTPMethod, _ headers: HTTPHeaders = [:]) async throws -> Int {
        try await gateway.send(method, "/l/tok/raw", token: nil, headers: headers).status
      }
      let uncounted = [
        try await status(.head), try await status(.get, ["If-None-Match": "\"5\""]), try await status(.get, ["Range": "bytes=7-"]),
      ]
      #expect(uncounted == [200, 304, 416])
      #expect(counted() == 0)
      let sent = try await status(.get)
      #expect(sent == 200)
      #expect(counted() == 1)
    }
  }

  @Test("a hint wakes the stream long before it would ask by itself")
  func hints() async throws {
    try await withGateway({ $0.changePollInterval = .seconds(3600) }) { gateway in
      let feed = HintedFeed()
      gateway.control.on(UserOperations.GetChanges.self) { operation, _ in feed.page(after: operation.cursor) }
      gateway.control.on(UserOperations.AwaitChanges.self) { operation, _ in feed.hints(operation) }
      let request = HTTPClientRequest(
        method: .get, url: "http://127.0.0.1:\(gateway.server.port)/v1/changes/stream?cursor=0",
        headers: ["Authorization": "Bearer \(Samples.token)"])
      let received = Received()
      let client = gateway.client
      let reading = Task { try await client.stream(request, onHead: { _ in }, onBytes: { received.append($0) }) }
      func text() -> String { String(decoding: received.bytes, as: UTF8.self) }
      try await eventually("the greeting") { text().contains("event: hello") }
      feed.add()
      try await eventually("the hint") { text().contains("id: 1\nevent: change") }
      feed.add()
      try await eventually("the next hint") { text().contains("id: 2\nevent: change") }
      reading.cancel()
      _ = try? await reading.value
    }
  }

  @Test("a stream on which nothing happens for long tells its client to poll")
  func idle() async throws {
    try await withGateway({ $0.streamIdleLimit = .milliseconds(200) }) { gateway in
      let feed = HintedFeed()
      gateway.control.on(UserOperations.GetChanges.self) { operation, _ in feed.page(after: operation.cursor) }
      let reply = try await gateway.send(.get, "/v1/changes/stream?cursor=0")
      #expect(reply.text.contains("event: poll\ndata: {\"poll_seconds\":60}"))
      let page = try await gateway.send(.get, "/v1/changes?cursor=0").decoded(ChangesPage.self)
      #expect(page.follow == .poll && page.topics == nil)
    }
  }
}
