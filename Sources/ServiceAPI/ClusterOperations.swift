package import BlockModel
package import ClusterLogic

/// A node's state as the coordinator sees it.
package enum NodeState: String, Sendable, Codable {
  /// Heartbeats come.
  case alive
  /// Silent for the suspect time: reads and writes avoid it, nothing moves.
  case suspect
  /// Silent for the out time: its blocks are re-replicated.
  case out
}

package enum DiskState: String, Sendable, Codable { case healthy, readOnly = "read-only", fenced, missing }

/// One disk in a heartbeat.
package struct DiskReport: Sendable, Codable, Equatable {
  package var id: DiskID
  package var state: DiskState
  package var reason: String?
  package var capacityBytes: Int64
  package var usedBytes: Int64
  package var blockCount: Int
  package var scrub: ScrubReport?
  /// Where the node has it.
  package var folder: String?
  /// How much is sealed under the data keys of each epoch.
  package var keyEpochs: [KeyEpochBytes]?
  package init(
    id: DiskID, state: DiskState, reason: String?, capacityBytes: Int64, usedBytes: Int64, blockCount: Int, scrub: ScrubReport? = nil,
    folder: String? = nil, keyEpochs: [KeyEpochBytes]? = nil
  ) {
    self.id = id
    self.state = state
    self.reason = reason
    self.capacityBytes = capacityBytes
    self.usedBytes = usedBytes
    self.blockCount = blockCount
    self.scrub = scrub
    self.folder = folder
    self.keyEpochs = keyEpochs
  }
}

/// A member of the cluster: where it is and how it does.
package struct Member: Sendable, Codable, Equatable {
  package var node: NodeID
  package var zone: ZoneID
  /// Base URL without a trailing slash, such as `https://127.0.0.1:7001`.
  package var address: String
  package var state: NodeState
  /// Takes new blocks: alive, and a disk of its has room.
  package var writable: Bool
  package init(node: NodeID, zone: ZoneID, address: String, state: NodeState, writable: Bool) {
    self.node = node
    self.zone = zone
    self.address = address
    self.state = state
    self.writable = writable
  }
}

/// What gateways and nodes know of the cluster: enough to plan, sign, forward and refuse.
package struct ClusterView: Sendable, Codable, Equatable {
  package var cluster: ClusterID
  /// Changes with any change of this document; compare for inequality only.
  package var revision: UInt64
  /// Grows with every start of a coordinator; whoever saw a higher one refuses lower ones.
  package var generation: UInt64
  package var layout: Layout
  /// Sorted by node.
  package var members: [Member]
  package var gcEpoch: UInt64
  /// Partitions on their way to the layout's replicas, and who holds them besides: reads fall back to these.
  package var filling: [FillingPartition]
  package init(
    cluster: ClusterID, revision: UInt64, generation: UInt64, layout: Layout, members: [Member], gcEpoch: UInt64,
    filling: [FillingPartition]
  ) {
    self.cluster = cluster
    self.revision = revision
    self.generation = generation
    self.layout = layout
    self.members = members
    self.gcEpoch = gcEpoch
    self.filling = filling
  }
}

/// What changed in a view whose layout the receiver has, or a recent one: table and members are most of a view, and change least.
package struct ClusterViewUpdate: Sendable, Codable, Equatable {
  package var revision: UInt64
  package var generation: UInt64
  /// Of the layout that this goes with.
  package var layoutVersion: UInt64
  /// The way there from the layout that the receiver has, one after the other; empty when it is that one.
  package var layoutChanges: [LayoutChange]
  /// The view that `members` follows on; nil when these are all.
  package var since: UInt64?
  package var members: [Member]
  package var gcEpoch: UInt64
  package var filling: [FillingPartition]
  package init(
    revision: UInt64, generation: UInt64, layoutVersion: UInt64, layoutChanges: [LayoutChange], since: UInt64?, members: [Member],
    gcEpoch: UInt64, filling: [FillingPartition]
  ) {
    self.revision = revision
    self.generation = generation
    self.layoutVersion = layoutVersion
    self.layoutChanges = layoutChanges
    self.since = since
    self.members = members
    self.gcEpoch = gcEpoch
    self.filling = filling
  }
}

