import BlockModel
import ClusterLogic
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("Commits")
struct CommitConformanceTests {
  @Test("a committed file is stat, listed, planned and in the feed", arguments: Engine.allCases)
  func roundTrip(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let blocks = Fixture.blocks([1, 2, 3])
    let file = try await fixture.put("/docs/a.txt", blocks, as: ada)
    #expect(file.version == 1 && file.size == Int64(2 * Limits.blockBytes + 1000) && file.owner == "ada")
    #expect(try await fixture.store.stat(.path("/docs/a.txt"), for: ada) == file)
    #expect(try await fixture.store.stat(.id(file.id), for: ada) == file)
    #expect(try await fixture.paths(of: ada) == ["/docs", "/docs/a.txt"])
    let plan = try await fixture.store.downloadPlan(.id(file.id), version: nil, cursor: nil, limit: 1000, for: ada)
    #expect(plan.blocks.map(\.id) == blocks.map(\.id))
    #expect(plan.blocks.map(\.offset) == [0, Int64(Limits.blockBytes), Int64(2 * Limits.blockBytes)])
    let feed = try await fixture.store.changes(since: nil, limit: 10, for: ada)
    #expect(feed.changes.map(\.entry.path) == ["/docs", "/docs/a.txt"] && !feed.hasMore && !feed.reset)
    try await fixture.expectSound()
  }

