package import BlockModel

/// Tells from heartbeats which nodes live: `suspect` after a short silence, `out` after a long one.
///
/// What must hold:
/// - a node is declared out only after `outAfter` of silence that this detector was awake to hear;
/// - while more nodes seem down than the largest of one node, one zone, and a quarter of the nodes, none is declared out: then the likelier
///   explanation is that the observer is cut off (the brake), unless an operator who has looked says that they are down indeed;
/// - a node that was declared out counts as down until its blocks have their copies again.
package struct FailureDetector: Sendable {
  package struct Configuration: Sendable, Equatable {
    /// Silence after which a node is avoided.
    package var suspectAfter: Duration
    /// Silence after which a node's blocks are re-replicated.
    package var outAfter: Duration
    /// Time between two ticks, as the driver means to give them.
    package var tickInterval: Duration
    /// The failure timings of production clusters.
    package static let production = Configuration(suspectAfter: .seconds(10), outAfter: .seconds(600), tickInterval: .seconds(1))
    /// Short timings, so that people can watch a repair.
    package static let dev = Configuration(suspectAfter: .seconds(1), outAfter: .seconds(5), tickInterval: .milliseconds(200))
    package init(suspectAfter: Duration, outAfter: Duration, tickInterval: Duration) {
      self.suspectAfter = suspectAfter
      self.outAfter = outAfter
      self.tickInterval = tickInterval
    }
  }

  package enum Event: Sendable, Equatable {
    /// A node of the database, at the start of this process: it gets the full time to be heard. `isOut`: it was declared out before.
    case known(NodeID, ZoneID, isOut: Bool)
    case heartbeat(NodeID, ZoneID)
    /// A node that was out has no replicas to restore any more.
    case restored(NodeID)
    /// The node has left the cluster for good.
    case removed(NodeID)
    /// An operator says that silent nodes are down indeed: no brake until then. Nil takes it back.
    case releaseBrake(until: MonotonicTime?)
    case tick
  }

  package enum Effect: Sendable, Equatable {
    case suspected(NodeID)
    case declaredOut(NodeID)
    /// A suspect was heard again.
    case recovered(NodeID)
    /// A node that was out was heard again.
    case returned(NodeID)
    /// So many nodes seem down that this coordinator doubts itself: nothing moves.
    case brakeEngaged(down: Int, limit: Int)
    case brakeReleased
    /// This process itself stood still; every deadline was extended by as much.
    case stalled(Duration)
  }

  private struct Entry: Sendable {
    var node: NodeID
    var zone: ZoneID
    var heard: MonotonicTime
    var liveness: Liveness
    /// Out, and its blocks do not all have their copies again.
    var isUnrestored: Bool
  }

  private var configuration: Configuration
  /// Sorted by node.
  private var entries: [Entry] = []
  private var lastTick: MonotonicTime?
  package private(set) var isBraked = false
  /// No brake until then.
  private var brakeReleasedUntil: MonotonicTime?

  package init(configuration: Configuration) { self.configuration = configuration }

  /// Other timings, from now on; what was decided stays decided.
  package mutating func adopt(_ configuration: Configuration) { self.configuration = configuration }

  package mutating func step(_ event: Event, now: MonotonicTime) -> [Effect] {
    switch event {
    case .known(let node, let zone, let isOut):
      insert(Entry(node: node, zone: zone, heard: now, liveness: isOut ? .out : .alive, isUnrestored: false))
      return []
    case .heartbeat(let node, let zone): return heard(node, zone, now)
    case .restored(let node):
      if let index = index(of: node), entries[index].isUnrestored { entries[index].isUnrestored = false }
      return judgeBrake(now)
    case .removed(let node):
      if let index = index(of: node) { entries.remove(at: index) }
      return judgeBrake(now)
    case .releaseBrake(let until):
      brakeReleasedUntil = until
      return judgeBrake(now)
    case .tick: return tick(now)
    }
  }

  package func liveness(of node: NodeID) -> Liveness? { index(of: node).map { entries[$0].liveness } }

  /// When the node was last heard; for one that this process never heard, when it learnt of it.
  package func lastHeard(_ node: NodeID) -> MonotonicTime? { index(of: node).map { entries[$0].heard } }

  /// Nodes that seem down, and how many may before the brake engages.
  package var downAndLimit: (down: Int, limit: Int) {
    let counted = entries.filter { $0.liveness != .out || $0.isUnrestored }
    return (counted.count { $0.liveness != .alive }, FailureDetector.brakeLimit(zones: counted.map(\.zone)))
  }

  /// The largest of one node, one zone (where there are several), and a quarter of the nodes.
  private static func brakeLimit(zones: [ZoneID]) -> Int {
    let sorted = zones.sorted()
    var largest = 0
    var runs = 0
    var start = 0
    while start < sorted.count {
      let end = sorted[start...].firstIndex { $0 != sorted[start] } ?? sorted.count
      largest = max(largest, end - start)
      runs += 1
      start = end
    }
    return max(1, runs > 1 ? largest : 0, zones.count / 4)
  }

  private mutating func heard(_ node: NodeID, _ zone: ZoneID, _ now: MonotonicTime) -> [Effect] {
    guard let index = index(of: node) else {
      insert(Entry(node: node, zone: zone, heard: now, liveness: .alive, isUnrestored: false))
      return judgeBrake(now)
    }
    let before = entries[index].liveness
    entries[index].zone = zone
    entries[index].heard = max(entries[index].heard, now)
    entries[index].liveness = .alive
    entries[index].isUnrestored = false
    switch before {
    case .alive: return []
    case .suspect: return [.recovered(node)] + judgeBrake(now)
    case .out: return [.returned(node)] + judgeBrake(now)
    }
  }

  private mutating func tick(_ now: MonotonicTime) -> [Effect] {
    var effects = extendAfterStall(now)
    lastTick = now
    for index in entries.indices where entries[index].liveness == .alive && now - entries[index].heard >= configuration.suspectAfter {
      entries[index].liveness = .suspect
      effects.append(.suspected(entries[index].node))
    }
    effects += judgeBrake(now)
    guard !isBraked else { return effects }
    for index in entries.indices where entries[index].liveness == .suspect && now - entries[index].heard >= configuration.outAfter {
      entries[index].liveness = .out
      entries[index].isUnrestored = true
      effects.append(.declaredOut(entries[index].node))
    }
    return effects
  }

  /// A process that was stopped, or starved of its processor, heard nobody in that time; the silence was its own.
  private mutating func extendAfterStall(_ now: MonotonicTime) -> [Effect] {
    guard let lastTick else { return [] }
    let stall = now - lastTick - configuration.tickInterval
    guard stall > configuration.tickInterval, stall * 2 > configuration.suspectAfter else { return [] }
    for index in entries.indices { entries[index].heard = min(now, entries[index].heard + stall) }
    return [.stalled(stall)]
  }

  private mutating func judgeBrake(_ now: MonotonicTime) -> [Effect] {
    let (down, limit) = downAndLimit
    let isReleased = brakeReleasedUntil.map { now < $0 } ?? false
    let isDue = down > limit && !isReleased
    guard isDue != isBraked else { return [] }
    isBraked = isDue
    return isBraked ? [.brakeEngaged(down: down, limit: limit)] : [.brakeReleased]
  }

  private func index(of node: NodeID) -> Int? {
    let index = entries.partitionPoint { $0.node < node }
    return index < entries.count && entries[index].node == node ? index : nil
  }

  private mutating func insert(_ entry: Entry) {
    let index = entries.partitionPoint { $0.node < entry.node }
    if index < entries.count && entries[index].node == entry.node { entries[index] = entry } else { entries.insert(entry, at: index) }
  }
}
