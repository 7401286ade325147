internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// What operators ask.
extension ClusterService {
  func registerOperations(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.GetStatus.self) { [self] (_, _) async throws(Problem) in try await status() }
    dispatcher.register(OperatorOperations.GetLayout.self) { [self] (_, _) async throws(Problem) in
      try withState { state in state.layout }
    }
    dispatcher.register(OperatorOperations.AdmitNode.self) { [self] (request, _) async throws(Problem) in try await admit(request.node) }
    dispatcher.register(OperatorOperations.StartRepair.self) { [self] (request, _) async throws(Problem) in try await startRepair(request) }
    dispatcher.register(OperatorOperations.GetRepair.self) { [self] (_, _) async throws(Problem) in repairProgress() }
    dispatcher.register(OperatorOperations.StartAudit.self) { [self] (_, _) async throws(Problem) in try audit().start() }
    dispatcher.register(OperatorOperations.GetAudit.self) { [self] (_, _) async throws(Problem) in try audit().progress }
    dispatcher.register(OperatorOperations.ExplainBlock.self) { [self] (request, _) async throws(Problem) in
      try await explain(request.block)
    }
  }

  private func audit() throws(Problem) -> AuditRunner {
    guard let audit = shared.withLock({ $0.audit }) else { throw ClusterService.notKeeping }
    return audit
  }

  // MARK: Nodes

  /// Lets a node that is heard into the next layout, and answers when that one is committed. A node that is in already is a success.
  private func admit(_ node: NodeID) async throws(Problem) -> Layout {
    try withState { state throws(Problem) in
      guard state.node(node) != nil else {
        throw Problem(.notFound, "No node \(node) has been heard: start it, and check its name and coordinators.")
      }
      guard state.liveness(node) == .alive else {
        throw Problem(.conflict, "\(node) is silent: bring it back before it is let in.")
      }
      if state.layout.node(node) == nil, !state.admitted.contains(node) { state.admitted.append(node) }
    }
    await tick()
    let layout = try withState { state in state.layout }
    guard layout.node(node) != nil else {
      throw Problem(
        .unavailable, "The layout cannot change now (too many nodes seem down, or it was changed meanwhile); \(node) is let in when it can."
      )
    }
    return layout
  }

  // MARK: Status

  func status() async throws(Problem) -> ClusterStatus {
    try await refreshCounts()
    let now = time.monotonic()
    let (state, repair, counts, rows, since) = shared.withLock { ($0.state, $0.repair, $0.counts, $0.repairRows, $0.fillsSince) }
    guard let state else { throw ClusterService.notKeeping }
    return ClusterStatusReport(
      state: state, counts: counts, repairRows: rows, jobs: jobs(repair, rows, since, now), now: now
    ).make()
  }

  /// Counting is asked of the database once a second at most, however many ask for the status.
  func refreshCounts() async throws(Problem) {
    let now = time.monotonic()
    let isDue = shared.withLock { shared in
      guard shared.countedAt.map({ now - $0 >= .seconds(1) }) ?? true else { return false }
      shared.countedAt = now
      return true
    }
    guard isDue else { return }
    do throws(MetadataError) {
      let counts = try await metadata.referencedBlockCounts()
      let rows = try await metadata.repairCount()
      shared.withLock { shared in
        shared.counts = counts
        shared.repairRows = rows
      }
    } catch {
      shared.withLock { $0.countedAt = nil }
      throw Problem(cluster: error)
    }
  }

  private func jobs(_ repair: RepairDriver?, _ rows: Int, _ since: MonotonicTime?, _ now: MonotonicTime) -> [JobStatus] {
    var jobs: [JobStatus] = []
    guard let repair else { return jobs }
    let fills = repair.fills
    if let moving = try? rebalanceStatus(), moving.state != .idle, moving.stepsTotal > fills.done + fills.left || fills.left == 0 {
      // Replicas go from node to node; of these, some may be repairs besides.
      jobs.append(
        JobStatus(
          name: "rebalance", state: moving.state == .paused ? "paused" : "running", done: moving.stepsDone, total: moving.stepsTotal,
          unit: "replicas", etaSeconds: moving.etaSeconds))
    } else if fills.left > 0 {
      let elapsed = since.map { (now - $0).inSeconds }
      let eta = fills.done > 0 ? elapsed.map { $0 / Double(fills.done) * Double(fills.left) } : nil
      jobs.append(
        JobStatus(
          name: "re-replication", state: "running", done: fills.done, total: fills.done + fills.left, unit: "partitions", etaSeconds: eta))
    }
    if rows > 0 {
      jobs.append(JobStatus(name: "block repair", state: "running", done: 0, total: rows, unit: "blocks", etaSeconds: nil))
    }
    if let recheck = repair.recheck, recheck.isRunning {
      jobs.append(
        JobStatus(
          name: "recheck", state: "running", done: recheck.partitionsDone, total: recheck.partitionsTotal, unit: "partitions",
          etaSeconds: nil))
    }
    if let job = garbageJob { jobs.append(job) }
    if let audit = shared.withLock({ $0.audit })?.progress, audit.running {
      jobs.append(
        JobStatus(name: "audit", state: "running", done: audit.blocksDone, total: audit.blocksTotal, unit: "blocks", etaSeconds: nil))
    }
    return jobs
  }

  // MARK: Repair

  private func startRepair(_ request: OperatorOperations.StartRepair) async throws(Problem) -> RepairProgress {
    let scope = try await scope(of: request)
    if request.overridesBrake == true { try releaseBrake() }
    let (repair, id) = shared.withLock { shared in
      shared.nextJob += 1
      return (shared.repair, shared.nextJob)
    }
    guard let repair else { throw ClusterService.notKeeping }
    tellRepair(time.monotonic())
    repair.feed(.recheck(id: id, scope))
    return repairProgress()
  }

  private static let brakeRelease: Duration = .seconds(3600)

  private func releaseBrake() throws(Problem) {
    let now = time.monotonic()
    let effects = try withState { state in
      let effects = state.detector.step(.releaseBrake(until: now + ClusterService.brakeRelease), now: now)
      if !effects.isEmpty { state.touch() }
      return effects
    }
    log.warning("an operator says that all silent nodes are down; the brake is released for an hour")
    for effect in effects { report(effect) }
  }

  private func scope(of request: OperatorOperations.StartRepair) async throws(Problem) -> RepairScope {
    let layout = try withState { state in state.layout }
    guard layout.version > 0 else { throw Problem(.unavailable, "There is no layout yet, so there is nothing to repair.") }
    let filters = [request.node != nil, request.block != nil, request.partition != nil].count { $0 }
    guard filters <= 1 else { throw Problem(.malformed, "Repair takes one filter: a node, a block or a partition.") }
    if let node = request.node {
      guard layout.node(node) != nil else { throw Problem(.notFound, "The layout has no node \(node).") }
      return .node(node)
    }
    if let partition = request.partition {
      guard (0..<layout.partitionCount).contains(partition) else {
        throw Problem(.malformed, "Partitions are numbered 0 to \(layout.partitionCount - 1).")
      }
      return .partition(partition)
    }
    guard let block = request.block else { return .everything }
    let (uses, strays) = try await lookUp(block, usesShown: 1)
    guard let size = uses.size, !uses.uses.isEmpty || !uses.leases.isEmpty else {
      throw Problem(.notFound, "No version and no open upload refers to block \(block.hex).")
    }
    return .block(RepairBlock(id: block, size: size, isReferenced: !uses.uses.isEmpty, strays: strays))
  }

  private func lookUp(_ block: BlockID, usesShown: Int) async throws(Problem) -> (BlockUses, [NodeID]) {
    do throws(MetadataError) {
      return (try await metadata.uses(of: block, limit: usesShown), try await metadata.strays(of: [block])[block] ?? [])
    } catch { throw Problem(cluster: error) }
  }

  private func repairProgress() -> RepairProgress {
    let progress = shared.withLock { $0.repair }?.recheck ?? nil
    return RepairProgress(
      id: progress?.id ?? 0, running: progress?.isRunning ?? false, partitionsDone: progress?.partitionsDone ?? 0,
      partitionsTotal: progress?.partitionsTotal ?? 0, blocksChecked: progress?.blocksChecked ?? 0,
      blocksCopied: progress?.blocksCopied ?? 0, bytesCopied: progress?.bytesCopied ?? 0, failures: progress?.failures ?? [])
  }

  // MARK: Explain

  private static let usesShown = 100

  private func explain(_ block: BlockID) async throws(Problem) -> BlockExplanation {
    let (uses, strays) = try await lookUp(block, usesShown: ClusterService.usesShown)
    let (partition, replicas, nodes) = try withState { state in
      (
        block.partition(bits: state.layout.partitionBits), state.layout.replicas(of: block),
        state.nodes.map { ($0.record.id, $0.record.zone, state.liveness($0.record.id), $0.lastScrub) }
      )
    }
    let copies = await withTaskGroup(of: BlockExplanation.Copy?.self) { group in
      for (node, zone, liveness, scrubbed) in nodes {
        let role = replicas.contains(node) ? "replica" : strays.contains(node) ? "stray" : "extra"
        guard liveness == .alive || role != "extra" else { continue }
        group.addTask {
          let outcome = liveness == .alive ? await self.verify(node, [block])?.first : nil
          if role == "extra" && (outcome == nil || outcome == .missing) { return nil }
          return BlockExplanation.Copy(
            node: node, zone: zone, role: role, state: outcome, nodeState: NodeState(liveness),
            verifiedAt: outcome == .valid ? self.time.wall() : nil, scrubbedAt: scrubbed)
        }
      }
      var copies: [BlockExplanation.Copy] = []
      for await copy in group { if let copy { copies.append(copy) } }
      return copies
    }
    let order = { (copy: BlockExplanation.Copy) in replicas.firstIndex(of: copy.node) ?? replicas.count }
    return BlockExplanation(
      block: block, size: uses.size, partition: partition, uses: uses.uses, leases: uses.leases,
      copies: copies.sorted { (order($0), $0.node) < (order($1), $1.node) })
  }
}
