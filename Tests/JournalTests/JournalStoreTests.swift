import BlockModel
import ClusterLogic
import Journal
import Platform
import Simulator
import TestSupport
import Testing

@Suite("A node's journal")
struct JournalStoreTests {
  private func store(_ disk: SimulatedDisk, limit: Int64 = 1 << 30) throws -> JournalStore {
    try JournalStore(fileSystem: disk, folder: "/journal", limitBytes: limit)
  }

  @Test("what append returned from is there after power loss, in order, whatever was under way")
  func durable() throws {
    var random = Seeds.random()
    for _ in 0..<40 {
      let disk = SimulatedDisk(seed: random.next())
      var chain = Chain(.test(1))
      var kept: [JournalRecord] = []
      let first = try store(disk)
      for _ in 0..<Int.random(in: 1...20, using: &random) {
        let batch = (0..<Int.random(in: 1...5, using: &random)).map { _ in
          chain.next([UInt8](repeating: 9, count: Int.random(in: 0...9000, using: &random)))
        }
        try first.append(batch, term: chain.term)
        kept += batch
      }
      // One that is torn: its sync fails.
      disk.setFaults { $0.syncsUntilFailure = 0 }
      #expect(throws: JournalError.self) { try first.append(chain.next(3), term: chain.term) }
      disk.switchOff()
      let after = try store(disk.afterCrash(losesPower: true, seed: random.next()))
      let found = try after.records()
      #expect(found.count >= kept.count)
      #expect(Array(found.prefix(kept.count)) == kept)
      #expect(after.status().promised == chain.term)
      let newest = try #require(after.status().newest)
      #expect(newest.sequence >= kept[kept.count - 1].sequence)
    }
  }

  @Test("it says how long ago its writer spoke, and nobody else's words count")
  func quiet() throws {
    let time = ManualTime()
    let disk = SimulatedDisk(seed: 3)
    let store = try JournalStore(fileSystem: disk, folder: "/journal", time: time)
    #expect(store.status().quietMilliseconds == nil)
    try store.promise(.test(2))
    time.advance(by: .seconds(3))
    #expect(store.status().quietMilliseconds == 3000)
    #expect(throws: JournalError.self) { try store.append([], term: .test(1)) }
    #expect(store.status().quietMilliseconds == 3000)
    try store.append([], term: .test(2))
    #expect(store.status().quietMilliseconds == 0)
    #expect(try JournalStore(fileSystem: disk, folder: "/journal", time: time).status().quietMilliseconds == nil)
  }

  @Test("after a failed sync nothing is taken, and what was durable is served")
  func failedSync() throws {
    let disk = SimulatedDisk(seed: 1)
    let store = try store(disk)
    var chain = Chain(.test(1))
    let kept = chain.next(3)
    try store.append(kept, term: chain.term)
    disk.setFaults { $0.syncsUntilFailure = 0 }
    #expect(throws: JournalError.self) { try store.append(chain.next(1), term: chain.term) }
    disk.setFaults { $0.syncsUntilFailure = nil }
    #expect(throws: JournalError.self) { try store.append(chain.next(1), term: chain.term) }
    #expect(Array(try store.records().prefix(3)) == kept)
  }

  @Test("a full disk refuses, keeps what it has, and takes more when there is room again")
  func fullDisk() throws {
    let disk = SimulatedDisk(seed: 2)
    let store = try store(disk)
    var chain = Chain(.test(1))
    let kept = chain.next(2)
    try store.append(kept, term: chain.term)
    let used = disk.usedBytes
    disk.setFaults { $0.capacityBytes = used + 4096 }
    let large = chain.next([UInt8](repeating: 5, count: 100_000))
    #expect { try store.append([large], term: chain.term) } throws: { ($0 as? JournalError)?.code == .full }
    disk.setFaults { $0.capacityBytes = .max }
    try store.append([large], term: chain.term)
    #expect(try store.records() == kept + [large])
  }

  @Test("what the journal may take is bounded")
  func bounded() throws {
    let store = try store(SimulatedDisk(seed: 3), limit: 2000)
    var chain = Chain(.test(1))
    try store.append(chain.next(2), term: chain.term)
    let large = chain.next([UInt8](repeating: 0, count: 3000))
    #expect { try store.append([large], term: chain.term) } throws: { ($0 as? JournalError)?.code == .full }
  }

  @Test("an earlier term, and another writer of the same generation, are refused, also after a restart")
  func fencing() throws {
    let disk = SimulatedDisk(seed: 4)
    var chain = Chain(.test(5))
    try store(disk).promise(.test(5))
    let after = try store(disk.afterCrash(losesPower: true, seed: 9))
    var old = Chain(.test(4))
    for refused in [
      { try after.promise(.test(4)) }, { try after.append(old.next(1), term: .test(4)) }, { try after.promise(.test(5, writer: 8)) },
      { try after.cut(through: 1, term: .test(4)) },
      {
        try after.addSnapshot(
          JournalPosition(term: .test(1), sequence: 1, hash: .zero), offset: 0, bytes: [1], isLast: true, term: .test(4))
      },
    ] as [() throws -> Void] {
      #expect { try refused() } throws: { ($0 as? JournalError)?.code == .fenced }
    }
    try after.append(chain.next(1), term: .test(5))
    try after.append([], term: .test(5, attempt: 1))
    try after.promise(.test(6, writer: 1))
  }

