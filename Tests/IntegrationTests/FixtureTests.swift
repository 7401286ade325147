import Foundation
import Platform
import TestSupport
import Testing

/// What earlier versions left on disks, recorded by `scripts/fixture`: one archive for each state of formats and schema that was released.
private enum Fixture {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures").path
  static var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".tar.gz") }.sorted()
  }

  /// Unpacks one, and gives its processes ports that are free here.
  static func unpack(_ name: String, into target: TemporaryFolder) async throws {
    let outcome = try await ProcessRunner.run("/usr/bin/tar", ["-xzf", "\(folder)/\(name)", "-C", target.path])
    guard outcome.succeeded else { throw CommandFailed(command: "tar", outcome: outcome) }
    let cluster = target.path("cluster")
    var ports: [String: Int] = [:]
    let processes = try FileManager.default.contentsOfDirectory(atPath: cluster).filter { $0.contains("-") }
    for path in processes.map({ "\(cluster)/\($0)/\($0).conf" }) + ["\(cluster)/env"] {
      var text = try LocalCluster.text(path).replacing("@CLUSTER@", with: cluster)
      for match in text.matches(of: /@PORT\d+@/).reversed() {
        let placeholder = String(match.output)
        let port = ports[placeholder] ?? FreePort.next()
        ports[placeholder] = port
        text.replaceSubrange(match.range, with: String(port))
      }
      try AtomicFile.write(path, Array(text.utf8), mode: 0o600)
    }
  }
}

@Suite("What earlier versions left on disk", .serialized)
struct FixtureTests {
  @Test("there is a record of some version")
  func exist() { #expect(!Fixture.names.isEmpty) }

  @Test("a cluster of an earlier version comes up with all that it held, and goes on", arguments: Fixture.names)
  func opens(name: String) async throws {
    try await LocalCluster.with(prepare: { try await Fixture.unpack(name, into: $0) }) { cluster in
      let folder = cluster.folder
      let ada = try await cluster.logIn("ada")
      let bob = try await cluster.logIn("bob")
      try await ada.cairn("get", "-r", "/tree", folder.path("copy"))
      #expect(try await FileTree.difference(folder.path("tree"), folder.path("copy")) == "")
      try await ada.cairn("get", "/cut", folder.path("cut"))
      #expect(try await FileTree.difference(folder.path("tree/sub/text"), folder.path("cut")) == "")
      for version in 1...3 { #expect(try await ada.cairn("cat", "/revised", "--version", "\(version)") == "version \(version)\n") }
      #expect(try await ada.cairn("cat", "/later") == "under the second data key\n")
      #expect(try await ada.cairn("trash", "--json").contains("/removed"))
      try await bob.cairn("get", "/Shared with me/sub/random", folder.path("shared"))
      #expect(try await FileTree.difference(folder.path("tree/sub/random"), folder.path("shared")) == "")
      let link = try LocalCluster.text(folder.path("link")).trimmingCharacters(in: .whitespacesAndNewlines)
      let linked = try await ProcessRunner.run(
        "/usr/bin/curl", ["-sS", "--fail", cluster.gateway + link + "/raw"], environment: LocalCluster.environment([:]))
      #expect(linked.output == "linked\n", "\(linked)")
      let cursor = try LocalCluster.text(folder.path("cursor")).trimmingCharacters(in: .whitespacesAndNewlines)
      let changes = try await ada.cairn("changes", "--cursor", cursor, "--json")
      #expect(changes.contains("/later") && !changes.contains("/tree/small.txt"), "the cursor goes on where it was: \(changes)")

      // It is written to, survives a restart, and every invariant holds.
      try await ada.cairn("put", folder.path("copy/sub/random"), "/tree/new")
      try await bob.cairn("put", folder.path("copy/small.txt"), "/Shared with me/sub/by bob")
      try await cluster.control("repair", "--wait")
      for process in ["node-1", "node-2", "node-3", "coordinator-1"] {
        try await cluster.command("kill", process)
        try await cluster.command("start", process)
      }
      try await cluster.control("wait", "--healthy", "--timeout", "60")
      try await ada.cairn("get", "/tree/new", folder.path("new"))
      #expect(try await FileTree.difference(folder.path("copy/sub/random"), folder.path("new")) == "")
      try await cluster.control("audit")
    }
  }
}
