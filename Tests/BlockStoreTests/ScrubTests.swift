import BlockModel
import BlockStore
import Platform
import TestSupport
import Testing

@Suite("The scrub's side of a store") struct ScrubTests {
  private func configuration(_ disk: SimulatedDisk) -> SegmentStore.Configuration {
    var configuration = SegmentStore.Configuration(folder: "/disk-1", cluster: StoreKind.cluster, keys: Fixtures.ring(1))
    configuration.segmentBytes = 256 << 10
    configuration.readThreads = 1
    configuration.fileSystem = disk
    return configuration
  }

  private func plain(_ number: Int, _ count: Int) -> [UInt8] { Fixtures.bytes(count, seed: UInt64(number)) }

  @Test("copies come once each, in the order in which they were written, page by page", arguments: StoreKind.allCases)
  func order(kind: StoreKind) async throws {
    try await kind.withStore { store, keys in
      var ids: [BlockID] = []
      for number in 0..<50 {
        ids.append(try await store.append(Fixtures.record(plain(number, 10 + number * 3000), keys: keys)).block.id)
      }
      let tail = store.tail()
      _ = try await store.delete(ids[7], ifEpochBelow: 9)
      ids.remove(at: 7)
      let late = try await store.append(Fixtures.record(plain(90, 10), keys: keys)).block.id
      var found: [BlockID] = []
      var position = CopyPosition.start
      while true {
        let page = try await store.copies(after: position, before: nil, limit: 7)
        #expect(page.leftCopies == 50 - found.count && page.leftBytes > 0 || page.copies.isEmpty)
        guard let last = page.copies.last else { break }
        found += page.copies.map(\.block)
        position = last.position
      }
      #expect(found == ids + [late])
      let old = try await store.copies(after: .start, before: tail, limit: 100)
      #expect(old.copies.map(\.block) == ids)
      let new = try await store.copies(after: tail.predecessor, before: nil, limit: 100)
      #expect(new.copies.map(\.block) == [late])
    }
  }

  @Test("a copy whose bytes changed is found, set aside, and the rest is valid", arguments: [true, false])
  func rot(small: Bool) async throws {
    let disk = SimulatedDisk(seed: 3)
    let store = try SegmentStore.open(configuration(disk))
    var ids: [BlockID] = []
    for number in 0..<4 {
      ids.append(try await store.append(Fixtures.record(plain(number, small ? 3000 : 40_000), keys: Fixtures.ring(1))).block.id)
    }
    let name = try #require(try disk.list("/disk-1/segments").first)
    let copies = try await store.copies(after: .start, before: nil, limit: 10).copies
    disk.flipBit("/disk-1/segments/" + name, byte: Int(copies[2].position.unit) * 64 + 1000, bit: 3)
    #expect(try await store.check(copies, using: Fixtures.pool()) == [.valid, .valid, .rotten, .valid])
    #expect(store.isSetAside(ids[2]) && !store.isSetAside(ids[1]) && store.status(of: ids[2]) == nil)
    #expect(try await store.check([copies[2]], using: Fixtures.pool()) == [.rotten])
    #expect(try await store.copies(after: .start, before: nil, limit: 10).copies.map(\.block) == [ids[0], ids[1], ids[3]])
    _ = try await store.delete(ids[3], ifEpochBelow: 9)
    #expect(try await store.check([copies[3]], using: Fixtures.pool()) == [.gone])
  }

