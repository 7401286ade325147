internal import BlockModel

/// Copying what is missing, and settling a page.
extension RepairScheduler {
  // MARK: Planning

  /// Puts the page's missing copies into commands, fewest surviving zones first.
  mutating func planCopies(_ index: Int) {
    planned.append(active[index].number)
    var wanted: [(zones: Int, number: Int, target: NodeID)] = []
    for number in active[index].entries.indices {
      let entry = active[index].entries[number]
      let survivors = liveHolders(entry)
      for target in entry.targets.indices where entry.targets[target].status == .missing {
        // The brake: while the observer doubts itself, only a last survivor is worth moving for.
        if view.isBraked && survivors.count > 1 {
          active[index].entries[number].targets[target].status = .unreachable
        } else if sources(of: entry, for: entry.targets[target].node).isEmpty {
          active[index].entries[number].targets[target].status = .failed
          active[index].entries[number].isSourceMissing = true
        } else {
          wanted.append((zoneCount(survivors), number, entry.targets[target].node))
        }
      }
    }
    wanted.sort { ($0.zones, $0.target, $0.number) < ($1.zones, $1.target, $1.number) }
    for (_, number, target) in wanted { queue(index, number, target) }
  }

  private mutating func queue(_ index: Int, _ number: Int, _ target: NodeID) {
    let place = active[index].entries[number].targets.firstIndex { $0.node == target }
    if let place { active[index].entries[number].targets[place].status = .copying }
    if let last = active[index].copies.lastIndex(where: { $0.target == target }) {
      let bytes = active[index].copies[last].entries.reduce(0) { $0 + active[index].entries[$1].block.size }
      if active[index].copies[last].entries.count < configuration.copyBlocks,
        bytes + active[index].entries[number].block.size <= copyBytes(active[index])
      {
        active[index].copies[last].entries.append(number)
        return
      }
    }
    active[index].copies.append((target, [number]))
  }

  /// Bytes of one command. Where data moves slowly beside clients, it goes in small pieces: a burst is what they would notice.
  private func copyBytes(_ pass: Pass) -> Int {
    isMove(pass) ? min(configuration.copyBytes, Int(moveBucket.bytesPerSecond / 8)) : configuration.copyBytes
  }

  private func liveHolders(_ entry: Pass.Entry) -> [NodeID] {
    (entry.confirmed + entry.assumed.filter { !entry.confirmed.contains($0) && !entry.without.contains($0) })
      .filter { view.liveness($0) == .alive }
  }

  /// Where the target may fetch it: who confirmed it first, turned by the block so that the load spreads; then who should have it;
  /// suspects last.
  private func sources(of entry: Pass.Entry, for target: NodeID) -> [NodeID] {
    let confirmed = entry.confirmed.filter { $0 != target }
    let assumed = entry.assumed.filter { $0 != target && !entry.confirmed.contains($0) && !entry.without.contains($0) }
    let order = turned(confirmed, by: entry.block.id) + turned(assumed, by: entry.block.id)
    return Array((order.filter { view.liveness($0) == .alive } + order.filter { view.liveness($0) == .suspect }).prefix(4))
  }

  private func turned(_ nodes: [NodeID], by block: BlockID) -> [NodeID] {
    guard nodes.count > 1 else { return nodes }
    let shift = Int(block.words.3 % UInt64(nodes.count))
    return Array(nodes[shift...] + nodes[..<shift])
  }

  // MARK: Sending

  /// Sends what may begin, of every page: after time has passed, or the cluster has changed.
  mutating func dispatchAllCopies(_ now: MonotonicTime, _ effects: inout [Effect]) {
    blocked.removeAll()
    for index in active.indices where !active[index].copies.isEmpty { dispatchCopies(index, now, &effects) }
  }

  /// Sends what may begin now because a copy ended, or because the pages are new; all others wait for the same as before.
  mutating func dispatchCopies(after freed: [NodeID], of passes: [UInt64], _ now: MonotonicTime, _ effects: inout [Effect]) {
    var numbers = passes
    for node in freed { numbers += blocked.takePasses(waitingFor: node) }
    guard !numbers.isEmpty else { return }
    // In the order of urgency, which is that of the active ones.
    let indices = numbers.compactMap { number in active.firstIndex { $0.number == number } }.sorted()
    var last = -1
    for index in indices where index != last && !active[index].copies.isEmpty {
      last = index
      dispatchCopies(index, now, &effects)
    }
  }

