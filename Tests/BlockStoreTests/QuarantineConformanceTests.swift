import BlockModel
import BlockStore
import Platform
import Testing

/// What every store does with deletes that can be undone.
@Suite struct QuarantineConformanceTests {
  private static let start = WallTime(seconds: 1_800_000_000)
  private static let hour: Int64 = 3600
  private static func time(hours: Int64) -> WallTime { WallTime(seconds: start.seconds + hours * hour) }

  @Test("a quarantined block counts as missing for everything but being taken back", arguments: StoreKind.allCases)
  func missing(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let plain = Fixtures.bytes(100_000, seed: 1)
      let id = try await store.append(Fixtures.record(plain, gcEpoch: 4, keys: keys)).block.id
      let other = try await store.append(Fixtures.record([1], gcEpoch: 4, keys: keys)).block.id
      let used = store.space().usedBytes
      #expect(try await !store.quarantine(id, ifEpochBelow: 4, at: Self.start))
      #expect(try await !store.quarantine(Fixtures.id(of: [2]), ifEpochBelow: 9, at: Self.start))
      #expect(try await store.quarantine(id, ifEpochBelow: 5, at: Self.start))
      #expect(try await !store.quarantine(id, ifEpochBelow: 9, at: Self.start), "only once")
      #expect(store.status(of: id) == nil && store.existence(of: [id, other]) == [false, true])
      #expect(store.blocks(inPartition: 0, bits: 0, after: nil, limit: 9).map(\.id) == [other])
      #expect(store.digest(ofPartition: 0, bits: 0).count == 1 && store.space().blockCount == 1)
      #expect(store.space().usedBytes == used, "its copy is there")
      for call in [
        { _ = try await store.bytes(id) }, { _ = try await store.readRecord(id, into: Fixtures.pool()) },
        { try await store.verify(id, using: Fixtures.pool()) },
      ] as [() async throws -> Void] {
        #expect(await BlockStoreError.Code.thrown(by: call) == .notFound)
      }
      #expect(try await !store.raiseEpoch(of: id, to: 9))
      let held = store.quarantined(after: nil, limit: 9)
      #expect(held.map(\.block.id) == [id] && held[0].block.gcEpoch == 4 && held[0].epoch == 5)
      #expect((Self.start...Self.time(hours: 1)).contains(held[0].since))
    }
  }

  @Test("an undo shows a quarantined block again as it was", arguments: StoreKind.allCases)
  func undo(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let plain = Fixtures.bytes(100_000, seed: 1)
      let id = try await store.append(Fixtures.record(plain, gcEpoch: 4, keys: keys)).block.id
      #expect(try await !store.restore(id))
      #expect(try await store.quarantine(id, ifEpochBelow: 5, at: Self.start))
      #expect(try await store.restore(id))
      #expect(try await !store.restore(id))
      #expect(store.status(of: id)?.gcEpoch == 4 && store.quarantined(after: nil, limit: 9).isEmpty)
      #expect(try await store.bytes(id) == plain)
      #expect(try await store.purge(quarantinedBefore: Self.time(hours: 99), limit: 9) == 0)
      #expect(try await store.bytes(id) == plain)
    }
  }

  @Test(
    "an append takes a quarantined block back under an epoch that never falls, and no delete of before takes it again",
    arguments: StoreKind.allCases)
  func appendTakesBack(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let plain = Fixtures.bytes(100_000, seed: 1)
      let id = try await store.append(Fixtures.record(plain, gcEpoch: 4, keys: keys)).block.id
      for (given, expected) in [(7, 7), (2, 7)] as [(UInt64, UInt64)] {
        #expect(try await store.quarantine(id, ifEpochBelow: 99, at: Self.start))
        let outcome = try await store.append(Fixtures.record(plain, gcEpoch: given, keys: keys))
        #expect(!outcome.wasNew && outcome.block.gcEpoch == expected && store.status(of: id)?.gcEpoch == expected)
      }
      #expect(try await !store.quarantine(id, ifEpochBelow: 7, at: Self.start))
      #expect(try await !store.delete(id, ifEpochBelow: 7))
      #expect(try await store.purge(quarantinedBefore: Self.time(hours: 99), limit: 9) == 0)
      #expect(try await store.bytes(id) == plain)
    }
  }

  @Test("a purge deletes what has been held long enough, as many as it may, and nothing else", arguments: StoreKind.allCases)
  func purge(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      var ids: [BlockID] = []
      for number in 0..<40 {
        ids.append(try await store.append(Fixtures.record(Fixtures.bytes(5000, seed: UInt64(number)), gcEpoch: 1, keys: keys)).block.id)
      }
      for (number, id) in ids.enumerated() where number < 30 {
        #expect(try await store.quarantine(id, ifEpochBelow: 5, at: Self.time(hours: number < 20 ? 0 : 10)))
      }
      #expect(store.quarantined(after: nil, limit: 12).map(\.block.id) == Array(ids.prefix(30).sorted().prefix(12)))
      #expect(try await store.purge(quarantinedBefore: Self.start, limit: 99) == 0, "no hold is shorter than asked for")
      #expect(try await store.purge(quarantinedBefore: Self.time(hours: 5), limit: 6) == 6)
      #expect(store.quarantined(after: nil, limit: 99).count == 24)
      #expect(try await store.purge(quarantinedBefore: Self.time(hours: 5), limit: 99) == 14)
      #expect(store.quarantined(after: nil, limit: 99).map(\.block.id) == ids[20..<30].sorted())
      for id in ids.prefix(20) { #expect(try await !store.restore(id)) }
      for id in ids[20..<30] { #expect(try await store.restore(id)) }
      #expect(store.space().blockCount == 20)
      #expect(try await store.delete(ids[20], ifEpochBelow: 5))
      #expect(store.space().blockCount == 19)
    }
  }

  @Test("a delete at once takes a quarantined block too", arguments: StoreKind.allCases)
  func deleteQuarantined(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let id = try await store.append(Fixtures.record(Fixtures.bytes(5000, seed: 1), gcEpoch: 4, keys: keys)).block.id
      #expect(try await store.quarantine(id, ifEpochBelow: 5, at: Self.start))
      #expect(try await !store.delete(id, ifEpochBelow: 4))
      #expect(try await store.delete(id, ifEpochBelow: 5))
      #expect(try await !store.restore(id))
      #expect(store.space().usedBytes == 0)
      #expect(try await store.append(Fixtures.record(Fixtures.bytes(5000, seed: 1), gcEpoch: 1, keys: keys)).wasNew)
    }
  }

  @Test("after close nothing is quarantined, taken back, purged or compacted", arguments: StoreKind.allCases)
  func closed(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let id = try await store.append(Fixtures.record([1], keys: keys)).block.id
      #expect(try await store.quarantine(id, ifEpochBelow: 9, at: Self.start))
      await store.close()
      for call in [
        { _ = try await store.quarantine(id, ifEpochBelow: 9, at: Self.start) }, { _ = try await store.restore(id) },
        { _ = try await store.purge(quarantinedBefore: Self.time(hours: 9), limit: 9) }, { _ = try await store.compact(limitBytes: 1) },
      ] as [() async throws -> Void] {
        #expect(await BlockStoreError.Code.thrown(by: call) == .closed)
      }
    }
  }
}
