internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Collecting garbage: when runs begin, and what operators ask of them.
extension ClusterService {
  /// What is kept in memory of it.
  struct GarbageState: Sendable {
    var driver: GarbageDriver?
    /// The run that an earlier coordinator left open was taken over, or there was none.
    var hasAdopted = false
    var lookAt: MonotonicTime?
    var plan: GarbageRun?
    var undo: GarbageUndo?
    var undoing: Task<Void, Never>?
    /// Nothing that was deleted since a backup waits for being taken back.
    var knowsNoUndo = false
    /// Nodes that took back what was deleted since the backup.
    var undone: [NodeID] = []
    var deletedBlocks = 0
    var deletedBytes: Int64 = 0
    var stoppedRuns = 0
  }

  /// Between two looks at whether a run is due.
  private static let lookInterval: Duration = .seconds(5)
  private static let misconfiguredInterval: Duration = .seconds(600)
  private static let undoPage = 1000

  func registerGarbage(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.GetGarbage.self) { [self] (_, _) async throws(Problem) in try await garbageStatus() }
    dispatcher.register(OperatorOperations.StartGarbage.self) { [self] (request, _) async throws(Problem) in
      try await start(request)
      return try await garbageStatus()
    }
    dispatcher.register(OperatorOperations.UndoGarbage.self) { [self] (request, _) async throws(Problem) in
      try await undo(request)
      return try await garbageStatus()
    }
    dispatcher.register(OperatorOperations.ReleaseGarbage.self) { [self] (_, _) async throws(Problem) in
      let metadata = try collecting()
      do throws(MetadataError) {
        try await metadata.holdGarbage(nil)
        // Who lets go on waits for no node any more, either.
        try await metadata.finishGarbageUndo()
      } catch { throw Problem(cluster: error) }
      log.info("an operator lets garbage be collected")
      return try await garbageStatus()
    }
  }

  func registerGarbageMetrics() {
    metrics.counter("cairn_gc_deleted_blocks_total", help: "Blocks whose delete this coordinator authorized.") { [weak self] in
      Double(self?.shared.withLock { $0.garbage.deletedBlocks } ?? 0)
    }
    metrics.counter("cairn_gc_deleted_bytes_total", help: "Bytes of the copies that nodes set aside for that.") { [weak self] in
      Double(self?.shared.withLock { $0.garbage.deletedBytes } ?? 0)
    }
    metrics.counter("cairn_gc_stopped_runs_total", help: "Runs that ended before they were done.") { [weak self] in
      Double(self?.shared.withLock { $0.garbage.stoppedRuns } ?? 0)
    }
    metrics.gauge("cairn_gc_epoch", help: "The garbage collector's epoch.") { [weak self] in
      Double(self?.shared.withLock { $0.state?.gcEpoch } ?? 0)
    }
  }

  private func collecting() throws(Problem) -> any GarbageMetadata {
    guard let garbage else { throw Problem(.unavailable, "This coordinator keeps no log of deletes and collects nothing.") }
    return garbage
  }

  // MARK: - Ticks

  /// Given by the loop: feeds the run under way, takes over what an earlier coordinator began, and begins what is due.
  func tendGarbage(_ now: MonotonicTime) async {
    guard let garbage else { return }
    if let driver = shared.withLock({ $0.garbage.driver }) {
      if driver.isEnded { return shared.withLock { $0.garbage.driver = nil } }
      if let members = garbageMembers() { driver.tell(members.nodes, areAll: members.areAll) }
      return driver.feed(.timer)
    }
    // Before the first layout there is nothing to look at, and no look is spent on it.
    guard (try? withState { state in state.layout.version > 0 }) == true else { return }
    let (isDue, hasAdopted) = shared.withLock { shared in
      let isDue = shared.garbage.lookAt.map { now >= $0 } ?? true
      if isDue { shared.garbage.lookAt = now + ClusterService.lookInterval }
      return (isDue && shared.garbage.undoing == nil, shared.garbage.hasAdopted)
    }
    guard isDue else { return }
    do throws(MetadataError) {
      let generation = shared.withLock { $0.state?.generation } ?? 0
      if !hasAdopted {
        if let run = try await garbage.adoptGarbageRun(generation: generation) {
          log.info("a run of the garbage collector goes on", ["run": .string(String(run.number)), "phase": .string(run.phase.rawValue)])
          drive(run.resumed, .collect, garbage, generation)
        }
        return shared.withLock { $0.garbage.hasAdopted = true }
      }
      if try await undoAfterRestore(garbage) { return }
      guard let interval = configuration.garbageInterval else { return }
      let newest = try await garbage.garbageRuns(limit: 1).first
      guard newest.map({ time.wall() - $0.startedAt >= interval }) ?? true, try await garbage.garbageRecord().hold == nil else { return }
      if shortHold() != nil { shared.withLock { $0.garbage.lookAt = now + ClusterService.misconfiguredInterval } }
      try await begin("interval", acceptsUnlogged: false, garbage)
    } catch { log.warning("garbage could not be looked after", ["reason": .string(error.message)]) }
  }

  /// Nodes that answer, and whether all that the layout names are among them.
  private func garbageMembers() -> (nodes: [NodeID], areAll: Bool)? {
    try? withState { state in
      let nodes = state.nodes.filter { $0.wasHeard && state.liveness($0.record.id) == .alive }.map(\.record.id)
      return (nodes, state.layout.nodes.allSatisfy { nodes.contains($0.id) })
    }
  }

  // MARK: - Runs

  private func begin(_ cause: String, acceptsUnlogged: Bool, _ garbage: any GarbageMetadata) async throws(MetadataError) {
    if let problem = shortHold() { throw MetadataError(.refused, problem.detail, problem: problem) }
    let known = shared.withLock { shared in shared.state.map { ($0.generation, $0.layout.partitionCount) } }
    guard let (generation, partitions) = known else { throw MetadataError(.unavailable, "The coordinator is starting.") }
    let run = try await garbage.beginGarbageRun(
      GarbageRunRequest(cause: cause, acceptsUnlogged: acceptsUnlogged, partitionCount: partitions, generation: generation))
    // From now on URLs carry the new epoch.
    raiseEpoch(to: run.epoch)
    log.info(
      "a run of the garbage collector began",
      ["run": .string(String(run.number)), "epoch": .string(String(run.epoch)), "cause": .string(cause)])
    drive(run, .collect, garbage, generation)
  }

  /// To be called when the database has this epoch: nodes and gateways learn it.
  private func raiseEpoch(to epoch: UInt64) {
    _ = try? withState { state in
      state.gcEpoch = max(state.gcEpoch, epoch)
      state.touch()
    }
    signal.notifyAll()
  }

  /// What is wrong when a node would purge what an upload under way may still count on.
  private func shortHold() -> Problem? {
    let shortest = configuration.shortestHold
    let wrong = (try? withState { state in state.nodes.first { $0.quarantineHold.map { $0 < shortest } ?? false } }) ?? nil
    guard let wrong, let hold = wrong.quarantineHold else { return nil }
    return Problem(
      .conflict,
      "\(wrong.record.id) purges deleted blocks after \(hold.components.seconds) s, and uploads and URLs together, or backups, are to be "
        + "good for \(shortest.components.seconds) s: set quarantine-seconds of every node to that at least. Nothing is collected before.")
  }

  private func drive(_ run: GarbageRun, _ purpose: GarbageCollector.Purpose, _ metadata: any GarbageMetadata, _ generation: UInt64) {
    guard let members = garbageMembers() else { return }
    let left = run.phase == .settling && purpose == .collect ? configuration.garbage.grace - (time.wall() - run.startedAt) : .zero
    let collector = GarbageCollector(
      run: run, purpose: purpose, nodes: members.nodes, areAll: members.areAll, configuration: configuration.garbage,
      settleFor: max(.zero, min(left, configuration.garbage.grace)), now: time.monotonic())
    let driver = GarbageDriver(
      service: self, metadata: metadata, collector: collector, purpose: purpose, generation: generation, members: members)
    shared.withLock { $0.garbage.driver = driver }
    driver.feed(.timer)
  }

  /// - Parameter isSaved: the database closed the run, and raised the epoch with that.
  func garbageEnded(_ run: GarbageRun, _ purpose: GarbageCollector.Purpose, isSaved: Bool) {
    if isSaved { raiseEpoch(to: run.epoch + 1) }
    shared.withLock { shared in
      guard purpose == .collect else {
        shared.garbage.plan = run
        return
      }
      shared.garbage.deletedBlocks += run.deleted.blocks
      shared.garbage.deletedBytes += run.deleted.bytes
      if run.outcome == .stopped { shared.garbage.stoppedRuns += 1 }
    }
    let fields: LogFields = [
      "run": .string(String(run.number)), "deleted": .int(run.deleted.blocks), "copies": .int(run.deleted.copies),
      "reason": .string(run.reason ?? ""),
    ]
    guard purpose == .collect else { return }
    if run.outcome == .finished {
      log.info("a run of the garbage collector is done", fields)
    } else {
      log.warning("a run of the garbage collector was stopped", fields)
    }
  }

  private func start(_ request: OperatorOperations.StartGarbage) async throws(Problem) {
    let metadata = try collecting()
    let layout = try withState { state in state.layout }
    guard layout.version > 0 else { throw Problem(.unavailable, "There is no layout yet, so there is nothing to collect.") }
    let (isFree, hasAdopted) = shared.withLock { shared in
      ((shared.garbage.driver?.isEnded ?? true) && shared.garbage.undoing == nil, shared.garbage.hasAdopted)
    }
    guard hasAdopted else { throw Problem(.unavailable, "The coordinator has only just started; try again in a moment.", retryAfter: 1) }
    guard isFree else { throw Problem(.conflict, "The garbage collector is at work; “cairnctl gc status” shows on what.") }
    do throws(MetadataError) {
      guard request.plan else {
        return try await begin("operator", acceptsUnlogged: request.acceptsUnlogged ?? false, metadata)
      }
      let record = try await metadata.garbageRecord()
      let plan = GarbageRun(
        number: 0, epoch: record.epoch + 1, cause: "operator", startedAt: time.wall(), partitionCount: layout.partitionCount,
        acceptsUnlogged: true)
      shared.withLock { $0.garbage.plan = nil }
      drive(plan, .plan, metadata, 0)
    } catch { throw Problem(cluster: error) }
  }

  // MARK: - Undo

  private func undo(_ request: OperatorOperations.UndoGarbage) async throws(Problem) {
    let metadata = try collecting()
    var since: UInt64 = 0
    do throws(MetadataError) {
      if let number = request.sinceRun {
        guard let run = try await metadata.garbageRuns(limit: 100).first(where: { $0.number == number }) else {
          throw MetadataError(
            .refused, "", problem: Problem(.notFound, "No run \(number) of the garbage collector is remembered."))
        }
        since = run.epoch
      }
      try await metadata.holdGarbage("Deletes were undone. Look why, then let collecting go on with “cairnctl gc release”.")
      raiseEpoch(to: try await self.metadata.gcEpoch())
    } catch { throw Problem(cluster: error) }
    let nodes = try withState { state in state.nodes.map(\.record.id) }
    let isFirst = shared.withLock { shared -> Bool in
      shared.garbage.driver?.stop()
      shared.garbage.driver = nil
      guard shared.garbage.undoing == nil else { return false }
      shared.garbage.undo = GarbageUndo(restoredCopies: 0, nodesDone: 0, nodesTotal: nodes.count, skipped: [])
      let epoch = since
      shared.garbage.undoing = Task { await self.takeBack(since: epoch, at: nodes) }
      return true
    }
    guard isFirst else { throw Problem(.conflict, "Deletes are being undone already.") }
    log.warning("an operator undoes deletes; collecting is on hold", ["since_epoch": .string(String(since))])
  }

  /// With a backup's database everything that nodes have set aside since is taken back before they purge it. Answers whether it is under
  /// way or waits for nodes.
  private func undoAfterRestore(_ garbage: any GarbageMetadata) async throws(MetadataError) -> Bool {
    guard !shared.withLock({ $0.garbage.knowsNoUndo }) else { return false }
    guard try await garbage.garbageRecord().isUndoDue else {
      shared.withLock { $0.garbage.knowsNoUndo = true }
      return false
    }
    guard let members = garbageMembers() else { return true }
    // Also nodes that are out, and off the layout by now: one may have what the others lack.
    let all = (try? withState { state in state.nodes.map(\.record.id) }) ?? []
    let undone = shared.withLock { $0.garbage.undone }
    guard !all.allSatisfy(undone.contains) else {
      try await garbage.finishGarbageUndo()
      return true
    }
    let next = members.nodes.filter { !undone.contains($0) }
    guard !next.isEmpty else { return true }
    shared.withLock { shared in
      shared.garbage.undo = GarbageUndo(restoredCopies: 0, nodesDone: 0, nodesTotal: next.count, skipped: [])
      shared.garbage.undoing = Task {
        await self.takeBack(since: 0, at: next)
        self.shared.withLock { shared in
          let skipped = shared.garbage.undo?.skipped ?? next
          shared.garbage.undone += next.filter { !skipped.contains($0) }
        }
      }
    }
    log.info("the metadata is a backup's: nodes take back what was deleted since", ["nodes": .int(next.count), "all": .int(all.count)])
    return true
  }

  private func takeBack(since epoch: UInt64, at nodes: [NodeID]) async {
    await withTaskGroup(of: Void.self) { group in
      for node in nodes { group.addTask { await self.takeBack(since: epoch, at: node) } }
    }
    shared.withLock { $0.garbage.undoing = nil }
  }

  private func takeBack(since epoch: UInt64, at node: NodeID) async {
    var after: BlockID?
    var isDone = false
    while !Task.isCancelled, !isDone {
      let command = NodeCommand.restore(sinceEpoch: epoch, after: after, limit: ClusterService.undoPage)
      guard case .done(.restored(let blocks, let next)) = await request(node, command, deadline: .seconds(60)) else { break }
      shared.withLock { $0.garbage.undo?.restoredCopies += blocks }
      isDone = next == nil
      after = next
    }
    shared.withLock { shared in
      guard var undo = shared.garbage.undo else { return }
      undo.nodesDone += 1
      if !isDone { undo.skipped = (undo.skipped + [node]).sorted() }
      shared.garbage.undo = undo
    }
  }

  // MARK: - Status

  func garbageStatus() async throws(Problem) -> GarbageStatus {
    let metadata = try collecting()
    let record: GarbageRecord
    do throws(MetadataError) { record = try await metadata.garbageRecord() } catch { throw Problem(cluster: error) }
    let (driver, plan, undo, isUndoing) = shared.withLock { shared in
      (shared.garbage.driver, shared.garbage.plan, shared.garbage.undo, shared.garbage.undoing != nil)
    }
    let running = driver.flatMap { $0.isEnded ? nil : $0 }
    let state: GarbageStatus.State = isUndoing ? .undoing : running.map { $0.purpose == .plan ? .planning : .collecting } ?? .idle
    let next = configuration.garbageInterval.flatMap { interval in
      record.hold == nil && state != .collecting ? (record.newest?.startedAt ?? time.wall()) + interval : nil
    }
    return GarbageStatus(
      state: state, epoch: record.epoch, hold: record.hold, unreferencedBlocks: record.unreferenced, nextRunAt: next,
      run: running.flatMap { $0.purpose == .collect ? $0.run : nil } ?? record.newest,
      plan: running.flatMap { $0.purpose == .plan ? $0.run : nil } ?? plan, undo: undo)
  }

  /// The run under way as one of the cluster's jobs.
  var garbageJob: JobStatus? {
    guard let driver = shared.withLock({ $0.garbage.driver }), driver.purpose == .collect, !driver.isEnded else { return nil }
    let run = driver.run
    return JobStatus(
      name: "garbage collection", state: run.phase.rawValue, done: run.partition, total: run.partitionCount, unit: "partitions",
      etaSeconds: nil)
  }

  /// What is to end with the service.
  func stopGarbage() {
    let (driver, undoing) = shared.withLock { shared in
      defer {
        shared.garbage.driver = nil
        shared.garbage.undoing = nil
      }
      return (shared.garbage.driver, shared.garbage.undoing)
    }
    driver?.stop()
    undoing?.cancel()
  }
}
