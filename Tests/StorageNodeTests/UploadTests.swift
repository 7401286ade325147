import BlockModel
import BlockStore
import Credentials
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

@Suite("PUT of a block") struct UploadTests {
  @Test(
    "one PUT of plain bytes stores R copies and answers with a receipt for each", arguments: StoreKind.allCases,
    [0, 1, 65536, 65537, 4 << 20])
  func storesCopies(store: StoreKind, size: Int) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(size)
    try await withCluster(.init(store: store)) { cluster in
      let upload = UploadID.random()
      let receipts = try await cluster.store(bytes, upload: upload)
      #expect(Set(receipts.map(\.node)) == Set(cluster.nodes.map(\.id)))
      #expect(receipts.allSatisfy { $0.upload == upload && $0.block == TestCluster.name(bytes) && $0.plainBytes == size })
      #expect(receipts.first?.node == cluster.nodes[0].id && receipts.first?.verification == .hashed)
      #expect(receipts.dropFirst().allSatisfy { $0.verification == .tagged && $0.durability == .strict })
      for index in cluster.nodes.indices {
        let response = try await cluster.get(cluster.getURL(bytes, at: index))
        #expect(response.status == 200 && response.bytes == bytes)
      }
    }
  }

  @Test("with encryption off the same holds")
  func withoutEncryption() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(300_000)
    try await withCluster(.init(isEncrypted: false)) { cluster in
      let receipts = try await cluster.store(bytes)
      #expect(receipts.count == 3)
      let response = try await cluster.get(cluster.getURL(bytes, at: 2))
      #expect(response.bytes == bytes)
    }
  }

  @Test("bytes that are not the block are refused and kept nowhere", arguments: [100, 200_000, 4 << 20])
  func hashMismatch(size: Int) async throws {
    var random = Seeds.random()
    var bytes = random.bytes(size)
    try await withCluster(.init(minimumRateGrace: .seconds(2))) { cluster in
      let url = cluster.putURL(bytes)
      bytes[size - 1] ^= 1
      let response = try await cluster.put(bytes, to: url)
      #expect(response.status == 422 && response.problem == "hash-mismatch")
      try await nothingLent(cluster)
      for node in cluster.nodes { #expect(node.disk.space().blockCount == 0) }
    }
  }

  @Test("a body of another length than the URL's is refused", arguments: [(-1, 409), (1, 409), (5 << 20, 413)])
  func lengths(difference: Int, status: Int) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(50_000)
    try await withCluster { cluster in
      let body = difference > 0 ? bytes + [UInt8](repeating: 0, count: difference) : Array(bytes.dropLast())
      let response = try await cluster.put(body, to: cluster.putURL(bytes))
      #expect(response.status == status)
      #expect(cluster.holders(TestCluster.name(bytes)).isEmpty)
    }
  }

  @Test("a block over 4 MiB is refused with 413")
  func tooLarge() async throws {
    let bytes = [UInt8](repeating: 7, count: (4 << 20) + 1)
    try await withCluster { cluster in
      let url = cluster.url(cluster.capability(.put, TestCluster.name(bytes), size: 4 << 20, at: 0))
      let response = try await cluster.put(bytes, to: url)
      #expect(response.status == 413)
    }
  }

  @Test("a URL that is expired, forged, for another node, method or block, or has a parameter twice or too many, opens nothing")
  func badURLs() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(1000)
    let other = random.bytes(1000)
    try await withCluster { cluster in
      let good = cluster.putURL(bytes)
      let expired = cluster.url(cluster.capability(.put, TestCluster.name(bytes), size: 1000, at: 0, expires: 1))
      let elsewhere = cluster.putURL(bytes, at: 1).replacing(":\(cluster.nodes[1].server.port)", with: ":\(cluster.nodes[0].server.port)")
      let cases: [(String, Int)] = [
        (expired, 401), (String(good.dropLast(4)) + "0000", 401), (good.replacing("size=1000", with: "size=1001"), 401), (elsewhere, 403),
        (cluster.getURL(bytes, at: 0), 403), (good.replacing(TestCluster.name(bytes).hex, with: TestCluster.name(other).hex), 401),
        (good + "&w=2", 400), (good + "&x=2", 400), (good.replacing("&w=3", with: ""), 400), (good.replacing("w=3", with: "w=03"), 400),
        (good.replacing("/v1/blocks/", with: "/v1/blocks/A"), 400),
        (cluster.nodes[0].address + "/v1/blocks/" + TestCluster.name(bytes).hex, 400),
      ]
      for (url, status) in cases {
        let response = try await cluster.put(bytes, to: url)
        #expect(response.status == status, "\(url): \(String(decoding: response.bytes, as: UTF8.self))")
        #expect(response.problem != nil)
      }
      let get = try await cluster.get(good)
      #expect(get.status == 403)
      let delete = try await cluster.get(good, method: .delete)
      #expect(delete.status == 403)
      let post = try await cluster.get(good, method: .post)
      #expect(post.status == 405)
      #expect(cluster.holders(TestCluster.name(bytes)).isEmpty)
    }
  }

  @Test("when a replica is down a spare takes its copy", arguments: [1000, 2_000_000], [true, false])
  func spare(size: Int, isKnown: Bool) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(size)
    try await withCluster(.init(zones: ["a", "b", "c", "c", "b"])) { cluster in
      if isKnown { try await cluster.spread(cluster.view(layoutVersion: 2, down: [2])) }
      await cluster.nodes[2].kill()
      let receipts = try await cluster.store(bytes)
      // On a busy machine a node that is merely late may have been given a spare besides.
      let stored = Set(receipts.map(\.node))
      #expect(
        stored.isSuperset(of: [cluster.nodes[0].id, cluster.nodes[1].id, cluster.nodes[3].id]) && !stored.contains(cluster.nodes[2].id))
    }
  }

  @Test("with two of three replicas down and no spare in another zone nothing is acknowledged")
  func tooFew() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(100_000)
    try await withCluster(.init(zones: ["a", "b", "c", "a"], writeQuorum: 2)) { cluster in
      await cluster.nodes[1].kill()
      await cluster.nodes[2].kill()
      let response = try await cluster.put(bytes, to: cluster.putURL(bytes))
      #expect(response.status == 503 && response.headers["Retry-After"] != nil)
    }
  }

  @Test("with one of three replicas down and no spare the write succeeds with W copies")
  func quorum() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(3_000_000)
    try await withCluster(.init(writeQuorum: 2)) { cluster in
      await cluster.nodes[1].kill()
      let receipts = try await cluster.store(bytes)
      #expect(receipts.map(\.node) == [cluster.nodes[0].id, cluster.nodes[2].id])
    }
  }

  @Test("a cluster of one node takes writes")
  func oneNode() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(100_000)
    try await withCluster(.init(zones: ["a"])) { cluster in
      let receipts = try await cluster.store(bytes)
      #expect(receipts.count == 1)
    }
  }

  @Test("concurrent PUTs of one block to several first nodes all succeed", arguments: StoreKind.allCases)
  func concurrent(store: StoreKind) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(700_000)
    try await withCluster(.init(store: store)) { cluster in
      try await withThrowingTaskGroup(of: [Receipt].self) { group in
        for index in 0..<9 { group.addTask { try await cluster.store(bytes, at: index % 3) } }
        for try await receipts in group { #expect(receipts.count >= 2) }
      }
      for index in cluster.nodes.indices { #expect(try await cluster.get(cluster.getURL(bytes, at: index)).bytes == bytes) }
      try await nothingLent(cluster)
    }
  }

  @Test("a PUT of a block that is here is hashed and acknowledged again, under its own upload")
  func again() async throws {
    var random = Seeds.random()
    var bytes = random.bytes(100_000)
    try await withCluster { cluster in
      _ = try await cluster.store(bytes)
      let upload = UploadID.random()
      #expect(try await cluster.store(bytes, upload: upload).allSatisfy { $0.upload == upload })
      let url = cluster.putURL(bytes)
      bytes[5] ^= 1
      #expect(try await cluster.put(bytes, to: url).status == 422)
    }
  }

  @Test("a copy that went bad where it lay is replaced by a PUT of the block, and not acknowledged as it is", arguments: StoreKind.allCases)
  func replacesRot(store: StoreKind) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(100_000)
    try await withCluster(.init(store: store)) { cluster in
      _ = try await cluster.store(bytes)
      for node in cluster.nodes { try node.damage(TestCluster.name(bytes), random: &random) }
      #expect(try await cluster.store(bytes).count == 3)
      for index in cluster.nodes.indices {
        let response = try await cluster.get(cluster.getURL(bytes, at: index))
        #expect(response.status == 200 && response.bytes == bytes)
      }
    }
  }

  @Test("a compressed body is checked by decoding and comes back plain or compressed", arguments: StoreKind.allCases)
  func compressed(store: StoreKind) async throws {
    let bytes = Array((0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 100) })
    let frame = try #require(bytes.withUnsafeBytes { Zstandard.compress($0) })
    try await withCluster(.init(store: store)) { cluster in
      let response = try await cluster.put(frame, to: cluster.putURL(bytes), headers: ["Content-Encoding": "zstd"])
      let receipts = try cluster.receipts(response)
      #expect(receipts.count == 3 && receipts.allSatisfy { $0.storedBytes == frame.count && $0.plainBytes == bytes.count })
      let plain = try await cluster.get(cluster.getURL(bytes, at: 1))
      #expect(plain.bytes == bytes && plain.headers["Content-Encoding"] == nil)
      let range = try await cluster.get(cluster.getURL(bytes, at: 1), headers: ["Range": "bytes=1000-1999", "Accept-Encoding": "zstd"])
      #expect(range.status == 206 && range.bytes == Array(bytes[1000..<2000]))
    }
  }

  @Test("a body that is no single zstd frame of the block is refused")
  func badFrames() async throws {
    let bytes = Array((0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 100) })
    let frame = try #require(bytes.withUnsafeBytes { Zstandard.compress($0) })
    var other = bytes
    other[7] ^= 1
    let otherFrame = try #require(other.withUnsafeBytes { Zstandard.compress($0) })
    var damaged = frame
    damaged[frame.count / 2] ^= 0x55
    try await withCluster { cluster in
      for body in [damaged, frame + [0], Array(frame.dropLast()), otherFrame, [UInt8](repeating: 0, count: 1000), frame + frame] {
        let response = try await cluster.put(body, to: cluster.putURL(bytes), headers: ["Content-Encoding": "zstd"])
        #expect(response.status == 422)
      }
      #expect(try await cluster.put(bytes, to: cluster.putURL(bytes), headers: ["Content-Encoding": "zstd"]).status == 409)
      #expect(try await cluster.put(bytes, to: cluster.putURL(bytes), headers: ["Content-Encoding": "gzip"]).status == 400)
      #expect(cluster.holders(TestCluster.name(bytes)).isEmpty)
    }
  }

  @Test("a node without room answers 507, and a replica without room is replaced by a spare", arguments: StoreKind.allCases)
  func full(store: StoreKind) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(1_000_000)
    try await withCluster(.init(store: store, zones: ["a", "b", "c", "b"], fullNode: 1)) { cluster in
      let refused = try await cluster.put(bytes, to: cluster.putURL(bytes, at: 1))
      #expect(refused.status == 507)
      let receipts = try await cluster.store(bytes)
      #expect(!receipts.map(\.node).contains(cluster.nodes[1].id) && receipts.count == 3)
    }
  }

  @Test("a URL of an older layout is refused where the block has moved away, and only there")
  func staleLayout() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(1000)
    try await withCluster(.init(zones: ["a", "b", "c", "a"])) { cluster in
      try await cluster.spread(cluster.view(layoutVersion: 2, replicas: [3, 1, 2]))
      let moved = try await cluster.put(bytes, to: cluster.putURL(bytes, at: 0))
      #expect(moved.status == 409 && moved.problem == "stale-layout")
      #expect(try await cluster.put(bytes, to: cluster.putURL(bytes, at: 1)).status == 201)
      #expect(try await cluster.put(bytes, to: cluster.putURL(bytes, at: 0, layoutVersion: 2)).status == 201)
      #expect(try await cluster.put(bytes, to: cluster.putURL(bytes, at: 0, layoutVersion: 3)).status == 201)
    }
  }

  @Test("64 concurrent uploads never take more buffers than there are, and each is stored or told to come back")
  func bounded() async throws {
    var random = Seeds.random()
    let blocks = (0..<64).map { _ in random.bytes(1_000_000) }
    var limits = NodeLimits.forTests
    limits.clientBuffers = 6
    limits.replicaBuffers = 4
    let options = TestCluster.Options(limits: limits, writeQuorum: 2)
    try await withCluster(options) { cluster in
      let watch = Task { () -> Int in
        var most = 0
        while !Task.isCancelled {
          for node in cluster.nodes {
            most = max(most, node.node.pools.client.large.lent)
            #expect(node.node.pools.client.large.lent <= 6 && node.node.pools.replica.large.lent <= 4)
          }
          try? await Task.sleep(for: .milliseconds(1))
        }
        return most
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (index, block) in blocks.enumerated() {
          group.addTask {
            for _ in 0..<200 {
              let response = try await cluster.put(block, to: cluster.putURL(block, at: index % 3))
              if response.status == 201 { return }
              #expect(response.status == 503)
              try await Task.sleep(for: .milliseconds(50))
            }
            Issue.record("an upload was refused 200 times")
          }
        }
        try await group.waitForAll()
      }
      watch.cancel()
      #expect(await watch.value > 1)
      for block in blocks { #expect(cluster.holders(TestCluster.name(block)).count >= 2) }
      try await nothingLent(cluster)
    }
  }

  @Test("a client that goes away in the middle leaves nothing behind", arguments: [100_000, 3_000_000])
  func disconnect(sent: Int) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(4 << 20)
    try await withCluster(.init(minimumRateGrace: .seconds(2))) { cluster in
      let buffer = IOBuffer(capacity: bytes.count)
      buffer.mutableBytes(0..<bytes.count).copyBytes(from: bytes)
      let source = UploadSource(buffer: buffer, length: bytes.count, ready: sent)
      let url = cluster.putURL(bytes)
      let sending = Task { try await cluster.client.send(HTTPClientRequest(method: .put, url: url, body: .buffer(source))) }
      try await eventually("the upload holds a buffer") { cluster.nodes[0].node.pools.client.large.lent == 1 }
      try await Task.sleep(for: .milliseconds(100))
      source.abort()
      await #expect(throws: HTTPClientError.self) { try await sending.value }
      try await nothingLent(cluster)
      for node in cluster.nodes { #expect(node.disk.space().blockCount == 0) }
    }
  }

  @Test("a client that is slow from the start costs the replicas nothing until its block is nearly here")
  func slowClient() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(4 << 20)
    try await withCluster { cluster in
      let buffer = IOBuffer(capacity: bytes.count)
      buffer.mutableBytes(0..<bytes.count).copyBytes(from: bytes)
      let source = UploadSource(buffer: buffer, length: bytes.count)
      let url = cluster.putURL(bytes)
      let sending = Task { try await cluster.client.send(HTTPClientRequest(method: .put, url: url, body: .buffer(source))) }
      try await eventually("the upload holds a buffer") { cluster.nodes[0].node.pools.client.large.lent == 1 }
      // At this rate the rest takes 20 seconds and more.
      try await Task.sleep(for: .milliseconds(500))
      source.advance(to: 100_000)
      try await eventually("the first bytes are there") { cluster.nodes[0].server.counters.bodyBytesIn >= 100_000 }
      try await Task.sleep(for: .milliseconds(200))
      for node in cluster.nodes.dropFirst() { #expect(node.server.counters.requests == 0) }
      source.advance(to: bytes.count)
      let receipts = try cluster.receipts(try await sending.value)
      #expect(receipts.count == 3)
    }
  }

  @Test("a request's id goes with the record to the replicas", arguments: [100, 1_000_000])
  func requestID(size: Int) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(size)
    try await withCluster { cluster in
      let response = try await cluster.put(bytes, to: cluster.putURL(bytes), headers: ["X-Request-Id": "trace-\(size)"])
      #expect(response.status == 201)
      for node in cluster.nodes {
        try await eventually("\(node.id) has seen the id") { node.requests.contains("trace-\(size)") }
      }
    }
  }

  /// Everybody has given their buffers back, and no transfer is under way.
  private func nothingLent(_ cluster: TestCluster) async throws {
    for node in cluster.nodes {
      try await eventually("\(node.id) has all buffers back") { node.node.pools.all.allSatisfy { $0.pool.lent == 0 } }
    }
  }
}
