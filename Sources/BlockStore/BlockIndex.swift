package import BlockModel
internal import Synchronization

/// Which blocks are here and where, in memory. Safe to use from any thread.
///
/// The first 10 bits of an id name one of 1,024 stripes, each a sorted array under a lock of its own, so a partition is a run of
/// consecutive entries and is walked in id order without sorting.
///
/// Memory: an entry takes 46 bytes. A stripe has at most 1/128 of its entries and one page free, on average half of that: at 10 million
/// blocks (9,766 to a stripe) 46 · (1 + 1/256) + 2,048/9,766 = 46.4 bytes a block, at two million 47.3; for few blocks 4 MiB at least.
package final class BlockIndex: Sendable {
  private final class Stripe: Sendable {
    let entries = Mutex(IndexStripe())
    deinit { entries.withLock { $0.deallocate() } }
  }

  package struct Totals: Equatable {
    /// Blocks that are shown.
    package var shown = 0
    package var setAside = 0
    package var quarantined = 0

    fileprivate mutating func add(_ entry: IndexEntry, _ count: Int) {
      if entry.isSetAside { setAside += count } else if entry.quarantine != nil { quarantined += count } else { shown += count }
    }
  }

  static let stripeBits = 10
  package static let stripeCount = 1 << stripeBits

  private let stripes: [Stripe]
  private let marks = Mutex(MarkTable())
  private let counts = Mutex(Totals())

  package init() { stripes = (0..<BlockIndex.stripeCount).map { _ in Stripe() } }

  /// Memory that the entries take, in bytes, with what is free in their pages.
  package var memoryBytes: Int { stripes.reduce(0) { sum, stripe in sum + stripe.entries.withLock { $0.mappedBytes } } }

  package var totals: Totals { counts.withLock { $0 } }

  /// The entry of `id`, shown or not. `body` runs under the lock that guards it, so that nothing changes the entry meanwhile.
  package func entry(of id: BlockID, whileHeld body: (IndexEntry) -> Void = { _ in }) -> IndexEntry? {
    withStripe(of: id) { stripe in
      guard let found = stripe.find(id) else { return nil }
      let entry = found.load(mark: mark)
      body(entry)
      return entry
    }
  }

  /// Which of the blocks are shown, in the order asked.
  ///
  /// A look at a place far away waits some 100 ns for memory, and a find has two. Ids are taken so many at a time that memory brings their
  /// places side by side and they stay in the first cache until they are read.
  package func existence(of ids: [BlockID]) -> [Bool] {
    var shown: [Bool] = []
    shown.reserveCapacity(ids.count)
    for start in stride(from: 0, to: ids.count, by: BlockIndex.existenceBatch) {
      let batch = ids[start..<min(ids.count, start + BlockIndex.existenceBatch)]
      for id in batch { withStripe(of: id) { $0.prefetchFirst(id) } }
      for id in batch { withStripe(of: id) { $0.prefetchSecond(id) } }
      for id in batch { shown.append(withStripe(of: id) { $0.find(id)?.isShown ?? false }) }
    }
    return shown
  }

  private static let existenceBatch = 32

  /// Adds the entry, or puts it in place of the one with its id.
  ///
  /// - Returns: the entry that was there before.
  /// - Throws: `.full` when the table of marks is.
  @discardableResult
  package func set(_ entry: IndexEntry) throws(BlockStoreError) -> IndexEntry? {
    let slot = try markSlot(of: Mark(gcEpoch: entry.gcEpoch, quarantine: entry.quarantine))
    let old = withStripe(of: entry.id) { stripe -> IndexEntry? in
      if let found = stripe.find(entry.id) {
        let old = found.load(mark: mark)
        found.store(entry, markSlot: slot)
        return old
      }
      stripe.insert(entry, markSlot: slot)
      return nil
    }
    count(removed: old, added: entry)
    return old
  }

  @discardableResult
  package func remove(_ id: BlockID) -> IndexEntry? {
    let old = withStripe(of: id) { stripe -> IndexEntry? in
      guard let found = stripe.find(id) else { return nil }
      let old = found.load(mark: mark)
      stripe.remove(found)
      return old
    }
    count(removed: old, added: nil)
    return old
  }

  /// Raises the GC epoch of a block; lower ones change nothing.
  package func raiseEpoch(of id: BlockID, to epoch: UInt64) throws(BlockStoreError) {
    try changeMark(of: id) { mark in mark.gcEpoch = max(mark.gcEpoch, epoch) }
  }

  /// Takes a block out of sight, or with nil shows it again.
  package func setQuarantine(of id: BlockID, to quarantine: Quarantine?) throws(BlockStoreError) {
    try changeMark(of: id) { mark in mark.quarantine = quarantine }
  }

  /// Sets the copy at `location` aside; false when the block lies elsewhere, is not here, or was set aside before.
  package func setAside(_ id: BlockID, at location: RecordLocation) -> Bool {
    let before = withStripe(of: id) { stripe -> IndexEntry? in
      guard let found = stripe.find(id), found.location == location, !found.isSetAside else { return nil }
      let entry = found.load(mark: mark)
      found.setSetAside()
      return entry
    }
    guard let before else { return false }
    var after = before
    after.isSetAside = true
    count(removed: before, added: after)
    return true
  }

  /// Walks the entries of one partition in id order, from the one after `after` on, until `body` answers false.
  package func walk(partition: Int, bits: Int, after: BlockID? = nil, _ body: (IndexEntry) -> Bool) {
    let ids = BlockIndex.ids(partition: partition, bits: bits)
    let from = max(ids.lowerBound, after ?? ids.lowerBound)
    guard from <= ids.upperBound else { return }
    for number in BlockIndex.stripe(of: from)...BlockIndex.stripe(of: ids.upperBound) {
      let goesOn = withSettled(number) { stripe in
        for index in stripe.firstIndex(notBefore: from)..<stripe.count {
          let entry = stripe[index].load(mark: mark)
          if entry.id > ids.upperBound { return false }
          if entry.id != after, !body(entry) { return false }
        }
        return true
      }
      if !goesOn { return }
    }
  }

  /// As many ids as a partition has, without unpacking the rest.
  package func digest(partition: Int, bits: Int) -> PartitionDigest {
    let ids = BlockIndex.ids(partition: partition, bits: bits)
    var sum = IDSum()
    for number in BlockIndex.stripe(of: ids.lowerBound)...BlockIndex.stripe(of: ids.upperBound) {
      withSettled(number) { stripe in
        for index in stripe.firstIndex(notBefore: ids.lowerBound)..<stripe.count {
          let entry = stripe[index]
          let id = entry.id
          if id > ids.upperBound { break }
          if entry.isShown { sum.add(id) }
        }
      }
    }
    return sum.digest
  }

  /// The entries of one stripe, in id order. All stripes in order are all entries; nothing is held between them.
  package func entries(inStripe number: Int) -> [IndexEntry] {
    withSettled(number) { stripe in (0..<stripe.count).map { stripe[$0].load(mark: mark) } }
  }

  /// Shows the packed entries of one stripe, in id order, without unpacking them. `body` runs under the stripe's lock.
  func visit(stripe number: Int, _ body: (PackedEntry) -> Void) {
    withSettled(number) { stripe in
      for index in 0..<stripe.count { body(stripe[index]) }
    }
  }

  /// The checkpoint rows of one stripe's entries at places that are wanted, in id order.
  func rows(inStripe number: Int, where isWanted: (RecordLocation) -> Bool) -> CheckpointRows {
    withSettled(number) { stripe in
      var rows = CheckpointRows(capacity: stripe.count)
      for index in 0..<stripe.count where isWanted(stripe[index].location) { rows.add(stripe[index]) }
      return rows
    }
  }

  /// Removes the entries at places that are not there any more.
  func removeAll(where isGone: (RecordLocation) -> Bool) {
    for number in stripes.indices {
      let gone = withSettled(number) { stripe in
        (0..<stripe.count).filter { isGone(stripe[$0].location) }.map { stripe[$0].id }
      }
      for id in gone { remove(id) }
    }
  }

  /// What the entries take in each segment, by slot.
  func usage(segmentCount: Int) -> [SegmentUsage] {
    var usage = Array(repeating: SegmentUsage(), count: segmentCount)
    for stripe in stripes {
      stripe.entries.withLock { stripe in
        for index in 0..<stripe.count { usage[Int(stripe[index].location.slot)].add(recordBytes: stripe[index].recordBytes) }
      }
    }
    return usage
  }

  /// The marks by slot. Entries that are read before this is called have their marks in it.
  var markValues: [Mark] { marks.withLock { $0.values } }

  /// Begins to fill an index that has no entries with the rows of a checkpoint; nil when there are too many marks.
  func load(marks values: [Mark]) -> Bool {
    guard let table = MarkTable(values) else { return false }
    marks.withLock { $0 = table }
    return true
  }

  /// Puts a stripe in that was filled apart.
  func install(_ stripe: IndexStripe, number: Int, totals: Totals) {
    stripes[number].entries.withLock { entries in
      entries.deallocate()
      entries = stripe
    }
    counts.withLock { counts in
      counts.shown += totals.shown
      counts.setAside += totals.setAside
      counts.quarantined += totals.quarantined
    }
  }

  static func stripe(of id: BlockID) -> Int { Int(id.words.0 >> UInt64(64 - stripeBits)) }

  /// From the first id that a partition may have to the last.
  private static func ids(partition: Int, bits: Int) -> ClosedRange<BlockID> {
    precondition((0...32).contains(bits) && partition >= 0 && partition < 1 << bits, "a partition lies in the hash space")
    let first = bits == 0 ? 0 : UInt64(partition) << UInt64(64 - bits)
    let last = bits == 0 ? UInt64.max : first + (UInt64.max >> UInt64(bits))
    return BlockID(words: (first, 0, 0, 0))...BlockID(words: (last, .max, .max, .max))
  }

  private func withStripe<R>(of id: BlockID, _ body: (inout IndexStripe) -> R) -> R {
    stripes[BlockIndex.stripe(of: id)].entries.withLock { body(&$0) }
  }

  private func withSettled<R>(_ number: Int, _ body: (IndexStripe) -> R) -> R {
    stripes[number].entries.withLock { stripe in
      stripe.settle()
      return body(stripe)
    }
  }

  private func mark(_ slot: UInt32) -> Mark { marks.withLock { $0[slot] } }

  private func markSlot(of mark: Mark) throws(BlockStoreError) -> UInt32 {
    guard let slot = marks.withLock({ $0.slot(of: mark) }) else {
      throw BlockStoreError(.full, "The index holds too many different GC epochs; restart the node.")
    }
    return slot
  }

  private func changeMark(of id: BlockID, _ change: (inout Mark) -> Void) throws(BlockStoreError) {
    let result = withStripe(of: id) { stripe in
      Result { () throws(BlockStoreError) -> (IndexEntry, IndexEntry)? in
        guard let found = stripe.find(id) else { return nil }
        let before = found.load(mark: self.mark)
        var mark = Mark(gcEpoch: before.gcEpoch, quarantine: before.quarantine)
        change(&mark)
        found.setMark(try markSlot(of: mark), isQuarantined: mark.quarantine != nil)
        var after = before
        after.quarantine = mark.quarantine
        return (before, after)
      }
    }
    if let (before, after) = try result.get() { count(removed: before, added: after) }
  }

  private func count(removed: IndexEntry?, added: IndexEntry?) {
    guard removed != nil || added != nil else { return }
    counts.withLock { totals in
      if let removed { totals.add(removed, -1) }
      if let added { totals.add(added, 1) }
    }
  }
}

/// A running sum over ids, without an array's checks at every step.
private struct IDSum {
  var count = 0
  var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  mutating func add(_ id: BlockID) {
    count += 1
    words.0 &+= id.words.0
    words.1 &+= id.words.1
    words.2 &+= id.words.2
    words.3 &+= id.words.3
  }

  var digest: PartitionDigest { PartitionDigest(count: count, words: [words.0, words.1, words.2, words.3]) }
}
