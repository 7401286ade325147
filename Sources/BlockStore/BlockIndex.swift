package import BlockModel
internal import Synchronization

/// Which blocks are here and where, in memory. Safe to use from any thread.
///
/// The first 11 bits of an id name one of 2,048 stripes, each a sorted array under a lock of its own, so a partition is a run of
/// consecutive entries and is walked in id order without sorting.
///
/// Memory: an entry takes 46 bytes. A stripe has at most 1/64 of its entries and one page free, on average half of that: at 10 million
/// blocks (4,883 to a stripe) 46 · (1 + 1/128) + 2,048/4,883 + 0.03 for locks = 46.8 bytes a block; at a million 46 · (1 + 1/128) +
/// 4.2 + 0.3 = 50.9, and 8 MiB at least for few. Adding moves half a stripe, 110 KiB at 10 million.
package final class BlockIndex: Sendable {
  private final class Stripe: Sendable {
    let entries = Mutex(IndexStripe())
    deinit { entries.withLock { $0.deallocate() } }
  }

  package struct Totals: Equatable {
    /// Blocks that are shown.
    package var shown = 0
    package var setAside = 0
  }

  static let stripeBits = 11
  package static let stripeCount = 1 << stripeBits

  private let stripes: [Stripe]
  private let epochs = Mutex(EpochTable())
  private let counts = Mutex(Totals())

  package init() { stripes = (0..<BlockIndex.stripeCount).map { _ in Stripe() } }

  package var totals: Totals { counts.withLock { $0 } }

  /// The entry of `id`, set aside or not. `body` runs under the lock that guards it, so that nothing changes the entry meanwhile.
  package func entry(of id: BlockID, whileHeld body: (IndexEntry) -> Void = { _ in }) -> IndexEntry? {
    withStripe(of: id) { stripe in
      guard let found = stripe.find(id) else { return nil }
      let entry = found.load(epoch: epoch)
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
    let old = withStripe(of: entry.id) { stripe -> IndexEntry? in
      if let found = stripe.find(entry.id) {
        let old = found.load(epoch: epoch)
        found.store(entry, epochSlot: slot)
        return old
      }
      stripe.insert(entry, epochSlot: slot)
      return nil
    }
    count(removed: old, added: entry)
    return old
  }

  @discardableResult
  package func remove(_ id: BlockID) -> IndexEntry? {
    let old = withStripe(of: id) { stripe -> IndexEntry? in
      guard let found = stripe.find(id) else { return nil }
      let old = found.load(epoch: epoch)
      stripe.remove(found)
      return old
    }
    count(removed: old, added: nil)
    return old
  }

  /// Raises the GC epoch of a block; lower ones change nothing.
  package func raiseEpoch(of id: BlockID, to epoch: UInt64) throws(BlockStoreError) {
    let slot = try epochSlot(of: epoch)
    withStripe(of: id) { stripe in
      guard let found = stripe.find(id), self.epoch(found.epochSlot) < epoch else { return }
      found.setEpochSlot(slot)
    }
  }

  /// Sets the copy at `location` aside; false when the block lies elsewhere, is not here, or was set aside before.
  package func setAside(_ id: BlockID, at location: RecordLocation) -> Bool {
    let changed = withStripe(of: id) { stripe in
      guard let found = stripe.find(id) else { return false }
      let entry = found.load(epoch: epoch)
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
    let ids = BlockIndex.ids(partition: partition, bits: bits)
    let from = max(ids.lowerBound, after ?? ids.lowerBound)
    guard from <= ids.upperBound else { return }
    for number in BlockIndex.stripe(of: from)...BlockIndex.stripe(of: ids.upperBound) {
      let goesOn = stripes[number].entries.withLock { stripe in
        for index in stripe.firstIndex(notBefore: from)..<stripe.count {
          let entry = stripe[index].load(epoch: epoch)
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
      stripes[number].entries.withLock { stripe in
        for index in stripe.firstIndex(notBefore: ids.lowerBound)..<stripe.count {
          let entry = stripe[index]
          let id = entry.id
          if id > ids.upperBound { break }
          if !entry.isSetAside { sum.add(id) }
        }
      }
    }
    return sum.digest
  }

  /// The entries of one stripe, in id order. All stripes in order are all entries; nothing is held between them.
  package func entries(inStripe number: Int) -> [IndexEntry] {
    stripes[number].entries.withLock { stripe in (0..<stripe.count).map { stripe[$0].load(epoch: epoch) } }
  }

  /// Shows the packed entries of one stripe, in id order, without unpacking them. `body` runs under the stripe's lock.
  func visit(stripe number: Int, _ body: (PackedEntry) -> Void) {
    stripes[number].entries.withLock { stripe in
      for index in 0..<stripe.count { body(stripe[index]) }
    }
  }

  private static func stripe(of id: BlockID) -> Int { Int(id.words.0 >> UInt64(64 - stripeBits)) }

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
