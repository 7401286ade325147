import Platform
import TestSupport
import Testing

@Suite("The main job, on real processes", .serialized)
struct MainJobTests {
  @Test("a tree put while a node dies comes back byte for byte with that node dead, and the repair brings every copy back")
  func putKillGetRepair() async throws {
    try await LocalCluster.with { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 120, largest: 96 << 20, random: &random)

      let upload = try user.start(["put", "-r", tree, "/tree"])
      try await eventually("The upload arrives") { try await cluster.storedBytes() > 16 << 20 }
      try await cluster.command("kill", "node-2")
      let ending = await upload.wait()
      let said = try LocalCluster.text(cluster.folder.path("client.log.error"))
      #expect(ending == .exited(status: 0), "\(said)")

      try await user.cairn("get", "-r", "/tree", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(tree, cluster.folder.path("copy")) == "")

      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      #expect(try await cluster.underReplicated() == 0)

      // Every copy that the repair made is a real one: with another node gone, all of it still reads.
      try await cluster.command("kill", "node-3")
      try await user.cairn("get", "-r", "/tree", cluster.folder.path("again"))
      #expect(try await FileTree.difference(tree, cluster.folder.path("again")) == "")
    }
  }

  @Test("with TLS on every link the same commands work, and a client without the authority's certificate is refused")
  func tls() async throws {
    try await LocalCluster.with(["--tls", "--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 20, random: &random)
      try await user.cairn("put", "-r", tree, "/tree")
      try await user.cairn("get", "-r", "/tree", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(tree, cluster.folder.path("copy")) == "")
      #expect(cluster.gateway.hasPrefix("https://"))
      var environment = cluster.environment(of: user)
      environment["CAIRN_CA_FILE"] = nil
      let refused = try await ProcessRunner.run("\(LocalCluster.bin)/cairn", ["ls", "/"], environment: environment)
      #expect(refused.ending == .exited(status: 7))
    }
  }
}

extension LocalCluster {
  /// The first number after `"key":` in `cairnctl status --json`, added up over all places it stands in.
  func sum(_ key: String) async throws -> Int {
    let status = try await control("status", "--json")
    return status.matches(of: try Regex("\"\(key)\" ?: ?([0-9]+)", as: (Substring, Substring).self)).compactMap { Int($0.1) }.reduce(0, +)
  }

  func storedBytes() async throws -> Int { try await sum("used_bytes") }
  func underReplicated() async throws -> Int { try await sum("under_replicated_blocks") }
}
