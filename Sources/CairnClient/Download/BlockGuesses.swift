/// Where in an older version of a file the blocks of a newer one may be, before that version was cut into blocks itself.
///
/// What was changed in one place has the same bytes at the same distance from the start before it, and at the same distance from the end
/// after it. So each block is looked for at these two places, and what is left is little: the blocks that changed, and those between two
/// changes.
package struct BlockGuesses: Sendable {
  /// Blocks that are not found, one after the other, before only some are looked for.
  private static let patience = 4
  private static let rarely = 16

  private let basisBytes: Int64
  /// What is added to a place in the new file; the one that was right last comes first.
  private var shifts: [Int64]
  private var missesInARow = 0
  /// Of the older version, in no order.
  private var found: [Range<Int64>] = []
  /// Blocks that were not found.
  package private(set) var misses = 0

  /// - Parameters:
  ///   - basisBytes: of the older version.
  ///   - fileBytes: of the newer one.
  ///   - mayShift: whether blocks are cut by their content; else those of moved bytes are others.
  package init(basisBytes: Int64, fileBytes: Int64, mayShift: Bool) {
    self.basisBytes = basisBytes
    shifts = mayShift && basisBytes != fileBytes ? [0, basisBytes - fileBytes] : [0]
  }

  /// - Parameter offset: of the block in the new file, in bytes, as `size`.
  /// - Returns: places in the older version, the likeliest first; nil when so many were not found that this one is not looked for.
  package func places(of index: Int, at offset: Int64, size: Int) -> [Int64]? {
    guard missesInARow < BlockGuesses.patience || index % BlockGuesses.rarely == 0 else { return nil }
    return shifts.map { offset + $0 }.filter { $0 >= 0 && $0 + Int64(size) <= basisBytes }
  }

  /// - Parameter place: in the older version.
  package mutating func noteHit(at place: Int64, of offset: Int64, size: Int) {
    missesInARow = 0
    if shifts[0] != place - offset { shifts.swapAt(0, shifts.count - 1) }
    let range = place..<(place + Int64(size))
    if let last = found.last, last.upperBound == range.lowerBound {
      found[found.count - 1] = last.lowerBound..<range.upperBound
    } else {
      found.append(range)
    }
  }

  package mutating func noteMiss(wasLookedFor: Bool) {
    misses += 1
    if wasLookedFor { missesInARow += 1 }
  }

  /// What no block was found in. Each of them begins where a block ends, so cutting it there finds what the newer version has of it.
  package var gaps: [Range<Int64>] {
    var gaps: [Range<Int64>] = []
    var end: Int64 = 0
    for range in found.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if range.lowerBound > end { gaps.append(end..<range.lowerBound) }
      end = max(end, range.upperBound)
    }
    if end < basisBytes { gaps.append(end..<basisBytes) }
    return gaps
  }
}
