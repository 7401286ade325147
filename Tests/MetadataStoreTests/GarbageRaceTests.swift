import BlockModel
import ClusterLogic
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

/// Users who upload, delete, revert and bring back, and nodes, while runs of the garbage collector go on between any two of their steps.
@Suite("Collecting garbage while everything else goes on")
struct GarbageRaceTests {
  @Test("nothing that a version refers to is ever lost, and in the end all garbage is gone", arguments: Engine.allCases, 0..<4)
  func race(engine: Engine, round: Int) async throws {
    var random = Seeds.random("race \(engine) \(round)")
    let world = try await GarbageWorld(engine, random.fork())
    for step in 0..<1200 {
      try await world.step()
      if step % 10 == 0 { try await world.check() }
    }
    try await world.end()
  }
}

/// One user with a few files, blocks of a small pool, six nodes, and the real collector over the real store. One step at a time, so that
/// any two steps of different doers come in any order.
final class GarbageWorld {
  struct Copy {
    var epoch: UInt64
    var isDeleted = false
  }

  /// An upload under way at a client, which holds on to its URLs and receipts for as long as it likes.
  struct Session {
    var upload: UploadID
    var missing: [BlockRef]
    /// The epoch of its URLs.
    var epoch: UInt64
    var receipts: [Receipt] = []
  }

  let fixture: Fixture
  let store: any MetadataStore
  let user: Principal
  var random: SeededRandom
  var nodes: [String: [BlockID: Copy]] = Dictionary(uniqueKeysWithValues: Fixture.nodeNames.map { ($0, [:]) })
  var silent: String?
  var nodesFail = true
  var sessions: [Session] = []
  var collector: GarbageCollector?
  var pending: [GarbageCollector.Effect] = []
  var generation: UInt64 = 1
  var epochs: [UInt64] = []
  var counts: [String: Int] = [:]

  init(_ engine: Engine, _ random: SeededRandom) async throws {
    var options = MetadataOptions()
    options.uploadLease = .seconds(150)
    options.retention = .seconds(200)
    fixture = try await Fixture(engine, options: options)
    store = fixture.store
    user = try await fixture.user()
    self.random = random
  }

