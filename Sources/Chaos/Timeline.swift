internal import Synchronization

/// What happened when, in seconds since the run began: for the report and for the figures of the last line.
package struct Timeline: Sendable {
  package struct Operation: Sendable {
    package enum Kind: String, Sendable { case write, read, remove }
    package var kind: Kind
    package var start: Double
    package var end: Double
    package var succeeded: Bool

    package init(kind: Kind, start: Double, end: Double, succeeded: Bool) {
      (self.kind, self.start, self.end, self.succeeded) = (kind, start, end, succeeded)
    }
  }

  package struct Fault: Sendable {
    package var kind: String
    package var target: String
    package var start: Double
    /// Nil for what has no end.
    package var end: Double?
  }

  /// What the coordinator said.
  package struct Health: Sendable {
    package var time: Double
    package var underReplicated: Int
  }

  package struct Process: Sendable {
    package var name: String
    package var firstBytes: Int64
    package var lastBytes: Int64
    package var firstFiles: Int
    package var lastFiles: Int
  }

  package var operations: [Operation] = []
  package var faults: [Fault] = []
  package var health: [Health] = []
  package var processes: [Process] = []
  /// When the faults were over, when all was whole again, and when the run ended.
  package var healed: Double?
  package var whole: Double?
  package var end = 0.0

  package init() {}

  /// Faults by kind, in alphabetical order.
  package var faultCounts: [(kind: String, count: Int)] {
    let kinds = Set(faults.map(\.kind)).sorted()
    return kinds.map { kind in (kind, faults.count { $0.kind == kind }) }
  }

  /// The longest time without one operation of the kind that succeeded, while clients were at work.
  package func longestGap(_ kind: Operation.Kind) -> Double {
    let ends = operations.filter { $0.kind == kind && $0.succeeded }.map(\.end).sorted()
    guard let first = ends.first else { return end }
    let starts = operations.filter { $0.kind == kind }.map(\.start)
    var longest = first - (starts.min() ?? 0)
    for (a, b) in zip(ends, ends.dropFirst()) { longest = max(longest, b - a) }
    return longest
  }

  /// The longest time without one that succeeded while faults of a kind were there, of all those times: from a fault's start, or from the
  /// last success in it, to the next success.
  package func longestGap(_ kind: Operation.Kind, during faultKind: String) -> Double {
    let ends = operations.filter { $0.kind == kind && $0.succeeded }.map(\.end).sorted()
    var longest = 0.0
    for fault in faults where fault.kind == faultKind {
      var last = fault.start
      for end in ends where end > fault.start {
        longest = max(longest, end - last)
        last = end
        if end > fault.end ?? self.end { break }
      }
    }
    return longest
  }

  /// Of the operations that began while a fault of the kind was there, but not in its first seconds, those that succeeded, and all.
  package func succeeded(_ kind: Operation.Kind, during fault: String, after seconds: Double) -> (succeeded: Int, all: Int) {
    let during = operations.filter { operation in
      operation.kind == kind
        && faults.contains { $0.kind == fault && $0.start + seconds <= operation.start && operation.start <= $0.end ?? end }
    }
    return (during.count(where: \.succeeded), during.count)
  }

  /// The share of operations of the kind that succeeded, 0 to 1.
  package func availability(_ kind: Operation.Kind) -> Double {
    let all = operations.filter { $0.kind == kind }
    return all.isEmpty ? 1 : Double(all.count(where: \.succeeded)) / Double(all.count)
  }
}

/// The timeline of a run that goes on, which many tasks write to.
package final class RunLog: Sendable {
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private let timeline = Mutex(Timeline())

  package init() { start = clock.now }

  /// Seconds since the run began.
  package var now: Double {
    let past = clock.now - start
    return Double(past.components.seconds) + Double(past.components.attoseconds) / 1e18
  }

  package func change(_ body: (inout sending Timeline) -> Void) { timeline.withLock { body(&$0) } }
  package var snapshot: Timeline { timeline.withLock { $0 } }
}
