import BlockModel
import BlockStore
import Platform
import TestSupport
import Testing

@Suite("Rotating data keys") struct KeyRotationTests {
  private func plain(_ number: Int, _ count: Int) -> [UInt8] { Fixtures.bytes(count, seed: UInt64(number)) }

  @Test("a record that is wrapped anew keeps its frames, opens under the new key alone, and a newer or plain one stays as it is")
  func rewrap() async throws {
    for compress in [false, true] {
      let bytes = [UInt8](repeating: 5, count: 200_000)
      let record = try Fixtures.record(bytes, keys: Fixtures.ring(1), compress: compress)
      let before = Fixtures.wire(record)
      let ring = Fixtures.ring(1, 2)
      let moved = try RecordRewrap.rewrap(record, keys: ring)
      #expect(moved.header.keyEpoch == 2 && moved.header.wrappedKey != record.header.wrappedKey)
      let after = Fixtures.wire(moved)
      #expect(before.dropFirst(128) == after.dropFirst(128) && before.prefix(128) != after.prefix(128))
      #expect(try RecordOpener.check(moved, keys: Fixtures.ring(2)))
      #expect(BlockStoreError.Code.thrown { _ = try RecordOpener.check(moved, keys: Fixtures.ring(1)) } == .wrongKey)
      let store = MemoryStore(keys: ring)
      _ = try await store.append(moved)
      #expect(try await store.bytes(Fixtures.id(of: bytes)).count > 0)
    }
    do {
      let ring = Fixtures.ring(1, 2)
      let newer = try Fixtures.record([1], keys: Fixtures.ring(3))
      #expect(try RecordRewrap.rewrap(newer, keys: ring).header == newer.header)
      let current = try Fixtures.record([1], keys: ring)
      #expect(try RecordRewrap.rewrap(current, keys: ring).header == current.header)
      let unsealed = try Fixtures.record([1], keys: nil)
      #expect(try RecordRewrap.rewrap(unsealed, keys: ring).header == unsealed.header)
      let foreign = try Fixtures.record([1], keys: Fixtures.ring(1))
      #expect(BlockStoreError.Code.thrown { _ = try RecordRewrap.rewrap(foreign, keys: Fixtures.ring(2)) } == .wrongKey)
    }
  }

  @Test("what is under each epoch is counted, also after a restart from a checkpoint", arguments: [true, false])
  func counts(checkpoint: Bool) async throws {
    try await withFolder { folder in
      let ring = Fixtures.ring(1)
      var configuration = StoreKind.configuration(folder, keys: ring)
      configuration.segmentBytes = 256 << 10
      var store = try SegmentStore.open(configuration)
      for number in 0..<20 { _ = try await store.append(Fixtures.record(plain(number, 40_000), keys: ring)) }
      let first = store.keyEpochs()
      #expect(first.map(\.epoch) == [1] && first[0].bytes >= 20 * 40_000)
      try ring.add(epoch: 2, key: SecretBytes([UInt8](repeating: 2, count: 32)))
      ring.use(2)
      for number in 20..<40 { _ = try await store.append(Fixtures.record(plain(number, 40_000), keys: ring)) }
      let both = store.keyEpochs()
      #expect(both.map(\.epoch) == [1, 2] && both[1].segments >= 2)
      await store.close()
      if !checkpoint { try Directory.remove(configuration.folder + "/index.checkpoint") }
      store = try SegmentStore.open(configuration)
      #expect(store.openReport.usedCheckpoint == checkpoint)
      _ = await store.loadScrub()
      let again = store.keyEpochs()
      #expect(again.map(\.epoch) == [1, 2] && again.map(\.segments) == both.map(\.segments))
      for number in 0..<40 { #expect(try await store.bytes(Fixtures.id(of: plain(number, 40_000))) == plain(number, 40_000)) }
      await store.close()
    }
  }

  /// What seals the frames of every record that a disk has: the key, unwrapped.
  private func recordKeys(_ folder: String, keys: DataKeyring) throws -> [[UInt8]] {
    var found: [[UInt8]] = []
    for name in try Directory.list(folder + "/segments") {
      guard let bytes = try AtomicFile.read(folder + "/segments/" + name, limit: 1 << 30) else { continue }
      bytes.withUnsafeBytes { bytes in
        for offset in stride(from: 4096, to: bytes.count - RecordLayout.framesStart, by: 64) {
          let head = UnsafeRawBufferPointer(rebasing: bytes[(offset + RecordLayout.localBytes)..<(offset + RecordLayout.framesStart)])
          guard let header = try? RecordHeader(decoding: head), header.sealing == .encrypted, let key = keys.key(header.keyEpoch),
            let unwrapped = try? KeyWrap.unwrap(header.wrappedKey, with: key.exposed)
          else { continue }
          found.append(unwrapped)
        }
      }
    }
    return found
  }

  @Test("no record key is ever used twice: not by two clones of a disk, not after going back to an older state, not after a crash")
  func noRepeats() async throws {
    try await withFolder { folder in
      let ring = Fixtures.ring(1)
      func configuration(_ name: String) -> SegmentStore.Configuration { StoreKind.configuration(folder + "/" + name, keys: ring) }
      func write(_ name: String, _ numbers: Range<Int>, closes: Bool = true) async throws {
        let store = try SegmentStore.open(configuration(name))
        for number in numbers { _ = try await store.append(Fixtures.record(plain(number, 3000), keys: ring)) }
        if closes { await store.close() }
      }
      func clone(_ from: String, _ to: String) async throws {
        let copy = try await ProcessRunner.run("/bin/cp", ["-a", folder + "/" + from, folder + "/" + to])
        try #require(copy.succeeded)
      }
      try Directory.create(folder + "/first")
      try await write("first", 0..<20)
      try await clone("first", "backup")
      try await clone("first", "twin")
      // The same blocks, and others, on both: whatever a counter would have given again, here would be again.
      try await write("first", 20..<40)
      try await write("twin", 20..<50)
      // Back to the older state, and on from there as if nothing had been.
      try await write("backup", 20..<40)
      let keys = try ["first", "twin", "backup"].map { try recordKeys(folder + "/" + $0 + "/disk-1", keys: ring) }
      #expect(keys.map(\.count) == [40, 50, 40])
      let old = Set(keys[0].prefix(20))
      #expect(old.count == 20 && keys.allSatisfy { Set($0.prefix(20)) == old }, "what was cloned is the same")
      let new = keys.flatMap { $0.dropFirst(20) }
      #expect(new.count == 70 && Set(new).count == 70 && old.isDisjoint(with: new))
    }
  }
}
