internal import BlockModel
internal import ClusterLogic

/// What clients and other nodes ask of a node: PUT, forwarded records, GET, and records for repair.
extension SimulatedNode {
  typealias Receipts = Result<[SimulatedReceipt], Failure>

  func standing(towards block: BlockID) -> LayoutFence.Standing? {
    guard let view = knowledge.view, view.layout.version > 0 else { return nil }
    let partition = block.partition(bits: bits)
    if view.layout.replicas(ofPartition: partition).contains(id) { return .holder }
    if view.filling.contains(where: { $0.partition == partition && $0.sources.contains(id) }) { return .holder }
    return .stranger(layoutVersion: view.layout.version)
  }

  private func admit(_ capability: SimulatedCapability) throws(Failure) {
    guard capability.node == id, capability.expires > clock else { throw .refused }
    rumouredLayout = max(rumouredLayout, capability.layoutVersion)
    guard knowledge.view != nil else { throw .unavailable }
    let partition = capability.block.partition(bits: bits)
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkWrite(
        layoutVersion: capability.layoutVersion, isFromClient: capability.isFromClient,
        seal: bug == .ignoresSeals ? nil : seals.seal(of: partition), standing: standing(towards: capability.block))
    } catch { throw .stale }
    guard !isFull || store(of: capability.block) != nil else { throw .full }
  }

  /// Runs a write, seen by seals from its beginning to its end.
  private func enter(_ capability: SimulatedCapability) throws(Failure) -> () -> Void {
    try admit(capability)
    let (partition, version, life) = (capability.block.partition(bits: bits), capability.layoutVersion, process.incarnation)
    if bug == .ignoresSeals { return {} }
    do throws(SealLedger.Refusal) { try seals.enter(partition, layoutVersion: version) } catch {
      if case .retiring = error { throw .unavailable }
      throw .stale
    }
    return { [unowned self] in if process.incarnation == life { seals.leave(partition, layoutVersion: version) } }
  }

  // MARK: PUT

  /// A client's PUT: the body arrives, is checked, goes to this disk and to other nodes; the answer is `WriteQuorum`'s.
  func put(_ capability: SimulatedCapability, _ answer: @escaping (Receipts) -> Void) {
    let leave: () -> Void
    do throws(Failure) { leave = try enter(capability) } catch { return answer(.failure(error)) }
    guard let view = knowledge.view else { return answer(.failure(.unavailable)) }
    let copies = max(1, view.layout.targetCopies)
    let candidates = capability.forwards.compactMap { node in
      view.member(node).map { WriteQuorum.Candidate(node: node, zone: $0.zone, isUp: $0.liveness == .alive && $0.isWritable) }
    }
    let quorum = WriteQuorum(
      own: WriteQuorum.Candidate(node: id, zone: zone, isUp: true), forwards: candidates,
      configuration: WriteQuorum.Configuration(
        copiesWanted: copies, copiesNeeded: min(max(1, capability.writeQuorum), copies),
        zonesNeeded: min(max(1, capability.writeQuorum), max(1, view.layout.zoneCount))))
    SimulatedWrite(self, capability, quorum, answer: answer, leave: leave).begin()
  }

  /// A record that another node forwards.
  func replicate(_ capability: SimulatedCapability, _ answer: @escaping (Receipts) -> Void) {
    let leave: () -> Void
    do throws(Failure) { leave = try enter(capability) } catch { return answer(.failure(error)) }
    append(capability.block, gcEpoch: capability.gcEpoch) { [unowned self] disk in
      leave()
      simulation.checkAcknowledgement(self, capability)
      answer(.success([receipt(capability, disk, isHashed: false)]))
    }
  }

  func receipt(_ capability: SimulatedCapability, _ disk: DiskID, isHashed: Bool) -> SimulatedReceipt {
    let epoch = stores.compactMap { $0.copies[capability.block]?.gcEpoch }.max() ?? capability.gcEpoch
    let receipt = SimulatedReceipt(
      upload: capability.upload, block: capability.block, node: id, disk: disk, layoutVersion: capability.layoutVersion, gcEpoch: epoch,
      isHashed: isHashed)
    simulation.truth.note(receipt)
    return receipt
  }

  // MARK: GET

  /// The bytes that a client gets: `true` when they are the block's.
  func get(_ capability: SimulatedCapability, _ answer: @escaping (Result<Bool, Failure>) -> Void) {
    guard capability.node == id, capability.expires > clock else { return answer(.failure(.refused)) }
    rumouredLayout = max(rumouredLayout, capability.layoutVersion)
    let block = capability.block
    simulation.after(.milliseconds(Int64(1 + simulation.diskRandom.below(5))), process) { [unowned self] in
      guard let store = stores.first(where: { $0.holds(block) }) else { return answer(.failure(.notFound)) }
      guard store.copies[block]?.isRotten == true else { return answer(.success(true)) }
      if bug == .servesRot { return answer(.success(false)) }
      setAside(block)
      answer(.failure(.damaged))
    }
  }

  /// The record for repair.
  func record(_ block: BlockID, _ answer: @escaping (Result<Bool, Failure>) -> Void) {
    simulation.after(.milliseconds(Int64(1 + simulation.diskRandom.below(5))), process) { [unowned self] in
      guard let store = stores.first(where: { $0.holds(block) }) else { return answer(.failure(.notFound)) }
      guard store.copies[block]?.isRotten != true else {
        setAside(block)
        return answer(.failure(.damaged))
      }
      answer(.success(true))
    }
  }
}

