import BlockModel
import BlockStore
import Platform
import Testing

/// What every store does, whatever it is made of.
@Suite struct ConformanceTests {
  static let sizes = [0, 1, 4096, 31_000, 65_536, 65_537, 200_000, Limits.blockBytes]

  @Test("an appended block reads back, whole and in any range", arguments: StoreKind.allCases)
  func readBack(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      for size in Self.sizes {
        let plain = Fixtures.bytes(size, seed: UInt64(size))
        let record = try Fixtures.record(plain, gcEpoch: 7, keys: keys)
        let id = record.header.block
        #expect(store.status(of: id) == nil)
        let outcome = try await store.append(record)
        let expected = StoredBlock(id: id, plainBytes: size, storedBytes: size, encoding: .plain, gcEpoch: 7)
        #expect(outcome == AppendOutcome(wasNew: true, block: expected))
        #expect(store.status(of: [id, Fixtures.id(of: [9, 9])]) == [expected, nil])
        #expect(try await store.bytes(id) == plain)
        for range in [
          0..<0, 0..<min(1, size), max(0, size - 1)..<size, size..<size, size / 3..<size / 2, min(size, 65_530)..<min(size, 65_540),
        ] {
          #expect(try await store.bytes(id, range) == Array(plain[range]), "\(range) of \(size)")
        }
        if let payload = store.readCached(id, into: try await Fixtures.pool().acquire(patience: .seconds(1))) {
          #expect(payload.block == expected && Array(payload.buffer.bytes(payload.range)) == plain)
        }
        try await store.verify(id, using: Fixtures.pool())
      }
    }
  }

  @Test("a compressed block comes back as it was stored", arguments: StoreKind.allCases)
  func compressed(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let plain = Array(repeatElement(Fixtures.bytes(1000, seed: 1), count: 300).joined())
      let record = try Fixtures.record(plain, keys: keys, compress: true)
      #expect(record.header.encoding == .zstd)
      let block = try await store.append(record).block
      #expect(block.plainBytes == plain.count && block.storedBytes == record.header.storedBytes && block.encoding == .zstd)
      try await store.verify(block.id, using: Fixtures.pool())
      let stored = try await store.bytes(block.id)
      var decoded = [UInt8](repeating: 0, count: plain.count)
      try decoded.withUnsafeMutableBytes { decoded in try stored.withUnsafeBytes { try Zstandard.decode($0, into: decoded) } }
      #expect(decoded == plain)
    }
  }

  @Test("a range outside of the block is refused", arguments: StoreKind.allCases)
  func outside(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let id = try await store.append(Fixtures.record([1, 2, 3], keys: keys)).block.id
      for range in [0..<4, 3..<4, -1..<2] {
        #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(id, range) } == .malformed)
      }
    }
  }

  @Test("appending a block that is here stores nothing and raises its epoch, never lowers it", arguments: StoreKind.allCases)
  func appendAgain(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let plain = Fixtures.bytes(5000, seed: 3)
      let id = try await store.append(Fixtures.record(plain, gcEpoch: 4, keys: keys)).block.id
      let used = store.space().usedBytes
      for (given, expected) in [(6, 6), (5, 6), (6, 6), (9, 9)] as [(UInt64, UInt64)] {
        let outcome = try await store.append(Fixtures.record(plain, gcEpoch: given, keys: keys))
        #expect(!outcome.wasNew && outcome.block.gcEpoch == expected)
        #expect(store.status(of: id)?.gcEpoch == expected)
      }
      #expect(store.space().usedBytes == used)
      #expect(store.space().blockCount == 1)
      #expect(try await store.bytes(id) == plain)
    }
  }

  @Test("raising an epoch answers whether the block is here", arguments: StoreKind.allCases)
  func raise(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let id = try await store.append(Fixtures.record([1], gcEpoch: 4, keys: keys)).block.id
      #expect(try await store.raiseEpoch(of: id, to: 8))
      #expect(store.status(of: id)?.gcEpoch == 8)
      #expect(try await store.raiseEpoch(of: id, to: 2))
      #expect(store.status(of: id)?.gcEpoch == 8)
      #expect(try await store.raiseEpoch(of: id, to: .max))
      #expect(store.status(of: id)?.gcEpoch == .max)
      #expect(try await !store.raiseEpoch(of: Fixtures.id(of: [2]), to: 8))
    }
  }

  @Test("a delete happens only below its epoch, and frees the block's space", arguments: StoreKind.allCases)
  func delete(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let plain = Fixtures.bytes(300_000, seed: 5)
      let id = try await store.append(Fixtures.record(plain, gcEpoch: 4, keys: keys)).block.id
      #expect(try await !store.delete(id, ifEpochBelow: 4))
      #expect(try await !store.delete(Fixtures.id(of: [2]), ifEpochBelow: 9))
      #expect(try await store.bytes(id) == plain)
      #expect(try await store.delete(id, ifEpochBelow: 5))
      #expect(store.status(of: id) == nil)
      #expect(store.space().usedBytes == 0 && store.space().blockCount == 0)
      #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(id) } == .notFound)
      #expect(try await !store.delete(id, ifEpochBelow: 5))
      #expect(try await !store.raiseEpoch(of: id, to: 5))
      // And it can come back, under a lower epoch too.
      #expect(try await store.append(Fixtures.record(plain, gcEpoch: 2, keys: keys)).wasNew)
      #expect(store.status(of: id)?.gcEpoch == 2)
      #expect(try await store.bytes(id) == plain)
    }
  }

  @Test("a record goes from store to store as the same bytes", arguments: StoreKind.allCases)
  func transfer(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let record = try Fixtures.record(Fixtures.bytes(150_000, seed: 6), keys: keys)
      let wire = Fixtures.wire(record)
      let id = try await store.append(record).block.id
      let copy = try await store.readRecord(id, into: Fixtures.pool())
      #expect(copy.header == record.header)
      #expect(Fixtures.wire(copy) == wire)
      let other = MemoryStore(keys: keys)
      #expect(try await other.append(Fixtures.verify(Fixtures.wire(copy), block: id, keys: keys)).wasNew)
      #expect(try await other.bytes(id) == store.bytes(id))
    }
  }

  @Test("partitions list their blocks in order, in pages, and equal sets have equal digests", arguments: StoreKind.allCases)
  func partitions(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      var ids: [BlockID] = []
      for number in 0..<120 {
        ids.append(try await store.append(Fixtures.record(Fixtures.bytes(20 + number, seed: UInt64(number)), keys: keys)).block.id)
      }
      for bits in [0, 1, 4, 12, 20] {
        var listed: [BlockID] = []
        for partition in Set(ids.map { $0.partition(bits: bits) }).sorted() {
          let expected = ids.filter { $0.partition(bits: bits) == partition }.sorted()
          var page = store.blocks(inPartition: partition, bits: bits, after: nil, limit: 7)
          var all = page
          while page.count == 7 {
            page = store.blocks(inPartition: partition, bits: bits, after: all.last?.id, limit: 7)
            all += page
          }
          #expect(all.map(\.id) == expected, "partition \(partition) of \(bits) bits")
          var digest = PartitionDigest.empty
          for id in expected.shuffled() { digest.add(id) }
          #expect(store.digest(ofPartition: partition, bits: bits) == digest)
          listed += all.map(\.id)
        }
        #expect(listed == ids.sorted())
      }
      #expect(store.blocks(inPartition: 0, bits: 0, after: nil, limit: 0).isEmpty)
      let before = store.digest(ofPartition: 0, bits: 0)
      #expect(try await store.delete(ids[17], ifEpochBelow: 5))
      #expect(store.digest(ofPartition: 0, bits: 0) != before)
    }
  }

  @Test(
    "a store that has reached its capacity refuses blocks, serves reads and deletes, and takes blocks again", arguments: StoreKind.allCases)
  func capacity(kind: StoreKind) async throws {
    try await kind.withStore(capacityBytes: 1 << 20) { store, keys in
      var ids: [BlockID] = []
      var refused = false
      for number in 0..<40 {
        let record = try Fixtures.record(Fixtures.bytes(100_000, seed: UInt64(number)), keys: keys)
        let code = await BlockStoreError.Code.thrown { ids.append(try await store.append(record).block.id) }
        if code == .full { refused = true } else { #expect(code == nil) }
      }
      #expect(refused && (8...10).contains(ids.count))
      #expect(store.space().freeBytes < 120_000 + (1 << 20) / 20)
      for id in ids { #expect(try await store.bytes(id).count == 100_000) }
      #expect(try await store.append(Fixtures.record(Fixtures.bytes(100_000, seed: 0), gcEpoch: 2, keys: keys)).wasNew == false)
      for id in ids.prefix(4) { #expect(try await store.delete(id, ifEpochBelow: 9)) }
      #expect(try await store.append(Fixtures.record(Fixtures.bytes(100_000, seed: 100), keys: keys)).wasNew)
    }
  }

  @Test("many tasks at once append, read and delete without losing anything", arguments: StoreKind.allCases)
  func concurrency(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let pool = Fixtures.pool(8)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<12 {
          group.addTask {
            for round in 0..<10 {
              // Two workers share each content, so that equal blocks meet.
              let plain = Fixtures.bytes(1000 + 7000 * round, seed: UInt64(worker / 2 * 100 + round))
              let id = try await store.append(Fixtures.record(plain, gcEpoch: UInt64(worker + 1), keys: keys)).block.id
              #expect(try await store.bytes(id, pool: pool) == plain)
              #expect(try #require(store.status(of: id)).gcEpoch >= UInt64(worker + 1))
            }
          }
        }
        try await group.waitForAll()
      }
      #expect(store.space().blockCount == 60)
      #expect(pool.lent == 0)
    }
  }

  @Test("records that are appended together have their own outcomes, in their order", arguments: StoreKind.allCases)
  func appendTogether(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      #expect(await store.append([]).isEmpty)
      let plain = (0..<200).map { Fixtures.bytes(1 + $0 * 97, seed: UInt64($0)) }
      _ = try await store.append(Fixtures.record(plain[7], gcEpoch: 3, keys: keys))
      var records = try plain.map { try Fixtures.record($0, gcEpoch: 2, keys: keys) }
      // The same block once more, and a record that is none.
      records.insert(try Fixtures.record(plain[50], gcEpoch: 5, keys: keys), at: 100)
      var header = records[150].header
      header.block = Fixtures.id(of: [4])
      records[150] = SealedRecord(header: header, buffer: records[150].buffer, gcEpoch: 1)
      let outcomes = await store.append(records)
      #expect(outcomes.count == records.count)
      for (number, (record, outcome)) in zip(records, outcomes).enumerated() {
        switch outcome {
        case .success(let appended):
          #expect(number != 150 && appended.block.id == record.header.block)
          #expect(appended.wasNew == ![7, 100].contains(number))
        case .failure(let error): #expect(number == 150 && error.code == .malformed)
        }
      }
      for (number, bytes) in plain.enumerated() where number != 149 {
        let id = Fixtures.id(of: bytes)
        #expect(try await store.bytes(id) == bytes)
        #expect(store.status(of: id)?.gcEpoch == (number == 7 ? 3 : number == 50 ? 5 : 2))
      }
      #expect(store.status(of: Fixtures.id(of: plain[149])) == nil)
      #expect(store.space().blockCount == plain.count - 1)
    }
  }

  @Test("a record whose buffer holds something else than its header says is refused", arguments: StoreKind.allCases)
  func mismatch(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let record = try Fixtures.record([1, 2, 3], keys: keys)
      var header = record.header
      header.block = Fixtures.id(of: [4])
      let wrong = SealedRecord(header: header, buffer: record.buffer, gcEpoch: 1)
      #expect(await BlockStoreError.Code.thrown { _ = try await store.append(wrong) } == .malformed)
      #expect(store.space().blockCount == 0)
    }
  }

  @Test("reads wait for a buffer and answer busy, not forever", arguments: StoreKind.allCases)
  func busy(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let id = try await store.append(Fixtures.record([1, 2, 3], keys: keys)).block.id
      let pool = Fixtures.pool(1)
      let held = pool.tryAcquire()
      #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(id, pool: pool) } == .busy)
      withExtendedLifetime(held) {}
    }
  }

  @Test("after close every call says that the store is closed", arguments: StoreKind.allCases)
  func closed(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      let record = try Fixtures.record([1], keys: keys)
      let id = try await store.append(record).block.id
      await store.close()
      for call in [
        { _ = try await store.append(record) }, { _ = try await store.bytes(id) }, { _ = try await store.delete(id, ifEpochBelow: 9) },
        { _ = try await store.raiseEpoch(of: id, to: 3) }, { _ = try await store.readRecord(id, into: Fixtures.pool()) },
        { try await store.verify(id, using: Fixtures.pool()) },
      ] as [() async throws -> Void] {
        #expect(await BlockStoreError.Code.thrown(by: call) == .closed)
      }
      await store.close()
    }
  }
}
