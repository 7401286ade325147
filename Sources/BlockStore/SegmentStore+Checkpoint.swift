internal import BlockModel
internal import Platform
internal import Synchronization

/// Writes the index to disk now and then, so that opening need not scan.
extension SegmentStore {
  /// Begins a checkpoint when enough records came since the last one.
  func checkpointIfDue() {
    let due = max(configuration.checkpointRecords, index.totals.shown / 8)
    let begins = state.withLock { state in
      guard state.recordsSinceCheckpoint >= due, !state.isCheckpointing, !state.isClosing, state.failure == nil else { return false }
      state.isCheckpointing = true
      return true
    }
    guard begins else { return }
    let refusal = checkpointThread.submit {
      self.writeCheckpoint(isLast: false)
      self.state.withLock { $0.isCheckpointing = false }
    }
    if refusal != nil { state.withLock { $0.isCheckpointing = false } }
  }

  /// Writes a checkpoint; failing to leaves the one before, and only costs time at the next start. Blocks; runs on the checkpoints' thread.
  ///
  /// - Parameter isLast: the store is closing; another checkpoint that has not begun by then gives way, because the disk is let go of
  ///   afterwards.
  func writeCheckpoint(isLast: Bool) {
    guard isLast || !state.withLock({ $0.isClosing }) else { return }
    guard let checkpoint = beginCheckpoint() else { return }
    do {
      try write(checkpoint)
    } catch {
      // Left for the next try, which begins the file anew.
      state.withLock { $0.recordsSinceCheckpoint = 0 }
    }
  }

  /// Takes note of how far the index and the disk agree now; in relaxed mode the disk catches up first. Nil after a failure.
  private func beginCheckpoint() -> Checkpoint? {
    let (checkpoint, active, failed) = state.withLock { state in
      let position = state.applied
      state.recordsSinceCheckpoint = 0
      var segments = state.segments
      if !segments.isEmpty { segments[Int(position.slot)].endBytes = position.offset }
      let kept = segments.prefix(segments.isEmpty ? 0 : Int(position.slot) + 1)
      return (
        Checkpoint(
          disk: disk, nextSequence: position.sequence + 1, durableSequence: position.sequence, positionSlot: position.slot,
          positionOffset: position.offset, segments: Array(kept)),
        kept.last, state.failure != nil
      )
    }
    guard !failed else { return nil }
    if configuration.durability == .relaxed, let active {
      do {
        try files.file(checkpoint.positionSlot, active).fdatasync()
      } catch {
        state.withLock { $0.failure = $0.failure ?? "A sync failed, so nothing more is acknowledged: \(error)" }
        return nil
      }
    }
    return checkpoint
  }

  private func write(_ checkpoint: Checkpoint) throws {
    let fileSystem = configuration.fileSystem
    let path = configuration.folder + "/" + Checkpoint.fileName
    let file = try fileSystem.open(path + ".tmp", [.write, .create, .truncate])
    var writer = try CheckpointWriter(file, checkpoint)
    // What came after the position is left out: replaying finds it, if it is there.
    for stripe in 0..<BlockIndex.stripeCount {
      try writer.add(index.rows(inStripe: stripe, where: checkpoint.covers))
    }
    let bytes = try writer.finish(marks: index.markValues)
    try fileSystem.rename(path + ".tmp", to: path)
    try fileSystem.syncDirectory(configuration.folder)
    state.withLock { $0.checkpointBytes = bytes }
  }
}
