import BlockModel
import MetadataStore
import Platform
import ServiceAPI
import Testing

@Suite("Sessions, quota, accounts, feed")
struct SessionConformanceTests {
  @Test("opening reserves what is missing, committing turns it into use, ending frees it", arguments: Engine.allCases)
  func quota(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user(quota: 2500)
    func usage() async throws -> [Int64] {
      let usage = try await fixture.store.usage(of: ada)
      return [usage.used, usage.reserved]
    }
    let first = try await fixture.store.openUpload(UploadRequest(path: "/a", blocks: [Fixture.block(1)]), for: ada, once: nil)
    #expect(try await usage() == [0, 1000])
    let second = try await fixture.store.openUpload(UploadRequest(path: "/b", size: 1400), for: ada, once: nil)
    #expect(try await usage() == [0, 2400])
    let refusal = await problem {
      try await fixture.store.openUpload(UploadRequest(path: "/c", blocks: [Fixture.block(2)]), for: ada, once: nil)
    }
    #expect(refusal?.kind == .quota && refusal?.status == 507)
    #expect(try await usage() == [0, 2400])
    _ = try await fixture.store.completeUpload(
      Completion(upload: first.uploadID, receipts: Fixture.receipts(first.uploadID, Fixture.block(1))), for: ada)
    #expect(try await usage() == [1000, 1400])
    let same = try await fixture.store.openUpload(UploadRequest(path: "/d", blocks: [Fixture.block(1)]), for: ada, once: nil)
    #expect(same.missing.isEmpty)
    #expect(try await usage() == [1000, 1400], "what is had costs nothing")
    try await fixture.store.abortUpload(second.uploadID, for: ada)
    #expect(try await usage() == [1000, 0])
    try await fixture.expectSound()
  }

