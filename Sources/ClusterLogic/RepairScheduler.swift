package import BlockModel

/// Decides what is copied where, so that every live block gets all its copies again.
///
/// Four kinds of work share one path (list a page of blocks, ask the nodes, copy what is missing, settle): *fills* bring one new
/// replica of a partition up to date, *retirements* let a former one go, *rows* are single blocks that a commit or a node reported,
/// *rechecks* are an operator's.
///
/// What must hold:
/// - a partition is marked filled, and a row cleared, only when every block concerned was confirmed by the node itself in this pass: it
///   said that the block is here, or acknowledged a verified copy; or its digest of the partition is that of a whole replica;
/// - no answer is never an answer: neither "missing" nor "done";
/// - a copy is given up only by a node off the layout that has sealed the partition, only after every replica confirmed that block, and
///   those that took its place by reading it back, and after its receipts were voided; a replica's copy is never deleted;
/// - what a node confirmed counts against deletes only that it refuses: those of epochs before the one in which the walk began;
/// - one partition never has more than one replica in motion;
/// - fewest surviving zones first; work per node, in all, and per second is bounded; every failure is tried again, later each time.
package struct RepairScheduler: Sendable {
  private(set) var configuration: Configuration
  var view: RepairView
  /// Views given so far.
  var views = 0
  /// Ready to start; sorted so that the most urgent is last.
  var pending: [Pass] = []
  /// Paused until their time.
  var waiting: [Pass] = []
  /// Being worked on; at most `mostActive`.
  var active: [Pass] = []
  private(set) var mostActive: Int
  /// Looked up by number only, never iterated.
  var requests: [RepairRequest: RequestOwner] = [:]
  var nextNumber: UInt64 = 1
  var load = RepairLoad()
  var blocked = BlockedPasses()
  /// Passes whose copies were planned in this step.
  var planned: [UInt64] = []
  var bucket: RepairBucket
  /// What moving may take of `bucket`.
  var moveBucket: RepairBucket
  package private(set) var isPaused = false
  var rowsExist = false
  /// The last full pass over the rows left only such as nobody can repair.
  var rowsAreStuck = false
  /// Partitions that a recheck could not see whole, because a replica is down.
  var unseen: [Int] = []
  /// Fills finished since the last time that none was left, for progress.
  package private(set) var fillsDone = 0
  /// Fills that a digest alone settled.
  package var fillsByDigest = 0
  /// Sources that gave a partition up, of all that this scheduler has seen.
  package var retirementsDone = 0
  /// Bytes copied by moving, and blocks given up.
  package var movedBytes: Int64 = 0
  package var retiredBlocks = 0
  package internal(set) var recheck: RecheckProgress?
  var isFullRecheck = false
  /// What a recheck that has gone through everything waits for, and since when.
  var recheckStall = RecheckStall()
  /// Pages that fills have behind them.
  var fillPages = 0
  package var copiedBlocks = 0
  package var copiedBytes: Int64 = 0

  package init(configuration: Configuration = Configuration(), view: RepairView) {
    self.configuration = configuration
    self.view = RepairView(layout: view.layout, filling: [], members: view.members, isBraked: view.isBraked, gcEpoch: view.gcEpoch)
    mostActive = configuration.activePasses
    bucket = RepairBucket(bytesPerSecond: configuration.bytesPerSecond)
    moveBucket = RepairBucket(bytesPerSecond: configuration.moveBytesPerSecond)
    adopt(view)
  }

  package mutating func step(_ event: Event, now: MonotonicTime) -> [Effect] {
    var effects: [Effect] = []
    let freed = nodesFreed(by: event)
    switch event {
    case .view(let view): adopt(view)
    case .repairsWaiting: rowsWait()
    case .recheck(let id, let scope): begin(id, scope)
    case .listed(let request, let blocks): listed(request, blocks, now, &effects)
    case .repairsListed(let request, let rows): listed(request, rows, now, &effects)
    case .heldListed(let request, let page): heldListed(request, page, now, &effects)
    case .checked(let request, let outcomes): checked(request, outcomes, now, &effects)
    case .copied(let request, let outcomes): copied(request, outcomes, now, &effects)
    case .settled(let request, let isDone): settled(request, isDone, now, &effects)
    case .sealed(let request, let isDone): sealed(request, isDone, now, &effects)
    case .compared(let request, let isEqual): compared(request, isEqual, now, &effects)
    case .retired(let request, let isDone): retired(request, isDone, now, &effects)
    case .diskLost(let node): forget(node)
    case .rebalance(let isPaused, let bytesPerSecond): pace(isPaused, bytesPerSecond)
    case .limit(let bytesPerSecond, let perNode):
      configuration.bytesPerSecond = bytesPerSecond
      configuration.bytesPerSecondPerNode = perNode
      scale()
    case .timer: break
    }
    wakeWaiting(now)
    startPasses(now, &effects)
    if event.isAnswer {
      dispatchCopies(after: freed, of: planned, now, &effects)
    } else {
      dispatchAllCopies(now, &effects)
    }
    planned.removeAll(keepingCapacity: true)
    finishRecheckIfDone(now)
    return effects
  }

  /// The target and the source of a copy that ended.
  private func nodesFreed(by event: Event) -> [NodeID] {
    guard case .copied(let request, _) = event, case .copy(let target, let source, _)? = requests[request]?.detail else { return [] }
    return [target] + (source.map { [$0] } ?? [])
  }

  /// Fills that are not done.
  package var fillsLeft: Int { all { if case .fill = $0.kind { true } else { false } } }

  /// Sources that have not retired, of partitions that are filled or not.
  package var retirementsLeft: Int { view.filling.reduce(0) { $0 + $1.sources.count } }

  /// Whether the pass moves what nothing is missing of.
  func isMove(_ pass: Pass) -> Bool {
    switch pass.kind {
    case .retire: true
    case .fill: view.isFull(pass.partition)
    case .rows, .recheck: false
    }
  }

  private mutating func pace(_ isPaused: Bool, _ bytesPerSecond: Int64) {
    moveBucket.bytesPerSecond = Double(max(1, bytesPerSecond))
    guard isPaused != self.isPaused else { return }
    self.isPaused = isPaused
    guard isPaused else { return }
    beginAgain(isMove)
  }

  /// Pages under way are begun again; what was asked for them is answered to nobody.
  private mutating func beginAgain(_ isMeant: (Pass) -> Bool) {
    let passes = active.filter(isMeant)
    active = active.filter { !isMeant($0) }
    for pass in passes {
      var pass = pass
      pass.restart()
      // Under another number, so that answers to the old one find nobody.
      pass.number = takeNumber()
      pending.append(pass)
    }
    sortPending()
  }

  /// What the node confirmed may have been on the lost disk: its fills begin from the first block on, and so does each page that rests on
  /// its word.
  private mutating func forget(_ node: NodeID) {
    let layout = view.layout
    beginAgain { pass in
      switch pass.kind {
      case .fill, .retire, .recheck: layout.replicas(ofPartition: pass.partition).contains(node)
      case .rows: true
      }
    }
    for index in pending.indices where pending[index].kind == .fill(target: node) { pending[index].forgetProgress() }
    for index in waiting.indices where waiting[index].kind == .fill(target: node) { waiting[index].forgetProgress() }
  }

  // MARK: View

  /// As much at once as so many nodes bear.
  private mutating func scale() {
    let live = view.members.count { $0.liveness == .alive }
    bucket.bytesPerSecond = Double(max(1, configuration.bytesPerSecond(liveNodes: live)))
    mostActive = configuration.activePasses(liveNodes: live)
  }

  mutating func adopt(_ new: RepairView) {
    let returned = new.members.filter { $0.liveness == .alive && view.liveness($0.node) != .alive }.map(\.node)
    let isNewLayout = new.layout.version != view.layout.version
    view = new
    views += 1
    scale()
    let isWanted = { (pass: Pass) in
      switch pass.kind {
      case .fill(let target): return new.fillingRow(pass.partition)?.targets.contains(target) ?? false
      case .retire(let source):
        // A new layout has its own seals.
        guard !isNewLayout, let row = new.fillingRow(pass.partition) else { return false }
        return row.targets.isEmpty && row.sources.contains(source)
      case .rows, .recheck: return true
      }
    }
    pending.removeAll { !isWanted($0) }
    waiting.removeAll { !isWanted($0) }
    active.removeAll { !isWanted($0) }
    addFills()
    addRetirements()
    if !returned.isEmpty || isNewLayout {
      // What waited for a node may go on now.
      pending += waiting.map { pass in
        var pass = pass
        pass.attempts = 0
        return pass
      }
      waiting = []
      addUnseen()
    }
    sortPending()
  }

  mutating func addFills() {
    var known: [(partition: Int, target: NodeID)] = []
    for pass in pending + waiting + active {
      if case .fill(let target) = pass.kind { known.append((pass.partition, target)) }
    }
    known.sort { ($0.partition, $0.target) < ($1.partition, $1.target) }
    if known.isEmpty { fillsDone = 0 }
    for row in view.filling {
      for target in row.targets {
        let index = known.partitionPoint { ($0.partition, $0.target) < (row.partition, target) }
        if index < known.count && known[index] == (row.partition, target) { continue }
        pending.append(Pass(number: takeNumber(), kind: .fill(target: target), partition: row.partition))
      }
    }
  }

  mutating func addRetirements() {
    var known: [(partition: Int, source: NodeID)] = []
    for pass in pending + waiting + active {
      if case .retire(let source) = pass.kind { known.append((pass.partition, source)) }
    }
    known.sort { ($0.partition, $0.source) < ($1.partition, $1.source) }
    for row in view.filling where row.targets.isEmpty {
      for source in row.sources {
        let index = known.partitionPoint { ($0.partition, $0.source) < (row.partition, source) }
        if index < known.count && known[index] == (row.partition, source) { continue }
        pending.append(Pass(number: takeNumber(), kind: .retire(source: source), partition: row.partition))
      }
    }
  }

  /// Urgency: the fewest zones that hold the partition and live; then fills before rechecks.
  mutating func sortPending() {
    let keyed = pending.map { (pass: $0, zones: survivingZones($0)) }
    pending = keyed.sorted { a, b in
      (a.zones, a.pass.kind.rank, a.pass.partition, a.pass.number) > (b.zones, b.pass.kind.rank, b.pass.partition, b.pass.number)
    }.map(\.pass)
  }

  private func survivingZones(_ pass: Pass) -> Int {
    guard case .fill = pass.kind else { return pass.kind == .rows ? 0 : Int.max }
    return zoneCount(view.holders(pass.partition).filter { view.liveness($0) == .alive })
  }

  func zoneCount(_ nodes: [NodeID]) -> Int {
    var zones: [ZoneID] = []
    for node in nodes { if let zone = view.member(node)?.zone, !zones.contains(zone) { zones.append(zone) } }
    return zones.count
  }

  // MARK: Rows

  mutating func rowsWait() {
    guard all({ $0.kind == .rows }) == 0 else { return }
    rowsExist = true
    pending.append(Pass(number: takeNumber(), kind: .rows, partition: 0))
  }

  mutating func countFill() { fillsDone += 1 }

  // MARK: Helpers

  mutating func takeNumber() -> UInt64 {
    defer { nextNumber += 1 }
    return nextNumber
  }

  /// The pass that awaits the answer, so that a simulation can tell on whose word it copies.
  package func pass(awaiting request: RepairRequest) -> UInt64? { requests[request]?.pass }

  func all(_ matches: (Pass) -> Bool) -> Int {
    pending.count(where: matches) + waiting.count(where: matches) + active.count(where: matches)
  }
}
