package import BlockModel
package import ClusterLogic

/// What the garbage collector needs of the metadata.
///
/// What must hold (invariants 1, 2, 4 and 5), whatever the engine:
/// - `authorizeDeletes` grants only blocks that no version refers to and no open upload announced, judged in the very transaction that logs
///   the delete; announcing a block, keeping a receipt for it and committing it are serialized with that;
/// - from then on a receipt of an epoch below the delete's does not count, for as long as the log says so; when the log is trimmed, no
///   receipt of an epoch below what was trimmed counts any more;
/// - whoever works on a run after another coordinator took it over, or after collecting was put on hold, is refused with `.conflict`.
package protocol GarbageMetadata: Sendable {
  func garbageRecord() async throws(MetadataError) -> GarbageRecord
  /// The newest runs first.
  func garbageRuns(limit: Int) async throws(MetadataError) -> [GarbageRun]
  /// Raises the epoch and records a run of it, in one transaction.
  /// - Throws: `.conflict` when a run is open or collecting is on hold.
  func beginGarbageRun(_ request: GarbageRunRequest) async throws(MetadataError) -> GarbageRun
  /// Takes the open run over from an earlier coordinator; nil when none is open.
  /// - Throws: `.conflict` when a coordinator of a higher generation has it.
  func adoptGarbageRun(generation: UInt64) async throws(MetadataError) -> GarbageRun?
  /// Records how far an open run is; one that has ended is closed, and the epoch is raised with it.
  func saveGarbageRun(_ run: GarbageRun, generation: UInt64) async throws(MetadataError)
  /// Those of the blocks that nothing wants, as of an epoch: what was dropped in that epoch or later is left out.
  func garbageVerdicts(on blocks: [BlockID], below epoch: UInt64) async throws(MetadataError) -> [GarbageVerdict]
  /// Judges the blocks again and logs the delete of those that are still unwanted. Answers these. At most 1,000.
  func authorizeDeletes(of blocks: [BlockID], run: UInt64, generation: UInt64) async throws(MetadataError) -> [BlockID]
  /// Forgets at most `limit` blocks that nothing wants, and what the log of deletes remembers for longer than it has to. Answers how many
  /// rows went. For a run that found no copy of the blocks anywhere.
  func forgetGarbage(run: UInt64, generation: UInt64, limit: Int) async throws(MetadataError) -> Int
  /// Puts collecting on hold for a reason, or with nil lets it go on. An open run is closed.
  func holdGarbage(_ reason: String?) async throws(MetadataError)
  /// All nodes have taken back what they had set aside for deletion: it is not due any more.
  func finishGarbageUndo() async throws(MetadataError)
  /// Those of the blocks that were set aside for deletion under an epoch that no logged delete accounts for.
  func unaccountedDeletes(_ deletes: [(block: BlockID, epoch: UInt64)]) async throws(MetadataError) -> [BlockID]
}

package struct GarbageRunRequest: Sendable, Equatable {
  /// Who or what asked for it.
  package var cause: String
  package var acceptsUnlogged: Bool
  package var partitionCount: Int
  /// Of the coordinator that asks.
  package var generation: UInt64
  package init(cause: String, acceptsUnlogged: Bool, partitionCount: Int, generation: UInt64) {
    self.cause = cause
    self.acceptsUnlogged = acceptsUnlogged
    self.partitionCount = partitionCount
    self.generation = generation
  }
}

/// How collecting stands.
package struct GarbageRecord: Sendable, Equatable {
  package var epoch: UInt64
  /// Why nothing is collected; nil when it may be.
  package var hold: String?
  /// The newest run.
  package var newest: GarbageRun?
  /// Blocks that no version refers to; some of them open uploads may want.
  package var unreferenced: Int
  /// The database is a backup's: what was deleted since is to be taken back before the nodes purge it.
  package var isUndoDue: Bool
  package init(epoch: UInt64, hold: String?, newest: GarbageRun?, unreferenced: Int, isUndoDue: Bool = false) {
    self.isUndoDue = isUndoDue
    self.epoch = epoch
    self.hold = hold
    self.newest = newest
    self.unreferenced = unreferenced
  }
}
