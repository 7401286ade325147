package import BlockModel
package import ClusterLogic

/// What operators ask about losses that did not happen and about durability, and what they may set. The documents are those of
/// `cairnctl --json`.
extension OperatorOperations {
  /// What would be left, and what repair would take, if a zone, a node or a disk were gone. Changes nothing. Exactly one is given.
  package struct SimulateLoss: ControlOperation {
    package typealias Response = LossReport
    package static let name = "simulate-loss"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package var zone: ZoneID?
    package var node: NodeID?
    /// A disk's id in hexadecimal, or its beginning as long as no other disk's is the same.
    package var disk: String?
    package init(zone: ZoneID?, node: NodeID?, disk: String?) {
      self.zone = zone
      self.node = node
      self.disk = disk
    }
  }

  package struct GetDurability: ControlOperation {
    package typealias Response = DurabilityReport
    package static let name = "get-durability"
    package static let audience = ControlAudience.op
    /// Events a year, in place of what is assumed.
    package var diskPerYear: Double?
    package var nodePerYear: Double?
    package var zonePerYear: Double?
    package var rotPerYear: Double?
    package init(diskPerYear: Double? = nil, nodePerYear: Double? = nil, zonePerYear: Double? = nil, rotPerYear: Double? = nil) {
      self.diskPerYear = diskPerYear
      self.nodePerYear = nodePerYear
      self.zonePerYear = zonePerYear
      self.rotPerYear = rotPerYear
    }
  }

  package struct GetTuning: ControlOperation {
    package typealias Response = TuningReport
    package static let name = "get-tuning"
    package static let audience = ControlAudience.op
    package init() {}
  }

  /// Sets a value that counts before the configuration's, at once and over restarts; nil lets the configuration's count again.
  package struct SetTuning: ControlOperation {
    package typealias Response = TuningReport
    package static let name = "set-tuning"
    package static let audience = ControlAudience.op
    package var key: String
    package var value: Int64?
    package init(key: String, value: Int64?) {
      self.key = key
      self.value = value
    }
  }
}

package struct LossReport: Sendable, Codable, Equatable {
  /// Blocks of which so many copies, or zones with a copy, would be left.
  package struct Standing: Sendable, Codable, Equatable {
    package var left: Int
    package var blocks: Int
    package init(left: Int, blocks: Int) {
      self.left = left
      self.blocks = blocks
    }
  }

  /// `zone b`, `node node-3`, `disk 1f…`.
  package var loss: String
  package var lostNodes: [NodeID]
  package var referencedBlocks: Int
  package var lostBlocks: Int
  package var lastCopyBlocks: Int
  package var underReplicatedBlocks: Int
  /// Only blocks with fewer than they shall have; ascending.
  package var byCopies: [Standing]
  package var byZones: [Standing]
  package var acceptsWrites: Bool
  package var capacityBytesBefore: Int64
  package var capacityBytesAfter: Int64
  package var usedBytesBefore: Int64
  package var usedBytesAfterRepair: Int64
  package var fullestNode: NodeID?
  /// 0 to 1.
  package var fullestShare: Double?
  package var bytesToCopy: Int64
  package var copyingNodes: Int
  package var detectionSeconds: Double
  /// At `repairBytesPerSecond`; longer when clients need the disks.
  package var copyingSeconds: Double
  package var repairBytesPerSecond: Int64
  /// `measured` or `configured`.
  package var repairRateSource: DurabilityModel.Source
  package var obstacles: [String]
  package init(_ forecast: LossForecast, loss: String, rate: Int64, source: DurabilityModel.Source) {
    self.loss = loss
    lostNodes = forecast.lostNodes
    referencedBlocks = forecast.referencedBlocks
    lostBlocks = forecast.lostBlocks
    lastCopyBlocks = forecast.lastCopyBlocks
    underReplicatedBlocks = forecast.underReplicatedBlocks
    byCopies = forecast.byCopies.map { Standing(left: $0.left, blocks: $0.blocks) }
    byZones = forecast.byZones.map { Standing(left: $0.left, blocks: $0.blocks) }
    acceptsWrites = forecast.acceptsWrites
    capacityBytesBefore = forecast.capacityBefore
    capacityBytesAfter = forecast.capacityAfter
    usedBytesBefore = forecast.usedBefore
    usedBytesAfterRepair = forecast.usedAfterRepair
    fullestNode = forecast.fullest?.node
    fullestShare = forecast.fullest?.share
    bytesToCopy = forecast.bytesToCopy
    copyingNodes = forecast.copyingNodes
    detectionSeconds = forecast.detectionSeconds
    copyingSeconds = forecast.copyingSeconds
    repairBytesPerSecond = rate
    repairRateSource = source
    obstacles = forecast.obstacles
  }
  private enum CodingKeys: String, CodingKey {
    case loss, obstacles
    case lostNodes = "lost_nodes"
    case referencedBlocks = "referenced_blocks"
    case lostBlocks = "lost_blocks"
    case lastCopyBlocks = "last_copy_blocks"
    case underReplicatedBlocks = "under_replicated_blocks"
    case byCopies = "by_copies"
    case byZones = "by_zones"
    case acceptsWrites = "accepts_writes"
    case capacityBytesBefore = "capacity_bytes_before"
    case capacityBytesAfter = "capacity_bytes_after"
    case usedBytesBefore = "used_bytes_before"
    case usedBytesAfterRepair = "used_bytes_after_repair"
    case fullestNode = "fullest_node"
    case fullestShare = "fullest_share"
    case bytesToCopy = "bytes_to_copy"
    case copyingNodes = "copying_nodes"
    case detectionSeconds = "detection_seconds"
    case copyingSeconds = "copying_seconds"
    case repairBytesPerSecond = "repair_bytes_per_second"
    case repairRateSource = "repair_rate_source"
  }
}