  @Test("the content hash of fixed chunking is the public one of its blocks", arguments: Engine.allCases)
  func contentHash(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let empty = try await fixture.put("/empty", [], as: ada)
    #expect(empty.contentHash == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    let zeros = BlockRef(
      id: BlockID(bytes: SHA256Hasher.hash([UInt8](repeating: 0, count: Limits.blockBytes)))!, size: Limits.blockBytes)
    let file = try await fixture.put("/zeros", [zeros], as: ada)
    #expect(file.contentHash == "c7e946d101855255d919ef0c70718633adf77d3dfb3adeeecf5d0cb4e951be58")
  }

  @Test("a commit on the condition of a version holds to it whatever the upload was opened with", arguments: Engine.allCases)
  func conditionalCommit(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    func commit(_ number: UInt64, if version: Int64?, policy: ConflictPolicy = .overwrite) async throws -> FileEntry {
      let block = Fixture.block(number)
      let state = try await fixture.store.openUpload(
        UploadRequest(path: "/f", blocks: [block], onConflict: policy), for: ada, once: nil)
      return try await fixture.store.completeUpload(
        Completion(upload: state.uploadID, receipts: Fixture.receipts(state.uploadID, block), ifVersion: version), for: ada)
    }
    #expect(await problem { try await commit(1, if: 1) }?.kind == .preconditionFailed)
    #expect(try await commit(1, if: 0).version == 1)
    #expect(await problem { try await commit(2, if: 0) }?.kind == .preconditionFailed)
    #expect(await problem { try await commit(2, if: 2, policy: .copy) }?.kind == .preconditionFailed)
    // It stands in for the base version, which this upload was opened without.
    #expect(try await commit(2, if: 1, policy: .fail).version == 2)
    #expect(try await fixture.paths(of: ada) == ["/f"])
    try await fixture.expectSound()
  }

  @Test("what the client claims of a file has to fit its blocks", arguments: Engine.allCases)
  func claims(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    func complete(_ request: UploadRequest, size: Int64? = nil, hash: String? = nil) async -> Problem.Kind? {
      await problem {
        let state = try await fixture.store.openUpload(request, for: ada, once: nil)
        let receipts = state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) }
        return try await fixture.store.completeUpload(
          Completion(upload: state.uploadID, size: size, contentHash: hash, receipts: receipts), for: ada)
      }?.kind
    }
    let block = Fixture.block(1)
    let wrong = String(repeating: "0", count: 64)
    #expect(await complete(UploadRequest(path: "/f", contentHash: wrong, blocks: [block])) == .hashMismatch)
    #expect(await complete(UploadRequest(path: "/f", blocks: [block]), hash: wrong) == .hashMismatch)
    #expect(await complete(UploadRequest(path: "/f", blocks: [block]), hash: "short") == .malformed)
    #expect(await complete(UploadRequest(path: "/f", size: 999, blocks: [block])) == .hashMismatch)
    #expect(await complete(UploadRequest(path: "/f", size: 2000, blocks: [block])) == .missingBlocks)
    #expect(await complete(UploadRequest(path: "/f", blocks: [block]), size: 1) == .hashMismatch)
    #expect(await complete(UploadRequest(path: "/f", blocks: [block, Fixture.block(2)])) == .hashMismatch, "a short block in the middle")
    #expect(await complete(UploadRequest(path: "/f", blocks: [block], chunker: .cdc)) == .malformed, "no claim of the content hash")
    #expect(try await fixture.paths(of: ada).isEmpty)
    try await fixture.expectSound()
  }

  struct ReceiptCase: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var receipts: @Sendable (UploadID, BlockRef) -> [Receipt]
    var refusal: Problem.Kind?
  }

  /// Block 1 lies on n1, n2, n3 or on n4, n5, n6; `r` are the names of its replicas and `o` of the others, zone by zone alike.
  static let receiptCases: [ReceiptCase] = [
    ReceiptCase(testDescription: "two zones, one hashed", receipts: { Fixture.receipts($0, $1, copies: 2) }),
    ReceiptCase(
      testDescription: "two zones off the layout",
      receipts: { upload, block in
        others(block).prefix(2).map { Fixture.receipt(upload, block, $0) }
      }),
    ReceiptCase(testDescription: "none", receipts: { _, _ in [] }, refusal: .missingBlocks),
    ReceiptCase(testDescription: "one zone only", receipts: { Fixture.receipts($0, $1, copies: 1) }, refusal: .missingBlocks),
    ReceiptCase(
      testDescription: "two nodes of one zone",
      receipts: { upload, block in
        [Fixture.replicas(block.id)[0], others(block)[0]].map { Fixture.receipt(upload, block, $0) }
      }, refusal: .missingBlocks),
    ReceiptCase(
      testDescription: "one node twice",
      receipts: { upload, block in
        Fixture.receipts(upload, block, copies: 1) + Fixture.receipts(upload, block, copies: 1)
      }, refusal: .missingBlocks),
    ReceiptCase(
      testDescription: "none hashed",
      receipts: { upload, block in
        Fixture.replicas(block.id).map { Fixture.receipt(upload, block, $0, verification: .tagged) }
      }, refusal: .missingBlocks),
    ReceiptCase(
      testDescription: "relaxed on a strict cluster",
      receipts: { upload, block in
        Fixture.replicas(block.id).map { Fixture.receipt(upload, block, $0, durability: .relaxed) }
      }, refusal: .missingBlocks),
    ReceiptCase(
      testDescription: "a disk that is no longer",
      receipts: { upload, block in
        Fixture.replicas(block.id).map { Fixture.receipt(upload, block, $0, disk: DiskID(high: 9, low: 9)) }
      }, refusal: .missingBlocks),
    ReceiptCase(
      testDescription: "nodes that nobody knows",
      receipts: { upload, block in
        ["x1", "x2", "x3"].map { Fixture.receipt(upload, block, $0) }
      }, refusal: .missingBlocks),
    ReceiptCase(
      testDescription: "of another upload", receipts: { _, block in Fixture.receipts(UploadID(high: 3, low: 4), block) },
      refusal: .invalidReceipt),
    ReceiptCase(
      testDescription: "of another size",
      receipts: { upload, block in
        Fixture.replicas(block.id).map { Fixture.receipt(upload, block, $0, size: 999) }
      }, refusal: .invalidReceipt),
    ReceiptCase(
      testDescription: "of a block that was not announced",
      receipts: { upload, block in
        Fixture.receipts(upload, block) + Fixture.receipts(upload, Fixture.block(77))
      }, refusal: .invalidReceipt),
  ]

  static func others(_ block: BlockRef) -> [String] {
    Fixture.nodeNames.filter { !Fixture.replicas(block.id).contains($0) }
  }

  @Test("a commit stands on strict receipts of this upload from live disks in enough zones, one of them hashed", arguments: receiptCases)
  func receipts(given: ReceiptCase) async throws {
    for sendsBefore in [false, true] {
      let fixture = try await Fixture()
      let ada = try await fixture.user()
      let block = Fixture.block(1)
      let state = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
      let receipts = given.receipts(state.uploadID, block)
      do {
        if sendsBefore { try await fixture.store.addReceipts(receipts, to: state.uploadID, for: ada) }
        _ = try await fixture.store.completeUpload(
          Completion(upload: state.uploadID, receipts: sendsBefore ? [] : receipts), for: ada)
        #expect(given.refusal == nil)
      } catch {
        #expect(error.problem?.kind == given.refusal)
        if given.refusal == .missingBlocks { #expect(error.problem?.missing == [block.id]) }
      }
      try await fixture.expectSound()
    }
  }

  @Test("a relaxed cluster counts relaxed receipts", arguments: Engine.allCases)
  func relaxed(engine: Engine) async throws {
    var options = MetadataOptions()
    options.countsRelaxedReceipts = true
    let fixture = try await Fixture(engine, options: options)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    let state = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    let receipts = Fixture.replicas(block.id).map { Fixture.receipt(state.uploadID, block, $0, durability: .relaxed) }
    _ = try await fixture.store.completeUpload(Completion(upload: state.uploadID, receipts: receipts), for: ada)
  }

  @Test("a cluster of one zone needs one zone, and one without nodes commits nothing", arguments: Engine.allCases)
  func oneZone(engine: Engine) async throws {
    let fixture = try await Fixture(engine, zones: 1)
    let ada = try await fixture.user()
    _ = try await fixture.put("/f", as: ada, copies: 1)
    let folder = try Fixture.openEmpty(engine)
    let bare = try await folder.open()
    let user = try await bare.createUser(name: "bob", password: "x", quota: nil)
    let hash = SecureRandom.bytes(32)
    try await bare.createDevice(
      NewDevice(id: .random(), user: user.id, name: "d", tokenHash: hash, expiresAt: WallTime(seconds: 4_000_000_000)))
    let bob = try #require(try await bare.principal(tokenHash: hash))
    let state = try await bare.openUpload(UploadRequest(path: "/f", blocks: [Fixture.block(1)]), for: bob, once: nil)
    let refusal = await problem { try await bare.completeUpload(Completion(upload: state.uploadID), for: bob) }
    #expect(refusal?.kind == .missingBlocks)
  }

  @Test("receipts that came with a refused commit need not be sent again", arguments: Engine.allCases)
  func receiptsAreKept(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let blocks = Fixture.blocks([1, 2])
    let state = try await fixture.store.openUpload(UploadRequest(path: "/new/f", blocks: blocks, parents: true), for: ada, once: nil)
    let first = await problem {
      try await fixture.store.completeUpload(
        Completion(upload: state.uploadID, receipts: Fixture.receipts(state.uploadID, blocks[0])), for: ada)
    }
    #expect(first?.missing == [blocks[1].id])
    let lacking = try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada).missing
    #expect(lacking.map(\.id) == [blocks[1].id])
    #expect(try await fixture.paths(of: ada).isEmpty, "a refused commit makes no folders")
    let file = try await fixture.store.completeUpload(
      Completion(upload: state.uploadID, receipts: Fixture.receipts(state.uploadID, blocks[1])), for: ada)
    #expect(file.size == Int64(Limits.blockBytes + 1000))
  }

  @Test("copies off the layout become strays, and too few on it a repair, with the version", arguments: Engine.allCases)
  func straysAndRepairs(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let (full, short, stray) = (Fixture.block(1), Fixture.block(2), Fixture.block(3))
    try await fixture.put("/full", [full], as: ada)
    try await fixture.put("/short", [short], as: ada, copies: 2)
    let state = try await fixture.store.openUpload(UploadRequest(path: "/stray", blocks: [stray]), for: ada, once: nil)
    let off = Self.others(stray)[1]
    let receipts = [
      Fixture.receipt(state.uploadID, stray, Fixture.replicas(stray.id)[0]), Fixture.receipt(state.uploadID, stray, off),
    ]
    _ = try await fixture.store.completeUpload(Completion(upload: state.uploadID, receipts: receipts), for: ada)
    let repairs = try await fixture.store.repairs(after: nil, limit: 10)
    #expect(repairs.map(\.block) == [short.id, stray.id])
    #expect(repairs.map(\.strays) == [[], [Fixture.node(off)]])
    #expect(try await fixture.store.strays(of: [stray.id, full.id]) == [stray.id: [Fixture.node(off)]])
    let plan = try await fixture.store.downloadPlan(.path("/stray"), version: nil, cursor: nil, limit: 1, for: ada)
    #expect(plan.blocks.first?.strays == [Fixture.node(off)])
    let layout = try await fixture.store.currentLayout()
    try await fixture.store.clearRepairs([stray.id], layoutVersion: layout.version, gcEpoch: 1)
    #expect(try await fixture.store.repairs(after: nil, limit: 10).map(\.block) == [short.id])
    #expect(try await fixture.store.strays(of: [stray.id]).isEmpty)
  }

  @Test(
    "a receipt stops counting when its copy is given up, sent before or afterwards, and counts again under a newer layout",
    arguments: Engine.allCases, [false, true])
  func voidedReceipts(engine: Engine, sendsBefore: Bool) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    let (replica, off) = (Fixture.replicas(block.id)[0], Self.others(block)[1])
    let state = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    let receipts = [Fixture.receipt(state.uploadID, block, replica), Fixture.receipt(state.uploadID, block, off)]
    if sendsBefore { try await fixture.store.addReceipts(receipts, to: state.uploadID, for: ada) }
    try await fixture.store.voidReceipts(of: Fixture.node(off), for: [Fixture.block(7).id, block.id], layoutVersion: 1, gcEpoch: 1)
    // Once more, as it is when the answer was lost.
    try await fixture.store.voidReceipts(of: Fixture.node(off), for: [block.id], layoutVersion: 1, gcEpoch: 1)
    for again in [receipts, [], receipts] {
      let refusal = await problem {
        try await fixture.store.completeUpload(Completion(upload: state.uploadID, receipts: again), for: ada)
      }
      #expect(refusal?.missing == [block.id])
    }
    let lacking = try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada).missing
    #expect(lacking.map(\.id) == [block.id], "it is to be put again")
    // An upload of which the node acknowledged the block after it had given it up.
    let later = try await fixture.store.openUpload(UploadRequest(path: "/g", blocks: [block]), for: ada, once: nil)
    let fresh = [Fixture.receipt(later.uploadID, block, replica), Fixture.receipt(later.uploadID, block, off)]
    _ = try await fixture.store.completeUpload(Completion(upload: later.uploadID, receipts: fresh), for: ada)
    // The node gets the block again under a newer layout.
    try await fixture.store.commitLayout(Fixture.layout(version: 2), expectedVersion: 1, filling: [])
    await #expect(throws: MetadataError.self, "of a layout of the past") {
      try await fixture.store.voidReceipts(of: Fixture.node(replica), for: [block.id], layoutVersion: 1, gcEpoch: 1)
    }
    let newer = Fixture.receipt(state.uploadID, block, off, layoutVersion: 2)
    _ = try await fixture.store.completeUpload(Completion(upload: state.uploadID, receipts: [receipts[0], newer]), for: ada)
  }

  @Test("what was given up for an upload is forgotten with it", arguments: Engine.allCases)
  func voidedReceiptsAreForgotten(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    _ = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    try await fixture.store.voidReceipts(of: Fixture.node("n1"), for: [block.id], layoutVersion: 1, gcEpoch: 1)
    #expect(try await fixture.rowCount("voided_receipts") == 1)
    for _ in 0..<2 {
      fixture.time.advance(by: .seconds(25 * 3600))
      while try await fixture.store.expire() > 0 {}
    }
    #expect(try await fixture.rowCount("voided_receipts") == 0)
    #expect(try await fixture.rowCount("uploads") == 0)
  }

  @Test("putting a damaged block again heals it: what is below the quorum is asked for again", arguments: Engine.allCases)
  func healing(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    try await fixture.put("/f", [block], as: ada)
    let again = try await fixture.store.openUpload(UploadRequest(path: "/g", blocks: [block]), for: ada, once: nil)
    #expect(again.missing.isEmpty, "a block in good health is had")
    try await fixture.store.addRepairs([block.id, Fixture.block(9).id])
    #expect(try await fixture.store.repairCount() == 1, "a block that nothing refers to is not repaired")
    let refusal = await problem { try await fixture.store.completeUpload(Completion(upload: again.uploadID), for: ada) }
    #expect(refusal?.kind == .missingBlocks, "it lost its standing since it was announced")
    try await fixture.put("/h", [block], as: ada)
    #expect(try await fixture.store.repairCount() == 0)
    try await fixture.expectSound()
  }

  @Test("knowing a hash grants nothing: another user's block is asked for like any other", arguments: Engine.allCases)
  func hashGrantsNothing(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("ada")
    let bob = try await fixture.user("bob")
    let block = Fixture.block(1)
    try await fixture.put("/secret", [block], as: ada)
    let state = try await fixture.store.openUpload(UploadRequest(path: "/stolen", blocks: [block]), for: bob, once: nil)
    #expect(state.missing.map(\.id) == [block.id])
    let refusal = await problem { try await fixture.store.completeUpload(Completion(upload: state.uploadID), for: bob) }
    #expect(refusal?.kind == .missingBlocks)
    let foreign = await problem { try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada) }
    #expect(foreign?.kind == .uploadNotFound)
  }

  @Test("a repeated complete answers what the first committed", arguments: Engine.allCases)
  func completeTwice(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    let state = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    let completion = Completion(upload: state.uploadID, receipts: Fixture.receipts(state.uploadID, block))
    let first = try await fixture.store.completeUpload(completion, for: ada)
    #expect(try await fixture.store.completeUpload(completion, for: ada) == first)
    try await fixture.put("/f", [Fixture.block(2)], as: ada, policy: .overwrite)
    #expect(try await fixture.store.completeUpload(completion, for: ada).contentHash == first.contentHash)
    #expect(try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada).status == .uploaded)
    #expect(try await fixture.store.versions(of: .path("/f"), limit: 10, cursor: nil, for: ada).items.map(\.version) == [2, 1])
    try await fixture.expectSound()
  }

  @Test("the items of a batch succeed and fail one by one", arguments: Engine.allCases)
  func batches(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/taken", [Fixture.block(50)], as: ada)
    let names = ["/a", "bad", "/taken", "/b"]
    let opened = try await fixture.store.openUploads(
      names.enumerated().map { UploadRequest(path: $1, blocks: [Fixture.block(UInt64($0 + 1))]) }, for: ada, once: nil)
    #expect(opened.map { $0.problem?.kind } == [nil, .invalidName, nil, nil])
    let completions = opened.compactMap(\.value).map { state in
      Completion(
        upload: state.uploadID,
        receipts: state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) })
    }
    let committed = try await fixture.store.completeUploads(completions, for: ada)
    #expect(committed.map { $0.problem?.kind } == [nil, .conflict, nil])
    #expect(try await fixture.paths(of: ada) == ["/a", "/b", "/taken"])
    try await fixture.expectSound()
  }

  @Test("what is refused after it had made something leaves nothing of it, and its neighbours stay", arguments: Engine.allCases)
  func refusalsLeaveNothing(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/taken", [Fixture.block(1)], as: ada)
    let before = try await fixture.paths(of: ada)
    // The first folder is made before it is found that the second cannot be.
    @Sendable func make(_ paths: String...) async throws -> ChangeSetResponse {
      try await fixture.store.apply(
        ChangeSetRequest(changes: paths.map { .init(.folder, path: $0) }), completions: paths.map { _ in nil }, for: ada, once: nil
      )
    }
    #expect(await problem { try await make("/made", "/taken") } != nil)
    #expect(try await fixture.paths(of: ada) == before)
    // Alone in line and with others, in one transaction or in several.
    let made = await withTaskGroup(of: Int?.self) { group in
      for number in 0..<40 {
        group.addTask {
          (try? await make("/first-\(number)", number % 4 == 0 ? "/taken" : "/kept-\(number)")) == nil ? nil : number
        }
      }
      return await group.reduce(into: Set<Int>()) { if let number = $1 { $0.insert(number) } }
    }
    let kept = Set((0..<40).filter { $0 % 4 != 0 })
    #expect(made == kept)
    #expect(Set(try await fixture.paths(of: ada)) == Set(before).union(kept.flatMap { ["/kept-\($0)", "/first-\($0)"] }))
    try await fixture.expectSound()
  }

  @Test("items of a batch share new folders, blocks and the quota, also with a refused one among them", arguments: Engine.allCases)
  func batchesShare(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user(quota: 3000)
    try await fixture.put("/new/sub/taken", [Fixture.block(1)], as: ada)
    let blocks = [2, 1, 2, 9, 3, 4].map { Fixture.block($0) }
    let opened = try await fixture.store.openUploads(
      blocks.enumerated().map { UploadRequest(path: $0 == 3 ? "/new/sub/taken" : "/new/sub/other/\($0)", blocks: [$1], parents: true) },
      for: ada, once: nil)
    // The quota has room for two blocks more, and each session reserves what it lacks by itself.
    #expect(opened.map { $0.problem?.kind } == [nil, nil, nil, .quota, .quota, .quota])
    #expect(opened.map { $0.value?.missing.count } == [1, 0, 1, nil, nil, nil])
    let completions = opened.compactMap(\.value).map { state in
      Completion(
        upload: state.uploadID,
        receipts: state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) })
    }
    let committed = try await fixture.store.completeUploads(completions + [completions[0]], for: ada)
    #expect(committed.map { $0.value?.path } == ["/new/sub/other/0", "/new/sub/other/1", "/new/sub/other/2", "/new/sub/other/0"])
    let usage = try await fixture.store.usage(of: ada)
    #expect(usage.used == 2000 && usage.reserved == 0 && usage.files == 4)
    try await fixture.expectSound()
  }
}

extension Fixture {
  /// A database of a cluster without nodes.
  struct Empty {
    let engine: Engine
    let folder: TemporaryFolder
    func open() async throws -> any MetadataStore {
      try await Fixture.open(engine, folder.path("empty.db"), time: ManualTime())
    }
  }

  static func openEmpty(_ engine: Engine) throws -> Empty { Empty(engine: engine, folder: try TemporaryFolder()) }
}
