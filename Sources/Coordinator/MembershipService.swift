internal import BlockModel
internal import ClusterLogic
internal import Credentials
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Heartbeats, views and data-key tickets.
extension ClusterService {
  /// Adds every operation of the cluster's keeping to the dispatcher.
  package func register(on dispatcher: ControlDispatcher) {
    dispatcher.register(ClusterOperations.Heartbeat.self) { [self] (heartbeat, context) async throws(Problem) in
      try await beat(heartbeat, context)
    }
    dispatcher.register(ClusterOperations.GetView.self) { [self] (request, _) async throws(Problem) in try await waitForView(request) }
    dispatcher.register(ClusterOperations.GetDataKeyTicket.self) { [self] (request, context) async throws(Problem) in
      try ticket(request, context)
    }
    registerOperations(on: dispatcher)
    registerNodeOperations(on: dispatcher)
    registerKeyOperations(on: dispatcher)
    registerLayouts(on: dispatcher)
    registerRebalance(on: dispatcher)
    registerGarbage(on: dispatcher)
    registerForesight(on: dispatcher)
    registerTuning(on: dispatcher)
  }

  // MARK: Heartbeats

  private static let addressLimit = 255
  private static let rottenLimit = 1000
  private static let diskLimit = 256
  /// Taken once a second; a node sends one each second, or a few when timings are short.
  private static let samplesKept = 65_536

  func beat(_ heartbeat: ClusterOperations.Heartbeat, _ context: ControlContext) async throws(Problem) -> HeartbeatReply {
    try check(heartbeat, context)
    let mustSave = try take(heartbeat)
    if mustSave {
      do throws(MetadataError) { try await save(heartbeat.node) } catch { throw Problem(cluster: error) }
    }
    if !heartbeat.rottenBlocks.isEmpty { try await noteRot(heartbeat) }
    let order = try await dataKeyOrder(heartbeat)
    let (news, generation) = try withState { state in
      (state.news(for: heartbeat.node, knowing: heartbeat.viewRevision, layoutVersion: heartbeat.layoutVersion), state.generation)
    }
    return HeartbeatReply(
      view: news?.view, update: news?.update, generation: generation, dataKeys: order,
      intervalMilliseconds: Int(configuration.heartbeatInterval.saturatedMilliseconds))
  }

  private func check(_ heartbeat: ClusterOperations.Heartbeat, _ context: ControlContext) throws(Problem) {
    if let caller = context.node, caller != heartbeat.node {
      throw Problem(.forbidden, "The token is of node \(caller), the heartbeat of \(heartbeat.node).")
    }
    guard isBaseURL(heartbeat.address) else {
      throw Problem(.malformed, "A node's address is http:// or https:// with host and port, and no path.")
    }
    guard heartbeat.weight.isFinite, LayoutPlanner.weights.contains(heartbeat.weight) else {
      throw Problem(.malformed, "A node's weight lies between 0.1 and 20.")
    }
    guard heartbeat.disks.count <= ClusterService.diskLimit, heartbeat.rottenBlocks.count <= ClusterService.rottenLimit,
      heartbeat.dataKeys.count <= 1000
    else { throw Problem(.malformed, "The heartbeat's lists are too long.") }
    let generation = try withState { state in state.generation }
    guard heartbeat.generation <= generation else {
      shared.withLock { $0.isFenced = true }
      log.error(
        "a newer coordinator has started; this one changes nothing any more",
        ["generation": .string(String(generation)), "seen": .string(String(heartbeat.generation))])
      throw Problem(.fenced, "Node \(heartbeat.node) has seen generation \(heartbeat.generation); this coordinator is of \(generation).")
    }
  }

