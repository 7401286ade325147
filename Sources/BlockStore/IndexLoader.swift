internal import BlockModel

/// Fills an empty index with a checkpoint's rows, which come in id order: no search, no lock and no merging for each.
///
/// `finish` puts the last stripe in; an index whose loader came to an end without it is of no use.
struct IndexLoader: ~Copyable {
  private let index: BlockIndex
  private let slots: [UInt32]
  private let marks: [Mark]
  private var stripe = IndexStripe()
  private var number = 0
  private var totals = BlockIndex.Totals()

  /// - Parameter slots: the slot that a segment has now, by the slot that the rows name it by; `.max` for none.
  init?(_ index: BlockIndex, marks: [Mark], slots: [UInt32]) {
    guard index.load(marks: marks) else { return nil }
    self.index = index
    self.slots = slots
    self.marks = marks
  }

  /// False for a row that no index has written, or that is out of order.
  mutating func add(_ row: UnsafeRawPointer) -> Bool {
    let next = Int(UInt64(bigEndian: row.loadUnaligned(as: UInt64.self)) >> UInt64(64 - BlockIndex.stripeBits))
    if next != number {
      guard next > number else { return false }
      install()
      number = next
    }
    guard stripe.append(row, slots: slots, marks: marks) else { return false }
    let entry = stripe[stripe.count - 1]
    if entry.isSetAside { totals.setAside += 1 } else if entry.isQuarantined { totals.quarantined += 1 } else { totals.shown += 1 }
    return true
  }

  mutating func finish() { install() }

  private mutating func install() {
    stripe.trim()
    index.install(stripe, number: number, totals: totals)
    stripe = IndexStripe()
    totals = BlockIndex.Totals()
  }

  deinit { stripe.deallocate() }
}
