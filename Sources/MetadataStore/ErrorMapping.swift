internal import Platform
internal import PostgreSQLDatabase
internal import SQLiteDatabase
internal import ServiceAPI

extension MetadataError {
  /// Turns whatever a transaction threw into what the store answers.
  init(mapping error: any Error) {
    switch error {
    case let error as MetadataError: self = error
    case let problem as Problem: self.init(.refused, problem.detail, problem: problem)
    case let error as SQLiteError: self.init(error)
    case let error as PostgreSQLError: self.init(error)
    case is TransactionConflict, is LocksWanted: self = MetadataError.contended
    case BlockingPool.Refused.shutDown: self.init(.unavailable, "The coordinator is stopping.")
    case is BlockingPool.Refused:
      let problem = Problem(.busy, "The coordinator has too much to do; try again in a moment.", retryAfter: 1)
      self.init(.refused, problem.detail, problem: problem)
    case is CancellationError: self.init(.unavailable, "The request was given up before it began.")
    default:
      self.init(.refused, "\(error)", problem: Problem(.internalError, "The coordinator met a fault of its own: \(error)"))
    }
  }

  /// Others were in the way again and again.
  private static var contended: MetadataError {
    let problem = Problem(.busy, "Others are changing the same things; try again in a moment.", retryAfter: 1)
    return MetadataError(.refused, problem.detail, problem: problem)
  }

  private init(_ error: PostgreSQLError) {
    switch error.code {
    case .full: self.init(.full, "The metadata's database is full: free space on its disk.")
    case .unavailable where error.isOutcomeUnknown:
      self.init(.unavailable, "The database went away in the middle of a commit: whether it happened is unknown. (\(error))")
    case .unavailable: self.init(.unavailable, "\(error)")
    case .corrupt, .schema: self.init(.unusable, "\(error)")
    case .conflict: self = MetadataError.contended
    case .other:
      self.init(.refused, "\(error)", problem: Problem(.internalError, "The coordinator met a fault of its own; its log says more."))
    }
  }

  private init(_ error: SQLiteError) {
    switch error.code {
    case .full: self.init(.full, "The coordinator's database is full: free space on its disk.")
    case .busy, .inputOutput, .cannotOpen, .readOnly: self.init(.unavailable, error.message)
    case .corrupt, .schema: self.init(.unusable, error.message)
    case .constraint, .other:
      // Neither may come up: the statements check first. What the client may know is that it was not its fault.
      self.init(.refused, error.message, problem: Problem(.internalError, "The coordinator met a fault of its own; its log says more."))
    }
  }
}
