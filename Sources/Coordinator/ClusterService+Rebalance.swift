internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Moving data to where the layout wants it: how fast, how far, and back.
extension ClusterService {
  func registerRebalance(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.GetRebalance.self) { [self] (_, _) async throws(Problem) in try rebalanceStatus() }
    dispatcher.register(OperatorOperations.ControlRebalance.self) { [self] (request, _) async throws(Problem) in
      switch request.action {
      case .pause: try await setPaused(true)
      case .resume: try await setPaused(false)
      case .abort: try await abort()
      }
      return try rebalanceStatus()
    }
    dispatcher.register(OperatorOperations.DrainNode.self) { [self] (request, _) async throws(Problem) in try await drain(request.node) }
    dispatcher.register(OperatorOperations.GetDrain.self) { [self] (request, _) async throws(Problem) in try drainStatus(request.node) }
  }

  // MARK: Pace

  /// Once a second: how fast data may move now.
  func paceRebalance(_ now: MonotonicTime) {
    let told = shared.withLock { shared -> (RepairDriver, Bool, Int64)? in
      guard let repair = shared.repair, shared.state != nil, shared.pacedAt.map({ now - $0 >= .seconds(1) }) ?? true else { return nil }
      shared.pacedAt = now
      let samples = shared.state?.takeForeground() ?? []
      let moved = repair.moved
      let isMoving = !(shared.state?.filling.isEmpty ?? true) && !(shared.state?.rebalance.isPaused ?? false)
      shared.pacer.limit(fastestBytes: configuration.repair.moveBytesPerSecond(liveNodes: shared.state?.liveNodes ?? 0))
      shared.pacer.observe(samples, isMoving: isMoving)
      shared.progress.append(Progress(time: now, bytes: moved.bytes, stepsLeft: shared.state?.stepsLeft ?? 0))
      if shared.progress.count > ClusterService.progressKept { shared.progress.removeFirst() }
      return (repair, shared.state?.rebalance.isPaused ?? false, shared.pacer.bytesPerSecond)
    }
    guard let (repair, isPaused, rate) = told else { return }
    repair.feed(.rebalance(isPaused: isPaused, bytesPerSecond: rate))
  }

  private static let progressKept = 11

  /// How far it was at a moment, for rates over the last ten seconds.
  struct Progress: Sendable {
    var time: MonotonicTime
    var bytes: Int64
    var stepsLeft: Int
  }

  // MARK: Status

  func rebalanceStatus() throws(Problem) -> RebalanceStatus {
    let (repair, progress, limit) = shared.withLock { ($0.repair, $0.progress, $0.pacer.bytesPerSecond) }
    let state = try withState { state in state }
    let left = state.stepsLeft
    let (bytesRate, stepsRate) = ClusterService.rates(progress)
    let total = max(state.rebalance.steps, left)
    let moved = repair?.moved ?? (bytes: 0, blocks: 0)
    return RebalanceStatus(
      state: left == 0 ? .idle : state.rebalance.isPaused ? .paused : .moving, layoutVersion: state.layout.version,
      originVersion: left == 0 ? nil : state.rebalance.origin, stepsDone: total - left, stepsTotal: total,
      partitionsLeft: state.filling.count, bytesMoved: moved.bytes, blocksRetired: moved.blocks,
      bytesPerSecond: left == 0 ? 0 : bytesRate, limitBytesPerSecond: limit,
      etaSeconds: left > 0 && stepsRate > 0 && !state.rebalance.isPaused ? Double(left) / stepsRate : nil, waiting: state.waiting)
  }

  private static func rates(_ progress: [Progress]) -> (bytes: Double, steps: Double) {
    guard let first = progress.first, let last = progress.last, last.time > first.time else { return (0, 0) }
    let seconds = (last.time - first.time).inSeconds
    return (Double(last.bytes - first.bytes) / seconds, Double(max(0, first.stepsLeft - last.stepsLeft)) / seconds)
  }

  // MARK: Control

  private func setPaused(_ isPaused: Bool) async throws(Problem) {
    try await exclusively { () async throws(Problem) in
      let record = try withState { state in
        var record = state.rebalance
        record.isPaused = isPaused
        return record
      }
      do throws(MetadataError) { try await metadata.saveRebalance(record) } catch { throw Problem(cluster: error) }
      try withState { state in state.rebalance.isPaused = isPaused }
    }
    log.info(isPaused ? "moving is paused" : "moving goes on")
    shared.withLock { $0.pacedAt = nil }
    paceRebalance(time.monotonic())
  }

  /// Back to the layout before the present way began, as far as its nodes live.
  private func abort() async throws(Problem) {
    try await exclusively { () async throws(Problem) in
      let state = try withState { state in state }
      guard state.stepsLeft > 0, let version = state.rebalance.origin else {
        throw Problem(.conflict, "Nothing is moving, so there is nothing to go back to.")
      }
      var origin = try await layout(version: version)
      origin.version = state.layout.version
      let nodes = origin.nodes.filter { state.liveness($0.id) != .out }
      let next: Layout
      do throws(LayoutPlanner.Failure) { next = try LayoutPlanner.plan(previous: origin, nodes: nodes).layout } catch {
        throw Problem(layout: error)
      }
      guard next.nodes != state.layout.nodes || next.table != state.layout.table else {
        throw Problem(.conflict, "This layout is what is left of layout \(version): there is nothing to go back to.")
      }
      try await commit(next, cause: "back to layout \(version)", resumes: true)
    }
  }

  private func layout(version: UInt64) async throws(Problem) -> Layout {
    do throws(MetadataError) {
      let newest = try await metadata.currentLayout().version
      let history = try await metadata.layoutHistory(limit: Int(clamping: newest - min(newest, version)) + 1)
      if let found = history.first(where: { $0.version == version }) { return found }
    } catch { throw Problem(cluster: error) }
    throw Problem(.notFound, "Layout \(version) is not kept any more.")
  }

  // MARK: Drain

  private func drain(_ node: NodeID) async throws(Problem) -> DrainStatus {
    try await exclusively { () async throws(Problem) in
      let state = try withState { state in state }
      guard state.node(node) != nil else { throw Problem.noNode(node) }
      guard state.layout.node(node) != nil else {
        // An out node that was to come back by itself does not any more.
        try await forget(node)
        return
      }
      let nodes = state.layout.nodes.filter { $0.id != node }
      let zones = Set(nodes.map(\.zone)).count
      guard zones >= state.layout.requiredZones else {
        throw Problem(
          .conflict,
          "Without \(node) there are \(zones) zones, and a write needs \(state.layout.requiredZones): add a node in its zone first.")
      }
      let proposal = try propose(nodes, state)
      try await commit(proposal.plan.layout, cause: "drain of \(node)")
    }
    return try drainStatus(node)
  }

  private func forget(_ node: NodeID) async throws(Problem) {
    try withState { state in
      state.admitted.removeAll { $0 == node }
      state.update(node) {
        guard $0.record.isOut else { return }
        $0.record.isOut = false
        $0.isSaved = false
      }
    }
    do throws(MetadataError) { try await save(node) } catch { throw Problem(cluster: error) }
  }

  func drainStatus(_ node: NodeID) throws(Problem) -> DrainStatus {
    let state = try withState { state in state }
    guard let known = state.node(node) else { throw Problem.noNode(node) }
    let left = state.filling.count { $0.sources.contains(node) }
    let bytes = known.disks.reduce(0) { $0 + $1.usedBytes }
    let (status, sentence): (DrainStatus.State, String) =
      if state.layout.node(node) != nil {
        (.serving, "\(node) is in layout \(state.layout.version).")
      } else if state.liveness(node) != .alive || !known.wasHeard {
        (.silent, "\(node) does not answer: bring it back, so that it can give up what it holds.")
      } else if left == 0 && known.blockCount == 0 && journalNeeds(node) {
        (.draining, "\(node) holds no blocks, but a part of the metadata's journal that others are getting; leave it running.")
      } else if left == 0 && known.blockCount == 0 {
        (.drained, "\(node) holds nothing and may be unplugged.")
      } else {
        (.draining, "\(node) has \(known.blockCount) blocks of \(left) partitions left; leave it running.")
      }
    return DrainStatus(
      node: node, state: status, partitionsLeft: left, blocksLeft: known.blockCount, bytesLeft: bytes, mayBeUnplugged: status == .drained,
      sentence: sentence)
  }
}

