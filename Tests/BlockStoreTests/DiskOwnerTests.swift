import BlockModel
import BlockStore
import Platform
import Testing

@Suite("Whose disk it is") struct DiskOwnerTests {
  private let ada = NodeID("ada")!
  private let bob = NodeID("bob")!

  private func configuration(_ folder: String, _ owner: NodeID?) -> SegmentStore.Configuration {
    var configuration = StoreKind.configuration(folder, keys: nil)
    configuration.owner = owner
    return configuration
  }

  @Test("a disk is its first node's; another is refused until it adopts it, and then the first is")
  func moves() async throws {
    try await withFolder { folder in
      let store = try SegmentStore.open(configuration(folder, ada))
      let id = try await store.append(Fixtures.record([1, 2, 3], keys: nil)).block.id
      await store.close()
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration(folder, bob)) } == .wrongNode)
      await (try SegmentStore.open(configuration(folder, ada))).close()
      // A tool that does not ask may look at it.
      await (try SegmentStore.open(configuration(folder, nil))).close()

      let adopted = try SegmentStore.adopt(configuration(folder, bob))
      #expect(adopted.disk == store.disk && adopted.before == ada)
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration(folder, ada)) } == .wrongNode)
      let again = try SegmentStore.open(configuration(folder, bob))
      #expect(try await again.bytes(id) == [1, 2, 3])
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.adopt(configuration(folder, ada)) } == .locked)
      await again.close()
    }
  }

  @Test("a disk of an earlier version is claimed; a damaged owner is refused, not guessed, and mended by adopting")
  func damaged() async throws {
    try await withFolder { folder in
      await (try SegmentStore.open(configuration(folder, nil))).close()
      let path = configuration(folder, nil).folder + "/owner"
      #expect(try Directory.attributes(path) == nil)
      await (try SegmentStore.open(configuration(folder, ada))).close()
      let good = try #require(try AtomicFile.read(path, limit: 1000))
      for index in good.indices {
        var bad = good
        bad[index] ^= 1
        try AtomicFile.write(path, bad)
        let code = BlockStoreError.Code.thrown { _ = try SegmentStore.open(configuration(folder, ada)) }
        #expect(code == .malformed || code == .newerFormat, "byte \(index)")
      }
      try AtomicFile.write(path, Array(good.dropLast()))
      #expect(try SegmentStore.adopt(configuration(folder, ada)).before == nil)
      await (try SegmentStore.open(configuration(folder, ada))).close()
      try AtomicFile.write(path, Array("cairn disk owner 2\n".utf8))
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.adopt(configuration(folder, ada)) } == .newerFormat)
    }
  }

  @Test("what is no disk, or another cluster's, is not adopted")
  func refused() async throws {
    try await withFolder { folder in
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.adopt(configuration(folder, ada)) } != nil)
      #expect(try Directory.attributes(folder + "/disk-1/identity") == nil)
      await (try SegmentStore.open(configuration(folder, ada))).close()
      var foreign = configuration(folder, bob)
      foreign.cluster = ClusterID(high: 5, low: 5)
      #expect(BlockStoreError.Code.thrown { _ = try SegmentStore.adopt(foreign) } == .wrongCluster)
    }
  }

  @Test("a disk whose folder goes away while it is open is found out, and shows nothing any more")
  func gone() async throws {
    try await withFolder { folder in
      let store = try SegmentStore.open(configuration(folder, ada))
      let id = try await store.append(Fixtures.record([1, 2, 3], keys: nil)).block.id
      #expect(await store.isPresent())
      try Directory.rename(folder + "/disk-1", to: folder + "/away")
      #expect(await !store.isPresent())
      #expect(store.status(of: id) == nil && !store.health().isThere)
      try Directory.rename(folder + "/away", to: folder + "/disk-1")
      #expect(await !store.isPresent(), "it may have missed anything: only a new start trusts it again")
      await store.close()
      await (try SegmentStore.open(configuration(folder, ada))).close()
    }
  }
}
