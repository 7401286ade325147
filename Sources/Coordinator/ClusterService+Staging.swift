internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Layouts that operators make: staged, reviewed, applied.
///
/// What must hold: staged changes are in the database before they are answered; what is applied is what was reviewed, by version and hash.
extension ClusterService {
  func registerLayouts(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.AssignRole.self) { [self] (request, _) async throws(Problem) in try await assign(request) }
    dispatcher.register(OperatorOperations.RemoveRole.self) { [self] (request, _) async throws(Problem) in
      try await stage(StagedRole(node: request.node, role: nil))
    }
    dispatcher.register(OperatorOperations.RevertLayout.self) { [self] (_, _) async throws(Problem) in try await revert() }
    dispatcher.register(OperatorOperations.PlanLayout.self) { [self] (_, _) async throws(Problem) in try proposal().report }
    dispatcher.register(OperatorOperations.ApplyLayout.self) { [self] (request, _) async throws(Problem) in try await apply(request) }
    dispatcher.register(OperatorOperations.GetLayoutHistory.self) { [self] (request, _) async throws(Problem) in
      try await history(request.limit)
    }
  }

  // MARK: Staging

  private func assign(_ request: OperatorOperations.AssignRole) async throws(Problem) -> StagedLayout {
    if let weight = request.weight, !(weight.isFinite && LayoutPlanner.weights.contains(weight)) {
      throw Problem(.malformed, "A weight lies between 0.1 and 20.")
    }
    let role = try withState { (state) throws(Problem) -> StagedRole.Role in
      guard let record = state.node(request.node)?.record else { throw Problem.noNode(request.node) }
      let present = state.staged.first { $0.node == request.node }?.role
      return StagedRole.Role(
        zone: request.zone ?? present?.zone ?? record.zone, region: request.region ?? present?.region ?? record.region,
        weight: request.weight ?? present?.weight ?? record.weight)
    }
    return try await stage(StagedRole(node: request.node, role: role))
  }

  private func stage(_ change: StagedRole) async throws(Problem) -> StagedLayout {
    try withState { (state) throws(Problem) in
      guard state.layout.version > 0 else { throw Problem(.unavailable, "There is no layout yet; the first one is made by itself.") }
      guard state.node(change.node) != nil || state.layout.node(change.node) != nil else { throw Problem.noNode(change.node) }
    }
    return try await staging { LayoutStaging.adding(change, to: $0) }
  }

  /// Answers what was staged.
  private func revert() async throws(Problem) -> StagedLayout {
    let before = try withState { state in state.stagedLayout }
    _ = try await staging { _ in [] }
    return before
  }

  private func staging(_ change: @Sendable ([StagedRole]) -> [StagedRole]) async throws(Problem) -> StagedLayout {
    await rows.enter()
    let result: Result<StagedLayout, Problem>
    do throws(Problem) {
      let next = try withState { state in change(state.staged) }
      do throws(MetadataError) { try await metadata.saveStagedRoles(next) } catch { throw Problem(cluster: error) }
      result = .success(
        try withState { state in
          state.staged = next
          return state.stagedLayout
        })
    } catch { result = .failure(error) }
    await rows.leave()
    return try result.get()
  }

  // MARK: Planning

  /// A plan, and what an operator is told of it.
  struct LayoutProposal: Sendable {
    var plan: LayoutPlan
    var report: LayoutPlanReport
  }

  /// What the staged changes make of the present layout.
  private func proposal() throws(Problem) -> LayoutProposal {
    let state = try withState { state in state }
    guard state.layout.version > 0 else { throw Problem(.unavailable, "There is no layout yet; the first one is made by itself.") }
    guard !state.staged.isEmpty else {
      throw Problem(.conflict, "Nothing is staged: use layout assign, layout remove, or drain.")
    }
    for change in state.staged where change.role != nil && state.layout.node(change.node) == nil {
      guard state.liveness(change.node) == .alive else {
        throw Problem(.conflict, "\(change.node) is silent: bring it back before it is given a part of the layout.")
      }
    }
    return try propose(LayoutStaging.nodes(of: state.layout, with: state.staged), state)
  }

  func propose(_ nodes: [LayoutNode], _ state: ClusterState) throws(Problem) -> LayoutProposal {
    let plan: LayoutPlan
    do throws(LayoutPlanner.Failure) { plan = try LayoutPlanner.plan(previous: state.layout, nodes: nodes) } catch {
      throw Problem(layout: error)
    }
    return LayoutProposal(
      plan: plan, report: LayoutPlanReport(plan, state, bytesPerSecond: configuration.repair.moveBytesPerSecond(liveNodes: state.liveNodes))
    )
  }

  private func apply(_ request: OperatorOperations.ApplyLayout) async throws(Problem) -> LayoutPlanReport {
    try await exclusively { () async throws(Problem) in
      let current = try withState { state in state.layout.version }
      guard request.version == current + 1 else {
        throw Problem(.conflict, "The layout is at version \(current), so the next one is \(current + 1): plan again, then apply that one.")
      }
      let proposal = try proposal()
      if let hash = request.hash, hash != proposal.report.hash {
        throw Problem(.conflict, "What would be committed is not the plan \(hash.prefix(12))…: something changed. Plan again.")
      }
      try await commit(proposal.plan.layout, cause: "staged by an operator", clearsStaged: true)
      return proposal.report
    }
  }

  // MARK: History

  private func history(_ limit: Int) async throws(Problem) -> LayoutHistory {
    let limit = min(max(1, limit), 1000)
    let records: [LayoutRecord]
    do throws(MetadataError) { records = try await metadata.layoutRecords(limit: limit + 1) } catch { throw Problem(cluster: error) }
    let entries = records.prefix(limit).enumerated().map { index, record in
      let before = index + 1 < records.count ? records[index + 1].layout.nodes : []
      let nodes = record.layout.nodes
      return LayoutHistory.Entry(
        version: record.layout.version, committedAt: record.committedAt, cause: record.cause, nodes: nodes.count,
        added: nodes.map(\.id).filter { id in !before.contains { $0.id == id } },
        removed: before.map(\.id).filter { id in !nodes.contains { $0.id == id } },
        changed: nodes.filter { node in before.contains { $0.id == node.id && $0 != node } }.map(\.id))
    }
    return LayoutHistory(layouts: entries)
  }
}

