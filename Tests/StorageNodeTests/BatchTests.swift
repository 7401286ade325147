import BlockModel
import BlockStore
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

@Suite("Batches of small blocks") struct BatchTests {
  private func body(_ cluster: TestCluster, _ blocks: [[UInt8]]) -> [UInt8] {
    var body = BlockBatch.begin()
    for block in blocks { BlockBatch.append(to: &body, text: path(cluster.putURL(block)), data: block) }
    return body
  }

  private func path(_ url: String) -> String { String(url[url.firstRange(of: "/v1/")!.lowerBound...]) }

  private func post(_ cluster: TestCluster, _ route: String, _ body: [UInt8], headers: HTTPHeaders = [:]) async throws -> HTTPClientResponse
  {
    try await cluster.client.send(
      HTTPClientRequest(method: .post, url: cluster.nodes[0].address + route, headers: headers, body: .bytes(body)))
  }

  @Test("many blocks in one request are all stored R times, each with its receipts", arguments: StoreKind.allCases)
  func put(store: StoreKind) async throws {
    var random = Seeds.random()
    let blocks = (0..<150).map { random.bytes(1 + $0 * 137) }
    try await withCluster(.init(store: store)) { cluster in
      let response = try await post(cluster, "/v1/blocks/batch", body(cluster, blocks))
      #expect(response.status == 200)
      let reply = try JSONCoding.decode(BatchPutReply.self, from: response.bytes)
      #expect(reply.items.count == blocks.count)
      for (block, item) in zip(blocks, reply.items) {
        #expect(item.status == 201 && item.receipts?.count == 3)
        #expect(cluster.holders(TestCluster.name(block)) == [0, 1, 2])
      }
      var request = BlockBatch.begin()
      for block in blocks { BlockBatch.append(to: &request, text: path(cluster.getURL(block, at: 0))) }
      let answer = try await post(cluster, "/v1/blocks/batch/get", request)
      let items = try BlockBatch.parse(answer.bytes)
      #expect(items.map(\.status) == blocks.map { _ in 200 })
      #expect(zip(items, blocks).allSatisfy { Array(answer.bytes[$0.data]) == $1 })
    }
  }

  @Test("a batch costs each other node one request or two, however many blocks it has", arguments: StoreKind.allCases)
  func fewRequests(store: StoreKind) async throws {
    var random = Seeds.random()
    let blocks = (0..<60).map { _ in random.bytes(3000) }
    try await withCluster(.init(store: store)) { cluster in
      let response = try await post(cluster, "/v1/blocks/batch", body(cluster, blocks), headers: ["X-Request-Id": "a-batch"])
      let reply = try JSONCoding.decode(BatchPutReply.self, from: response.bytes)
      #expect(reply.items.allSatisfy { $0.status == 201 && $0.receipts?.count == 3 })
      for node in cluster.nodes[1...] {
        try await eventually("\(node.id) has seen the batch") { node.requests.contains("a-batch") }
        #expect(node.requests.count("a-batch") <= 2)
      }
    }
  }

