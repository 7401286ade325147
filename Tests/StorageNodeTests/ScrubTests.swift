import BlockModel
import BlockStore
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

@Suite("Scrub and self-repair") struct ScrubTests {
  private func fast() -> ScrubPacer.Configuration {
    var configuration = ScrubPacer.Configuration()
    configuration.freshInterval = .milliseconds(20)
    configuration.restTime = .milliseconds(20)
    configuration.workTime = .seconds(1)
    configuration.passInterval = .milliseconds(100)
    return configuration
  }

  @Test("the scrub finds a bad copy of an old and of a new block, sets it aside, and tells the coordinator", arguments: [true, false])
  func finds(isNew: Bool) async throws {
    var random = Seeds.random()
    let blocks = (0..<20).map { _ in random.bytes(3000) }
    let coordinator = FakeControl()
    var options = TestCluster.Options(store: .segments)
    options.scrub = fast()
    options.control = [coordinator]
    try await withCluster(options) { cluster in
      let node = cluster.nodes[1]
      if isNew { node.node.startScrub() }
      for block in blocks { _ = try await cluster.store(block) }
      try node.damage(TestCluster.name(blocks[11]), random: &random)
      if !isNew { node.node.startScrub() }
      try await eventually { node.disk.isSetAside(TestCluster.name(blocks[11])) }
      try await eventually {
        try await node.node.beat()
        // What lies set aside is told before the scrub has counted it.
        guard let scrub = coordinator.scrubs.last, scrub.rottenCopies == 1, scrub.checkedCopies >= 20 else { return false }
        return coordinator.rotten == [TestCluster.name(blocks[11])]
      }
      #expect(blocks.filter { node.disk.status(of: TestCluster.name($0)) != nil }.count == 19)
      let metrics = String(decoding: try await cluster.get(node.address + "/metrics").bytes, as: UTF8.self)
      #expect(metrics.contains("cairn_node_rotten_copies_total 1"))
    }
  }

  @Test("a walk goes on where it was when the node starts again, and a pause holds")
  func resumes() async throws {
    var random = Seeds.random()
    let folder = try TemporaryFolder()
    let cluster = ClusterID.random()
    let pool = BlockingPool(name: "test", threads: 1)
    func open() async throws -> any BlockStoring {
      try await TestStores.open(.segments, folder: folder.path("disk"), cluster: cluster, keys: nil, capacityBytes: nil, pool: pool)
    }
    var disk = try await open()
    for _ in 0..<30 { _ = try await disk.append(try TestRecords.record(random.bytes(500))) }
    let copies = try await disk.copies(after: .start, before: nil, limit: 100).copies
    var progress = ScrubProgress(fresh: disk.tail().predecessor)
    var pass = ScrubProgress.Pass(started: SystemTime().wall(), end: disk.tail())
    pass.position = copies[9].position
    (pass.doneCopies, progress.pass, progress.isPaused) = (10, pass, true)
    try await disk.saveScrub(progress)
    await disk.close()

    disk = try await open()
    let coordinator = FakeControl()
    let node = try TestNodes.node([disk], folder: folder, cluster: cluster, control: [coordinator], scrub: fast())
    node.startScrub()
    try await eventually {
      try await node.beat()
      return coordinator.scrubs.last?.state == .paused
    }
    #expect(coordinator.scrubs.last?.checkedCopies == 0)
    node.performScrub(.start)
    try await eventually {
      try await node.beat()
      return coordinator.scrubs.last?.lastFinished != nil
    }
    node.performScrub(.pause)
    await node.stop()
    disk = try await open()
    let kept = try #require(await disk.loadScrub())
    // The first walk had twenty copies left; more walks over all thirty may have begun since.
    #expect(kept.isPaused && kept.lastStarted != nil && (coordinator.scrubs.last?.checkedCopies ?? 0) >= 20)
    await disk.close()
  }

