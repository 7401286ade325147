internal import BlockModel

/// How to reach a server and what to expect of it.
package struct PostgreSQLOptions: Sendable {
  /// libpq's connection string, keywords or URI: several hosts for a primary and its standbys. May hold a password; never logged.
  package var connection: String
  /// How long one answer may take before the connection is given up. Long enough for a synchronous standby to be replaced.
  package var answerLimit: Duration = .seconds(20)
  /// How long an operation goes on trying while there is no primary; shorter than what clients wait.
  package var patience: Duration = .seconds(15)
  /// Refuses a server that acknowledges before its disk has the data. Off for tests alone.
  package var requiresSync = true
  /// Seconds that one host has to take a connection, at least 2 (libpq's own bound).
  package var connectTimeoutSeconds = 3
  package init(connection: String) { self.connection = connection }
}
