import BlockModel
import BlockStore
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

@Suite("The coordinator's commands") struct ControlTests {
  @Test("existence, digests and lists agree with what is stored", arguments: StoreKind.allCases)
  func inventory(store: StoreKind) async throws {
    var random = Seeds.random()
    let blocks = (0..<20).map { _ in random.bytes(500) }
    let absent = TestCluster.name(random.bytes(3))
    try await withCluster(.init(store: store)) { cluster in
      for block in blocks { _ = try await cluster.store(block) }
      let names = blocks.map { TestCluster.name($0) }
      let present = try await cluster.command(.exist(blocks: names + [absent]), at: 2)
      #expect(present == .exist(present: String(repeating: "1", count: 20) + "0"))
      let first = try await cluster.command(.digest(partitions: Array(0..<16), bits: 4), at: 0)
      let second = try await cluster.command(.digest(partitions: Array(0..<16), bits: 4), at: 1)
      guard case .digest(let counts, let words, let disks, let asides) = first,
        case .digest(let others, let otherWords, _, _) = second
      else {
        Issue.record("a digest is answered by a digest")
        return
      }
      #expect(counts == others && words == otherWords)
      #expect(asides == Array(repeating: 0, count: 16))
      #expect(disks == [cluster.nodes[0].disk.disk], "it says over which disks the digest is")
      var listed: [BlockID] = []
      var after: BlockID?
      repeat {
        guard case .list(let page, let next, _) = try await cluster.command(.list(partition: 0, bits: 0, after: after, limit: 7), at: 1)
        else {
          Issue.record("a list is answered by a list")
          return
        }
        listed += page.map(\.id)
        after = next
      } while after != nil
      #expect(listed == names.sorted())
    }
  }

  @Test("a command that was changed, replayed at another node, or is too long, does nothing")
  func bound() async throws {
    try await withCluster { cluster in
      let body = try JSONCoding.encode(NodeCommand.exist(blocks: []))
      let capability = cluster.capability(.control, TestCluster.name(body), size: body.count, at: 0)
      let url = cluster.url(capability)
      var changed = body
      changed[changed.count - 1] = 0x20
      let cases: [(String, [UInt8], Int)] = [
        (url, changed, 422), (url, body + [0x20], 413),
        (url.replacing(":\(cluster.nodes[0].server.port)", with: ":\(cluster.nodes[1].server.port)"), body, 403),
      ]
      for (url, body, status) in cases {
        let response = try await cluster.client.send(HTTPClientRequest(method: .post, url: url, body: .bytes(body)))
        #expect(response.status == status)
      }
      let nonsense = Array("{}".utf8)
      let response = try await cluster.client.send(
        HTTPClientRequest(
          method: .post, url: cluster.url(cluster.capability(.control, TestCluster.name(nonsense), size: 2, at: 0)), body: .bytes(nonsense))
      )
      #expect(response.status == 400)
    }
  }

  private func item(_ cluster: TestCluster, _ bytes: [UInt8], from sources: [Int]) -> CopyItem {
    CopyItem(
      block: TestCluster.name(bytes), size: bytes.count,
      sources: sources.map { index in
        let url = cluster.url(cluster.capability(.record, TestCluster.name(bytes), size: bytes.count, at: index))
        return SignedTarget(node: cluster.nodes[index].id, zone: cluster.nodes[index].zone, url: url)
      })
  }

  @Test("copy fetches records from the first source that has them, whole and checked", arguments: StoreKind.allCases)
  func copy(store: StoreKind) async throws {
    var random = Seeds.random()
    let blocks = [random.bytes(0), random.bytes(70_000), random.bytes(2_000_000), [UInt8](repeating: 1, count: 500_000)]
    let frame = try #require(blocks[3].withUnsafeBytes { Zstandard.compress($0) })
    let absent = random.bytes(9)
    try await withCluster(.init(store: store, zones: ["a", "b", "c", "a"])) { cluster in
      for block in blocks.prefix(3) { _ = try await cluster.store(block, forwards: [1, 2]) }
      let compressed = try await cluster.put(frame, to: cluster.putURL(blocks[3], forwards: [1, 2]), headers: ["Content-Encoding": "zstd"])
      #expect(compressed.status == 201)
      await cluster.nodes[2].kill()
      var items = blocks.map { item(cluster, $0, from: [2, 0, 1]) }
      items.append(item(cluster, absent, from: [0, 1]))
      let reply = try await cluster.command(.copy(items: items), at: 3)
      #expect(reply == .copy(outcomes: [.copied, .copied, .copied, .copied, .sourceMissing]))
      for block in blocks { #expect(try await cluster.get(cluster.getURL(block, at: 3)).bytes == block) }
      let again = try await cluster.command(.copy(items: items), at: 3)
      #expect(again == .copy(outcomes: [.present, .present, .present, .present, .sourceMissing]))
    }
  }

  @Test("a record whose contents are not the block is not taken, though every tag fits")
  func forgedRecord() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(100_000)
    var forged = bytes
    forged[0] ^= 1
    try await withCluster(.init(zones: ["a", "b", "c", "a"])) { cluster in
      // What a compromised first node could make: a record under the block's name with other contents.
      let buffer = IOBuffer(capacity: RecordLayout.bufferBytes)
      let sealer = try RecordSealer(
        buffer: buffer, block: TestCluster.name(bytes), plainBytes: bytes.count, storedBytes: bytes.count, encoding: .plain,
        keys: cluster.nodes[0].dataKeys)
      for start in stride(from: 0, to: forged.count, by: Limits.frameBytes) {
        let piece = forged[start..<min(start + Limits.frameBytes, forged.count)]
        let place = RecordLayout.frameStart(start / Limits.frameBytes)
        buffer.mutableBytes(place..<(place + piece.count)).copyBytes(from: piece)
      }
      _ = try await cluster.nodes[0].disk.append(try sealer.finish(gcEpoch: 1))
      let reply = try await cluster.command(.copy(items: [item(cluster, bytes, from: [0])]), at: 3)
      #expect(reply == .copy(outcomes: [.failed]))
      #expect(cluster.holders(TestCluster.name(bytes)) == [0])
      let verified = try await cluster.command(.verify(blocks: [TestCluster.name(bytes)]), at: 0)
      #expect(verified == .verify(outcomes: [.rotten]))
    }
  }

