/// Finds places in an array by the hash of what is there: open addressing with linear probing, at most three quarters full.
///
/// It holds eight bytes a bucket whatever the things are, which is what trees of hundreds of thousands of files are made for.
struct SlotIndex: Sendable {
  private struct Bucket {
    /// `.max` where nothing is.
    var slot: UInt32
    var hash: UInt32
    static let empty = Bucket(slot: .max, hash: 0)
  }

  private var buckets: [Bucket] = []
  private(set) var count = 0

  private var mask: Int { buckets.count - 1 }

  static func hash(_ thing: some Hashable) -> UInt32 { hash(thing, 0) }
  static func hash(_ thing: some Hashable, _ other: some Hashable) -> UInt32 {
    var hasher = Hasher()
    hasher.combine(thing)
    hasher.combine(other)
    return UInt32(truncatingIfNeeded: hasher.finalize())
  }

  /// The first slot under this hash that is meant.
  func slot(_ hash: UInt32, where isMeant: (Int) -> Bool) -> Int? {
    bucket(hash, where: isMeant).map { Int(buckets[$0].slot) }
  }

  private func bucket(_ hash: UInt32, where isMeant: (Int) -> Bool) -> Int? {
    guard count > 0 else { return nil }
    var place = Int(hash) & mask
    while buckets[place].slot != .max {
      if buckets[place].hash == hash, isMeant(Int(buckets[place].slot)) { return place }
      place = (place + 1) & mask
    }
    return nil
  }

  mutating func insert(_ slot: Int, _ hash: UInt32) {
    if (count + 1) * 4 > buckets.count * 3 { grow() }
    place(Bucket(slot: UInt32(slot), hash: hash))
    count += 1
  }

  private mutating func place(_ bucket: Bucket) {
    var place = Int(bucket.hash) & mask
    while buckets[place].slot != .max { place = (place + 1) & mask }
    buckets[place] = bucket
  }

  private mutating func grow() {
    let old = buckets
    buckets = Array(repeating: .empty, count: max(16, old.count * 2))
    for bucket in old where bucket.slot != .max { place(bucket) }
  }

  /// Takes a slot out that is there, and moves what probed past it.
  mutating func remove(_ slot: Int, _ hash: UInt32) {
    guard var hole = bucket(hash, where: { $0 == slot }) else { return }
    count -= 1
    var next = (hole + 1) & mask
    while buckets[next].slot != .max {
      let home = Int(buckets[next].hash) & mask
      // It may move to the hole when that is not before its home, going round.
      if (next - home) & mask >= (next - hole) & mask {
        buckets[hole] = buckets[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    buckets[hole] = .empty
  }
}
