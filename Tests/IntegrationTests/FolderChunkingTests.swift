import BlockModel
import Foundation
import Platform
import TestSupport
import Testing

@Suite("Chunking chosen per folder, on real processes", .serialized)
struct FolderChunkingTests {
  private static let size = 64 << 20
  /// What an insertion at the front may cost: the blocks around it, and in a file of 64 MiB with fixed blocks it would be all.
  private static let few = 9 << 20

  private struct Shown: Decodable {
    var contentHash: String?
    var chunker: String?
    var effectiveChunker: String?
    private enum CodingKeys: String, CodingKey {
      case chunker
      case contentHash = "content_hash"
      case effectiveChunker = "effective_chunker"
    }
  }

  private struct Revision: Decodable { var chunker: String }

  private func shown(_ path: String, _ user: User) async throws -> Shown {
    try JSONDecoder().decode(Shown.self, from: Data(try await user.cairn("stat", path, "--json").utf8))
  }

  /// How the newest revisions of a file are cut, the last one first.
  private func chunkers(_ path: String, _ user: User) async throws -> [String] {
    try JSONDecoder().decode([Revision].self, from: Data(try await user.cairn("revs", path, "--json").utf8)).map(\.chunker)
  }

  private static func put(_ byte: UInt8, beforeAllOf path: String) throws {
    let bytes = try AtomicFile.read(path, limit: 128 << 20) ?? []
    try AtomicFile.write(path, [byte] + bytes, mode: 0o644)
  }

  private static func start(_ agent: [String], as user: User) throws -> ChildProcess { try user.start(["sync"] + agent, log: "agent.log") }

  @Test("in a folder that is set to cdc a byte at the front of a large file costs a few blocks, by put -r and by an agent alike")
  func insertion() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      var random = Seeds.random()
      let tree = cluster.folder.path("tree")
      try Directory.create("\(tree)/images")
      let file = "\(tree)/images/disk.img"
      try AtomicFile.write(file, random.bytes(Self.size), mode: 0o644)
      try await user.cairn("mkdir", "/put", "/agent", "/plain")
      try await user.cairn("mkdir", "--chunker", "cdc", "/made")
      #expect(try await user.cairn("chunking", "/made") == "cdc\n")
      #expect(try await user.cairn("chunking", "/put") == "fixed (inherited)\n")
      #expect(try await user.cairn("chunking", "/put", "cdc") == "cdc\n")
      #expect(try await user.cairn("chunking", "/agent", "cdc", "--json").contains("\"effective_chunker\":\"cdc\""))
      #expect(try await user.status("chunking", "/put", "lbfs") == 2)
      #expect(try await user.status("chunking", "/nowhere", "cdc") == 4)

      // By put -r, into a folder that it makes below the one that is set.
      func put(_ remote: String, _ options: String...) async throws -> Int {
        let before = try await cluster.receivedBytes()
        let outcome = try await cluster.attempt("cairn", ["put", "-r"] + options + [tree + "/images", remote], as: user)
        #expect(outcome.succeeded, "\(outcome.error)")
        return try await cluster.receivedBytes() - before
      }
      #expect(try await put("/put") >= Self.size)
      #expect(try await shown("/put/images", user).effectiveChunker == "cdc")
      try Self.put(7, beforeAllOf: file)
      #expect(try await put("/put") <= Self.few)
      #expect(try await chunkers("/put/images/disk.img", user) == ["cdc", "cdc"])
      // The same bytes cut every 4 MiB have the same content hash, and a folder does not overrule who says how.
      #expect(try await put("/plain") >= Self.size)
      #expect(try await chunkers("/plain/images/disk.img", user) == ["fixed"])
      let hash = try await shown("/put/images/disk.img", user).contentHash
      #expect(hash != nil)
      #expect(try await shown("/plain/images/disk.img", user).contentHash == hash)
      _ = try await put("/put", "--chunker", "fixed")
      #expect(try await chunkers("/put/images/disk.img", user).first == "fixed")

      // By an agent, which is told of nothing.
      let local = cluster.folder.path("local")
      try Directory.create(local)
      try AtomicFile.write(local + "/disk.img", random.bytes(Self.size), mode: 0o644)
      let agent = try Self.start([local, "/agent"], as: user)
      do {
        func versions(_ wanted: Int) async throws {
          try await eventually(within: .seconds(60), every: .milliseconds(200), "The agent has uploaded version \(wanted)") {
            guard try await user.status("stat", "/agent/disk.img") == 0 else { return false }
            return try await chunkers("/agent/disk.img", user).count == wanted
          }
        }
        try await versions(1)
        let before = try await cluster.receivedBytes()
        try Self.put(9, beforeAllOf: local + "/disk.img")
        try await versions(2)
        #expect(try await cluster.receivedBytes() - before <= Self.few)
        #expect(try await chunkers("/agent/disk.img", user) == ["cdc", "cdc"])
        // A folder that changes its mind moves no bytes until a file changes.
        try await user.cairn("chunking", "/agent", "inherit")
        let unchanged = try await cluster.receivedBytes()
        try AtomicFile.write(local + "/after.txt", Array("after".utf8), mode: 0o644)
        try await eventually(within: .seconds(60), every: .milliseconds(200), "The agent goes on") {
          try await user.status("stat", "/agent/after.txt") == 0
        }
        #expect(try await cluster.receivedBytes() - unchanged < 1000)
        #expect(try await chunkers("/agent/disk.img", user).count == 2)
      } catch {
        agent.send(.kill)
        throw error
      }
      agent.send(.terminate)
      _ = await agent.wait()
      try await user.cairn("get", "-r", "/agent", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(local, cluster.folder.path("copy")) == "")
    }
  }
}

extension LocalCluster {
  /// Bytes of blocks that clients have put to the nodes so far, from the nodes' metrics.
  fileprivate func receivedBytes() async throws -> Int {
    var sum = 0
    for number in 1...3 {
      let url = try address("node-\(number)") + "/metrics"
      let metrics = try await ProcessRunner.run("/usr/bin/curl", ["--silent", "--fail", "--noproxy", "*", url])
      guard metrics.succeeded else { throw CommandFailed(command: "curl \(url)", outcome: metrics) }
      for line in metrics.output.split(separator: "\n") where line.hasPrefix("cairn_node_received_bytes_total{operation=\"put\"}") {
        sum += Int(line.split(separator: " ").last.flatMap { Double($0) } ?? 0)
      }
    }
    return sum
  }
}
