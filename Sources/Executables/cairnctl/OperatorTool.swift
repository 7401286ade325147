import BlockModel
import CommandLineKit

/// `cairnctl`: what operators ask of a cluster.
enum OperatorTool {
  static let tool = CommandLineTool(
    root: Command(
      "cairnctl", summary: "look after a Cairn cluster",
      discussion: """
        Asks the coordinator that CAIRN_COORDINATOR names (several URLs with commas between them are tried in turn), with the token in \
        CAIRN_OPERATOR_TOKEN; CAIRN_CA_FILE names the cluster's CA. The verbs init, issue, secret and tls work on files and ask nobody.

        Ends with 0 when done, 1 failed, 2 usage, 3 conflict, 4 not found, 5 not allowed, 6 no space, 7 unavailable.
        """,
      flags: [.json, .quiet],
      subcommands: StatusCommands.commands + [LayoutCommands.command] + RebalanceCommands.commands + RepairCommands.commands
        + [AdmitCommand.command, WaitCommand.command, UserCommands.command] + [AuditLogCommand.command, CertificateCommands.command] + [
          ScrubCommands.command, DiskCommands.command, RotationCommands.command, GarbageCommands.command, QuarantineCommands.command,
          BackupCommand.command, RestoreCommand.command, MetadataCommands.command,
        ]
        + ForesightCommands.commands + KeyCommands.commands,
      examples: ["cairnctl status", "cairnctl repair --wait", "cairnctl audit"]),
    version: CairnVersion.text, describesItself: true, explain: { CommandFailure($0) })
}
