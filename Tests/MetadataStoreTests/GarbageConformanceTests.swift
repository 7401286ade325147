import BlockModel
import ClusterLogic
import MetadataStore
import Platform
import ServiceAPI
import Testing

@Suite("Collecting garbage")
struct GarbageConformanceTests {
  private static func request(generation: UInt64 = 1) -> GarbageRunRequest {
    GarbageRunRequest(cause: "test", acceptsUnlogged: false, partitionCount: 16, generation: generation)
  }

  private func expectConflict(_ body: () async throws -> Void) async {
    do {
      try await body()
      Issue.record("not refused")
    } catch { #expect((error as? MetadataError)?.code == .conflict) }
  }

  private func receipts(_ upload: UploadID, _ block: BlockRef, epoch: UInt64) -> [Receipt] {
    Fixture.receipts(upload, block).map { receipt in
      var receipt = receipt
      receipt.gcEpoch = epoch
      return receipt
    }
  }

  @Test("one run at a time, each of a new epoch, held by the newest coordinator that took it up", arguments: Engine.allCases)
  func runs(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let before = try await fixture.store.gcEpoch()
    #expect(try await fixture.store.adoptGarbageRun(generation: 1) == nil)
    var run = try await fixture.store.beginGarbageRun(Self.request())
    #expect(run.epoch == before + 1 && run.number == 1 && run.phase == .settling)
    #expect(try await fixture.store.gcEpoch() == run.epoch)
    await expectConflict { _ = try await fixture.store.beginGarbageRun(Self.request()) }
    run.phase = .deleting
    run.partition = 7
    run.nodes = [Fixture.node("n1")]
    try await fixture.store.saveGarbageRun(run, generation: 1)
    #expect(try await fixture.store.adoptGarbageRun(generation: 3) == run)
    // The coordinator before does nothing any more.
    let old = run
    await expectConflict { try await fixture.store.saveGarbageRun(old, generation: 1) }
    await expectConflict { _ = try await fixture.store.authorizeDeletes(of: [Fixture.block(1).id], run: 1, generation: 1) }
    await expectConflict { _ = try await fixture.store.forgetGarbage(run: 1, generation: 1, limit: 10) }
    await expectConflict { _ = try await fixture.store.adoptGarbageRun(generation: 2) }
    #expect(try await fixture.store.authorizeDeletes(of: [Fixture.block(1).id], run: 1, generation: 3) == [Fixture.block(1).id])
    run.phase = .ended
    run.outcome = .finished
    try await fixture.store.saveGarbageRun(run, generation: 3)
    await expectConflict { _ = try await fixture.store.authorizeDeletes(of: [Fixture.block(2).id], run: 1, generation: 3) }
    #expect(try await fixture.store.garbageRecord().newest?.endedAt == fixture.time.wall())
    #expect(try await fixture.store.beginGarbageRun(Self.request()).number == 2)
    #expect(try await fixture.store.garbageRuns(limit: 9).map(\.number) == [2, 1])
  }

  @Test("on hold nothing is collected, and an open run ends", arguments: Engine.allCases)
  func hold(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let run = try await fixture.store.beginGarbageRun(Self.request())
    try await fixture.store.holdGarbage("somebody looks into it")
    let record = try await fixture.store.garbageRecord()
    #expect(record.hold == "somebody looks into it" && record.newest?.outcome == .stopped && record.newest?.phase == .ended)
    await expectConflict { _ = try await fixture.store.authorizeDeletes(of: [Fixture.block(1).id], run: run.number, generation: 1) }
    await expectConflict { _ = try await fixture.store.beginGarbageRun(Self.request()) }
    try await fixture.store.holdGarbage(nil)
    #expect(try await fixture.store.garbageRecord().hold == nil)
    #expect(try await fixture.store.gcEpoch() == run.epoch + 1, "nodes refuse its deletes from now on")
    #expect(try await fixture.store.beginGarbageRun(Self.request()).epoch == run.epoch + 2)
  }

  @Test(
    "while deletes of a run may be on their way, repair settles nothing about a block that was deleted and uploaded again",
    arguments: Engine.allCases)
  func lateDeletes(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let (block, other) = (Fixture.block(1), Fixture.block(2))
    var run = try await fixture.store.beginGarbageRun(Self.request())
    #expect(try await fixture.store.authorizeDeletes(of: [block.id], run: run.number, generation: 1) == [block.id])
    let upload = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    let two = Array(receipts(upload.uploadID, block, epoch: run.epoch).prefix(2))
    _ = try await fixture.store.completeUpload(Completion(upload: upload.uploadID, receipts: two), for: ada)
    try await fixture.put("/g", [other], as: ada, copies: 2)
    let rows = { try await fixture.store.repairs(after: nil, limit: 10).map(\.block) }
    #expect(try await rows() == [block.id, other.id])
    // A replica shows its older copy, which a late delete takes: in the run's epoch that is no answer.
    try await fixture.store.clearRepairs([block.id, other.id], layoutVersion: 1, gcEpoch: run.epoch)
    #expect(try await rows() == [block.id])
    await expectConflict {
      try await fixture.store.voidReceipts(of: Fixture.node("n1"), for: [other.id, block.id], layoutVersion: 1, gcEpoch: run.epoch)
    }
    run.phase = .ended
    run.outcome = .finished
    try await fixture.store.saveGarbageRun(run, generation: 1)
    let next = try await fixture.store.gcEpoch()
    #expect(next == run.epoch + 1)
    try await fixture.store.clearRepairs([block.id], layoutVersion: 1, gcEpoch: run.epoch)
    #expect(try await rows() == [block.id], "seen before the run ended")
    try await fixture.store.clearRepairs([block.id], layoutVersion: 1, gcEpoch: next)
    #expect(try await rows().isEmpty)
    try await fixture.store.voidReceipts(of: Fixture.node("n1"), for: [block.id], layoutVersion: 1, gcEpoch: next)
    // A replica that was found whole in the run's epoch is looked at again, one that was in the next is not.
    let partition = block.id.partition(bits: 4)
    try await fixture.store.updateFilling([], filled: [FilledPartition(partition: partition, gcEpoch: next)], layoutVersion: 1)
    #expect(try await rows().isEmpty)
    try await fixture.store.updateFilling([], filled: [FilledPartition(partition: partition, gcEpoch: run.epoch)], layoutVersion: 1)
    #expect(try await rows() == [block.id])
    try await fixture.expectSound()
  }

  @Test("what a version, the trash or an open upload wants is no garbage; the rest is, for a reason", arguments: Engine.allCases)
  func verdicts(engine: Engine) async throws {
    var options = MetadataOptions()
    options.uploadLease = .seconds(100)
    let fixture = try await Fixture(engine, options: options)
    let ada = try await fixture.user()
    let blocks = (0..<8).map { Fixture.block(UInt64($0)) }
    func verdicts(_ epoch: UInt64) async throws -> [Int: GarbageCause] {
      let found = try await fixture.store.garbageVerdicts(on: blocks.map(\.id), below: epoch)
      return Dictionary(uniqueKeysWithValues: found.map { verdict in (blocks.firstIndex { $0.id == verdict.block }!, verdict.cause) })
    }
    try await fixture.put("/kept", [blocks[0]], as: ada)
    try await fixture.put("/trash", [blocks[1]], as: ada)
    try await fixture.store.deleteEntry(.init(entry: .path("/trash"), forever: false, recursive: false, ifVersion: nil), for: ada)
    try await fixture.put("/gone", [blocks[2]], as: ada)
    try await fixture.store.deleteEntry(.init(entry: .path("/gone"), forever: true, recursive: false, ifVersion: nil), for: ada)
    _ = try await fixture.store.expire()
    let had = try await fixture.store.openUpload(UploadRequest(path: "/had", blocks: [blocks[0], blocks[3]]), for: ada, once: nil)
    let stored = try await fixture.store.openUpload(UploadRequest(path: "/stored", blocks: [blocks[4]]), for: ada, once: nil)
    try await fixture.store.addReceipts(Fixture.receipts(stored.uploadID, blocks[4]), to: stored.uploadID, for: ada)
    try await fixture.put("/revised", [blocks[5]], as: ada)
    try await fixture.put("/revised", [blocks[6]], as: ada, policy: .overwrite)
    let epoch = try await fixture.store.gcEpoch()
    #expect(try await verdicts(epoch) == [7: .unlogged], "what was dropped in this epoch is not looked at yet")
    #expect(try await verdicts(epoch + 1) == [2: .dereferenced, 7: .unlogged])
    // The last reference to a block that an open upload has goes: the upload keeps it.
    try await fixture.store.deleteEntry(.init(entry: .path("/kept"), forever: true, recursive: false, ifVersion: nil), for: ada)
    _ = try await fixture.store.expire()
    #expect(try await verdicts(epoch + 1) == [2: .dereferenced, 7: .unlogged])
    try await fixture.store.abortUpload(had.uploadID, for: ada)
    #expect(try await verdicts(epoch + 1) == [0: .dereferenced, 2: .dereferenced, 3: .abandoned, 7: .unlogged])
    fixture.time.advance(by: .seconds(101))
    _ = try await fixture.store.expire()
    #expect(try await verdicts(epoch + 1)[4] == .abandoned)
    // Retention ends: versions and the trash.
    fixture.time.advance(by: .seconds(31 * 24 * 3600))
    while try await fixture.store.expire() > 0 {}
    #expect(try await verdicts(epoch + 1).keys.sorted() == [0, 1, 2, 3, 4, 5, 7])
    let run = try await fixture.store.beginGarbageRun(Self.request())
    #expect(try await fixture.store.authorizeDeletes(of: blocks.map(\.id), run: run.number, generation: 1).count == 7)
    #expect(
      try await verdicts(epoch + 1) == [
        0: .deletedBefore, 1: .deletedBefore, 2: .deletedBefore, 3: .deletedBefore,
        4: .deletedBefore, 5: .deletedBefore, 7: .deletedBefore,
      ])
    #expect(try await fixture.store.garbageRecord().unreferenced == 0)
    try await fixture.expectSound()
  }

