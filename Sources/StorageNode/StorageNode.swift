package import BlockModel
package import BlockStore
package import Credentials
package import HTTPTransport
package import Journal
package import Platform
package import ServiceAPI
internal import Synchronization

/// One storage node, put together from its parts: its routes, its heartbeats, and its end. It opens no sockets and no disks itself, so
/// tests run it over any store and any transport.
///
/// What must hold: every route but `/healthz`, `/readyz` and `/metrics` asks for a capability before it does anything.
package final class StorageNode: Sendable {
  /// What a node is made from.
  package struct Parts: Sendable {
    package var node: NodeID
    package var zone: ZoneID
    package var weight: Double
    package var advertisedAddress: String
    package var durability: Receipt.Durability
    package var limits: NodeLimits
    package var keys: Rotating<NodeKeys>
    /// nil with encryption off.
    package var dataKeys: DataKeyring?
    package var disks: [any BlockStoring]
    package var knowledge: ClusterKnowledge
    package var seals: PartitionSeals
    package var client: any HTTPRequesting
    /// The coordinators, asked in turn.
    package var control: [any ControlPlane]
    package var pool: BlockingPool
    package var time: any TimeSource
    package var metrics: NodeMetrics
    package var log: Logger
    package var scrub = ScrubPacer.Configuration()
    /// How long a deleted block can be taken back: more than a URL and an upload's lease live together.
    package var quarantineHold: Duration = .seconds(25 * 3600)
    /// Where each disk is, for those who look after the cluster.
    package var diskFolders: [DiskID: String] = [:]
    /// Where this node keeps its part of the metadata's journal; nil refuses it.
    package var journal: JournalStore?

    package init(
      node: NodeID, zone: ZoneID, weight: Double, advertisedAddress: String, durability: Receipt.Durability, limits: NodeLimits,
      keys: NodeKeys, dataKeys: DataKeyring?, disks: [any BlockStoring], knowledge: ClusterKnowledge, seals: PartitionSeals,
      client: any HTTPRequesting,
      control: [any ControlPlane], pool: BlockingPool, time: any TimeSource, metrics: NodeMetrics, log: Logger
    ) {
      self.node = node
      self.zone = zone
      self.weight = weight
      self.advertisedAddress = advertisedAddress
      self.durability = durability
      self.limits = limits
      self.keys = Rotating(keys)
      self.dataKeys = dataKeys
      self.disks = disks
      self.knowledge = knowledge
      self.seals = seals
      self.client = client
      self.control = control
      self.pool = pool
      self.time = time
      self.metrics = metrics
      self.log = log
    }
  }

  package let pools: BufferPools
  package let disks: DiskSet
  package let knowledge: ClusterKnowledge
  package let metrics: NodeMetrics
  let admission: Admission
  let upload: BlockUpload
  let replica: ReplicaIntake
  let reading: BlockReading
  let batches: BatchRoutes
  let commands: ControlCommands
  let journal: JournalRoutes
  let foreground = ForegroundMeter()
  let time: any TimeSource
  let log: Logger
  private let heartbeats: HeartbeatLoop
  private let scrubs: ScrubService
  private let maintenance: DiskMaintenance
  private let beating = Mutex<Task<Void, Never>?>(nil)
  private let stopping: Flag
  private let keys: Rotating<NodeKeys>

  package init(_ parts: Parts) {
    let (stopping, rot) = (Flag(), RotReports())
    let (disks, pools) = (DiskSet(parts.disks), BufferPools(parts.limits))
    let (knowledge, metrics, log) = (parts.knowledge, parts.metrics, parts.log)
    let (dataKeys, keys) = (parts.dataKeys, parts.keys)
    if let epoch = knowledge.dataKeyEpoch { dataKeys?.use(epoch) }
    self.stopping = stopping
    self.keys = keys
    time = parts.time
    self.disks = disks
    self.pools = pools
    self.knowledge = knowledge
    self.metrics = metrics
    self.log = log
    admission = Admission(
      node: parts.node, verifier: CapabilityVerifier(keys: keys), knowledge: knowledge, disks: disks, seals: parts.seals,
      time: parts.time,
      isReady: { StorageNode.canSeal(knowledge, dataKeys) }, isStopping: { stopping.isUp })
    let keeper = CopyKeeper(
      node: parts.node, cluster: keys.current.cluster, disks: disks, buffers: pools.read, signer: ReceiptSigner(keys: keys),
      durability: parts.durability)
    let forwarding = Forwarding(
      knowledge: knowledge, client: parts.client, courier: RecordCourier(client: parts.client, limits: parts.limits), limits: parts.limits,
      metrics: metrics, log: log)
    upload = BlockUpload(
      node: parts.node, zone: parts.zone, pools: pools, limits: parts.limits, keys: dataKeys, keeper: keeper, knowledge: knowledge,
      forwarding: forwarding, foreground: foreground, time: parts.time, log: log)
    replica = ReplicaIntake(pools: pools, limits: parts.limits, keys: dataKeys, keeper: keeper, log: log)
    let scrubs = ScrubService(disks, rot: rot, metrics: metrics, time: parts.time, log: log, configuration: parts.scrub)
    self.scrubs = scrubs
    maintenance = DiskMaintenance(disks.disks, hold: parts.quarantineHold, time: parts.time, metrics: metrics, log: log)
    let coordinators = CoordinatorTurn(parts.control, node: parts.node)
    let copying = RecordCopying(
      client: parts.client, disks: disks, pools: pools, limits: parts.limits, keys: dataKeys, metrics: metrics, log: log)
    let mending = ReadMending(coordinators: coordinators, copying: copying, knowledge: knowledge, metrics: metrics, log: log)
    reading = BlockReading(
      admission: admission, disks: disks, pools: pools, rot: rot, mending: mending, time: parts.time, metrics: metrics, log: log,
      foreground: foreground
    ) { scrubs.noteRead($0) }
    batches = BatchRoutes(admission: admission, upload: upload, replica: replica, reading: reading, pools: pools, limits: parts.limits)
    commands = ControlCommands(
      node: parts.node, admission: admission, disks: disks, pools: pools, copying: copying, keys: dataKeys, knowledge: knowledge,
      scrubs: scrubs, seals: parts.seals, time: parts.time, log: log)
    journal = JournalRoutes(
      admission: admission, store: parts.journal, knowledge: knowledge,
      pool: BlockingPool(name: "journal", threads: 2, queueLimit: 64), log: log.component("journal"))
    heartbeats = HeartbeatLoop(
      identity: NodeIdentity(node: parts.node, zone: parts.zone, address: parts.advertisedAddress, weight: parts.weight),
      coordinators: coordinators, client: parts.client, disks: disks, keys: dataKeys, knowledge: knowledge, rot: rot, scrubs: scrubs,
      folders: parts.diskFolders, foreground: foreground, pool: parts.pool, quarantineHold: parts.quarantineHold, metrics: metrics,
      log: log, isStopping: { stopping.isUp })
    metrics.watch(pools, disks)
  }

  /// Whether records can be sealed: the coordinator has said under which epoch, and its key is here.
  private static func canSeal(_ knowledge: ClusterKnowledge, _ keys: DataKeyring?) -> Bool {
    guard let epoch = knowledge.dataKeyEpoch else { return false }
    guard let keys else { return epoch == 0 }
    return epoch != 0 && keys.key(epoch) != nil
  }

  /// Why the node is not ready to take and serve blocks; nil when it is.
  package var notReady: String? {
    if stopping.isUp { return "The node is stopping." }
    if knowledge.view == nil { return "The node has not heard from a coordinator yet." }
    if !admission.isReady() { return "The node has no data key of the cluster yet." }
    if !disks.disks.contains(where: { $0.health() == .healthy }) { return "No disk of the node takes blocks." }
    return nil
  }

  /// Believes and signs with these from now on; what is under way goes on.
  package func replace(keys: NodeKeys) { self.keys.replace(keys) }

  /// Starts the heartbeats, the scrub, and what gives space back.
  package func start() {
    scrubs.start()
    maintenance.start()
    beating.withLock { $0 = Task { [heartbeats] in await heartbeats.run() } }
  }

  /// Starts the scrub alone; for tests.
  package func startScrub() { scrubs.start() }

  /// As the coordinator's command does; for tests.
  package func copyRecords(_ items: [CopyItem]) async -> [CopyOutcome] { await commands.copying.copy(items, gcEpoch: 1, requestID: "test") }

  /// Whether no heartbeats are sent any more, because no disk can be read.
  package var isSilent: Bool { heartbeats.isSilent }

  /// As the coordinator's command does; for tests.
  package func performScrub(_ action: ScrubAction) { scrubs.perform(action) }

  /// Sends one heartbeat now and carries out what it answers; for tests and for the first one.
  package func beat() async throws { _ = try await heartbeats.beat() }

  /// From now on new blocks are refused; reads go on.
  package func refuseWrites() { stopping.raise() }

  /// Ends the heartbeats and lets go of the disks. Requests have ended before.
  package func stop() async {
    stopping.raise()
    let task = beating.withLock { $0.take() }
    task?.cancel()
    await task?.value
    await scrubs.stop()
    await maintenance.stop()
    await disks.close()
  }
}

/// A flag that goes up once.
final class Flag: Sendable {
  private let value = Atomic<Bool>(false)
  var isUp: Bool { value.load(ordering: .acquiring) }
  func raise() { value.store(true, ordering: .releasing) }
}
