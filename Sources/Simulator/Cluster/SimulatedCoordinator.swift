internal import BlockModel
internal import ClusterLogic

/// Keeps the cluster as `ClusterService` does, on the same values: `FailureDetector`, `DesiredLayout`, `LayoutTransition`,
/// `DiskAttendance`, `RepairScheduler`. What outlives it is in the metadata.
final class SimulatedCoordinator {
  struct Member {
    var record: SimulatedMetadata.Node
    var attendance = DiskAttendance()
    var wasHeard = false
    var blockCount = 0
    var sweepAt: MonotonicTime?

    var hasRoom: Bool { !wasHeard || attendance.reports.contains(where: \.isHealthy) }
  }

  unowned let simulation: ClusterSimulation
  let metadata: SimulatedMetadata
  let process = SimulatedProcess(address: 0)

  // What a process knows.
  var generation: UInt64 = 0
  var layout: Layout
  /// Sorted by partition.
  var filling: [PlanFilling] = []
  /// Sorted by id.
  var members: [Member] = []
  var detector: FailureDetector
  var refills: [NodeID] = []
  var unrestored: [NodeID] = []
  var admitted: [NodeID] = []
  var revision: UInt64 = 0
  var toldRevision: UInt64 = 0
  var scheduler: RepairScheduler
  var isSweeping = false
  var rowsAskedAt = MonotonicTime.zero
  /// Questions to nodes under way, by number, so that those to a silent node can be given up.
  var questions: [(number: Int, node: NodeID, giveUp: () -> Void)] = []
  var nextQuestion = 0
  /// Who answered “missing” or “damaged” to a pass of repair since its page began, by pass and block.
  var lacks: [UInt64: [BlockID: [NodeID]]] = [:]
  /// Disks that nodes lost, as far as repair was told.
  var losses: [NodeID: Int] = [:]
  var collection = SimulatedCollection()

  static let tick: Duration = .milliseconds(200)

  var settings: ClusterScenario.Settings { simulation.settings }
  var bug: ClusterBug? { simulation.bug }
  var now: MonotonicTime { simulation.now }

  init(_ simulation: ClusterSimulation, metadata: SimulatedMetadata) {
    self.simulation = simulation
    self.metadata = metadata
    layout = metadata.layout
    detector = FailureDetector(configuration: SimulatedCoordinator.failure(simulation.settings))
    scheduler = RepairScheduler(view: RepairView(layout: metadata.layout, filling: [], members: [], isBraked: false))
  }

  private static func failure(_ settings: ClusterScenario.Settings) -> FailureDetector.Configuration {
    FailureDetector.Configuration(suspectAfter: .seconds(3), outAfter: .seconds(settings.outAfterSeconds), tickInterval: tick)
  }

  var outAfter: Duration { .seconds(settings.outAfterSeconds) }

  // MARK: Life

  func start() {
    simulation.note("the coordinator starts")
    process.isUp = true
    metadata.generation += 1
    generation = metadata.generation
    layout = metadata.layout
    filling = metadata.filling
    detector = FailureDetector(configuration: SimulatedCoordinator.failure(settings))
    members = metadata.nodes.map { Member(record: $0) }
    for member in members { _ = detector.step(.known(member.record.id, member.record.zone, isOut: member.record.isOut), now: now) }
    (refills, unrestored, admitted, questions, losses) = ([], [], [], [], [:])
    (isSweeping, rowsAskedAt) = (false, now)
    lacks = [:]
    collection = SimulatedCollection()
    revision = generation << 32
    toldRevision = revision
    var configuration = RepairScheduler.Configuration()
    configuration.pageBlocks = 8
    configuration.retireBlocks = 4
    configuration.copyBlocks = 4
    configuration.activePasses = 6
    configuration.bytesPerSecond = 4 << 20
    configuration.moveBytesPerSecond = 2 << 20
    scheduler = RepairScheduler(configuration: configuration, view: repairView)
    runTick()
  }

  func end() { process.end() }

  // MARK: State

  func liveness(_ id: NodeID) -> Liveness { detector.liveness(of: id) ?? .out }

  func member(_ id: NodeID) -> Member? { members.first { $0.record.id == id } }

  func update(_ id: NodeID, _ change: (inout Member) -> Void) {
    if let index = members.firstIndex(where: { $0.record.id == id }) { change(&members[index]) }
  }

  func touch() { revision += 1 }

  private func isWritable(_ member: Member) -> Bool {
    liveness(member.record.id) == .alive && member.hasRoom && (layout.version == 0 || layout.node(member.record.id) != nil)
  }

  private var planMembers: [PlanMember] {
    members.map { member in
      PlanMember(
        node: member.record.id, zone: member.record.zone, liveness: liveness(member.record.id), isWritable: isWritable(member))
    }
  }

