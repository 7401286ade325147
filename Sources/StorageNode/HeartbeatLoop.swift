internal import BlockModel
internal import BlockStore
internal import HTTPTransport
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Tells the coordinator each second that the node lives and how its disks do, and takes what the coordinator answers.
///
/// What must hold: replies of a lower generation change nothing; a data key is durable before the node states it, and nothing is sealed
/// before the coordinator said which epoch to use; with no coordinator in reach the node serves on with what it knows; with no disk that
/// can be read it does not claim to live.
final class HeartbeatLoop: Sendable {
  private static let firstInterval: Duration = .seconds(1)
  private static let lookInterval: Duration = .milliseconds(100)
  private static let intervals: ClosedRange<Int> = 50...60_000
  private static let rotInterval: Duration = .seconds(600)

  private let identity: NodeIdentity
  private let coordinators: CoordinatorTurn
  private let client: any HTTPRequesting
  private let disks: DiskSet
  private let keys: DataKeyring?
  private let knowledge: ClusterKnowledge
  private let rot: RotReports
  private let scrubs: ScrubService
  private let folders: [DiskID: String]
  private let foreground: ForegroundMeter
  private let pool: BlockingPool
  private let metrics: NodeMetrics
  private let log: Logger
  private let quarantineSeconds: Int64
  private let processID: UInt64
  private let silent = Flag()
  private let rotRepeated = Mutex<ContinuousClock.Instant?>(nil)
  /// The last update did not fit what the node knows.
  private let needsWholeView = Atomic<Bool>(false)
  private let isStopping: @Sendable () -> Bool

  init(
    identity: NodeIdentity, coordinators: CoordinatorTurn, client: any HTTPRequesting, disks: DiskSet, keys: DataKeyring?,
    knowledge: ClusterKnowledge, rot: RotReports, scrubs: ScrubService, folders: [DiskID: String], foreground: ForegroundMeter,
    pool: BlockingPool, quarantineHold: Duration, metrics: NodeMetrics, log: Logger,
    isStopping: @escaping @Sendable () -> Bool
  ) {
    self.identity = identity
    self.coordinators = coordinators
    self.client = client
    self.disks = disks
    self.keys = keys
    self.knowledge = knowledge
    self.rot = rot
    self.scrubs = scrubs
    self.folders = folders
    self.foreground = foreground
    self.pool = pool
    quarantineSeconds = quarantineHold.components.seconds
    self.metrics = metrics
    self.log = log
    self.isStopping = isStopping
    processID = UInt64.random(in: 1...UInt64.max)
  }

  var isSilent: Bool { silent.isUp }

  /// Beats until the task is cancelled.
  func run() async {
    var interval = HeartbeatLoop.firstInterval
    var wasReached = true
    while !Task.isCancelled {
      // A node that can read nothing is as good as dead. Silent, it is taken for out, and what it held is copied elsewhere.
      guard disks.disks.contains(where: { $0.health().isThere }) else {
        log.error("no disk of this node can be read any more; it falls silent")
        return silent.raise()
      }
      do {
        interval = try await beat()
        metrics.heartbeats("answered").increment()
        if !wasReached { log.info("the coordinator is back in reach") }
        wasReached = true
      } catch {
        metrics.heartbeats("failed").increment()
        if wasReached { log.warning("no coordinator took a heartbeat; serving on with what is known", ["reason": .error(error)]) }
        wasReached = false
      }
      await rest(interval)
    }
  }

  /// Until the next heartbeat is due; a node that sees that the layout has moved on asks for it at once.
  private func rest(_ interval: Duration) async {
    var rested = Duration.zero
    let wasBehind = knowledge.isBehind
    while rested < interval, !Task.isCancelled, wasBehind || !knowledge.isBehind {
      let step = min(HeartbeatLoop.lookInterval, interval - rested)
      try? await Task.sleep(for: step)
      rested += step
    }
  }

  /// One heartbeat; answers how long to wait for the next.
  func beat() async throws -> Duration {
    repeatRot()
    let rotten = rot.next
    let wantsWholeView = needsWholeView.load(ordering: .relaxed)
    let heartbeat = ClusterOperations.Heartbeat(
      node: identity.node, zone: identity.zone, address: identity.address, weight: identity.weight, disks: reports(),
      viewRevision: wantsWholeView ? 0 : knowledge.view?.revision ?? 0, generation: knowledge.generation, dataKeys: statements(),
      processID: processID, rottenBlocks: rotten, foreground: foreground.take(),
      layoutVersion: wantsWholeView ? nil : knowledge.layoutVersion, quarantineSeconds: quarantineSeconds)
    let reply = try await coordinators.perform(heartbeat)
    var sealing: UInt32?
    if case .use(let epoch) = reply.dataKeys { sealing = epoch }
    let view = reply.view ?? reply.update.flatMap { update in knowledge.view.flatMap { $0.updated(by: update) } }
    needsWholeView.store(reply.update != nil && view == nil, ordering: .relaxed)
    try await knowledge.apply(generation: reply.generation, view: view, dataKeyEpoch: sealing)
    rot.acknowledge(rotten)
    await obey(reply.dataKeys)
    return .milliseconds(min(max(reply.intervalMilliseconds, HeartbeatLoop.intervals.lowerBound), HeartbeatLoop.intervals.upperBound))
  }

