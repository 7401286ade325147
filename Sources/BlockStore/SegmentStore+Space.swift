package import BlockModel
internal import Platform
internal import Synchronization

/// Deleting in two steps, and what a disk has room for.
///
/// The order in which a block goes, each step only after the one before is durable and in the index:
/// 1. a quarantine record: the block counts as missing. A restore record, which an append of the block or an undo writes, ends it under an
///    epoch that is not lower than before.
/// 2. when the hold is over, a tombstone. The ledger decides on it after everything that came before, so an append that was acknowledged has
///    ended the quarantine and no tombstone is written.
/// 3. when the readers of the copy that began before have left, its pages are punched out, its headers stay.
/// 4. compaction removes the segment's file. A tombstone is written anew as long as a segment may hold an older copy of its block.
///
/// What a crash leaves in between is the state of the last step that was durable; a hole that was not punched is space that compaction finds.
extension SegmentStore {
  package func quarantine(
    _ block: BlockID, ifEpochBelow epoch: UInt64, at time: WallTime
  ) async throws(BlockStoreError) -> Bool {
    try await change(.quarantine(block, Quarantine(epoch: epoch, since: time)))
  }

  package func restore(_ block: BlockID) async throws(BlockStoreError) -> Bool { try await change(.restore(block)) }

  package func quarantined(after: BlockID?, limit: Int) -> [QuarantinedBlock] {
    var found: [QuarantinedBlock] = []
    guard limit > 0, index.totals.quarantined > 0 else { return found }
    index.walk(partition: 0, bits: 0, after: after) { entry in
      if let quarantine = entry.quarantine, !entry.isSetAside {
        found.append(QuarantinedBlock(block: entry.stored, epoch: quarantine.epoch, since: quarantine.since))
      }
      return found.count < limit
    }
    return found
  }

  package func purge(quarantinedBefore time: WallTime, limit: Int) async throws(BlockStoreError) -> Int {
    guard limit > 0, index.totals.quarantined > 0 else { return 0 }
    var due: [BlockID] = []
    index.walk(partition: 0, bits: 0) { entry in
      if let quarantine = entry.quarantine, !entry.isSetAside, quarantine.since < time { due.append(entry.id) }
      return due.count < limit
    }
    var purged = 0
    for start in stride(from: 0, to: due.count, by: SegmentStore.purgeBatch) {
      let batch = due[start..<min(due.count, start + SegmentStore.purgeBatch)]
      for result in await submitBehind(batch.map { .purge($0, quarantinedBefore: time) }) {
        if case .changed(true) = try result.get() { purged += 1 }
      }
    }
    return purged
  }

  private static var purgeBatch: Int { 256 }

  /// Asks the file system, which answers from memory.
  package func space() -> DiskSpace {
    let available = (try? configuration.fileSystem.space(configuration.folder).available) ?? 0
    let shown = index.totals.shown
    return state.withLock { state in space(state, availableBytes: available, blocks: shown) }
  }

  func space(_ state: borrowing State, availableBytes: Int64, blocks: Int) -> DiskSpace {
    let unused = Int64(state.ledger.active.map { max(0, $0.blockLimit - $0.end) } ?? 0)
    let onDisk = max(0, availableBytes) + unused
    let occupied = state.ledger.occupiedBytes
    let capacity = min(configuration.capacityBytes ?? .max, occupied + onDisk)
    let free = max(0, min(onDisk, capacity - occupied))
    let ahead = Int64(state.ledger.active.map { $0.fileBytes - $0.end } ?? 0)
    return DiskSpace(
      capacityBytes: capacity, usedBytes: state.liveBytes, freeBytes: free, blockCount: blocks,
      occupiedBytes: occupied + ahead + state.checkpointBytes + state.reserveBytes,
      level: configuration.watermarks.level(capacityBytes: capacity, freeBytes: free))
  }

  /// Makes the reserve when it is not there and the disk has room for it: at most a fiftieth of the disk.
  func keepReserve() {
    guard let available = try? configuration.fileSystem.space(configuration.folder).available else { return }
    let (occupied, there) = state.withLock { ($0.ledger.occupiedBytes, $0.reserveBytes) }
    let share = Int(clamping: (available + occupied) / 50).roundedDown(to: Segment.pageBytes)
    let bytes = min(configuration.reserveBytes, configuration.segmentBytes, share)
    guard there == 0, bytes >= SegmentMaker.smallestForControl else { return }
    let kept = maker.keepReserve(folder: configuration.folder, bytes: bytes)
    state.withLock { $0.reserveBytes = kept }
  }
}
