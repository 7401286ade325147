package import BlockModel

/// One run of the garbage collector as the database keeps it over restarts of the coordinator.
package struct GarbageRun: Sendable, Codable, Equatable {
  package enum Phase: String, Sendable, Codable {
    /// The epoch was raised; the grace of what was dropped just before it runs.
    case settling
    /// Everything that nodes hold is compared with the metadata; nothing is deleted yet.
    case marking
    case deleting
    /// Rows of blocks that no node has any more are forgotten.
    case forgetting
    case ended
  }

  package enum Outcome: String, Sendable, Codable { case finished, stopped }

  package var number: UInt64
  /// What is deleted has records of lower epochs only.
  package var epoch: UInt64
  /// Who asked for it.
  package var cause: String
  package var startedAt: WallTime
  package var endedAt: WallTime?
  package var phase = Phase.settling
  package var outcome: Outcome?
  /// Why it was stopped.
  package var reason: String?
  /// The phase is done for all partitions before this one.
  package var partition = 0
  package var partitionCount: Int
  package var marked = GarbageTally()
  package var deleted = GarbageTally()
  /// Nodes that were marked from the first partition to the last, sorted; no other deletes anything.
  package var nodes: [NodeID] = []
  /// Nodes that did not answer at some point, sorted. What they hold stays as it is, for a later run.
  package var skipped: [NodeID] = []
  /// Also what no log accounts for goes, however much it is.
  package var acceptsUnlogged: Bool

  package init(
    number: UInt64, epoch: UInt64, cause: String, startedAt: WallTime, partitionCount: Int, acceptsUnlogged: Bool = false
  ) {
    self.number = number
    self.epoch = epoch
    self.cause = cause
    self.startedAt = startedAt
    self.partitionCount = partitionCount
    self.acceptsUnlogged = acceptsUnlogged
  }

  private enum CodingKeys: String, CodingKey {
    case number, epoch, cause, phase, outcome, reason, partition, marked, deleted, nodes, skipped
    case startedAt = "started_at"
    case endedAt = "ended_at"
    case partitionCount = "partition_count"
    case acceptsUnlogged = "accepts_unlogged"
  }

  /// The run as the next coordinator takes it up. What was only marked is marked anew: it changed nothing.
  package var resumed: GarbageRun {
    var run = self
    if phase == .marking {
      run.partition = 0
      run.marked = GarbageTally()
      run.nodes = []
    }
    return run
  }
}

/// Why nothing wants a block that a node holds.
package enum GarbageCause: String, Sendable, Codable, CaseIterable {
  /// A version or page referred to it, and the last of them went.
  case dereferenced
  /// An upload announced it and ended without a version.
  case abandoned
  /// It was deleted before: a node that was away then still has it, or it was put once more by a URL of a past upload.
  case deletedBefore = "deleted-before"
  /// Nothing that the metadata remembers accounts for it.
  case unlogged
}

/// Blocks that go, by cause. Blocks are counted once, copies on each node.
package struct GarbageTally: Sendable, Codable, Equatable {
  /// Copies that the nodes hold in all; what is counted below is a part of them.
  package var held = 0
  package var dereferenced = 0
  package var abandoned = 0
  package var deletedBefore = 0
  package var unlogged = 0
  package var copies = 0
  package var unloggedCopies = 0
  /// As stored, over all copies.
  package var bytes: Int64 = 0

  package init() {}

  private enum CodingKeys: String, CodingKey {
    case held, dereferenced, abandoned, unlogged, copies, bytes
    case deletedBefore = "deleted_before"
    case unloggedCopies = "unlogged_copies"
  }

  package var blocks: Int { dereferenced + abandoned + deletedBefore + unlogged }

  /// Counts one block, but for the copies and bytes that go with it.
  mutating func count(_ cause: GarbageCause, holders: Int) {
    switch cause {
    case .dereferenced: dereferenced += 1
    case .abandoned: abandoned += 1
    case .deletedBefore: deletedBefore += 1
    case .unlogged:
      unlogged += 1
      unloggedCopies += holders
    }
  }
}

/// A block that the metadata does not want, and why.
package struct GarbageVerdict: Sendable, Equatable {
  package var block: BlockID
  package var cause: GarbageCause
  package init(block: BlockID, cause: GarbageCause) {
    self.block = block
    self.cause = cause
  }
}

/// A copy that a node holds, whose record is of an epoch below the run's.
package struct GarbageCopy: Sendable, Equatable {
  package var block: BlockID
  package var storedBytes: Int
  package init(block: BlockID, storedBytes: Int) {
    self.block = block
    self.storedBytes = storedBytes
  }
}

/// One page of a node's copies in id order.
package struct GarbagePage: Sendable, Equatable {
  package var copies: [GarbageCopy]
  /// Everything up to this block has been looked at; nil when the partition has no more.
  package var next: BlockID?
  package init(copies: [GarbageCopy], next: BlockID?) {
    self.copies = copies
    self.next = next
  }
}

/// What a node answered.
package enum GarbageAnswer<Value: Sendable>: Sendable {
  case done(Value)
  /// It did not answer: nothing is known, and nothing follows.
  case silent
  /// It answered that it will not or cannot.
  case refused(String)
}

/// Names an effect and the event that answers it.
package struct GarbageRequest: Hashable, Sendable {
  package var number: UInt64
  package init(number: UInt64) { self.number = number }
}