  @Test("batches that have more blocks than there are buffers wait for each other in no circle")
  func fewBuffers() async throws {
    var random = Seeds.random()
    var limits = NodeLimits.forTests
    limits.smallBuffers = 5
    // Nobody has to wait for long: a group takes what is free and goes on with that.
    limits.clientPatience = .seconds(20)
    limits.replicaPatience = .seconds(20)
    let batches = (0..<6).map { _ in (0..<40).map { _ in random.bytes(2000) } }
    try await withCluster(.init(limits: limits)) { cluster in
      let statuses = try await withThrowingTaskGroup(of: [Int].self) { group in
        for blocks in batches {
          group.addTask {
            let response = try await post(cluster, "/v1/blocks/batch", body(cluster, blocks))
            return try JSONCoding.decode(BatchPutReply.self, from: response.bytes).items.map(\.status)
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(statuses.count == 240 && statuses.allSatisfy { $0 == 201 })
      for block in batches.joined() { #expect(cluster.holders(TestCluster.name(block)) == [0, 1, 2]) }
    }
  }

  @Test("each item has its own outcome: a bad one does not spoil the others")
  func outcomes() async throws {
    var random = Seeds.random()
    let blocks = (0..<4).map { _ in random.bytes(5000) }
    try await withCluster { cluster in
      var body = BlockBatch.begin()
      BlockBatch.append(to: &body, text: path(cluster.putURL(blocks[0])), data: blocks[0])
      BlockBatch.append(to: &body, text: path(cluster.putURL(blocks[1])), data: blocks[2])
      BlockBatch.append(to: &body, text: path(cluster.putURL(blocks[3]) + "0"), data: blocks[3])
      BlockBatch.append(to: &body, text: "/elsewhere", data: blocks[3])
      BlockBatch.append(to: &body, text: path(cluster.getURL(blocks[3], at: 0)), data: blocks[3])
      BlockBatch.append(to: &body, text: path(cluster.putURL(blocks[3])), data: Array(blocks[3].dropLast()))
      let response = try await post(cluster, "/v1/blocks/batch", body)
      let reply = try JSONCoding.decode(BatchPutReply.self, from: response.bytes)
      #expect(reply.items.map(\.status) == [201, 422, 400, 400, 403, 409])
      #expect(cluster.holders(TestCluster.name(blocks[3])).isEmpty)
      var request = BlockBatch.begin()
      BlockBatch.append(to: &request, text: path(cluster.getURL(blocks[0], at: 0)))
      BlockBatch.append(to: &request, text: path(cluster.getURL(blocks[3], at: 0)))
      let answer = try await post(cluster, "/v1/blocks/batch/get", request)
      #expect(try BlockBatch.parse(answer.bytes).map(\.status) == [200, 404])
    }
  }

  @Test("a batch that begins without a genuine URL, or is no batch, is refused whole", arguments: ["", "nonsense", "cairnbb1short"])
  func strangers(text: String) async throws {
    try await withCluster { cluster in
      let response = try await post(cluster, "/v1/blocks/batch", Array(text.utf8))
      #expect(response.status == 400)
      var forged = BlockBatch.begin()
      BlockBatch.append(to: &forged, text: path(cluster.putURL([1, 2, 3])).replacing("size=3", with: "size=4"), data: [1, 2, 3])
      let refused = try await post(cluster, "/v1/blocks/batch", forged)
      #expect(refused.status == 401)
    }
  }

  @Test("a batch of which only a beginning comes holds no buffer before its first capability is known to be genuine")
  func strangersHoldNothing() async throws {
    var random = Seeds.random()
    let block = random.bytes(5000)
    var limits = NodeLimits.forTests
    limits.clientBuffers = 1
    limits.clientPatience = .milliseconds(200)
    try await withCluster(.init(limits: limits)) { cluster in
      let forged = path(cluster.putURL(block)).replacing("size=5000", with: "size=5001")
      var batch = BlockBatch.begin()
      BlockBatch.append(to: &batch, text: forged, data: random.bytes(200_000))
      let buffer = IOBuffer(capacity: batch.count)
      buffer.mutableBytes(0..<batch.count).copyBytes(from: batch)
      let sources = [0, 5, 40, 8000, 150_000].map { UploadSource(buffer: buffer, length: batch.count, ready: $0) }
      let url = cluster.nodes[0].address + "/v1/blocks/batch"
      let strangers = sources.map { source in
        Task { try? await cluster.client.send(HTTPClientRequest(method: .post, url: url, body: .buffer(source))) }
      }
      for _ in 0..<20 {
        let response = try await post(cluster, "/v1/blocks/batch", body(cluster, [block]))
        #expect(response.status == 200)
        try await Task.sleep(for: .milliseconds(20))
      }
      for source in sources { source.advance(to: batch.count) }
      for stranger in strangers {
        let status = await stranger.value?.status
        #expect(status == 401)
      }
    }
  }

  @Test("a replica that is down costs a batch a spare, not an error")
  func spare() async throws {
    var random = Seeds.random()
    let blocks = (0..<40).map { _ in random.bytes(3000) }
    try await withCluster(.init(zones: ["a", "b", "c", "b"])) { cluster in
      await cluster.nodes[1].kill()
      let response = try await post(cluster, "/v1/blocks/batch", body(cluster, blocks))
      let reply = try JSONCoding.decode(BatchPutReply.self, from: response.bytes)
      #expect(reply.items.allSatisfy { $0.status == 201 })
      for block in blocks { #expect(cluster.holders(TestCluster.name(block)) == [0, 2, 3]) }
    }
  }

  @Test("compressed items are checked, and come back compressed to who accepts it")
  func compressed() async throws {
    let block = [UInt8](repeating: 9, count: 50_000)
    let frame = try #require(block.withUnsafeBytes { Zstandard.compress($0) })
    try await withCluster { cluster in
      var body = BlockBatch.begin()
      BlockBatch.append(to: &body, encoding: .zstd, text: path(cluster.putURL(block)), data: frame)
      BlockBatch.append(to: &body, encoding: .zstd, text: path(cluster.putURL([1, 2])), data: [0])
      let response = try await post(cluster, "/v1/blocks/batch", body)
      #expect(try JSONCoding.decode(BatchPutReply.self, from: response.bytes).items.map(\.status) == [201, 422])
      var request = BlockBatch.begin()
      BlockBatch.append(to: &request, text: path(cluster.getURL(block, at: 0)))
      let packed = try await post(cluster, "/v1/blocks/batch/get", request, headers: ["Accept-Encoding": "zstd"])
      let item = try #require(try BlockBatch.parse(packed.bytes).first)
      #expect(item.encoding == .zstd && Array(packed.bytes[item.data]) == frame)
      let plain = try await post(cluster, "/v1/blocks/batch/get", request, headers: ["Accept-Encoding": "identity"])
      let plainItem = try #require(try BlockBatch.parse(plain.bytes).first)
      #expect(plainItem.encoding == .plain && Array(plain.bytes[plainItem.data]) == block)
    }
  }

  @Test("what is written is what is parsed")
  func framing() throws {
    var random = Seeds.random()
    for _ in 0..<100 {
      var body = BlockBatch.begin()
      var written: [(Int, ContentEncoding, String, [UInt8])] = []
      for _ in 0..<Int.random(in: 0...20, using: &random) {
        let text = String(repeating: "x", count: Int.random(in: 0...50, using: &random))
        let data = random.bytes(Int.random(in: 0...300, using: &random))
        let status = Int.random(in: 0...999, using: &random)
        written.append((status, Bool.random(using: &random) ? .zstd : .plain, text, data))
        BlockBatch.append(to: &body, status: status, encoding: written.last!.1, text: text, data: data)
      }
      let items = try BlockBatch.parse(body)
      #expect(items.count == written.count)
      for (item, expected) in zip(items, written) {
        #expect(item.status == expected.0 && item.encoding == expected.1 && item.text == expected.2 && Array(body[item.data]) == expected.3)
      }
    }
  }

  @Test("no bytes make the parser trap or read beyond them")
  func fuzz() {
    var random = Seeds.random()
    var good = BlockBatch.begin()
    for size in [0, 5, 300] { BlockBatch.append(to: &good, text: "/v1/blocks/x?y=z", data: random.bytes(size)) }
    var accepted = 0
    for _ in 0..<20_000 {
      var body = good
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        body[Int.random(in: 0..<body.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if Bool.random(using: &random) { body.removeLast(Int.random(in: 0...body.count, using: &random)) }
      _ = body.withUnsafeBytes { try? BlockBatch.firstText(of: $0) }
      guard let items = try? BlockBatch.parse(body) else { continue }
      accepted += 1
      for item in items { #expect(item.data.upperBound <= body.count) }
    }
    #expect(accepted > 0)
  }
}
