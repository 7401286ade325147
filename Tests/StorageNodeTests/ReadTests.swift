import BlockModel
import BlockStore
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

@Suite("GET of a block") struct ReadTests {
  @Test("ranges, HEAD, ETag and If-None-Match answer as RFC 9110 says", arguments: StoreKind.allCases)
  func ranges(store: StoreKind) async throws {
    var random = Seeds.random()
    let bytes = random.bytes(200_000)
    try await withCluster(.init(store: store)) { cluster in
      _ = try await cluster.store(bytes)
      let url = cluster.getURL(bytes, at: 1)
      let cases: [(String, Range<Int>)] = [
        ("bytes=0-0", 0..<1), ("bytes=65535-65536", 65535..<65537), ("bytes=199999-", 199_999..<200_000),
        ("bytes=-70000", 130_000..<200_000),
        ("bytes=100-900000", 100..<200_000),
      ]
      for (header, range) in cases {
        let response = try await cluster.get(url, headers: ["Range": header])
        #expect(response.status == 206 && response.bytes == Array(bytes[range]), "\(header)")
        #expect(response.headers["Content-Range"] == "bytes \(range.lowerBound)-\(range.upperBound - 1)/200000")
      }
      let beyond = try await cluster.get(url, headers: ["Range": "bytes=200000-"])
      #expect(beyond.status == 416 && beyond.headers["Content-Range"] == "bytes */200000")
      let etag = "\"\(TestCluster.name(bytes).hex)\""
      let head = try await cluster.get(url, method: .head)
      #expect(head.status == 200 && head.bytes.isEmpty && head.headers["Content-Length"] == "200000" && head.headers["ETag"] == etag)
      #expect(head.headers["Accept-Ranges"] == "bytes")
      let same = try await cluster.get(url, headers: ["If-None-Match": etag])
      #expect(same.status == 304 && same.bytes.isEmpty)
    }
  }

  @Test("a compressed block goes out compressed to who accepts zstd, and plain to who does not")
  func acceptEncoding() async throws {
    let bytes = Array((0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 100) })
    let frame = try #require(bytes.withUnsafeBytes { Zstandard.compress($0) })
    try await withCluster { cluster in
      let put = try await cluster.put(frame, to: cluster.putURL(bytes), headers: ["Content-Encoding": "zstd"])
      #expect(put.status == 201)
      for header in ["zstd", "gzip, zstd;q=0.5", "br,zstd"] {
        let response = try await cluster.get(cluster.getURL(bytes, at: 2), headers: ["Accept-Encoding": header])
        #expect(response.bytes == frame && response.headers["Content-Encoding"] == "zstd" && response.headers["Vary"] == "Accept-Encoding")
      }
      for header in ["gzip", "zstd;q=0", "identity"] {
        let response = try await cluster.get(cluster.getURL(bytes, at: 2), headers: ["Accept-Encoding": header])
        #expect(response.bytes == bytes && response.headers["Content-Encoding"] == nil)
      }
    }
  }

  @Test("a block that is not here answers 404, a rotten copy 503 when no coordinator helps; the other replicas still serve it")
  func rot() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(100_000)
    let absent = random.bytes(10)
    try await withCluster { cluster in
      _ = try await cluster.store(bytes)
      let disk = try #require(cluster.nodes[1].disk as? MemoryStore)
      #expect(disk.rot(TestCluster.name(bytes)))
      let response = try await cluster.get(cluster.getURL(bytes, at: 1))
      #expect(response.status == 503 && response.problem == "unavailable")
      let missing = try await cluster.get(cluster.getURL(absent, at: 1))
      #expect(missing.status == 404)
      let other = try await cluster.get(cluster.getURL(bytes, at: 0))
      #expect(other.bytes == bytes)
      let again = try await cluster.command(.exist(blocks: [TestCluster.name(bytes)]), at: 1)
      #expect(again == .exist(present: "0"))
    }
  }

  @Test("a GET URL opens one block on one node, for reading only")
  func bound() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(5000)
    try await withCluster { cluster in
      _ = try await cluster.store(bytes)
      let url = cluster.getURL(bytes, at: 0)
      let elsewhere = url.replacing(":\(cluster.nodes[0].server.port)", with: ":\(cluster.nodes[1].server.port)")
      let moved = try await cluster.get(elsewhere)
      #expect(moved.status == 403)
      let put = try await cluster.put(bytes, to: url)
      #expect(put.status == 403)
      let record = try await cluster.get(cluster.putURL(bytes))
      #expect(record.status == 403)
      let bare = try await cluster.get(cluster.nodes[0].address + "/v1/blocks/" + TestCluster.name(bytes).hex)
      #expect(bare.status == 400)
      let expired = try await cluster.get(
        cluster.url(cluster.capability(.get, TestCluster.name(bytes), size: 5000, at: 0, expires: 5)))
      #expect(expired.status == 401)
    }
  }

  @Test("health, readiness and metrics need no capability; readiness says why not")
  func health() async throws {
    try await withCluster { cluster in
      let address = cluster.nodes[0].address
      let health = try await cluster.get(address + "/healthz")
      #expect(health.status == 200)
      let ready = try await cluster.get(address + "/readyz")
      #expect(ready.status == 200)
      let metrics = try await cluster.get(address + "/metrics")
      #expect(String(decoding: metrics.bytes, as: UTF8.self).contains("cairn_node_buffers_lent{pool=\"client\"} 0"))
      cluster.nodes[0].node.refuseWrites()
      let stopping = try await cluster.get(address + "/readyz")
      #expect(stopping.status == 503)
      let refused = try await cluster.put([1], to: cluster.putURL([1]))
      #expect(refused.status == 503)
    }
  }
}
