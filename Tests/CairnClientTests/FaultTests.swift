import BlockModel
import CairnClient
import Glibc
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Faults")
  struct FaultTests {
    @Test("transfers succeed through random node errors and damaged answers", arguments: 0..<6)
    func randomFaults(round: Int) async throws {
      let random = Mutex(SeededRandom(seed: Seeds.next() &+ UInt64(round)))
      try await withCluster { cluster in
        let bytes = random.withLock { $0.bytes(4 * Limits.blockBytes + 77) }
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { isPut, _ in
              switch random.withLock({ Int.random(in: 0..<10, using: &$0) }) {
              case 0: .error(500)
              case 1: .error(503)
              case 2: .error(507)
              case 3, 4: isPut ? .error(502) : .corrupt
              default: nil
              }
            }
          }
        }
        let client = try cluster.client()
        try await client.upload(try cluster.write("source", bytes), to: "/a")
        cluster.replicate()
        try await client.download("/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        try await eventually { client.buffersLent == 0 }
      }
    }

    @Test("bytes that are not the block are never taken, from any number of replicas")
    func corruption() async throws {
      try await withCluster { cluster in
        let client = try cluster.client(patience: .seconds(1))
        try await client.upload(try cluster.write("source", Array("precious".utf8)), to: "/a")
        cluster.replicate()
        for node in cluster.nodes.dropLast() { node.fault.withLock { $0 = { isPut, _ in isPut ? nil : .corrupt } } }
        try await client.download("/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == Array("precious".utf8))
        for node in cluster.nodes { node.fault.withLock { $0 = { isPut, _ in isPut ? nil : .corrupt } } }
        let error = await #expect(throws: CairnError.self) { try await client.download("/a", to: cluster.folder.path("other")) }
        #expect(error?.kind == .corrupted)
        #expect(try Directory.list(cluster.folder.path) == ["copy", "source"])
      }
    }

    @Test("a node that says nothing costs a hedge, not the transfer")
    func stalledNode() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        // Its first replica is the node that says nothing.
        var bytes: [UInt8]
        repeat { bytes = random.bytes(Limits.blockBytes) } while BlockID(bytes: SHA256Hasher.hash(bytes))!.words.0 % 3 != 0
        cluster.nodes[0].fault.withLock { $0 = { _, _ in .stall(.seconds(40)) } }
        let client = try cluster.client()
        let clock = ContinuousClock()
        let start = clock.now
        try await client.upload(try cluster.write("source", bytes), to: "/a")
        cluster.replicate()
        try await client.download("/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        #expect(clock.now - start < .seconds(30))
      }
    }

    @Test("a session that ends in the middle of an upload is begun anew")
    func lostSession() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(5 * Limits.blockBytes)
        let isLost = Mutex(false)
        cluster.gateway.fault.withLock {
          $0 = { method, path in
            guard path.hasSuffix("/complete"), !isLost.withLock({ $0 }) else { return nil }
            isLost.withLock { $0 = true }
            return .refusal(Problem(.uploadNotFound, "The upload has expired."))
          }
        }
        let client = try cluster.client()
        let entry = try await client.upload(try cluster.write("source", bytes), to: "/a")
        #expect(entry.size == Int64(bytes.count))
        #expect(cluster.gateway.count("POST /v1/uploads") == 2)
      }
    }

    @Test("a file that changes while it is read is never stored as a mixture")
    func changingSource() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let source = try cluster.write("source", random.bytes(5 * Limits.blockBytes))
        let changes = Mutex(0)
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { _, _ in
              // Whoever writes goes on for as long as blocks arrive.
              let count = changes.withLock {
                $0 += 1; return $0
              }
              try? File(source, [.write]).setModified(nanoseconds: Int64(count) * 1_000_000_000)
              return nil
            }
          }
        }
        let client = try cluster.client()
        let error = await #expect(throws: CairnError.self) { try await client.upload(source, to: "/a") }
        #expect(error?.kind == .sourceChanged)
        #expect(cluster.gateway.state.withLock { $0.entries["/a"] } == nil)
        for node in cluster.nodes { node.fault.withLock { $0 = { _, _ in nil } } }
        try await client.upload(source, to: "/a")
      }
    }

    @Test("a node that is gone is passed over")
    func deadNode() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(6 * Limits.blockBytes)
        await cluster.nodes[1].stop()
        let client = try cluster.client()
        try await client.upload(try cluster.write("source", bytes), to: "/a")
        cluster.replicate()
        try await client.download("/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("URLs that are past are replaced by fresh ones in the middle of a transfer")
    func expiredURLs() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(6 * Limits.blockBytes)
        // The third request to each node raises what it takes, so URLs given out before are past.
        let counts = Mutex<[NodeID: Int]>([:])
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { _, _ in
              let count = counts.withLock { counts in
                counts[node.name, default: 0] += 1
                return counts[node.name] ?? 0
              }
              guard count % 3 == 2 else { return nil }
              node.generation.wrappingAdd(1, ordering: .relaxed)
              return .error(401)
            }
          }
        }
        let client = try cluster.client()
        try await client.upload(try cluster.write("source", bytes), to: "/a")
        cluster.replicate()
        try await client.download("/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("a gateway that is busy or breaks is asked again")
    func busyGateway() async throws {
      try await withCluster { cluster in
        let random = Mutex(Seeds.random())
        cluster.gateway.fault.withLock {
          $0 = { _, _ in
            random.withLock { Int.random(in: 0..<3, using: &$0) } == 0
              ? .refusal(Problem(.busy, "Busy; try again.", retryAfter: 0)) : nil
          }
        }
        let client = try cluster.client()
        let bytes = random.withLock { $0.bytes(3 * Limits.blockBytes) }
        try await client.upload(try cluster.write("source", bytes), to: "/a")
        cluster.replicate()
        try await client.download("/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("a deletion whose answer got lost is done when the second attempt finds nothing; one that finds nothing at once is not")
    func repeatedDeletion() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        try await client.makeFolder("/a")
        let attempts = Mutex(0)
        cluster.gateway.fault.withLock {
          $0 = { method, _ in
            guard method == "DELETE" else { return nil }
            let attempt = attempts.withLock { attempts in
              attempts += 1
              return attempts
            }
            return attempt == 1
              ? .refusal(Problem(.unavailable, "Whether it happened is unknown.", retryAfter: 0)) : .refusal(Problem(.notFound, "Gone."))
          }
        }
        try await client.remove("/a")
        #expect(attempts.withLock { $0 } == 2)
        let error = await #expect(throws: CairnError.self) { try await client.remove("/a") }
        #expect(error?.kind == .notFound)
      }
    }

    @Test("when nobody answers for longer than the patience, the error says unavailable")
    func nobody() async throws {
      try await withCluster { cluster in
        let client = try cluster.client(patience: .milliseconds(300))
        await cluster.gateway.stop()
        let error = await #expect(throws: CairnError.self) { try await client.entry(at: "/a") }
        #expect(error?.kind == .unavailable)
      }
    }

    @Test(
      "refusals keep their meaning",
      arguments: [
        (Problem.Kind.unauthenticated, CairnError.Kind.notLoggedIn), (.forbidden, .notAllowed), (.notFound, .notFound),
        (.conflict, .conflict),
        (.quota, .quota), (.invalidName, .invalidArgument),
      ])
    func refusals(problem: Problem.Kind, kind: CairnError.Kind) async throws {
      try await withCluster { cluster in
        cluster.gateway.fault.withLock { $0 = { _, _ in .refusal(Problem(problem, "Say this.")) } }
        let client = try cluster.client()
        let error = await #expect(throws: CairnError.self) { try await client.entry(at: "/a") }
        #expect(error?.kind == kind)
        #expect(error?.message == "Say this.")
      }
    }

    @Test("a path that is no path is refused before anything is sent", arguments: ["", "a", "/a/../b", "/a//b", "/./a", "/a\0b", "/a/"])
    func badPaths(path: String) async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        let error = await #expect(throws: CairnError.self) { try await client.entry(at: path) }
        #expect(error?.kind == .invalidArgument)
        #expect(cluster.gateway.state.withLock { $0.requests.isEmpty })
      }
    }

    @Test("a cancelled transfer ends soon and gives its buffers back")
    func cancellation() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let source = try cluster.write("source", random.bytes(8 * Limits.blockBytes))
        for node in cluster.nodes { node.fault.withLock { $0 = { _, _ in .stall(.seconds(60)) } } }
        let client = try cluster.client()
        let task = Task { try await client.upload(source, to: "/a") }
        try await eventually { client.buffersLent == client.bufferLimit }
        task.cancel()
        let error = await #expect(throws: CairnError.self) { try await task.value }
        #expect(error?.kind == .cancelled)
        try await eventually { client.buffersLent == 0 }
      }
    }

    @Test("a large download that the disk has no room for is refused before a block is fetched, and leaves nothing behind")
    func smallDisk() async throws {
      try await withCluster { cluster in
        let small = cluster.folder.path("small")
        try Directory.create(small)
        guard mount("tmpfs", small, "tmpfs", 0, "size=32m") == 0 else {
          print("skipped: mounting a small tmpfs needs root and the right to mount")
          return
        }
        defer { umount2(small, Int32(2)) }
        var random = Seeds.random()
        let bytes = random.bytes(16 * Limits.blockBytes)
        let client = try cluster.client(compress: false)
        try await client.upload(try cluster.write("source", bytes), to: "/f")
        cluster.replicate()
        let error = await #expect(throws: CairnError.self) { try await client.download("/f", to: small + "/copy") }
        #expect(error?.kind == .localFile && error?.message.contains("is full; make room") == true)
        #expect(cluster.gets == 0)
        #expect(try Directory.list(small) == [])
        try await client.download("/f", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }
  }
}
