internal import BlockModel
internal import Platform
internal import Synchronization

/// The second stage: one sync for all batches that were written, then the index, then the answers.
extension SegmentStore {
  func sync(_ batches: [CommitBatch]) {
    var changed = false
    do throws(FileError) {
      changed = try syncFiles(of: batches)
    } catch {
      return failSyncing(batches, "A sync failed, so nothing more is acknowledged: \(error)")
    }
    if let failure = state.withLock({ $0.failure }) { return failSyncing(batches, failure) }
    do throws(BlockStoreError) {
      let gone = try apply(batches)
      state.withLock { state in
        for batch in batches {
          state.ledger.forget(batch)
          if changed { state.ledger.durableSequence = max(state.ledger.durableSequence, batch.lastSequence) }
        }
        state.commit.synced()
      }
      advance()
      for batch in batches { for (answer, result) in batch.answers { answer(result) } }
      for entry in gone { punch(entry.location, recordBytes: entry.recordBytes) }
      checkpointIfDue()
    } catch {
      failSyncing(batches, error.message)
    }
  }

  /// One `fdatasync` for each file that the batches are in; false when none was needed or wanted.
  func syncFiles(of batches: [CommitBatch], evenIfRelaxed: Bool = false) throws(FileError) -> Bool {
    let written = batches.filter { $0.byteCount > 0 }
    let isWanted = evenIfRelaxed || configuration.durability == .strict || written.contains(where: \.deletes)
    guard !written.isEmpty, isWanted else { return false }
    var last: UInt32?
    for batch in written where batch.slot != last {
      last = batch.slot
      try batch.file?.fdatasync()
    }
    return true
  }

  /// Brings the index up to the batches, in order; answers the records that are not referred to any more.
  func apply(_ batches: [CommitBatch]) throws(BlockStoreError) -> [IndexEntry] {
    var gone: [IndexEntry] = []
    /// Entries that the index names from now on, and those that it does not name any more.
    var (named, unnamed): ([IndexEntry], [IndexEntry]) = ([], [])
    for batch in batches {
      for change in batch.changes {
        switch change {
        case .set(let entry), .move(let entry):
          // A copy that was set aside stays on the disk: somebody may want to look at it. One that was moved goes with its segment.
          if let old = try index.set(entry) { unnamed.append(old) }
          named.append(entry)
        case .raiseEpoch(let id, let epoch): try index.raiseEpoch(of: id, to: epoch)
        case .quarantine(let id, let quarantine): try index.setQuarantine(of: id, to: quarantine)
        case .restore(let id, let epoch):
          try index.raiseEpoch(of: id, to: epoch)
          try index.setQuarantine(of: id, to: nil)
        case .setAside(let id, let location): _ = index.setAside(id, at: location)
        case .remove(let id):
          if let old = index.remove(id) {
            unnamed.append(old)
            gone.append(old)
          }
        }
      }
    }
    state.withLock { [named, unnamed] state in
      for entry in named {
        state.segments[Int(entry.location.slot)].usage.add(recordBytes: entry.recordBytes)
        state.segments[Int(entry.location.slot)].blockRecords += 1
        state.liveBytes += Int64(entry.recordBytes)
      }
      for entry in unnamed {
        state.segments[Int(entry.location.slot)].usage.remove(recordBytes: entry.recordBytes)
        state.liveBytes -= Int64(entry.recordBytes)
      }
      for batch in batches where batch.byteCount > 0 {
        state.applied = AppliedPosition(slot: batch.slot, offset: batch.offset + batch.byteCount, sequence: batch.lastSequence)
        state.segments[Int(batch.slot)].restatedBytes += batch.restatedBytes
        state.recordsSinceCheckpoint += batch.recordCount
      }
    }
    return gone
  }

  /// Punches a deleted record's pages out when nobody reads them any more. Failing to is a loss of space and nothing else.
  func punch(_ location: RecordLocation, recordBytes: Int) {
    guard let range = RecordPlacement.punchable(offset: Int(location.offset), recordBytes: recordBytes) else { return }
    readers.whenFree(location) { [self] in
      let segment = state.withLock { $0.segments[Int(location.slot)] }
      guard !segment.isGone, let file = try? files.file(location.slot, segment),
        (try? file.punchHole(offset: Int64(range.lowerBound), length: Int64(range.count))) != nil
      else { return }
      state.withLock { state in
        state.segments[Int(location.slot)].punchedBytes += Int64(range.count)
        state.ledger.giveBack(range.count)
      }
    }
  }
}
