internal import BlockModel

/// What an operator asks to be re-checked, and when that is over.
///
/// What must hold: a recheck of everything ends. Without failures only when each block has all the copies that the layout asks for; with
/// them when the observer doubts itself, or when nothing has come nearer to the end for `recheckPatience` while no node's fate is open.
extension RepairScheduler {
  mutating func begin(_ id: UInt64, _ scope: RepairScope) {
    pending.removeAll(where: \.isRecheck)
    waiting.removeAll(where: \.isRecheck)
    active.removeAll(where: \.isRecheck)
    unseen = []
    recheckStall = RecheckStall()
    isFullRecheck = scope == .everything
    rowsAreStuck = false
    var passes: [Pass] = []
    switch scope {
    case .everything: passes = (0..<view.layout.partitionCount).map { Pass(number: 0, kind: .recheck(of: nil), partition: $0) }
    case .partition(let partition): passes = [Pass(number: 0, kind: .recheck(of: nil), partition: partition)]
    case .node(let node):
      passes = (0..<view.layout.partitionCount).filter { view.layout.replicas(ofPartition: $0).contains(node) }
        .map { Pass(number: 0, kind: .recheck(of: node), partition: $0) }
    case .block(let block):
      var pass = Pass(number: 0, kind: .recheck(of: nil), partition: block.id.partition(bits: view.layout.partitionBits))
      pass.only = block
      passes = [pass]
    }
    recheck = RecheckProgress(id: id, partitionsTotal: passes.count)
    for pass in passes {
      var pass = pass
      pass.number = takeNumber()
      pending.append(pass)
    }
    if isFullRecheck { rowsWait() }
    sortPending()
  }

  /// Partitions that were not seen whole are looked at again.
  mutating func addUnseen() {
    for partition in unseen { pending.append(Pass(number: takeNumber(), kind: .recheck(of: nil), partition: partition)) }
    recheck?.partitionsDone -= unseen.count
    unseen = []
    recheckStall = RecheckStall()
  }

  mutating func endRecheck(_ index: Int) {
    var pass = active.remove(at: index)
    let silent = view.layout.replicas(ofPartition: pass.partition).filter { view.liveness($0) != .alive }
    if pass.isUnseen && isFullRecheck {
      guard !silent.isEmpty || view.isBraked else {
        // The node is back already.
        pass.after = nil
        pass.isUnseen = false
        pass.stage = .starting
        pending.insert(pass, at: 0)
        return
      }
      unseen.append(pass.partition)
    } else if pass.isUnseen {
      for node in silent { note { $0.fail("Node \(node) does not answer: what it should hold was not checked.") } }
      if silent.isEmpty { note { $0.fail("Partition \(pass.partition) could not be checked on every node: check it once more.") } }
    }
    note { $0.partitionsDone += 1 }
  }

  mutating func finishRecheckIfDone(_ now: MonotonicTime) {
    guard var progress = recheck, progress.isRunning, all(\.isRecheck) == 0 else { return }
    if isFullRecheck && !isRecheckComplete {
      guard view.isBraked || hasStalled(now) else { return }
      report(unfinished: &progress)
    }
    unseen = []
    progress.isRunning = false
    recheck = progress
  }

  /// Whether everything is done that can be done, and what cannot has been reported block by block.
  private var isRecheckComplete: Bool {
    guard unseen.isEmpty, !rowsExist || rowsAreStuck else { return false }
    return (pending + waiting + active).allSatisfy { pass in
      if case .retire = pass.kind { return true }
      return pass.isStuck || pass.kind == .rows || isPaused && isMove(pass)
    }
  }

  /// A copy under way may take longer than anything else before somebody hears of it.
  private static let copyingPatience = 4

  /// Whether what is left does not come by itself. A node that is out is replaced by another layout in a moment, unless that cannot be
  /// committed: with too few zones alive it cannot, and neither can what copies have been made be noted.
  private mutating func hasStalled(_ now: MonotonicTime) -> Bool {
    guard !view.layout.nodes.contains(where: { view.liveness($0.id) == .suspect }) else {
      recheckStall = RecheckStall()
      return false
    }
    let mark = RecheckStall.Mark(
      copiedBlocks: copiedBlocks, fillsDone: fillsDone, fillPages: fillPages, unseen: unseen.count, layoutVersion: view.layout.version)
    let isCopying = active.contains { $0.stage == .copying }
    let patience = configuration.recheckPatience * (isCopying ? RepairScheduler.copyingPatience : 1)
    return recheckStall.lasts(at: mark, now) >= patience
  }

  private func report(unfinished progress: inout RecheckProgress) {
    if view.isBraked {
      progress.fail("So many nodes seem down that nothing is moved; bring them back, or remove them from the layout.")
    }
    let silent = view.layout.nodes.map(\.id).filter { view.liveness($0) != .alive }
    for node in silent.prefix(20) {
      let liveness = view.liveness(node) == .out ? "is out" : "does not answer"
      progress.fail("Node \(node) \(liveness), and the layout counts on it: what it should hold could not be checked or made anew.")
    }
    guard !view.isBraked else { return }
    progress.fail(
      silent.isEmpty
        ? "Copies that lack were tried again and again in vain: cairnctl status and the coordinator's log say why."
        : "The layout could not be changed to do without it, as when too few zones live: start nodes of other zones.")
  }

  mutating func note(_ change: (inout RecheckProgress) -> Void) {
    if recheck?.isRunning == true {
      recheck.map {
        var progress = $0; change(&progress); recheck = progress
      }
    }
  }
}

/// Since when a recheck has come no nearer to its end.
struct RecheckStall: Sendable {
  /// Whatever changes when it does.
  struct Mark: Sendable, Equatable {
    var copiedBlocks: Int
    var fillsDone: Int
    var fillPages: Int
    var unseen: Int
    var layoutVersion: UInt64
  }

  private var mark: Mark?
  private var since = MonotonicTime.zero

  /// For how long it has been at this mark.
  mutating func lasts(at mark: Mark, _ now: MonotonicTime) -> Duration {
    if mark != self.mark { (self.mark, since) = (mark, now) }
    return now - since
  }
}
