package import BlockModel
package import ClusterLogic

/// What operators ask about layouts: staging, planning, applying, and watching data move. The documents are those of `cairnctl --json`.
extension OperatorOperations {
  /// Stages what a node shall be in the next layout. What is not given stays as it is; a new node's is what it says of itself.
  package struct AssignRole: ControlOperation {
    package typealias Response = StagedLayout
    package static let name = "assign-role"
    package static let audience = ControlAudience.op
    package var node: NodeID
    package var zone: ZoneID?
    package var region: RegionID?
    package var weight: Double?
    package init(node: NodeID, zone: ZoneID?, region: RegionID?, weight: Double?) {
      self.node = node
      self.zone = zone
      self.region = region
      self.weight = weight
    }
  }

  /// Stages that a node leaves the layout.
  package struct RemoveRole: ControlOperation {
    package typealias Response = StagedLayout
    package static let name = "remove-role"
    package static let audience = ControlAudience.op
    package var node: NodeID
    package init(node: NodeID) { self.node = node }
  }

  /// Forgets what is staged; answers what it was.
  package struct RevertLayout: ControlOperation {
    package typealias Response = StagedLayout
    package static let name = "revert-layout"
    package static let audience = ControlAudience.op
    package init() {}
  }

  /// What the staged changes would make of the layout; changes nothing.
  package struct PlanLayout: ControlOperation {
    package typealias Response = LayoutPlanReport
    package static let name = "plan-layout"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package init() {}
  }

  /// Commits the staged changes as this version.
  package struct ApplyLayout: ControlOperation {
    package typealias Response = LayoutPlanReport
    package static let name = "apply-layout"
    package static let audience = ControlAudience.op
    package var version: UInt64
    /// As `PlanLayout` answered it; when another plan would be committed, nothing is.
    package var hash: String?
    package init(version: UInt64, hash: String?) {
      self.version = version
      self.hash = hash
    }
  }

  package struct GetLayoutHistory: ControlOperation {
    package typealias Response = LayoutHistory
    package static let name = "get-layout-history"
    package static let audience = ControlAudience.op
    package var limit: Int
    package init(limit: Int) { self.limit = limit }
  }

  /// Takes a node out of the layout at once, so that it empties.
  package struct DrainNode: ControlOperation {
    package typealias Response = DrainStatus
    package static let name = "drain-node"
    package static let audience = ControlAudience.op
    package var node: NodeID
    package init(node: NodeID) { self.node = node }
  }

  package struct GetDrain: ControlOperation {
    package typealias Response = DrainStatus
    package static let name = "get-drain"
    package static let audience = ControlAudience.op
    package var node: NodeID
    package init(node: NodeID) { self.node = node }
  }

  package struct GetRebalance: ControlOperation {
    package typealias Response = RebalanceStatus
    package static let name = "get-rebalance"
    package static let audience = ControlAudience.op
    package init() {}
  }

  package struct ControlRebalance: ControlOperation {
    package typealias Response = RebalanceStatus
    package static let name = "control-rebalance"
    package static let audience = ControlAudience.op
    package enum Action: String, Sendable, Codable { case pause, resume, abort }
    package var action: Action
    package init(action: Action) { self.action = action }
  }
}

package struct StagedLayout: Sendable, Codable, Equatable {
  package var staged: [StagedRole]
  /// The version that applying would commit.
  package var nextVersion: UInt64
  package init(staged: [StagedRole], nextVersion: UInt64) {
    self.staged = staged
    self.nextVersion = nextVersion
  }
  private enum CodingKeys: String, CodingKey {
    case staged
    case nextVersion = "next_version"
  }
}

package struct LayoutPlanReport: Sendable, Codable, Equatable {
  package struct Node: Sendable, Codable, Equatable {
    package var name: NodeID
    package var zone: ZoneID
    package var region: RegionID?
    package var weight: Double
    package var partitionsBefore: Int
    package var partitionsAfter: Int
    /// The share that weights, zones and regions give it, as a number of partitions.
    package var fairShare: Double
    package var bytesIn: Int64
    package var bytesOut: Int64
    package init(
      name: NodeID, zone: ZoneID, region: RegionID?, weight: Double, partitionsBefore: Int, partitionsAfter: Int, fairShare: Double,
      bytesIn: Int64, bytesOut: Int64
    ) {
      self.name = name
      self.zone = zone
      self.region = region
      self.weight = weight
      self.partitionsBefore = partitionsBefore
      self.partitionsAfter = partitionsAfter
      self.fairShare = fairShare
      self.bytesIn = bytesIn
      self.bytesOut = bytesOut
    }
    private enum CodingKeys: String, CodingKey {
      case name, zone, region, weight
      case partitionsBefore = "partitions_before"
      case partitionsAfter = "partitions_after"
      case fairShare = "fair_share"
      case bytesIn = "bytes_in"
      case bytesOut = "bytes_out"
    }
  }

  package struct Move: Sendable, Codable, Equatable {
    package var from: NodeID
    package var to: NodeID
    package var partitions: Int
    /// Estimated from what the nodes hold now.
    package var bytes: Int64
    package init(from: NodeID, to: NodeID, partitions: Int, bytes: Int64) {
      self.from = from
      self.to = to
      self.partitions = partitions
      self.bytes = bytes
    }
  }

  package var version: UInt64
  /// SHA-256 of the plan, hexadecimal.
  package var hash: String
  package var nodes: [Node]
  /// Nodes that leave.
  package var leaving: [NodeID]
  package var moves: [Move]
  package var movedReplicas: Int
  /// No layout with these loads could be reached with fewer.
  package var leastMovedReplicas: Int
  package var bytes: Int64
  /// At the fastest rate that moving may take; longer when clients need the disks.
  package var seconds: Double
  /// The fewest zones in which any partition has a whole copy on a live node: now, and at any moment of the way.
  package var fewestZonesNow: Int
  package var fewestZonesOnTheWay: Int
  package init(
    version: UInt64, hash: String, nodes: [Node], leaving: [NodeID], moves: [Move], movedReplicas: Int, leastMovedReplicas: Int,
    bytes: Int64, seconds: Double, fewestZonesNow: Int, fewestZonesOnTheWay: Int
  ) {
    self.version = version
    self.hash = hash
    self.nodes = nodes
    self.leaving = leaving
    self.moves = moves
    self.movedReplicas = movedReplicas
    self.leastMovedReplicas = leastMovedReplicas
    self.bytes = bytes
    self.seconds = seconds
    self.fewestZonesNow = fewestZonesNow
    self.fewestZonesOnTheWay = fewestZonesOnTheWay
  }
  private enum CodingKeys: String, CodingKey {
    case version, hash, nodes, leaving, moves, bytes, seconds
    case movedReplicas = "moved_replicas"
    case leastMovedReplicas = "least_moved_replicas"
    case fewestZonesNow = "fewest_zones_now"
    case fewestZonesOnTheWay = "fewest_zones_on_the_way"
  }
}

