import BlockModel
import Glibc
import Platform
import TestSupport
import Testing

/// A cluster that began on SQLite and goes over to PostgreSQL while it works.
@Suite(
  "Moving the metadata, on real processes", .serialized,
  .enabled(if: getuid() == 0, "PostgreSQL is started as user postgres, which takes root"))
struct MigrationTests {
  @Test("users upload while the metadata moves to PostgreSQL; nothing acknowledged is missing, and the cluster goes on there")
  func underLoad() async throws {
    try await LocalCluster.with { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let log = AcknowledgementLog(folder: cluster.folder.path("acknowledged"))
      try Directory.create(log.folder)
      try await put(20, "before", user, log, &random)
      let unready = try await cluster.attempt("cairnctl", ["metadata", "migrate", "--to", "postgres"], as: nil)
      #expect(unready.output.isEmpty && !unready.succeeded && unready.error.contains("metadata-connection-file"), "\(unready)")
      try await cluster.command("add-postgres")
      let isOver = Guarded(false)
      let folder = log.folder
      let writing = Task {
        var names: [String] = []
        var longest: Duration = .zero
        let clock = ContinuousClock()
        while !isOver.withLock({ $0 }) {
          let name = "during-\(names.count)"
          try AtomicFile.write("\(folder)/\(name)", Array("\(name) \(UInt64.random(in: 0...(.max)))".utf8))
          let start = clock.now
          // The command tries again by itself while the coordinator starts anew.
          guard try await user.status("put", "\(folder)/\(name)", "/\(name)") == 0 else { continue }
          longest = max(longest, clock.now - start)
          names.append(name)
        }
        return (names, longest)
      }
      try await cluster.control("metadata", "migrate", "--to", "postgres")
      isOver.withLock { $0 = true }
      let (names, longest) = try await writing.value
      for name in names { log.acknowledge(name) }
      print("\(names.count) uploads while the metadata moved; the longest took \(longest.inSeconds) s")
      #expect(!names.isEmpty)
      #expect(try await cluster.control("metadata", "status", "--json").contains("\"postgres\""))
      try await put(5, "after", user, log, &random)
      // It comes up there again, with the configuration as it was.
      try await cluster.command("kill", "coordinator-1")
      try await cluster.command("start", "coordinator-1")
      try await put(5, "later", user, log, &random)
      try await cluster.control("wait", "--healthy", "--timeout", "120", "--quiet")
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      for name in log.names {
        let copy = cluster.folder.path("copy")
        try await user.cairn("get", "/\(name)", copy)
        #expect(try await FileTree.difference("\(log.folder)/\(name)", copy) == "", "\(name) differs")
        try Directory.remove(copy)
      }
    }
  }

  private func put(
    _ count: Int, _ prefix: String, _ user: User, _ log: AcknowledgementLog, _ random: inout SeededRandom
  ) async throws {
    for number in 0..<count {
      let name = "\(prefix)-\(number)"
      try FileTree.write("\(log.folder)/\(name)", size: Int.random(in: 1...100_000, using: &random), random: &random)
      try await user.cairn("put", "\(log.folder)/\(name)", "/\(name)")
      log.acknowledge(name)
    }
  }
}