  @Test("a place that cannot be read is set aside only when other places can; a disk that reads nothing shows nothing any more")
  func unreadable() async throws {
    let disk = SimulatedDisk(seed: 3)
    let store = try SegmentStore.open(configuration(disk))
    var ids: [BlockID] = []
    for number in 0..<3 { ids.append(try await store.append(Fixtures.record(plain(number, 40_000), keys: Fixtures.ring(1))).block.id) }
    let copies = try await store.copies(after: .start, before: nil, limit: 10).copies
    let bad = Int(copies[1].position.unit) * 64
    disk.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [(bad + 8192)..<(bad + 8200)] } }
    #expect(try await store.check(copies, using: Fixtures.pool()) == [.valid, .unreadable, .valid])
    #expect(store.isSetAside(ids[1]) && store.health() == .healthy)
    #expect(try await store.append(Fixtures.record(plain(1, 40_000), keys: Fixtures.ring(1))).wasNew, "the repaired copy takes its place")

    disk.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [0..<(1 << 30)] } }
    #expect(await BlockStoreError.Code.thrown { _ = try await store.check(copies, using: Fixtures.pool()) } == .fenced)
    guard case .failed = store.health() else {
      Issue.record("a disk that reads nothing has failed, and not \(store.health())")
      return
    }
    #expect(store.status(of: ids[0]) == nil && store.digest(ofPartition: 0, bits: 0) == .empty && !store.isSetAside(ids[0]))
    #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(ids[0]) } == .io)
    #expect(await BlockStoreError.Code.thrown { _ = try await store.append(Fixtures.record([1], keys: Fixtures.ring(1))) } == .fenced)
    // Nothing was condemned: when it answers again at the next start, all is there.
    let back = disk.afterCrash(losesPower: true)
    back.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [] } }
    let again = try SegmentStore.open(configuration(back))
    for (number, id) in ids.enumerated() { #expect(try await again.bytes(id) == plain(number, 40_000)) }
  }

  @Test("a client's read finds out that a disk reads nothing any more")
  func readFailure() async throws {
    let disk = SimulatedDisk(seed: 3)
    let store = try SegmentStore.open(configuration(disk))
    let id = try await store.append(Fixtures.record(plain(1, 40_000), keys: Fixtures.ring(1))).block.id
    disk.withState { state in for inode in state.inodes.keys { state.inodes[inode]!.unreadable = [0..<(1 << 30)] } }
    #expect(await BlockStoreError.Code.thrown { _ = try await store.bytes(id) } == .io)
    #expect(store.status(of: id) == nil && store.health() != .healthy)
  }

  @Test("the place that was saved is found again, and a damaged file means none", arguments: StoreKind.allCases)
  func progress(kind: StoreKind) async throws {
    try await kind.withStore { store, _ in
      #expect(await store.loadScrub() == nil)
      var progress = ScrubProgress(fresh: CopyPosition(segment: 7, unit: 99))
      try await store.saveScrub(progress)
      #expect(await store.loadScrub() == progress)
      var pass = ScrubProgress.Pass(started: WallTime(seconds: 1_800_000_000), end: CopyPosition(segment: 4, unit: 5))
      pass.position = CopyPosition(segment: 3, unit: .max)
      (pass.doneCopies, pass.doneBytes) = (12, 1 << 40)
      (progress.pass, progress.isPaused, progress.rottenCopies, progress.unreadableCopies) = (pass, true, 3, 4)
      (progress.lastStarted, progress.lastFinished) = (WallTime(seconds: 5), WallTime(microseconds: 6_000_001))
      try await store.saveScrub(progress)
      #expect(await store.loadScrub() == progress)
    }
  }

  @Test("a scrub file with any byte changed is not believed")
  func damagedProgress() async throws {
    let disk = SimulatedDisk(seed: 3)
    let store = try SegmentStore.open(configuration(disk))
    try await store.saveScrub(ScrubProgress(fresh: CopyPosition(segment: 7, unit: 99)))
    let file = try disk.open("/disk-1/scrub", [.read, .write])
    for byte in 0..<Int(try file.size()) {
      disk.flipBit("/disk-1/scrub", byte: byte, bit: 0)
      #expect(await store.loadScrub() == nil, "byte \(byte)")
      disk.flipBit("/disk-1/scrub", byte: byte, bit: 0)
    }
    #expect(await store.loadScrub() != nil)
  }
}