  var view: SimulatedView {
    SimulatedView(
      revision: revision, generation: generation, layout: layout, members: planMembers, filling: filling, gcEpoch: metadata.gcEpoch)
  }

  var repairView: RepairView {
    RepairView(layout: layout, filling: filling, members: planMembers, isBraked: detector.isBraked, gcEpoch: metadata.gcEpoch)
  }

  // MARK: Heartbeats

  struct HeartbeatReply {
    var generation: UInt64
    var view: SimulatedView?
  }

  func hear(_ heartbeat: SimulatedNode.Heartbeat, _ answer: @escaping (HeartbeatReply) -> Void) {
    // A newer coordinator has spoken: this one is of the past.
    guard heartbeat.generation <= generation else { return }
    let known = member(heartbeat.node)
    var member =
      known
      ?? Member(record: SimulatedMetadata.Node(id: heartbeat.node, zone: heartbeat.zone, weight: 1, disks: [], isOut: false))
    let before = known.map { isWritable($0) }
    let (recorded, isDiskLost) = member.attendance.observe(heartbeat.disks, recorded: member.record.disks, outAfter: outAfter, now: now)
    if isDiskLost, bug != .forgetsLostDisks, !refills.contains(heartbeat.node) { refills.append(heartbeat.node) }
    member.record.disks = bug == .forgetsLostDisks ? heartbeat.disks.map(\.disk).sorted() : recorded
    member.wasHeard = true
    member.blockCount = heartbeat.blockCount
    if let index = members.firstIndex(where: { $0.record.id == heartbeat.node }) {
      members[index] = member
    } else {
      members.append(member)
      members.sort { $0.record.id < $1.record.id }
    }
    if known?.record != member.record { metadata.save(member.record) }
    simulation.heard(heartbeat.node)
    let effects = detector.step(.heartbeat(heartbeat.node, heartbeat.zone), now: now)
    if before != isWritable(member) || !effects.isEmpty { touch() }
    if !heartbeat.rotten.isEmpty {
      metadata.addRepairs(heartbeat.rotten)
      feed(.repairsWaiting)
    }
    answer(HeartbeatReply(generation: generation, view: heartbeat.revision == revision ? nil : view))
  }

  // MARK: Ticks

  private func runTick() {
    note(detector.step(.tick, now: now))
    reconcileLayout()
    refillLostDisks()
    dropDeadSources()
    settleRestored()
    tellRepair()
    if now - rowsAskedAt >= .seconds(1) {
      rowsAskedAt = now
      metadata.expireUploads(now)
      if !metadata.repairs.isEmpty { feed(.repairsWaiting) }
    }
    feed(.rebalance(isPaused: metadata.isPaused, bytesPerSecond: 2 << 20))
    sweepLeftovers()
    feed(.timer)
    tendGarbage()
    simulation.after(SimulatedCoordinator.tick, process) { [unowned self] in runTick() }
  }

  private func note(_ effects: [FailureDetector.Effect]) {
    guard !effects.isEmpty else { return }
    var effects = effects
    if bug == .declaresOutAtOnce {
      for case .suspected(let node) in effects { effects.append(.declaredOut(node)) }
    }
    for effect in effects {
      switch effect {
      case .brakeEngaged: simulation.totals.brakes += 1
      case .stalled: simulation.totals.stalls += 1
      case .declaredOut(let node): declareOut(node)
      default: break
      }
    }
    touch()
  }

  private func declareOut(_ node: NodeID) {
    simulation.note("\(node) is declared out")
    simulation.checkDeclaredOut(node)
    simulation.totals.declaredOut += 1
    update(node) { $0.sweepAt = nil }
    unrestored.append(node)
    guard layout.node(node) != nil else { return }
    update(node) { $0.record.isOut = true }
    if let record = member(node)?.record { metadata.save(record) }
    if bug == .declaresOutAtOnce, layout.nodes.count > 1 {
      if let next = try? LayoutPlanner.plan(previous: layout, nodes: layout.nodes.filter({ $0.id != node })).layout { _ = commit(next) }
    }
  }

  private func settleRestored() {
    guard filling.allSatisfy(\.targets.isEmpty), !unrestored.isEmpty else { return }
    let out = unrestored.filter { liveness($0) == .out }
    let restored = out.filter { layout.node($0) == nil }
    unrestored = out.filter { !restored.contains($0) }
    for node in restored { _ = detector.step(.restored(node), now: now) }
  }

  /// Repair learns of changes of nodes at once, of the layout too.
  func tellRepair() {
    guard revision != toldRevision else { return }
    toldRevision = revision
    let silent = members.map(\.record.id).filter { liveness($0) != .alive }
    for question in questions.filter({ silent.contains($0.node) }) { question.giveUp() }
    feed(.view(repairView))
  }
}