extension ClusterState {
  var stagedLayout: StagedLayout { StagedLayout(staged: staged, nextVersion: layout.version + 1) }

  /// Replicas to fill and sources to retire.
  var stepsLeft: Int { filling.reduce(0) { $0 + $1.targets.count + $1.sources.count } }

  /// Bytes of one replica of one partition, on average.
  var bytesPerReplica: Double {
    let used = nodes.filter { layout.node($0.record.id) != nil }.reduce(Int64(0)) { $0 + $1.disks.reduce(0) { $0 + $1.usedBytes } }
    return layout.table.isEmpty ? 0 : Double(used) / Double(layout.table.count)
  }

  /// Why moving does not go on, one sentence each.
  var waiting: [String] {
    guard !filling.isEmpty else { return [] }
    var sentences: [String] = []
    if rebalance.isPaused { sentences.append("It is paused: cairnctl rebalance resume lets it go on.") }
    if detector.isBraked { sentences.append("So many nodes seem down that nothing is moved.") }
    for node in nodes where liveness(node.record.id) != .alive {
      let id = node.record.id
      guard filling.contains(where: { $0.targets.contains(id) || $0.sources.contains(id) }) else { continue }
      sentences.append("Node \(id) does not answer, and it takes part.")
    }
    return sentences
  }

  mutating func takeForeground() -> [RebalancePacer.Sample] {
    defer { foreground = [] }
    return foreground
  }

  /// What these nodes hold beyond the layout is looked at when they can be asked.
  mutating func sweepSoon(_ ids: [NodeID]) {
    for id in ids { update(id) { $0.sweepAt = nil } }
  }

  mutating func setRows(_ rows: [PlanFilling]) {
    for row in rows {
      if let index = fillingIndex(row.partition) {
        if row.isDone { filling.remove(at: index) } else { filling[index] = row }
      } else if !row.isDone {
        filling.insert(row, at: fillingPlace(row.partition))
      }
    }
  }
}