  @Test("a read that meets a bad copy is answered with a good one, for whole blocks, ranges and batches", arguments: StoreKind.allCases)
  func mends(store: StoreKind) async throws {
    var random = Seeds.random()
    let blocks = [random.bytes(100_000), [UInt8](repeating: 7, count: 50_000), random.bytes(0)]
    let frame = try #require(blocks[1].withUnsafeBytes { Zstandard.compress($0) })
    let coordinator = FakeControl()
    var options = TestCluster.Options(store: store)
    options.control = [coordinator]
    try await withCluster(options) { cluster in
      coordinator.giveSources(of: cluster)
      _ = try await cluster.store(blocks[0])
      _ = try await cluster.store(blocks[2])
      let put = try await cluster.put(frame, to: cluster.putURL(blocks[1]), headers: ["Content-Encoding": "zstd"])
      #expect(put.status == 201)
      let node = cluster.nodes[1]
      let cases: [([UInt8], HTTPHeaders)] = [
        (blocks[0], [:]), (blocks[1], ["Accept-Encoding": "zstd"]), (blocks[0], ["Range": "bytes=5-9"]),
      ]
      for (block, headers) in cases {
        try node.damage(TestCluster.name(block), random: &random)
        let response = try await cluster.get(cluster.getURL(block, at: 1), headers: headers)
        switch headers["Range"] {
        case nil: #expect(response.status == 200 && response.bytes == (headers["Accept-Encoding"] == nil ? block : frame))
        default: #expect(response.status == 206 && response.bytes == Array(block[5..<10]))
        }
        #expect(node.disk.status(of: TestCluster.name(block)) != nil, "the good copy stays")
      }
      // A copy that was set aside before: by the scrub, say.
      try node.damage(TestCluster.name(blocks[0]), random: &random)
      _ = try await cluster.command(.verify(blocks: [TestCluster.name(blocks[0])]), at: 1)
      #expect(node.disk.isSetAside(TestCluster.name(blocks[0])))
      let partition = TestCluster.name(blocks[0]).partition(bits: 4)
      let others = (0..<16).filter { $0 != partition }
      #expect(node.node.disks.setAsideCounts(inPartitions: others + [partition], bits: 4).last == 1)
      #expect(node.node.disks.setAsideCounts(inPartitions: others, bits: 4).allSatisfy { $0 == 0 })
      let later = try await cluster.get(cluster.getURL(blocks[0], at: 1))
      #expect(later.bytes == blocks[0])
    }
  }

  @Test("many reads of one bad copy fetch once, and all are answered")
  func once() async throws {
    var random = Seeds.random()
    let block = random.bytes(500_000)
    let coordinator = FakeControl()
    var options = TestCluster.Options()
    options.control = [coordinator]
    try await withCluster(options) { cluster in
      coordinator.giveSources(of: cluster)
      _ = try await cluster.store(block)
      try cluster.nodes[1].damage(TestCluster.name(block), random: &random)
      let url = cluster.getURL(block, at: 1)
      let good = try await withThrowingTaskGroup(of: Bool.self) { group in
        for _ in 0..<20 { group.addTask { try await cluster.get(url).bytes == block } }
        var good = 0
        for try await isGood in group where isGood { good += 1 }
        return good
      }
      #expect(good == 20)
      #expect((1...3).contains(coordinator.sourcesAsked), "asked \(coordinator.sourcesAsked) times")
    }
  }

  @Test("what clients ask for counts as theirs, and what other nodes copy does not, so that moving data does not slow down for itself")
  func foreground() async throws {
    var random = Seeds.random()
    let bytes = random.bytes(400_000)
    let coordinator = FakeControl()
    var options = TestCluster.Options()
    options.control = [coordinator]
    try await withCluster(options) { cluster in
      _ = try await cluster.store(bytes)
      for _ in 0..<3 { #expect(try await cluster.get(cluster.getURL(bytes, at: 1)).status == 200) }
      for _ in 0..<20 {
        let url = cluster.url(cluster.capability(.record, TestCluster.name(bytes), size: bytes.count, at: 2))
        #expect(try await cluster.get(url).status == 200)
      }
      for node in cluster.nodes { try await node.node.beat() }
      // One that was written and three that were read.
      #expect(coordinator.clientRequests == 4)
    }
  }

  @Test("with no coordinator, or no good copy anywhere, the reader is told to go elsewhere, and never gets a bad byte")
  func cannot() async throws {
    var random = Seeds.random()
    let (lonely, bad) = (random.bytes(100_000), random.bytes(90_000))
    let coordinator = FakeControl()
    var options = TestCluster.Options()
    options.control = [coordinator]
    try await withCluster(options) { cluster in
      _ = try await cluster.store(lonely)
      _ = try await cluster.store(bad)
      try cluster.nodes[1].damage(TestCluster.name(lonely), random: &random)
      let away = try await cluster.get(cluster.getURL(lonely, at: 1))
      #expect(away.status == 503 && away.headers["Retry-After"] != nil)
      coordinator.giveSources(of: cluster)
      for node in cluster.nodes { try node.damage(TestCluster.name(bad), random: &random) }
      let nowhere = try await cluster.get(cluster.getURL(bad, at: 1))
      #expect(nowhere.status == 503)
      // The record of a bad copy is not to be had at all: repair goes on to the next source.
      let record = try await cluster.get(
        cluster.url(cluster.capability(.record, TestCluster.name(bad), size: bad.count, at: 2)))
      #expect(record.status == 404)
    }
  }
}
