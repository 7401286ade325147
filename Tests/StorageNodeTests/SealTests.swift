import BlockModel
import BlockStore
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

@Suite("Handing partitions on") struct SealTests {
  /// Layout 2 has its replicas on the last three of four nodes, so the first one is on its way out.
  private func moved(_ body: (TestCluster) async throws -> Void) async throws {
    try await withCluster(.init(zones: ["a", "b", "c", "d"])) { cluster in
      try await body(cluster)
    }
  }

  private func mark(_ cluster: TestCluster, _ at: Int, layoutVersion: UInt64) async throws -> UInt64 {
    let command = NodeCommand.list(partition: 0, bits: 0, after: nil, limit: 1)
    guard case .list(_, _, let mark) = try await cluster.command(command, at: at, layoutVersion: layoutVersion) else {
      Issue.record("a list is answered by a list")
      return 0
    }
    return mark
  }

  private func problem(_ body: () async throws -> Void) async -> String? {
    do {
      try await body()
      return nil
    } catch { return (error as? Unexpected)?.response.problem ?? "\(error)" }
  }

  @Test("a sealed partition refuses writes of older layouts with 409, also from other nodes and after a restart; newer ones go on")
  func seal() async throws {
    var random = Seeds.random()
    let (old, new) = (random.bytes(3000), random.bytes(3000))
    try await moved { cluster in
      _ = try await cluster.store(old, forwards: [1, 2])
      #expect(try await cluster.command(.seal(partitions: [0], layoutVersion: 2), at: 0, layoutVersion: 2) == .sealed)
      let first = try await cluster.put(new, to: cluster.putURL(new, at: 0, forwards: [1, 2], layoutVersion: 1))
      #expect(first.status == 409 && first.problem == "stale-layout")
      // Node 2 forwards to node 1, which refuses, and takes node 3 and the spare instead.
      let response = try await cluster.put(new, to: cluster.putURL(new, at: 1, forwards: [0, 2, 3], layoutVersion: 1))
      #expect(try cluster.receipts(response).map(\.node).sorted() == [cluster.nodes[1].id, cluster.nodes[2].id, cluster.nodes[3].id])
      #expect(cluster.holders(TestCluster.name(new)) == [1, 2, 3])
      let later = random.bytes(100)
      #expect(try await cluster.put(later, to: cluster.putURL(later, at: 0, forwards: [1, 2], layoutVersion: 2)).status == 201)
      // What is here is still served; nothing was given up yet.
      #expect(try await cluster.get(cluster.getURL(old, at: 0)).bytes == old)
      let again = try PartitionSeals(folder: cluster.nodes[0].folder.path, knownLayout: 1, pool: cluster.pool)
      #expect(again.seal(of: 0) == 2)
      #expect(throws: Problem.self) { try again.enter(0, layoutVersion: 1) }
    }
  }

  @Test("a seal that was lost to damage counts for every partition")
  func damagedFile() async throws {
    let folder = try TemporaryFolder()
    let pool = BlockingPool(name: "test", threads: 1)
    let seals = try PartitionSeals(folder: folder.path, knownLayout: 0, pool: pool)
    try await seals.seal([3], layoutVersion: 7)
    var bytes = try #require(try AtomicFile.read(folder.path("partition-seals"), limit: 1 << 20))
    bytes[bytes.count - 2] ^= 1
    try AtomicFile.write(folder.path("partition-seals"), bytes)
    let again = try PartitionSeals(folder: folder.path, knownLayout: 9, pool: pool)
    #expect(again.seal(of: 3) == 9 && again.seal(of: 4) == 9)
  }

  @Test("a seal waits for older writes that were let in before, and says that it is busy when they do not end")
  func inFlight() async throws {
    let folder = try TemporaryFolder()
    let seals = try PartitionSeals(folder: folder.path, knownLayout: 0, pool: BlockingPool(name: "test", threads: 2))
    try seals.enter(5, layoutVersion: 1)
    try seals.enter(5, layoutVersion: 2)
    try seals.enter(6, layoutVersion: 1)
    let sealing = Task { try await seals.seal([5], layoutVersion: 2) }
    try await eventually { seals.seal(of: 5) == 2 }
    #expect(throws: Problem.self) { try seals.enter(5, layoutVersion: 1) }
    seals.leave(5, layoutVersion: 1)
    try await sealing.value
    await #expect(throws: Problem.self) { try await seals.seal([6], layoutVersion: 2) }
    #expect(seals.seal(of: 6) == 2, "it is sealed all the same")
  }

