import CommandLineKit
import Platform
import ServiceAPI

/// `cairnctl metadata …`: which engine keeps the metadata, and the move from SQLite to PostgreSQL.
enum MetadataCommands {
  static let command = Command(
    "metadata", summary: "show where the metadata is, and move it from SQLite to PostgreSQL",
    subcommands: [status, migrate], examples: ["cairnctl metadata status", "cairnctl metadata migrate --to postgres"])

  private static let status = Command(
    "status", summary: "show which engine keeps the metadata, and how far a move is", examples: ["cairnctl metadata status"]
  ) { invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetMetadata())
    try invocation.console.result(status) { text(of: status) }
  }

  private static let migrate = Command(
    "migrate", summary: "move the metadata of a running cluster into PostgreSQL",
    discussion: """
      The coordinator's configuration has to name a file with libpq's words for an empty database (“metadata-connection-file”); it is read \
      when the move begins. Users go on reading and writing while the metadata is copied. In the end writes wait for a moment, and the \
      coordinator starts itself anew with PostgreSQL: clients try again by themselves for that second or two. A move that fails, or is cut \
      short by whatever, leaves the cluster on SQLite as it was; give the command once more.

      Then set “metadata = postgres” in the configuration of this coordinator, and add others if you like. The SQLite file refuses to be \
      used from then on; remove it when a backup of PostgreSQL has been made.
      """,
    options: [CommandOption("to", value: "ENGINE", help: "postgres")],
    examples: ["cairnctl metadata migrate --to postgres"]
  ) { invocation in
    guard invocation.option("to") == "postgres" else {
      throw CommandFailure(.usage, "--to has to be “postgres”; nothing else can be moved to.")
    }
    let coordinator = try CoordinatorConnection()
    let console = invocation.console
    let line = StatusLine(console)
    var status = try await coordinator.perform(OperatorOperations.MigrateMetadata())
    // Between the switch and its new start nobody answers.
    var silence = 0
    while status.engine == .sqlite {
      line.show(text(of: status))
      if status.move?.state == .failed {
        line.clear()
        throw CommandFailure(.failed, "The metadata was not moved: \(status.move?.failure ?? "the coordinator's log says why.")")
      }
      guard status.move != nil else {
        line.clear()
        throw CommandFailure(.failed, "The coordinator was started anew before the move had ended: the metadata is in SQLite as it was.")
      }
      try await Task.sleep(for: .milliseconds(250))
      do {
        status = try await coordinator.perform(OperatorOperations.GetMetadata())
        silence = 0
      } catch let problem as Problem where problem.kind == .unavailable && silence < 240 { silence += 1 }
    }
    line.clear()
    try console.result(status) {
      "the metadata is in PostgreSQL; set “metadata = postgres” in the coordinator's configuration, and look with “cairnctl audit”"
    }
  }

  private static func text(of status: MetadataStatus) -> String {
    let engine = status.engine == .sqlite ? "the metadata is in SQLite" : "the metadata is in PostgreSQL"
    guard let move = status.move else { return engine }
    switch move.state {
    case .running where move.rounds > 0:
      return "\(engine); moving: \(move.rows) rows copied, round \(move.rounds) brought over \(move.lastRound)"
    case .running: return "\(engine); moving: \(move.rows) rows copied"
    case .failed: return "\(engine); a move failed: \(move.failure ?? "the log says why")"
    case .done: return "\(engine) no more; the coordinator is starting anew"
    }
  }
}
