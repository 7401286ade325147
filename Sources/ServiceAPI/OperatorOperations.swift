package import BlockModel
package import ClusterLogic

/// What operators ask of the coordinator, with the operator token. The documents are those of `cairnctl --json`.
package enum OperatorOperations {}

package enum ClusterHealth: String, Sendable, Codable {
  /// All nodes alive, every referenced block has all its copies.
  case healthy
  /// Something is down or being repaired, and every block still has at least W copies.
  case degraded
  /// A block may have a single copy left, or fewer than W zones live.
  case atRisk = "at-risk"
  /// Writes or some reads cannot be served.
  case unavailable
}

package struct NodeStatus: Sendable, Codable, Equatable {
  package var name: NodeID
  package var zone: ZoneID
  package var state: NodeState
  package var address: String
  package var usedBytes: Int64
  package var capacityBytes: Int64
  package var blockCount: Int
  package var disks: [DiskReport]
  /// Seconds since the last heartbeat.
  package var silentSeconds: Double
  package init(
    name: NodeID, zone: ZoneID, state: NodeState, address: String, usedBytes: Int64, capacityBytes: Int64, blockCount: Int,
    disks: [DiskReport], silentSeconds: Double
  ) {
    self.name = name
    self.zone = zone
    self.state = state
    self.address = address
    self.usedBytes = usedBytes
    self.capacityBytes = capacityBytes
    self.blockCount = blockCount
    self.disks = disks
    self.silentSeconds = silentSeconds
  }
  private enum CodingKeys: String, CodingKey {
    case name, zone, state, address, disks
    case usedBytes = "used_bytes"
    case capacityBytes = "capacity_bytes"
    case blockCount = "block_count"
    case silentSeconds = "silent_seconds"
  }
}

package struct JobStatus: Sendable, Codable, Equatable {
  package var name: String
  package var state: String
  /// Units of work: partitions or blocks, as `unit` says.
  package var done: Int
  package var total: Int
  package var unit: String
  package var etaSeconds: Double?
  package init(name: String, state: String, done: Int, total: Int, unit: String, etaSeconds: Double?) {
    self.name = name
    self.state = state
    self.done = done
    self.total = total
    self.unit = unit
    self.etaSeconds = etaSeconds
  }
  private enum CodingKeys: String, CodingKey {
    case name, state, done, total, unit
    case etaSeconds = "eta_seconds"
  }
}

package struct ClusterStatus: Sendable, Codable, Equatable {
  package var health: ClusterHealth
  /// Why it is not healthy and what to do, one sentence each.
  package var reasons: [String]
  package var nodes: [NodeStatus]
  package var underReplicatedBlocks: Int
  package var referencedBlocks: Int
  package var layoutVersion: UInt64
  package var jobs: [JobStatus]
  package init(
    health: ClusterHealth, reasons: [String], nodes: [NodeStatus], underReplicatedBlocks: Int, referencedBlocks: Int, layoutVersion: UInt64,
    jobs: [JobStatus]
  ) {
    self.health = health
    self.reasons = reasons
    self.nodes = nodes
    self.underReplicatedBlocks = underReplicatedBlocks
    self.referencedBlocks = referencedBlocks
    self.layoutVersion = layoutVersion
    self.jobs = jobs
  }
  private enum CodingKeys: String, CodingKey {
    case health, reasons, nodes, jobs
    case underReplicatedBlocks = "under_replicated_blocks"
    case referencedBlocks = "referenced_blocks"
    case layoutVersion = "layout_version"
  }
}

extension OperatorOperations {
  package struct GetStatus: ControlOperation {
    package typealias Response = ClusterStatus
    package static let name = "get-status"
    package static let audience = ControlAudience.op
    package init() {}
  }

  package struct GetLayout: ControlOperation {
    package typealias Response = Layout
    package static let name = "get-layout"
    package static let audience = ControlAudience.op
    package init() {}
  }

  /// Lets a new node into the layout; answers the committed one. What it is to hold is copied to it afterwards.
  package struct AdmitNode: ControlOperation {
    package typealias Response = Layout
    package static let name = "admit-node"
    package static let audience = ControlAudience.op
    package var node: NodeID
    package init(node: NodeID) { self.node = node }
  }

  /// Starts a full recheck (no filter) or one of a part; answers the job at once. Polled by `GetRepair`.
  package struct StartRepair: ControlOperation {
    package typealias Response = RepairProgress
    package static let name = "start-repair"
    package static let audience = ControlAudience.op
    package var node: NodeID?
    package var block: BlockID?
    package var partition: Int?
    /// Nodes that seem down are down indeed, however many: for an hour nothing waits because of that.
    package var overridesBrake: Bool?
    package init(node: NodeID?, block: BlockID?, partition: Int?, overridesBrake: Bool? = nil) {
      self.overridesBrake = overridesBrake
      self.node = node
      self.block = block
      self.partition = partition
    }
  }

