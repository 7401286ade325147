import Platform
import Synchronization
import TestSupport
import Testing

@Suite("Collecting garbage on real processes", .serialized)
struct GarbageTests {
  @Test(
    "runs race uploads, deletes, uploads of the same again and a coordinator that dies; nothing is lost, and in the end all garbage is gone"
  )
  func race() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      // The hold has to be as long as the lease and the URLs together.
      try await cluster.reconfigure("coordinator-1", ["upload-lease-seconds = 20", "url-lifetime-seconds = 10", "backup-window-hours = 0"])
      try await cluster.reconfigure("gateway-1", ["url-lifetime-seconds = 10"])
      for node in 1...3 { try await cluster.reconfigure("node-\(node)", ["quarantine-seconds = 30"]) }
      try await cluster.control("wait", "--healthy", "--timeout", "60")
      var random = Seeds.random()
      let user = try await cluster.user()
      let trees = (0..<3).map { cluster.folder.path("tree-\($0)") }
      for tree in trees { try FileTree.make(in: tree, count: 25, largest: 12 << 20, random: &random) }
      try await user.cairn("put", "-r", trees[0], "/kept")

      // An upload that nobody ends: what arrived of it is garbage once its lease is over.
      let large = cluster.folder.path("large")
      try FileTree.write(large, size: 120 << 20, random: &random)
      let abandoned = try user.start(["put", large, "/abandoned"])
      try await eventually("Some of it has arrived") { try await cluster.storedBytes() > 3 * (40 << 20) || !abandoned.isRunning }
      abandoned.send(.kill)
      _ = await abandoned.wait()

      let isOver = Flag()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await Self.collect(cluster, until: isOver) }
        group.addTask {
          defer { isOver.raise() }
          for round in 0..<8 {
            let (tree, path) = (trees[1 + round % 2], "/round-\(round % 2)")
            try await cluster.persistently(user, "put", "-r", tree, path)
            if round == 3 {
              try await cluster.command("kill", "coordinator-1")
              try await cluster.command("start", "coordinator-1")
            }
            try await cluster.fetch(user, tree, path, "copy-\(round)")
            if round < 6 { try await cluster.persistently(user, "rm", "-r", "--forever", path) }
          }
        }
        try await group.waitForAll()
      }
      try await cluster.collectAll()
      try await cluster.fetch(user, trees[0], "/kept", "kept")
      for round in 6..<8 { try await cluster.fetch(user, trees[1 + round % 2], "/round-\(round % 2)", "last-\(round)") }
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")

      for path in ["/kept", "/round-0", "/round-1"] { try await user.cairn("rm", "-r", "--forever", path) }
      try await eventually(within: .seconds(120), "All garbage is gone") {
        try await cluster.collectAll()
        return try await cluster.blocksHeld() == 0
      }
      try await eventually(within: .seconds(120), "The hold is over, and the space is given back") { try await cluster.storedBytes() == 0 }
      try await cluster.control("audit")
    }
  }

  /// Runs of the collector one after the other; one that the coordinator's death ends, or that finds another at work, is no failure.
  private static func collect(_ cluster: LocalCluster, until isOver: Flag) async throws {
    while !isOver.isRaised {
      let outcome = try await cluster.attempt("cairnctl", ["gc", "run", "--wait"], as: nil)
      guard case .exited(let status) = outcome.ending, [0, 3, 7].contains(status) else {
        throw CommandFailed(command: "cairnctl gc run --wait", outcome: outcome)
      }
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  @Test("a plan changes nothing, a run deletes, undo takes it back and holds, release lets it go")
  func undo() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let file = cluster.folder.path("file")
      try FileTree.write(file, size: 9 << 20, random: &random)
      try await user.cairn("put", file, "/file")
      try await user.cairn("put", file, "/kept")
      try await user.cairn("rm", "--forever", "/file")
      #expect(try await cluster.control("gc", "plan").contains("0 blocks would go"), "another file has the same blocks")
      try await user.cairn("rm", "/kept")
      #expect(try await cluster.control("gc", "plan").contains("0 blocks would go"), "it is in the trash")
      #expect(try await cluster.control("gc", "run", "--wait").contains("0 blocks deleted"))
      try await user.cairn("restore", "/kept")
      try await cluster.fetch(user, file, "/kept", "kept")
      try await user.cairn("rm", "/kept")
      try await user.cairn("trash", "--empty")
      try await eventually("The file is gone for good") { try await cluster.control("gc", "plan").contains("3 blocks would go") }
      #expect(try await cluster.blocksHeld() == 9)
      #expect(try await cluster.control("gc", "run", "--wait").contains("3 blocks deleted, 9 copies"))
      try await eventually("The nodes say so") { try await cluster.blocksHeld() == 0 }

      #expect(try await cluster.control("gc", "undo").contains("9 copies taken back"))
      try await eventually("They are back") { try await cluster.blocksHeld() == 9 }
      #expect(try await cluster.attempt("cairnctl", ["gc", "run"], as: nil).ending == .exited(status: 3), "collecting is on hold")
      #expect(try await cluster.control("gc", "status", "--json").contains("\"hold\":\"Deletes were undone."))
      try await cluster.control("audit")
      // What was taken back serves an upload of the same.
      try await user.cairn("put", file, "/again")
      try await cluster.control("gc", "release")
      #expect(try await cluster.control("gc", "run", "--wait").contains("0 blocks deleted"))
      try await cluster.fetch(user, file, "/again", "again")
      try await cluster.control("audit")
    }
  }
}

