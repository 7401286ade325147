internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Losses that did not happen, and how durable blocks are: asks what is known, and lets `LossForecast` and `DurabilityEstimate` judge.
extension ClusterService {
  func registerForesight(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.SimulateLoss.self) { [self] (request, _) async throws(Problem) in try await simulate(request) }
    dispatcher.register(OperatorOperations.GetDurability.self) { [self] (request, _) async throws(Problem) in
      try await durability(request)
    }
  }

  // MARK: Measuring

  private static let sampleInterval: Duration = .seconds(1)

  /// Takes what the failure detector said into the measurements.
  func measure(_ effects: [FailureDetector.Effect]) {
    let now = time.monotonic()
    shared.withLock { shared in
      for effect in effects {
        switch effect {
        case .declaredOut(let node):
          let silence = shared.state?.detector.lastHeard(node).map { now - $0 } ?? .zero
          shared.meter.declaredOut(node, silence: silence, now: now)
        case .returned(let node): shared.meter.returned(node)
        case .suspected, .recovered, .brakeEngaged, .brakeReleased, .stalled: break
        }
      }
    }
  }

  func measureRestored(_ nodes: [NodeID]) {
    let now = time.monotonic()
    shared.withLock { shared in for node in nodes { shared.meter.restored(node, now: now) } }
  }

  /// Once a second: how many blocks have too few copies. Counting is spared while nothing can be wrong.
  func sampleDurability(_ now: MonotonicTime) async {
    let due = shared.withLock { shared -> (isCalm: Bool, copied: Int64)? in
      guard let state = shared.state, shared.sampledAt.map({ now - $0 >= ClusterService.sampleInterval }) ?? true else { return nil }
      shared.sampledAt = now
      let isCalm =
        shared.repairRows == 0 && state.filling.allSatisfy(\.targets.isEmpty) && state.layout.targetCopies >= state.wantedCopies
        && state.layout.nodes.allSatisfy { state.liveness($0.id) == .alive }
      return (isCalm, shared.repair?.copied.bytes ?? 0)
    }
    guard let due else { return }
    var lacking = 0
    if !due.isCalm {
      guard let status = try? await status() else { return }
      lacking = status.underReplicatedBlocks
    }
    shared.withLock { $0.meter.sample(underReplicated: lacking, copiedBytes: due.copied, now: now) }
  }

  // MARK: Losses

  private func simulate(_ request: OperatorOperations.SimulateLoss) async throws(Problem) -> LossReport {
    try await refreshCounts()
    let (state, counts, meter) = shared.withLock { ($0.state, $0.counts, $0.meter) }
    guard let state else { throw ClusterService.notKeeping }
    guard state.layout.version > 0 else { throw Problem(.unavailable, "There is no layout yet, so there is nothing to lose.") }
    let (loss, name) = try ClusterService.loss(request, state)
    let measured = meter.repairBytesPerSecond.map { Int64($0) }
    let limit = configuration.repair.bytesPerSecond(liveNodes: state.liveNodes)
    let cluster = LossForecast.Cluster(
      layout: state.layout, filling: state.filling, nodes: state.nodes.map { LossForecast.Node($0, state) }, blocks: counts,
      repairBytesPerSecond: measured ?? limit, outAfter: configuration.failure.outAfter)
    return LossReport(
      LossForecast(loss, of: cluster), loss: name, rate: measured ?? limit, source: measured == nil ? .configured : .measured)
  }

  /// What is to be imagined gone, and its name.
  private static func loss(
    _ request: OperatorOperations.SimulateLoss, _ state: ClusterState
  ) throws(Problem) -> (ImaginedLoss, String) {
    guard [request.zone != nil, request.node != nil, request.disk != nil].count(where: { $0 }) == 1 else {
      throw Problem(.malformed, "Name one thing to lose: a zone, a node or a disk.")
    }
    if let zone = request.zone {
      guard state.nodes.contains(where: { $0.record.zone == zone }) else {
        throw Problem(.notFound, "The cluster has no zone \(zone): “cairnctl nodes” lists them.")
      }
      return (.zone(zone), "zone \(zone)")
    }
    if let node = request.node {
      guard state.node(node) != nil else { throw Problem.noNode(node) }
      return (.node(node), "node \(node)")
    }
    let text = (request.disk ?? "").lowercased()
    let found = state.nodes.flatMap { node in node.disks.filter { $0.id.hex.hasPrefix(text) }.map { ($0.id, node.record.id) } }
    guard text.utf8.count >= 4, let (disk, node) = found.first else {
      throw Problem(.notFound, "No disk's id begins with “\(text)”; four digits are the least. “cairnctl disks” lists them.")
    }
    guard found.count == 1 else { throw Problem(.conflict, "\(found.count) disks' ids begin with “\(text)”: give more digits.") }
    return (.disk(disk, node), "disk \(disk.hex) of \(node)")
  }

  // MARK: Durability

  private func durability(_ request: OperatorOperations.GetDurability) async throws(Problem) -> DurabilityReport {
    try await refreshCounts()
    let (state, counts, meter) = shared.withLock { ($0.state, $0.counts, $0.meter) }
    guard let state else { throw ClusterService.notKeeping }
    guard state.layout.version > 0 else { throw Problem(.unavailable, "There is no layout yet, so nothing is stored.") }
    let rates = try ClusterService.rates(request)
    let scrubs = state.nodes.flatMap { $0.disks.map(\.scrub) }
    let wall = time.wall()
    // One disk that was never walked over is enough for nothing to be known.
    let walks = state.nodes.map(\.lastScrub)
    let age = walks.contains { $0 == nil } ? nil : walks.compactMap(\.self).min().map { max(.zero, wall - $0) }
    let facts = DurabilityEstimate.Facts(
      copies: min(state.layout.targetCopies, state.layout.zoneCount), blocks: counts.reduce(0, +),
      outAfter: configuration.failure.outAfter, repairLimit: configuration.repair.bytesPerSecond(liveNodes: state.liveNodes),
      diskBytes: state.nodes.flatMap { $0.disks.map(\.usedBytes) }.max() ?? 0,
      nodeBytes: state.nodes.map { $0.disks.reduce(0) { $0 + $1.usedBytes } }.max() ?? 0,
      zoneBytes: state.fullestZoneBytes, sinceLastScrub: age)
    let estimate = DurabilityEstimate(facts, meter: meter, rates: rates)
    return DurabilityReport(
      estimate, meter, scrubAge: age, rottenCopies: scrubs.reduce(0) { $0 + ($1.map { $0.rottenCopies + $0.unreadableCopies } ?? 0) })
  }

  private static func rates(_ request: OperatorOperations.GetDurability) throws(Problem) -> DurabilityModel.Rates {
    var rates = DurabilityModel.Rates()
    func take(_ given: Double?, _ rate: inout Double) throws(Problem) {
      guard let given else { return }
      guard given.isFinite, (0...1000).contains(given) else { throw Problem(.malformed, "Events a year are a number from 0 to 1000.") }
      rate = given
    }
    try take(request.diskPerYear, &rates.diskPerYear)
    try take(request.nodePerYear, &rates.nodePerYear)
    try take(request.zonePerYear, &rates.zonePerYear)
    try take(request.rotPerYear, &rates.rotPerYear)
    return rates
  }
}

