package import BlockModel
package import ClusterLogic
package import ServiceAPI

/// What is kept with a layout when it is committed, in the same transaction.
package struct LayoutNote: Sendable, Equatable {
  /// Why it came, in a few words for people.
  package var cause: String
  /// What was staged is in it.
  package var clearsStaged: Bool
  /// Nil leaves it as it is.
  package var rebalance: RebalanceRecord?
  package init(cause: String, clearsStaged: Bool = false, rebalance: RebalanceRecord? = nil) {
    self.cause = cause
    self.clearsStaged = clearsStaged
    self.rebalance = rebalance
  }
}

/// One layout of the past, without its table.
package struct LayoutRecord: Sendable, Equatable {
  package var layout: Layout
  /// Nil for layouts of versions that did not keep it.
  package var committedAt: WallTime?
  package var cause: String
  package init(layout: Layout, committedAt: WallTime?, cause: String) {
    self.layout = layout
    self.committedAt = committedAt
    self.cause = cause
  }
}

/// How the way to the present layout stands, over restarts of the coordinator.
package struct RebalanceRecord: Sendable, Equatable {
  package var isPaused: Bool
  /// The layout that was in force, with nothing left to be done, before the present way began: what `abort` goes back to. Nil when nothing
  /// is on its way.
  package var origin: UInt64?
  /// Replicas to fill and sources to retire in all, when the way began.
  package var steps: Int
  package init(isPaused: Bool = false, origin: UInt64? = nil, steps: Int = 0) {
    self.isPaused = isPaused
    self.origin = origin
    self.steps = steps
  }
}

extension ClusterMetadata {
  /// Commits a layout that nobody has to be told the reason of.
  package func commitLayout(
    _ layout: Layout, expectedVersion: UInt64, filling: [FillingPartition]
  ) async throws(MetadataError) {
    try await commitLayout(layout, expectedVersion: expectedVersion, filling: filling, note: LayoutNote(cause: ""))
  }
}
