internal import BlockModel

/// Quarantine, and what compaction writes.
///
/// What must hold: a copy is moved only while it is what counts, and the moved copy says everything that held of it, so that nothing
/// older than it is needed; what a control record of a vanishing segment says is written anew while it still counts for anything.
extension CommitLedger {
  /// False when the operation needs a record and the active segment has no room for it.
  mutating func decideSpace(_ operation: StoreOperation, _ builder: inout BatchBuilder, _ index: BlockIndex) -> Bool {
    switch operation.request {
    case .quarantine(let id, let quarantine):
      guard let entry = current(id, index), entry.isShown, entry.gcEpoch < quarantine.epoch else { return refuse(operation, &builder) }
      guard self.quarantine(entry, quarantine, &builder) else { return false }
    case .restore(let id):
      guard let entry = current(id, index), !entry.isSetAside, entry.quarantine != nil else { return refuse(operation, &builder) }
      guard restore(entry, to: entry.gcEpoch, &builder) else { return false }
    case .purge(let id, let time):
      guard let entry = current(id, index), !entry.isSetAside, let quarantine = entry.quarantine, quarantine.since < time else {
        return refuse(operation, &builder)
      }
      return delete(id, quarantine.epoch, operation, &builder)
    case .move(let record, let from):
      guard let entry = current(record.header.block, index), entry.location == from, !entry.isSetAside else {
        return refuse(operation, &builder)
      }
      guard move(record, entry, &builder) else { return false }
    case .restate(let local, let body, let slot):
      guard let restated = restatement(of: local, body, slot, index) else { return refuse(operation, &builder) }
      guard control(restated.kind, restated.body, epoch: restated.epoch, &builder) else { return false }
      builder.batch.restatedBytes += Int64(RecordPlacement.controlBytes)
      builder.batch.deletes = true
    case .append, .raiseEpoch, .delete, .setAside: preconditionFailure("decided elsewhere")
    }
    builder.answer(operation.answer, .success(.changed(true)))
    return true
  }

  /// Takes a block out of quarantine, under an epoch that is not lower than it had.
  mutating func restore(_ entry: IndexEntry, to epoch: UInt64, _ builder: inout BatchBuilder) -> Bool {
    var restored = entry
    restored.gcEpoch = max(entry.gcEpoch, epoch)
    restored.quarantine = nil
    guard control(.restore, ControlBody(block: entry.id), epoch: restored.gcEpoch, &builder) else { return false }
    builder.batch.changes.append(.restore(entry.id, restored.gcEpoch))
    remember(entry.id, restored, &builder)
    return true
  }

  private mutating func quarantine(_ entry: IndexEntry, _ quarantine: Quarantine, _ builder: inout BatchBuilder) -> Bool {
    let body = ControlBody(block: entry.id, minute: quarantine.minute)
    guard control(.quarantine, body, epoch: quarantine.epoch, &builder) else { return false }
    builder.batch.changes.append(.quarantine(entry.id, quarantine))
    var hidden = entry
    hidden.quarantine = quarantine
    remember(entry.id, hidden, &builder)
    return true
  }

  /// The copy, and behind it that it is quarantined: without an older copy, a record of a block says that the block is here.
  private mutating func move(_ record: SealedRecord, _ entry: IndexEntry, _ builder: inout BatchBuilder) -> Bool {
    let bytes = RecordLayout.recordBytes(storedBytes: record.header.storedBytes)
    let behind = entry.quarantine == nil ? 0 : Segment.pageBytes
    guard let active, builder.fits(recordBytes: bytes, below: active.blockLimit - behind) else { return false }
    let moved = place(record, entry, active, isHeld: entry.quarantine != nil, &builder)
    builder.batch.changes.append(.move(moved))
    builder.batch.deletes = true
    if let quarantine = entry.quarantine {
      let fits = self.quarantine(moved, quarantine, &builder)
      precondition(fits, "a page was left for the quarantine record")
    }
    return true
  }

  /// What is to be written for a control record of the segment in `slot`, which is to go; nil when it says nothing any more that is not
  /// also said elsewhere.
  private func restatement(
    of local: LocalHeader, _ body: ControlBody, _ slot: UInt32, _ index: BlockIndex
  ) -> (kind: LocalHeader.Kind, body: ControlBody, epoch: UInt64)? {
    let entry = current(body.block, index)
    // A copy in the segment itself is moved, and the moved copy says it all.
    let elsewhere = entry.flatMap { $0.location.slot == slot ? nil : $0 }
    switch local.kind {
    case .tombstone:
      var restated = body
      if restated.segmentNumber == 0 { restated.segmentNumber = segmentNumbers[Int(slot)] }
      return entry == nil ? (.tombstone, restated, local.gcEpoch) : nil
    case .epochRaise: return elsewhere?.gcEpoch == local.gcEpoch ? (.epochRaise, body, local.gcEpoch) : nil
    case .quarantine:
      return elsewhere?.quarantine == Quarantine(epoch: local.gcEpoch, minute: body.minute)
        ? (.quarantine, body, local.gcEpoch) : nil
    case .restore:
      guard let elsewhere else { return nil }
      // An older quarantine record may lie in an older segment.
      if elsewhere.quarantine == nil { return (.restore, body, elsewhere.gcEpoch) }
      // It was quarantined again since, and the epoch that it was taken back under still holds.
      return elsewhere.gcEpoch == local.gcEpoch ? (.epochRaise, body, local.gcEpoch) : nil
    case .setAside: return (.setAside, body, 0)
    case .block, .segment: preconditionFailure("a control record is restated")
    }
  }
}
