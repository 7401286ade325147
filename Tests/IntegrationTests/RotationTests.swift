import BlockModel
import Foundation
import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

/// Puts and gets files over and over while something else happens to the cluster; each round starts new processes, as users do.
private final class Traffic: Sendable {
  private let user: User
  private let tasks = Mutex<[Task<Void, Never>]>([])
  private let state = Mutex<(rounds: Int, failures: [String])>((0, []))

  init(_ user: User) { self.user = user }

  var rounds: Int { state.withLock { $0.rounds } }

  func start(_ workers: Int) {
    for worker in 0..<workers {
      let task = Task {
        var random = SeededRandom(seed: UInt64(worker) + 77)
        while !Task.isCancelled { await self.round(worker, &random) }
      }
      tasks.withLock { $0.append(task) }
    }
  }

  /// Waits for rounds that began from now on to end well, and so for nothing that was refused meanwhile.
  func goOn(_ rounds: Int = 4) async throws {
    let end = self.rounds + rounds + 2
    try await eventually(within: .seconds(120), "the traffic goes on") {
      self.rounds >= end || self.state.withLock { !$0.failures.isEmpty }
    }
  }

  /// Ends it and answers what failed.
  func stop() async -> [String] {
    let tasks = tasks.withLock { $0 }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
    return state.withLock { $0.failures }
  }

  private func round(_ worker: Int, _ random: inout SeededRandom) async {
    let folder = user.cluster.folder
    let (source, copy, remote) = (folder.path("source-\(worker)"), folder.path("copy-\(worker)"), "/traffic-\(worker)")
    do {
      try FileTree.write(source, size: Int.random(in: 1...(worker == 0 ? 12 << 20 : 200_000), using: &random), random: &random)
      try await user.cairn("put", source, remote, "--on-conflict", "overwrite")
      try? FileManager.default.removeItem(atPath: copy)
      try await user.cairn("get", remote, copy)
      let difference = try await FileTree.difference(source, copy)
      state.withLock { state in
        state.rounds += 1
        if !difference.isEmpty { state.failures.append(difference) }
      }
    } catch {
      let isStopped = Task.isCancelled
      if !isStopped { state.withLock { $0.failures.append("\(error)") } }
    }
  }
}

@Suite("Rotation under load, on real processes", .serialized)
struct RotationTests {
  @Test("the cluster's secret, the data keys, certificates and their authority are replaced while files go up and down, and nothing fails")
  func everything() async throws {
    try await LocalCluster.with(["--tls", "--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      let traffic = Traffic(user)
      traffic.start(2)
      try await traffic.goOn()

      try await cluster.control("keys", "rotate", "--wait")
      try await traffic.goOn()

      for step in ["begin", "advance", "finish"] {
        try await cluster.reload { try await cluster.command("rotate-secret", "--step", step, "--pause", "0") }
        // Nothing is signed under the old key any more when the old key goes.
        try await traffic.goOn()
      }

      // Certificates anew, then their authority, step by step as docs/operations.md says.
      try await cluster.issueCertificates()
      try await traffic.goOn()
      let tls = cluster.folder.path("cluster/tls")
      let old = try LocalCluster.text(tls + "/ca.pem")
      try await cluster.control("tls", "authority", "--folder", tls)
      try await cluster.reload { try await cluster.hangUp() }
      try await traffic.goOn()
      try await cluster.issueCertificates()
      try await traffic.goOn()
      try await cluster.control("tls", "forget-old", "--folder", tls)
      try await cluster.reload { try await cluster.hangUp() }
      try await traffic.goOn()

      #expect(await traffic.stop() == [])
      let now = try LocalCluster.text(tls + "/ca.pem")
      #expect(now != old && now.components(separatedBy: "BEGIN CERTIFICATE").count == 2)
      // Who still pins the old authority is refused, and the cluster is well with the new one.
      let pinned = cluster.folder.path("old-ca.pem")
      try AtomicFile.write(pinned, Array(old.utf8))
      let curl = try await ProcessRunner.run(
        "/usr/bin/curl", ["-sS", "--cacert", pinned, cluster.gateway + "/healthz"], environment: LocalCluster.environment([:]))
      #expect(!curl.succeeded, "\(curl)")
      try await cluster.restartEverything()
      try await user.cairn("get", "/traffic-0", cluster.folder.path("after"))
      #expect(try await FileTree.difference(cluster.folder.path("source-0"), cluster.folder.path("after")) == "")
    }
  }
}

extension LocalCluster {
  private static let daemons = ["coordinator-1", "node-1", "node-2", "node-3", "gateway-1"]
  private static let reloaded = "keys and certificates were read again"

  private func reloads(_ name: String) throws -> Int {
    try Self.text(folder.path("cluster/\(name)/log")).components(separatedBy: Self.reloaded).count
  }

  /// Runs what has every daemon read its keys again, and returns when all have.
  fileprivate func reload(_ body: () async throws -> Void) async throws {
    let before = try Self.daemons.map { try reloads($0) }
    try await body()
    for (name, count) in zip(Self.daemons, before) {
      try await eventually("\(name) reads its keys again") { try self.reloads(name) > count }
    }
  }

  fileprivate func hangUp() async throws {
    for name in Self.daemons { kill(try processID(name), SIGHUP) }
  }

  /// A new certificate of the newest authority for each daemon.
  fileprivate func issueCertificates() async throws {
    let tls = folder.path("cluster/tls")
    for name in Self.daemons {
      let kind = String(name.prefix { $0 != "-" })
      try await control("tls", "issue", kind, name, "--hosts", "127.0.0.1,localhost", "--folder", tls)
    }
    try await reload { try await hangUp() }
  }

  fileprivate func restartEverything() async throws {
    for name in Self.daemons {
      try await command("kill", name, "--signal", "SIGTERM")
      try await command("start", name)
    }
  }
}