/// One PUT at its first node.
private final class SimulatedWrite {
  private let node: SimulatedNode
  private let capability: SimulatedCapability
  private var quorum: WriteQuorum
  private var receipts: [NodeID: SimulatedReceipt] = [:]
  private var answer: ((SimulatedNode.Receipts) -> Void)?
  private let leave: () -> Void
  private var isStoring = false
  private var hasLeft = false

  init(
    _ node: SimulatedNode, _ capability: SimulatedCapability, _ quorum: WriteQuorum, answer: @escaping (SimulatedNode.Receipts) -> Void,
    leave: @escaping () -> Void
  ) {
    self.node = node
    self.capability = capability
    self.quorum = quorum
    self.answer = answer
    self.leave = leave
  }

  func begin() {
    step(.begin)
    guard answer != nil else { return }
    node.simulation.after(.milliseconds(Int64(2 + node.simulation.diskRandom.below(40))), node.process) { [self] in
      step(.bodyVerified)
      guard answer != nil else { return }
      isStoring = true
      node.append(capability.block, gcEpoch: capability.gcEpoch) { [self] disk in
        isStoring = false
        receipts[node.id] = node.receipt(capability, disk, isHashed: true)
        step(.localDurable)
        if answer == nil { leaveOnce() }
      }
    }
  }

  private func step(_ event: WriteQuorum.Event) {
    for effect in quorum.step(event, now: node.simulation.now) {
      switch effect {
      case .forward(let target, _): forward(to: target)
      case .wake(let time):
        node.simulation.after(time - node.simulation.now, node.process) { [self] in if answer != nil { step(.timer) } }
      case .succeed(let copies):
        node.simulation.checkAcknowledgement(node, capability)
        finish(.success(copies.compactMap { receipts[$0] }))
      case .fail(let failure):
        if case .tooFewCopies(_, _, full: true) = failure { finish(.failure(.full)) } else { finish(.failure(.unavailable)) }
      }
    }
  }

  /// The write is over for seals when it is answered and this node's own copy is there.
  private func finish(_ result: SimulatedNode.Receipts) {
    guard let answer else { return }
    self.answer = nil
    if !isStoring { leaveOnce() }
    answer(result)
  }

  private func leaveOnce() {
    if !hasLeft { leave() }
    hasLeft = true
  }

  private func forward(to target: NodeID) {
    guard let other = node.simulation.node(target) else { return step(.failed(target, .unreachable)) }
    var capability = capability
    capability.isFromClient = false
    capability.node = target
    node.simulation.call(node.process, other.process, within: .seconds(10)) { [capability] in
      other.replicate(capability, $0)
    } then: { [self] (result: SimulatedNode.Receipts?) in
      switch result {
      case .success(let given)?:
        receipts[target] = given.first
        step(.acknowledged(target))
      case .failure(.full)?: step(.failed(target, .full))
      case .failure?: step(.failed(target, .refused))
      case nil: step(.failed(target, .unreachable))
      }
    }
  }
}
