package import BlockModel
internal import Synchronization

/// Which blocks are here and where, in memory. Safe to use from any thread.
///
/// The first 16 bits of an id name one of 65,536 buckets; a bucket holds its entries in id order, so a partition is a range of buckets
/// and is walked in order without sorting. 256 locks, one for the buckets of each first byte.
///
/// Memory: an entry takes 44 bytes and a bucket 16. A bucket grows by a sixteenth, at least one entry, so at 10 million blocks
/// (153 to a bucket) on average 4 of 157 places are free and the allocator rounds up by 8 bytes and keeps 8:
/// 44 · 157/153 + (16 + 16)/153 = 45.4 bytes a block; at a million 44 · 15.8/15.3 + 32/15.3 = 47.5.
/// Finding takes a binary search in one bucket; a client that makes up ids with equal beginnings (2^16 hashes for each) only makes
/// one bucket larger, which costs a longer `memmove` when something is added to it.
package final class BlockIndex: Sendable {
  /// The buckets of one first byte.
  private final class Stripe: Sendable {
    let buckets: Mutex<[IndexBucket]>
    init() { buckets = Mutex(Array(repeating: IndexBucket(), count: BlockIndex.bucketsPerStripe)) }
    deinit { buckets.withLock { buckets in for bucket in buckets { bucket.deallocate() } } }
  }

  package struct Totals: Equatable {
    /// Blocks that are shown.
    package var shown = 0
    package var setAside = 0
  }

  static let stripeCount = 256
  static let bucketsPerStripe = 256
  package static let bucketCount = stripeCount * bucketsPerStripe

  private let stripes: [Stripe]
  private let epochs = Mutex(EpochTable())
  private let counts = Mutex(Totals())

  package init() { stripes = (0..<BlockIndex.stripeCount).map { _ in Stripe() } }

  package var totals: Totals { counts.withLock { $0 } }

  /// The entry of `id`, set aside or not. `body` runs under the lock that guards it, so that nothing changes the entry meanwhile.
  package func entry(of id: BlockID, whileHeld body: (IndexEntry) -> Void = { _ in }) -> IndexEntry? {
    withBucket(of: id) { bucket, number in
      guard let found = bucket.find(id) else { return nil }
      let entry = found.load(bucket: number, epoch: epoch)
      body(entry)
      return entry
    }
  }

  /// Adds the entry, or puts it in place of the one with its id.
  ///
  /// - Returns: the entry that was there before.
  /// - Throws: `.full` when the table of GC epochs is.
  @discardableResult
  package func set(_ entry: IndexEntry) throws(BlockStoreError) -> IndexEntry? {
    let slot = try epochSlot(of: entry.gcEpoch)
    let old = withBucket(of: entry.id) { bucket, number -> IndexEntry? in
      if let found = bucket.find(entry.id) {
        let old = found.load(bucket: number, epoch: epoch)
        found.store(entry, epochSlot: slot)
        return old
      }
      bucket.insert(entry, epochSlot: slot)
      return nil
    }
    count(removed: old, added: entry)
    return old
  }

  @discardableResult
  package func remove(_ id: BlockID) -> IndexEntry? {
    let old = withBucket(of: id) { bucket, number -> IndexEntry? in
      guard let found = bucket.find(id) else { return nil }
      let old = found.load(bucket: number, epoch: epoch)
      bucket.remove(found)
      return old
    }
    count(removed: old, added: nil)
    return old
  }

  /// Raises the GC epoch of a block; lower ones change nothing.
  package func raiseEpoch(of id: BlockID, to epoch: UInt64) throws(BlockStoreError) {
    let slot = try epochSlot(of: epoch)
    withBucket(of: id) { bucket, _ in
      guard let found = bucket.find(id), self.epoch(found.epochSlot) < epoch else { return }
      found.setEpochSlot(slot)
    }
  }

  /// Sets the copy at `location` aside; false when the block lies elsewhere, is not here, or was set aside before.
  package func setAside(_ id: BlockID, at location: RecordLocation) -> Bool {
    let changed = withBucket(of: id) { bucket, number in
      guard let found = bucket.find(id) else { return false }
      let entry = found.load(bucket: number, epoch: epoch)
      guard entry.location == location, !entry.isSetAside else { return false }
      found.setSetAside()
      return true
    }
    if changed {
      counts.withLock { totals in
        totals.shown -= 1
        totals.setAside += 1
      }
    }
    return changed
  }

  /// Walks the entries of one partition in id order, from the one after `after` on, until `body` answers false.
  package func walk(partition: Int, bits: Int, after: BlockID? = nil, _ body: (IndexEntry) -> Bool) {
    precondition((0...32).contains(bits) && partition >= 0 && partition < 1 << bits, "a partition lies in the hash space")
    let first = bits == 0 ? 0 : UInt64(partition) << UInt64(64 - bits)
    let last = bits == 0 ? UInt64.max : first + (UInt64.max >> UInt64(bits))
    let start = max(first, after?.words.0 ?? 0)
    guard start <= last else { return }
    let from = max(BlockID(words: (first, 0, 0, 0)), after ?? BlockID(words: (0, 0, 0, 0)))
    for number in Int(start >> 48)...Int(last >> 48) {
      let goesOn = stripes[number >> 8].buckets.withLock { buckets in
        let bucket = buckets[number & 255]
        for index in bucket.firstIndex(notBefore: from, number: number)..<bucket.count {
          let entry = bucket[index].load(bucket: number, epoch: epoch)
          if entry.id.words.0 > last { return false }
          if let after, entry.id <= after { continue }
          if !body(entry) { return false }
        }
        return true
      }
      if !goesOn { return }
    }
  }

  /// Ids alone, without unpacking the rest: what digests are made of.
  package func digest(partition: Int, bits: Int) -> PartitionDigest {
    precondition((0...32).contains(bits) && partition >= 0 && partition < 1 << bits, "a partition lies in the hash space")
    let first = bits == 0 ? 0 : UInt64(partition) << UInt64(64 - bits)
    let last = bits == 0 ? UInt64.max : first + (UInt64.max >> UInt64(bits))
    let from = BlockID(words: (first, 0, 0, 0))
    var sum = IDSum()
    for number in Int(first >> 48)...Int(last >> 48) {
      stripes[number >> 8].buckets.withLock { buckets in
        let bucket = buckets[number & 255]
        for index in bucket.firstIndex(notBefore: from, number: number)..<bucket.count {
          let entry = bucket[index]
          let id = entry.id(bucket: number)
          if id.words.0 > last { break }
          if !entry.isSetAside { sum.add(id) }
        }
      }
    }
    return sum.digest
  }

  /// The entries of one bucket, in id order. All buckets in order are all entries; nothing is held between them.
  package func entries(inBucket number: Int) -> [IndexEntry] {
    stripes[number >> 8].buckets.withLock { buckets in
      let bucket = buckets[number & 255]
      return (0..<bucket.count).map { bucket[$0].load(bucket: number, epoch: epoch) }
    }
  }

  private func withBucket<R>(of id: BlockID, _ body: (inout IndexBucket, Int) -> R) -> R {
    let number = Int(id.words.0 >> 48)
    return stripes[number >> 8].buckets.withLock { body(&$0[number & 255], number) }
  }

  private func epoch(_ slot: UInt32) -> UInt64 { epochs.withLock { $0[slot] } }

  private func epochSlot(of epoch: UInt64) throws(BlockStoreError) -> UInt32 {
    guard let slot = epochs.withLock({ $0.slot(of: epoch) }) else {
      throw BlockStoreError(.full, "The index holds too many different GC epochs; restart the node.")
    }
    return slot
  }

  private func count(removed: IndexEntry?, added: IndexEntry?) {
    guard removed != nil || added != nil else { return }
    counts.withLock { totals in
      if let removed { if removed.isSetAside { totals.setAside -= 1 } else { totals.shown -= 1 } }
      if let added { if added.isSetAside { totals.setAside += 1 } else { totals.shown += 1 } }
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