extension Problem {
  static func noNode(_ node: NodeID) -> Problem {
    Problem(.notFound, "No node \(node) has been heard: start it, and check its name and coordinators.")
  }

  init(layout error: LayoutPlanner.Failure) {
    switch error {
    case .noNodes: self.init(.conflict, "A layout needs a node: nothing would hold the data.")
    case .tooManyNodes: self.init(.conflict, "A layout has at most 65,535 nodes.")
    case .duplicateNode(let node): self.init(.conflict, "Node \(node) is named twice.")
    case .weightOutOfRange(let node): self.init(.malformed, "The weight of \(node) does not lie between 0.1 and 20.")
    case .zoneInTwoRegions(let zone): self.init(.conflict, "Zone \(zone) would lie in two regions: assign its other nodes too.")
    }
  }
}

extension LayoutPlanReport {
  init(_ plan: LayoutPlan, _ state: ClusterState, bytesPerSecond: Int64) {
    let review = LayoutReview(plan, from: state.layout, filling: state.filling) { id in
      state.liveness(id) == .alive ? state.node(id)?.record.zone : nil
    }
    let perReplica = state.bytesPerReplica
    func bytes(_ partitions: Int) -> Int64 { Int64(perReplica * Double(partitions)) }
    var (coming, going): ([NodeID: Int], [NodeID: Int]) = ([:], [:])
    for pair in review.pairs {
      coming[pair.to, default: 0] += pair.partitions
      going[pair.from, default: 0] += pair.partitions
    }
    let nodes = zip(plan.layout.nodes, plan.loads).map { node, load in
      LayoutPlanReport.Node(
        name: node.id, zone: node.zone, region: node.region, weight: node.weight, partitionsBefore: load.before,
        partitionsAfter: load.after,
        fairShare: load.fairShare, bytesIn: bytes(coming[node.id] ?? 0), bytesOut: bytes(going[node.id] ?? 0))
    }
    let total = bytes(plan.movedReplicas)
    self.init(
      version: plan.layout.version, hash: LayoutPlanReport.hash(plan.layout), nodes: nodes,
      leaving: state.layout.nodes.map(\.id).filter { plan.layout.node($0) == nil },
      moves: review.pairs.map { Move(from: $0.from, to: $0.to, partitions: $0.partitions, bytes: bytes($0.partitions)) },
      movedReplicas: plan.movedReplicas, leastMovedReplicas: plan.leastMovedReplicas, bytes: total,
      seconds: Double(total) / Double(max(1, bytesPerSecond)), fewestZonesNow: review.fewestZonesNow,
      fewestZonesOnTheWay: review.fewestZonesOnTheWay)
  }

  /// Over everything that a layout says, in one fixed spelling.
  static func hash(_ layout: Layout) -> String {
    var text = "cairn layout plan\n\(layout.version) \(layout.partitionBits) \(layout.replicationFactor) \(layout.writeQuorum)\n"
    for node in layout.nodes { text += "\(node.id.text) \(node.zone.text) \(node.region?.text ?? "") \(node.weight.bitPattern)\n" }
    var bytes = Array(text.utf8)
    bytes.reserveCapacity(bytes.count + 2 * layout.table.count)
    for index in layout.table { bytes += [UInt8(index >> 8), UInt8(index & 255)] }
    return HexDigits.encode(SHA256Hasher.hash(bytes))
  }
}