  @Test("copies go only from a sealed node that is no replica, under the layout that it knows and the newest it was told of")
  func retire() async throws {
    var random = Seeds.random()
    let blocks = (0..<5).map { _ in random.bytes(2000) }
    try await moved { cluster in
      for block in blocks { _ = try await cluster.store(block, forwards: [1, 2]) }
      let names = blocks.map { TestCluster.name($0) }
      func retire(_ at: Int, _ version: UInt64) async throws -> NodeCommandReply {
        let mark = try await mark(cluster, at, layoutVersion: 1)
        return try await cluster.command(
          .retire(partition: 0, bits: 0, blocks: names, mark: mark), at: at, layoutVersion: version)
      }
      #expect(await problem { _ = try await retire(0, 2) } == "stale-layout", "it does not know layout 2 yet")
      try await cluster.spread(cluster.view(layoutVersion: 2, replicas: [1, 2, 3]))
      #expect(await problem { _ = try await retire(0, 2) } == "conflict", "not sealed")
      _ = try await cluster.command(.seal(partitions: [0], layoutVersion: 2), at: 0, layoutVersion: 2)
      _ = try await cluster.command(.seal(partitions: [0], layoutVersion: 2), at: 1, layoutVersion: 2)
      #expect(await problem { _ = try await retire(1, 2) } == "fenced", "a replica")
      #expect(cluster.holders(names[0]) == [0, 1, 2])
      #expect(try await retire(0, 2) == .retire(retired: 5))
      #expect(cluster.holders(names[0]) == [1, 2] && cluster.nodes[0].disk.space().blockCount == 0)
      #expect(try await retire(0, 2) == .retire(retired: 0), "again does no harm")
      // A client with an old URL is sent for a fresh one; one with a URL of now is told that there is nothing.
      #expect(try await cluster.get(cluster.getURL(blocks[0], at: 0)).status == 409)
      let fresh = cluster.capability(.get, names[0], size: blocks[0].count, at: 0, layoutVersion: 2)
      #expect(try await cluster.get(cluster.url(fresh)).status == 404)
    }
  }

  @Test("once a command of a newer layout was heard, nothing is given up under an older one, also after a restart")
  func fenced() async throws {
    var random = Seeds.random()
    let block = random.bytes(500)
    let name = TestCluster.name(block)
    try await moved { cluster in
      _ = try await cluster.store(block, forwards: [1, 2])
      try await cluster.spread(cluster.view(layoutVersion: 2, replicas: [1, 2, 3]))
      _ = try await cluster.command(.seal(partitions: [0], layoutVersion: 2), at: 0, layoutVersion: 2)
      _ = try await cluster.command(.exist(blocks: [name]), at: 0, layoutVersion: 3)
      let refused = await problem {
        _ = try await cluster.command(.retire(partition: 0, bits: 0, blocks: [name], mark: 0), at: 0, layoutVersion: 2)
      }
      #expect(refused == "fenced" && cluster.holders(name) == [0, 1, 2])
      let again = try PartitionSeals(folder: cluster.nodes[0].folder.path, knownLayout: 2, pool: cluster.pool)
      #expect(throws: Problem.self) { try again.beginRetiring(0, layoutVersion: 2, mark: again.mark(of: 0)) }
    }
  }

  @Test("what a node acknowledges after it was listed is not given up; listed again, it goes", arguments: [false, true])
  func acknowledgedSince(isHere: Bool) async throws {
    var random = Seeds.random()
    let (block, other) = (random.bytes(500), random.bytes(500))
    let name = TestCluster.name(block)
    try await moved { cluster in
      _ = try await cluster.store(block, forwards: [1, 2])
      try await cluster.spread(cluster.view(layoutVersion: 2, replicas: [1, 2, 3]))
      _ = try await cluster.command(.seal(partitions: [0], layoutVersion: 2), at: 0, layoutVersion: 2)
      let listed = try await mark(cluster, 0, layoutVersion: 2)
      // The same block once more, which is here already, or another one of the partition: as somebody's spare.
      let put = isHere ? block : other
      let response = try await cluster.put(put, to: cluster.putURL(put, at: 1, forwards: [0, 2], layoutVersion: 2))
      #expect(try cluster.receipts(response).map(\.node).contains(cluster.nodes[0].id))
      func retire(_ mark: UInt64) async throws -> NodeCommandReply {
        try await cluster.command(.retire(partition: 0, bits: 0, blocks: [name], mark: mark), at: 0, layoutVersion: 2)
      }
      #expect(await problem { _ = try await retire(listed) } == "conflict" && cluster.holders(name).contains(0))
      let again = try await mark(cluster, 0, layoutVersion: 2)
      #expect(try await retire(again) == .retire(retired: 1))
      #expect(!cluster.holders(name).contains(0))
    }
  }

  @Test("marks of one life of a node do not count in the next one")
  func marksOfLives() throws {
    let folder = try TemporaryFolder()
    let pool = BlockingPool(name: "test", threads: 1)
    let first = try PartitionSeals(folder: folder.path, knownLayout: 0, pool: pool)
    let second = try PartitionSeals(folder: folder.path, knownLayout: 0, pool: pool)
    #expect(first.mark(of: 3) != second.mark(of: 3))
  }

  @Test("a node that is asked under a newer layout than its own knows that it is behind")
  func behind() async throws {
    var random = Seeds.random()
    let block = random.bytes(500)
    try await moved { cluster in
      #expect(!cluster.nodes[0].node.knowledge.isBehind)
      _ = try await cluster.get(cluster.url(cluster.capability(.get, TestCluster.name(block), size: 500, at: 0, layoutVersion: 2)))
      #expect(cluster.nodes[0].node.knowledge.isBehind)
      try await cluster.spread(cluster.view(layoutVersion: 2))
      #expect(!cluster.nodes[0].node.knowledge.isBehind)
    }
  }
}