  private mutating func dispatchCopies(_ index: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    var kept: [(target: NodeID, entries: [Int])] = []
    // Commands of one target stand together.
    var busyTarget: NodeID?
    for command in active[index].copies {
      if command.target == busyTarget {
        kept.append(command)
        continue
      }
      guard load.copies(at: command.target) < configuration.copiesPerNode else {
        busyTarget = command.target
        blocked.add(active[index].number, waitingFor: command.target)
        kept.append(command)
        continue
      }
      // More bytes come with time only.
      guard isOpen(active[index], now) else {
        kept.append(command)
        continue
      }
      let items = command.entries.map { number in
        let entry = active[index].entries[number]
        return RepairCopy(block: entry.block.id, size: entry.block.size, sources: sources(of: entry, for: command.target))
      }
      let source = items.first?.sources.first
      if let source, load.reads(from: source) >= configuration.readsPerNode {
        blocked.add(active[index].number, waitingFor: source)
        kept.append(command)
        continue
      }
      take(items.reduce(0) { $0 + $1.size }, for: active[index])
      load.begin(target: command.target, source: source)
      let request = open(index, .copy(target: command.target, source: source, entries: command.entries))
      effects.append(.copy(request, target: command.target, items: items))
    }
    active[index].copies = kept
  }

  private mutating func isOpen(_ pass: Pass, _ now: MonotonicTime) -> Bool {
    let isOpen = bucket.isOpen(now)
    return isMove(pass) ? moveBucket.isOpen(now) && isOpen : isOpen
  }

  private mutating func take(_ bytes: Int, for pass: Pass) {
    bucket.take(bytes)
    if isMove(pass) { moveBucket.take(bytes) }
  }

