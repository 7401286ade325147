internal import BlockModel
internal import ClusterLogic

/// What the garbage collector needs of the database, by the rules of `GarbageMetadata`. The log of deletes is never trimmed here.
extension SimulatedMetadata {
  /// Raises the epoch and records a run of it; nil when one is open.
  func beginGarbageRun(partitions: Int, generation: UInt64, now: MonotonicTime) -> GarbageRun? {
    guard openRun == nil else { return nil }
    gcEpoch += 1
    runs += 1
    collectedAt = now
    let run = GarbageRun(number: runs, epoch: gcEpoch, cause: "interval", startedAt: .epoch, partitionCount: partitions)
    openRun = (run, generation)
    return run
  }

  /// The open run, which is this coordinator's from now on.
  func adoptGarbageRun(_ generation: UInt64) -> GarbageRun? {
    guard let open = openRun, open.generation <= generation else { return nil }
    openRun = (open.run, generation)
    return open.run
  }

  private func isMine(_ run: UInt64, _ generation: UInt64) -> Bool {
    openRun.map { $0.run.number == run && $0.generation == generation } ?? false
  }

  func saveGarbageRun(_ run: GarbageRun, generation: UInt64) -> Bool {
    guard isMine(run.number, generation) else { return false }
    openRun = run.phase == .ended ? nil : (run, generation)
    if run.phase == .ended { gcEpoch = max(gcEpoch, run.epoch + 1) }
    return true
  }

  /// Why nothing wants a block; nil when something does, or did in this epoch still.
  private func garbageCause(of block: BlockID, below epoch: UInt64) -> GarbageCause? {
    if let row = blocks[block] { guard row.namespaces == 0, row.unreferencedEpoch < epoch else { return nil } }
    guard bug == .ignoresLeases || !isLeased(block) else { return nil }
    if let row = blocks[block] { return row.wasReferenced ? .dereferenced : .abandoned }
    return deletes[block] == nil ? .unlogged : .deletedBefore
  }

  func garbageVerdicts(on blocks: [BlockID], below epoch: UInt64) -> [GarbageVerdict] {
    blocks.compactMap { block in garbageCause(of: block, below: epoch).map { GarbageVerdict(block: block, cause: $0) } }
  }

  /// Nil when the run is not this coordinator's any more.
  func authorizeDeletes(of blocks: [BlockID], run: UInt64, generation: UInt64) -> [BlockID]? {
    guard isMine(run, generation), let epoch = openRun?.run.epoch, epoch == gcEpoch else { return nil }
    let granted = blocks.filter { garbageCause(of: $0, below: epoch) != nil }
    for block in granted { logDelete(block, epoch) }
    return granted
  }

  private func logDelete(_ block: BlockID, _ epoch: UInt64) {
    forget(block)
    deletes[block] = epoch
  }

  func forgetGarbage(run: UInt64, generation: UInt64, limit: Int) -> Int? {
    guard isMine(run, generation), let epoch = openRun?.run.epoch else { return nil }
    let unwanted = known.filter { blocks[$0]?.namespaces == 0 && garbageCause(of: $0, below: epoch) != nil }.prefix(limit)
    for block in unwanted { logDelete(block, epoch) }
    return unwanted.count
  }

  /// Whether a receipt of this epoch says anything: the copy may have been deleted since.
  func counts(_ receipt: SimulatedReceipt) -> Bool {
    receipt.gcEpoch >= gcEpoch || deletes[receipt.block].map { receipt.gcEpoch >= $0 } ?? true || bug == .deletesWithoutEpochTest
  }
}
