internal import BlockModel

/// The inputs of a `DurabilityModel` for one cluster, each with where it comes from: measured here, set by configuration, or assumed.
package struct DurabilityEstimate: Sendable, Equatable {
  package struct Figure: Sendable, Equatable {
    package var duration: Duration
    package var source: DurabilityModel.Source
    package init(_ duration: Duration, _ source: DurabilityModel.Source) {
      self.duration = duration
      self.source = source
    }
  }

  package struct Input: Sendable, Equatable {
    package var cause: DurabilityModel.Cause
    /// Events a year that a copy suffers; assumed, or as an operator said.
    package var perYear: Double
    package var detection: Figure
    package var repair: Figure
  }

  /// What is known of the cluster.
  package struct Facts: Sendable, Equatable {
    package var copies: Int
    package var blocks: Int
    package var outAfter: Duration
    /// What repair may copy a second.
    package var repairLimit: Int64
    /// Of the fullest disk, node and zone.
    package var diskBytes: Int64
    package var nodeBytes: Int64
    package var zoneBytes: Int64
    /// Since the end of the last walk of the disk whose walk is longest ago; nil while one has had none.
    package var sinceLastScrub: Duration?
    package init(
      copies: Int, blocks: Int, outAfter: Duration, repairLimit: Int64, diskBytes: Int64, nodeBytes: Int64, zoneBytes: Int64,
      sinceLastScrub: Duration?
    ) {
      self.copies = copies
      self.blocks = blocks
      self.outAfter = outAfter
      self.repairLimit = repairLimit
      self.diskBytes = diskBytes
      self.nodeBytes = nodeBytes
      self.zoneBytes = zoneBytes
      self.sinceLastScrub = sinceLastScrub
    }
  }

  package let inputs: [Input]
  package let model: DurabilityModel
  package let blocks: Int

  /// Copies are read back at least so often.
  private static let scrubPromise: Duration = .seconds(30 * 86_400)
  /// From the report of a bad copy to another in its place: rows are looked for each second, and one block is copied.
  private static let rowRepair: Duration = .seconds(10)

  package init(_ facts: Facts, meter: DurabilityMeter, rates: DurabilityModel.Rates = .init()) {
    let rate = meter.repairBytesPerSecond.map { ($0, DurabilityModel.Source.measured) } ?? (Double(facts.repairLimit), .configured)
    func copying(_ bytes: Int64) -> Figure { Figure(.seconds(Double(bytes) / max(1, rate.0)), rate.1) }
    let noticing = Figure(facts.outAfter, .configured)
    let noticed = meter.detections.median.map { Figure($0, .measured) } ?? noticing
    // A bad copy is met anywhere between two readings: half of the time on average, all of it at worst, which counts here.
    let reading = facts.sinceLastScrub.map { Figure($0, .measured) } ?? Figure(DurabilityEstimate.scrubPromise, .assumed)
    inputs = [
      Input(cause: .disk, perYear: rates.diskPerYear, detection: noticing, repair: copying(facts.diskBytes)),
      Input(
        cause: .node, perYear: rates.nodePerYear, detection: noticed,
        repair: meter.repairs.median.map { Figure($0, .measured) } ?? copying(facts.nodeBytes)),
      Input(cause: .zone, perYear: rates.zonePerYear, detection: noticed, repair: copying(facts.zoneBytes)),
      Input(cause: .rot, perYear: rates.rotPerYear, detection: reading, repair: Figure(DurabilityEstimate.rowRepair, .assumed)),
    ]
    blocks = facts.blocks
    model = DurabilityModel(
      copies: max(1, facts.copies),
      hazards: inputs.map { input in
        DurabilityModel.Hazard(
          cause: input.cause, perYear: input.perYear, detection: input.detection.duration, repair: input.repair.duration)
      })
  }
}