  private func draw(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

  func step() async throws {
    fixture.time.advance(by: .seconds(draw(8)))
    epochs.append(try await store.gcEpoch())
    switch draw(10) {
    case 0...3: try await client()
    case 4: try await tree()
    default: try await collect()
    }
    if draw(25) == 0 { _ = try await store.expire() }
  }

  private func tolerating(_ what: String, _ body: () async throws -> Void) async throws {
    do {
      try await body()
      counts[what, default: 0] += 1
    } catch let error as MetadataError where error.problem != nil {}
  }

  // MARK: - Clients

  private func client() async throws {
    guard !sessions.isEmpty, sessions.count > 3 || draw(4) > 0 else { return try await open() }
    let index = draw(sessions.count)
    switch draw(8) {
    case 0...2: put(index)
    case 3:
      let session = sessions[index]
      try await tolerating("receipts") { try await store.addReceipts(session.receipts, to: session.upload, for: user) }
    case 4...5: try await complete(index)
    case 6:
      // Fresh URLs, or those of before.
      if draw(2) == 0 { sessions[index].epoch = try await store.gcEpoch() }
    default:
      guard draw(3) == 0 else { return }
      let session = sessions.remove(at: index)
      if draw(2) == 0 { try await tolerating("abort") { try await store.abortUpload(session.upload, for: user) } }
    }
  }

  private func open() async throws {
    var blocks = (0...draw(3)).map { _ in UInt64(draw(32)) }
    if let doomed = doomedNumber(), draw(2) == 0 { blocks = [doomed] }
    let refs = Fixture.blocks(Array(Set(blocks)).sorted(), last: Limits.blockBytes)
    try await tolerating("open") {
      let state = try await store.openUpload(
        UploadRequest(path: "/\(draw(5))", blocks: refs, onConflict: .overwrite), for: user, once: nil)
      // A gateway may be behind with the epoch, and a client may hold on to its URLs through whole runs of the collector.
      let epoch = epochs.suffix(400).randomElement(using: &random) ?? 1
      sessions.append(
        Session(upload: state.uploadID, missing: state.missing.map { BlockRef(id: $0.id, size: $0.size) }, epoch: epoch))
    }
  }

  /// A block that nodes have been told to delete and have not deleted yet: what is most worth uploading just now.
  private func doomedNumber() -> UInt64? {
    for case .delete(_, _, let blocks) in pending {
      if let number = (0..<32).first(where: { Fixture.block(UInt64($0), size: Limits.blockBytes).id == blocks.first }) {
        return UInt64(number)
      }
    }
    return nil
  }

  /// Stores one block on its replicas, or on two of them, and keeps the receipts.
  private func put(_ index: Int) {
    guard let block = sessions[index].missing.randomElement(using: &random) else { return }
    let replicas = Fixture.replicas(block.id).filter { $0 != silent }
    for (place, name) in replicas.prefix(draw(4) == 0 ? 2 : 3).enumerated() {
      var copy = nodes[name]![block.id] ?? Copy(epoch: 0)
      copy.epoch = max(copy.epoch, sessions[index].epoch)
      copy.isDeleted = false
      nodes[name]![block.id] = copy
      var receipt = Fixture.receipt(sessions[index].upload, block, name, verification: place == 0 ? .hashed : .tagged)
      receipt.gcEpoch = copy.epoch
      sessions[index].receipts.append(receipt)
    }
    counts["put", default: 0] += 1
  }

  private func complete(_ index: Int) async throws {
    let session = sessions[index]
    do {
      _ = try await store.completeUpload(Completion(upload: session.upload, receipts: session.receipts), for: user)
      sessions.remove(at: index)
      counts["commit", default: 0] += 1
    } catch {
      guard let problem = error.problem else { throw error }
      guard problem.kind == .missingBlocks else {
        sessions.remove(at: index)
        return
      }
      counts["missing", default: 0] += 1
      for block in problem.missing ?? [] where !sessions[index].missing.contains(where: { $0.id == block }) {
        sessions[index].missing.append(BlockRef(id: block, size: Limits.blockBytes))
      }
    }
  }

  private func tree() async throws {
    let path = EntryReference.path("/\(draw(5))")
    switch draw(6) {
    case 0...1:
      try await tolerating("delete") {
        try await store.deleteEntry(.init(entry: path, forever: draw(2) == 0, recursive: false, ifVersion: nil), for: user)
      }
    case 2:
      guard let item = try await store.trash(limit: 50, cursor: nil, for: user).items.randomElement(using: &random) else { return }
      try await tolerating("restore") {
        _ = try await store.restoreFromTrash(.init(entry: item.entry.id, newPath: nil), for: user, once: nil)
      }
    case 3:
      try await tolerating("revert") {
        let versions = try await store.versions(of: path, limit: 20, cursor: nil, for: user).items
        guard let version = versions.randomElement(using: &random) else { return }
        _ = try await store.restoreVersion(.init(entry: path, version: version.version, ifVersion: nil), for: user, once: nil)
      }
    case 4:
      try await tolerating("copy") {
        let target = "/\(draw(5))"
        let version = draw(2) == 0 ? nil : try await store.stat(.path(target), for: user).version
        _ = try await store.copyEntry(.init(entry: path, newPath: target, replaces: version), for: user, once: nil)
      }
    default: try await tolerating("empty") { _ = try await store.emptyTrash(nil, for: user) }
    }
  }

  // MARK: - The collector

  private func collect() async throws {
    if nodesFail, draw(80) == 0 { silent = silent == nil ? Fixture.nodeNames.randomElement(using: &random) : nil }
    guard collector != nil else {
      let request = GarbageRunRequest(cause: "test", acceptsUnlogged: true, partitionCount: 16, generation: generation)
      return start(try await store.beginGarbageRun(request))
    }
    if draw(150) == 0 {
      // The coordinator dies; another one goes on with what was recorded.
      generation += 1
      guard let run = try await store.adoptGarbageRun(generation: generation) else {
        collector = nil
        return
      }
      counts["takeover", default: 0] += 1
      return start(run.resumed)
    }
    guard !pending.isEmpty else { return feed(.timer) }
    let effect = pending.remove(at: draw(pending.count))
    // A delete may be on its way for long.
    if nodesFail, case .delete = effect, draw(16) > 0 { return pending.append(effect) }
    if let event = try await answer(effect) { feed(event) }
  }

  private func start(_ run: GarbageRun) {
    var configuration = GarbageCollector.Configuration()
    configuration.lanes = 4
    configuration.pageBlocks = 2
    configuration.batchBlocks = 1
    configuration.saveInterval = .seconds(20)
    pending = []
    collector = GarbageCollector(
      run: run, purpose: .collect, nodes: Fixture.nodeNames.map(Fixture.node), areAll: true, configuration: configuration, settleFor: .zero,
      now: fixture.time.monotonic())
    feed(.timer)
  }

  private func feed(_ event: GarbageCollector.Event) {
    pending += collector?.step(event, now: fixture.time.monotonic()) ?? []
  }

  private func answer(_ effect: GarbageCollector.Effect) async throws -> GarbageCollector.Event? {
    guard let run = collector?.run else { return nil }
    switch effect {
    case .count(let request, let node, let partitions):
      return .counted(request, ask(node) { held in partitions.map { partition in held.count { $0.partition(bits: 4) == partition } } })
    case .list(let request, let node, let partition, let after, let limit):
      let copies = nodes[node.text]!
      return .listed(
        request,
        ask(node) { held in
          let rest = held.filter { block in
            block.partition(bits: 4) == partition && copies[block]!.epoch < run.epoch && (after.map { block > $0 } ?? true)
          }
          let page = rest.prefix(limit)
          return GarbagePage(
            copies: page.map { GarbageCopy(block: $0, storedBytes: 1) }, next: rest.count > limit ? page.last : nil)
        })
    case .judge(let request, let blocks):
      return .judged(request, try await store.garbageVerdicts(on: blocks, below: run.epoch))
    case .authorize(let request, let blocks):
      return .authorized(request, try? await store.authorizeDeletes(of: blocks, run: run.number, generation: generation))
    case .delete(let request, let node, let blocks):
      guard node.text != silent else { return .deleted(request, .silent) }
      var deleted = 0
      for block in blocks {
        guard let copy = nodes[node.text]![block], !copy.isDeleted, copy.epoch < run.epoch else { continue }
        nodes[node.text]![block]!.isDeleted = true
        deleted += 1
      }
      counts["deleted", default: 0] += deleted
      return .deleted(request, .done(deleted))
    case .forget(let request):
      return .forgotten(request, try? await store.forgetGarbage(run: run.number, generation: generation, limit: 3))
    case .save(let request, let run):
      return .saved(request, (try? await store.saveGarbageRun(run, generation: generation)) != nil)
    case .ended(let run):
      try await store.saveGarbageRun(run, generation: generation)
      #expect(run.outcome == .finished, "\(run.reason ?? "")")
      counts["runs", default: 0] += 1
      collector = nil
      pending = []
      return nil
    }
  }

  private func ask<Value>(_ node: NodeID, _ body: ([BlockID]) -> Value) -> GarbageAnswer<Value> {
    guard node.text != silent else { return .silent }
    return .done(body(nodes[node.text]!.filter { !$0.value.isDeleted }.map(\.key).sorted()))
  }

  // MARK: - What has to hold

  /// Every block that a version refers to has as many copies that count as a commit needs.
  func check(_ location: SourceLocation = #_sourceLocation) async throws {
    for block in try await store.liveBlocks(inPartition: 0, bits: 0, after: nil, limit: 1000) where block.isReferenced {
      let copies = nodes.values.count { $0[block.id].map { !$0.isDeleted } ?? false }
      #expect(copies >= 2, "block \(block.id) has \(copies) copies; \(counts)", sourceLocation: location)
    }
  }

  /// Everybody goes; then all has to go.
  func end() async throws {
    try await check()
    try await fixture.expectSound()
    for what in ["commit", "runs", "put", "delete"] where counts[what] == nil {
      Issue.record("nothing of “\(what)” happened: \(counts)")
    }
    for entry in try await fixture.entries(of: user) {
      try await store.deleteEntry(.init(entry: .path(entry.path), forever: true, recursive: false, ifVersion: nil), for: user)
    }
    fixture.time.advance(by: .seconds(100_000))
    while try await store.expire() > 0 {}
    silent = nil
    nodesFail = false
    // The run under way may have passed by what is garbage since; the next finds it, and the one after that what a silent node kept.
    for _ in 0..<3 {
      repeat { try await collect() } while collector != nil
    }
    #expect(counts["deleted", default: 0] > 0, "\(counts)")
    let left = nodes.values.reduce(0) { $0 + $1.values.count { !$0.isDeleted } }
    #expect(left == 0, "\(left) copies of garbage are left; \(counts)")
    #expect(try await store.garbageRecord().unreferenced == 0)
    try await fixture.expectSound()
  }
}
