import BlockModel
import Glibc
import Platform
import TestSupport
import Testing

/// The metadata in PostgreSQL with a synchronous standby, and two coordinators over it.
@Suite("Fail-over of the metadata", .serialized, .enabled(if: getuid() == 0, "PostgreSQL is started as user postgres, which takes root"))
struct FailOverTests {
  @Test("killing the primary, either coordinator and so the holder of the lease loses nothing acknowledged, and work goes on")
  func failOver() async throws {
    try await LocalCluster.with(["--metadata", "postgres", "--coordinators", "2"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let log = AcknowledgementLog(folder: cluster.folder.path("acknowledged"))
      try Directory.create(log.folder)
      let victims = [("postgres-primary", "postgres-1"), ("coordinator-1", "coordinator-1"), ("coordinator-2", "coordinator-2")]
      for (round, victim) in (victims + victims.prefix(1)).enumerated() {
        try await failOverRound(round, victim.0, cluster, user, log, &random)
        try await cluster.command("start", victim.1)
      }
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

  /// One upload that is acknowledged before the kill, one that is under way, and one that is tried after it until it succeeds.
  private func failOverRound(
    _ round: Int, _ victim: String, _ cluster: LocalCluster, _ user: User, _ log: AcknowledgementLog, _ random: inout SeededRandom
  ) async throws {
    for name in ["before-\(round)", "during-\(round)", "after-\(round)"] {
      try FileTree.write("\(log.folder)/\(name)", size: Int.random(in: 1...(6 << 20), using: &random), random: &random)
    }
    try await user.cairn("put", "\(log.folder)/before-\(round)", "/before-\(round)")
    log.acknowledge("before-\(round)")
    let upload = try user.start(["put", "\(log.folder)/during-\(round)", "/during-\(round)"])
    try await Task.sleep(for: .milliseconds(Int.random(in: 0...150, using: &random)))
    let clock = ContinuousClock()
    let start = clock.now
    try await cluster.command("kill", victim)
    // The bound is for a broken program; the time is printed for people.
    try await eventually(within: .seconds(180), every: .milliseconds(100), "An upload after \(victim) was killed") {
      try await user.status("put", "\(log.folder)/after-\(round)", "/after-\(round)") == 0
    }
    print("\(victim): an upload succeeded \((clock.now - start).inSeconds) s after the kill began")
    log.acknowledge("after-\(round)")
    if await upload.wait() == .exited(status: 0) { log.acknowledge("during-\(round)") }
  }
}
