internal import BlockModel
internal import Glibc

/// The packed entries of ids that share their first 11 bits: one sorted array in pages of its own from the system.
///
/// Its own pages, because arrays that all grow at the same pace leave a general allocator full of holes that fit none of them.
/// What must hold: its owner copies none of them and calls `deallocate` once, at the end.
///
/// `@unchecked Sendable`: the memory is reached through the stripe only, which lies behind its owner's lock.
struct IndexStripe: @unchecked Sendable {
  private static let pageBytes = 4096

  private var base: UnsafeMutableRawPointer?
  private var mappedBytes = 0
  private(set) var count = 0

  private var room: Int { mappedBytes / PackedEntry.byteCount }

  subscript(index: Int) -> PackedEntry { PackedEntry(bytes: base! + index * PackedEntry.byteCount) }

  func find(_ id: BlockID) -> PackedEntry? {
    let index = firstIndex(notBefore: id)
    guard index < count, self[index].id == id else { return nil }
    return self[index]
  }

  /// Index of the first entry whose id does not come before `id`.
  ///
  /// Ids are uniform as long as nobody makes them up, so the place is guessed and then approached in steps that double; made-up ids cost a
  /// few steps more.
  func firstIndex(notBefore id: BlockID) -> Int {
    guard count > 0 else { return 0 }
    let fraction = id.words.0 << UInt64(BlockIndex.stripeBits)
    let guess = Int(UInt64(count).multipliedFullWidth(by: fraction).high)
    var (low, high) = (0, count)
    var step = 16
    if self[guess].precedes(id) {
      low = guess + 1
      while low + step < count, self[low + step].precedes(id) {
        low += step + 1
        step *= 2
      }
      high = min(count, low + step)
    } else {
      high = guess
      while high - step >= 0, !self[high - step].precedes(id) {
        high -= step
        step *= 2
      }
      low = max(0, high - step)
    }
    while low < high {
      let middle = (low + high) / 2
      if self[middle].precedes(id) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  mutating func insert(_ entry: IndexEntry, epochSlot: UInt32) {
    let index = firstIndex(notBefore: entry.id)
    if count == room { resize(toHold: count + 1 + count / 64) }
    let place = base! + index * PackedEntry.byteCount
    (place + PackedEntry.byteCount).copyMemory(from: place, byteCount: (count - index) * PackedEntry.byteCount)
    count += 1
    PackedEntry(bytes: place).store(entry, epochSlot: epochSlot)
  }

  /// Memory is given back when the stripe has emptied by half.
  mutating func remove(_ entry: PackedEntry) {
    let next = entry.bytes + PackedEntry.byteCount
    entry.bytes.copyMemory(from: next, byteCount: base! + count * PackedEntry.byteCount - next)
    count -= 1
    if mappedBytes > IndexStripe.pageBytes, count < room / 2 { resize(toHold: count + count / 64) }
  }

  func deallocate() {
    if let base { munmap(base, mappedBytes) }
  }

  private mutating func resize(toHold entries: Int) {
    let bytes = max(1, entries * PackedEntry.byteCount).roundedUp(to: IndexStripe.pageBytes)
    let new = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    // As for any other allocation: a machine that has no memory left cannot go on.
    guard let new, new != MAP_FAILED else { preconditionFailure("the system has no memory left for the index") }
    if let base {
      new.copyMemory(from: base, byteCount: count * PackedEntry.byteCount)
      munmap(base, mappedBytes)
    }
    base = new
    mappedBytes = bytes
  }
}
