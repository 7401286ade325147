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

  /// What one daemon's process took at a moment.
  package struct Usage: Sendable {
    package var time: Double
    /// Another one after a restart.
    package var process: Int32
    /// Resident memory.
    package var bytes: Int64
    package var files: Int

    package init(time: Double, process: Int32, bytes: Int64, files: Int) {
      (self.time, self.process, self.bytes, self.files) = (time, process, bytes, files)
    }
  }

  package var operations: [Operation] = []
  package var faults: [Fault] = []
  package var health: [Health] = []
  /// By the daemon's name, in the order of time.
  package var usage: [String: [Usage]] = [:]
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

  /// What a daemon's last process took in the second and in the last third of its time, medians: what is flat is in both the same. Nil for
  /// one that did not live long enough to say.
  package func thirds(of name: String) -> (second: Usage, last: Usage)? {
    guard let process = usage[name]?.last?.process, let all = usage[name]?.filter({ $0.process == process }), all.count >= 9 else {
      return nil
    }
    func median(_ part: some Collection<Usage>) -> Usage {
      func middle<T: Comparable>(_ values: [T]) -> T { values.sorted()[values.count / 2] }
      return Usage(
        time: middle(part.map(\.time)), process: process, bytes: middle(part.map(\.bytes)), files: middle(part.map(\.files)))
    }
    let third = all.count / 3
    return (median(all[third..<2 * third]), median(all[(2 * third)...]))
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