  @Test("what is announced between judging and authorizing is not deleted", arguments: Engine.allCases)
  func lateAnnouncement(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    let run = try await fixture.store.beginGarbageRun(Self.request())
    #expect(try await fixture.store.garbageVerdicts(on: [block.id], below: run.epoch).count == 1)
    let upload = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    #expect(try await fixture.store.authorizeDeletes(of: [block.id], run: run.number, generation: 1).isEmpty)
    // Its receipts are of an epoch before the run's, and count: it was never deleted.
    _ = try await fixture.store.completeUpload(
      Completion(upload: upload.uploadID, receipts: receipts(upload.uploadID, block, epoch: run.epoch - 1)), for: ada)
  }

  @Test("after a delete only receipts of its epoch count", arguments: Engine.allCases, [true, false])
  func receipts(engine: Engine, sentBefore: Bool) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    let run = try await fixture.store.beginGarbageRun(Self.request())
    #expect(try await fixture.store.authorizeDeletes(of: [block.id], run: run.number, generation: 1) == [block.id])
    let upload = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    let old = receipts(upload.uploadID, block, epoch: run.epoch - 1)
    if sentBefore { try await fixture.store.addReceipts(old, to: upload.uploadID, for: ada) }
    let refusal = await problem {
      try await fixture.store.completeUpload(Completion(upload: upload.uploadID, receipts: sentBefore ? [] : old), for: ada)
    }
    #expect(refusal?.kind == .missingBlocks && refusal?.missing == [block.id])
    #expect(try await fixture.store.uploadState(upload.uploadID, cursor: nil, for: ada).missing.count == 1)
    let fresh = receipts(upload.uploadID, block, epoch: run.epoch)
    _ = try await fixture.store.completeUpload(Completion(upload: upload.uploadID, receipts: fresh), for: ada)
    #expect(try await fixture.store.garbageVerdicts(on: [block.id], below: run.epoch + 1).isEmpty)
    try await fixture.expectSound()
  }

  @Test("when the log of deletes is trimmed, receipts that are older than what it forgot count for nothing", arguments: Engine.allCases)
  func trimmed(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    var run = try await fixture.store.beginGarbageRun(Self.request())
    let first = run.epoch
    _ = try await fixture.store.authorizeDeletes(of: [block.id], run: run.number, generation: 1)
    let log = [(block: block.id, epoch: first)]
    #expect(try await fixture.store.unaccountedDeletes(log).isEmpty)
    #expect(try await fixture.store.unaccountedDeletes([(block: block.id, epoch: first + 1)]) == [block.id])
    #expect(try await fixture.store.unaccountedDeletes([(block: Fixture.block(2).id, epoch: first)]) == [Fixture.block(2).id])
    run.phase = .ended
    try await fixture.store.saveGarbageRun(run, generation: 1)
    fixture.time.advance(by: .seconds(31 * 24 * 3600))
    run = try await fixture.store.beginGarbageRun(Self.request())
    while try await fixture.store.forgetGarbage(run: run.number, generation: 1, limit: 10) > 0 {}
    #expect(try await fixture.store.garbageVerdicts(on: [block.id], below: run.epoch).map(\.cause) == [.unlogged])
    #expect(try await fixture.store.unaccountedDeletes(log).isEmpty, "what is not remembered is not held against anybody")
    let fay = try await fixture.logIn(ada.user, device: "desk")
    let upload = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: fay, once: nil)
    let refusal = await problem {
      try await fixture.store.completeUpload(
        Completion(upload: upload.uploadID, receipts: receipts(upload.uploadID, block, epoch: first - 1)), for: fay)
    }
    #expect(refusal?.kind == .missingBlocks)
    _ = try await fixture.store.completeUpload(
      Completion(upload: upload.uploadID, receipts: receipts(upload.uploadID, block, epoch: first)), for: fay)
  }

  @Test("rows of blocks that nobody holds are forgotten, but for those that an open upload announced", arguments: Engine.allCases)
  func forgets(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    for number in 0..<5 { try await fixture.put("/\(number)", [Fixture.block(UInt64(number))], as: ada) }
    let upload = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [Fixture.block(0)]), for: ada, once: nil)
    for number in 0..<4 {
      try await fixture.store.deleteEntry(.init(entry: .path("/\(number)"), forever: true, recursive: false, ifVersion: nil), for: ada)
    }
    while try await fixture.store.expire() > 0 {}
    #expect(try await fixture.store.garbageRecord().unreferenced == 4)
    let run = try await fixture.store.beginGarbageRun(Self.request())
    var rows: [Int] = []
    repeat { rows.append(try await fixture.store.forgetGarbage(run: run.number, generation: 1, limit: 2)) } while rows.last != 0
    #expect(rows == [2, 1, 0])
    #expect(try await fixture.store.garbageRecord().unreferenced == 1)
    try await fixture.store.abortUpload(upload.uploadID, for: ada)
    try await fixture.expectSound()
  }

  @Test("a size that somebody only claimed for a block does not outlive the upload that claimed it", arguments: Engine.allCases)
  func claimedSize(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let (ada, bob) = (try await fixture.user("ada"), try await fixture.user("bob"))
    let block = Fixture.block(1)
    let claim = try await fixture.store.openUpload(
      UploadRequest(path: "/f", blocks: [BlockRef(id: block.id, size: 5)]), for: bob, once: nil)
    try await fixture.store.abortUpload(claim.uploadID, for: bob)
    try await fixture.put("/f", [block], as: ada)
    #expect(try await fixture.store.usage(of: ada).used == 1000)
    #expect(try await fixture.store.uses(of: block.id, limit: 1).size == 1000)
    try await fixture.expectSound()
  }
}
