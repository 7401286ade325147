package import BlockModel

/// What an operator tells the scrub of a node's disks; it holds over restarts.
package enum ScrubAction: String, Sendable, Codable {
  /// Goes on, and begins a walk over all copies when none is under way.
  case start
  case pause
}

/// How the scrub of one disk does.
package struct ScrubReport: Sendable, Codable, Equatable {
  package enum State: String, Sendable, Codable {
    case running
    /// Nothing is due.
    case resting
    case paused
  }
  package var state: State
  /// The walk over all copies that is under way.
  package var passStarted: WallTime?
  /// Bytes of records that it has read, and that it has before it.
  package var passDoneBytes: Int64
  package var passLeftBytes: Int64
  /// When a walk last came to its end.
  package var lastFinished: WallTime?
  /// Bytes of records that came and were not read back yet.
  package var freshBytes: Int64
  /// Since the node started.
  package var checkedCopies: Int
  package var checkedBytes: Int64
  /// Ever found on this disk.
  package var rottenCopies: Int
  package var unreadableCopies: Int
  package var bytesPerSecond: Int64
  package init(
    state: State, passStarted: WallTime?, passDoneBytes: Int64, passLeftBytes: Int64, lastFinished: WallTime?, freshBytes: Int64,
    checkedCopies: Int, checkedBytes: Int64, rottenCopies: Int, unreadableCopies: Int, bytesPerSecond: Int64
  ) {
    self.state = state
    self.passStarted = passStarted
    self.passDoneBytes = passDoneBytes
    self.passLeftBytes = passLeftBytes
    self.lastFinished = lastFinished
    self.freshBytes = freshBytes
    self.checkedCopies = checkedCopies
    self.checkedBytes = checkedBytes
    self.rottenCopies = rottenCopies
    self.unreadableCopies = unreadableCopies
    self.bytesPerSecond = bytesPerSecond
  }
  private enum CodingKeys: String, CodingKey {
    case state
    case passStarted = "pass_started"
    case passDoneBytes = "pass_done_bytes"
    case passLeftBytes = "pass_left_bytes"
    case lastFinished = "last_finished"
    case freshBytes = "fresh_bytes"
    case checkedCopies = "checked_copies"
    case checkedBytes = "checked_bytes"
    case rottenCopies = "rotten_copies"
    case unreadableCopies = "unreadable_copies"
    case bytesPerSecond = "bytes_per_second"
  }
}

extension OperatorOperations {
  /// Starts or pauses the scrub of one node or of all that live. How it does is in `GetStatus`.
  package struct ControlScrub: ControlOperation {
    package typealias Response = ScrubControlled
    package static let name = "control-scrub"
    package static let audience = ControlAudience.op
    package var action: ScrubAction
    package var node: NodeID?
    package init(action: ScrubAction, node: NodeID?) {
      self.action = action
      self.node = node
    }
  }
}

/// Which nodes did as they were told, and which did not answer.
package struct ScrubControlled: Sendable, Codable, Equatable {
  package var done: [NodeID]
  package var silent: [NodeID]
  package init(done: [NodeID], silent: [NodeID]) {
    self.done = done
    self.silent = silent
  }
}

extension ClusterOperations {
  /// A node whose copy of a block is bad asks where it may fetch another: signed `record` URLs at the other holders. Only a node that is to
  /// hold the block gets them.
  package struct GetReplicaSources: ControlOperation {
    package typealias Response = ReplicaSources
    package static let name = "get-replica-sources"
    package static let audience = ControlAudience.node
    package var block: BlockID
    package var size: Int
    package init(block: BlockID, size: Int) {
      self.block = block
      self.size = size
    }
  }
}

package struct ReplicaSources: Sendable, Codable, Equatable {
  /// Live ones only, best first.
  package var sources: [SignedTarget]
  package init(sources: [SignedTarget]) { self.sources = sources }
}
