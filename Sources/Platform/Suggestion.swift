/// Finds what somebody probably meant.
package enum Suggestion {
  /// The candidate with the fewest edits from `word`, when that is close enough to be a slip: at most a third of the letters, and 3.
  /// Of equally close ones the first in `candidates`.
  package static func nearest(to word: String, in candidates: [String]) -> String? {
    let word = Array(word.utf8.prefix(64))
    var best: (distance: Int, candidate: String)?
    for candidate in candidates {
      let distance = distance(word, Array(candidate.utf8.prefix(64)))
      if distance < best?.distance ?? Int.max { best = (distance, candidate) }
    }
    guard let best, best.distance <= min(3, max(1, max(word.count, best.candidate.utf8.count) / 3)) else { return nil }
    return best.candidate
  }

  /// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
    var beforePrevious = [Int](repeating: 0, count: b.count + 1)
    var previous = Array(0...b.count)
    for i in 1...a.count {
      var current = [i] + [Int](repeating: 0, count: b.count)
      for j in 1...b.count {
        current[j] = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { current[j] = min(current[j], beforePrevious[j - 2] + 1) }
      }
      beforePrevious = previous
      previous = current
    }
    return previous[b.count]
  }
}
