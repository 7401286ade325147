internal import BlockModel

/// Decides how fast data may move that nothing is missing of, from how long nodes take over what clients ask.
///
/// What must hold: with nobody there, it soon goes as fast as it may; beside clients it begins slowly, and when they have to wait much
/// longer than they do without it, it halves, each second again, down to a rate that still ends.
///
/// Additive increase and multiplicative decrease against a remembered quiet time, as congestion control by delay does (Brakmo and
/// Peterson 1995), because nodes cannot tell what they would take without the moving.
package struct RebalancePacer: Sendable {
  package struct Configuration: Sendable, Equatable {
    package var fastestBytes: Int64 = 256 << 20
    package var slowestBytes: Int64 = 1 << 20
    /// Requests may take so much longer than in quiet times, and so much besides, before it slows down.
    package var growthLimit = 1.2
    /// What it begins with where clients are, as a part of the fastest rate: 1 / 32.
    package var firstPart: Int64 = 32
    package var allowance: Duration = .milliseconds(1)
    /// Requests a second below which nobody is there to be disturbed.
    package var busyFrom = 4
    package init() {}
  }

  /// What one node reported.
  package struct Sample: Sendable, Equatable {
    package var requests: Int
    package var meanMilliseconds: Double
    package init(requests: Int, meanMilliseconds: Double) {
      self.requests = requests
      self.meanMilliseconds = meanMilliseconds
    }
  }

  private var configuration: Configuration
  package private(set) var bytesPerSecond: Int64
  /// Milliseconds that requests take without the moving.
  private var quiet: Double?

  package init(_ configuration: Configuration = Configuration()) {
    self.configuration = configuration
    bytesPerSecond = max(configuration.slowestBytes, configuration.fastestBytes / 8)
  }

  /// Another upper bound, from now on.
  package mutating func limit(fastestBytes: Int64) {
    configuration.fastestBytes = max(1, fastestBytes)
    bytesPerSecond = bounded(bytesPerSecond)
  }

  /// To be called each second.
  /// - Parameters:
  ///   - samples: what nodes reported since the last call.
  ///   - isMoving: whether data moved in that time.
  package mutating func observe(_ samples: [Sample], isMoving: Bool) {
    let requests = samples.reduce(0) { $0 + max(0, $1.requests) }
    guard requests >= configuration.busyFrom else {
      bytesPerSecond = bounded(bytesPerSecond * 2)
      return
    }
    let sum = samples.reduce(0.0) { $0 + Double(max(0, $1.requests)) * $1.meanMilliseconds }
    let mean = sum / Double(requests)
    guard mean.isFinite, mean >= 0 else { return }
    guard isMoving, let quiet else {
      // The first seconds of moving have to do when it was never quiet.
      self.quiet = quiet.map { $0 * 0.8 + mean * 0.2 } ?? mean
      bytesPerSecond = bounded(min(bytesPerSecond, configuration.fastestBytes / configuration.firstPart))
      return
    }
    let isDisturbed = mean > quiet * configuration.growthLimit + configuration.allowance.inSeconds * 1000
    bytesPerSecond = bounded(isDisturbed ? bytesPerSecond / 2 : bytesPerSecond + bytesPerSecond / 8 + (1 << 20))
    // What clients do changes: a shorter time is believed at once, a longer one slowly.
    self.quiet = mean < quiet ? (quiet + mean) / 2 : quiet * 1.002
  }

  private func bounded(_ rate: Int64) -> Int64 {
    min(configuration.fastestBytes, max(min(configuration.slowestBytes, configuration.fastestBytes), rate))
  }
}
