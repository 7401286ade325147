import BlockModel
import Platform
import Synchronization
import TestSupport
import Testing

/// The coordinator's disk is destroyed: what the nodes keep of the metadata brings everything back that was acknowledged.
@Suite("Losing the coordinator's disk", .serialized)
struct MetadataLossTests {
  @Test("under load, after SIGKILL and with the coordinator's files gone, nothing acknowledged is missing", .timeLimit(.minutes(10)))
  func restoreFromNodes() async throws {
    try await LocalCluster.with(["--nodes", "6", "--metadata-journal", "on"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let folder = cluster.folder.path("files")
      try Directory.create(folder)
      let acknowledged = Acknowledged()
      for round in 0..<2 {
        for number in 0..<40 {
          try FileTree.write("\(folder)/\(round)-\(number)", size: Int.random(in: 0...40_000, using: &random), random: &random)
        }
        let wait = Duration.milliseconds(Int.random(in: 300...1500, using: &random))
        try await withThrowingTaskGroup(of: Void.self) { group in
          for writer in 0..<4 {
            group.addTask {
              for number in stride(from: writer, to: 40, by: 4) {
                let name = "\(round)-\(number)"
                // An upload that ends in the middle of all this is unknown; one that ended well is acknowledged.
                if try await user.status("put", "\(folder)/\(name)", "/\(name)") == 0 { acknowledged.add(name) }
              }
            }
          }
          group.addTask {
            try await Task.sleep(for: wait)
            try await cluster.command("kill", "coordinator-1")
            try await cluster.destroyCoordinator()
            try await cluster.restoreCoordinator("--from-nodes")
            try await cluster.command("start", "coordinator-1")
          }
          try await group.waitForAll()
        }
        let names = acknowledged.all
        for name in names {
          let copy = cluster.folder.path("copy")
          try await user.cairn("get", "/\(name)", copy)
          #expect(try await FileTree.difference("\(folder)/\(name)", copy) == "", "\(name) differs")
          try Directory.remove(copy)
        }
        try await cluster.control("wait", "--healthy", "--timeout", "60")
        try await cluster.control("repair", "--wait")
        try await cluster.control("audit")
        // Until the coordinator has looked for what it was collecting it says 7.
        try await eventually("Collecting is on hold") {
          try await cluster.attempt("cairnctl", ["gc", "run"], as: nil).ending == .exited(status: 3)
        }
        try await cluster.control("gc", "release")
        try await cluster.control("gc", "run", "--wait")
        try await cluster.control("audit")
      }
      #expect(acknowledged.all.count >= 30)
    }
  }

  @Test("a backup taken while users write is restored as it was, and the cluster goes on from there", .timeLimit(.minutes(5)))
  func backupAndRestore() async throws {
    try await LocalCluster.with(["--nodes", "3", "--metadata-journal", "on"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 20, largest: 3 << 20, random: &random)
      try await user.cairn("put", "-r", tree, "/before")
      let backup = cluster.folder.path("backup.db")
      let writing = Task { try await user.cairn("put", "-r", tree, "/during") }
      try await cluster.control("backup", backup)
      _ = try await writing.value
      #expect(try await cluster.attempt("cairnctl", ["backup", backup], as: nil).ending == .exited(status: 3), "a file is never replaced")
      try await user.cairn("put", "-r", tree, "/after")
      // What is in the trash stays as long as versions are kept.
      try await user.cairn("rm", "-r", "/before")

      try await cluster.command("kill", "coordinator-1")
      #expect(
        try await cluster.attempt("cairnctl", ["restore", backup, "--config", cluster.coordinatorConfiguration], as: nil).ending
          == .exited(status: 3), "a database that is there is never replaced")
      try await cluster.destroyCoordinator()
      try await cluster.restoreCoordinator(backup)
      try await cluster.command("start", "coordinator-1")
      try await cluster.control("wait", "--healthy", "--timeout", "60")
      let copy = cluster.folder.path("copy")
      try await user.cairn("get", "-r", "/before", copy)
      #expect(try await FileTree.difference(tree, copy) == "")
      #expect(try await user.status("stat", "/after") == 4)
      try await user.cairn("put", "-r", tree, "/again")
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")

      // What was written since the restore is on the nodes as before.
      try await cluster.command("kill", "coordinator-1")
      try await cluster.destroyCoordinator()
      try await cluster.restoreCoordinator("--from-nodes")
      try await cluster.command("start", "coordinator-1")
      #expect(try await user.status("stat", "/again") == 0)
      #expect(try await user.status("stat", "/after") == 4)
    }
  }

  @Test(
    "with two of three zones gone users are told to try again, and nothing acknowledged is undone when they are back",
    .timeLimit(.minutes(5)))
  func tooFewZones() async throws {
    try await LocalCluster.with(["--nodes", "3", "--metadata-journal", "on"]) { cluster in
      let user = try await cluster.user()
      try await user.cairn("mkdir", "/before")
      try await cluster.command("kill", "node-1")
      try await cluster.command("kill", "node-2")
      #expect(try await user.status("mkdir", "/unknown") == 7)
      #expect(try await user.status("ls", "/") == 0, "reading goes on")
      try await cluster.command("up")
      try await user.cairn("mkdir", "/after")
      #expect(try await user.status("stat", "/before") == 0)
    }
  }
}

extension LocalCluster {
  var coordinatorConfiguration: String { folder.path("cluster/coordinator-1/coordinator-1.conf") }

  /// Removes all that the coordinator keeps; its configuration and its log stay.
  fileprivate func destroyCoordinator() async throws {
    let path = folder.path("cluster/coordinator-1")
    for name in try Directory.list(path)
    where !["coordinator-1.conf", "log", "pid"].contains(name) && !name.hasSuffix(".pem") && !name.hasSuffix(".key") {
      try Directory.removeTree("\(path)/\(name)")
    }
  }

  fileprivate func restoreCoordinator(_ source: String) async throws {
    try await control("restore", source, "--config", coordinatorConfiguration)
  }
}

/// Names of uploads that ended well.
private final class Acknowledged: Sendable {
  private let names = Mutex<[String]>([])
  func add(_ name: String) { names.withLock { $0.append(name) } }
  var all: [String] { names.withLock { $0 } }
}