  package struct GetRepair: ControlOperation {
    package typealias Response = RepairProgress
    package static let name = "get-repair"
    package static let audience = ControlAudience.op
    package init() {}
  }

  /// Starts an audit when none runs; answers how far it is. `report` is there when it ended.
  package struct StartAudit: ControlOperation {
    package typealias Response = AuditProgress
    package static let name = "start-audit"
    package static let audience = ControlAudience.op
    package init() {}
  }

  package struct GetAudit: ControlOperation {
    package typealias Response = AuditProgress
    package static let name = "get-audit"
    package static let audience = ControlAudience.op
    package init() {}
  }

  package struct ExplainBlock: ControlOperation {
    package typealias Response = BlockExplanation
    package static let name = "explain-block"
    package static let audience = ControlAudience.op
    package var block: BlockID
    package init(block: BlockID) { self.block = block }
  }
}

package struct RepairProgress: Sendable, Codable, Equatable {
  package var id: UInt64
  package var running: Bool
  package var partitionsDone: Int
  package var partitionsTotal: Int
  package var blocksChecked: Int
  package var blocksCopied: Int
  package var bytesCopied: Int64
  /// Referenced blocks that could not be brought to all their copies, and why.
  package var failures: [String]
  package init(
    id: UInt64, running: Bool, partitionsDone: Int, partitionsTotal: Int, blocksChecked: Int, blocksCopied: Int, bytesCopied: Int64,
    failures: [String]
  ) {
    self.id = id
    self.running = running
    self.partitionsDone = partitionsDone
    self.partitionsTotal = partitionsTotal
    self.blocksChecked = blocksChecked
    self.blocksCopied = blocksCopied
    self.bytesCopied = bytesCopied
    self.failures = failures
  }
  private enum CodingKeys: String, CodingKey {
    case id, running, failures
    case partitionsDone = "partitions_done"
    case partitionsTotal = "partitions_total"
    case blocksChecked = "blocks_checked"
    case blocksCopied = "blocks_copied"
    case bytesCopied = "bytes_copied"
  }
}

/// One invariant of the design's list and what the audit found of it.
package struct AuditFinding: Sendable, Codable, Equatable {
  /// The number in the design's list of invariants.
  package var invariant: Int
  package var statement: String
  package var holds: Bool
  package var checked: Int
  package var violations: [String]
  package init(invariant: Int, statement: String, holds: Bool, checked: Int, violations: [String]) {
    self.invariant = invariant
    self.statement = statement
    self.holds = holds
    self.checked = checked
    self.violations = violations
  }
}

package struct AuditProgress: Sendable, Codable, Equatable {
  package var running: Bool
  package var blocksDone: Int
  package var blocksTotal: Int
  package var findings: [AuditFinding]?
  package init(running: Bool, blocksDone: Int, blocksTotal: Int, findings: [AuditFinding]?) {
    self.running = running
    self.blocksDone = blocksDone
    self.blocksTotal = blocksTotal
    self.findings = findings
  }
  private enum CodingKeys: String, CodingKey {
    case running, findings
    case blocksDone = "blocks_done"
    case blocksTotal = "blocks_total"
  }
}

package struct BlockExplanation: Sendable, Codable, Equatable {
  package struct Use: Sendable, Codable, Equatable {
    package var owner: String
    package var path: String
    package var version: Int64
    package init(owner: String, path: String, version: Int64) {
      self.owner = owner
      self.path = path
      self.version = version
    }
  }
  package struct Copy: Sendable, Codable, Equatable {
    package var node: NodeID
    package var zone: ZoneID
    /// `replica`, `stray` or `extra`.
    package var role: String
    package var state: VerifyOutcome?
    /// How the node does.
    package var nodeState: NodeState?
    /// When this copy was read back and found whole for this answer.
    package var verifiedAt: WallTime?
    /// When the node's disks were last walked over as a whole: each copy that was there then was read. Nil while one of its disks was not.
    package var scrubbedAt: WallTime?
    package init(
      node: NodeID, zone: ZoneID, role: String, state: VerifyOutcome?, nodeState: NodeState? = nil, verifiedAt: WallTime? = nil,
      scrubbedAt: WallTime? = nil
    ) {
      self.node = node
      self.zone = zone
      self.role = role
      self.state = state
      self.nodeState = nodeState
      self.verifiedAt = verifiedAt
      self.scrubbedAt = scrubbedAt
    }
    private enum CodingKeys: String, CodingKey {
      case node, zone, role, state
      case nodeState = "node_state"
      case verifiedAt = "verified_at"
      case scrubbedAt = "scrubbed_at"
    }
  }
  package var block: BlockID
  package var size: Int?
  package var partition: Int
  package var uses: [Use]
  package var leases: [UploadID]
  package var copies: [Copy]
  package init(block: BlockID, size: Int?, partition: Int, uses: [Use], leases: [UploadID], copies: [Copy]) {
    self.block = block
    self.size = size
    self.partition = partition
    self.uses = uses
    self.leases = leases
    self.copies = copies
  }
}
