internal import BlockModel
internal import ClusterLogic
package import Credentials
package import HTTPTransport
package import MetadataStore
package import Platform
package import ServiceAPI
internal import Synchronization

/// Keeps the cluster: who is a member and lives, the layout, repair, and what operators ask about them. A thin driver of the values in
/// `ClusterLogic`.
///
/// What must hold:
/// - a layout is published only after it was committed, and only this type's loop commits layouts;
/// - what changes in memory is in the database first, or is brought there again by the next tick;
/// - a coordinator that meets a higher generation than its own changes nothing any more.
package final class ClusterService: Sendable {
  let metadata: any ClusterMetadata
  /// Nil when nothing is collected.
  let garbage: (any GarbageMetadata)?
  let client: ClusterNodeClient
  let http: any HTTPRequesting
  let time: any TimeSource
  /// As the configuration file has it.
  let given: ClusterConfiguration
  /// With what operators set since. Its lock is taken inside of `shared`'s, never around it.
  let tuned: Mutex<Tuned>
  let log: Logger
  let metrics: Metrics
  let signal = ClusterSignal()
  /// One record of a node is written at a time, so that the last one written is the newest.
  let saving = ClusterGate()
  /// One caller at a time decides over layouts: the loop, or an operator.
  let ticking = ClusterGate()
  /// One caller at a time reads and changes the rows of a transition, or what is staged.
  let rows = ClusterGate()
  let shared: Mutex<Shared>

  struct Shared: Sendable {
    /// Nil before `start`.
    var state: ClusterState?
    var repair: RepairDriver?
    var audit: AuditRunner?
    var loop: Task<Void, Never>?
    var isFenced = false
    var nextJob: UInt64 = 0
    /// Referenced blocks of each partition and the number of repair rows, as of `countedAt`.
    var counts: [Int] = []
    var repairRows = 0
    var countedAt: MonotonicTime?
    var rowsAskedAt: MonotonicTime?
    /// The revision that repair was last told of, and when it was.
    var toldRevision: UInt64 = 0
    var filledAt: MonotonicTime?
    /// When the present fills began, for their rate.
    var fillsSince: MonotonicTime?
    var pacer: RebalancePacer
    var pacedAt: MonotonicTime?
    /// Oldest first.
    var progress: [Progress] = []
    var isSweeping = false
    var meter = DurabilityMeter()
    var sampledAt: MonotonicTime?
    var garbage = GarbageState()
    /// Nodes that sent a heartbeat before `start`: where they are now.
    var early: [NodeID: (zone: ZoneID, address: String)] = [:]
    /// Whether the metadata's journal still needs a node.
    var journalNeeds: @Sendable (NodeID) -> Bool = { _ in false }
  }

  struct Tuned: Sendable {
    var values: [ClusterTuning.Value] = []
    var configuration: ClusterConfiguration
  }

  /// What counts now.
  var configuration: ClusterConfiguration { tuned.withLock { $0.configuration } }

  package init(
    metadata: any ClusterMetadata, signer: CapabilitySigner, http: any HTTPRequesting, time: any TimeSource,
    configuration: ClusterConfiguration, logger: Logger, metrics: Metrics, garbage: (any GarbageMetadata)? = nil
  ) {
    self.metadata = metadata
    self.garbage = garbage
    self.http = http
    self.time = time
    given = configuration
    tuned = Mutex(Tuned(configuration: configuration))
    client = ClusterNodeClient(signer: signer, http: http, time: time, lifetime: configuration.capabilityLifetime)
    log = logger.component("cluster")
    self.metrics = metrics
    var pace = RebalancePacer.Configuration()
    pace.fastestBytes = configuration.repair.moveBytesPerSecond(liveNodes: 0)
    shared = Mutex(Shared(pacer: RebalancePacer(pace)))
  }

  // MARK: Life

  /// Raises the generation, loads what is known, and begins to keep the cluster.
  /// - Parameter runsLoop: false for tests that call `tick` themselves.
  package func start(runsLoop: Bool = true) async throws(MetadataError) {
    let identity = try await metadata.clusterIdentity()
    let generation = try await metadata.raiseGeneration()
    let layout = try await metadata.currentLayout()
    let filling = try await metadata.fillingPartitions()
    let records = try await metadata.nodes()
    adopt(try await metadata.tuning())
    var state = ClusterState(
      identity: identity, generation: generation, layout: layout, filling: filling.map { PlanFilling($0) },
      detector: FailureDetector(configuration: configuration.failure), gcEpoch: try await metadata.gcEpoch(),
      dataKeys: try await metadata.dataKeyEpochs())
    state.staged = try await metadata.stagedRoles()
    state.rebalance = try await metadata.rebalance()
    let now = time.monotonic()
    for record in records {
      state.insert(ClusterState.Node(record: record))
      _ = state.detector.step(.known(record.id, record.zone, isOut: record.isOut), now: now)
    }
    let driver = RepairDriver(service: self, view: state.repairView, configuration: configuration.repair)
    shared.withLock { shared in
      shared.toldRevision = state.revision
      shared.state = state
      shared.repair = driver
      shared.audit = AuditRunner(service: self)
      shared.isFenced = false
    }
    registerMetrics()
    if garbage != nil { registerGarbageMetrics() }
    log.info(
      "the cluster is being kept",
      ["generation": .string(String(generation)), "layout": .string(String(layout.version)), "nodes": .int(records.count)])
    guard runsLoop else { return }
    let loop = Task { [weak self] in
      while !Task.isCancelled {
        await self?.tick()
        try? await Task.sleep(for: .milliseconds(100))
      }
    }
    shared.withLock { $0.loop = loop }
  }

  /// Stops keeping; what is under way is cancelled. Nothing is lost: the next start finds it in the database.
  package func stop() async {
    let (loop, repair, audit) = shared.withLock { shared in
      defer {
        shared.loop = nil
        shared.repair = nil
        shared.audit = nil
      }
      return (shared.loop, shared.repair, shared.audit)
    }
    loop?.cancel()
    await loop?.value
    repair?.stop()
    audit?.stop()
    stopGarbage()
    signal.notifyAll()
  }

  /// Another coordinator keeps the cluster from now on: ends the jobs and forgets what is known. `start` may follow.
  package func standDown() async {
    // Nothing new begins from here on, also while what is under way still ends.
    shared.withLock { $0.isFenced = true }
    await stop()
    shared.withLock { shared in
      shared.state = nil
      shared.countedAt = nil
      shared.toldRevision = 0
      // The next start takes over what is under way then.
      shared.garbage.hasAdopted = false
      shared.garbage.knowsNoUndo = false
      shared.garbage.undone = []
      shared.garbage.lookAt = nil
      shared.garbage.plan = nil
    }
  }

  /// What is answered while this coordinator does not keep the cluster. `busy` says that nothing was done, so callers may ask the next one.
  static var notKeeping: Problem {
    Problem(.busy, "This coordinator does not keep the cluster now: it is starting, or another one does.", retryAfter: 1)
  }

  /// What gateways and nodes are told of the cluster. Nil before `start`.
  package var view: ClusterView? { shared.withLock { $0.state?.view() } }

  /// Runs `body` on the state; `.unavailable` before `start`.
  func withState<T: Sendable>(_ body: (inout ClusterState) throws(Problem) -> T) throws(Problem) -> T {
    // A closure's typed error does not pass through `withLock` together with an optional state, hence the result.
    let result: Result<T, Problem> = shared.withLock { shared in
      guard var state = shared.state else { return .failure(ClusterService.notKeeping) }
      shared.state = nil
      let result: Result<T, Problem>
      do throws(Problem) { result = .success(try body(&state)) } catch { result = .failure(error) }
      shared.state = state
      return result
    }
    return try result.get()
  }

  // MARK: Ticks

  /// Lets time pass: judges silence, changes the layout where that is due, drives repair. Given ten times a second by the loop.
  package func tick() async {
    await ticking.enter()
    await runTick()
    await ticking.leave()
  }

  /// Runs what an operator decides over layouts while the loop waits.
  func exclusively<T: Sendable>(_ body: () async throws(Problem) -> T) async throws(Problem) -> T {
    await ticking.enter()
    let result: Result<T, Problem>
    do throws(Problem) {
      let (isFenced, hasState) = shared.withLock { ($0.isFenced, $0.state != nil) }
      guard hasState else { throw ClusterService.notKeeping }
      guard !isFenced else { throw Problem(.fenced, "A newer coordinator has started; ask that one.") }
      result = .success(try await body())
    } catch { result = .failure(error) }
    await ticking.leave()
    return try result.get()
  }

  private func runTick() async {
    guard !shared.withLock({ $0.isFenced }) else { return }
    let now = time.monotonic()
    guard let effects = try? withState({ state in state.detector.step(.tick, now: now) }) else { return }
    measure(effects)
    await note(effects)
    await saveRecords()
    await reconcileLayout()
    await refillLostDisks()
    await dropDeadSources()
    settleRestored(now)
    tellRepair(now)
    await askForRows(now)
    paceRebalance(now)
    sweepLeftovers(now)
    await sampleDurability(now)
    shared.withLock { $0.repair }?.feed(.timer)
    await tendGarbage(now)
  }

  /// Repair learns of changes of nodes at once, of the layout too.
  func tellRepair(_ now: MonotonicTime) {
    let news: (RepairDriver, RepairView, [NodeID])? = shared.withLock { shared in
      guard let state = shared.state, let repair = shared.repair, state.revision != shared.toldRevision else { return nil }
      shared.toldRevision = state.revision
      let silent = state.nodes.map(\.record.id).filter { state.liveness($0) != .alive }
      return (repair, state.repairView, silent)
    }
    guard let (repair, view, silent) = news else { return }
    for node in silent { repair.cancel(node) }
    repair.feed(.view(view))
    signal.notifyAll()
  }

  /// Once a second: whether there are repair rows.
  private func askForRows(_ now: MonotonicTime) async {
    let isDue = shared.withLock { shared in
      guard shared.rowsAskedAt.map({ now - $0 >= .seconds(1) }) ?? true else { return false }
      shared.rowsAskedAt = now
      return true
    }
    guard isDue, let count = try? await metadata.repairCount() else { return }
    let repair = shared.withLock { shared in
      shared.repairRows = count
      return shared.repair
    }
    if count > 0 { repair?.feed(.repairsWaiting) }
  }

  /// A node that is out has no replicas to restore any more once nothing is left to fill.
  private func settleRestored(_ now: MonotonicTime) {
    let settled = try? withState { state -> ([NodeID], [FailureDetector.Effect]) in
      guard state.filling.allSatisfy(\.targets.isEmpty), !state.unrestored.isEmpty else { return ([], []) }
      let out = state.unrestored.filter { state.liveness($0) == .out }
      let restored = out.filter { state.layout.node($0) == nil }
      state.unrestored = out.filter { !restored.contains($0) }
      return (restored, restored.flatMap { state.detector.step(.restored($0), now: now) })
    }
    guard let (restored, effects) = settled else { return }
    measureRestored(restored)
    for effect in effects { report(effect) }
  }

  private func registerMetrics() {
    for liveness in [Liveness.alive, .suspect, .out] {
      metrics.gauge("cairn_cluster_nodes", help: "Nodes by state.", labels: ["state": liveness.rawValue]) { [weak self] in
        Double(self?.shared.withLock { shared in shared.state.map { s in s.nodes.count { s.liveness($0.record.id) == liveness } } } ?? 0)
      }
    }
    metrics.gauge("cairn_cluster_layout_version", help: "Version of the committed layout.") { [weak self] in
      Double(self?.shared.withLock { $0.state?.layout.version } ?? 0)
    }
    metrics.gauge("cairn_cluster_filling_partitions", help: "Partitions whose replicas do not all have all blocks yet.") { [weak self] in
      Double(self?.shared.withLock { $0.state?.filling.count } ?? 0)
    }
    metrics.gauge("cairn_rebalance_steps_left", help: "Replicas to fill and former replicas to retire.") { [weak self] in
      Double(self?.shared.withLock { $0.state?.stepsLeft } ?? 0)
    }
    metrics.gauge("cairn_rebalance_limit_bytes_per_second", help: "What moving may take now.") { [weak self] in
      Double(self?.shared.withLock { $0.pacer.bytesPerSecond } ?? 0)
    }
    metrics.counter("cairn_rebalance_moved_bytes_total", help: "Plain bytes copied although nothing was missing.") { [weak self] in
      Double(self?.shared.withLock { $0.repair }?.moved.bytes ?? 0)
    }
    metrics.gauge("cairn_cluster_repair_rows", help: "Blocks noted as lacking copies.") { [weak self] in
      Double(self?.shared.withLock { $0.repairRows } ?? 0)
    }
    metrics.counter("cairn_repair_copied_blocks_total", help: "Copies made by repair.") { [weak self] in
      Double(self?.shared.withLock { $0.repair }?.copied.blocks ?? 0)
    }
    metrics.counter("cairn_repair_copied_bytes_total", help: "Plain bytes of the copies made by repair.") { [weak self] in
      Double(self?.shared.withLock { $0.repair }?.copied.bytes ?? 0)
    }
  }
}
