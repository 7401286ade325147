import Platform
import TestSupport
import Testing

@Suite("Operators' commands, on real processes", .serialized)
struct OperatorTests {
  @Test("an added node gets its share, nothing is lost meanwhile, and the audit holds")
  func addNode() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 40, largest: 24 << 20, random: &random)
      try await user.cairn("put", "-r", tree, "/tree")
      try await cluster.command("add-node", "--zone", "a")
      try await cluster.control("wait", "--healthy", "--timeout", "60")
      #expect(try await cluster.control("layout", "show", "--json").contains("node-4"))
      try await cluster.control("repair", "--wait")
      // The node whose share went to the new one is not needed for it any more.
      try await cluster.command("kill", "node-1")
      try await user.cairn("get", "-r", "/tree", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(tree, cluster.folder.path("copy")) == "")
      try await cluster.control("audit")
    }
  }

  @Test("every daemon's metrics are accepted by promtool")
  func metrics() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      try await cluster.user().cairn("mkdir", "/a")
      for name in ["coordinator-1", "gateway-1", "node-1"] {
        let metrics = try await ProcessRunner.run(
          "/usr/bin/curl", ["--silent", "--fail", "--noproxy", "*", try cluster.address(name) + "/metrics"])
        #expect(metrics.succeeded && metrics.output.contains("cairn_http_requests_total"), "\(name)")
        let check = try await ProcessRunner.run("/usr/bin/promtool", ["check", "metrics"], input: metrics.output)
        #expect(check.succeeded, "\(name): \(check.error)\(check.output)")
      }
    }
  }
}

extension LocalCluster {
  /// The base URL of a daemon, from its configuration.
  func address(_ name: String) throws -> String {
    let lines = try Self.text(folder.path("cluster/\(name)/\(name).conf")).split(separator: "\n")
    return lines.first { $0.hasPrefix("advertise = ") }.map { String($0.dropFirst("advertise = ".count)) } ?? ""
  }
}
