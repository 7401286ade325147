internal import BlockModel

/// The life of a pass: start, list, check, search, settle.
extension RepairScheduler {
  mutating func wakeWaiting(_ now: MonotonicTime) {
    guard waiting.contains(where: { $0.wakeAt <= now }) else { return }
    pending += waiting.filter { $0.wakeAt <= now }
    waiting.removeAll { $0.wakeAt <= now }
    sortPending()
  }

  mutating func startPasses(_ now: MonotonicTime, _ effects: inout [Effect]) {
    var passedOver: [Pass] = []
    while active.count < mostActive, var pass = pending.popLast() {
      // One replica of a partition in motion at a time.
      let isTaken = pass.kind.isPartOfMove && active.contains { $0.partition == pass.partition && $0.kind.isPartOfMove }
      if isTaken || isPaused && isMove(pass) {
        passedOver.append(pass)
        continue
      }
      if !mayStart(pass) {
        pause(&pass, now)
        continue
      }
      pass.stage = .starting
      active.append(pass)
      begin(active.count - 1, now, &effects)
    }
    pending += passedOver.reversed()
  }

  private mutating func begin(_ index: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    let pass = active[index]
    switch pass.kind {
    case .retire where !pass.isSealed: seal(index, &effects)
    case .fill(let target) where !pass.isCompared:
      guard let reference = wholeReplica(of: pass.partition, but: target) else { return list(index, now, &effects) }
      active[index].gcEpoch = view.gcEpoch
      active[index].stage = .comparing
      active[index].layoutVersion = view.layout.version
      let request = open(index, .compare(reference: reference))
      effects.append(.compare(request, target: target, reference: reference, partition: pass.partition))
    default: list(index, now, &effects)
    }
  }

  /// A live replica that has all of the partition; the partition decides which, so that many fills ask many nodes.
  private func wholeReplica(of partition: Int, but target: NodeID) -> NodeID? {
    let whole = view.layout.replicas(ofPartition: partition).filter {
      $0 != target && isWhole($0, partition) && view.liveness($0) == .alive
    }
    return whole.isEmpty ? nil : whole[partition % whole.count]
  }

  private func isWhole(_ node: NodeID, _ partition: Int) -> Bool {
    view.layout.replicas(ofPartition: partition).contains(node) && !(view.fillingRow(partition)?.targets.contains(node) ?? false)
  }

