import BlockModel
import BlockStore
import Platform
import Testing

@Suite struct BlockIndexTests {
  private static func entry(_ id: BlockID, _ random: inout SeededRandom) -> IndexEntry {
    let plain = Int(random.next() % UInt64(Limits.blockBytes + 1))
    let compressed = plain > 1 && random.next() % 2 == 0
    return IndexEntry(
      id: id,
      location: RecordLocation(
        slot: UInt32(random.next() % UInt64(RecordLocation.slotLimit)), unit: UInt32(random.next() % (1 << UInt64(RecordLocation.unitBits)))
      ),
      plainBytes: plain, storedBytes: compressed ? 1 + Int(random.next() % UInt64(plain - 1)) : plain,
      encoding: compressed ? .zstd : .plain,
      isSetAside: random.next() % 8 == 0, gcEpoch: random.next() % 3 == 0 ? random.next() : random.next() % 50)
  }

  /// Ids that crowd into few stripes, as well as uniform ones.
  private static func ids(_ count: Int, _ random: inout SeededRandom) -> [BlockID] {
    (0..<count).map { number in
      let first = number % 3 == 0 ? 0x1234_0000_0000_0000 | random.next() % 5 : random.next()
      return BlockID(words: (first, random.next() % 3, random.next(), random.next()))
    }
  }

  @Test("the index does what a dictionary does, and lists in id order", arguments: 1...6 as ClosedRange<UInt64>)
  func model(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let index = BlockIndex()
    var model: [BlockID: IndexEntry] = [:]
    let ids = Self.ids(400, &random)
    for _ in 0..<6000 {
      let id = ids[Int(random.next() % 400)]
      switch random.next() % 6 {
      case 0, 1, 2:
        let entry = Self.entry(id, &random)
        #expect(try index.set(entry) == model.updateValue(entry, forKey: id))
      case 3: #expect(index.remove(id) == model.removeValue(forKey: id))
      case 4:
        let epoch = random.next() % 100
        try index.raiseEpoch(of: id, to: epoch)
        if let known = model[id] { model[id]?.gcEpoch = max(known.gcEpoch, epoch) }
      default:
        let location = random.next() % 2 == 0 ? model[id]?.location ?? RecordLocation(slot: 0, unit: 0) : RecordLocation(slot: 0, unit: 1)
        let expected = model[id].map { $0.location == location && !$0.isSetAside } ?? false
        #expect(index.setAside(id, at: location) == expected)
        if expected { model[id]?.isSetAside = true }
      }
      #expect(index.entry(of: id) == model[id])
    }
    let sorted = model.values.sorted { $0.id < $1.id }
    #expect((0..<BlockIndex.stripeCount).flatMap { index.entries(inStripe: $0) } == sorted)
    #expect(index.totals.shown == sorted.count { !$0.isSetAside } && index.totals.setAside == sorted.count { $0.isSetAside })
    for bits in [0, 1, 7, 16, 17, 20, 32] {
      let partition = ids[Int(random.next() % 400)].partition(bits: bits)
      let expected = sorted.filter { $0.id.partition(bits: bits) == partition }
      var walked: [IndexEntry] = []
      index.walk(partition: partition, bits: bits) { entry in
        walked.append(entry)
        return true
      }
      #expect(walked == expected, "\(bits) bits, seed \(seed)")
      if let middle = expected.dropFirst(expected.count / 2).first {
        var rest: [IndexEntry] = []
        index.walk(partition: partition, bits: bits, after: middle.id) { entry in
          rest.append(entry)
          return rest.count < 3
        }
        #expect(rest == Array(expected.drop { $0.id <= middle.id }.prefix(3)))
      }
      var digest = PartitionDigest.empty
      for entry in expected where !entry.isSetAside { digest.add(entry.id) }
      #expect(index.digest(partition: partition, bits: bits) == digest)
    }
  }

  @Test("an entry keeps its widest values")
  func widest() throws {
    let index = BlockIndex()
    let entry = IndexEntry(
      id: BlockID(words: (.max, .max, .max, .max)),
      location: RecordLocation(slot: UInt32(RecordLocation.slotLimit - 1), unit: 1 << UInt32(RecordLocation.unitBits) - 1),
      plainBytes: Limits.blockBytes, storedBytes: Limits.blockBytes - 1, encoding: .zstd, isSetAside: true, gcEpoch: .max)
    try index.set(entry)
    #expect(index.entry(of: entry.id) == entry)
  }

  @Test("two million blocks take at most 48 bytes of memory each, and most of it comes back when most of them go")
  func memory() throws {
    let count = 2_000_000
    var random = SeededRandom(seed: 9)
    let index = BlockIndex()
    var ids: [BlockID] = []
    for number in 0..<count {
      let id = BlockID(words: (random.next(), random.next(), random.next(), random.next()))
      ids.append(id)
      try index.set(
        IndexEntry(
          id: id, location: RecordLocation(slot: 1, unit: UInt32(number % 1000)), plainBytes: 4096, storedBytes: 4096, encoding: .plain,
          gcEpoch: 3))
    }
    #expect(index.totals.shown == count)
    let full = index.memoryBytes
    #expect(Double(full) / Double(count) <= 48, "\(full) bytes")
    for id in ids.prefix(count * 3 / 4) { index.remove(id) }
    #expect(index.totals.shown == count / 4 && index.memoryBytes <= full * 6 / 10, "\(index.memoryBytes) of \(full) bytes")
  }
}