  private func isBaseURL(_ address: String) -> Bool {
    guard address.utf8.count <= ClusterService.addressLimit else { return false }
    let rest = address.hasPrefix("https://") ? address.dropFirst(8) : address.hasPrefix("http://") ? address.dropFirst(7) : ""
    return !rest.isEmpty && rest.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"/?#".utf8.contains($0) }
  }

  /// Takes the heartbeat into the state. Answers whether the node's record has to be saved before the node is told so.
  private func take(_ heartbeat: ClusterOperations.Heartbeat) throws(Problem) -> Bool {
    let now = time.monotonic()
    let (effects, mustSave) = try withState { (state) throws(Problem) -> ([FailureDetector.Effect], Bool) in
      let known = state.node(heartbeat.node)
      if let known { try refuseTwin(heartbeat, known, state, now) }
      var node = known ?? ClusterState.Node(record: NodeRecord(heartbeat))
      let before = known.map(state.planMember)
      adopt(heartbeat, into: &node, &state)
      if known?.record != node.record { node.isSaved = false }
      let hasMoved = known?.record.address != node.record.address
      state.insert(node)
      let effects = state.detector.step(.heartbeat(heartbeat.node, node.record.zone), now: now)
      if before != state.planMember(node) || hasMoved || !effects.isEmpty { state.touch() }
      return (effects, !node.isSaved)
    }
    measure(effects)
    for effect in effects { report(effect) }
    return mustSave
  }

  /// Two processes under one name would take turns at being the node.
  private func refuseTwin(
    _ heartbeat: ClusterOperations.Heartbeat, _ known: ClusterState.Node, _ state: ClusterState, _ now: MonotonicTime
  ) throws(Problem) {
    guard known.wasHeard, known.processID != heartbeat.processID, known.record.address != heartbeat.address,
      state.liveness(heartbeat.node) == .alive, let heard = state.detector.lastHeard(heartbeat.node),
      now - heard < configuration.failure.suspectAfter
    else { return }
    throw Problem(
      .conflict, "A node named \(heartbeat.node) runs at \(known.record.address); give this one another name, or stop that one first.")
  }

  private func adopt(_ heartbeat: ClusterOperations.Heartbeat, into node: inout ClusterState.Node, _ state: inout ClusterState) {
    node.record.address = heartbeat.address
    node.quarantineHold = heartbeat.quarantineSeconds.map { .seconds($0) }
    // The layout's zone and weight count once a layout names the node: they change by a layout only.
    if let placed = state.layout.node(heartbeat.node) {
      if placed.zone != heartbeat.zone && !node.wasHeard {
        log.warning(
          "a node says that it is in another zone than the layout's; the layout counts",
          ["node": .string(heartbeat.node.text), "layout": .string(placed.zone.text), "node_says": .string(heartbeat.zone.text)])
      }
      node.record.zone = placed.zone
      node.record.region = placed.region
      node.record.weight = placed.weight
    } else if !node.record.isOut {
      node.record.zone = heartbeat.zone
      node.record.weight = heartbeat.weight
    }
    adoptDisks(heartbeat, into: &node, &state)
    node.processID = heartbeat.processID
    node.keys = heartbeat.dataKeys
    node.wasHeard = true
    if let load = heartbeat.foreground, state.foreground.count < ClusterService.samplesKept {
      state.foreground.append(RebalancePacer.Sample(requests: load.requests, meanMilliseconds: load.meanMilliseconds))
    }
  }

  private func adoptDisks(_ heartbeat: ClusterOperations.Heartbeat, into node: inout ClusterState.Node, _ state: inout ClusterState) {
    node.disks = heartbeat.disks
    let reports = heartbeat.disks.map { report in
      DiskAttendance.Report(
        disk: report.id, isServing: report.state == .healthy || report.state == .readOnly, isHealthy: report.state == .healthy)
    }
    let (recorded, isDiskLost) = node.attendance.observe(
      reports, recorded: node.record.disks, outAfter: configuration.failure.outAfter, now: time.monotonic())
    if isDiskLost, !state.refills.contains(heartbeat.node) {
      log.warning("a disk is lost; what the node should hold is checked", ["node": .string(heartbeat.node.text)])
      state.refills.append(heartbeat.node)
    }
    node.record.disks = recorded
  }

  private func noteRot(_ heartbeat: ClusterOperations.Heartbeat) async throws(Problem) {
    log.warning(
      "a node found rotten copies; they are replaced",
      ["node": .string(heartbeat.node.text), "blocks": .int(heartbeat.rottenBlocks.count)])
    do throws(MetadataError) { try await metadata.addRepairs(heartbeat.rottenBlocks) } catch { throw Problem(cluster: error) }
    shared.withLock { $0.repair }?.feed(.repairsWaiting)
  }

  // MARK: Data keys

  private func dataKeyOrder(_ heartbeat: ClusterOperations.Heartbeat) async throws(Problem) -> DataKeyOrder {
    guard configuration.isEncrypted else { return .use(current: 0) }
    let decision = try decide(heartbeat)
    guard let record = decision.record else { return decision.order }
    let recorded: DataKeyEpochRecord
    do throws(MetadataError) { recorded = try await metadata.saveDataKeyEpoch(record) } catch { throw Problem(cluster: error) }
    // Whoever was recorded first stays: the decision is made again over what is recorded.
    _ = try withState { state in
      state.dataKeys.removeAll { $0.epoch == recorded.epoch }
      state.dataKeys.append(recorded)
    }
    if recorded.check == record.check && recorded.founder == record.founder { return decision.order }
    let again = try decide(heartbeat)
    return again.record == nil ? again.order : .wait(epoch: recorded.epoch)
  }

  private func decide(_ heartbeat: ClusterOperations.Heartbeat) throws(Problem) -> MembershipDataKeys.Decision {
    try withState { state in
      MembershipDataKeys.decide(
        for: heartbeat.node, states: heartbeat.dataKeys, records: state.dataKeys, isAlive: { state.liveness($0) == .alive },
        isHeld: { state.isHeldByAll($0) })
    }
  }

  func ticket(_ request: ClusterOperations.GetDataKeyTicket, _ context: ControlContext) throws(Problem) -> DataKeyTicket {
    guard let caller = context.node else { throw Problem(.forbidden, "Only a node gets a data-key ticket.") }
    guard (0...(64 << 10)).contains(request.bodyBytes) else { throw Problem(.malformed, "The request for a data key is too long.") }
    let (target, check) = try withState { (state) throws(Problem) -> (ClusterNodeClient.Target, String) in
      guard state.node(caller) != nil else { throw Problem(.forbidden, "Node \(caller) has not sent a heartbeat yet.") }
      guard let record = state.dataKeys.first(where: { $0.epoch == request.epoch && !$0.check.isEmpty }) else {
        throw Problem(.notFound, "There is no data key of epoch \(request.epoch).")
      }
      let statement = DataKeyStatement(epoch: record.epoch, check: record.check)
      guard
        let holder = state.nodes.first(where: { node in
          node.record.id != caller && node.keys.contains(statement) && state.liveness(node.record.id) == .alive
        })
      else { throw Problem(.unavailable, "No live node holds the data key of epoch \(request.epoch).", retryAfter: 1) }
      return (state.target(holder.record), record.check)
    }
    return DataKeyTicket(
      holder: target.node, url: client.url(.control, block: request.body, size: request.bodyBytes, target), check: check)
  }

  // MARK: Views

  private static let longestPoll: Duration = .seconds(30)

  func waitForView(_ request: ClusterOperations.GetView) async throws(Problem) -> ClusterView {
    let isNews: @Sendable () -> Bool = { [self] in shared.withLock { ($0.state?.revision ?? request.revision) != request.revision } }
    _ = try withState { state in state.revision }
    if request.waitMilliseconds > 0 && !isNews() {
      await signal.wait(atMost: min(.milliseconds(request.waitMilliseconds), ClusterService.longestPoll), unless: isNews)
    }
    return try withState { state in state.view() }
  }
}

extension ClusterState {
  func target(_ record: NodeRecord) -> ClusterNodeClient.Target {
    ClusterNodeClient.Target(
      node: record.id, zone: record.zone, address: record.address, layoutVersion: layout.version, gcEpoch: gcEpoch)
  }
}

extension NodeRecord {
  init(_ heartbeat: ClusterOperations.Heartbeat) {
    self.init(
      id: heartbeat.node, zone: heartbeat.zone, weight: heartbeat.weight, address: heartbeat.address, disks: [], isOut: false)
  }
}
