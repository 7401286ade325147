import BlockModel
import BlockStore
import ControlClient
import Credentials
import HTTPTransport
import Journal
import Platform
import StorageNode

/// `cairnd node`: opens the disks, starts the server and the heartbeats, and waits for the end.
enum NodeDaemon {
  private static let shutdownGrace: Duration = .seconds(10)
  /// One read takes half of it, as much as a TLS record. The library clears all of it after each request, which costs small blocks more
  /// than larger reads would spare large ones.
  private static let connectionMemoryBytes = 32 << 10

  static func run(_ path: String) async throws {
    let file = try ConfigurationFile.load(path, knownKeys: NodeConfiguration.keys + ["log-level"])
    let configuration = try NodeConfiguration(file)
    let settings = try DaemonSettings(file, component: "node")
    try DaemonSettings.checkReach(configuration.coordinators, "coordinators")
    let signals = try ProcessSignals.stream()
    try Directory.create(configuration.dataFolder)
    let lock = try FolderLock(configuration.dataFolder)
    let (node, client, control) = try open(configuration, settings)

    let observer = RequestObserver(metrics: settings.metrics, logger: settings.logger)
    var server = settings.server(connectionMemoryBytes: connectionMemoryBytes, asksDaemons: true) { observer.observe($0) }
    server.corsOrigins = configuration.corsOrigins
    let http = HTTPServer(configuration: server, router: node.router)
    try http.start()
    node.start()
    settings.logger.info("serving", ["address": .string(configuration.advertisedAddress), "zone": .string(configuration.zone.text)])
    await Lifetime.untilTold(signals, settings.logger) {
      let keys = try readKeys(configuration)
      node.replace(keys: keys)
      for coordinator in control { coordinator.replace(token: keys.token) }
      try settings.reloadTLS(http, client)
    }

    settings.logger.info("stopping")
    node.refuseWrites()
    await http.shutdown(grace: shutdownGrace)
    await node.stop()
    client.shutdown()
    lock.release()
  }

  private static func open(_ configuration: NodeConfiguration, _ settings: DaemonSettings) throws -> (
    StorageNode, HTTPClient, [RemoteControlPlane]
  ) {
    let keys = try readKeys(configuration)
    let dataKeys = try openDataKeys(configuration)
    let pool = BlockingPool(name: "node", threads: 4, queueLimit: 1024)
    let knowledge = try ClusterKnowledge(folder: configuration.dataFolder, cluster: keys.cluster, pool: pool)
    let roster = try DiskRoster.load(folder: configuration.dataFolder)
    let disks = try NodeDisks.open(configuration.diskFolders, roster: roster, log: settings.logger) {
      (folder, mayFormat) throws(BlockStoreError) in
      try openDisk(folder, mayFormat, configuration, keys.cluster, dataKeys, settings.logger)
    }
    if disks.roster != roster { try disks.roster.save(folder: configuration.dataFolder) }
    let seals = try PartitionSeals(folder: configuration.dataFolder, knownLayout: knowledge.layoutVersion, pool: pool)
    let client = settings.client()
    let control = configuration.coordinators.map { RemoteControlPlane(http: client, url: $0, token: keys.token, timeout: .seconds(5)) }
    var parts = StorageNode.Parts(
      node: configuration.node, zone: configuration.zone, weight: configuration.weight,
      advertisedAddress: configuration.advertisedAddress, durability: configuration.durability, limits: configuration.limits, keys: keys,
      dataKeys: dataKeys, disks: disks.disks, knowledge: knowledge, seals: seals, client: client, control: control, pool: pool,
      time: SystemTime(), metrics: NodeMetrics(settings.metrics), log: settings.logger)
    parts.diskFolders = disks.folders
    parts.scrub = configuration.scrub
    parts.quarantineHold = configuration.quarantineHold
    parts.journal = try JournalStore(fileSystem: LinuxFileSystem(), folder: configuration.dataFolder + "/journal")
    return (StorageNode(parts), client, control)
  }

  private static func readKeys(_ configuration: NodeConfiguration) throws -> NodeKeys {
    let keys = try KeyFile.readNode(configuration.keyFile)
    guard keys.node == configuration.node else {
      throw ConfigurationError(
        message: "“name” is \(configuration.node) and \(configuration.keyFile) holds the keys of \(keys.node); one of them is wrong.")
    }
    return keys
  }

  private static func openDataKeys(_ configuration: NodeConfiguration) throws -> DataKeyring? {
    guard configuration.encryption else { return nil }
    return try DataKeyring.open(path: dataKeyPath(configuration), master: try masterKey(configuration))
  }

  static func dataKeyPath(_ configuration: NodeConfiguration) -> String { configuration.dataFolder + "/data-keys" }

  static func masterKey(_ configuration: NodeConfiguration) throws -> MasterKey {
    if let path = configuration.masterKeyFile { return try MasterKey.load(file: path) }
    return try MasterKey.load(command: configuration.masterKeyCommand ?? "")
  }

  private static func openDisk(
    _ folder: String, _ mayFormat: Bool, _ configuration: NodeConfiguration, _ cluster: ClusterID, _ keys: DataKeyring?, _ logger: Logger
  ) throws(BlockStoreError) -> SegmentStore {
    var disk = SegmentStore.Configuration(folder: folder, cluster: cluster, keys: keys)
    disk.owner = configuration.node
    disk.formatsEmptyFolder = mayFormat
    disk.durability = configuration.durability
    if let segmentBytes = configuration.segmentBytes { disk.segmentBytes = Int(segmentBytes) }
    disk.capacityBytes = configuration.diskBytes
    let store = try SegmentStore.open(disk)
    logger.info(
      "disk open",
      [
        "disk": .string(store.disk.hex), "folder": .string(folder), "scanned_records": .int(store.openReport.scannedRecords),
        "checked_records": .int(store.openReport.checkedRecords), "torn_records": .int(store.openReport.tornRecords),
        "checkpoint": .bool(store.openReport.usedCheckpoint),
      ])
    return store
  }
}
