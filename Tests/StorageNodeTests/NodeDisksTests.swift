import BlockModel
import BlockStore
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

@Suite("A node's disks, in real folders") struct NodeDisksTests {
  private let folder: TemporaryFolder
  private let cluster = ClusterID.random()
  private let owner = NodeID("node-1")!
  private var folders: [String] { ["one", "two"].map { folder.path($0) } }

  init() throws { folder = try TemporaryFolder() }

  private func open(
    _ roster: DiskRoster, owner: NodeID? = nil, cluster: ClusterID? = nil, systems: [String: FailingDisk] = [:], folders: [String]? = nil
  ) throws -> NodeDisks {
    try NodeDisks.open(folders ?? self.folders, roster: roster, log: .none) { (folder, mayFormat) throws(BlockStoreError) in
      var configuration = SegmentStore.Configuration(folder: folder, cluster: cluster ?? self.cluster, keys: nil)
      configuration.owner = owner ?? self.owner
      configuration.formatsEmptyFolder = mayFormat
      configuration.segmentBytes = 8 << 20
      if let system = systems[folder] { configuration.fileSystem = system }
      return try SegmentStore.open(configuration)
    }
  }

  private func close(_ disks: NodeDisks) async {
    for disk in disks.disks { await disk.close() }
  }

  /// Stores blocks over both disks.
  private func fill(_ disks: NodeDisks, _ random: inout SeededRandom, count: Int = 60) async throws -> [[UInt8]] {
    let set = DiskSet(disks.disks)
    let blocks = (0..<count).map { _ in random.bytes(3000) }
    for block in blocks { _ = try await set.append(try TestRecords.record(block)) }
    #expect(disks.disks.allSatisfy { $0.space().blockCount > 5 })
    return blocks
  }