/// Raised once.
private final class Flag: Sendable {
  private let state = Mutex(false)
  var isRaised: Bool { state.withLock { $0 } }
  func raise() { state.withLock { $0 = true } }
}

extension LocalCluster {
  /// Adds lines to a process's configuration and starts it anew.
  func reconfigure(_ name: String, _ lines: [String]) async throws {
    let path = folder.path("cluster/\(name)/\(name).conf")
    try await command("kill", name, "--signal", "SIGTERM")
    try AtomicFile.write(path, Array((try Self.text(path) + lines.joined(separator: "\n") + "\n").utf8), mode: 0o600)
    try await command("start", name)
  }

  /// Runs `cairn` again and again while the coordinator is away.
  func persistently(_ user: User, _ arguments: String...) async throws {
    for _ in 0..<20 {
      let outcome = try await attempt("cairn", arguments, as: user)
      if outcome.succeeded { return }
      guard outcome.ending == .exited(status: 7) || outcome.ending == .exited(status: 4) && arguments[0] == "rm" else {
        throw CommandFailed(command: "cairn \(arguments.joined(separator: " "))", outcome: outcome)
      }
      if outcome.ending == .exited(status: 4) { return }
      try await Task.sleep(for: .milliseconds(500))
    }
    throw CommandFailed(command: "cairn \(arguments.joined(separator: " "))", outcome: try await attempt("cairn", arguments, as: user))
  }

  /// One run from its start to its end, whoever is at work before.
  func collectAll() async throws {
    for _ in 0..<100 {
      let outcome = try await attempt("cairnctl", ["gc", "run", "--wait"], as: nil)
      if outcome.succeeded { return }
      guard outcome.ending == .exited(status: 3) else { throw CommandFailed(command: "cairnctl gc run --wait", outcome: outcome) }
      try await Task.sleep(for: .milliseconds(200))
    }
    Issue.record("the collector never came to rest")
  }

  /// Blocks on all disks, as the nodes' heartbeats say.
  func blocksHeld() async throws -> Int { try await sum("block_count") }

  fileprivate func fetch(_ user: User, _ local: String, _ remote: String, _ name: String) async throws {
    try await user.cairn("get", "-r", remote, folder.path(name))
    #expect(try await FileTree.difference(local, folder.path(name)) == "")
  }
}
