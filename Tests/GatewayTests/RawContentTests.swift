import BlockModel
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import TestSupport
import Testing

/// A gateway in front of six nodes that hold one file.
private struct RawWorld: Sendable {
  var gateway: TestGateway
  var nodes: FakeNodes
  var content: [UInt8]
  static let path = "/v1/files/\(Samples.entryID.hex)/raw"

  func get(_ suffix: String = "", _ method: HTTPMethod = .get, headers: HTTPHeaders = [:]) async throws -> TestGateway.Reply {
    try await gateway.send(method, RawWorld.path + suffix, headers: headers)
  }
}

/// - Parameters:
///   - pageBlocks: blocks on each page of the plan.
private func withRaw(
  bytes count: Int = 100_000, blockSize: Int = 9_000, pageBlocks: Int = 4, file: FileEntry = Samples.file(),
  zone: ZoneID? = nil, body: (RawWorld) async throws -> Void
) async throws {
  var random = Seeds.random()
  let content = random.bytes(count)
  let nodes = try FakeNodes()
  let plan = nodes.plan(content, blockSize: blockSize, file: file)
  do {
    try await withGateway(view: Samples.view(addresses: nodes.addresses), { $0.zone = zone }) { gateway in
      gateway.control.on(UserOperations.GetDownloadPlan.self) { operation, _ in
        var page = plan
        let start = operation.cursor.flatMap { Int($0) } ?? 0
        let end = min(start + min(operation.limit, pageBlocks), plan.blocks.count)
        page.blocks = Array(plan.blocks[start..<end])
        page.next = end < plan.blocks.count ? String(end) : nil
        return page
      }
      try await body(RawWorld(gateway: gateway, nodes: nodes, content: content))
    }
  } catch {
    await nodes.stop()
    throw error
  }
  await nodes.stop()
}

