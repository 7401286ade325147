internal import BlockModel

/// Where a cluster's metadata is, and how far a move of it is.
package struct MetadataStatus: Sendable, Codable, Equatable {
  package enum Engine: String, Sendable, Codable { case sqlite, postgres }

  /// The last move that this coordinator began since it was started.
  package struct Move: Sendable, Codable, Equatable {
    package enum State: String, Sendable, Codable { case running, failed, done }
    package var state: State
    /// Rows of the state at its beginning that were copied.
    package var rows: Int64
    /// Rounds over what was written meanwhile.
    package var rounds: Int
    /// Rows of the last round.
    package var lastRound: Int
    /// Why it failed.
    package var failure: String?
    package init(state: State = .running, rows: Int64 = 0, rounds: Int = 0, lastRound: Int = 0, failure: String? = nil) {
      self.state = state
      self.rows = rows
      self.rounds = rounds
      self.lastRound = lastRound
      self.failure = failure
    }
    private enum CodingKeys: String, CodingKey {
      case state, rows, rounds, failure
      case lastRound = "last_round"
    }
  }

  package var engine: Engine
  package var move: Move?
  package init(engine: Engine, move: Move? = nil) {
    self.engine = engine
    self.move = move
  }
}

extension OperatorOperations {
  package struct GetMetadata: ControlOperation {
    package typealias Response = MetadataStatus
    package static let name = "get-metadata"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package init() {}
  }

  /// Begins to move the metadata into the PostgreSQL database that the coordinator's configuration names.
  package struct MigrateMetadata: ControlOperation {
    package typealias Response = MetadataStatus
    package static let name = "migrate-metadata"
    package static let audience = ControlAudience.op
    package init() {}
    package var auditSubject: String { "to postgres" }
  }
}