  @Test("records that come twice are kept once, and those of another history beside the first")
  func historiesSideBySide() throws {
    let store = try store(SimulatedDisk(seed: 5))
    var chain = Chain(.test(1))
    let first = chain.next(3)
    try store.append(first, term: chain.term)
    try store.append(Array(first[1...]), term: chain.term)
    #expect(try store.records() == first)
    // The coordinator's commit of record 3 failed: it gave the number again.
    let other = JournalRecord(term: .test(1, attempt: 1), sequence: 3, previous: first[1].hash, payload: [7])
    try store.append([other], term: other.term)
    #expect(try store.records() == first + [other])
    #expect(store.status().newest?.hash == other.hash)
    // One that was away starts anywhere.
    let far = JournalRecord(term: .test(2), sequence: 90, previous: other.hash, payload: [8])
    try store.append([far], term: far.term)
    #expect(try store.records() == first + [other, far])
  }

  @Test("records that do not follow on each other, or are of a later term than their message, are refused")
  func malformed() throws {
    let store = try store(SimulatedDisk(seed: 6))
    var chain = Chain(.test(3))
    let records = chain.next(3)
    #expect(throws: JournalError.self) { try store.append([records[0], records[2]], term: .test(3)) }
    #expect(throws: JournalError.self) { try store.append(records, term: .test(2)) }
    #expect(try store.records().isEmpty)
  }

  @Test("a snapshot is whole or not there, and cutting drops what it makes needless and nothing else")
  func snapshots() throws {
    let disk = SimulatedDisk(seed: 7)
    let store = try store(disk)
    var chain = Chain(.test(1))
    let old = chain.next(4)
    try store.append(old, term: chain.term)
    let position = JournalPosition(term: chain.term, sequence: 4, hash: old[3].hash)
    let halves: [[UInt8]] = [[1, 2, 3], [4, 5]]
    try store.addSnapshot(position, offset: 0, bytes: halves[0], isLast: false, term: chain.term)
    #expect(throws: JournalError.self) {
      try store.addSnapshot(position, offset: 7, bytes: halves[1], isLast: true, term: chain.term)
    }
    #expect(store.status().files?.contains { $0.isSnapshot } == false)
    try store.addSnapshot(position, offset: 3, bytes: halves[1], isLast: true, term: chain.term)
    let new = JournalRecord(term: .test(1, attempt: 1), sequence: 5, previous: old[3].hash, payload: [1])
    try store.append([new], term: new.term)
    let late = JournalRecord(term: .test(1, attempt: 1), sequence: 9, previous: .zero, payload: [1])
    try store.append([late], term: new.term)
    try store.cut(through: 5, term: new.term)
    #expect(try store.records() == [late])
    let after = try self.store(disk.afterCrash(losesPower: true, seed: 3))
    #expect(try after.records() == [late])
    // A snapshot of 4 is older than what was cut through.
    #expect(after.status().files?.contains { $0.isSnapshot } == false)
  }

  @Test("a snapshot survives power loss once its last part was taken")
  func durableSnapshot() throws {
    let disk = SimulatedDisk(seed: 8)
    let position = JournalPosition(term: .test(1), sequence: 4, hash: .zero)
    let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0) }
    let first = try store(disk)
    try first.addSnapshot(position, offset: 0, bytes: bytes, isLast: true, term: .test(1))
    try first.addSnapshot(
      JournalPosition(term: .test(1), sequence: 9, hash: .zero), offset: 0, bytes: [1], isLast: false, term: .test(1))
    disk.switchOff()
    let after = try store(disk.afterCrash(losesPower: true, seed: 3))
    let file = try #require(after.status().files?.first)
    #expect(after.status().files?.count == 1)
    #expect(try after.read(file.name, offset: 0, limit: 1 << 20) == bytes)
    try after.cut(through: 4, term: .test(1))
    #expect(after.status().files?.count == 1, "the snapshot of what was cut through stays")
  }

  @Test("a promise that is damaged is not taken for none")
  func damagedPromise() throws {
    let disk = SimulatedDisk(seed: 10)
    try store(disk).promise(.test(9))
    _ = disk.flipBit("/journal/promise", byte: 2, bit: 1)
    let after = disk.afterCrash(losesPower: true, seed: 1)
    #expect { _ = try store(after) } throws: { ($0 as? JournalError)?.code == .malformed }
  }
}
