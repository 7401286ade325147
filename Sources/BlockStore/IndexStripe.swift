internal import BlockModel
internal import Glibc
internal import Platform

/// The packed entries of ids that share their first bits: one sorted array, and a short sorted one of newcomers behind it, in pages of
/// their own from the system.
///
/// Newcomers, because an entry that is added to a sorted array moves half of it: with 128 of them the array moves once for 128 entries.
/// Pages of its own, because arrays that all grow at the same pace leave a general allocator full of holes that fit none of them.
/// What must hold: its owner copies none of them and calls `deallocate` once, at the end.
///
/// `@unchecked Sendable`: the memory is reached through the stripe only, which lies behind its owner's lock.
struct IndexStripe: @unchecked Sendable {
  private static let pageBytes = 4096
  private static let newcomerLimit = 128

  private var base: UnsafeMutableRawPointer?
  private(set) var mappedBytes = 0
  /// Entries in all; the first `settled` of them are the sorted array.
  private(set) var count = 0
  private var settled = 0
  private var newcomers = NewcomerFilter()

  private var room: Int { mappedBytes / PackedEntry.byteCount }

  subscript(index: Int) -> PackedEntry { PackedEntry(bytes: base! + index * PackedEntry.byteCount) }

  func find(_ id: BlockID) -> PackedEntry? {
    let index = firstSettled(notBefore: id)
    if index < settled, self[index].id == id { return self[index] }
    guard settled < count, newcomers.mayHold(id) else { return nil }
    let newcomer = firstNewcomer(notBefore: id)
    return newcomer < count && self[newcomer].id == id ? self[newcomer] : nil
  }

  /// Index of the first entry whose id does not come before `id`. The stripe is settled.
  func firstIndex(notBefore id: BlockID) -> Int {
    precondition(settled == count, "a stripe is settled before it is walked")
    return firstSettled(notBefore: id)
  }

  /// Ids are uniform as long as nobody makes them up, so the place is guessed, guessed again from what is there, and then approached in
  /// steps that double; made-up ids cost a few steps more. Each look at a far place waits for memory, and two guesses save most of them.
  private func firstSettled(notBefore id: BlockID) -> Int {
    guard settled > 0 else { return 0 }
    let guess = secondGuess(id)
    var (low, high) = (0, settled)
    var step = 2
    if self[guess].precedes(id) {
      low = guess + 1
      while low + step < settled, self[low + step].precedes(id) {
        low += step + 1
        step *= 2
      }
      high = min(settled, low + step)
    } else {
      high = guess
      while high - step >= 0, !self[high - step].precedes(id) {
        high -= step
        step *= 2
      }
      low = max(0, high - step)
    }
    return search(id, low, high)
  }

  /// Where an id would be if the ids were spread evenly.
  private func firstGuess(_ id: BlockID) -> Int {
    Int(UInt64(settled).multipliedFullWidth(by: id.words.0 << UInt64(BlockIndex.stripeBits)).high)
  }

  /// Corrected by how far off the entry at the first guess is.
  private func secondGuess(_ id: BlockID) -> Int {
    let (guess, first) = (firstGuess(id), id.words.0)
    let there = self[guess].word(0)
    let apart = first > there ? first - there : there - first
    let distance = Int(UInt64(settled).multipliedFullWidth(by: apart << UInt64(BlockIndex.stripeBits)).high)
    return first > there ? min(settled - 1, guess + distance) : max(0, guess - distance)
  }

  /// Has memory bring what the first look for an id will read, and does not wait for it. Whoever asks for many ids asks for all their
  /// first looks, then for all their second ones, and then finds each without waiting.
  func prefetchFirst(_ id: BlockID) {
    guard settled > 0 else { return }
    Memory.prefetch(self[firstGuess(id)].bytes)
  }

  func prefetchSecond(_ id: BlockID) {
    guard settled > 0 else { return }
    // Entries are no multiple of a cache line, and the search reads the neighbours too.
    let place = self[secondGuess(id)].bytes
    Memory.prefetch(place)
    Memory.prefetch(place + Memory.cacheLineBytes)
  }

