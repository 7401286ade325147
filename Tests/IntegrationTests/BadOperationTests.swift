import Foundation
import Platform
import TestSupport
import Testing

@Suite("Operators' mistakes and broken machines", .serialized)
struct BadOperationTests {
  @Test("a configuration with a typing mistake is refused with the line and the nearest known key")
  func typingMistake() async throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write(folder.path("node.conf"), Array("name = node-1\nlissten = 127.0.0.1:0\n".utf8))
    let outcome = try await ProcessRunner.run("\(LocalCluster.bin)/cairnd", ["node", "--config", folder.path("node.conf")])
    #expect(outcome.ending == .exited(status: 2))
    #expect(outcome.error.contains("node.conf:2"))
    #expect(outcome.error.contains("listen"))
  }

  @Test("up twice leaves one cluster, and a second cluster beside the first works")
  func upTwice() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { first in
      let before = try first.processID("node-1")
      try await first.command("up")
      #expect(try first.processID("node-1") == before)
      try await LocalCluster.with(["--nodes", "3"]) { second in
        let user = try await second.user()
        try await user.cairn("mkdir", "/a")
        #expect(try await first.user().status("stat", "/a") == 4)
      }
    }
  }

  @Test("a second daemon on the same data is refused, and so is a taken port")
  func startedTwice() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      for (kind, name) in [("node", "node-1"), ("coordinator", "coordinator-1"), ("gateway", "gateway-1")] {
        let configuration = cluster.folder.path("cluster/\(name)/\(name).conf")
        let outcome = try await ProcessRunner.run("\(LocalCluster.bin)/cairnd", [kind, "--config", configuration])
        #expect(outcome.ending == .exited(status: 1), "\(name): \(outcome.error)")
        #expect(!outcome.error.isEmpty)
      }
      // The first ones did not notice.
      let user = try await cluster.user()
      try await user.cairn("mkdir", "/still-works")
    }
  }

  @Test("with the disk of one node full, puts go on, and every block still gets its copies")
  func oneFullDisk() async throws {
    try await LocalCluster.with(["--segment-bytes", "16MiB"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      try await cluster.command("kill", "node-1")
      let configuration = cluster.folder.path("cluster/node-1/node-1.conf")
      let small = try LocalCluster.text(configuration) + "disk-bytes = 32MiB\n"
      try AtomicFile.write(configuration, Array(small.utf8))
      try await cluster.command("start", "node-1")
      let source = cluster.folder.path("large")
      // Six nodes share three copies: about 120 MiB for each, far more than the small disk takes.
      try FileTree.write(source, size: 240 << 20, random: &random)
      try await user.cairn("put", source, "/large")
      #expect(try await cluster.bytesStored(on: "node-1") <= 32 << 20)
      try await user.cairn("get", "/large", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(source, cluster.folder.path("copy")) == "")
      try await cluster.control("audit")
    }
  }

  @Test("with every disk full, puts fail with status 6 and nothing acknowledged is lost")
  func fullDisks() async throws {
    try await LocalCluster.with(["--nodes", "3", "--disk-bytes", "64MiB", "--segment-bytes", "16MiB"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      var stored: [String] = []
      var status: Int32 = 0
      // Three copies on three nodes: each disk fills with what is put.
      for index in 0..<40 where status == 0 {
        let source = cluster.folder.path("file-\(index)")
        try FileTree.write(source, size: 4 << 20, random: &random)
        status = try await user.status("put", source, "/file-\(index)")
        if status == 0 { stored.append("file-\(index)") }
      }
      #expect(status == 6)
      #expect(stored.count >= 8)
      for name in stored {
        try await user.cairn("get", "/\(name)", cluster.folder.path("copy"))
        #expect(try await FileTree.difference(cluster.folder.path(name), cluster.folder.path("copy")) == "")
        try Directory.remove(cluster.folder.path("copy"))
      }
      try await user.cairn("mkdir", "/metadata-still-works")
    }
  }

  @Test("with a gateway or coordinator down, commands end with status 7 and the next step, and work again afterwards")
  func controlDown() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      for name in ["gateway-1", "coordinator-1"] {
        try await cluster.command("kill", name)
        #expect(try await user.status("ls", "/") == 7)
        try await cluster.command("start", name)
        #expect(try await user.status("ls", "/") == 0)
      }
    }
  }
}

extension LocalCluster {
  /// Bytes of blocks on one node, from its heartbeats.
  func bytesStored(on node: String) async throws -> Int {
    struct Status: Decodable {
      struct Node: Decodable {
        var name: String
        var usedBytes: Int
        enum CodingKeys: String, CodingKey {
          case name
          case usedBytes = "used_bytes"
        }
      }
      var nodes: [Node]
    }
    let status = try JSONDecoder().decode(Status.self, from: Data(try await control("status", "--json").utf8))
    return try #require(status.nodes.first { $0.name == node }).usedBytes
  }
}
