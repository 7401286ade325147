package import BlockModel

/// Which of several coordinators keeps the cluster, as their common database says it.
package struct JobsLeaseRow: Sendable, Equatable {
  /// The number that a coordinator's process drew when it started; 0 is nobody.
  package var holder: UInt64
  /// Grows with each write, so that a row that stands still is seen to stand still.
  package var beat: UInt64
  package init(holder: UInt64, beat: UInt64) {
    self.holder = holder
    self.beat = beat
  }
}

/// One coordinator's part in the lease: when to renew it, when to take it, and until when it holds. A value; the caller reads and writes
/// the row and tells what came of it.
///
/// What must hold (invariant 8): no two coordinators hold at the same time. Nobody's wall clock counts: the holder counts its time from
/// before it sent the last write that succeeded, who waits counts from after it first saw that write, and both count the same length. A
/// coordinator that stood still in between and acts late all the same is fenced by its generation, which each new term raises.
package struct JobsLease: Sendable {
  package enum Action: Sendable, Equatable {
    case wait
    /// Replace the row if it is still `expecting`.
    case write(JobsLeaseRow, expecting: JobsLeaseRow)
  }

  private let me: UInt64
  private let length: Duration
  private var seen: JobsLeaseRow?
  private var seenAt: MonotonicTime = .zero
  private var heldUntil: MonotonicTime?

  /// - Parameters:
  ///   - me: drawn at random when the process starts; not 0.
  ///   - length: how long a term lasts without being renewed; the same at all coordinators.
  package init(me: UInt64, length: Duration) {
    precondition(me != 0 && length > .zero, "a holder has a number, and a term a length")
    self.me = me
    self.length = length
  }

  /// The row was read.
  /// - Parameter now: after the answer came.
  package mutating func read(_ row: JobsLeaseRow, now: MonotonicTime) -> Action {
    if row != seen {
      seen = row
      seenAt = now
    }
    let next = JobsLeaseRow(holder: me, beat: row.beat &+ 1)
    // A write whose answer got lost is found here too: the row is this coordinator's, and is written anew before it counts.
    if row.holder == me || row.holder == 0 { return .write(next, expecting: row) }
    heldUntil = nil
    return now - seenAt >= length ? .write(next, expecting: row) : .wait
  }

  /// A write replaced the row.
  /// - Parameter start: before it was sent.
  package mutating func wrote(_ row: JobsLeaseRow, start: MonotonicTime) {
    seen = row
    seenAt = start
    heldUntil = start + length
  }

  /// The coordinator stops: what to write so that another one need not wait.
  package mutating func release() -> Action {
    guard heldUntil != nil, let seen, seen.holder == me else { return .wait }
    heldUntil = nil
    return .write(JobsLeaseRow(holder: 0, beat: seen.beat &+ 1), expecting: seen)
  }

  package func isHeld(at now: MonotonicTime) -> Bool { heldUntil.map { now < $0 } ?? false }
}
