import Platform
import TestSupport
import Testing

@Suite("cairnd store on a node's disk", .serialized)
struct StoreToolTests {
  @Test("check finds what rotted and changes nothing, dump lists every record, repair makes a disk that the node starts with")
  func checkDumpRepair() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let file = cluster.folder.path("file")
      try FileTree.write(file, size: 24 << 20, random: &random)
      try await user.cairn("put", file, "/file")
      let node = cluster.folder.path("cluster/node-2")
      let keys = ["--data-keys", node + "/data-keys", "--master-key-file", cluster.folder.path("cluster/keys/node-2.master")]
      func store(_ verb: String, _ more: [String] = [], on disk: String? = nil) async throws -> (status: Int32, output: String, error: String) {
        let outcome = try await cluster.attempt("cairnd", ["store", verb, disk ?? node + "/disk-1"] + more, as: nil)
        guard case .exited(let status) = outcome.ending else { return (-1, outcome.output, outcome.error) }
        return (status, outcome.output, outcome.error)
      }
      let busy = try await store("check")
      #expect(busy.status == 7 && busy.error.contains("Stop it first"), "\(busy)")
      try await cluster.command("kill", "node-2", "--signal", "SIGTERM")

      let good = try await store("check", keys + ["--json"])
      #expect(good.status == 0, "\(good)")
      let blocks = try #require(good.output.firstMatch(of: try Regex("\"blocks\" ?: ?([0-9]+)", as: (Substring, Substring).self)).flatMap { Int($0.1) })
      #expect(blocks >= 6)
      let listed = try await store("dump", ["--json"])
      #expect(listed.status == 0 && listed.output.split(separator: "\n").filter { $0.contains("\"live\"") }.count == blocks, "\(listed.output)")
      #expect(try await store("check", ["--data-keys", keys[1]]).status == 2)
      #expect(try await store("check", on: node + "/nowhere").status == 4)

      try DiskTests.spoil(node + "/disk-1/segments")
      let before = try await Self.contents(of: node + "/disk-1")
      let bad = try await store("check", keys)
      #expect(bad.status == 1 && bad.error.contains("damaged"), "\(bad)")
      #expect(try await store("dump").status == 0)
      #expect(try await Self.contents(of: node + "/disk-1") == before, "looking changes nothing")

      let repaired = try await store("repair", keys)
      #expect(repaired.status == 0, "\(repaired)")
      try await cluster.command("start", "node-2")
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      try await cluster.command("kill", "node-1")
      try await cluster.command("kill", "node-3")
      try await user.cairn("get", "/file", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(file, cluster.folder.path("copy")) == "")
    }
  }

  /// The sums of all files below a folder.
  private static func contents(of folder: String) async throws -> String {
    try await ProcessRunner.run("/bin/sh", ["-c", "cd '\(folder)' && find . -type f -exec sha256sum {} + | sort"]).output
  }
}
