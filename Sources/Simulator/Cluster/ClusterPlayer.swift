internal import Platform

/// Plays many simulated clusters, as many at once as there are threads.
package enum ClusterPlayer {
  package struct Failure: Sendable {
    package var seed: UInt64
    package var violation: ClusterSimulation.Violation
  }

  package struct Outcome: Sendable {
    package var totals = ClusterTotals()
    /// The failures found, in the order of their seeds.
    package var failures: [Failure] = []
    package init() {}
  }

  /// Plays the seeds in pieces; ends after the piece in which there are as many failures as wanted.
  /// - Parameters:
  ///   - change: of each scenario before it is played.
  ///   - progress: told of the seeds that are done.
  package static func play(
    _ seeds: Range<UInt64>, bug: ClusterBug? = nil, threads: Int = Machine.processorCount, enough: Int = 1,
    change: @escaping @Sendable (inout ClusterScenario) -> Void = { _ in },
    progress: @Sendable (UInt64, Outcome) -> Void = { _, _ in }
  ) async throws -> Outcome {
    let pool = BlockingPool(name: "clusters", threads: threads)
    let step: UInt64 = 8
    var outcome = Outcome()
    var next = seeds.lowerBound
    while next < seeds.upperBound, outcome.failures.count < enough {
      var pieces: [Range<UInt64>] = []
      for _ in 0..<(4 * threads) where next < seeds.upperBound {
        pieces.append(next..<min(seeds.upperBound, next + step))
        next = pieces[pieces.count - 1].upperBound
      }
      let parts = try await withThrowingTaskGroup(of: Outcome.self) { group in
        for piece in pieces { group.addTask { try await pool.run { playOnThisThread(piece, bug, change) } } }
        var parts: [Outcome] = []
        for try await part in group { parts.append(part) }
        return parts
      }
      for part in parts {
        outcome.totals += part.totals
        outcome.failures += part.failures
      }
      outcome.failures.sort { $0.seed < $1.seed }
      progress(next - seeds.lowerBound, outcome)
    }
    return outcome
  }

  private static func playOnThisThread(
    _ seeds: Range<UInt64>, _ bug: ClusterBug?, _ change: (inout ClusterScenario) -> Void
  ) -> Outcome {
    var outcome = Outcome()
    for seed in seeds {
      var scenario = ClusterScenario(seed: seed)
      change(&scenario)
      let simulation = ClusterSimulation(scenario, bug: bug)
      let violation = simulation.run()
      simulation.totals.runs = 1
      outcome.totals += simulation.totals
      if let violation { outcome.failures.append(Failure(seed: seed, violation: violation)) }
    }
    return outcome
  }

  /// What a failure shrinks to, and how that fails. Takes a while: call it from a thread of its own.
  package static func shrink(
    _ scenario: ClusterScenario, bug: ClusterBug? = nil, attempts: Int = 400
  ) -> (ClusterScenario, ClusterSimulation.Violation?) {
    guard let first = ClusterSimulation(scenario, bug: bug).run() else { return (scenario, nil) }
    // Another fault than the first one is another story.
    var shrinker = ClusterShrinker(attempts: attempts) { ClusterSimulation($0, bug: bug).run()?.invariant == first.invariant }
    // What was to happen after the failure did not lead to it.
    var told = scenario
    told.steps.removeAll { .milliseconds($0.at) > first.after }
    let short = shrinker.shrink(told)
    return (short, ClusterSimulation(short, bug: bug).run())
  }
}