  private func firstNewcomer(notBefore id: BlockID) -> Int { search(id, settled, count) }

  private func search(_ id: BlockID, _ low: Int, _ high: Int) -> Int {
    var (low, high) = (low, high)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].precedes(id) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Adds an entry whose id is not here.
  mutating func insert(_ entry: IndexEntry, markSlot: UInt32) {
    if count - settled >= IndexStripe.newcomerLimit { settle() }
    newcomers.add(entry.id)
    let index = firstNewcomer(notBefore: entry.id)
    if count == room { resize(toHold: count + 1 + count / 128) }
    move(from: index, to: index + 1, count: count - index)
    count += 1
    self[index].store(entry, markSlot: markSlot)
  }

  /// Merges the newcomers into the sorted array. Each entry of it moves once, from the end on.
  mutating func settle() {
    let added = count - settled
    guard added > 0 else { return }
    let bytes = added * PackedEntry.byteCount
    withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 8) { copy in
      copy.copyMemory(from: UnsafeRawBufferPointer(start: base! + settled * PackedEntry.byteCount, count: bytes))
      var end = settled
      for number in (0..<added).reversed() {
        let newcomer = PackedEntry(bytes: copy.baseAddress! + number * PackedEntry.byteCount)
        let place = end == 0 || self[end - 1].precedes(newcomer.id) ? end : search(newcomer.id, 0, end)
        move(from: place, to: place + number + 1, count: end - place)
        self[place + number].bytes.copyMemory(from: newcomer.bytes, byteCount: PackedEntry.byteCount)
        end = place
      }
    }
    settled = count
    newcomers = NewcomerFilter()
  }

  /// Memory is given back when the stripe has emptied by half.
  mutating func remove(_ entry: PackedEntry) {
    let index = (entry.bytes - base!) / PackedEntry.byteCount
    move(from: index + 1, to: index, count: count - index - 1)
    count -= 1
    if index < settled { settled -= 1 }
    if mappedBytes > IndexStripe.pageBytes, count < room / 2 { resize(toHold: count + count / 128) }
  }

  /// Takes a checkpoint's row over as the last entry; false when it is none, or does not come behind the others.
  mutating func append(_ row: UnsafeRawPointer, slots: [UInt32], marks: [Mark]) -> Bool {
    if count == room { resize(toHold: max(64, count + count / 2)) }
    guard self[count].decode(row, slots: slots, marks: marks), count == 0 || self[count - 1].precedes(self[count].id) else { return false }
    count += 1
    settled = count
    return true
  }

  /// Gives back the pages that appending took ahead.
  mutating func trim() { if (count * PackedEntry.byteCount).roundedUp(to: IndexStripe.pageBytes) < mappedBytes { resize(toHold: count) } }

  func deallocate() {
    if let base { munmap(base, mappedBytes) }
  }

  private func move(from source: Int, to destination: Int, count: Int) {
    guard count > 0 else { return }
    (base! + destination * PackedEntry.byteCount).copyMemory(
      from: base! + source * PackedEntry.byteCount, byteCount: count * PackedEntry.byteCount)
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

/// Which ids may be among the newcomers: most that are not are told from one word of memory. Ids are uniform, so bits of theirs are the hash.
private struct NewcomerFilter {
  private var words: [16 of UInt64] = .init(repeating: 0)

  mutating func add(_ id: BlockID) { words[NewcomerFilter.word(id)] |= NewcomerFilter.bit(id) }
  func mayHold(_ id: BlockID) -> Bool { words[NewcomerFilter.word(id)] & NewcomerFilter.bit(id) != 0 }

  private static func word(_ id: BlockID) -> Int { Int(id.words.3 & 15) }
  private static func bit(_ id: BlockID) -> UInt64 { 1 << (id.words.3 >> 4 & 63) }
}
