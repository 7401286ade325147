internal import BlockModel

/// Letting a former replica go: seal, then block by block: confirm at every replica, copy what is missing there, void its receipts, drop.
///
/// The source seals the partition before anything is listed, so that what it listed last is all that it will ever have acknowledged under
/// older layouts. What is listed is what it holds, not what metadata refers to: a block whose receipts are still on their way moves too.
///
/// Voiding is refused while a collection that deleted one of the blocks may go on: a replica that confirmed an older copy may lose it yet.
///
/// What must hold: no commit counts a copy that is gone. Whatever the source acknowledged before it listed a block is for an upload that
/// was open when the receipts were voided, or is over; whatever it acknowledged since makes it refuse to drop anything.
extension RepairScheduler {
  /// The partition's last target was filled: its sources are next, behind everything that is more urgent.
  mutating func beginRetirements(_ partition: Int) {
    guard let row = view.fillingRow(partition), row.targets.isEmpty else { return }
    for source in row.sources { pending.insert(Pass(number: takeNumber(), kind: .retire(source: source), partition: partition), at: 0) }
  }

  mutating func seal(_ index: Int, _ effects: inout [Effect]) {
    guard case .retire(let source) = active[index].kind else { return }
    active[index].stage = .sealing
    active[index].layoutVersion = view.layout.version
    let request = open(index, .seal)
    effects.append(
      .seal(request, source: source, partition: active[index].partition, layoutVersion: active[index].layoutVersion))
  }

  mutating func sealed(_ request: RepairRequest, _ isDone: Bool, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, _) = close(request) else { return }
    guard isDone else { return retreat(index, now) }
    active[index].isSealed = true
    list(index, now, &effects)
  }

  /// The page's blocks that every replica confirmed go; the others wait for the next walk.
  mutating func settleRetirement(_ index: Int, _ source: NodeID, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard !view.isBraked else { return retreat(index, now) }
    active[index].rowsLeft += active[index].entries.count { !$0.isComplete }
    let done = active[index].entries.filter(\.isComplete).map(\.block.id)
    active[index].stage = .settling
    guard !done.isEmpty else { return endRetirementPage(index, source, now, &effects) }
    let request = open(index, .void)
    effects.append(
      .voidReceipts(
        request, source: source, blocks: done, layoutVersion: active[index].layoutVersion, gcEpoch: active[index].gcEpoch))
  }

  /// No receipt counts any more for what the page's complete blocks are at the source: they can go.
  mutating func giveUp(_ index: Int, _ source: NodeID, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard !view.isBraked else { return retreat(index, now) }
    let pass = active[index]
    let request = open(index, .retire)
    effects.append(
      .retire(
        request, source: source, partition: pass.partition, blocks: pass.entries.filter(\.isComplete).map(\.block.id), mark: pass.mark,
        layoutVersion: pass.layoutVersion))
  }

  mutating func retired(_ request: RepairRequest, _ isDone: Bool, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, _) = close(request), case .retire(let source) = active[index].kind else { return }
    guard isDone else { return retreat(index, now) }
    retiredBlocks += active[index].entries.count(where: \.isComplete)
    endRetirementPage(index, source, now, &effects)
  }

  /// Done is only a source that shows nothing from the first block on: what it acknowledged meanwhile, as somebody's spare, is found by
  /// another walk.
  private mutating func endRetirementPage(_ index: Int, _ source: NodeID, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard active[index].isLastPage else { return nextPage(index, now, &effects) }
    if active[index].rowsLeft > 0 {
      active[index].after = nil
      active[index].rowsLeft = 0
      return retreat(index, now)
    }
    guard active[index].after == nil, active[index].entries.isEmpty else {
      active[index].after = nil
      active[index].restart()
      return list(index, now, &effects)
    }
    active[index].viewsAtMark = views
    let request = open(index, .settle)
    effects.append(
      .markRetired(request, partition: active[index].partition, source: source, layoutVersion: active[index].layoutVersion))
  }

  /// Changes a partition's row in the view, ahead of the next one that says the same.
  mutating func change(_ partition: Int, _ body: (inout PlanFilling) -> Void) {
    guard let row = view.filling.firstIndex(where: { $0.partition == partition }) else { return }
    body(&view.filling[row])
    if view.filling[row].isDone { view.filling.remove(at: row) }
  }
}