extension ClusterView {
  /// Nil when the update does not follow on this view.
  package func updated(by update: ClusterViewUpdate) -> ClusterView? {
    var layout = layout
    for change in update.layoutChanges {
      guard let next = change.applied(to: layout) else { return nil }
      layout = next
    }
    guard update.layoutVersion == layout.version, update.since == nil || update.since == revision else { return nil }
    let news = update.members.sorted { $0.node < $1.node }
    return ClusterView(
      cluster: cluster, revision: update.revision, generation: update.generation, layout: layout,
      members: update.since == nil ? news : ClusterView.merged(members, news), gcEpoch: update.gcEpoch, filling: update.filling)
  }

  /// Both sorted by node; what is in both is as the news have it.
  private static func merged(_ known: [Member], _ news: [Member]) -> [Member] {
    var merged: [Member] = []
    merged.reserveCapacity(known.count + news.count)
    var rest = news[...]
    for member in known {
      while let next = rest.first, next.node < member.node { merged.append(rest.removeFirst()) }
      if let next = rest.first, next.node == member.node { merged.append(rest.removeFirst()) } else { merged.append(member) }
    }
    return merged + rest
  }
}

package struct FillingPartition: Sendable, Equatable {
  package var partition: Int
  /// Replicas of the layout that do not have all of it yet.
  package var targets: [NodeID]
  /// Nodes beyond the layout's that hold blocks of it.
  package var sources: [NodeID]
  /// Replicas that were filled on this way.
  package var arrivals: [NodeID]
  package init(partition: Int, targets: [NodeID], sources: [NodeID], arrivals: [NodeID] = []) {
    self.partition = partition
    self.targets = targets
    self.sources = sources
    self.arrivals = arrivals
  }
}

/// One short text a row, `PARTITION;TARGETS;SOURCES;ARRIVALS` with commas between names: views carry thousands of rows to every node.
extension FillingPartition: Codable {
  package init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    let parts = text.split(separator: ";", omittingEmptySubsequences: false)
    guard parts.count == 4, let partition = Int(parts[0]), partition >= 0 else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "a row of a transition is malformed"))
    }
    let lists = try parts.dropFirst().map { part in
      try part.split(separator: ",").map { name in
        guard let node = NodeID(String(name)) else {
          throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "a transition names no node"))
        }
        return node
      }
    }
    self.init(partition: partition, targets: lists[0], sources: lists[1], arrivals: lists[2])
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    let lists = [targets, sources, arrivals].map { $0.map(\.text).joined(separator: ",") }
    try container.encode("\(partition);" + lists.joined(separator: ";"))
  }
}

/// What nodes and gateways ask of the coordinator.
package enum ClusterOperations {}

extension ClusterOperations {
  package struct Heartbeat: ControlOperation {
    package typealias Response = HeartbeatReply
    package static let name = "heartbeat"
    package static let audience = ControlAudience.node
    package var node: NodeID
    package var zone: ZoneID
    package var address: String
    package var weight: Double
    package var disks: [DiskReport]
    /// The revision of the view that the node has, so that an unchanged one is not sent again.
    package var viewRevision: UInt64
    /// The version of the layout that the node has, so that an unchanged one is not sent again.
    package var layoutVersion: UInt64?
    /// The highest coordinator generation that the node has persisted.
    package var generation: UInt64
    /// Epochs of the data keys that the node holds, and each one's check value (hexadecimal).
    package var dataKeys: [DataKeyStatement]
    /// Unique to this run of the process.
    package var processID: UInt64
    /// Copies found rotten since the last acknowledged heartbeat, at most 1,000.
    package var rottenBlocks: [BlockID]
    /// What clients asked of it since the last heartbeat.
    package var foreground: ForegroundLoad?
    /// How long it holds deleted blocks before it purges them, in seconds.
    package var quarantineSeconds: Int64?
    package init(
      node: NodeID, zone: ZoneID, address: String, weight: Double, disks: [DiskReport], viewRevision: UInt64, generation: UInt64,
      dataKeys: [DataKeyStatement], processID: UInt64, rottenBlocks: [BlockID], foreground: ForegroundLoad? = nil,
      layoutVersion: UInt64? = nil, quarantineSeconds: Int64? = nil
    ) {
      self.quarantineSeconds = quarantineSeconds
      self.layoutVersion = layoutVersion
      self.foreground = foreground
      self.node = node
      self.zone = zone
      self.address = address
      self.weight = weight
      self.disks = disks
      self.viewRevision = viewRevision
      self.generation = generation
      self.dataKeys = dataKeys
      self.processID = processID
      self.rottenBlocks = rottenBlocks
    }
  }