package struct LayoutHistory: Sendable, Codable, Equatable {
  package struct Entry: Sendable, Codable, Equatable {
    package var version: UInt64
    package var committedAt: WallTime?
    package var cause: String
    package var nodes: Int
    package var added: [NodeID]
    package var removed: [NodeID]
    /// Nodes whose zone, region or weight changed.
    package var changed: [NodeID]
    package init(
      version: UInt64, committedAt: WallTime?, cause: String, nodes: Int, added: [NodeID], removed: [NodeID], changed: [NodeID]
    ) {
      self.version = version
      self.committedAt = committedAt
      self.cause = cause
      self.nodes = nodes
      self.added = added
      self.removed = removed
      self.changed = changed
    }
    private enum CodingKeys: String, CodingKey {
      case version, cause, nodes, added, removed, changed
      case committedAt = "committed_at"
    }
  }
  /// Newest first.
  package var layouts: [Entry]
  package init(layouts: [Entry]) { self.layouts = layouts }
}

package struct DrainStatus: Sendable, Codable, Equatable {
  package enum State: String, Sendable, Codable {
    /// It is in the layout.
    case serving
    /// Out of the layout, and its copies are moving.
    case draining
    /// It holds nothing: it may be unplugged.
    case drained
    /// It does not answer, so it cannot give up what it holds.
    case silent
  }
  package var node: NodeID
  package var state: State
  package var partitionsLeft: Int
  package var blocksLeft: Int
  package var bytesLeft: Int64
  package var mayBeUnplugged: Bool
  package var sentence: String
  package init(
    node: NodeID, state: State, partitionsLeft: Int, blocksLeft: Int, bytesLeft: Int64, mayBeUnplugged: Bool, sentence: String
  ) {
    self.node = node
    self.state = state
    self.partitionsLeft = partitionsLeft
    self.blocksLeft = blocksLeft
    self.bytesLeft = bytesLeft
    self.mayBeUnplugged = mayBeUnplugged
    self.sentence = sentence
  }
  private enum CodingKeys: String, CodingKey {
    case node, state, sentence
    case partitionsLeft = "partitions_left"
    case blocksLeft = "blocks_left"
    case bytesLeft = "bytes_left"
    case mayBeUnplugged = "may_be_unplugged"
  }
}

package struct RebalanceStatus: Sendable, Codable, Equatable {
  package enum State: String, Sendable, Codable { case idle, moving, paused }
  package var state: State
  package var layoutVersion: UInt64
  /// The layout that `abort` goes back to.
  package var originVersion: UInt64?
  /// Replicas filled and former replicas retired.
  package var stepsDone: Int
  package var stepsTotal: Int
  package var partitionsLeft: Int
  /// By this process of the coordinator.
  package var bytesMoved: Int64
  package var blocksRetired: Int
  package var bytesPerSecond: Double
  /// What moving may take now.
  package var limitBytesPerSecond: Int64
  package var etaSeconds: Double?
  /// What it waits for, one sentence each.
  package var waiting: [String]
  package init(
    state: State, layoutVersion: UInt64, originVersion: UInt64?, stepsDone: Int, stepsTotal: Int, partitionsLeft: Int, bytesMoved: Int64,
    blocksRetired: Int, bytesPerSecond: Double, limitBytesPerSecond: Int64, etaSeconds: Double?, waiting: [String]
  ) {
    self.state = state
    self.layoutVersion = layoutVersion
    self.originVersion = originVersion
    self.stepsDone = stepsDone
    self.stepsTotal = stepsTotal
    self.partitionsLeft = partitionsLeft
    self.bytesMoved = bytesMoved
    self.blocksRetired = blocksRetired
    self.bytesPerSecond = bytesPerSecond
    self.limitBytesPerSecond = limitBytesPerSecond
    self.etaSeconds = etaSeconds
    self.waiting = waiting
  }
  private enum CodingKeys: String, CodingKey {
    case state, waiting
    case layoutVersion = "layout_version"
    case originVersion = "origin_version"
    case stepsDone = "steps_done"
    case stepsTotal = "steps_total"
    case partitionsLeft = "partitions_left"
    case bytesMoved = "bytes_moved"
    case blocksRetired = "blocks_retired"
    case bytesPerSecond = "bytes_per_second"
    case limitBytesPerSecond = "limit_bytes_per_second"
    case etaSeconds = "eta_seconds"
  }
}
