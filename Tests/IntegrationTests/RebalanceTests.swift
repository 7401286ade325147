import BlockModel
import Foundation
import Platform
import Synchronization
import TestSupport
import Testing

/// A user who goes on storing files and reading them back, one after the other, until told to stop.
private final class Load: Sendable {
  private struct State {
    var stored: [(name: String, bytes: [UInt8])] = []
    var isStopping = false
    var failures: [String] = []
  }
  private let user: User
  private let state = Mutex(State())
  private let task = Mutex<Task<Void, Never>?>(nil)

  init(_ user: User, seed: UInt64) {
    self.user = user
    task.withLock { $0 = Task { await run(seed) } }
  }

  var count: Int { state.withLock { $0.stored.count } }

  private func run(_ seed: UInt64) async {
    var random = SeededRandom(seed: seed)
    var number = 0
    while !state.withLock({ $0.isStopping }) {
      number += 1
      let bytes = random.bytes(Int.random(in: 1...(5 << 20), using: &random))
      await store("/load-\(number)", bytes)
      let old = state.withLock { state in state.stored.isEmpty ? nil : state.stored[Int.random(in: state.stored.indices, using: &random)] }
      if let old { await check(old.name, old.bytes) }
    }
  }

  private func store(_ name: String, _ bytes: [UInt8]) async {
    let file = user.cluster.folder.path("load")
    do {
      try AtomicFile.write(file, bytes)
      try await user.cairn("put", file, name)
      state.withLock { $0.stored.append((name, bytes)) }
    } catch { state.withLock { $0.failures.append("put \(name): \(error)") } }
  }

  private func check(_ name: String, _ bytes: [UInt8]) async {
    let file = user.cluster.folder.path("loaded")
    do {
      try await user.cairn("get", name, file)
      let found = try AtomicFile.read(file, limit: 64 << 20)
      if found != bytes { state.withLock { $0.failures.append("\(name) came back as other bytes") } }
    } catch { state.withLock { $0.failures.append("get \(name): \(error)") } }
  }

  /// Ends the load; answers what went wrong, reading everything once more.
  func stop() async -> [String] {
    state.withLock { $0.isStopping = true }
    await task.withLock { $0 }?.value
    for file in state.withLock({ $0.stored }) { await check(file.name, file.bytes) }
    return state.withLock { $0.failures }
  }
}

@Suite("Nodes that come and go while work goes on, on real processes", .serialized)
struct RebalanceTests {
  private struct Drain: Decodable {
    var state: String
    var blocksLeft: Int
    var mayBeUnplugged: Bool
  }

  private struct Status: Decodable {
    struct Node: Decodable {
      var name: String
      var blockCount: Int
    }
    var nodes: [Node]
  }

  private static var decoder: JSONDecoder {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return decoder
  }

  private func drainStatus(_ cluster: LocalCluster, _ node: String) async throws -> Drain {
    try Self.decoder.decode(Drain.self, from: Data(try await cluster.control("drain", node, "--json").utf8))
  }

  private func blocks(_ cluster: LocalCluster, _ node: String) async throws -> Int {
    let status = try Self.decoder.decode(Status.self, from: Data(try await cluster.control("status", "--json").utf8))
    return status.nodes.first { $0.name == node }?.blockCount ?? -1
  }

  @Test("a node drained under load holds nothing in the end, although its coordinator and another node are killed meanwhile")
  func drain() async throws {
    try await LocalCluster.with(["--nodes", "5"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 40, largest: 8 << 20, random: &random)
      try await user.cairn("put", "-r", tree, "/tree")
      try await eventually("node-4's blocks", { try await blocks(cluster, "node-4") > 0 })
      let load = Load(user, seed: random.next())
      let waiting = Task { try await cluster.control("drain", "node-4", "--wait") }
      try await eventually("the drain's beginning", { try await drainStatus(cluster, "node-4").state == "draining" })
      try await cluster.command("kill", "coordinator-1")
      try await cluster.command("start", "coordinator-1")
      try await cluster.command("kill", "node-2")
      try await cluster.command("start", "node-2")
      let said = try await waiting.value
      #expect(said.contains("may be unplugged"))
      let drained = try await drainStatus(cluster, "node-4")
      #expect(drained.mayBeUnplugged && drained.blocksLeft == 0)
      #expect(try await blocks(cluster, "node-4") == 0)
      #expect(load.count > 0)
      #expect(await load.stop() == [])
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      // Unplugged for good: nothing misses it.
      try await cluster.command("kill", "node-4")
      try await user.cairn("get", "-r", "/tree", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(tree, cluster.folder.path("copy")) == "")
      try await cluster.control("audit")
      #expect(try await cluster.control("layout", "history").contains("drain of node-4"))
    }
  }

  @Test("a node added under load is filled by copies that its predecessors give up, and it may be killed and the way aborted meanwhile")
  func add() async throws {
    try await LocalCluster.with(["--nodes", "4"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 30, largest: 8 << 20, random: &random)
      try await user.cairn("put", "-r", tree, "/tree")
      let load = Load(user, seed: random.next())
      try await cluster.control("rebalance", "pause")
      try await cluster.command("add-node", "--zone", "b")
      #expect(try await cluster.control("rebalance", "status").contains("paused"))
      #expect(try await cluster.control("layout", "show", "--json").contains("node-5"))
      try await cluster.control("rebalance", "resume")
      try await cluster.command("kill", "node-5")
      try await cluster.command("start", "node-5")
      // Half way, or at its end on a fast machine: then there is nothing to go back to, and it is taken out as any node is.
      let aborted = try await cluster.attempt("cairnctl", ["rebalance", "abort", "--wait"], as: nil)
      if !aborted.succeeded { try await cluster.control("drain", "node-5", "--wait") }
      try await cluster.control("rebalance", "status", "--wait")
      #expect(try await !cluster.control("layout", "show", "--json").contains("node-5"))
      #expect(try await cluster.control("drain", "node-5", "--wait").contains("may be unplugged"))
      #expect(try await blocks(cluster, "node-5") == 0)

      try await cluster.control("layout", "assign", "node-5", "--weight", "2")
      #expect(try await cluster.control("layout", "plan").contains("node-5"))
      let version = try await cluster.control("layout", "history", "--json", "--limit", "1")
      let newest = version.firstMatch(of: /"version"\s*:\s*(\d+)/).flatMap { Int($0.1) } ?? 0
      let late = try await cluster.attempt("cairnctl", ["layout", "apply", "--version", "\(newest)"], as: nil)
      #expect(late.ending == .exited(status: 3), "\(late.error)")
      try await cluster.control("layout", "apply", "--version", "\(newest + 1)")
      try await cluster.control("rebalance", "status", "--wait")
      #expect(try await blocks(cluster, "node-5") > 0)
      #expect(await load.stop() == [])
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      try await cluster.command("kill", "node-1")
      try await user.cairn("get", "-r", "/tree", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(tree, cluster.folder.path("copy")) == "")
    }
  }
}
