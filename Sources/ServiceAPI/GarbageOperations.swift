package import BlockModel
package import ClusterLogic

/// What operators ask of the garbage collector. The documents are those of `cairnctl gc --json`.
extension OperatorOperations {
  package struct GetGarbage: ControlOperation {
    package typealias Response = GarbageStatus
    package static let name = "get-garbage"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package init() {}
  }

  /// Begins a run, or a plan of one, which changes nothing. Polled by `GetGarbage`.
  package struct StartGarbage: ControlOperation {
    package typealias Response = GarbageStatus
    package static let name = "start-garbage"
    package static let audience = ControlAudience.op
    package var plan: Bool
    /// Also what no log accounts for goes, however much it is.
    package var acceptsUnlogged: Bool?
    package init(plan: Bool, acceptsUnlogged: Bool? = nil) {
      self.plan = plan
      self.acceptsUnlogged = acceptsUnlogged
    }
    private enum CodingKeys: String, CodingKey {
      case plan
      case acceptsUnlogged = "accepts_unlogged"
    }
  }

  /// Puts collecting on hold and has the nodes take back what they still hold of what was deleted. Polled by `GetGarbage`.
  package struct UndoGarbage: ControlOperation {
    package typealias Response = GarbageStatus
    package static let name = "undo-garbage"
    package static let audience = ControlAudience.op
    /// The first run that is undone; nil for all.
    package var sinceRun: UInt64?
    package init(sinceRun: UInt64?) { self.sinceRun = sinceRun }
    private enum CodingKeys: String, CodingKey { case sinceRun = "since_run" }
  }

  /// Lets collecting go on.
  package struct ReleaseGarbage: ControlOperation {
    package typealias Response = GarbageStatus
    package static let name = "release-garbage"
    package static let audience = ControlAudience.op
    package init() {}
  }
}

package struct GarbageStatus: Sendable, Codable, Equatable {
  package enum State: String, Sendable, Codable { case idle, planning, collecting, undoing }

  package var state: State
  package var epoch: UInt64
  /// Why nothing is collected; absent when it may be.
  package var hold: String?
  /// Blocks that no version refers to.
  package var unreferencedBlocks: Int
  /// When the next run begins by itself; absent when none does.
  package var nextRunAt: WallTime?
  /// The run that is under way, or the last.
  package var run: GarbageRun?
  /// The plan that is being made, or the last since the coordinator started.
  package var plan: GarbageRun?
  package var undo: GarbageUndo?
  package init(
    state: State, epoch: UInt64, hold: String?, unreferencedBlocks: Int, nextRunAt: WallTime?, run: GarbageRun?, plan: GarbageRun?,
    undo: GarbageUndo?
  ) {
    self.state = state
    self.epoch = epoch
    self.hold = hold
    self.unreferencedBlocks = unreferencedBlocks
    self.nextRunAt = nextRunAt
    self.run = run
    self.plan = plan
    self.undo = undo
  }
  private enum CodingKeys: String, CodingKey {
    case state, epoch, hold, run, plan, undo
    case unreferencedBlocks = "unreferenced_blocks"
    case nextRunAt = "next_run_at"
  }
}

/// How far taking deleted blocks back is.
package struct GarbageUndo: Sendable, Codable, Equatable {
  /// Copies that count again.
  package var restoredCopies: Int
  package var nodesDone: Int
  package var nodesTotal: Int
  /// Nodes that did not answer: ask again when they are back.
  package var skipped: [NodeID]
  package init(restoredCopies: Int, nodesDone: Int, nodesTotal: Int, skipped: [NodeID]) {
    self.restoredCopies = restoredCopies
    self.nodesDone = nodesDone
    self.nodesTotal = nodesTotal
    self.skipped = skipped
  }
  private enum CodingKeys: String, CodingKey {
    case skipped
    case restoredCopies = "restored_copies"
    case nodesDone = "nodes_done"
    case nodesTotal = "nodes_total"
  }
}
