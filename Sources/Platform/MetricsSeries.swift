internal import BlockModel
internal import Synchronization

/// A number that only grows.
package final class Counter: Sendable {
  private let bits = Atomic<UInt64>(0)

  package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

  package func increment(by amount: Double = 1) {
    precondition(amount >= 0, "a counter only grows")
    bits.add(amount)
  }

  package func increment(by amount: Int) { increment(by: Double(amount)) }
  /// Adds seconds.
  package func increment(by duration: Duration) { increment(by: max(0, duration.inSeconds)) }
}

/// A number that goes up and down.
package final class Gauge: Sendable {
  private let bits = Atomic<UInt64>(0)

  package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

  package func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
  package func set(_ value: Int) { set(Double(value)) }
  package func increment(by amount: Double = 1) { bits.add(amount) }
  package func decrement(by amount: Double = 1) { bits.add(-amount) }
}

/// How often values fell below each of some bounds, with their sum.
package final class Histogram: Sendable {
  /// From half a millisecond to a minute.
  package static let durationBuckets: [Double] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
  ]
  /// From 4 KiB to 4 MiB, in bytes.
  package static let sizeBuckets: [Double] = [4096, 16384, 65536, 262_144, 1_048_576, 4_194_304]

  struct Counts {
    /// Per bucket, not added up; the last has no upper bound.
    var buckets: [UInt64]
    var sum = 0.0
  }

  let bounds: [Double]
  private let counts: Mutex<Counts>

  init(buckets: [Double]) {
    precondition(zip(buckets, buckets.dropFirst()).allSatisfy { $0 < $1 } && buckets.allSatisfy(\.isFinite), "bounds of buckets grow")
    bounds = buckets
    counts = Mutex(Counts(buckets: Array(repeating: 0, count: buckets.count + 1)))
  }

  package func observe(_ value: Double) {
    let index = bounds.firstIndex { value <= $0 } ?? bounds.count
    counts.withLock { counts in
      counts.buckets[index] += 1
      counts.sum += value
    }
  }

  /// Observes seconds.
  package func observe(_ duration: Duration) { observe(duration.inSeconds) }

  /// How many values there were.
  package var count: UInt64 { counts.withLock { $0.buckets.reduce(0, +) } }
  package var sum: Double { counts.withLock { $0.sum } }

  func snapshot() -> Counts { counts.withLock { $0 } }
}

extension Atomic<UInt64> {
  /// Adds to a floating-point number that is kept as its bits.
  fileprivate func add(_ amount: Double) {
    var old = load(ordering: .relaxed)
    while true {
      let new = (Double(bitPattern: old) + amount).bitPattern
      let (exchanged, original) = weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
      if exchanged { return }
      old = original
    }
  }
}
