internal import BlockModel

/// How likely a block is lost, from how often copies go bad and how long they stay so.
///
/// A block with n copies in different failure domains is lost when the last good one goes while all others are bad. A copy goes bad at
/// λ = Σ λᵢ and is bad for the share q = Σ λᵢ·Tᵢ of the time, over causes i with the time Tᵢ from harm to repair; so the loss rate is about
/// n·λ·qⁿ⁻¹ (the usual Markov model of replicas with repair far faster than failure, as in Gibson's thesis of 1991 for disk arrays).
///
/// What must hold: every figure that goes in comes out beside the result. The model takes causes as independent between copies; what is not
/// (a bug, an operator, fire in two zones at once) is not in it, and at many nines is what really decides.
package struct DurabilityModel: Sendable, Equatable {
  package enum Cause: String, Sendable, Codable, CaseIterable { case disk, node, zone, rot }

  /// One way in which a copy goes bad.
  package struct Hazard: Sendable, Equatable {
    package var cause: Cause
    /// Events a year that a given copy suffers.
    package var perYear: Double
    /// From the event to a good copy in its place: noticing it, and making it.
    package var detection: Duration
    package var repair: Duration
    package init(cause: Cause, perYear: Double, detection: Duration, repair: Duration) {
      self.cause = cause
      self.perYear = perYear
      self.detection = detection
      self.repair = repair
    }

    /// The share of time for which a copy is bad because of this.
    package var share: Double { perYear * (detection + repair).inSeconds / DurabilityModel.year }
  }

  /// Of 365.25 days.
  static let year = 31_557_600.0

  /// n: copies of a block, each in a failure domain of its own.
  package let copies: Int
  package let hazards: [Hazard]

  package init(copies: Int, hazards: [Hazard]) {
    precondition(copies > 0, "a block has a copy")
    self.copies = copies
    self.hazards = hazards
  }

  /// λ: events a year that a copy suffers.
  package var eventsPerYear: Double { hazards.reduce(0) { $0 + max(0, $1.perYear) } }
  /// q: the share of time for which a copy is bad; at most 1.
  package var badShare: Double { min(1, hazards.reduce(0) { $0 + max(0, $1.share) }) }

  /// The probability that a given block is lost within a year: 1 − e^(−n·λ·qⁿ⁻¹), which is n·λ·qⁿ⁻¹ while that is small.
  package var lossPerBlockYear: Double {
    var rate = Double(copies) * eventsPerYear
    for _ in 1..<max(1, copies) { rate *= badShare }
    // From its series where the exponential has no digits left.
    return rate < 1e-5 ? rate - rate * rate / 2 : 1 - DurabilityModel.exponential(-rate)
  }

  /// −log₁₀ of it; nil when nothing can be lost by this model, which then says nothing.
  package var nines: Double? {
    let loss = lossPerBlockYear
    return loss > 0 && loss.isFinite ? -DurabilityModel.log2(loss) * 0.301_029_995_663_981 : nil
  }

  package func lossesPerYear(blocks: Int) -> Double { lossPerBlockYear * Double(blocks) }

  /// e^x for x ≤ 0: by halving the argument until the series is short, so that the module needs no library.
  private static func exponential(_ x: Double) -> Double {
    guard x > -700 else { return 0 }
    let halvings = 12
    let small = x / Double(1 << halvings)
    var result = 1 + small * (1 + small / 2 * (1 + small / 3))
    for _ in 0..<halvings { result *= result }
    return result
  }

  /// Of a number above zero, also of one too small for `Rendezvous.log2`, which takes normal ones.
  private static func log2(_ x: Double) -> Double {
    x.isNormal ? Rendezvous.log2(x) : Rendezvous.log2(x * 0x1p100) - 100
  }
}

extension DurabilityModel {
  /// What is assumed where nothing was measured: failure rates a year, from what is published of large fleets. docs/durability.md names the
  /// sources. An operator may give others.
  package struct Rates: Sendable, Equatable {
    /// Disks that die.
    package var diskPerYear = 0.015
    /// Machines that are lost with all their disks, or wiped.
    package var nodePerYear = 0.005
    /// Zones that are lost for good.
    package var zonePerYear = 0.000_5
    /// Copies of a block that can no longer be read: a tenth of disks a year with some fifty bad sectors each, among 250,000 blocks.
    package var rotPerYear = 0.000_02
    package init() {}
  }

  /// Where a figure comes from.
  package enum Source: String, Sendable, Codable { case measured, configured, assumed }
}
