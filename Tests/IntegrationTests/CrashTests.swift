import BlockModel
import Platform
import TestSupport
import Testing

/// SIGKILL of node, coordinator, gateway and client at random moments; afterwards every acknowledged file is there, byte for byte.
///
/// `CAIRN_CRASH_ROUNDS` sets the number of rounds.
@Suite("Crashes of real processes", .serialized)
struct CrashTests {
  private static let rounds = Environment.value("CAIRN_CRASH_ROUNDS").flatMap { Int($0) } ?? 50

  @Test("what was acknowledged survives SIGKILL of any process at any moment")
  func killAnything() async throws {
    try await LocalCluster.with { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let log = AcknowledgementLog(folder: cluster.folder.path("acknowledged"))
      try Directory.create(cluster.folder.path("acknowledged"))
      for round in 0..<Self.rounds {
        try await crashRound(round, cluster, user, log, &random)
      }
      try await cluster.command("up")
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      for name in log.names {
        let copy = cluster.folder.path("copy")
        try await user.cairn("get", "/\(name)", copy)
        #expect(try await FileTree.difference("\(log.folder)/\(name)", copy) == "", "\(name) differs")
        try Directory.remove(copy)
      }
      #expect(!log.names.isEmpty)
    }
  }

  /// One upload, one kill at a random moment of it, and a restart of what was killed.
  private func crashRound(
    _ round: Int, _ cluster: LocalCluster, _ user: User, _ log: AcknowledgementLog, _ random: inout SeededRandom
  ) async throws {
    let name = "round-\(round)"
    let source = "\(log.folder)/\(name)"
    try FileTree.write(source, size: Int.random(in: 0...(12 << 20), using: &random), random: &random)
    let upload = try user.start(["put", source, "/\(name)"])
    try await Task.sleep(for: .milliseconds(Int.random(in: 0...120, using: &random)))
    let victims = ["client", "coordinator-1", "gateway-1"] + (1...6).map { "node-\($0)" }
    let victim = victims[Int.random(in: 0..<victims.count, using: &random)]
    if victim == "client" {
      upload.send(.kill)
    } else {
      try await cluster.command("kill", victim)
      try await Task.sleep(for: .milliseconds(Int.random(in: 0...200, using: &random)))
      try await cluster.command("start", victim)
    }
    if await upload.wait() == .exited(status: 0) {
      log.acknowledge(name)
    } else if Bool.random(using: &random) {
      // The same command again, as a person would: it resumes.
      try await user.cairn("put", source, "/\(name)")
      log.acknowledge(name)
    }
  }
}

/// What the client was told is stored; its sources are kept beside.
final class AcknowledgementLog {
  let folder: String
  private(set) var names: [String] = []
  init(folder: String) { self.folder = folder }
  func acknowledge(_ name: String) { names.append(name) }
}
