import BlockModel
import CairnClient
import Glibc
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Content-defined blocks")
  struct ContentDefinedTests {
    private static let options = UploadOptions(chunking: .contentDefined)

    /// The public content hash: SHA-256 over the SHA-256 of each 4 MiB.
    private func contentHash(_ bytes: [UInt8]) -> String {
      var pieces: [UInt8] = []
      for start in stride(from: 0, to: bytes.count, by: Limits.blockBytes) {
        pieces += SHA256Hasher.hash(Array(bytes[start..<min(start + Limits.blockBytes, bytes.count)]))
      }
      return HexDigits.encode(SHA256Hasher.hash(pieces))
    }

    private func version(_ cluster: TestCluster, _ entry: Entry) throws -> FakeGateway.Version {
      let id = try #require(EntryID(hex: entry.id))
      return try #require(cluster.gateway.state.withLock { $0.versions[id]?.last })
    }

    private static let standard = ContentDefinedChunking.standard
    static let sizes = [
      0, 1, standard.minimumBytes, standard.minimumBytes + 1, Limits.blockBytes - 1, Limits.blockBytes, 2 * Limits.blockBytes + 77_777,
    ]

    @Test("a file of any size comes back whole, also in ranges, with the public content hash", arguments: sizes)
    func roundTrip(size: Int) async throws {
      try await withCluster(pageSize: 2) { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(size)
        let client = try cluster.client()
        let entry = try await client.upload(try cluster.write("source", bytes), to: "/f", options: Self.options)
        #expect(entry.contentHash == contentHash(bytes))
        let version = try version(cluster, entry)
        #expect(version.chunker == (size > Self.standard.minimumBytes ? .cdc : .fixed))
        #expect(version.blocks.dropLast().allSatisfy { $0.size > Self.standard.minimumBytes })
        cluster.replicate()
        try await client.download("/f", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        for _ in 0..<5 where size > 0 {
          let start = Int.random(in: 0..<size, using: &random)
          let end = Int.random(in: start...size, using: &random)
          let read = Mutex<[UInt8]>([])
          try await client.read("/f", range: Int64(start)..<Int64(end)) { piece in read.withLock { $0 += piece } }
          #expect(read.withLock { $0 } == Array(bytes[start..<end]))
        }
      }
    }

    @Test("what is inserted at the front costs a few blocks, where fixed blocks would all be sent again")
    func insertion() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(6 * Limits.blockBytes)
        let client = try cluster.client(compress: false)
        try await client.upload(try cluster.write("source", bytes), to: "/f", options: Self.options)
        let before = cluster.storedBytes
        let entry = try await client.upload(try cluster.write("source", [7] + bytes), to: "/f", options: Self.options)
        #expect(entry.size == Int64(bytes.count) + 1)
        #expect(cluster.storedBytes - before <= 3 * Limits.blockBytes)
        cluster.replicate()
        try await client.download("/f", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == [7] + bytes)
      }
    }

    @Test("a download takes the blocks that the local file has already from there", arguments: [Chunking.fixed, .contentDefined])
    func localBlocks(chunking: Chunking) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        var bytes = random.bytes(6 * Limits.blockBytes)
        let client = try cluster.client(compress: false)
        let options = UploadOptions(chunking: chunking)
        try await client.upload(try cluster.write("source", bytes), to: "/f", options: options)
        cluster.replicate()
        let copy = cluster.folder.path("copy")
        try await client.download("/f", to: copy)
        if chunking == .contentDefined { bytes.insert(7, at: 100) } else { bytes[5 * Limits.blockBytes / 2] ^= 1 }
        bytes += random.bytes(1000)
        try await client.upload(try cluster.write("source", bytes), to: "/f", options: options)
        cluster.replicate()
        for node in cluster.nodes { node.state.withLock { $0.gets = [:] } }
        try await client.download("/f", to: copy)
        #expect(try cluster.read(copy) == bytes)
        #expect(cluster.gets <= (chunking == .fixed ? 4 : 10))
        // What the local file has is looked at, and never believed.
        var spoiled = bytes
        spoiled[Limits.blockBytes] ^= 1
        _ = try cluster.write("copy", spoiled)
        try await client.download("/f", to: copy)
        #expect(try cluster.read(copy) == bytes)
      }
    }

    @Test("a download finds what lies between several changes, each of which moved what follows")
    func severalChanges() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        var bytes = random.bytes(10 * Limits.blockBytes)
        let client = try cluster.client(compress: false)
        try await client.upload(try cluster.write("source", bytes), to: "/f", options: Self.options)
        cluster.replicate()
        let copy = cluster.folder.path("copy")
        try await client.download("/f", to: copy)
        bytes.insert(7, at: 100)
        bytes.removeSubrange((3 * Limits.blockBytes)..<(3 * Limits.blockBytes + 50))
        bytes.insert(contentsOf: random.bytes(1000), at: 7 * Limits.blockBytes)
        let entry = try await client.upload(try cluster.write("source", bytes), to: "/f", options: Self.options)
        cluster.replicate()
        for node in cluster.nodes { node.state.withLock { $0.gets = [:] } }
        try await client.download("/f", to: copy)
        #expect(try cluster.read(copy) == bytes)
        // Each change is in one block, and may move an end or two.
        let fetched = cluster.nodes.reduce(into: Set<BlockID>()) { found, node in node.state.withLock { found.formUnion($0.gets.keys) } }
        #expect(fetched.count <= 9)
        #expect(try version(cluster, entry).blocks.count >= 18)
      }
    }

    @Test(
      "a block that was expected to be in the cluster, and is not, is read again and sent",
      arguments: [Chunking.fixed, .contentDefined])
    func unexpected(chunking: Chunking) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        var bytes = random.bytes(14 * Limits.blockBytes)
        let client = try cluster.client(compress: false)
        let options = UploadOptions(chunking: chunking)
        try await client.upload(try cluster.write("source", bytes), to: "/f", options: options)
        bytes[bytes.count - 10] ^= 1
        for node in cluster.nodes { node.state.withLock { $0.puts = [:] } }
        let entry = try await client.upload(try cluster.write("source", bytes), to: "/f", options: options)
        #expect(entry.contentHash == contentHash(bytes))
        #expect(cluster.puts.count == 1)
        #expect(client.buffersLent == 0)
        cluster.replicate()
        try await client.download("/f", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("a pipe is cut like a file, however its bytes come", arguments: [0, 1000, 2 * Limits.blockBytes + 7])
    func pipes(size: Int) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(size)
        let source = try cluster.write("source", bytes)
        let pipe = cluster.folder.path("pipe")
        _ = try await ProcessRunner.run("/usr/bin/mkfifo", [pipe])
        let client = try cluster.client()
        let file = try version(cluster, try await client.upload(source, to: "/file", options: Self.options))
        let writer = try ChildProcess.start("/bin/sh", ["-c", "cat \"$0\" > \"$1\"", source, pipe])
        let entry = try await client.upload(pipe, to: "/streamed", options: Self.options)
        _ = await writer.wait()
        #expect(try version(cluster, entry).blocks == file.blocks)
        #expect(entry.contentHash == contentHash(bytes))
      }
    }

    @Test("a content hash that is known is taken for the very state of the file that it is of, and for no other")
    func known() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(2 * Limits.blockBytes + 5)
        let source = try cluster.write("source", bytes)
        var status = stat()
        #expect(stat(source, &status) == 0)
        func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }
        // The stand-in counts a new file's versions from 1. Wrong, so that it shows whether it was taken; the cluster cannot tell.
        let claim = String(repeating: "7", count: 64)
        let state = KnownContent(
          inode: UInt64(status.st_ino), size: Int64(bytes.count), modified: nanoseconds(status.st_mtim),
          changed: nanoseconds(status.st_ctim), contentHash: claim)
        let client = try cluster.client()
        func upload(_ path: String, _ change: (inout KnownContent) -> Void) async throws -> String? {
          var known = state
          change(&known)
          let file = CairnClient.SyncUpload(
            localPath: source, remotePath: path, baseEntry: nil, baseVersion: 1, size: Int64(bytes.count), known: known)
          return try await client.syncUpload([file], chunking: .contentDefined).first?.get().contentHash
        }
        #expect(try await upload("/same") { _ in } == claim)
        #expect(try await upload("/changed") { $0.changed += 1 } == contentHash(bytes))
        #expect(try await upload("/modified") { $0.modified += 1 } == contentHash(bytes))
        #expect(try await upload("/other") { $0.inode += 1 } == contentHash(bytes))
        #expect(try await upload("/longer") { $0.size += 1 } == contentHash(bytes))
      }
    }

    @Test("an upload that was stopped goes on and sends no acknowledged block twice")
    func resume() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(4 * Limits.blockBytes)
        let source = try cluster.write("source", bytes)
        let stored = Mutex(0)
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { isPut, _ in
              guard isPut else { return nil }
              return stored.withLock { stored in
                stored += 1
                return stored > 4 ? .stall(.seconds(60)) : nil
              }
            }
          }
        }
        let client = try cluster.client(parallel: 2)
        let task = Task { try await client.upload(source, to: "/large", options: Self.options) }
        try await eventually { try cluster.acknowledged().count >= 4 && client.buffersLent >= client.bufferLimit }
        task.cancel()
        _ = await task.result
        let before = try cluster.acknowledged()
        for node in cluster.nodes {
          node.fault.withLock { $0 = { _, _ in nil } }
          node.state.withLock { $0.puts = [:] }
        }
        let entry = try await cluster.client(parallel: 2).upload(source, to: "/large", options: Self.options)
        #expect(cluster.gateway.count("POST /v1/uploads") == 1)
        #expect(before.isDisjoint(with: cluster.puts.keys))
        #expect(entry.contentHash == contentHash(bytes))
        cluster.replicate()
        try await cluster.client().download("/large", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }
  }
}