  @Test("verify tells valid, missing and rotten copies apart")
  func verify() async throws {
    var random = Seeds.random()
    let (good, bad, absent) = (random.bytes(10_000), random.bytes(10_000), random.bytes(10))
    try await withCluster { cluster in
      _ = try await cluster.store(good)
      _ = try await cluster.store(bad)
      _ = (cluster.nodes[1].disk as? MemoryStore)?.rot(TestCluster.name(bad))
      let reply = try await cluster.command(.verify(blocks: [good, bad, absent].map { TestCluster.name($0) }), at: 1)
      #expect(reply == .verify(outcomes: [.valid, .rotten, .missing]))
    }
  }

  @Test("a node that says what it has in a collection epoch refuses deletes of older ones from then on")
  func questionsOfNewerEpochs() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(1000)
    try await withCluster { cluster in
      _ = try await cluster.store(bytes)
      let name = TestCluster.name(bytes)
      let questions: [NodeCommand] = [
        .exist(blocks: [name]), .verify(blocks: [name]), .digest(partitions: [0], bits: 0), .copy(items: []),
      ]
      for question in questions {
        await #expect(throws: Unexpected.self, "it has not heard of epoch 4") { try await cluster.command(question, at: 0, gcEpoch: 4) }
      }
      #expect(cluster.nodes[0].node.knowledge.isBehind, "it asks the coordinator soon")
      var view = cluster.view(layoutVersion: 1)
      view.revision = 2
      view.gcEpoch = 4
      try await cluster.spread(view)
      for question in questions { _ = try await cluster.command(question, at: 0, gcEpoch: 4) }
      await #expect(throws: Unexpected.self) { try await cluster.command(.delete(blocks: [name]), at: 0, gcEpoch: 3) }
      #expect(cluster.holders(name) == [0, 1, 2])
    }
  }

  @Test("delete takes only blocks below the command's epoch, and nothing from a coordinator with an older layout")
  func delete() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(1000)
    try await withCluster { cluster in
      _ = try await cluster.store(bytes)
      let name = TestCluster.name(bytes)
      #expect(try await cluster.command(.delete(blocks: [name]), at: 0, gcEpoch: 1) == .delete(deleted: 0))
      try await cluster.spread(cluster.view(layoutVersion: 5))
      await #expect(throws: Unexpected.self) { try await cluster.command(.delete(blocks: [name]), at: 0, gcEpoch: 2, layoutVersion: 4) }
      #expect(cluster.holders(name) == [0, 1, 2])
      #expect(try await cluster.command(.delete(blocks: [name]), at: 0, gcEpoch: 2, layoutVersion: 5) == .delete(deleted: 1))
      #expect(cluster.holders(name) == [1, 2])
    }
  }

  @Test("a data key travels only to the holder of the private key that the request names")
  func dataKey() async throws {
    try await withCluster { cluster in
      let request = try DataKeyExchange.request(epoch: 1, requester: NodeID("new")!)
      let reply = try await cluster.command(request.command, at: 0)
      let key = try DataKeyExchange.key(from: reply, to: request, holder: cluster.nodes[0].id)
      #expect(key.exposed == cluster.nodes[0].dataKeys?.key(1)?.exposed)
      let other = try DataKeyExchange.request(epoch: 1, requester: NodeID("new")!)
      #expect(throws: CryptoError.self) { try DataKeyExchange.key(from: reply, to: other, holder: cluster.nodes[0].id) }
      #expect(throws: CryptoError.self) { try DataKeyExchange.key(from: reply, to: request, holder: cluster.nodes[1].id) }
      let unknown = try DataKeyExchange.request(epoch: 2, requester: NodeID("new")!)
      await #expect(throws: Unexpected.self) { try await cluster.command(unknown.command, at: 0) }
    }
  }
}
