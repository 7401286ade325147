/// Makes a failing sequence short: leaves steps out and simplifies what is left for as long as it still fails.
package struct StoreShrinker {
  /// Attempts at most; each is one run.
  private var attemptsLeft: Int
  private let fails: (StoreSequence) -> Bool

  package init(attempts: Int = 3000, fails: @escaping (StoreSequence) -> Bool) {
    attemptsLeft = attempts
    self.fails = fails
  }

  /// - Parameter sequence: one that fails.
  package mutating func shrink(_ sequence: StoreSequence) -> StoreSequence {
    var shortest = sequence
    while attemptsLeft > 0 {
      let before = shortest
      leaveOut(&shortest)
      simplify(&shortest)
      if shortest == before { break }
    }
    return shortest
  }

  private mutating func attempt(_ candidate: StoreSequence, _ best: inout StoreSequence) -> Bool {
    guard attemptsLeft > 0, candidate != best else { return false }
    attemptsLeft -= 1
    guard fails(candidate) else { return false }
    best = candidate
    return true
  }

  /// Runs of steps, long ones first.
  private mutating func leaveOut(_ best: inout StoreSequence) {
    var length = max(1, best.steps.count / 2)
    while true {
      var start = best.steps.count - length
      while start >= 0 {
        var candidate = best
        candidate.steps.removeSubrange(start..<min(best.steps.count, start + length))
        _ = attempt(candidate, &best)
        start -= length
        start = min(start, best.steps.count - length)
      }
      if length == 1 { return }
      length /= 2
    }
  }

  private mutating func simplify(_ best: inout StoreSequence) {
    for index in best.steps.indices {
      for ticks in [0, 1000, best.steps[index].ticks / 2, best.steps[index].ticks - 1] where ticks >= 0 {
        var candidate = best
        candidate.steps[index].ticks = ticks
        if ticks < best.steps[index].ticks || ticks == 1000, attempt(candidate, &best) { break }
      }
      for seed in 0..<4 as Range<UInt64> where best.steps[index].seed > seed {
        var candidate = best
        candidate.steps[index].seed = seed
        if attempt(candidate, &best) { break }
      }
    }
    let normal = StoreSequence.Settings()
    let simpler: [(inout StoreSequence.Settings) -> Void] = [
      { $0.queueLimit = normal.queueLimit }, { $0.openFileLimit = normal.openFileLimit }, { $0.capacityKiB = 0 },
      { $0.directWriteKiB = normal.directWriteKiB }, { $0.isRelaxed = false }, { $0.isEncrypted = false },
      { $0.checkpointRecords = normal.checkpointRecords }, { $0.checkpointRecords = 1_000_000 }, { $0.segmentKiB = normal.segmentKiB },
      { $0.interruptionShare = 1_000_000 },
    ]
    for change in simpler {
      var candidate = best
      change(&candidate.settings)
      _ = attempt(candidate, &best)
    }
  }
}
