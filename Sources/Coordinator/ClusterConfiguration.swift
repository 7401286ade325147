package import ClusterLogic

/// What an operator decides about the cluster's keeping.
package struct ClusterConfiguration: Sendable {
  /// The first layout is committed when so many nodes have come; nodes that come later wait for an operator.
  package var initialNodes: Int
  package var failure: FailureDetector.Configuration
  package var heartbeatInterval: Duration
  package var repair: RepairScheduler.Configuration
  /// Whether nodes encrypt blocks; decides whether data keys are founded.
  package var isEncrypted: Bool
  /// How long the coordinator's own URLs to nodes stay good.
  package var capabilityLifetime: Duration
  /// Time for a node's answer to one command; copying and re-hashing commands get more.
  package var commandDeadline: Duration
  package var garbage = GarbageCollector.Configuration()
  /// From the start of one run of the garbage collector to the start of the next; nil leaves it to operators.
  package var garbageInterval: Duration?
  /// The longest lease of an upload and the longest life of a URL together. What nodes delete they hold at least that long, or nothing is
  /// collected: else an upload could still count on a block that is gone for good.
  package var shortestHold = Duration.zero

  package init(
    initialNodes: Int, failure: FailureDetector.Configuration = .production, heartbeatInterval: Duration = .seconds(1),
    repair: RepairScheduler.Configuration = .init(), isEncrypted: Bool = true, capabilityLifetime: Duration = .seconds(600),
    commandDeadline: Duration = .seconds(10)
  ) {
    self.initialNodes = initialNodes
    self.failure = failure
    self.heartbeatInterval = heartbeatInterval
    self.repair = repair
    self.isEncrypted = isEncrypted
    self.capabilityLifetime = capabilityLifetime
    self.commandDeadline = commandDeadline
  }

  /// Short timings for a local cluster.
  package static func dev(initialNodes: Int, isEncrypted: Bool = true) -> ClusterConfiguration {
    ClusterConfiguration(
      initialNodes: initialNodes, failure: .dev, heartbeatInterval: .milliseconds(200), isEncrypted: isEncrypted,
      commandDeadline: .seconds(5))
  }
}