  mutating func copied(_ request: RepairRequest, _ outcomes: [RepairCopyOutcome]?, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, detail) = close(request), case .copy(let target, _, let numbers) = detail else { return }
    let answers = outcomes?.count == numbers.count ? outcomes : nil
    let isMove = isMove(active[index])
    for (position, number) in numbers.enumerated() {
      var entry = active[index].entries[number]
      apply(answers?[position], at: target, to: &entry)
      active[index].entries[number] = entry
      if isMove && answers?[position] == .copied { movedBytes += Int64(entry.block.size) }
    }
    advance(index, now, &effects)
  }

  private mutating func apply(_ outcome: RepairCopyOutcome?, at node: NodeID, to entry: inout Pass.Entry) {
    guard let target = entry.targets.firstIndex(where: { $0.node == node }) else { return }
    switch outcome {
    case .copied:
      entry.targets[target].status = .present
      entry.confirmed.append(node)
      entry.without.removeAll { $0 == node }
      count(bytes: entry.block.size)
    // It said before that it has none: only its answer to another check counts.
    case .present: entry.targets[target].status = .unreachable
    case .sourceMissing:
      entry.targets[target].status = .failed
      entry.isSourceMissing = true
    case .full: entry.targets[target].status = .full
    case .failed, nil: entry.targets[target].status = .unreachable
    }
  }

  private mutating func count(bytes: Int) {
    copiedBlocks += 1
    copiedBytes += Int64(bytes)
    note {
      $0.blocksCopied += 1
      $0.bytesCopied += Int64(bytes)
    }
  }

  // MARK: Settling

  /// The page is as complete as it can be now.
  mutating func settle(_ index: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    let left = active[index].entries.filter { !$0.isComplete && isDue($0) }
    switch active[index].kind {
    case .rows: settleRows(index, left: left, now, &effects)
    case .fill(let target):
      active[index].isStuck = !left.isEmpty && left.allSatisfy(isStuck)
      guard left.isEmpty else {
        if active[index].isStuck { report(left) }
        return retreat(index, now)
      }
      guard active[index].isLastPage else { return nextPage(index, now, &effects) }
      markFilled(index, target, &effects)
    case .recheck: settleRecheck(index, left: left, now, &effects)
    case .retire(let source): settleRetirement(index, source, now, &effects)
    }
  }

  /// A replica that is down is seen again when it is back or replaced; what else failed is tried again here, so many times.
  private mutating func settleRecheck(_ index: Int, left: [Pass.Entry], _ now: MonotonicTime, _ effects: inout [Effect]) {
    let isFailing = left.contains { $0.targets.contains { $0.status == .failed || $0.status == .full } }
    let isSilent = left.contains { $0.targets.contains { $0.status == .unreachable && view.liveness($0.node) == .alive } } && !view.isBraked
    let attempts = active[index].attempts
    if isFailing && attempts < configuration.recheckAttempts || isSilent && attempts < 3 * configuration.recheckAttempts {
      return retreat(index, now)
    }
    report(left.filter { entry in isSilent || entry.targets.contains { $0.status == .failed || $0.status == .full } })
    if !isSilent && left.contains(where: { $0.targets.contains { $0.status == .unreachable } }) { active[index].isUnseen = true }
    guard active[index].isLastPage else { return nextPage(index, now, &effects) }
    endRecheck(index)
  }

  /// A block that only an open upload pins may be nowhere yet.
  private func isDue(_ entry: Pass.Entry) -> Bool { entry.block.isReferenced || !entry.isSourceMissing }

  /// Every live node said that it does not have it; or the target has no space.
  private func isStuck(_ entry: Pass.Entry) -> Bool {
    entry.targets.allSatisfy { target in
      switch target.status {
      case .present, .full: true
      case .failed: view.members.allSatisfy { $0.liveness != .alive || entry.without.contains($0.node) }
      default: false
      }
    }
  }

  private mutating func report(_ entries: [Pass.Entry]) {
    for entry in entries.prefix(20) {
      let isFull = entry.targets.contains { $0.status == .full }
      let isSilent = entry.targets.contains { $0.status == .unreachable }
      let isDown = view.members.contains { $0.liveness != .alive }
      let reason =
        isFull
        ? "a node that should hold it is full"
        : isSilent ? "a node that should hold it does not answer" : isDown ? "no node that answers has it" : "no node has it"
      note { $0.fail("Block \(entry.block.id.hex) could not get all its copies: \(reason).") }
    }
  }

  mutating func nextPage(_ index: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    active[index].after = active[index].entries.last?.block.id ?? active[index].after
    if active[index].isFill { fillPages += 1 }
    if active[index].rowsLeft == 0 { active[index].attempts = 0 }
    var pass = active.remove(at: index)
    pass.entries = []
    // Back among the ready ones, behind the most urgent.
    pending.insert(pass, at: max(0, pending.count - 1))
  }

  private mutating func settleRows(_ index: Int, left: [Pass.Entry], _ now: MonotonicTime, _ effects: inout [Effect]) {
    active[index].rowsLeft += left.count
    active[index].rowsStuck += left.count(where: isStuck)
    report(left.filter(isStuck))
    let done = active[index].entries.filter { $0.isComplete || !isDue($0) }.map(\.block.id)
    active[index].stage = .settling
    guard !done.isEmpty else { return endRowsPage(index, now, &effects) }
    let request = open(index, .settle)
    effects.append(.clearRepairs(request, blocks: done, layoutVersion: active[index].layoutVersion, gcEpoch: active[index].gcEpoch))
  }

  private mutating func endRowsPage(_ index: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard active[index].isLastPage else { return nextPage(index, now, &effects) }
    rowsExist = active[index].rowsLeft > 0
    rowsAreStuck = rowsExist && active[index].rowsLeft == active[index].rowsStuck
    guard rowsExist else {
      active.remove(at: index)
      return
    }
    active[index].after = nil
    active[index].rowsLeft = 0
    active[index].rowsStuck = 0
    retreat(index, now)
  }

  mutating func settled(_ request: RepairRequest, _ isDone: Bool, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let (index, detail) = close(request) else { return }
    switch active[index].kind {
    case .rows:
      // Refused, the rows stay: the next pass finds them again.
      if !isDone { active[index].rowsLeft += 1 }
      endRowsPage(index, now, &effects)
    case .fill(let target):
      guard isDone else { return retreat(index, now) }
      let pass = active.remove(at: index)
      countFill()
      guard pass.viewsAtMark == views else { return addSteps() }
      change(pass.partition) { $0.fill(target) }
      beginRetirements(pass.partition)
    case .retire(let source):
      guard isDone else { return retreat(index, now) }
      if case .void = detail { return giveUp(index, source, now, &effects) }
      let pass = active.remove(at: index)
      retirementsDone += 1
      guard pass.viewsAtMark == views else { return addSteps() }
      change(pass.partition) { $0.retire(source) }
    case .recheck: retreat(index, now)
    }
  }

  mutating func markFilled(_ index: Int, _ target: NodeID, _ effects: inout [Effect]) {
    active[index].stage = .settling
    active[index].viewsAtMark = views
    let request = open(index, .settle)
    effects.append(
      .markFilled(
        request, partition: active[index].partition, target: target, layoutVersion: active[index].layoutVersion,
        gcEpoch: active[index].gcEpoch))
  }

  /// A view that came while a step was being marked as done was made before it or after it: the step that it still asks for may be a new
  /// one. Where it is not, doing it once more is quick.
  private mutating func addSteps() {
    addFills()
    addRetirements()
    sortPending()
  }
}
