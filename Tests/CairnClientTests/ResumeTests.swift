import BlockModel
import CairnClient
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Going on after an interruption")
  struct ResumeTests {
    private static let blocks = 10

    /// Blocks that a journal says are in a part file.
    private func done(_ cluster: TestCluster) throws -> Int {
      let folder = cluster.folder.path("state/downloads")
      guard try Directory.attributes(folder) != nil else { return 0 }
      return try Directory.list(folder).reduce(0) { sum, name in
        let text = String(decoding: try cluster.read(folder + "/" + name) ?? [], as: UTF8.self)
        return sum + text.split(separator: "\n").count { $0.hasPrefix("done ") }
      }
    }

    /// Uploads until `limit` blocks are stored, then stops without a word, as a killed process does: what it knows is only in its journal.
    private func uploadPartly(_ cluster: TestCluster, _ source: String, stopAfter limit: Int) async throws {
      let stored = Mutex(0)
      for node in cluster.nodes {
        node.fault.withLock {
          $0 = { isPut, _ in
            guard isPut else { return nil }
            return stored.withLock { stored in
              stored += 1
              return stored > limit ? .stall(.seconds(60)) : nil
            }
          }
        }
      }
      let client = try cluster.client(parallel: 2)
      let task = Task { try await client.upload(source, to: "/large") }
      // Receipts are written down as they come.
      try await eventually {
        try cluster.acknowledged().count >= limit && client.buffersLent >= min(client.bufferLimit, Self.blocks - limit)
      }
      task.cancel()
      _ = await task.result
      for node in cluster.nodes { node.fault.withLock { $0 = { _, _ in nil } } }
    }

    @Test("an upload goes on and sends no acknowledged block twice", arguments: [1, 4, 7])
    func upload(stopAfter limit: Int) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(Self.blocks * Limits.blockBytes - 9)
        let source = try cluster.write("source", bytes)
        try await uploadPartly(cluster, source, stopAfter: limit)
        let before = try cluster.acknowledged()
        #expect(before.count >= limit)
        #expect(before.count < Self.blocks)
        for node in cluster.nodes { node.state.withLock { $0.puts = [:] } }
        try await cluster.client(parallel: 2).upload(source, to: "/large")
        #expect(before.isDisjoint(with: cluster.puts.keys))
        #expect(cluster.puts.count == Self.blocks - before.count)
        #expect(cluster.gateway.count("POST /v1/uploads") == 1)
        #expect(try Directory.list(cluster.folder.path("state/uploads")).isEmpty)
        cluster.replicate()
        try await cluster.client().download("/large", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("a file that changed in between is uploaded anew")
    func changedSource() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let source = try cluster.write("source", random.bytes(Self.blocks * Limits.blockBytes))
        try await uploadPartly(cluster, source, stopAfter: 3)
        let bytes = random.bytes(4 * Limits.blockBytes)
        _ = try cluster.write("source", bytes)
        try await cluster.client().upload(source, to: "/large")
        #expect(cluster.gateway.count("POST /v1/uploads") == 2)
        cluster.replicate()
        try await cluster.client().download("/large", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("a session that the gateway has forgotten is begun anew")
    func forgottenSession() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(Self.blocks * Limits.blockBytes)
        let source = try cluster.write("source", bytes)
        try await uploadPartly(cluster, source, stopAfter: 3)
        cluster.gateway.state.withLock { $0.uploads = [:] }
        let entry = try await cluster.client().upload(source, to: "/large")
        #expect(entry.size == Int64(bytes.count))
        #expect(cluster.gateway.count("POST /v1/uploads") == 2)
      }
    }

    @Test("journals and part files that nobody came back for in two weeks go; young ones and ones in use stay")
    func sweep() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        try await cluster.client().upload(try cluster.write("source", random.bytes(Self.blocks * Limits.blockBytes)), to: "/large")
        cluster.replicate()
        try await downloadPartly(cluster, to: cluster.folder.path("copy"))
        for node in cluster.nodes { node.fault.withLock { $0 = { _, _ in nil } } }
        let folder = cluster.folder.path("state/downloads")
        let journal = folder + "/" + (try #require(try Directory.list(folder).first))
        func partFiles() throws -> Int { try Directory.list(cluster.folder.path).count { $0.contains(".cairn-part-") } }
        // Another file's transfer by a fresh client, which looks round once.
        func transfer() async throws { try await cluster.client().upload(cluster.folder.path("source"), to: "/other") }
        try await transfer()
        #expect(try partFiles() == 1, "it is young")
        let old = SystemTime().wall() - .seconds(15 * 24 * 3600)
        do {
          let file = try File(journal, [.read, .write])
          try file.setModified(nanoseconds: old.microseconds * 1000)
          #expect(try file.lockExclusive())
          try await transfer()
          #expect(try partFiles() == 1, "somebody has it")
        }
        // The interrupted download lets its journal go a moment after it has ended.
        try await eventually("The old part file's going") {
          try await transfer()
          return try partFiles() == 0
        }
        #expect(try Directory.attributes(journal) == nil)
      }
    }

    @Test("a damaged journal costs time and nothing else")
    func damagedJournal() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(Self.blocks * Limits.blockBytes)
        let source = try cluster.write("source", bytes)
        try await uploadPartly(cluster, source, stopAfter: 3)
        let folder = cluster.folder.path("state/uploads")
        for name in try Directory.list(folder) {
          var journal = try #require(try cluster.read(folder + "/" + name))
          journal[journal.count / 2] ^= 0x10
          try AtomicFile.write(folder + "/" + name, journal)
        }
        try await cluster.client().upload(source, to: "/large")
        cluster.replicate()
        try await cluster.client().download("/large", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    /// Downloads five blocks of `/large`, then stops without a word.
    private func downloadPartly(_ cluster: TestCluster, to copy: String) async throws {
      let served = Mutex(0)
      for node in cluster.nodes {
        node.fault.withLock {
          $0 = { isPut, _ in
            served.withLock { served in
              served += 1
              return served > 5 ? .stall(.seconds(60)) : nil
            }
          }
        }
      }
      let client = try cluster.client(parallel: 2)
      let task = Task { try await client.download("/large", to: copy) }
      try await eventually { try self.done(cluster) >= 5 && client.buffersLent == client.bufferLimit }
      task.cancel()
      _ = await task.result
    }

    @Test("a download goes on and asks for no block twice")
    func download() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(Self.blocks * Limits.blockBytes + 1)
        try await cluster.client().upload(try cluster.write("source", bytes), to: "/large")
        cluster.replicate()
        let copy = cluster.folder.path("copy")
        try await downloadPartly(cluster, to: copy)
        #expect(try cluster.read(copy) == nil)
        let done = try self.done(cluster)
        var asked: [BlockID: Int] = [:]
        for node in cluster.nodes {
          node.fault.withLock { $0 = { _, _ in nil } }
          node.state.withLock { state in
            asked.merge(state.gets, uniquingKeysWith: +)
            state.gets = [:]
          }
        }
        try await cluster.client(parallel: 2).download("/large", to: copy)
        #expect(try cluster.read(copy) == bytes)
        // Different blocks: of a slow node's, another node may have been asked as well.
        let again = cluster.nodes.reduce(into: Set<BlockID>()) { asked, node in asked.formUnion(node.state.withLock { $0.gets.keys }) }
        #expect(again.count == Self.blocks + 1 - done)
        #expect(try Directory.list(cluster.folder.path).sorted() == ["copy", "source", "state"])
        #expect(try Directory.list(cluster.folder.path("state/downloads")).isEmpty)
      }
    }

    @Test("a part file that was tampered with is not believed")
    func damagedPart() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(6 * Limits.blockBytes)
        try await cluster.client().upload(try cluster.write("source", bytes), to: "/large")
        cluster.replicate()
        let served = Mutex(0)
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { _, _ in
              served.withLock {
                $0 += 1; return $0 > 3 ? .stall(.seconds(60)) : nil
              }
            }
          }
        }
        let copy = cluster.folder.path("copy")
        let client = try cluster.client(parallel: 2)
        let task = Task { try await client.download("/large", to: copy) }
        try await eventually { served.withLock { $0 } > 3 && client.buffersLent == client.bufferLimit }
        task.cancel()
        _ = await task.result
        let part = try #require(try Directory.list(cluster.folder.path).first { $0.hasPrefix(".copy.cairn-part-") })
        let file = try File(cluster.folder.path(part), [.read, .write])
        let zeros = [UInt8](repeating: 0, count: 6 * Limits.blockBytes)
        try zeros.withUnsafeBytes { try file.pwrite($0, at: 0) }
        for node in cluster.nodes { node.fault.withLock { $0 = { _, _ in nil } } }
        try await cluster.client().download("/large", to: copy)
        #expect(try cluster.read(copy) == bytes)
      }
    }
  }
}
