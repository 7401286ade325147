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

  /// Holders of a partition that live, and how far it is from having all its copies.
  private struct Partition {
    var liveHolders = 0
    var isWhole: Bool
  }

  func make() -> ClusterStatus {
    var incomplete = 0
    var (withNone, withOne) = (0, 0)
    for partition in 0..<state.layout.partitionCount where state.layout.version > 0 {
      let blocks = partition < counts.count ? counts[partition] : 0
      guard blocks > 0 else { continue }
      let found = look(at: partition)
      if !found.isWhole { incomplete += blocks }
      if found.liveHolders == 0 { withNone += blocks }
      if found.liveHolders == 1 { withOne += blocks }
    }
    let total = counts.reduce(0, +)
    let lacking = min(max(total, repairRows), incomplete + repairRows)
    let (health, reasons) = judge(lacking: lacking, withNone: withNone, withOne: withOne)
    return ClusterStatus(
      health: health, reasons: reasons, nodes: state.nodes.map(node), underReplicatedBlocks: lacking, referencedBlocks: total,
      layoutVersion: state.layout.version, jobs: jobs)
  }

  private func look(at partition: Int) -> Partition {
    let row = state.fillingRow(partition)
    let replicas = state.layout.replicas(ofPartition: partition)
    var holders = replicas.filter { !(row?.targets.contains($0) ?? false) }
    // A source that is giving its copies up counts no more; while a replica is on its way, its copy is one of the R.
    if let row, !row.targets.isEmpty { holders += row.sources }
    let alive = holders.count { state.liveness($0) == .alive }
    return Partition(liveHolders: alive, isWhole: alive >= replicas.count)
  }

  // MARK: Health

  private func judge(lacking: Int, withNone: Int, withOne: Int) -> (ClusterHealth, [String]) {
    var health = ClusterHealth.healthy
    var reasons: [String] = []
    func note(_ level: ClusterHealth, _ reason: String) {
      if level.rank > health.rank { health = level }
      reasons.append(reason)
    }
    guard state.layout.version > 0 else {
      return (.unavailable, ["There is no layout yet: it is made when the expected number of nodes has come."])
    }
    let needed = state.layout.requiredZones
    let writable = zones { state.liveness($0.record.id) == .alive && $0.hasRoom }
    let living = zones { state.liveness($0.record.id) == .alive }
    if writable < needed { note(.unavailable, "\(writable) zones take writes and \(needed) are needed: start nodes, or make room.") }
    if withNone > 0 { note(.unavailable, "\(withNone) blocks have no copy on a live node: start the nodes that are down.") }
    if withOne > 0 && state.layout.targetCopies > 1 { note(.atRisk, "\(withOne) blocks may have one copy left on live nodes.") }
    if living < needed && writable >= needed { note(.atRisk, "\(living) zones live and a write needs \(needed).") }
    if state.detector.isBraked {
      let (down, limit) = state.detector.downAndLimit
      note(.atRisk, "\(down) nodes seem down, more than the \(limit) that are believed at once: nothing is moved until some are back.")
    }
    for node in state.nodes { noteNode(node, note) }
    if lacking > 0 { note(.degraded, "\(lacking) blocks lack copies; repair makes them by itself.") }
    return (health, reasons)
  }

  private func noteNode(_ node: ClusterState.Node, _ note: (ClusterHealth, String) -> Void) {
    let id = node.record.id
    switch state.liveness(id) {
    case .suspect: note(.degraded, "Node \(id) is silent and avoided.")
    case .out where state.layout.node(id) == nil && !node.record.isOut:
      note(.healthy, "Node \(id) is out and no part of the layout.")
    case .out: note(.degraded, "Node \(id) is out: start it, or remove it.")
    case .alive:
      if state.layout.node(id) == nil { note(.healthy, strangerReason(node)) }
      for disk in node.disks where disk.state != .healthy {
        note(.degraded, "A disk of node \(id) is \(disk.state.rawValue)\(disk.reason.map { ": \($0)" } ?? "").")
      }
    }
  }

  private func strangerReason(_ node: ClusterState.Node) -> String {
    let id = node.record.id
    let left = state.filling.count { $0.sources.contains(id) }
    if left > 0 { return "Node \(id) is being emptied: \(left) partitions are left." }
    return "Node \(id) is not in the layout: assign it, so that it takes blocks."
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