package struct DurabilityReport: Sendable, Codable, Equatable {
  /// How long something took, as far as this coordinator saw it.
  package struct Measured: Sendable, Codable, Equatable {
    package var count: Int
    package var medianSeconds: Double?
    package var longestSeconds: Double?
    package init(_ durations: DurabilityMeter.Durations) {
      count = durations.count
      medianSeconds = durations.median?.inSeconds
      longestSeconds = durations.longest?.inSeconds
    }
    private enum CodingKeys: String, CodingKey {
      case count
      case medianSeconds = "median_seconds"
      case longestSeconds = "longest_seconds"
    }
  }

  /// One way in which copies go bad, as the model takes it.
  package struct Input: Sendable, Codable, Equatable {
    package var cause: DurabilityModel.Cause
    /// λᵢ: events a year that a copy suffers; assumed, or given with the question.
    package var perYear: Double
    /// Tᵢ, in two parts.
    package var detectionSeconds: Double
    package var detectionSource: DurabilityModel.Source
    package var repairSeconds: Double
    package var repairSource: DurabilityModel.Source
    package init(_ input: DurabilityEstimate.Input) {
      cause = input.cause
      perYear = input.perYear
      detectionSeconds = input.detection.duration.inSeconds
      detectionSource = input.detection.source
      repairSeconds = input.repair.duration.inSeconds
      repairSource = input.repair.source
    }
    private enum CodingKeys: String, CodingKey {
      case cause
      case perYear = "per_year"
      case detectionSeconds = "detection_seconds"
      case detectionSource = "detection_source"
      case repairSeconds = "repair_seconds"
      case repairSource = "repair_source"
    }
  }

  /// Since this coordinator began to keep the cluster.
  package var observedSeconds: Double
  package var detections: Measured
  package var repairs: Measured
  package var repairBytesPerSecond: Double?
  package var underReplicatedBlockSeconds: Double
  package var mostUnderReplicatedBlocks: Int
  /// Since the end of the last walk over all copies, of the disk where that is longest ago; nil while a disk has had none.
  package var scrubAgeSeconds: Double?
  package var rottenCopies: Int
  package var copies: Int
  package var referencedBlocks: Int
  package var inputs: [Input]
  /// λ: events a year that a copy suffers, and q: the share of time for which it is bad.
  package var eventsPerYear: Double
  package var badShare: Double
  package var lossPerBlockYear: Double
  package var lossesPerYear: Double
  /// Of one block over a year; nil when the model says nothing.
  package var nines: Double?
  package init(_ estimate: DurabilityEstimate, _ meter: DurabilityMeter, scrubAge: Duration?, rottenCopies: Int) {
    observedSeconds = meter.observed.inSeconds
    detections = Measured(meter.detections)
    repairs = Measured(meter.repairs)
    repairBytesPerSecond = meter.repairBytesPerSecond
    underReplicatedBlockSeconds = meter.underReplicatedBlockSeconds
    mostUnderReplicatedBlocks = meter.mostUnderReplicated
    scrubAgeSeconds = scrubAge?.inSeconds
    self.rottenCopies = rottenCopies
    copies = estimate.model.copies
    referencedBlocks = estimate.blocks
    inputs = estimate.inputs.map(Input.init)
    eventsPerYear = estimate.model.eventsPerYear
    badShare = estimate.model.badShare
    lossPerBlockYear = estimate.model.lossPerBlockYear
    lossesPerYear = estimate.model.lossesPerYear(blocks: estimate.blocks)
    nines = estimate.model.nines
  }
  private enum CodingKeys: String, CodingKey {
    case detections, repairs, copies, inputs, nines
    case observedSeconds = "observed_seconds"
    case repairBytesPerSecond = "repair_bytes_per_second"
    case underReplicatedBlockSeconds = "under_replicated_block_seconds"
    case mostUnderReplicatedBlocks = "most_under_replicated_blocks"
    case scrubAgeSeconds = "scrub_age_seconds"
    case rottenCopies = "rotten_copies"
    case referencedBlocks = "referenced_blocks"
    case eventsPerYear = "events_per_year"
    case badShare = "bad_share"
    case lossPerBlockYear = "loss_per_block_year"
    case lossesPerYear = "losses_per_year"
  }
}

package struct TuningReport: Sendable, Codable, Equatable {
  package struct Entry: Sendable, Codable, Equatable {
    package var key: String
    package var value: Int64
    /// Whether it was set by an operator; else it is the configuration's.
    package var isSet: Bool
    package init(key: String, value: Int64, isSet: Bool) {
      self.key = key
      self.value = value
      self.isSet = isSet
    }
    private enum CodingKeys: String, CodingKey {
      case key, value
      case isSet = "set"
    }
  }
  package var settings: [Entry]
  package init(settings: [Entry]) { self.settings = settings }
}
