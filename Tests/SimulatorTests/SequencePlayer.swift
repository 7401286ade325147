import BlockModel
import BlockStore
import Platform
import Simulator
import TestSupport

/// Plays many sequences on as many threads as the machine has processors.
enum SequencePlayer {
  struct Failure: Sendable {
    var seed: UInt64
    var violation: StoreRun.Violation
  }

  struct Outcome: Sendable {
    var totals = StoreRun.Totals()
    /// The failure of the lowest seed that failed.
    var failure: Failure?
    var played = 0
  }

  typealias Wrap = @Sendable (any FileSystem) -> any FileSystem

  /// - Parameter seeds: one for each sequence; what comes behind a failure may be left out.
  static func play(_ seeds: Range<UInt64>, wrap: @escaping Wrap = { $0 }) async throws -> Outcome {
    let pool = BlockingPool(name: "sequences", threads: Machine.processorCount)
    let step: UInt64 = 25
    var outcome = Outcome()
    var next = seeds.lowerBound
    // A window of pieces at a time, so that a failure ends the rest.
    while next < seeds.upperBound, outcome.failure == nil {
      var pieces: [Range<UInt64>] = []
      for _ in 0..<(4 * Machine.processorCount) where next < seeds.upperBound {
        pieces.append(next..<min(seeds.upperBound, next + step))
        next = pieces[pieces.count - 1].upperBound
      }
      let parts = try await withThrowingTaskGroup(of: Outcome.self) { group in
        for piece in pieces { group.addTask { try await pool.run { playOnThisThread(piece, wrap) } } }
        var parts: [Outcome] = []
        for try await part in group { parts.append(part) }
        return parts
      }
      for part in parts {
        outcome.totals += part.totals
        outcome.played += part.played
        if let failure = part.failure, failure.seed < outcome.failure?.seed ?? .max { outcome.failure = failure }
      }
    }
    return outcome
  }

  private static func playOnThisThread(_ seeds: Range<UInt64>, _ wrap: @escaping Wrap) -> Outcome {
    let resources = StoreRun.Resources()
    var outcome = Outcome()
    for seed in seeds {
      var run = StoreRun(StoreSequence(seed: seed), resources, wrap: wrap)
      let violation = run.play()
      outcome.totals += run.totals
      outcome.played += 1
      if let violation {
        outcome.failure = Failure(seed: seed, violation: violation)
        break
      }
    }
    return outcome
  }

  /// One sequence, from a thread of ours.
  static func play(_ sequence: StoreSequence, wrap: @escaping Wrap = { $0 }) async throws -> StoreRun.Violation? {
    try await BlockingPool(name: "sequence", threads: 1).run {
      var run = StoreRun(sequence, StoreRun.Resources(), wrap: wrap)
      return run.play()
    }
  }

  /// The shortest sequence found that still fails, and how.
  static func shrink(_ sequence: StoreSequence, wrap: @escaping Wrap = { $0 }) async throws -> (StoreSequence, StoreRun.Violation?) {
    try await BlockingPool(name: "sequence", threads: 1).run {
      let resources = StoreRun.Resources()
      var shrinker = StoreShrinker { candidate in
        var run = StoreRun(candidate, resources, wrap: wrap)
        return run.play() != nil
      }
      let short = shrinker.shrink(sequence)
      var run = StoreRun(short, resources, wrap: wrap)
      return (short, run.play())
    }
  }

  /// What to print about a failure: enough to play it again, here and by hand.
  static func report(_ failure: Failure, wrap: @escaping Wrap = { $0 }) async throws -> String {
    let (short, violation) = try await shrink(StoreSequence(seed: failure.seed), wrap: wrap)
    return """
      seed \(failure.seed) fails \(failure.violation)
      CAIRN_SEED=\(failure.seed) CAIRN_DISK_SEQUENCES=1 plays it again.
      Shortest sequence found, which fails \(violation.map(String.init(describing:)) ?? "no more"):
      \(short)
      """
  }
}