  /// The current view, for gateways; answers at once when `revision` differs, else after at most `waitMilliseconds`.
  package struct GetView: ControlOperation {
    package typealias Response = ClusterView
    package static let name = "get-view"
    package static let audience = ControlAudience.gateway
    package var revision: UInt64
    package var waitMilliseconds: Int
    package init(revision: UInt64, waitMilliseconds: Int) {
      self.revision = revision
      self.waitMilliseconds = waitMilliseconds
    }
  }

  /// A signed `control` capability with which a node may ask another for the data keys. `body` is the SHA-256 of the request that it will
  /// send
  /// (which carries its ephemeral X25519 public key), so the ticket fits nobody else.
  package struct GetDataKeyTicket: ControlOperation {
    package typealias Response = DataKeyTicket
    package static let name = "get-data-key-ticket"
    package static let audience = ControlAudience.node
    package var epoch: UInt32
    package var body: BlockID
    package var bodyBytes: Int
    package init(epoch: UInt32, body: BlockID, bodyBytes: Int) {
      self.epoch = epoch
      self.body = body
      self.bodyBytes = bodyBytes
    }
  }
}

/// Requests of clients at a node, and how long the node itself took over them on average.
package struct ForegroundLoad: Sendable, Codable, Equatable {
  package var requests: Int
  package var meanMilliseconds: Double
  package init(requests: Int, meanMilliseconds: Double) {
    self.requests = requests
    self.meanMilliseconds = meanMilliseconds
  }
}

package struct DataKeyStatement: Sendable, Codable, Equatable {
  package var epoch: UInt32
  /// HMAC of a constant under the key, hexadecimal: equal keys have equal check values, and it tells nothing of the key.
  package var check: String
  package init(epoch: UInt32, check: String) {
    self.epoch = epoch
    self.check = check
  }
}

package struct DataKeyTicket: Sendable, Codable, Equatable {
  package var holder: NodeID
  package var url: String
  package var check: String
  package init(holder: NodeID, url: String, check: String) {
    self.holder = holder
    self.url = url
    self.check = check
  }
}

package struct HeartbeatReply: Sendable, Codable, Equatable {
  /// Nil when the node's revision is the present one, or `update` says what changed.
  package var view: ClusterView?
  /// Instead of `view` when the node has its layout, or one that leads there. A node that it does not fit asks with revision 0.
  package var update: ClusterViewUpdate?
  package var generation: UInt64
  /// What the node shall do about data keys.
  package var dataKeys: DataKeyOrder
  /// Milliseconds until the next heartbeat.
  package var intervalMilliseconds: Int
  package init(
    view: ClusterView?, update: ClusterViewUpdate? = nil, generation: UInt64, dataKeys: DataKeyOrder, intervalMilliseconds: Int
  ) {
    self.view = view
    self.update = update
    self.generation = generation
    self.dataKeys = dataKeys
    self.intervalMilliseconds = intervalMilliseconds
  }
}

/// The current data-key epoch is founded by one node that the coordinator chose and recorded; the others fetch it from a holder.
package enum DataKeyOrder: Sendable, Codable, Equatable {
  /// The node holds what it needs; `current` seals new records. 0: encryption is off in this cluster.
  case use(current: UInt32)
  /// Make the key of this epoch and state it with the next heartbeat.
  case create(epoch: UInt32)
  /// Fetch the key of this epoch with a ticket.
  case fetch(epoch: UInt32)
  /// Nobody holds it yet; ask again.
  case wait(epoch: UInt32)
}
