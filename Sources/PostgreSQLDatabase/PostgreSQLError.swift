/// Why PostgreSQL did not do what it was asked.
package struct PostgreSQLError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// The server cannot be reached, is starting, stopping or no primary any more, or does not answer in time. What was not committed is
    /// gone; with `isOutcomeUnknown` the commit itself may have happened.
    case unavailable
    /// Another transaction was in the way: the same again may succeed.
    case conflict
    /// The server's disk is full.
    case full
    /// The server reports damaged data.
    case corrupt
    /// The schema is newer than this program, an old migration is not what it was, or the server is not set up as it has to be.
    case schema
    /// A bug of ours, or a state that has no meaning of its own here.
    case other
  }

  package var code: Code
  package var message: String
  /// The server's five characters; empty when the error is not the server's.
  package var state: String
  /// The commit was on its way when the connection broke: nobody here can say whether it happened.
  package var isOutcomeUnknown = false
  package var description: String { state.isEmpty ? message : "\(message) (\(state))" }

  package init(_ code: Code, _ message: String, state: String = "") {
    self.code = code
    self.message = message
    self.state = state
  }

  /// What a state means, by its class where the class is enough (PostgreSQL 15, appendix A).
  static func code(of state: String) -> Code {
    switch state {
    // Serialization failure, deadlock, a lock not to be had, and a row that somebody else made first.
    case "40001", "40P01", "55P03", "23505": return .conflict
    // A former primary refuses to write; the server was told to stop, crashed, or is not ready; a statement was cancelled.
    case "25006", "57P01", "57P02", "57P03", "57P05", "57014": return .unavailable
    case "53100", "53200": return .full
    case "XX001", "XX002": return .corrupt
    default: break
    }
    switch state.prefix(2) {
    case "08", "53": return .unavailable
    case "58": return .unavailable
    default: return .other
    }
  }
}