@Suite("Raw content")
struct RawContentTests {
  @Test("all bytes arrive over many pages of the plan, with length, version, type and name")
  func whole() async throws {
    try await withRaw(file: Samples.file(name: "na\u{ef}ve \"plan\".txt")) { world in
      let reply = try await world.get()
      #expect(reply.status == 200)
      #expect(reply.bytes == world.content)
      #expect(reply.headers["Content-Length"] == "100000")
      #expect(reply.headers["ETag"] == "\"5\"")
      #expect(reply.headers["Accept-Ranges"] == "bytes")
      #expect(reply.headers["Content-Type"] == "text/plain; charset=utf-8")
      #expect(reply.headers["X-Content-Type-Options"] == "nosniff")
      #expect(
        reply.headers["Content-Disposition"] == "inline; filename=\"na_ve _plan_.txt\"; filename*=UTF-8''na%C3%AFve%20%22plan%22.txt")
      let saved = try await world.get("?download=1")
      #expect(saved.headers["Content-Disposition"]?.hasPrefix("attachment; ") == true)
    }
  }

  @Test(
    "a range is answered with exactly its bytes",
    arguments: [
      ("bytes=0-0", 0..<1), ("bytes=0-8999", 0..<9_000), ("bytes=8999-9000", 8_999..<9_001), ("bytes=9000-17999", 9_000..<18_000),
      ("bytes=50000-", 50_000..<100_000), ("bytes=-1", 99_999..<100_000), ("bytes=-200000", 0..<100_000),
      ("bytes=99999-999999", 99_999..<100_000), ("bytes=36000-36001", 36_000..<36_002),
    ])
  func ranges(_ header: String, _ range: Range<Int>) async throws {
    try await withRaw { world in
      let reply = try await world.get(headers: ["Range": header])
      #expect(reply.status == 206)
      #expect(reply.headers["Content-Range"] == "bytes \(range.lowerBound)-\(range.upperBound - 1)/100000")
      #expect(reply.headers["Content-Length"] == "\(range.count)")
      #expect(reply.bytes == Array(world.content[range]))
    }
  }

  @Test("random ranges are answered with exactly their bytes")
  func randomRanges() async throws {
    try await withRaw(bytes: 50_000, blockSize: 7_001) { world in
      var random = Seeds.random()
      for _ in 0..<40 {
        let start = Int.random(in: 0..<50_000, using: &random)
        let end = Int.random(in: start..<50_000, using: &random)
        let reply = try await world.get(headers: ["Range": "bytes=\(start)-\(end)"])
        #expect(reply.status == 206 && reply.bytes == Array(world.content[start...end]), "bytes=\(start)-\(end)")
      }
    }
  }

  @Test("a range behind the end answers 416 with the size, one that cannot be read is left out of account")
  func oddRanges() async throws {
    try await withRaw { world in
      let behind = try await world.get(headers: ["Range": "bytes=100000-"])
      #expect(behind.status == 416)
      #expect(behind.problem == "range-not-satisfiable")
      #expect(behind.headers["Content-Range"] == "bytes */100000")
      for header in ["lines=1-2", "bytes=5-2", "bytes=a-b", "bytes=0-1,5-6"] {
        let reply = try await world.get(headers: ["Range": header])
        #expect(reply.status == 200 && reply.bytes.count == 100_000, "\(header)")
      }
    }
  }

  @Test("a range of another version than If-Range names gets the whole file")
  func ifRange() async throws {
    try await withRaw { world in
      let same = try await world.get(headers: ["Range": "bytes=0-1", "If-Range": "\"5\""])
      #expect(same.status == 206)
      for other in ["\"4\"", "W/\"5\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let reply = try await world.get(headers: ["Range": "bytes=0-1", "If-Range": other])
        #expect(reply.status == 200 && reply.bytes == world.content, "\(other)")
      }
    }
  }

  @Test("conditions are judged before a node is asked")
  func conditions() async throws {
    try await withRaw { world in
      let known = try await world.get(headers: ["If-None-Match": "\"5\""])
      #expect(known.status == 304 && known.bytes.isEmpty)
      #expect(try await world.get(headers: ["If-Match": "\"4\""]).status == 412)
      #expect(world.nodes.reads.isEmpty)
    }
  }

  @Test("HEAD answers what GET would, without reading a block")
  func head() async throws {
    try await withRaw { world in
      let reply = try await world.get("", .head)
      #expect(reply.status == 200)
      #expect(reply.headers["Content-Length"] == "100000")
      #expect(reply.headers["ETag"] == "\"5\"")
      #expect(reply.bytes.isEmpty)
      #expect(world.nodes.reads.isEmpty)
    }
  }

  @Test("an empty file has no block and no bytes")
  func empty() async throws {
    try await withRaw(bytes: 0) { world in
      let reply = try await world.get()
      #expect(reply.status == 200 && reply.bytes.isEmpty && reply.headers["Content-Length"] == "0")
      #expect(try await world.get(headers: ["Range": "bytes=0-0"]).status == 416)
    }
  }

  @Test(
    "nodes that give wrong, short or no bytes cost another read and never reach the client",
    arguments: [FakeNodes.Manner.corrupted, .short, .refusing(500), .refusing(404)])
  func badReplicas(_ manner: FakeNodes.Manner) async throws {
    try await withRaw { world in
      // Replicas are three nodes in a row: of each three, one is left.
      world.nodes.set(manner, at: 1, 2, 4, 5)
      let reply = try await world.get()
      #expect(reply.status == 200)
      #expect(reply.bytes == world.content)
      let metrics = try await world.gateway.send(.get, "/metrics").text
      #expect(metrics.contains("cairn_gateway_raw_block_failures_total"))
    }
  }

  @Test("a file whose first block no node gives is refused with a status")
  func firstBlockLost() async throws {
    try await withRaw { world in
      world.nodes.set(.corrupted, at: 1, 2, 3, 4, 5, 6)
      let reply = try await world.get()
      #expect(reply.status == 503)
      #expect(reply.problem == "unavailable")
      #expect(reply.headers["Retry-After"] != nil)
    }
  }

  @Test("a block that no node gives breaks the connection, and what came before is right")
  func laterBlockLost() async throws {
    try await withRaw { world in
      let lost = BlockID(words: Array(world.content[45_000..<54_000]).withUnsafeBytes { SHA256Hasher.hash($0) })
      world.nodes.lose(lost)
      let request = HTTPClientRequest(
        method: .get, url: "http://127.0.0.1:\(world.gateway.server.port)\(RawWorld.path)",
        headers: ["Authorization": "Bearer \(Samples.token)"])
      let received = Received()
      await #expect(throws: HTTPClientError.self) {
        try await world.gateway.client.stream(request, onHead: { _ in }, onBytes: { received.append($0) })
      }
      #expect(received.bytes.count <= 45_000)
      #expect(received.bytes == Array(world.content[..<received.bytes.count]))
      let before = try await world.get(headers: ["Range": "bytes=0-44999"])
      #expect(before.bytes == Array(world.content[..<45_000]))
    }
  }

  @Test("nodes of the gateway's own zone are read first")
  func nearZone() async throws {
    try await withRaw(zone: Samples.zone(ofNode: 1)) { world in
      _ = try await world.get()
      #expect(!world.nodes.reads.isEmpty)
      #expect(world.nodes.reads.allSatisfy { [Samples.node(1), Samples.node(4)].contains($0) })
    }
  }
}

@Suite("Names and types of raw content")
struct MediaTypeTests {
  @Test(
    "the uploader's type counts, then the extension's, then bytes",
    arguments: [
      ("a.png", nil, "image/png"), ("A.PNG", nil, "image/png"), ("a.png", "text/x-mine", "text/x-mine"),
      ("a", nil, "application/octet-stream"),
      (".txt", nil, "application/octet-stream"), ("a.unheard", nil, "application/octet-stream"), ("a.b.pdf", nil, "application/pdf"),
      ("a.txt", "text/plain\r\nX-Evil: 1", "text/plain; charset=utf-8"), ("a.txt", "nonsense", "text/plain; charset=utf-8"),
    ] as [(String, String?, String)])
  func types(_ name: String, _ declared: String?, _ expected: String) {
    #expect(MediaType.of(name: name, declared: declared) == expected)
  }

  @Test("a name never ends the header or its quotes early", arguments: ["a\"b", "a\\b", "a\r\nb", "\u{1F600}", "100%", "a;b=c"])
  func disposition(_ name: String) {
    let text = ContentDisposition.text(name: name, attachment: true)
    #expect(text.utf8.allSatisfy { (0x20...0x7e).contains($0) })
    #expect(text.filter { $0 == "\"" }.count == 2)
    #expect(!text.contains("\\"))
  }
}
