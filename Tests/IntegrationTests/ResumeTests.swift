import Platform
import TestSupport
import Testing

@Suite("Interrupted transfers", .serialized)
struct ResumeTests {
  @Test("a put killed in the middle resumes and sends no block twice")
  func resumePut() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let source = cluster.folder.path("large")
      try FileTree.write(source, size: 160 << 20, random: &random)
      let upload = try user.start(["put", source, "/large"])
      try await eventually("Half has arrived") { try await cluster.storedBytes() > 3 * (60 << 20) || !upload.isRunning }
      upload.send(.kill)
      _ = await upload.wait()
      let before = try await cluster.putRequests()
      #expect(before >= 10, "the first put sent \(before) blocks before it was killed")
      try await user.cairn("put", source, "/large")
      let sent = try await cluster.putRequests() - before
      // 40 blocks in all; what was acknowledged before the kill is not sent again. Receipts travel in batches, so the last few may be.
      #expect(sent >= 1 && sent <= 30, "the second put sent \(sent) of 40 blocks")
      try await user.cairn("get", "/large", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(source, cluster.folder.path("copy")) == "")
    }
  }

  @Test("a get killed in the middle resumes, and never leaves half a file under the final name")
  func resumeGet() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let source = cluster.folder.path("large")
      try FileTree.write(source, size: 200 << 20, random: &random)
      try await user.cairn("put", source, "/large")
      let target = cluster.folder.path("copy")
      for _ in 0..<3 {
        let download = try user.start(["get", "/large", target])
        try await Task.sleep(for: .milliseconds(Int.random(in: 20...150, using: &random)))
        download.send(.kill)
        if await download.wait() == .exited(status: 0) { break }
        let differs = try await FileTree.difference(source, target)
        #expect(differs == "" || differs.contains("No such file"), "half a file stands under the final name")
      }
      try await user.cairn("get", "/large", target)
      #expect(try await FileTree.difference(source, target) == "")
    }
  }

  @Test("standard input and output carry a file through")
  func pipes() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      let text = String(repeating: "Ein Steinmann am Weg.\n", count: 300_000)
      let put = try await cluster.attempt("cairn", ["put", "-", "/piped"], as: user, input: text)
      #expect(put.succeeded, "\(put.error)")
      #expect(try await user.cairn("cat", "/piped") == text)
      #expect(try await user.cairn("cat", "/piped", "--range", "4-13") == "Steinmann ")
    }
  }
}

extension LocalCluster {
  /// Blocks that clients have put to the nodes so far, from the nodes' metrics.
  func putRequests() async throws -> Int {
    var total = 0
    for index in 1...3 {
      let address = try address("node-\(index)")
      let metrics = try await ProcessRunner.run("/usr/bin/curl", ["--silent", "--fail", "--noproxy", "*", "\(address)/metrics"])
      guard metrics.succeeded else { throw CommandFailed(command: "curl \(address)/metrics", outcome: metrics) }
      for line in metrics.output.split(separator: "\n") where line.hasPrefix("cairn_node_blocks_received_total{operation=\"put\"}") {
        total += Int(Double(line.split(separator: " ").last ?? "0") ?? 0)
      }
    }
    return total
  }
}