  /// A node that comes back mostly has what it had: equal digests spare listing and asking. What a whole replica lacks has a repair row,
  /// which looks at every replica.
  mutating func compared(_ request: RepairRequest, _ isEqual: Bool?, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, detail) = close(request), case .fill(let target) = active[index].kind else { return }
    active[index].isCompared = true
    // A replica that turned out to have lost a disk meanwhile vouches for nobody.
    guard isEqual == true, case .compare(let reference) = detail, isWhole(reference, active[index].partition) else {
      return list(index, now, &effects)
    }
    fillsByDigest += 1
    markFilled(index, target, &effects)
  }

  /// Whether the nodes that the pass cannot do without are there.
  private func mayStart(_ pass: Pass) -> Bool {
    switch pass.kind {
    case .fill(let target): return view.liveness(target) == .alive
    case .retire(let source):
      // With the observer in doubt, nothing is given up.
      guard !view.isBraked, view.liveness(source) == .alive else { return false }
      return view.layout.replicas(ofPartition: pass.partition).allSatisfy { view.liveness($0) == .alive }
    case .rows, .recheck: return true
    }
  }

  mutating func list(_ index: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    active[index].stage = .listing
    active[index].layoutVersion = view.layout.version
    // A fill is settled as a whole, the others page by page.
    if active[index].after == nil || !active[index].isFill { active[index].gcEpoch = view.gcEpoch }
    if let block = active[index].only {
      active[index].isLastPage = true
      check(index, blocks: [block], now, &effects)
      return
    }
    let request = open(index, .list)
    let pass = active[index]
    let limit = pageLimit(pass)
    switch pass.kind {
    case .rows: effects.append(.listRepairs(request, after: pass.after, limit: limit))
    case .retire(let source):
      effects.append(.listHeld(request, node: source, partition: pass.partition, after: pass.after, limit: limit))
    case .fill, .recheck: effects.append(.list(request, partition: pass.partition, after: pass.after, limit: limit))
    }
  }

  private func pageLimit(_ pass: Pass) -> Int {
    if case .retire = pass.kind { return configuration.retireBlocks }
    return configuration.pageBlocks
  }

  mutating func listed(_ request: RepairRequest, _ blocks: [RepairBlock]?, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, _) = close(request) else { return }
    guard let blocks else { return retreat(index, now) }
    active[index].isLastPage = blocks.count < pageLimit(active[index])
    check(index, blocks: blocks, now, &effects)
  }

  mutating func heldListed(_ request: RepairRequest, _ page: HeldPage?, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, _) = close(request) else { return }
    guard let page else { return retreat(index, now) }
    active[index].mark = page.mark
    active[index].isLastPage = page.blocks.count < pageLimit(active[index])
    check(index, blocks: page.blocks, now, &effects)
  }

  // MARK: Checking

  private mutating func check(_ index: Int, blocks: [RepairBlock], _ now: MonotonicTime, _ effects: inout [Effect]) {
    active[index].stage = .checking
    active[index].entries = blocks.map { entry(for: $0, kind: active[index].kind) }
    let readers = readers(active[index])
    ask(index, reading: readers, of: { entry in entry.targets.filter { $0.status == .unknown }.map(\.node) }, &effects)
    advance(index, now, &effects)
  }

  /// The nodes that have to read their copies back for this pass to believe them; nil: all.
  private func readers(_ pass: Pass) -> [NodeID]? {
    switch pass.kind {
    case .recheck: return nil
    case .fill, .rows: return []
    case .retire:
      // Where it is not known who took the source's place, everybody reads.
      let arrivals = view.fillingRow(pass.partition)?.arrivals ?? []
      return arrivals.isEmpty ? nil : arrivals
    }
  }

  private func entry(for block: RepairBlock, kind: Pass.Kind) -> Pass.Entry {
    let partition = block.id.partition(bits: view.layout.partitionBits)
    let row = view.fillingRow(partition)
    let replicas = view.layout.replicas(ofPartition: partition)
    let nodes: [NodeID]
    switch kind {
    case .fill(let target): nodes = [target]
    case .rows, .retire: nodes = replicas
    case .recheck(let only): nodes = replicas.filter { !(row?.targets.contains($0) ?? false) && (only == nil || only == $0) }
    }
    let targets = nodes.map { Pass.Target(node: $0, status: view.liveness($0) == .alive ? .unknown : .unreachable) }
    var assumed = view.holders(partition)
    for stray in block.strays where !assumed.contains(stray) { assumed.append(stray) }
    var entry = Pass.Entry(block: block, targets: targets, assumed: assumed)
    if case .retire(let source) = kind { entry.confirmed = [source] }
    return entry
  }

  /// One question per node, about all blocks of the page that concern it.
  ///
  /// - Parameter readers: who reads its copies back; nil: all.
  private mutating func ask(_ index: Int, reading readers: [NodeID]?, of nodes: (Pass.Entry) -> [NodeID], _ effects: inout [Effect]) {
    var questions: [(node: NodeID, entries: [Int])] = []
    for (number, entry) in active[index].entries.enumerated() {
      for node in nodes(entry) {
        let place = questions.partitionPoint { $0.node < node }
        if place < questions.count && questions[place].node == node {
          questions[place].entries.append(number)
        } else {
          questions.insert((node, [number]), at: place)
        }
      }
    }
    for (node, entries) in questions {
      let request = open(index, .check(node: node, entries: entries))
      let reading = readers?.contains(node) ?? true
      if reading, case .retire = active[index].kind { moveBucket.take(entries.reduce(0) { $0 + active[index].entries[$1].block.size }) }
      effects.append(.check(request, node: node, blocks: entries.map { active[index].entries[$0].block.id }, reading: reading))
    }
  }

  mutating func checked(_ request: RepairRequest, _ outcomes: [RepairCheck]?, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, detail) = close(request), case .check(let node, let numbers) = detail else { return }
    let answers = outcomes?.count == numbers.count ? outcomes : nil
    for (position, number) in numbers.enumerated() {
      apply(answers?[position], of: node, to: &active[index].entries[number])
    }
    if case .recheck = active[index].kind, answers != nil { note { $0.blocksChecked += numbers.count } }
    advance(index, now, &effects)
  }

  private func apply(_ outcome: RepairCheck?, of node: NodeID, to entry: inout Pass.Entry) {
    let target = entry.targets.firstIndex { $0.node == node }
    switch outcome {
    case nil:
      if let target { entry.targets[target].status = .unreachable }
    case .present:
      if let target { entry.targets[target].status = .present }
      if !entry.confirmed.contains(node) { entry.confirmed.append(node) }
    case .missing, .damaged:
      if let target { entry.targets[target].status = .missing }
      if !entry.without.contains(node) { entry.without.append(node) }
    }
  }

  // MARK: Going on

  /// Takes the pass to its next stage once nothing is outstanding.
  mutating func advance(_ index: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard active[index].outstanding == 0, active[index].copies.isEmpty else { return }
    switch active[index].stage {
    case .checking, .searching:
      active[index].stage = .copying
      planCopies(index)
      if active[index].copies.isEmpty { advance(index, now, &effects) }
    case .copying:
      if !search(index, &effects) { settle(index, now, &effects) }
    case .starting, .sealing, .comparing, .listing, .settling: break
    }
  }

  /// Blocks that no assumed source has are looked for on every live node, once.
  private mutating func search(_ index: Int, _ effects: inout [Effect]) -> Bool {
    let isLost = { (entry: Pass.Entry) in entry.isSourceMissing && !entry.isSearched && entry.block.isReferenced }
    guard active[index].entries.contains(where: isLost) else { return false }
    let live = view.members.filter { $0.liveness == .alive }.map(\.node)
    active[index].stage = .searching
    ask(index, reading: [], of: { entry in isLost(entry) ? live.filter { !entry.without.contains($0) } : [] }, &effects)
    let isAsked = active[index].outstanding > 0
    for number in active[index].entries.indices where isLost(active[index].entries[number]) {
      active[index].entries[number].isSearched = true
      guard isAsked else { continue }
      for target in active[index].entries[number].targets.indices
      where active[index].entries[number].targets[target].status == .failed {
        active[index].entries[number].targets[target].status = .missing
      }
    }
    return isAsked
  }

  // MARK: Requests

  mutating func open(_ index: Int, _ detail: RequestOwner.Detail) -> RepairRequest {
    let request = takeNumber()
    requests[request] = RequestOwner(pass: active[index].number, detail: detail)
    active[index].outstanding += 1
    return request
  }

  /// The pass that awaits this answer; nil when it was dropped meanwhile.
  mutating func close(_ request: RepairRequest) -> (index: Int, detail: RequestOwner.Detail)? {
    guard let owner = requests.removeValue(forKey: request) else { return nil }
    if case .copy(let target, let source, _) = owner.detail { load.end(target: target, source: source) }
    guard let index = active.firstIndex(where: { $0.number == owner.pass }) else { return nil }
    active[index].outstanding -= 1
    return (index, owner.detail)
  }

  /// Lets the pass rest; it begins its page again.
  mutating func pause(_ pass: inout Pass, _ now: MonotonicTime) {
    let doubled = configuration.firstBackoff * (1 << min(pass.attempts, 16))
    pass.wakeAt = now + min(doubled, configuration.lastBackoff)
    pass.attempts += 1
    pass.restart()
    waiting.append(pass)
  }

  mutating func retreat(_ index: Int, _ now: MonotonicTime) {
    var pass = active.remove(at: index)
    pause(&pass, now)
  }
}
