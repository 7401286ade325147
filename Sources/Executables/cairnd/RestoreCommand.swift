import BlockModel
import CommandLineKit
import Coordinator
import Credentials
import HTTPTransport
import MetadataStore
import Platform
import ServiceAPI
import Synchronization

/// `cairnd restore`: makes a stopped coordinator's database anew; what `cairnctl restore` calls.
enum RestoreCommand {
  /// Between two attempts while too few nodes are known.
  private static let pause: Duration = .seconds(1)

  static let command = Command(
    "restore", summary: "make a stopped coordinator's database anew, from the nodes or from a backup",
    discussion: """
      With --from-nodes nothing that was acknowledged is missing: every change lies on nodes of as many zones as a write needs before it \
      is \
      acknowledged. With FILE, from “cairnctl backup”, what was changed after the backup is given up; look at “cairnctl audit” \
      afterwards for blocks that were deleted since.

      The coordinator must be stopped and its folder empty of a database. Nodes are found by their heartbeats, for which this answers in \
      the \
      coordinator's place, and by --node. Afterwards open uploads have ended, clients list their folders anew, and nothing is collected \
      before “cairnctl gc release”.
      """,
    arguments: [CommandArgument("FILE", help: "a backup", count: .optional)],
    options: [
      CommandOption("config", value: "FILE", help: "the coordinator's configuration", isRequired: true),
      CommandOption("node", value: "NAME=URL", help: "a node and where it is", repeats: true),
      CommandOption("timeout", value: "T", help: "how long to wait for nodes", kind: .duration, default: "2m"),
    ],
    flags: [
      CommandFlag("from-nodes", help: "restore what the nodes keep of the metadata"),
      CommandFlag("accept-loss", help: "restore also when so many nodes are silent that acknowledged changes may be missing"), .json,
      .quiet,
    ],
    examples: ["cairnd restore --from-nodes --config /etc/cairn/coordinator.conf"]
  ) { invocation in
    let backup = invocation.optionalArgument("FILE")
    guard invocation.flag("from-nodes") != (backup != nil) else {
      throw CommandFailure(.usage, "Say where to restore from: a backup's FILE, or --from-nodes.")
    }
    let file = try ConfigurationFile.load(invocation.option("config") ?? "", knownKeys: CoordinatorDaemon.keys)
    let report = try await run(
      file, backup.map { .backup($0) } ?? .nodes, seeds: try invocation.options("node").map(seed),
      timeout: invocation.duration("timeout") ?? .seconds(120), acceptsLoss: invocation.flag("accept-loss"))
    try invocation.console.result(report) {
      """
      restored up to record \(report.newestRecord) (a copy as of record \(report.snapshotRecord), and \
      \(report.newestRecord - report.snapshotRecord) records); \(report.heard.count) nodes were asked\
      \(report.silent.isEmpty ? "" : ", \(report.silent.count) are silent")
      layout \(report.layoutVersion), GC epoch \(report.gcEpoch), \(report.endedUploads) open uploads end
      start the coordinator; then look at “cairnctl audit”, and allow collecting with “cairnctl gc release”
      """
    }
  }

  private static func seed(_ text: String) throws -> MetadataRecovery.Seed {
    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, let node = NodeID(parts[0]) else {
      throw CommandFailure(.usage, "--node takes NAME=URL, such as node-1=https://10.0.0.1:7001.")
    }
    return MetadataRecovery.Seed(node: node, zone: nil, address: parts[1])
  }

  private static func run(
    _ file: ConfigurationFile, _ source: MetadataRecovery.Source, seeds: [MetadataRecovery.Seed], timeout: Duration, acceptsLoss: Bool
  ) async throws -> MetadataRecovery.Report {
    let settings = try DaemonSettings(file, component: "restore")
    let (secret, cluster) = try KeyFile.readCluster(try file.requiredString("keys"))
    let folder = try file.requiredString("data")
    try Directory.create(folder)
    let lock = try FolderLock(folder)
    let client = settings.client(connectionsPerHost: 4)
    let heard = HeardNodes()
    let http = try listen(settings, ServiceTokenVerifier(root: secret.controlRoot), heard)
    let recovery = MetadataRecovery(
      secret: secret, cluster: cluster, folder: folder, http: client, time: SystemTime(),
      backupWindow: try CoordinatorDaemon.backupWindow(file))
    let result: Result<MetadataRecovery.Report, any Error>
    do {
      result = .success(try await attempt(recovery, source, seeds, heard, timeout: timeout, acceptsLoss: acceptsLoss))
    } catch { result = .failure(error) }
    await http.shutdown(grace: .seconds(1))
    client.shutdown()
    lock.release()
    do { return try result.get() } catch let error as MetadataRecovery.Refused {
      throw CommandFailure(error.isForNow ? .unavailable : .conflict, error.description)
    }
  }

  /// Again and again while more nodes may come.
  private static func attempt(
    _ recovery: MetadataRecovery, _ source: MetadataRecovery.Source, _ seeds: [MetadataRecovery.Seed], _ heard: HeardNodes,
    timeout: Duration, acceptsLoss: Bool
  ) async throws -> MetadataRecovery.Report {
    let end = SystemTime().monotonic() + timeout
    while true {
      let isLast = SystemTime().monotonic() >= end
      let others = heard.all.filter { one in !seeds.contains { $0.node == one.node } }
      do {
        // A loss is accepted when nobody else comes any more.
        return try await recovery.run(source, seeds: seeds + others, acceptsLoss: acceptsLoss && isLast)
      } catch let error as MetadataRecovery.Refused {
        guard error.isForNow, !isLast else { throw error }
      }
      try await Task.sleep(for: pause)
    }
  }

  /// Answers nodes' heartbeats in the coordinator's place: with nothing but a note of where they are.
  private static func listen(
    _ settings: DaemonSettings, _ verifier: ServiceTokenVerifier, _ heard: HeardNodes
  ) throws -> HTTPServer {
    let dispatcher = ControlDispatcher()
    // Whoever asks the coordinator meanwhile is to come back.
    let away = Problem(.unavailable, "The coordinator is being restored.", retryAfter: 1)
    dispatcher.register(ClusterOperations.Heartbeat.self) { (heartbeat, context) async throws(Problem) in
      if context.node == heartbeat.node {
        heard.note(MetadataRecovery.Seed(node: heartbeat.node, zone: heartbeat.zone, address: heartbeat.address))
      }
      throw away
    }
    var router = HTTPRouter()
    ControlRoutes(dispatcher: dispatcher, verifier: verifier, logger: settings.logger, unknown: away).add(to: &router)
    let http = HTTPServer(configuration: settings.server(connectionMemoryBytes: 64 << 10, asksDaemons: true), router: router)
    try http.start()
    return http
  }
}

/// Nodes that sent a heartbeat; bounded, because each has a token of the cluster.
private final class HeardNodes: Sendable {
  private static let limit = 10_000
  private let nodes = Mutex<[NodeID: MetadataRecovery.Seed]>([:])
  func note(_ seed: MetadataRecovery.Seed) {
    nodes.withLock { nodes in
      if nodes.count < HeardNodes.limit { nodes[seed.node] = seed }
    }
  }
  var all: [MetadataRecovery.Seed] { nodes.withLock { $0.values.sorted { $0.node < $1.node } } }
}
