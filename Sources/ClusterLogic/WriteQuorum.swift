package import BlockModel

/// The first node's decisions for one PUT: whom to forward to, when a spare takes a replica's place, when the write is acknowledged.
///
/// What must hold:
/// - success is answered only when this node's own copy and enough others are durable: `copiesNeeded` copies in `zonesNeeded` zones;
/// - an answer is given exactly once;
/// - no more nodes are asked than it takes to have `copiesWanted` copies, plus one for each that failed or is late.
///
/// This node's own copy is always needed, because its receipt alone says that the block was hashed.
package struct WriteQuorum: Sendable {
  /// A node that may hold a copy.
  package struct Candidate: Sendable, Equatable {
    package var node: NodeID
    package var zone: ZoneID
    /// False when this node knows it as suspect, out or not writable: it is asked only when nobody better is left.
    package var isUp: Bool
    package init(node: NodeID, zone: ZoneID, isUp: Bool) {
      self.node = node
      self.zone = zone
      self.isUp = isUp
    }
  }

  package struct Configuration: Sendable, Equatable {
    /// Copies to aim at (R).
    package var copiesWanted: Int
    /// Durable copies that acknowledge the write (W).
    package var copiesNeeded: Int
    /// Zones that these must lie in: min(W, zones of the layout).
    package var zonesNeeded: Int
    /// How long an acknowledged write waits for the rest of its copies.
    package var grace: Duration = .milliseconds(50)
    /// How long after the whole body was verified a forward may take before a spare is asked besides.
    package var patience: Duration = .milliseconds(500)
    /// How long after the whole body was verified the write may take in all.
    package var limit: Duration = .seconds(15)
    package init(copiesWanted: Int, copiesNeeded: Int, zonesNeeded: Int) {
      self.copiesWanted = max(copiesWanted, copiesNeeded)
      self.copiesNeeded = copiesNeeded
      self.zonesNeeded = min(zonesNeeded, copiesNeeded)
    }
  }

  /// Why a forward did not become a copy.
  package enum ReplicaFailure: Sendable, Equatable {
    /// No connection, a broken one, or no answer.
    case unreachable
    /// It answered that it will not: busy, another layout, a bad disk.
    case refused
    /// It has no space.
    case full
  }

  package enum Event: Sendable, Equatable {
    /// The request was accepted; the body begins to arrive.
    case begin
    /// The whole body is here and its hash is right: from now on only nodes can be late.
    case bodyVerified
    case localDurable
    case localFailed(ReplicaFailure)
    case acknowledged(NodeID)
    case failed(NodeID, ReplicaFailure)
    /// The time that `wake` asked for has come (earlier ones do no harm).
    case timer
    /// The client went away, or the body was refused: nothing is to be answered any more.
    case aborted
  }

  package enum Effect: Sendable, Equatable {
    /// Send the record to this node from its first frame on; `insteadOf` names the one that failed, was down, or is late.
    case forward(to: NodeID, insteadOf: NodeID?)
    /// Give a `timer` event at this time.
    case wake(at: MonotonicTime)
    /// Answer 201 with these nodes' receipts, this node's first. Forwards still under way may go on; their receipts come too late.
    case succeed(copies: [NodeID])
    /// Answer an error; stop what is under way.
    case fail(Failure)
  }

  package enum Failure: Error, Sendable, Equatable {
    /// This node could not store its own copy: the client takes the next candidate.
    case localStorage(ReplicaFailure)
    /// Not enough nodes in enough zones took the block. `full`: each that failed had no space.
    case tooFewCopies(durable: Int, zones: Int, full: Bool)
    /// The nodes took too long.
    case timedOut(durable: Int, zones: Int)
  }

  private enum Progress: Sendable, Equatable {
    case unused, sending, durable
    case failed(ReplicaFailure)
  }

  private struct Forward: Sendable {
    var candidate: Candidate
    var progress: Progress
    /// A spare was already asked because this one is late.
    var isReplaced: Bool
  }

  private enum Phase: Sendable, Equatable { case receiving, waiting, acknowledged, finished }

  private let configuration: Configuration
  private let own: Candidate
  private var ownIsDurable = false
  /// In the order of the capability's forward list: the layout's replicas, then the spares.
  private var forwards: [Forward]
  /// Acknowledgements in the order in which they came.
  private var order: [NodeID] = []
  private var phase = Phase.receiving
  private var verifiedAt: MonotonicTime?
  private var quorumAt: MonotonicTime?

  /// - Parameters:
  ///   - own: this node.
  ///   - forwards: the capability's forward list in its order, each node once.
  package init(own: Candidate, forwards: [Candidate], configuration: Configuration) {
    self.own = own
    self.configuration = configuration
    self.forwards = forwards.filter { $0.node != own.node }.map { Forward(candidate: $0, progress: .unused, isReplaced: false) }
  }

  /// True when the answer was decided, or nobody waits for one.
  package var isFinished: Bool { phase == .finished }

  package mutating func step(_ event: Event, now: MonotonicTime) -> [Effect] {
    guard phase != .finished else {
      if case .acknowledged(let node) = event { note(node, .durable) }
      return []
    }
    switch event {
    case .begin: return begin()
    case .bodyVerified: return bodyVerified(now)
    case .localDurable:
      ownIsDurable = true
      return judge(now)
    case .localFailed(let failure):
      phase = .finished
      return [.fail(.localStorage(failure))]
    case .acknowledged(let node):
      if note(node, .durable) { order.append(node) }
      return judge(now)
    case .failed(let node, let failure):
      guard note(node, .failed(failure)) else { return [] }
      return replace(node) + judge(now)
    case .timer: return timer(now)
    case .aborted:
      phase = .finished
      return []
    }
  }

  /// Records how a forward went; false when that is not news.
  @discardableResult private mutating func note(_ node: NodeID, _ progress: Progress) -> Bool {
    guard let index = forwards.firstIndex(where: { $0.candidate.node == node }), forwards[index].progress == .sending else { return false }
    forwards[index].progress = progress
    return true
  }

  // MARK: Starting

  private mutating func begin() -> [Effect] {
    var effects: [Effect] = []
    let wanted = configuration.copiesWanted - 1
    var passedOver: [NodeID] = []
    for index in forwards.indices.prefix(wanted) {
      if forwards[index].candidate.isUp {
        forwards[index].progress = .sending
        effects.append(.forward(to: forwards[index].candidate.node, insteadOf: nil))
      } else {
        passedOver.append(forwards[index].candidate.node)
      }
    }
    for node in passedOver { effects += replace(node) }
    return effects + failureIfImpossible()
  }

  private mutating func bodyVerified(_ now: MonotonicTime) -> [Effect] {
    guard phase == .receiving else { return [] }
    phase = .waiting
    verifiedAt = now
    let effects = judge(now)
    return phase == .waiting ? effects + [.wake(at: now + configuration.patience)] : effects
  }

  /// Asks the best node that is left in the place of `node`. Once the write is acknowledged nobody else is asked: the copy would come too
  /// late for a receipt, and repair makes it anyway.
  private mutating func replace(_ node: NodeID) -> [Effect] {
    guard phase != .acknowledged, let spare = bestUnused() else { return [] }
    forwards[spare].progress = .sending
    return [.forward(to: forwards[spare].candidate.node, insteadOf: node)]
  }

  /// The first unused candidate in a zone that has no copy and none on its way, else the first; one that is down only when the quorum
  /// cannot be had without it.
  private func bestUnused() -> Int? {
    let unused = forwards.indices.filter { forwards[$0].progress == .unused }
    let up = unused.filter { forwards[$0].candidate.isUp }
    let pool = up.isEmpty && !isReachable(with: [.sending, .durable]) ? unused : up
    let covered = zones(with: [.sending, .durable])
    return pool.first { !covered.contains(forwards[$0].candidate.zone) } ?? pool.first
  }

  // MARK: Judging

  private mutating func judge(_ now: MonotonicTime) -> [Effect] {
    if phase == .acknowledged { return forwards.contains { $0.progress == .sending } ? [] : succeed() }
    let failure = failureIfImpossible()
    guard failure.isEmpty else { return failure }
    guard phase == .waiting, ownIsDurable, isReachable(with: [.durable]) else { return [] }
    phase = .acknowledged
    quorumAt = now
    return forwards.contains { $0.progress == .sending } ? [.wake(at: now + configuration.grace)] : succeed()
  }

  private mutating func succeed() -> [Effect] {
    phase = .finished
    return [.succeed(copies: [own.node] + order)]
  }

  private mutating func failureIfImpossible() -> [Effect] {
    guard !isReachable(with: [.unused, .sending, .durable]) else { return [] }
    phase = .finished
    let failures = forwards.compactMap { if case .failed(let reason) = $0.progress { reason } else { nil } }
    let full = !failures.isEmpty && failures.allSatisfy { $0 == .full }
    return [.fail(.tooFewCopies(durable: durableCount, zones: durableZones, full: full))]
  }

  private var durableCount: Int { order.count + (ownIsDurable ? 1 : 0) }
  private var durableZones: Int { ownIsDurable || !order.isEmpty ? zones(with: [.durable]).count : 0 }

  /// Whether this node's copy and the forwards in these states make a quorum.
  private func isReachable(with states: [Progress]) -> Bool {
    let count = 1 + forwards.count { states.contains($0.progress) }
    return count >= configuration.copiesNeeded && zones(with: states).count >= configuration.zonesNeeded
  }

  /// The zones of this node and of the forwards in these states, each once.
  private func zones(with states: [Progress]) -> [ZoneID] {
    var zones = [own.zone]
    for forward in forwards where states.contains(forward.progress) && !zones.contains(forward.candidate.zone) {
      zones.append(forward.candidate.zone)
    }
    return zones
  }

  // MARK: Time

  private mutating func timer(_ now: MonotonicTime) -> [Effect] {
    if phase == .acknowledged, let quorumAt, now >= quorumAt + configuration.grace { return succeed() }
    guard phase == .waiting, let verifiedAt else { return [] }
    if now >= verifiedAt + configuration.limit {
      phase = .finished
      return [.fail(.timedOut(durable: durableCount, zones: durableZones))]
    }
    guard now >= verifiedAt + configuration.patience else { return [.wake(at: verifiedAt + configuration.patience)] }
    var effects: [Effect] = []
    for index in forwards.indices where forwards[index].progress == .sending && !forwards[index].isReplaced {
      forwards[index].isReplaced = true
      effects += replaceLate(forwards[index].candidate)
    }
    return effects + [.wake(at: verifiedAt + configuration.limit)]
  }

  /// A late node still counts as under way, so its zone is open to the spare.
  private mutating func replaceLate(_ late: Candidate) -> [Effect] {
    let unused = forwards.indices.filter { forwards[$0].progress == .unused && forwards[$0].candidate.isUp }
    let durable = zones(with: [.durable])
    guard let spare = unused.first(where: { !durable.contains(forwards[$0].candidate.zone) }) ?? unused.first else { return [] }
    forwards[spare].progress = .sending
    return [.forward(to: forwards[spare].candidate.node, insteadOf: late.node)]
  }
}
