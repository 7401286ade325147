import BlockModel
import ClusterLogic
import Coordinator
import Credentials
import Glibc
import HTTPTransport
import MetadataStore
import Platform
import PostgreSQLDatabase
import Synchronization

/// `cairnd coordinator`: opens the metadata, raises the generation, keeps the cluster, and answers gateways, nodes and operators.
enum CoordinatorDaemon {
  static let keys =
    DaemonSettings.keys + [
      "data", "keys", "initial-nodes", "partition-bits", "replication-factor", "write-quorum", "suspect-after-seconds", "out-after-seconds",
      "durability", "encryption", "sign-up", "default-quota", "repair-bytes-per-second", "version-retention-days", "feed-retention-days",
      "backup-window-hours", "gc-interval-hours", "gc-grace-seconds", "gc-blocks-per-second", "upload-lease-seconds",
      "url-lifetime-seconds", "metadata", "metadata-connection-file", "lease-seconds", "metadata-journal", "malware-scanner",
      "malware-unscanned", "malware-scan-bytes", "malware-scans-at-once",
    ]
  private static let shutdownGrace: Duration = .seconds(10)
  private static let connectionMemoryBytes = 64 << 10

  static func run(_ path: String) async throws {
    let file = try ConfigurationFile.load(path, knownKeys: keys)
    let settings = try DaemonSettings(file, component: "coordinator")
    let keyPath = try file.requiredString("keys")
    let (secret, cluster) = try KeyFile.readCluster(keyPath)
    let folder = try file.requiredString("data")
    let clusterConfiguration = try clusterConfiguration(file)
    let identity = try identity(file, cluster)
    let options = try metadataOptions(file)
    let userOptions = try userOptions(file)
    let signals = try ProcessSignals.stream()
    try Directory.create(folder)
    let lock = try FolderLock(folder)
    let moved = try SQLMetadataStore.moved(path: databasePath(folder))
    let wantsShared = try file.choice("metadata", ["sqlite", "postgres"]) == "postgres"
    if moved != nil, !wantsShared {
      settings.logger.warning("the metadata has moved to PostgreSQL: set “metadata = postgres” in the configuration")
    }
    let isShared = wantsShared || moved != nil
    let store = try await open(file, isShared: isShared, folder, identity, options, moved)

    // Commands and their answers: large buffers would only be holes among the small things that a coordinator keeps.
    let client = settings.client(connectionsPerHost: 16, bufferBytes: 64 << 10)
    let logger = settings.logger
    let dispatcher = ControlDispatcher { actor, action, subject in
      do { try await store.note(actor: actor, action: action, subject: subject) } catch {
        logger.error("the audit log could not be written", ["actor": .string(actor), "action": .string(action), "reason": .error(error)])
      }
    }
    let receipts = ReceiptVerifier(root: secret.receiptRoot, cluster: cluster)
    let signer = CapabilitySigner(secret: secret)
    let control = Rotating(secret.controlRoot)
    let users = UserService(
      store: store, receipts: receipts, options: userOptions, logger: settings.logger)
    users.register(on: dispatcher)
    let service = ClusterService(
      metadata: store, signer: signer, http: client, time: SystemTime(),
      configuration: clusterConfiguration, logger: settings.logger, metrics: settings.metrics, garbage: store)
    service.register(on: dispatcher)
    let scanner = try scanner(file).map { configuration in
      ContentScanner(store: store, configuration: configuration, logger: settings.logger, metrics: settings.metrics) { block in
        await service.read(block)
      }
    }
    let migration = MigrationService(isShared: isShared, logger: settings.logger) { report in
      // Read anew: what a cluster on SQLite does not need may have been written since it was started.
      _ = try await store.move(to: connection(ConfigurationFile.load(path, knownKeys: keys)), report: report)
    }
    migration.register(on: dispatcher)
    QuarantineService(store: store, scanner: scanner).register(on: dispatcher)
    let tidy: @Sendable () async -> Void = {
      async let scanning: Void? = scanner?.run()
      await users.keepTidy()
      _ = await scanning
    }
    // A file has one coordinator, which keeps the cluster from the start; of several over one database the holder of the lease does.
    let term = JobsTerm(
      store: store, time: SystemTime(), length: .seconds(try file.int("lease-seconds", in: 1...600) ?? 10), logger: settings.logger)
    // What a file's disk has is on the nodes, too, before anybody is told; a database server has standbys of its own.
    let keepsJournal = try file.choice("metadata-journal", ["on", "off"]) != "off" && !isShared
    let journal =
      keepsJournal
      ? MetadataJournal(secret: secret, http: client, time: SystemTime(), folder: folder, logger: settings.logger) : nil
    if let journal {
      service.askJournal { journal.needs($0) }
    } else if !isShared {
      try await store.leaveJournal()
      try await service.start()
    }
    let verifier = ServiceTokenVerifier(root: control)
    let backups = BackupRoute(store: store, verifier: verifier, folder: folder, logger: settings.logger)
    let http = try serve(settings, dispatcher, verifier, backups) { journal?.isEstablished ?? true }
    settings.logger.info("serving", ["address": .string(settings.advertise), "cluster": .string(cluster.hex)])
    try await untilTold(signals, settings.logger) {
      let (secret, sameCluster) = try KeyFile.readCluster(keyPath)
      guard sameCluster == cluster else { throw ConfigurationError(message: "\(keyPath) holds the keys of another cluster.") }
      // Who verifies comes first, as everywhere.
      receipts.replace(root: secret.receiptRoot)
      control.replace(secret.controlRoot)
      signer.replace(secret: secret)
      journal?.replace(secret: secret)
      try settings.reloadTLS(http, client)
    } keeping: {
      if isShared { return await keep(service, term, tidy) }
      if let journal { try await begin(journal, store, service) }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await tidy() }
        group.addTask { await migration.untilMoved() }
        if let journal { group.addTask { try await journal.untilFenced() } }
        _ = try await group.next()
        group.cancelAll()
      }
    }

    settings.logger.info("stopping")
    await service.stop()
    await journal?.stop()
    // Who waits for changes would hold the end up for the whole grace.
    store.hub.close()
    await http.shutdown(grace: shutdownGrace)
    await store.close()
    client.shutdown()
    lock.release()
    if migration.hasMoved { throw startAnew() }
  }

  /// Becomes the same program with the same words, which opens what the metadata is in by now.
  /// - Returns: why that failed.
  private static func startAnew() -> any Error {
    execv("/proc/self/exe", CommandLine.unsafeArgv)
    return FileError(operation: "start anew", path: "/proc/self/exe", errno: errno)
  }

  private static func databasePath(_ folder: String) -> String { folder + "/metadata.db" }

  /// Runs `keeping` until a signal ends it, or it fails.
  private static func untilTold(
    _ signals: AsyncStream<ProcessSignal>, _ logger: Logger, reload: @escaping @Sendable () throws -> Void,
    keeping: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await Lifetime.untilTold(signals, logger, reload: reload) }
      group.addTask {
        do { try await keeping() } catch is CancellationError {}
      }
      _ = try await group.next()
      group.cancelAll()
    }
  }

  /// Puts the database and the nodes' journal together, and begins to keep the cluster.
  private static func begin(_ journal: MetadataJournal, _ store: SQLMetadataStore, _ service: ClusterService) async throws {
    try await journal.establish(store) { await service.nodesBeforeStart() }
    try await service.start()
    journal.run(over: store) { service.journalNodes }
    try await journal.awaitSafety()
  }

  /// Keeps the cluster and tidies up while this coordinator holds the lease of the jobs. Users are served all the time.
  private static func keep(_ service: ClusterService, _ term: JobsTerm, _ tidy: @escaping @Sendable () async -> Void) async {
    let tidying = Tidying()
    await term.run {
      try await service.start()
      tidying.begin(tidy)
    } end: {
      tidying.end()
      await service.standDown()
    }
  }

  /// The metadata where the configuration says that it is: a file in the data folder, or a PostgreSQL database, whose connection string
  /// has a file of its own because it may hold a password.
  private static func open(
    _ file: ConfigurationFile, isShared: Bool, _ folder: String, _ identity: ClusterIdentity, _ options: MetadataOptions, _ moved: Int64?
  ) async throws -> SQLMetadataStore {
    guard isShared else {
      return try await SQLMetadataStore.open(path: databasePath(folder), identity: identity, options: options)
    }
    return try await SQLMetadataStore.open(postgreSQL: connection(file), identity: identity, options: options, moved: moved)
  }

  private static func connection(_ file: ConfigurationFile) throws -> PostgreSQLOptions {
    let path = try file.requiredString("metadata-connection-file")
    guard let bytes = try AtomicFile.read(path, limit: 64 << 10) else {
      throw ConfigurationError(message: "“metadata-connection-file” names \(path), and there is no such file.")
    }
    return PostgreSQLOptions(connection: String(decoding: bytes, as: UTF8.self).split(separator: "\n").joined(separator: " "))
  }

  private static func serve(
    _ settings: DaemonSettings, _ dispatcher: ControlDispatcher, _ verifier: ServiceTokenVerifier, _ backups: BackupRoute,
    servesUsers: @escaping @Sendable () -> Bool
  ) throws -> HTTPServer {
    var router = HTTPRouter()
    ControlRoutes(dispatcher: dispatcher, verifier: verifier, logger: settings.logger, servesUsers: servesUsers).add(to: &router)
    backups.add(to: &router)
    let unready: @Sendable () -> String? = {
      servesUsers() ? nil : "The coordinator is putting its metadata and the nodes' journal together."
    }
    HealthRoutes(unready: unready, metrics: settings.metrics).add(to: &router)
    let observer = RequestObserver(metrics: settings.metrics, logger: settings.logger)
    let http = HTTPServer(
      configuration: settings.server(connectionMemoryBytes: connectionMemoryBytes, asksDaemons: true) { observer.observe($0) },
      router: router)
    try http.start()
    return http
  }

  private static func clusterConfiguration(_ file: ConfigurationFile) throws -> ClusterConfiguration {
    guard let nodes = try file.int("initial-nodes", in: 1...10_000) else {
      throw ConfigurationError(message: "“initial-nodes” has to say how many nodes make the first layout.")
    }
    var failure = FailureDetector.Configuration.production
    failure.suspectAfter = .seconds(try file.int("suspect-after-seconds", in: 1...3600) ?? 10)
    failure.outAfter = .seconds(try file.int("out-after-seconds", in: 2...604_800) ?? 600)
    guard failure.outAfter > failure.suspectAfter else {
      throw ConfigurationError(message: "“out-after-seconds” has to be more than “suspect-after-seconds”.")
    }
    // Silence is noticed within a fifth of the time after which it counts.
    let beat = max(.milliseconds(200), min(.seconds(1), failure.suspectAfter / 5))
    failure.tickInterval = beat
    var repair = RepairScheduler.Configuration()
    // Of its own accord repair grows with the cluster; a rate that was given is one for all of it.
    repair.bytesPerSecondPerNode = 32 << 20
    repair.moveBytesPerSecondPerNode = 32 << 20
    if let rate = try file.size("repair-bytes-per-second") {
      repair.bytesPerSecond = rate
      repair.bytesPerSecondPerNode = 0
    }
    var configuration = ClusterConfiguration(
      initialNodes: nodes, failure: failure, heartbeatInterval: beat, repair: repair,
      isEncrypted: try file.choice("encryption", ["on", "off"]) != "off")
    let hours = try file.int("gc-interval-hours", in: 0...8760) ?? 24
    configuration.garbageInterval = hours == 0 ? nil : .seconds(hours * 3600)
    if let grace = try file.int("gc-grace-seconds", in: 0...604_800) { configuration.garbage.grace = .seconds(grace) }
    // What gateways give at most, here too because the collector has to know.
    let urlLife = Duration.seconds(try file.int("url-lifetime-seconds", in: 10...86_400) ?? 1800)
    configuration.shortestHold = max(
      try metadataOptions(file).uploadLease + urlLife, try backupWindow(file) - configuration.garbage.grace)
    if let rate = try file.int("gc-blocks-per-second", in: 1...1_000_000) { configuration.garbage.blocksPerSecond = rate }
    return configuration
  }

  /// How old a backup may be that is to be restored with all its blocks.
  static func backupWindow(_ file: ConfigurationFile) throws -> Duration {
    .seconds((try file.int("backup-window-hours", in: 0...8760) ?? 24) * 3600)
  }

  private static func identity(_ file: ConfigurationFile, _ cluster: ClusterID) throws -> ClusterIdentity {
    let replicas = try file.int("replication-factor", in: 1...16) ?? 3
    let quorum = try file.int("write-quorum", in: 1...16) ?? min(2, replicas)
    guard quorum <= replicas else { throw ConfigurationError(message: "“write-quorum” cannot be more than “replication-factor”.") }
    return ClusterIdentity(
      cluster: cluster, partitionBits: try file.int("partition-bits", in: 0...20) ?? 12, replicationFactor: replicas, writeQuorum: quorum)
  }

  private static func metadataOptions(_ file: ConfigurationFile) throws -> MetadataOptions {
    var options = MetadataOptions()
    options.countsRelaxedReceipts = try file.choice("durability", ["strict", "relaxed"]) == "relaxed"
    if let lease = try file.int("upload-lease-seconds", in: 1...2_592_000) { options.uploadLease = .seconds(lease) }
    if try scanner(file) != nil {
      options.scanning = try file.choice("malware-unscanned", ["serve", "refuse"]) == "refuse" ? .refusesUnscanned : .servesUnscanned
    } else if file.string("malware-unscanned") != nil {
      throw ConfigurationError(message: "“malware-unscanned” is for coordinators with a “malware-scanner”, and none is named.")
    }
    let day: Int64 = 24 * 3600
    if let days = try file.int("version-retention-days", in: 1...36_500) { options.retention = .seconds(Int64(days) * day) }
    if let days = try file.int("feed-retention-days", in: 1...36_500) { options.feedRetention = .seconds(Int64(days) * day) }
    return options
  }

  /// Nil when nothing is scanned.
  private static func scanner(_ file: ConfigurationFile) throws -> ContentScanner.Configuration? {
    guard let socket = file.string("malware-scanner") else { return nil }
    var configuration = ContentScanner.Configuration(socket: socket)
    if let limit = try file.size("malware-scan-bytes") { configuration.sizeLimit = Int64(limit) }
    configuration.concurrency = try file.int("malware-scans-at-once", in: 1...64) ?? configuration.concurrency
    return configuration
  }

  private static func userOptions(_ file: ConfigurationFile) throws -> UserService.Options {
    var options = UserService.Options()
    options.defaultQuota = try file.size("default-quota")
    _ = try file.choice("sign-up", ["open"])
    return options
  }
}

/// The tidying of one term.
private final class Tidying: Sendable {
  private let task = Mutex<Task<Void, Never>?>(nil)

  func begin(_ tidy: @escaping @Sendable () async -> Void) { task.withLock { $0 = Task { await tidy() } } }
  func end() { task.withLock { $0 }?.cancel() }
}

/// Keeps a second process off a data folder for as long as this one lives.
final class FolderLock: Sendable {
  private let file: File

  /// - Throws: `ConfigurationError` when another process has the folder.
  init(_ folder: String) throws {
    file = try File(folder + "/lock", [.write, .create])
    guard try file.lockExclusive() else {
      throw FileError(operation: "lock", path: folder, errno: 0, reason: "another process is using it; a data folder has one daemon")
    }
  }

  /// The lock ends with the process or here, whichever is first; calling this keeps the object alive until then.
  func release() {}
}
