internal import BlockModel

/// What the block store promises, without its bytes: what is acknowledged is durable, what is not may be there or not after a power
/// failure, and each change comes after those before it.
///
/// The block store itself is held to the same promises over simulated disks by `StoreRun`.
struct StoredCopy: Equatable {
  var gcEpoch: UInt64
  var isRotten = false
  /// Deleted, and kept until its hold is over.
  var quarantinedAt: MonotonicTime?
}

final class SimulatedStore {
  enum Change {
    case put(BlockID, gcEpoch: UInt64)
    /// Only a copy of an epoch below this one.
    case quarantine(BlockID, below: UInt64, at: MonotonicTime)
    case remove(BlockID)
    /// Only a copy that is still held as deleted.
    case purge(BlockID)
    /// A bad copy is not served any more, and the disk remembers it.
    case setAside(BlockID)
  }

  private struct Pending {
    var change: Change
    var number: Int
  }

  let disk: DiskID
  /// What is on the disk, which is all that the process shows: a block is served and acknowledged after its sync.
  private(set) var copies: [BlockID: StoredCopy] = [:]
  /// Blocks whose bad copy was set aside and not replaced since.
  private(set) var setAside: Set<BlockID> = []
  private var pending: [Pending] = []
  private var nextNumber = 0
  private var syncedAt = MonotonicTime.zero
  var isSlow = false

  init(disk: DiskID) { self.disk = disk }

  /// Whether the process serves the block.
  func holds(_ block: BlockID) -> Bool { copies[block].map { $0.quarantinedAt == nil } ?? false }

  /// A whole copy is served from here.
  func isSafe(_ block: BlockID) -> Bool { copies[block].map { !$0.isRotten && $0.quarantinedAt == nil } ?? false }

  /// The held blocks of a partition, sorted.
  func blocks(inPartition partition: Int, bits: Int) -> [BlockID] {
    copies.filter { $0.key.partition(bits: bits) == partition && $0.value.quarantinedAt == nil }.keys.sorted()
  }

  // MARK: Changes

  /// Begins a change. Answers its number and when it will be durable.
  func make(_ change: Change, now: MonotonicTime, _ random: inout SeededRandom) -> (number: Int, at: MonotonicTime) {
    pending.append(Pending(change: change, number: nextNumber))
    nextNumber += 1
    let sync = Duration.microseconds(Int64(500 + random.next() % (isSlow ? 2_000_000 : 15_000)))
    syncedAt = max(syncedAt, now + sync)
    return (nextNumber - 1, syncedAt)
  }

  /// All changes up to this one are on the disk.
  func sync(through number: Int) {
    let done = pending.prefix { $0.number <= number }
    for item in done { apply(item.change) }
    pending.removeFirst(done.count)
  }

  /// The process ended. What it wrote is in the page cache, or with the power gone, partly lost.
  func crash(losingPower: Bool, _ random: inout SeededRandom) {
    for item in pending where !losingPower || random.next() % 2 == 0 { apply(item.change) }
    pending = []
    syncedAt = .zero
  }

  private func apply(_ change: Change) {
    switch change {
    case .put(let block, let epoch):
      // A copy that is here stays as it is, gets the epoch, and comes back from quarantine.
      var copy = copies[block] ?? StoredCopy(gcEpoch: epoch)
      copy.gcEpoch = max(copy.gcEpoch, epoch)
      copy.quarantinedAt = nil
      copies[block] = copy
      setAside.remove(block)
    case .quarantine(let block, let epoch, let time):
      // The epoch is looked at once more with the change: a newer upload may have come in between.
      guard let copy = copies[block], copy.gcEpoch < epoch, copy.quarantinedAt == nil else { return }
      copies[block]?.quarantinedAt = time
    case .remove(let block): copies[block] = nil
    case .purge(let block):
      if copies[block]?.quarantinedAt != nil { copies[block] = nil }
    case .setAside(let block):
      // The bad record itself: what was stored in its place meanwhile stays.
      guard copies[block]?.isRotten == true else { return }
      copies[block] = nil
      setAside.insert(block)
    }
  }

  // MARK: Damage

  /// Flips bits of a copy where they lie.
  func rot(_ block: BlockID) { copies[block]?.isRotten = true }
}
