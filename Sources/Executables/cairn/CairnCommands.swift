import BlockModel
import CairnClient
import CommandLineKit
import Platform

/// `cairn` and its verbs.
enum CairnCommands {
  static let tool = CommandLineTool(
    root: Command(
      "cairn", summary: "keep files in a Cairn cluster",
      discussion: """
        Remote paths are absolute, such as /docs/a.txt. Files travel straight to and from the storage nodes, in blocks \
        that are verified on both \
        sides; an interrupted put or get goes on when you start it again.

        The cluster is named by CAIRN_GATEWAY, or by the profile that “cairn login” keeps. CAIRN_TOKEN stands in for \
        the profile's token, and \
        CAIRN_CA_FILE names the cluster's certificate authority when its addresses begin with https.

        Exit status: 0 done, 1 failed, 2 usage, 3 conflict, 4 not found, 5 not allowed, 6 quota or space, 7 unavailable, try again.
        """,
      flags: [.json, .quiet],
      subcommands: AccountCommands.all + TransferCommands.all + TreeCommands.all
        + HistoryCommands.all + SharingCommands.all + KeyCommands.all + SyncCommands.all + InspectionCommands.all,
      examples: [
        "export CAIRN_GATEWAY=http://127.0.0.1:8080", "cairn signup ada && cairn login ada", "cairn put -r photos /photos",
        "cairn get /photos/2026.jpg .",
      ]),
    version: CairnVersion.text, describesItself: true, explain: failure(of:))

  /// Every error of the SDK is a sentence with what to do already; only the status is left to find.
  static func failure(of error: any Error) -> CommandFailure? {
    switch error {
    case let error as CommandFailure: error
    case let error as CairnError: CommandFailure(status(of: error), sentence(error))
    case let error as FileError: CommandFailure(error.isOutOfSpace ? .noSpace : .failed, error.description)
    default: nil
    }
  }

  static func status(of error: CairnError) -> ExitStatus {
    switch error.kind {
    // A range that begins beyond the end: the command line was right, and the file has other bytes.
    case .invalidArgument: error.status == 416 ? .failed : .usage
    case .notLoggedIn, .notAllowed: .notAllowed
    case .notFound: .notFound
    case .conflict: .conflict
    case .quota: .noSpace
    case .unavailable: .unavailable
    case .sourceChanged, .corrupted, .noKey, .keyChanged, .encryption, .localFile, .cancelled, .unexpected: .failed
    }
  }

  /// A sentence that says which thing it is of, once.
  static func sentence(_ message: String, naming path: String) -> String {
    let name = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    return name.isEmpty || message.contains(name) ? message : "\(path): \(message)"
  }

  private static func sentence(_ error: CairnError) -> String {
    guard error.kind == .conflict, let current = error.current else { return error.message }
    return "\(error.message) (\(current.path) is at version \(current.version) now.)"
  }
}
