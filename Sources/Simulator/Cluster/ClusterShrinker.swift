/// Makes a failing scenario short: leaves steps out and simplifies the settings for as long as it still fails.
package struct ClusterShrinker {
  /// Attempts at most; each is one run.
  private var attemptsLeft: Int
  private let fails: (ClusterScenario) -> Bool

  package init(attempts: Int = 400, fails: @escaping (ClusterScenario) -> Bool) {
    attemptsLeft = attempts
    self.fails = fails
  }

  /// - Parameter scenario: one that fails.
  package mutating func shrink(_ scenario: ClusterScenario) -> ClusterScenario {
    var shortest = scenario
    while attemptsLeft > 0 {
      let before = shortest
      leaveOut(&shortest)
      simplify(&shortest)
      if shortest == before { break }
    }
    return shortest
  }

  private mutating func attempt(_ candidate: ClusterScenario, _ best: inout ClusterScenario) {
    guard attemptsLeft > 0, candidate != best else { return }
    attemptsLeft -= 1
    if fails(candidate) { best = candidate }
  }

  /// Runs of steps, long ones first.
  private mutating func leaveOut(_ best: inout ClusterScenario) {
    var length = max(1, best.steps.count / 2)
    while true {
      var start = best.steps.count - length
      while start >= 0, attemptsLeft > 0 {
        var candidate = best
        candidate.steps.removeSubrange(start..<min(best.steps.count, start + length))
        attempt(candidate, &best)
        start = min(start - length, best.steps.count - length)
      }
      if length == 1 { return }
      length /= 2
    }
  }

  private mutating func simplify(_ best: inout ClusterScenario) {
    let simpler: [(inout ClusterScenario.Settings) -> Void] = [
      { $0.lossPerMille = 0 }, { $0.duplicatePerMille = 0 }, { $0.delayPerMille = 0 }, { $0.isNetworkSlow = false },
      { $0.skewMilliseconds = 0 }, { $0.disksPerNode = 1 },
    ]
    for change in simpler {
      var candidate = best
      change(&candidate.settings)
      attempt(candidate, &best)
    }
  }
}
