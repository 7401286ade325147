internal import BlockModel
internal import ClusterLogic

/// Layouts and the rows of transitions, committed as `ClusterService` does.
extension SimulatedCoordinator {
  func reconcileLayout() {
    let candidates = members.map { member in
      DesiredLayout.Candidate(
        node: member.record.placed, liveness: liveness(member.record.id), wasHeard: member.wasHeard,
        isComing: member.record.isOut || admitted.contains(member.record.id))
    }
    guard
      let desired = DesiredLayout.nodes(
        for: layout, candidates: candidates, isBraked: detector.isBraked, initialNodes: settings.nodes),
      let next = try? DesiredLayout.next(after: layout, over: desired, history: metadata.layouts.suffix(16).reversed())
    else { return }
    _ = commit(next)
  }

  /// Commits the next layout together with what it leaves to be done, and publishes it.
  /// - Parameter removed: nodes that do not come back by themselves.
  func commit(_ next: Layout, removed: [NodeID] = []) -> Bool {
    let out = members.map(\.record.id).filter { liveness($0) == .out }
    var rows = LayoutTransition.filling(from: layout, filling: filling, to: next, unreliable: out)
    if bug == .forgetsTransitions { rows = [] }
    let origin = rows.isEmpty ? nil : filling.isEmpty ? layout.version : metadata.rebalanceOrigin ?? layout.version
    guard metadata.commit(next, expected: layout.version, filling: rows, origin: origin) else { return false }
    simulation.totals.layouts += 1
    simulation.note("layout \(next.version) over \(next.nodes.map(\.id)), table \(next.table), out \(out); to do: \(rows)")
    let coming = next.nodes.map(\.id).filter { layout.node($0) == nil }
    layout = next
    filling = rows
    for member in members.map(\.record.id) { update(member) { $0.sweepAt = nil } }
    admitted.removeAll { next.node($0) != nil || removed.contains($0) }
    for node in coming + removed { update(node) { $0.record.isOut = false } }
    for placed in next.nodes { update(placed.id) { $0.record.weight = placed.weight } }
    for member in members { metadata.save(member.record) }
    touch()
    tellRepair()
    return true
  }

  /// Changes rows, in the database and then here, as long as the layout is this one.
  func changeRows(
    layoutVersion: UInt64, filled: [(partition: Int, gcEpoch: UInt64)] = [], _ body: () -> [PlanFilling]
  ) -> Bool {
    guard layout.version == layoutVersion else { return false }
    let changed = body()
    guard !changed.isEmpty else { return true }
    guard metadata.updateFilling(changed, filled: filled, layoutVersion: layoutVersion) else { return false }
    simulation.note("rows under \(layoutVersion): \(changed)")
    filling = metadata.filling
    if filling.isEmpty { metadata.rebalanceOrigin = nil }
    touch()
    return true
  }

  func refillLostDisks() {
    guard let node = refills.first else { return }
    losses[node, default: 0] += 1
    feed(.diskLost(node))
    guard changeRows(layoutVersion: layout.version, { LayoutTransition.refilling(node, in: layout, filling: filling) }) else { return }
    refills.removeFirst()
    update(node) { member in
      member.record.disks = member.attendance.counted(recorded: member.record.disks, outAfter: outAfter, now: now)
    }
    if let record = member(node)?.record { metadata.save(record) }
    touch()
  }

  func dropDeadSources() {
    guard !detector.isBraked, !filling.isEmpty else { return }
    let dead = members.map(\.record.id).first { id in liveness(id) == .out && filling.contains { $0.sources.contains(id) } }
    guard let dead else { return }
    _ = changeRows(layoutVersion: layout.version) { LayoutTransition.withoutSource(dead, filling: filling) }
  }

  /// - Parameter epoch: in which a target was asked that has the partition whole now; nil for a source that gave it up.
  func mark(_ partition: Int, layoutVersion: UInt64, filledIn epoch: UInt64? = nil, _ change: (inout PlanFilling) -> Void) -> Bool {
    changeRows(layoutVersion: layoutVersion, filled: epoch.map { [(partition, $0)] } ?? []) {
      guard var row = filling.first(where: { $0.partition == partition }) else { return [] }
      change(&row)
      return [row]
    }
  }

  // MARK: Leftovers

  func sweepLeftovers() {
    guard layout.version > 0, !detector.isBraked, !isSweeping else { return }
    let found = members.first { member in
      let id = member.record.id
      guard member.wasHeard, member.blockCount > 0, member.sweepAt.map({ now >= $0 }) ?? true, liveness(id) == .alive else { return false }
      guard !filling.isEmpty else { return true }
      return layout.node(id) == nil && !filling.contains { $0.sources.contains(id) }
    }
    guard let node = found?.record.id else { return }
    update(node) { $0.sweepAt = now + (layout.node(node) == nil ? .seconds(2) : .seconds(60)) }
    let version = layout.version
    isSweeping = true
    ask(node, .digest(Array(0..<layout.partitionCount))) { [unowned self] reply in
      isSweeping = false
      guard case .digests(let digests, _, _)? = reply else { return }
      let held = digests.indices.filter { !digests[$0].isEmpty }
      _ = changeRows(layoutVersion: version) { LayoutTransition.leftovers(node, of: held, in: layout, filling: filling) }
    }
  }

  // MARK: Operators

  func operate(_ action: ClusterScenario.Action) {
    guard process.isUp, layout.version > 0 else { return }
    switch action {
    case .weigh(let number, let tenths):
      let node = layout.nodes[number % layout.nodes.count]
      let role = StagedRole.Role(zone: node.zone, region: nil, weight: Double(tenths) / 10)
      apply([StagedRole(node: node.id, role: role)])
    case .drain(let number):
      let node = layout.nodes[number % layout.nodes.count].id
      let rest = layout.nodes.filter { $0.id != node }
      guard Set(rest.map(\.zone)).count >= layout.requiredZones else { return }
      apply([StagedRole(node: node, role: nil)])
    case .abortRebalance: abort()
    case .recheck: feed(.recheck(id: simulation.nextNumber(), .everything))
    default: return
    }
  }

  func admit(_ node: NodeID) {
    guard process.isUp, liveness(node) == .alive, layout.node(node) == nil, !admitted.contains(node) else { return }
    admitted.append(node)
  }

  private func apply(_ staged: [StagedRole]) {
    guard let plan = try? LayoutPlanner.plan(previous: layout, nodes: LayoutStaging.nodes(of: layout, with: staged)) else { return }
    _ = commit(plan.layout, removed: staged.filter { $0.role == nil }.map(\.node))
  }

  private func abort() {
    guard !filling.isEmpty, let version = metadata.rebalanceOrigin,
      var origin = metadata.layouts.first(where: { $0.version == version })
    else { return }
    origin.version = layout.version
    let nodes = origin.nodes.filter { liveness($0.id) != .out }
    guard let next = try? LayoutPlanner.plan(previous: origin, nodes: nodes).layout,
      next.nodes != layout.nodes || next.table != layout.table
    else { return }
    _ = commit(next)
  }
}