extension ClusterState {
  /// Bytes that the nodes of one zone hold, of the zone that holds most.
  fileprivate var fullestZoneBytes: Int64 {
    let held = nodes.map { ($0.record.zone, $0.disks.reduce(Int64(0)) { $0 + $1.usedBytes }) }.sorted { $0.0 < $1.0 }
    var (most, sum) = (Int64(0), Int64(0))
    for (index, entry) in held.enumerated() {
      sum = index > 0 && held[index - 1].0 == entry.0 ? sum + entry.1 : entry.1
      most = max(most, sum)
    }
    return most
  }
}

extension ClusterState.Node {
  /// When the last walk of the scrub over all its disks ended; nil while one of them was not walked over.
  var lastScrub: WallTime? {
    let walks = disks.map { $0.scrub?.lastFinished }
    return walks.contains { $0 == nil } ? nil : walks.compactMap(\.self).min()
  }
}

extension LossForecast.Node {
  fileprivate init(_ node: ClusterState.Node, _ state: ClusterState) {
    self.init(
      id: node.record.id, zone: node.record.zone, isAlive: state.liveness(node.record.id) == .alive,
      disks: node.disks.map { LossForecast.Disk(id: $0.id, usedBytes: $0.usedBytes, capacityBytes: $0.capacityBytes) })
  }
}