  @Test("a session lives as long as it is used, and not longer", arguments: Engine.allCases)
  func lease(engine: Engine) async throws {
    var options = MetadataOptions()
    options.uploadLease = .seconds(100)
    let fixture = try await Fixture(engine, options: options)
    let ada = try await fixture.user()
    let block = Fixture.block(1)
    let state = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [block]), for: ada, once: nil)
    fixture.time.advance(by: .seconds(90))
    let renewed = try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada)
    #expect(renewed.expiresAt == fixture.time.wall() + .seconds(100))
    fixture.time.advance(by: .seconds(90))
    try await fixture.store.addReceipts(Fixture.receipts(state.uploadID, block), to: state.uploadID, for: ada)
    let partition = block.id.partition(bits: Fixture.partitionBits)
    let live = try await fixture.store.liveBlocks(inPartition: partition, bits: Fixture.partitionBits, after: nil, limit: 10)
    #expect(live.map(\.id) == [block.id] && live.first?.isReferenced == false, "a lease with a receipt keeps the block alive")
    #expect(try await fixture.store.uses(of: block.id, limit: 10).leases == [state.uploadID])
    fixture.time.advance(by: .seconds(101))
    let late = await problem { try await fixture.store.completeUpload(Completion(upload: state.uploadID), for: ada) }
    #expect(late?.kind == .uploadNotFound)
    #expect(try await fixture.store.expire() > 0)
    #expect(try await fixture.store.usage(of: ada).reserved == 0)
    #expect(try await fixture.store.liveBlocks(inPartition: partition, bits: Fixture.partitionBits, after: nil, limit: 10).isEmpty)
    #expect(try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada).status == .expired)
    fixture.time.advance(by: .seconds(25 * 3600))
    _ = try await fixture.store.expire()
    #expect(await problem { try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada) }?.kind == .uploadNotFound)
    try await fixture.expectSound()
  }

  @Test("a block list that contradicts itself is refused and leaves the session as it was", arguments: Engine.allCases)
  func contradictions(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/mine", [Fixture.block(5)], as: ada)
    let state = try await fixture.store.openUpload(UploadRequest(path: "/f", blocks: [Fixture.block(1)]), for: ada, once: nil)
    func add(_ start: Int, _ blocks: [BlockRef]) async -> Problem.Kind? {
      await problem {
        try await fixture.store.addBlocks(BlocksRequest(start: start, blocks: blocks), to: state.uploadID, for: ada)
      }?.kind
    }
    #expect(await add(0, [Fixture.block(2)]) == .malformed, "another block at the same place")
    #expect(await add(1, [BlockRef(id: Fixture.block(1).id, size: 5)]) == .malformed, "another size")
    #expect(await add(1, [BlockRef(id: Fixture.block(5).id, size: 5)]) == .hashMismatch, "a block that is had with another size")
    #expect(await add(1, [BlockRef(id: Fixture.block(3).id, size: 0)]) == .malformed)
    #expect(await add(1, [BlockRef(id: Fixture.block(3).id, size: Limits.blockBytes + 1)]) == .malformed)
    #expect(await add(-1, [Fixture.block(3)]) == .tooLarge)
    #expect(await add(.max, [Fixture.block(3)]) == .tooLarge)
    #expect(await add(1, Array(repeating: Fixture.block(3), count: 1001)) == .malformed)
    let after = try await fixture.store.uploadState(state.uploadID, cursor: nil, for: ada)
    #expect(after.blockCount == 1 && after.missing == state.missing)
    try await fixture.expectSound()
  }

  @Test("a repeated idempotency key takes effect once; with another request it is refused", arguments: Engine.allCases)
  func idempotency(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let key = IdempotencyKey(key: "k", operation: "open-upload", requestHash: [1])
    let request = UploadRequest(path: "/f", blocks: [Fixture.block(1)])
    let first = try await fixture.store.openUpload(request, for: ada, once: key)
    #expect(try await fixture.store.openUpload(request, for: ada, once: key) == first)
    for other in [
      IdempotencyKey(key: "k", operation: "open-upload", requestHash: [2]),
      IdempotencyKey(key: "k", operation: "create-folder", requestHash: [1]),
    ] {
      let refusal = await problem { try await fixture.store.openUpload(request, for: ada, once: other) }
      #expect(refusal?.kind == .keyReused)
    }
    let bob = try await fixture.user("bob")
    #expect(try await fixture.store.openUpload(request, for: bob, once: key).uploadID != first.uploadID, "keys are per user")
    let folderKey = IdempotencyKey(key: "f", operation: "create-folder", requestHash: [1])
    let operation = UserOperations.CreateFolder(path: "/d", parents: false, modifiedAt: nil)
    let folder = try await fixture.store.createFolder(operation, for: ada, once: folderKey)
    #expect(try await fixture.store.createFolder(operation, for: ada, once: folderKey) == folder)
    fixture.time.advance(by: .seconds(25 * 3600))
    _ = try await fixture.store.expire()
    #expect(await problem { try await fixture.store.createFolder(operation, for: ada, once: folderKey) }?.kind == .alreadyExists)
  }

  @Test("a cursor resumes without a skip, and one that cannot be continued says so", arguments: Engine.allCases)
  func feedCursors(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("ada")
    let bob = try await fixture.user("bob")
    for number in 0..<10 { _ = try await fixture.folder("/\(number)", as: ada) }
    var seen: [Int64] = []
    var cursor: String?
    while true {
      let page = try await fixture.store.changes(since: cursor, limit: 3, for: ada)
      seen += page.changes.map(\.sequence)
      cursor = page.cursor
      if !page.hasMore { break }
    }
    #expect(seen == Array(1...10))
    #expect(try await fixture.store.changes(since: cursor, limit: 3, for: ada).changes.isEmpty)
    let times = try await fixture.store.changes(since: nil, limit: 100, for: ada).changes.map(\.at)
    #expect(zip(times, times.dropFirst()).allSatisfy { $0 < $1 }, "the clock stood still, the feed's time did not")
    let foreign = try await fixture.store.changes(since: cursor, limit: 3, for: bob)
    #expect(foreign.reset && foreign.changes.isEmpty)
    #expect(try await !fixture.store.changes(since: foreign.cursor, limit: 3, for: bob).reset)
    for bad in ["", "x", "AAAA", String(repeating: "A", count: 200)] {
      #expect(await problem { try await fixture.store.changes(since: bad, limit: 3, for: ada) }?.kind == .invalidCursor)
    }
  }

  @Test("names are taken whatever their case; a revoked or disabled token stands for nobody", arguments: Engine.allCases)
  func accounts(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("Ada")
    let refusal = await problem { try await fixture.store.createUser(name: "aDA", password: "x", quota: nil) }
    #expect(refusal?.kind == .alreadyExists)
    #expect(try await fixture.store.passwordRecord(ofUserNamed: "ADA")?.name == "Ada")
    let phone = try await fixture.logIn(ada.user, device: "phone")
    #expect(try await fixture.store.devices(of: ada).map(\.current).count(where: { $0 }) == 1)
    try await fixture.store.revokeDevice(phone.device, of: ada)
    #expect(try await fixture.store.devices(of: ada).map(\.name) == ["laptop"])
    let bob = try await fixture.user("bob")
    #expect(await problem { try await fixture.store.revokeDevice(ada.device, of: bob) }?.kind == .notFound)
    #expect(try await fixture.store.principal(tokenHash: SecureRandom.bytes(32)) == nil)
  }

  @Test("one user's ids mean nothing to another", arguments: Engine.allCases)
  func isolation(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("ada")
    let bob = try await fixture.user("bob")
    let file = try await fixture.put("/f", as: ada)
    #expect(await problem { try await fixture.store.stat(.id(file.id), for: bob) }?.kind == .notFound)
    #expect(await problem { try await fixture.store.stat(.path("/f"), for: bob) }?.kind == .notFound)
    let plan = await problem { try await fixture.store.downloadPlan(.id(file.id), version: nil, cursor: nil, limit: 1, for: bob) }
    #expect(plan?.kind == .notFound)
    let delete = UserOperations.DeleteEntry(entry: .id(file.id), forever: true, recursive: true, ifVersion: nil)
    #expect(await problem { try await fixture.store.deleteEntry(delete, for: bob) }?.kind == .notFound)
  }
}
