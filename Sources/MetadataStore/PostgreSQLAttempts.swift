package import BlockModel
internal import PostgreSQLDatabase

/// What to do when a transaction failed: begin it anew after a while, or give up. A value: the caller waits and tries.
package struct PostgreSQLAttempts {
  package enum Next: Equatable {
    case again(after: Duration)
    case giveUp
  }

  /// Times that others may be in the way.
  package static let conflictLimit = 30
  /// Times that more locks may turn out to be needed. Each time at least one is added.
  package static let lockLimit = 300
  private static let reconnectPause: Duration = .milliseconds(200)

  private let deadline: MonotonicTime
  private var conflicts = 0
  private var lockRounds = 0

  /// - Parameter patience: how long to go on while the database cannot be reached.
  package init(from start: MonotonicTime, patience: Duration) { deadline = start + patience }

  /// - Parameter chance: between 0 and 1, drawn anew each time: those who were in each other's way do not come back at the same moment.
  package mutating func next(after error: any Error, at now: MonotonicTime, chance: Double) -> Next {
    switch error {
    case is LocksWanted:
      lockRounds += 1
      return lockRounds <= PostgreSQLAttempts.lockLimit ? .again(after: .zero) : .giveUp
    case is TransactionConflict: return conflict(chance)
    case let error as PostgreSQLError where error.code == .conflict: return conflict(chance)
    case let error as PostgreSQLError where error.code == .unavailable:
      return now < deadline ? .again(after: PostgreSQLAttempts.reconnectPause * (0.5 + chance)) : .giveUp
    default: return .giveUp
    }
  }

  private mutating func conflict(_ chance: Double) -> Next {
    conflicts += 1
    guard conflicts <= PostgreSQLAttempts.conflictLimit else { return .giveUp }
    return .again(after: .milliseconds(min(50, 1 << min(conflicts, 6))) * chance)
  }
}
