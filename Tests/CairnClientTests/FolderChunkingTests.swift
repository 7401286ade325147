import BlockModel
import CairnClient
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Chunking by folder")
  struct FolderChunkingTests {
    private static let large = Limits.blockBytes + 1000

    private func chunker(_ cluster: TestCluster, _ path: String) throws -> Chunker {
      try cluster.gateway.state.withLock { state in
        let entry = try #require(state.entries[path])
        return try #require(state.versions[entry.id]?.last).chunker
      }
    }

    @Test("a folder shows its own chunking and what holds, and inherits again when it is told to")
    func setting() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        let made = try await client.makeFolder("/a", chunking: .contentDefined)
        #expect(made.chunking == .contentDefined && made.effectiveChunking == .contentDefined)
        try await client.makeFolder("/a/b")
        let below = try await client.entry(at: "/a/b")
        #expect(below.chunking == nil && below.effectiveChunking == .contentDefined)
        #expect(try await client.setChunking(of: "/a/b", to: .fixed).chunking == .fixed)
        #expect(try await client.entry(at: "/a/b").effectiveChunking == .fixed)
        let inherits = try await client.setChunking(of: "/a/b", to: nil)
        #expect(inherits.chunking == nil && inherits.effectiveChunking == .contentDefined)
        #expect(try await client.setChunking(of: "/", to: .contentDefined).effectiveChunking == .contentDefined)
        try await client.upload(try cluster.write("one", [1]), to: "/a/one")
        let refused = await #expect(throws: CairnError.self) { try await client.setChunking(of: "/a/one", to: .fixed) }
        #expect(refused?.kind == .invalidArgument)
        #expect(try await client.entry(at: "/a/one").effectiveChunking == nil)
      }
    }

    @Test("files are cut as their folder says unless the upload says, and the content hash is the same either way")
    func following() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        try await client.makeFolder("/cdc", chunking: .contentDefined)
        try await client.makeFolder("/fixed")
        var random = Seeds.random()
        let source = try cluster.write("source", random.bytes(Self.large))
        var hashes: Set<String?> = []
        for path in ["/cdc/f", "/cdc/new/newer/f", "/fixed/f"] {
          hashes.insert(try await client.upload(source, to: path).contentHash)
          #expect(try chunker(cluster, path) == (path.hasPrefix("/cdc") ? .cdc : .fixed), "\(path)")
        }
        hashes.insert(try await client.upload(source, to: "/cdc/named", options: UploadOptions(chunking: .fixed)).contentHash)
        #expect(try chunker(cluster, "/cdc/named") == .fixed)
        hashes.insert(try await client.upload(source, to: "/fixed/named", options: UploadOptions(chunking: .contentDefined)).contentHash)
        #expect(try chunker(cluster, "/fixed/named") == .cdc)
        #expect(hashes.count == 1)
        let tiny = try cluster.write("tiny", random.bytes(1000))
        try await client.upload(tiny, to: "/cdc/tiny")
        #expect(try chunker(cluster, "/cdc/tiny") == .fixed, "one block is checked by the cluster")
      }
    }

    @Test("a tree costs one question a folder with large files, and none where all are small")
    func questions() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        try await client.makeFolder("/there", chunking: .contentDefined)
        var random = Seeds.random()
        let root = cluster.folder.path("tree")
        for folder in ["", "/large", "/small"] { try Directory.create(root + folder) }
        for number in 0..<5 {
          _ = try cluster.write("tree/large/\(number)", random.bytes(1 << 20))
          _ = try cluster.write("tree/small/\(number)", random.bytes(2000))
        }
        let before = (gets: cluster.gateway.count("GET /v1/files"), opened: cluster.gateway.count("POST /v1/uploads"))
        let result = try await client.put([root], to: "/there", recursive: true)
        #expect(result.failures.isEmpty && result.files == 10)
        // One to see whether /there is a folder, and one for the folder with large files.
        #expect(cluster.gateway.count("GET /v1/files") - before.gets == 2)
        #expect(cluster.gateway.count("POST /v1/uploads") - before.opened == 5)
        for number in 0..<5 {
          #expect(try chunker(cluster, "/there/tree/large/\(number)") == .cdc)
          #expect(try chunker(cluster, "/there/tree/small/\(number)") == .fixed)
        }
      }
    }

    @Test("a pipe is cut as its folder says, also where there is no folder yet")
    func pipes() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        try await client.makeFolder("/cdc", chunking: .contentDefined)
        var random = Seeds.random()
        let source = try cluster.write("source", random.bytes(Self.large))
        for (number, path) in ["/cdc/piped", "/cdc/new/piped"].enumerated() {
          let pipe = cluster.folder.path("pipe-\(number)")
          _ = try await ProcessRunner.run("/usr/bin/mkfifo", [pipe])
          let writer = try ChildProcess.start("/bin/sh", ["-c", "cat \"$0\" > \"$1\"", source, pipe])
          try await client.upload(pipe, to: path)
          _ = await writer.wait()
          #expect(try chunker(cluster, path) == .cdc)
        }
        let empty = cluster.folder.path("empty")
        _ = try await ProcessRunner.run("/usr/bin/mkfifo", [empty])
        let writer = try ChildProcess.start("/bin/sh", ["-c", ": > \"$0\"", empty])
        #expect(try await client.upload(empty, to: "/cdc/none/empty").size == 0)
        _ = await writer.wait()
      }
    }

    @Test("an upload that was stopped goes on as it was cut when it began, whatever its folder says by now")
    func resuming() async throws {
      try await withCluster { cluster in
        try await cluster.client().makeFolder("/cdc", chunking: .contentDefined)
        var random = Seeds.random()
        let source = try cluster.write("source", random.bytes(4 * Limits.blockBytes))
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
        let task = Task { try await client.upload(source, to: "/cdc/large") }
        try await eventually { try cluster.acknowledged().count >= 4 && client.buffersLent >= client.bufferLimit }
        task.cancel()
        _ = await task.result
        for node in cluster.nodes { node.fault.withLock { $0 = { _, _ in nil } } }
        _ = try await cluster.client().setChunking(of: "/cdc", to: .fixed)
        try await cluster.client(parallel: 2).upload(source, to: "/cdc/large")
        #expect(cluster.gateway.count("POST /v1/uploads") == 1)
        #expect(try chunker(cluster, "/cdc/large") == .cdc)
      }
    }
  }
}