  private func readable(_ set: DiskSet, _ blocks: [[UInt8]]) async -> Int {
    let pool = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: 2)
    var count = 0
    for block in blocks {
      if let payload = try? await set.read(TestCluster.name(block), range: nil, into: pool),
        Array(payload.buffer.bytes(payload.range)) == block
      {
        count += 1
      }
    }
    return count
  }

  @Test("a disk that is missing at the start is missed, its empty mount is not formatted, and it is welcome when it is back")
  func missing() async throws {
    var random = Seeds.random()
    let first = try open(DiskRoster())
    let blocks = try await fill(first, &random)
    let (one, two) = (first.disks[0], first.disks[1])
    let onTwo = two.space().blockCount
    await close(first)
    try first.roster.save(folder: folder.path)
    let roster = try DiskRoster.load(folder: folder.path)
    #expect(roster == first.roster && roster[folders[1]] == two.disk)

    try Directory.rename(folders[1], to: folder.path("away"))
    for mount in [false, true] {
      if mount { try Directory.create(folders[1]) }
      let second = try open(roster)
      #expect(second.disks.map(\.disk) == [one.disk, two.disk] && second.folders[two.disk] == folders[1])
      #expect(second.disks[0].health() == .healthy && !second.disks[1].health().isThere)
      let set = DiskSet(second.disks)
      #expect(await readable(set, blocks) == 60 - onTwo)
      // New blocks go to the disk that is there, also those that were on the other.
      let again = try await set.append(try TestRecords.record(blocks[0]))
      #expect(again.disk == one.disk)
      await close(second)
      #expect(try Directory.attributes(folders[1] + "/identity") == nil, "an empty mount stays empty")
    }
    try Directory.removeTree(folders[1])
    try Directory.rename(folder.path("away"), to: folders[1])
    let third = try open(roster)
    #expect(await readable(DiskSet(third.disks), blocks) == 60)
    await close(third)
  }

  @Test("disks may change places; a folder that is forgotten becomes a new disk")
  func places() async throws {
    var random = Seeds.random()
    let first = try open(DiskRoster())
    let blocks = try await fill(first, &random)
    await close(first)
    try Directory.rename(folders[0], to: folder.path("x"))
    try Directory.rename(folders[1], to: folders[0])
    try Directory.rename(folder.path("x"), to: folders[1])
    let second = try open(first.roster)
    #expect(second.disks.map(\.disk) == first.disks.reversed().map(\.disk) && second.roster != first.roster)
    #expect(await readable(DiskSet(second.disks), blocks) == 60)
    await close(second)
    try Directory.removeTree(folders[1])
    var forgetful = second.roster
    forgetful[folders[1]] = nil
    let third = try open(forgetful)
    #expect(third.disks.allSatisfy { $0.health() == .healthy } && !first.disks.map(\.disk).contains(third.disks[1].disk))
    await close(third)
  }

  @Test("what is not this node's keeps it from starting, and says why")
  func refusals() async throws {
    let first = try open(DiskRoster())
    await close(first)
    func code(_ body: () throws -> Void) -> BlockStoreError.Code? {
      do { try body() } catch { return (error as? BlockStoreError)?.code }
      return nil
    }
    #expect(code { _ = try open(first.roster, owner: NodeID("node-2")!) } == .wrongNode)
    #expect(code { _ = try open(first.roster, cluster: .random()) } == .wrongCluster)
    try AtomicFile.write(folders[1] + "/identity", Array("cairn disk 2\n".utf8))
    #expect(code { _ = try open(first.roster) } == .newerFormat)
    try Directory.removeTree(folders[0])
    try Directory.removeTree(folders[1])
    #expect(code { _ = try open(first.roster) } == .io, "no disk at all")
  }

  @Test("the same disk twice, which a copy of a folder is, is refused")
  func cloned() async throws {
    let first = try open(DiskRoster())
    await close(first)
    try Directory.removeTree(folders[1])
    let copy = try await ProcessRunner.run("/bin/cp", ["-a", folders[0], folders[1]])
    #expect(copy.succeeded)
    do {
      _ = try open(first.roster)
      Issue.record("a cloned disk was taken")
    } catch { #expect((error as? BlockStoreError)?.code == .locked) }
  }

  @Test("a damaged roster is not guessed at")
  func damagedRoster() throws {
    var roster = DiskRoster()
    roster["/srv/disk one"] = DiskID(high: 1, low: 2)
    try roster.save(folder: folder.path)
    #expect(try DiskRoster.load(folder: folder.path) == roster)
    let good = try #require(try AtomicFile.read(folder.path("disks"), limit: 1000))
    for index in good.indices {
      var bad = good
      bad[index] ^= 1
      try AtomicFile.write(folder.path("disks"), bad)
      #expect(throws: DiskRoster.Damaged.self) { try DiskRoster.load(folder: folder.path) }
    }
  }

  @Test("a disk that cannot write any more is read, is not counted as holding, and its blocks move to the others")
  func fenced() async throws {
    var random = Seeds.random()
    let failing = FailingDisk()
    let disks = try open(DiskRoster(), systems: [folders[1]: failing])
    let blocks = try await fill(disks, &random)
    let coordinator = FakeControl()
    let node = try TestNodes.node(
      disks.disks, folder: folder, cluster: cluster, control: [coordinator], folders: disks.folders)
    failing.fail(.writing)
    let set = node.disks
    for block in (0..<20).map({ _ in random.bytes(100) }) { _ = try await set.append(try TestRecords.record(block)) }
    guard case .fenced = disks.disks[1].health() else {
      Issue.record("a disk that cannot write is fenced")
      return
    }
    #expect(await readable(set, blocks) == 60)
    let onTwo = blocks.filter { disks.disks[1].status(of: TestCluster.name($0)) != nil }
    #expect(set.holds(blocks.map { TestCluster.name($0) }).count { !$0 } == onTwo.count)
    try await node.beat()
    #expect(coordinator.disks.map(\.state) == [.healthy, .fenced] && coordinator.disks[1].folder == folders[1])
    // What repair asks of the node then: no other node is needed.
    let outcomes = await node.copyRecords(onTwo.map { CopyItem(block: TestCluster.name($0), size: $0.count, sources: []) })
    #expect(outcomes.allSatisfy { $0 == .copied } && set.holds(blocks.map { TestCluster.name($0) }).allSatisfy { $0 })
    let again = await node.copyRecords(onTwo.map { CopyItem(block: TestCluster.name($0), size: $0.count, sources: []) })
    #expect(again.allSatisfy { $0 == .present })
    await node.stop()
  }

  @Test("a disk that answers nothing any more is given up while the other serves; when both do not, the node falls silent")
  func dead() async throws {
    var random = Seeds.random()
    let failing = [FailingDisk(), FailingDisk()]
    let disks = try open(DiskRoster(), systems: [folders[0]: failing[0], folders[1]: failing[1]])
    let blocks = try await fill(disks, &random)
    let onOne = disks.disks[0].space().blockCount
    let coordinator = FakeControl()
    let node = try TestNodes.node(
      disks.disks, folder: folder, cluster: cluster, control: [coordinator], folders: disks.folders)
    failing[1].fail(.everything)
    #expect(await readable(node.disks, blocks) == onOne)
    try await node.beat()
    #expect(coordinator.disks.map(\.state) == [.healthy, .missing])
    #expect(node.disks.digest(ofPartition: 0, bits: 0).count == onOne)
    for block in blocks { _ = try await node.disks.append(try TestRecords.record(block)) }
    #expect(await readable(node.disks, blocks) == 60)
    failing[0].fail(.everything)
    #expect(await readable(node.disks, blocks) == 0)
    let beats = coordinator.beats
    node.start()
    try await eventually { node.isSilent }
    #expect(coordinator.beats == beats && node.notReady != nil)
    await node.stop()
  }
}
