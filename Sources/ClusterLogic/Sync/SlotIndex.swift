internal import BlockModel

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

  /// Of two words: the finaliser of SplitMix64, whose every input bit reaches every output bit (Steele, Lea and Flood, "Fast splittable
  /// pseudorandom number generators", 2014). Ids are random and inodes are not chosen by whoever makes files, so it need not be keyed.
  static func hash(_ word: UInt64, _ other: UInt64 = 0) -> UInt32 {
    var mixed = word &+ other &* 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return UInt32(truncatingIfNeeded: mixed ^ (mixed >> 31))
  }

  static func hash(_ id: EntryID) -> UInt32 { hash(id.low, id.high) }
  static func hash(_ id: SyncNodeID) -> UInt32 {
    switch id {
    case .entry(let entry): hash(entry)
    case .new(let number): hash(UInt64(bitPattern: Int64(number)), 1)
    }
  }

  /// Names come from anybody, so theirs is keyed.
  static func hash(_ name: String, in folder: SyncNodeID) -> UInt32 {
    hash(UInt64(truncatingIfNeeded: name.hashValue), UInt64(hash(folder)))
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

  /// Has another slot under this hash in place of one that is there.
  ///
  /// - Parameters:
  ///   - slot: nil for none so far.
  ///   - other: nil for none from now on.
  mutating func replace(_ slot: Int?, by other: Int?, _ hash: UInt32) {
    guard let slot else {
      if let other { insert(other, hash) }
      return
    }
    guard let other else { return remove(slot, hash) }
    if let place = bucket(hash, where: { $0 == slot }) { buckets[place].slot = UInt32(other) }
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
