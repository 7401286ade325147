package import BlockModel

/// Which nodes keep the newest records of the metadata's journal, and up to which record it is safe on enough of them.
///
/// What must hold:
/// - a record counts as stored only when nodes of as many zones have it as were asked for when it was written: min(W, zones of the layout
///   committed by then); what is dead does not lower that;
/// - records are stored in order: when record n is, all before it are.
///
/// Why a reader then finds every stored record: its copies lie in at least W zones. A reader that did not hear from nodes of fewer than W
/// zones misses at most W − 1 of them, so it hears from at least one node that has the record. (Where the layout had fewer zones than W
/// when it was written, "W" is that number.) A node that takes another's place begins with the first record that is not stored, so records
/// between the last snapshot and that one have one holder less until the next snapshot, which is therefore due when members change.
package struct JournalQuorum: Sendable {
  /// A node that is known.
  package struct Candidate: Sendable, Equatable {
    package var node: NodeID
    package var zone: ZoneID
    package var isAlive: Bool
    /// It is in the committed layout. One that is not may be about to be unplugged, so it is taken only where the layout's do not do.
    package var isInLayout: Bool
    package init(node: NodeID, zone: ZoneID, isAlive: Bool, isInLayout: Bool = true) {
      self.node = node
      self.zone = zone
      self.isAlive = isAlive
      self.isInLayout = isInLayout
    }
  }

  package struct Member: Sendable, Equatable {
    package var node: NodeID
    package var zone: ZoneID
    /// It has every record from the one after what was stored when it joined up to this one.
    package var stored: UInt64
    /// The first record that it was not sent, or was sent in vain.
    package var next: UInt64
    /// Since when it takes nothing; nil while it does.
    package var failingSince: MonotonicTime?
  }

  /// How long a member may take nothing before another node takes its place, and for how long it is then left alone.
  package static let patience: Duration = .seconds(1)
  package static let rest: Duration = .seconds(10)

  /// Sorted by node.
  package private(set) var members: [Member] = []
  /// The newest record that was written.
  package private(set) var head: UInt64
  /// Up to here all is on enough nodes.
  package private(set) var stored: UInt64
  /// From which record on how many zones are asked for; the first one covers `stored + 1`.
  private var demands: [(from: UInt64, zones: Int)]
  /// Counts retractions: what was sent before one says nothing about what has the same number after it.
  package private(set) var era = 0
  private var candidates: [Candidate] = []
  private var resting: [(node: NodeID, until: MonotonicTime)] = []

  /// - Parameters:
  ///   - stored: up to here all is known to be on enough nodes.
  ///   - zones: asked for; at least one.
  package init(stored: UInt64, zones: Int) {
    head = stored
    self.stored = stored
    demands = [(stored + 1, max(1, zones))]
  }

  /// Zones asked for by the newest record.
  package var zones: Int { demands[demands.count - 1].zones }

  /// A record was written, the next one by number.
  package mutating func append(_ sequence: UInt64, zones: Int) {
    precondition(sequence == head + 1, "records are numbered without a gap")
    head = sequence
    guard max(1, zones) != self.zones else { return }
    if demands[demands.count - 1].from == sequence { demands.removeLast() }
    demands.append((sequence, max(1, zones)))
  }

  /// The record that was written last is not part of the history, because its own commit failed: its number is given again. Nobody may have
  /// been told of it, however many nodes have it.
  package mutating func retract(_ sequence: UInt64) {
    precondition(sequence == head, "the newest record is taken back, before anything follows on it")
    head = sequence - 1
    stored = min(stored, head)
    era += 1
    if demands.count > 1, demands[demands.count - 1].from > head { demands.removeLast() }
    for index in members.indices {
      members[index].stored = min(members[index].stored, head)
      members[index].next = min(members[index].next, sequence)
    }
  }

  // MARK: Members

  /// The nodes as they are now. Answers whether a node joined or left.
  package mutating func update(_ candidates: [Candidate], now: MonotonicTime) -> Bool {
    self.candidates = candidates.sorted { $0.node < $1.node }
    return choose(now)
  }

  private mutating func choose(_ now: MonotonicTime) -> Bool {
    resting.removeAll { $0.until <= now }
    for member in members where member.failingSince.map({ now - $0 >= JournalQuorum.patience }) ?? false {
      if !resting.contains(where: { $0.node == member.node }) { resting.append((member.node, now + JournalQuorum.rest)) }
    }
    let usable = candidates.filter { candidate in candidate.isAlive && !resting.contains { $0.node == candidate.node } }
    // One more than asked for, so that one death costs no waiting; each in a zone of its own. Records of before may ask for more than new
    // ones do.
    let needed = demands.reduce(1) { max($0, $1.zones) }
    let wanted = needed + 1
    var chosen: [Candidate] = []
    func isCovered(_ zone: ZoneID) -> Bool { chosen.contains { $0.zone == zone } }
    for (isInLayout, limit) in [(true, wanted), (false, needed)] {
      let some = usable.filter { $0.isInLayout == isInLayout }
      for candidate in some where chosen.count < limit && isMember(candidate.node) && !isCovered(candidate.zone) {
        chosen.append(candidate)
      }
      for candidate in some where chosen.count < limit && !isCovered(candidate.zone) { chosen.append(candidate) }
    }
    // Whoever has no better in its zone stays: it may come back.
    for candidate in candidates where isMember(candidate.node) && !isCovered(candidate.zone) {
      if chosen.count < (candidate.isInLayout ? wanted : needed) { chosen.append(candidate) }
    }
    chosen.sort { $0.node < $1.node }
    let changed = chosen.map(\.node) != members.map(\.node)
    members = chosen.map { candidate in
      members.first { $0.node == candidate.node && $0.zone == candidate.zone }
        ?? Member(node: candidate.node, zone: candidate.zone, stored: stored, next: stored + 1)
    }
    return changed
  }

  private func isMember(_ node: NodeID) -> Bool { members.contains { $0.node == node } }

  // MARK: What nodes say

  /// What to send the node now: records from this one to the head; nil when it has, or was sent, all.
  package func toSend(_ node: NodeID) -> ClosedRange<UInt64>? {
    guard let member = members.first(where: { $0.node == node }), member.next <= head else { return nil }
    return member.next...head
  }

  /// What was sent to the node is on its way: what comes next is what follows.
  package mutating func node(_ node: NodeID, wasSent through: UInt64) {
    if let index = members.firstIndex(where: { $0.node == node }) { members[index].next = through + 1 }
  }

  /// The node has made durable what it was sent in this era, up to this record. Answers whether more is stored now.
  package mutating func node(_ node: NodeID, has through: UInt64, era: Int) -> Bool {
    guard let index = members.firstIndex(where: { $0.node == node }) else { return false }
    members[index].failingSince = nil
    guard era == self.era else {
      members[index].next = max(stored, members[index].stored) + 1
      return false
    }
    members[index].stored = max(members[index].stored, min(through, head))
    members[index].next = max(members[index].next, members[index].stored + 1)
    return advance()
  }

  /// The node did not take what it was sent, or did not say so. Answers whether another one took its place.
  package mutating func node(_ node: NodeID, failedAt now: MonotonicTime) -> Bool {
    guard let index = members.firstIndex(where: { $0.node == node }) else { return false }
    members[index].failingSince = members[index].failingSince ?? now
    members[index].next = max(stored, members[index].stored) + 1
    return choose(now)
  }

  /// Records up to this one are not kept any more: who has not had them begins after them.
  package mutating func forget(through sequence: UInt64) {
    precondition(sequence <= stored, "what is not stored is kept")
    for index in members.indices { members[index].next = max(members[index].next, sequence + 1) }
  }

  private mutating func advance() -> Bool {
    let before = stored
    while stored < head {
      while demands.count > 1, demands[1].from <= stored + 1 { demands.removeFirst() }
      let end = demands.count > 1 ? demands[1].from - 1 : head
      let reach = min(reached(by: demands[0].zones), end)
      if reach <= stored { break }
      stored = reach
    }
    while demands.count > 1, demands[1].from <= stored + 1 { demands.removeFirst() }
    return stored > before
  }

  /// The newest record that members of so many zones have.
  private func reached(by zones: Int) -> UInt64 {
    var best: [(zone: ZoneID, stored: UInt64)] = []
    for member in members {
      if let index = best.firstIndex(where: { $0.zone == member.zone }) {
        best[index].stored = max(best[index].stored, member.stored)
      } else {
        best.append((member.zone, member.stored))
      }
    }
    guard best.count >= zones else { return 0 }
    return best.map(\.stored).sorted(by: >)[zones - 1]
  }
}
