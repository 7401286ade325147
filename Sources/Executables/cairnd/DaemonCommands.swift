import BlockModel
import BlockStore
import CommandLineKit
import Credentials
import HTTPTransport
import MetadataStore
import Platform
import StorageNode

/// `cairnd node|coordinator|gateway --config FILE`.
enum DaemonCommands {
  static let tool = CommandLineTool(
    root: Command(
      "cairnd", summary: "run a daemon of a Cairn cluster",
      discussion: """
        Each daemon is one process with one configuration file. SIGTERM lets running requests finish and ends it; \
        whatever was acknowledged is on \
        disk long before.
        """,
      subcommands: [
        daemon("node", "keep blocks on this machine's disks", NodeDaemon.run),
        daemon("coordinator", "keep the metadata and the layout", CoordinatorDaemon.run),
        daemon("gateway", "serve clients", GatewayDaemon.run), DiskCommands.command,
        KeyCommands.command,
        StoreCommands.command, RestoreCommand.command,
      ]),
    version: CairnVersion.text, explain: explain)

  private static func daemon(_ name: String, _ summary: String, _ run: @escaping @Sendable (String) async throws -> Void) -> Command {
    Command(
      name, summary: summary,
      options: [CommandOption("config", value: "FILE", help: "the configuration; docs/operations.md lists its settings", isRequired: true)],
      examples: ["cairnd \(name) --config /etc/cairn/\(name).conf"]
    ) { invocation in
      Memory.keepGivingBack(each: .seconds(30))
      try await run(invocation.option("config") ?? "")
    }
  }

  private static func explain(_ error: any Error) -> CommandFailure? {
    switch error {
    case let error as ConfigurationError: CommandFailure(.usage, error.message)
    case let error as HTTPServerError: CommandFailure(.failed, error.message)
    case let error as CredentialError: CommandFailure(.failed, error.message)
    case let error as BlockStoreError: CommandFailure(ExitStatus(error.code), error.message)
    case let error as ClusterKnowledge.Refused: CommandFailure(.conflict, error.description)
    case let error as DiskRoster.Damaged: CommandFailure(.conflict, error.description)
    case let error as FileError: CommandFailure(.failed, error.description)
    case let error as MetadataError: CommandFailure(.failed, error.message)
    default: nil
    }
  }
}

extension ExitStatus {
  /// What a disk or a key that is not this node's ends with.
  init(_ code: BlockStoreError.Code) {
    switch code {
    case .wrongCluster, .wrongNode, .newerFormat, .locked: self = .conflict
    case .wrongKey: self = .notAllowed
    case .full: self = .noSpace
    default: self = .failed
    }
  }
}

/// Waits for SIGTERM or SIGINT. SIGHUP has key files and certificates read again; all else in a configuration is read at the start.
enum Lifetime {
  /// - Parameter reload: reads again what may change; when it throws, what was read before stays in use.
  static func untilTold(_ signals: AsyncStream<ProcessSignal>, _ logger: Logger, reload: () throws -> Void) async {
    for await signal in signals {
      guard signal == .hangUp else { return }
      do {
        try reload()
        logger.info("keys and certificates were read again")
      } catch { logger.error("keys and certificates could not be read again; the old ones stay in use", ["reason": .error(error)]) }
    }
  }
}
