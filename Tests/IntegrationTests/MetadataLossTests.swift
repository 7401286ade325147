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
    try await LocalCluster.with(["--nodes", "6"]) { cluster in
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
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 20, largest: 3 << 20, random: &random)
      try await user.cairn("put", "-r", tree, "/before")
      let deleted = cluster.folder.path("deleted")
      try FileTree.make(in: deleted, count: 10, largest: 1 << 20, random: &random)
      try await user.cairn("put", "-r", deleted, "/deleted")
      let backup = cluster.folder.path("backup.db")
      let writing = Task { try await user.cairn("put", "-r", tree, "/during") }
      try await cluster.control("backup", backup)
      _ = try await writing.value
      #expect(try await cluster.attempt("cairnctl", ["backup", backup], as: nil).ending == .exited(status: 3), "a file is never replaced")
      try await user.cairn("put", "-r", tree, "/after")
      // What is in the trash stays as long as versions are kept.
      try await user.cairn("rm", "-r", "/before")
      // What is deleted for good and collected is on the nodes for as long as backups are to be good for.
      try await user.cairn("rm", "-r", "--forever", "/deleted")
      let collected = try await cluster.control("gc", "run", "--wait", "--json")
      #expect(collected.contains("\"dereferenced\""), "\(collected)")

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
      try await eventually("nodes take back what was deleted since") {
        try await cluster.control("gc", "status", "--json").contains("\"undo\"")
      }
      try await cluster.control("repair", "--wait")
      let back = cluster.folder.path("back")
      try await user.cairn("get", "-r", "/deleted", back)
      #expect(try await FileTree.difference(deleted, back) == "")
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
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      try await user.cairn("mkdir", "/before")
      try await cluster.command("kill", "node-1")
      try await cluster.command("kill", "node-2")
      #expect(try await user.status("mkdir", "/unknown") == 7)
      #expect(try await user.status("ls", "/") == 0, "reading goes on")
      // Longer than it takes for a silent node to be out: whatever the layout is by then, what waits goes to the nodes that are back.
      try await Task.sleep(for: .seconds(12))
      #expect(try await user.status("stat", "/before") == 0)
      try await cluster.command("up")
      try await eventually(within: .seconds(30), "changes go on") { try await user.status("mkdir", "/after") == 0 }
      #expect(try await user.status("stat", "/before") == 0)
      // What was unknown is settled: it is there, or it is not and can be done now.
      #expect(try await [0, 3].contains(user.status("mkdir", "/unknown")))
    }
  }

  @Test(
    "a coordinator on a copy of the database, or on one from before a restore, ends and says why, and the one that runs goes on",
    .timeLimit(.minutes(5)))
  func formerCoordinator() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      try await user.cairn("mkdir", "/one")
      try await cluster.command("kill", "coordinator-1")
      let twin = try await Twin(of: cluster)
      try await cluster.command("start", "coordinator-1")
      try await user.cairn("mkdir", "/two")

      let beside = try await twin.start()
      #expect(beside.ending == .exited(status: 1))
      #expect(beside.error.contains("Another coordinator writes this cluster's metadata now"), "\(beside.error)")
      try await user.cairn("mkdir", "/three")

      try await cluster.command("kill", "coordinator-1")
      try await cluster.destroyCoordinator()
      try await cluster.restoreCoordinator("--from-nodes")
      try await cluster.command("start", "coordinator-1")
      try await user.cairn("mkdir", "/four")
      for wait in [0, 3] {
        // With the restored one at rest, and with it gone for longer than anybody waits for its words.
        if wait > 0 {
          try await cluster.command("kill", "coordinator-1")
          try await Task.sleep(for: .seconds(wait))
        }
        let after = try await twin.start()
        #expect(after.ending == .exited(status: 1))
        #expect(after.error.contains("does not follow on this database") || after.error.contains("Another coordinator"), "\(after.error)")
        if wait > 0 {
          #expect(after.error.contains("does not follow on this database"), "\(after.error)")
          try await cluster.command("start", "coordinator-1")
        }
        try await user.cairn("mkdir", "/five-\(wait)")
      }
      for name in ["one", "two", "three", "four"] { #expect(try await user.status("stat", "/\(name)") == 0) }
    }
  }

  @Test("a cluster of one node keeps its journal there, comes up with everything down, and is restored from it", .timeLimit(.minutes(5)))
  func oneNode() async throws {
    try await LocalCluster.with(["--nodes", "1", "--zones", "1"]) { cluster in
      let user = try await cluster.user()
      try await user.cairn("mkdir", "/one")
      for name in ["node-1", "gateway-1", "coordinator-1"] { try await cluster.command("kill", name) }
      try await cluster.command("up")
      try await user.cairn("mkdir", "/two")
      try await cluster.command("kill", "coordinator-1")
      try await cluster.destroyCoordinator()
      try await cluster.restoreCoordinator("--from-nodes")
      try await cluster.command("start", "coordinator-1")
      for name in ["one", "two"] { #expect(try await user.status("stat", "/\(name)") == 0) }
    }
  }

  @Test("after the cluster's secret was replaced changes go on, and a restore reads what was sealed before", .timeLimit(.minutes(5)))
  func rotatedSecret() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      try await user.cairn("mkdir", "/before")
      try await cluster.command("rotate-secret", "--pause", "1")
      try await user.cairn("mkdir", "/after")
      try await cluster.command("kill", "coordinator-1")
      try await cluster.destroyCoordinator()
      try await cluster.restoreCoordinator("--from-nodes")
      try await cluster.command("start", "coordinator-1")
      #expect(try await user.status("stat", "/before") == 0)
      #expect(try await user.status("stat", "/after") == 0)
      try await user.cairn("mkdir", "/restored")
    }
  }
}

