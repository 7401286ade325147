internal import Platform
internal import SQLiteDatabase
internal import ServiceAPI

extension MetadataError {
  /// Turns whatever a transaction threw into what the store answers.
  init(mapping error: any Error) {
    switch error {
    case let error as MetadataError: self = error
    case let problem as Problem: self.init(.refused, problem.detail, problem: problem)
    case let error as SQLiteError: self.init(error)
    case BlockingPool.Refused.shutDown: self.init(.unavailable, "The coordinator is stopping.")
    case is BlockingPool.Refused:
      let problem = Problem(.busy, "The coordinator has too much to do; try again in a moment.", retryAfter: 1)
      self.init(.refused, problem.detail, problem: problem)
    case is CancellationError: self.init(.unavailable, "The request was given up before it began.")
    default:
      self.init(.refused, "\(error)", problem: Problem(.internalError, "The coordinator met a fault of its own: \(error)"))
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
