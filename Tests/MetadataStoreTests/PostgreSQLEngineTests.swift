import BlockModel
import ClusterLogic
import MetadataStore
import Platform
import PostgreSQLDatabase
import SQLSession
import ServiceAPI
import Synchronization
import TestSupport
import Testing

@Suite("The PostgreSQL engine", .enabled(if: PostgreSQLServer.missing == nil), .serialized)
struct PostgreSQLEngineTests {
  /// A second coordinator's store on the fixture's database.
  private func second(_ fixture: Fixture) async throws -> any MetadataStore {
    try await Fixture.open(try #require(fixture.database), time: fixture.time)
  }

  /// Reads a user's feed to its end; fails when a sequence is left out or comes twice.
  private static func follow(
    _ store: any MetadataStore, _ user: Principal, from cursor: inout String?, _ last: inout Int64
  ) async throws {
    while true {
      let page = try await store.changes(since: cursor, limit: 50, for: user)
      #expect(!page.reset)
      for change in page.changes where change.share == nil {
        #expect(change.sequence == last + 1, "the feed leaves nothing out")
        last = change.sequence
      }
      cursor = page.cursor
      if !page.hasMore { return }
    }
  }

  @Test("16 writers over two coordinators: readers in the middle of it never see a gap, and all counts are right at the end")
  func gapless() async throws {
    let fixture = try await Fixture(.postgresql)
    let stores = [fixture.store, try await second(fixture)]
    let users = [try await fixture.user("ada"), try await fixture.user("bob")]
    _ = try await fixture.folder("/common", as: users[0])
    _ = try await fixture.store.share(.init(entry: .path("/common"), user: "bob", role: .write), for: users[0])
    let isDone = Guarded(false)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<2 {
        group.addTask {
          var cursor: String?
          var last: Int64 = 0
          while true {
            let end = isDone.withLock { $0 }
            try await Self.follow(stores[1 - index], users[index], from: &cursor, &last)
            if end { return }
          }
        }
      }
      group.addTask {
        try await withThrowingTaskGroup(of: Void.self) { writers in
          for writer in 0..<16 {
            writers.addTask {
              let user = users[writer % 2]
              for number in 0..<12 {
                let folder = number % 3 == 0 ? (writer % 2 == 0 ? "/common" : "/Shared with me/common") : "/own"
                let path = "\(folder)/\(writer)-\(number)"
                let store = stores[(writer / 2) % 2]
                let state = try await store.openUpload(
                  UploadRequest(path: path, blocks: [Fixture.block(UInt64(number))], parents: true), for: user, once: nil)
                let receipts = state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) }
                _ = try await store.completeUpload(Completion(upload: state.uploadID, receipts: receipts), for: user)
              }
            }
          }
          try await writers.waitForAll()
        }
        isDone.withLock { $0 = true }
      }
      try await group.waitForAll()
    }
    #expect(try await fixture.paths(of: users[0]).count { $0.contains("-") } == 8 * 12 + 8 * 4)
    try await fixture.expectSound()
  }

  @Test("look-ups stay look-ups in tables that were empty when their statements were planned")
  func plansOfEmptyTables() async throws {
    let fixture = try await Fixture(.postgresql)
    let database = try #require(fixture.database)
    let ada = try await fixture.user("ada")
    // From now on the planner believes what it saw.
    try await PostgreSQLServer.with(database) { try $0.runScript("VACUUM ANALYZE") }
    let files = 300
    for number in 0..<files { _ = try await fixture.put("/\(number)", [Fixture.block(UInt64(number))], as: ada) }
    let tables = "('blocks', 'namespace_blocks', 'upload_blocks', 'upload_positions', 'repairs')"
    // Sessions say what they did within a second or so.
    try await eventually("The look-ups' being counted") {
      let scans = try await PostgreSQLServer.with(database) { connection in
        try connection.first("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'namespace_blocks_pkey'") { $0.int(0) }
      }
      return scans ?? 0 >= files
    }
    let walks = try await PostgreSQLServer.with(database) { connection in
      try connection.all(
        "SELECT indexrelname, idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE relname IN \(tables) AND idx_tup_read > 4 * idx_scan"
      ) { "\($0.text(0)): \($0.int(1)) scans read \($0.int(2)) rows" }
    }
    #expect(walks == [])
  }

  @Test("the same idempotency key at two coordinators at once takes effect once, and both hear the same")
  func idempotency() async throws {
    let fixture = try await Fixture(.postgresql)
    let stores = [fixture.store, try await second(fixture)]
    let ada = try await fixture.user("ada")
    for round in 0..<15 {
      let key = IdempotencyKey(key: "k\(round)", operation: "folder", requestHash: [UInt8(round)])
      let made = try await withThrowingTaskGroup(of: EntryID.self) { group in
        for attempt in 0..<6 {
          group.addTask {
            try await stores[attempt % 2].createFolder(.init(path: "/\(round)", parents: false, modifiedAt: nil), for: ada, once: key).id
          }
        }
        return try await group.reduce(into: [EntryID]()) { $0.append($1) }
      }
      #expect(Set(made).count == 1)
      let name = "user\(round)"
      let users = try await withThrowingTaskGroup(of: UserID.self) { group in
        for attempt in 0..<4 {
          group.addTask {
            let key = IdempotencyKey(key: "u\(round)", operation: "user", requestHash: [])
            return try await stores[attempt % 2].createUser(name: name, password: "p", quota: nil, once: key).id
          }
        }
        return try await group.reduce(into: [UserID]()) { $0.append($1) }
      }
      #expect(Set(users).count == 1)
    }
    #expect(try await fixture.store.changes(since: nil, limit: 1000, for: ada).changes.count == 15)
    try await fixture.expectSound()
  }

  @Test("of two coordinators that do the same one is first: names, layouts, generations")
  func races() async throws {
    let fixture = try await Fixture(.postgresql)
    let stores = [fixture.store, try await second(fixture)]
    for round in 0..<5 {
      let outcomes = await withTaskGroup(of: Problem.Kind?.self) { group in
        for attempt in 0..<4 {
          group.addTask {
            do {
              _ = try await stores[attempt % 2].createUser(name: "Name\(round)", password: "p", quota: nil)
              return nil
            } catch { return (error as? MetadataError)?.problem?.kind ?? .internalError }
          }
        }
        return await group.reduce(into: [Problem.Kind?]()) { $0.append($1) }
      }
      #expect(outcomes.count { $0 == nil } == 1)
      #expect(outcomes.count { $0 == .alreadyExists } == 3)
      let layouts = await withTaskGroup(of: MetadataError.Code?.self) { group in
        for attempt in 0..<4 {
          group.addTask {
            do {
              try await stores[attempt % 2].commitLayout(
                Fixture.layout(version: UInt64(round + 2)), expectedVersion: UInt64(round + 1), filling: [])
              return nil
            } catch { return (error as? MetadataError)?.code ?? .unusable }
          }
        }
        return await group.reduce(into: [MetadataError.Code?]()) { $0.append($1) }
      }
      #expect(layouts.count { $0 == nil } == 1 && layouts.count { $0 == .conflict } == 3)
    }
    let generations = try await withThrowingTaskGroup(of: UInt64.self) { group in
      for attempt in 0..<20 { group.addTask { try await stores[attempt % 2].raiseGeneration() } }
      return try await group.reduce(into: [UInt64]()) { $0.append($1) }
    }
    #expect(generations.sorted() == Array(1...20))
  }

  @Test("what one coordinator changes of nodes and layout counts at the other with the next commit")
  func sharedCluster() async throws {
    let fixture = try await Fixture(.postgresql)
    let other = try await second(fixture)
    let ada = try await fixture.user()
    func put(_ path: String, _ number: UInt64) async throws {
      let block = Fixture.block(number)
      let state = try await other.openUpload(UploadRequest(path: path, blocks: [block]), for: ada, once: nil)
      _ = try await other.completeUpload(
        Completion(upload: state.uploadID, receipts: Fixture.receipts(state.uploadID, block)), for: ada)
    }
    try await put("/before", 1)
    // The nodes' disks are wiped: receipts of the former ones count no more, whichever coordinator is asked.
    for name in Fixture.nodeNames {
      try await fixture.store.saveNode(Fixture.record(name, disk: DiskID(high: 9, low: UInt64(name.utf8.last!))))
    }
    #expect(await problem { try await put("/after", 2) }?.kind == .missingBlocks)
  }

  @Test("a change at one coordinator is hinted to those who wait at the other")
  func hints() async throws {
    let fixture = try await Fixture(.postgresql)
    let other = try await second(fixture)
    let ada = try await fixture.user()
    let hub = other.hub
    var hints = await hub.hints(after: 0, instance: nil, waitAtMost: .zero)
    try await eventually("The hint") {
      _ = try await fixture.folder("/\(SecureRandom.bytes(8).map { String($0) }.joined())", as: ada)
      // It begins to listen at some time, and says then that what was before may have been missed: one goes on from there.
      hints = await hub.hints(after: hints.position, instance: hints.instance, waitAtMost: .milliseconds(200))
      return hints.namespaces.contains(ada.namespaceNumber)
    }
  }

  @Test("a database of another cluster, of a newer schema, and one with an edited step are refused")
  func unusable() async throws {
    for change in [
      "UPDATE settings SET value = 5 WHERE key = 'cluster-high'",
      "INSERT INTO migrations (number, checksum) SELECT max(number) + 1, 0 FROM migrations",
      "UPDATE migrations SET checksum = checksum + 1 WHERE number = 1",
    ] {
      let fixture = try await Fixture(.postgresql)
      let database = try #require(fixture.database)
      try await PostgreSQLServer.execute(change, on: database)
      await #expect { _ = try await second(fixture) } throws: { ($0 as? MetadataError)?.code == .unusable }
    }
  }

  @Test("killing the server in the middle of commits loses nothing acknowledged, and no key takes effect twice")
  func kills() async throws {
    let server = try await PostgreSQLServer()
    let fixture = try await Fixture(server)
    let users = [try await fixture.user("ada"), try await fixture.user("bob")]
    let isDone = Guarded(false)
    let acknowledged = Guarded<[[String]]>([[], []])
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<8 {
        group.addTask {
          let user = users[writer % 2]
          for number in 0..<100_000 where !isDone.withLock({ $0 }) {
            let path = "/\(writer)-\(number)"
            let key = IdempotencyKey(key: path, operation: "folder", requestHash: [])
            // As a client does: the same request again until there is an answer.
            while (try? await fixture.store.createFolder(.init(path: path, parents: false, modifiedAt: nil), for: user, once: key)) == nil {
            }
            acknowledged.withLock { $0[writer % 2].append(path) }
            let file = path + "/file"
            guard (try? await fixture.put(file, [Fixture.block(UInt64(number % 7))], as: user)) != nil else { continue }
            acknowledged.withLock { $0[writer % 2].append(file) }
          }
        }
      }
      group.addTask {
        for _ in 0..<4 {
          let before = acknowledged.withLock { $0[0].count + $0[1].count }
          try await eventually(within: .seconds(120), "Work going on") { acknowledged.withLock { $0[0].count + $0[1].count } > before + 20 }
          try server.kill()
        }
        let before = acknowledged.withLock { $0[0].count + $0[1].count }
        try await eventually(within: .seconds(120), "Work going on") { acknowledged.withLock { $0[0].count + $0[1].count } > before + 20 }
        isDone.withLock { $0 = true }
      }
      try await group.waitForAll()
    }
    for index in 0..<2 {
      let paths = Set(try await fixture.paths(of: users[index]))
      let lost = acknowledged.withLock { $0[index] }.filter { !paths.contains($0) }
      #expect(lost.isEmpty, "lost \(lost)")
      var cursor: String?
      var made: [String] = []
      var hasMore = true
      while hasMore {
        let page = try await fixture.store.changes(since: cursor, limit: 1000, for: users[index])
        made += page.changes.filter { $0.action == .created }.map(\.entry.path)
        (cursor, hasMore) = (page.cursor, page.hasMore)
      }
      #expect(made.count == Set(made).count, "something was made twice")
    }
    try await fixture.expectSound()
  }
}
