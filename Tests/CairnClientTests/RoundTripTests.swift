import BlockModel
import CairnClient
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Upload and download")
  struct RoundTripTests {
    private static let block = Limits.blockBytes
    // The last one is written past the page cache, but for its end.
    static let sizes = [0, 1, 4095, block - 1, block, block + 1, 5 * block, 16 * block + 77]

    @Test("a file of any size comes back byte for byte, with its time and executable bit", arguments: sizes)
    func roundTrip(size: Int) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(size)
        let source = try cluster.write("source", bytes, mode: 0o755)
        try File(source, .read).setModified(nanoseconds: 1_700_000_000_123_456_789)
        let client = try cluster.client()
        let entry = try await client.upload(source, to: "/deep/er/file")
        #expect(entry.size == Int64(size))
        #expect(entry.executable)
        cluster.replicate()
        try await client.download("/deep/er/file", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        let attributes = try #require(try Directory.attributes(cluster.folder.path("copy")))
        #expect(attributes.modifiedNanoseconds == 1_700_000_000_123_456_789)
        #expect(attributes.mode & 0o100 != 0)
        try await eventually { client.buffersLent == 0 }
      }
    }

    @Test("compressible bytes travel compressed and come back whole")
    func compression() async throws {
      try await withCluster { cluster in
        let bytes = [UInt8](repeating: 65, count: Limits.blockBytes + 100_000)
        let client = try cluster.client()
        try await client.upload(try cluster.write("source", bytes), to: "/a")
        #expect(cluster.nodes.reduce(0) { $0 + $1.state.withLock { $0.compressed } } == 2)
        cluster.replicate()
        try await client.download("/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("a block that occurs twice, or is in the cluster already, is sent once")
    func deduplication() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let block = random.bytes(Limits.blockBytes)
        let client = try cluster.client()
        try await client.upload(try cluster.write("twice", block + block + [1, 2, 3]), to: "/twice")
        try await client.upload(try cluster.write("again", block), to: "/again")
        #expect(cluster.puts.count == 2)
        #expect(cluster.puts.values.allSatisfy { $0 == 1 })
        cluster.replicate()
        try await client.download("/twice", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == block + block + [1, 2, 3])
      }
    }

    @Test("a pipe is read until it ends", arguments: [0, 10, Limits.blockBytes, 2 * Limits.blockBytes + 7])
    func pipes(size: Int) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(size)
        let source = try cluster.write("source", bytes)
        let pipe = cluster.folder.path("pipe")
        _ = try await ProcessRunner.run("/usr/bin/mkfifo", [pipe])
        let writer = try ChildProcess.start("/bin/sh", ["-c", "cat \"$0\" > \"$1\"", source, pipe])
        let client = try cluster.client()
        let entry = try await client.upload(pipe, to: "/streamed")
        _ = await writer.wait()
        #expect(entry.size == Int64(size))
        cluster.replicate()
        try await client.download("/streamed", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test(
      "a range gives exactly its bytes",
      arguments: [0..<0, 0..<1, 4_194_300..<4_194_310, 100..<9_000_000, 8_388_600..<99_999_999] as [Range<Int64>])
    func ranges(range: Range<Int64>) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(9_000_000)
        let client = try cluster.client(parallel: 2)
        try await client.upload(try cluster.write("source", bytes), to: "/a")
        cluster.replicate()
        let read = Mutex<[UInt8]>([])
        try await client.read("/a", range: range) { piece in read.withLock { $0 += Array(piece) } }
        let end = min(Int(range.upperBound), bytes.count)
        #expect(read.withLock { $0 } == Array(bytes[Int(range.lowerBound)..<max(end, Int(range.lowerBound))]))
        try await eventually { client.buffersLent == 0 }
      }
    }

    @Test("more blocks than buffers pass with no more buffers than the bound, and in pages of the plan")
    func boundedMemory() async throws {
      try await withCluster(pageSize: 3) { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(12 * Limits.blockBytes + 5)
        let source = try cluster.write("source", bytes)
        let client = try cluster.client(parallel: 2)
        let most = Mutex(0)
        let watcher = Task {
          while !Task.isCancelled {
            let lent = client.buffersLent
            most.withLock { $0 = max($0, lent) }
            try? await Task.sleep(for: .milliseconds(1))
          }
        }
        try await client.upload(source, to: "/large")
        cluster.replicate()
        try await client.download("/large", to: cluster.folder.path("copy"))
        watcher.cancel()
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        #expect(most.withLock { $0 } <= client.bufferLimit)
        #expect(client.bufferLimit == 4)
        try await eventually { client.buffersLent == 0 }
        #expect(cluster.puts.values.allSatisfy { $0 == 1 })
      }
    }

    @Test("older revisions stay readable")
    func revisions() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        let first = try await client.upload(try cluster.write("one", Array("one".utf8)), to: "/a")
        try await client.upload(try cluster.write("two", Array("two!".utf8)), to: "/a")
        cluster.replicate()
        try await client.download("/a", to: cluster.folder.path("new"))
        try await client.download("/a", to: cluster.folder.path("old"), version: first.version)
        #expect(try cluster.read(cluster.folder.path("new")) == Array("two!".utf8))
        #expect(try cluster.read(cluster.folder.path("old")) == Array("one".utf8))
      }
    }

    @Test("an upload based on an old version is a conflict that shows the current one")
    func conflict() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        let first = try await client.upload(try cluster.write("one", [1]), to: "/a")
        let second = try await client.upload(try cluster.write("two", [2]), to: "/a")
        let options = UploadOptions(onConflict: .fail, baseVersion: first.version)
        let error = await #expect(throws: CairnError.self) {
          try await client.upload(try cluster.write("three", [3]), to: "/a", options: options)
        }
        #expect(error?.kind == .conflict)
        #expect(error?.current?.version == second.version && second.version > first.version)
      }
    }
  }
}