/// A second coordinator on a copy of the stopped first one's database, with the same keys and ports of its own.
private struct Twin {
  let cluster: LocalCluster
  let configuration: String

  init(of cluster: LocalCluster) async throws {
    self.cluster = cluster
    let folder = cluster.folder.path("twin")
    try Directory.create(folder)
    let source = cluster.folder.path("cluster/coordinator-1")
    for name in try Directory.list(source) where name.hasPrefix("metadata.db") {
      try AtomicFile.write("\(folder)/\(name)", try AtomicFile.read("\(source)/\(name)", limit: 1 << 30) ?? [])
    }
    let port = FreePort.next()
    let lines = try LocalCluster.text(cluster.coordinatorConfiguration).split(separator: "\n").map { line -> String in
      switch line.split(separator: " ").first {
      case "listen": return "listen = 127.0.0.1:\(port)"
      case "advertise": return "advertise = http://127.0.0.1:\(port)"
      case "data": return "data = \(folder)"
      default: return String(line)
      }
    }
    configuration = "\(folder)/twin.conf"
    try AtomicFile.write(configuration, Array((lines.joined(separator: "\n") + "\n").utf8))
  }

  /// Runs it to its end.
  func start() async throws -> ProcessRunner.Outcome {
    try await cluster.attempt("cairnd", ["coordinator", "--config", configuration], as: nil)
  }
}

extension LocalCluster {
  var coordinatorConfiguration: String { folder.path("cluster/coordinator-1/coordinator-1.conf") }

  /// Removes all that the coordinator keeps; its configuration and its log stay.
  func destroyCoordinator() async throws {
    let path = folder.path("cluster/coordinator-1")
    for name in try Directory.list(path)
    where !["coordinator-1.conf", "log", "pid"].contains(name) && !name.hasSuffix(".pem") && !name.hasSuffix(".key") {
      try Directory.removeTree("\(path)/\(name)")
    }
  }

  func restoreCoordinator(_ source: String) async throws {
    try await control("restore", source, "--config", coordinatorConfiguration)
  }
}

/// Names of uploads that ended well.
private final class Acknowledged: Sendable {
  private let names = Mutex<[String]>([])
  func add(_ name: String) { names.withLock { $0.append(name) } }
  var all: [String] { names.withLock { $0 } }
}
