internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI

/// What `status` says, made of the state and of counts that are at most a second old.
struct ClusterStatusReport {
  var state: ClusterState
  /// Referenced blocks of each partition.
  var counts: [Int]
  var repairRows: Int
  var jobs: [JobStatus]
  var now: MonotonicTime

  /// Referenced blocks by what their partitions have.
  private struct Tally {
    /// Fewer live copies than the layout has replicas: repair's work.
    var incomplete = 0
    /// Fewer than the cluster shall have, whether or not the layout has place for them.
    var short = 0
    var withNone = 0
    var withOne = 0
  }

  func make() -> ClusterStatus {
    let total = counts.reduce(0, +)
    let most = max(total, repairRows)
    let tally = tally()
    let (health, reasons) = judge(tally, repairable: min(most, tally.incomplete + repairRows))
    return ClusterStatus(
      health: health, reasons: reasons, nodes: state.nodes.map(node), underReplicatedBlocks: min(most, tally.short + repairRows),
      referencedBlocks: total, layoutVersion: state.layout.version, jobs: jobs)
  }

  private func tally() -> Tally {
    var tally = Tally()
    let wanted = state.wantedCopies
    for partition in 0..<state.layout.partitionCount where state.layout.version > 0 {
      let blocks = partition < counts.count ? counts[partition] : 0
      guard blocks > 0 else { continue }
      let alive = liveHolders(partition)
      if alive < state.layout.targetCopies { tally.incomplete += blocks }
      if alive < wanted { tally.short += blocks }
      if alive == 0 { tally.withNone += blocks }
      if alive == 1 { tally.withOne += blocks }
    }
    return tally
  }

  private func liveHolders(_ partition: Int) -> Int {
    let row = state.fillingRow(partition)
    var holders = state.layout.replicas(ofPartition: partition).filter { !(row?.targets.contains($0) ?? false) }
    // A source that is giving its copies up counts no more; while a replica is on its way, its copy is one of the R.
    if let row, !row.targets.isEmpty { holders += row.sources }
    return holders.count { state.liveness($0) == .alive }
  }

  // MARK: Health

  private typealias Note = (ClusterHealth, String) -> Void

  /// What must hold: healthy is only a cluster in which nothing has to be done or waited for until every block has all its copies. A
  /// node that an operator took out is no reason by itself; the copies that there is no node for without it are.
  private func judge(_ tally: Tally, repairable: Int) -> (ClusterHealth, [String]) {
    var health = ClusterHealth.healthy
    var reasons: [String] = []
    func note(_ level: ClusterHealth, _ reason: String) {
      if level.rank > health.rank { health = level }
      reasons.append(reason)
    }
    guard state.layout.version > 0 else {
      return (.unavailable, ["There is no layout yet: it is made when the expected number of nodes has come."])
    }
    noteZones(tally, note)
    if state.detector.isBraked {
      let (down, limit) = state.detector.downAndLimit
      note(.atRisk, "\(down) nodes seem down, more than the \(limit) that are believed at once: nothing is moved until some are back.")
    }
    for node in state.nodes { noteNode(node, note) }
    noteCopies(repairable, note)
    return (health, reasons)
  }

  private func noteZones(_ tally: Tally, _ note: Note) {
    let needed = state.layout.requiredZones
    let writable = zones { state.liveness($0.record.id) == .alive && $0.hasRoom }
    let living = zones { state.liveness($0.record.id) == .alive }
    if writable < needed { note(.unavailable, "\(writable) zones take writes and \(needed) are needed: start nodes, or make room.") }
    if tally.withNone > 0 { note(.unavailable, "\(tally.withNone) blocks have no copy on a live node: start the nodes that are down.") }
    if tally.withOne > 0 && state.wantedCopies > 1 { note(.atRisk, "\(tally.withOne) blocks may have one copy left on live nodes.") }
    if living < needed && writable >= needed { note(.atRisk, "\(living) zones live and a write needs \(needed).") }
  }

  private func noteCopies(_ repairable: Int, _ note: Note) {
    let (copies, wanted) = (state.layout.targetCopies, state.wantedCopies)
    if copies < wanted {
      note(
        .degraded,
        "The layout has \(state.layout.nodes.count) nodes, so blocks have \(copies) copies at most and not \(wanted): start or add nodes, "
          + "and let them in (cairnctl admit NODE).")
    }
    let unfilled = state.filling.count { !$0.targets.isEmpty && (!state.onlyMoves || liveHolders($0.partition) < copies) }
    if repairable > 0 {
      note(.degraded, "\(repairable) blocks lack copies; repair makes them by itself.")
    } else if unfilled > 0 {
      note(.degraded, "\(unfilled) partitions are not whole on all their nodes yet; repair brings them there by itself.")
    }
    if state.isLayoutCommitting || state.isLayoutUnsettled {
      note(.degraded, "A change of the layout is not confirmed yet: the metadata takes as many live zones as a write.")
    }
  }

  private func noteNode(_ node: ClusterState.Node, _ note: Note) {
    let id = node.record.id
    switch state.liveness(id) {
    case .suspect: note(.degraded, "Node \(id) is silent and avoided.")
    case .out where state.layout.node(id) == nil && !node.record.isOut:
      note(.healthy, "Node \(id) is out and no part of the layout.")
    case .out: note(.degraded, "Node \(id) is out: start it, or remove it.")
    case .alive:
      if state.layout.node(id) == nil { noteStranger(node, note) }
      for disk in node.disks where disk.state != .healthy {
        note(.degraded, "A disk of node \(id) is \(disk.state.rawValue)\(disk.reason.map { ": \($0)" } ?? "").")
      }
    }
  }

  /// A live node that the layout does not name.
  private func noteStranger(_ node: ClusterState.Node, _ note: Note) {
    let id = node.record.id
    let left = state.filling.count { $0.sources.contains(id) }
    if node.record.isOut {
      note(.degraded, "Node \(id) is back, and comes into the layout again by itself.")
    } else if state.admitted.contains(id) {
      note(.degraded, "Node \(id) was let in, and comes into the layout with its next change.")
    } else if left > 0 {
      note(.healthy, "Node \(id) is being emptied: \(left) partitions are left.")
    } else {
      note(.healthy, "Node \(id) is not in the layout: assign it, so that it takes blocks.")
    }
  }

  private func zones(_ matches: (ClusterState.Node) -> Bool) -> Int {
    Set(state.nodes.filter { state.layout.node($0.record.id) != nil && matches($0) }.map(\.record.zone)).count
  }

  private func node(_ node: ClusterState.Node) -> NodeStatus {
    let silence = state.detector.lastHeard(node.record.id).map { max(.zero, now - $0).inSeconds } ?? 0
    return NodeStatus(
      name: node.record.id, zone: node.record.zone, state: NodeState(state.liveness(node.record.id)), address: node.record.address,
      usedBytes: node.disks.reduce(0) { $0 + $1.usedBytes }, capacityBytes: node.disks.reduce(0) { $0 + $1.capacityBytes },
      blockCount: node.disks.reduce(0) { $0 + $1.blockCount }, disks: node.disks, silentSeconds: silence)
  }
}

extension ClusterHealth {
  /// How bad it is.
  fileprivate var rank: Int {
    switch self {
    case .healthy: 0
    case .degraded: 1
    case .atRisk: 2
    case .unavailable: 3
    }
  }
}