  /// What lies set aside is reported when the process starts and now and then, until another copy takes its place: nobody may have noted
  /// it, because a restart came in between, or because only an upload under way needed the block.
  private func repeatRot() {
    let now = ContinuousClock.now
    let isDue = rotRepeated.withLock { last in
      guard last.map({ now - $0 >= HeartbeatLoop.rotInterval }) ?? true else { return false }
      last = now
      return true
    }
    guard isDue else { return }
    for disk in disks.disks { for block in disk.setAsideBlocks(limit: RotReports.bound) { rot.add(block) } }
  }

  private func reports() -> [DiskReport] {
    disks.disks.map { disk in
      let space = disk.space()
      let (state, reason): (DiskState, String?) =
        switch disk.health() {
        case .healthy: isStopping() ? (.readOnly, "the node is stopping") : (.healthy, nil)
        case .readOnly(let reason): (.readOnly, reason)
        case .fenced(let reason): (.fenced, reason)
        case .failed(let reason): (.missing, reason)
        }
      return DiskReport(
        id: disk.disk, state: state, reason: reason, capacityBytes: space.capacityBytes, usedBytes: space.usedBytes,
        blockCount: space.blockCount, scrub: scrubs.report(disk.disk), folder: folders[disk.disk],
        keyEpochs: disk.keyEpochs().map { KeyEpochBytes(epoch: $0.epoch, segments: $0.segments, bytes: $0.bytes) })
    }
  }

  private func statements() -> [DataKeyStatement] {
    guard let keys else { return [] }
    return keys.epochs.compactMap { epoch in
      keys.checkValue(epoch).map { DataKeyStatement(epoch: epoch, check: HexDigits.encode($0)) }
    }
  }

  // MARK: Data keys

  private func obey(_ order: DataKeyOrder) async {
    do {
      switch order {
      case .use(let current):
        keys?.use(current)
        if (current == 0) != (keys == nil) {
          log.error("the node and its cluster do not agree whether blocks are encrypted", ["cluster_epoch": .int(current)])
        }
      case .create(let epoch):
        guard let keys else { return }
        if keys.key(epoch) == nil {
          try await pool.run { try keys.add(epoch: epoch, key: SecretBytes(randomCount: KeyWrap.keySize)) }
          log.info("made a data key", ["epoch": .int(epoch)])
        }
      case .fetch(let epoch): try await fetch(epoch)
      case .wait: break
      }
    } catch {
      log.warning("the order about data keys was not carried out; trying again", ["reason": .error(error)])
    }
  }

  private func fetch(_ epoch: UInt32) async throws {
    guard let keys, keys.key(epoch) == nil else { return }
    let request = try DataKeyExchange.request(epoch: epoch, requester: identity.node)
    let ticket = try await coordinators.perform(
      ClusterOperations.GetDataKeyTicket(epoch: epoch, body: request.bodyHash, bodyBytes: request.body.count))
    let response = try await client.send(
      HTTPClientRequest(
        method: .post, url: ticket.url, headers: ["Content-Type": "application/json"], body: .bytes(request.body), deadline: .seconds(10),
        responseLimit: 64 << 10))
    guard response.status == 200 else { throw Problem(.unavailable, "Node \(ticket.holder) answered \(response.status).") }
    let reply = try JSONCoding.decode(NodeCommandReply.self, from: response.bytes)
    let key = try DataKeyExchange.key(from: reply, to: request, holder: ticket.holder)
    guard DataKeyring(keys: [(epoch, key)]).checkValue(epoch).map({ HexDigits.encode($0) }) == ticket.check else {
      throw Problem(.internalError, "Node \(ticket.holder) gave another key than the cluster's.")
    }
    try await pool.run { try keys.add(epoch: epoch, key: key) }
    log.info("fetched a data key", ["epoch": .int(epoch), "holder": .string(ticket.holder.text)])
  }
}

/// Who this node is, as it tells the coordinator.
struct NodeIdentity: Sendable {
  var node: NodeID
  var zone: ZoneID
  var address: String
  var weight: Double
}
