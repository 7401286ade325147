internal import BlockModel

/// The packed entries of ids that share their first 16 bits, in id order.
///
/// A plain value of 16 bytes around memory of its own, so that its owner pays no reference counts and chooses how it grows.
/// What must hold: its owner copies none of them and calls `deallocate` once, at the end.
///
/// `@unchecked Sendable`: the memory is reached through the bucket only, and buckets lie behind their stripe's lock.
struct IndexBucket: @unchecked Sendable {
  private var base: UnsafeMutableRawPointer?
  private var used: UInt32 = 0
  private var room: UInt32 = 0

  var count: Int { Int(used) }

  subscript(index: Int) -> PackedEntry {
    PackedEntry(bytes: base! + index * PackedEntry.byteCount)
  }

  func find(_ id: BlockID) -> PackedEntry? {
    let index = position(of: id)
    guard index < count, self[index].matches(id) else { return nil }
    return self[index]
  }

  /// Index of the first entry whose id does not come before `id`, for a bucket whose number is `number`.
  func firstIndex(notBefore id: BlockID, number: Int) -> Int {
    number > Int(id.words.0 >> 48) ? 0 : position(of: id)
  }

  mutating func insert(_ entry: IndexEntry, epochSlot: UInt32) {
    let index = position(of: entry.id)
    if used == room { grow() }
    let place = base! + index * PackedEntry.byteCount
    (place + PackedEntry.byteCount).copyMemory(from: place, byteCount: (count - index) * PackedEntry.byteCount)
    used += 1
    PackedEntry(bytes: place).store(entry, epochSlot: epochSlot)
  }

  /// Memory is given back when a bucket has emptied by half.
  mutating func remove(_ entry: PackedEntry) {
    let next = entry.bytes + PackedEntry.byteCount
    entry.bytes.copyMemory(from: next, byteCount: base! + count * PackedEntry.byteCount - next)
    used -= 1
    if used < room / 2 { resize(to: used) }
  }

  func deallocate() { base?.deallocate() }

  /// Index of the first entry that does not come before `id`.
  private func position(of id: BlockID) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle].precedes(id) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private mutating func grow() { resize(to: used + Swift.max(1, used / 16)) }

  private mutating func resize(to entries: UInt32) {
    let old = base
    base = nil
    if entries > 0 {
      let new = UnsafeMutableRawPointer.allocate(byteCount: Int(entries) * PackedEntry.byteCount, alignment: 8)
      if let old { new.copyMemory(from: old, byteCount: count * PackedEntry.byteCount) }
      base = new
    }
    old?.deallocate()
    room = entries
  }
}
