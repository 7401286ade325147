internal import BlockModel
internal import ClusterLogic

/// What the coordinator has a node do.
extension SimulatedNode {
  enum Command {
    case exist([BlockID])
    case verify([BlockID])
    case digest([Int])
    case list(partition: Int, after: BlockID?, limit: Int)
    case copy([RepairCopy])
    case seal([Int], layoutVersion: UInt64)
    case retire(partition: Int, blocks: [BlockID], mark: UInt64)
    case delete([BlockID])
    case listBelow(epoch: UInt64, partition: Int, after: BlockID?, limit: Int)
  }

  /// What a command was signed under.
  struct Signature {
    var layoutVersion: UInt64
    var gcEpoch: UInt64
    var expires: MonotonicTime
  }

  enum Reply {
    case checks([RepairCheck])
    /// `asides`: bad copies set aside and not replaced, in each partition.
    case digests([[BlockID]], asides: [Int], disks: [DiskID])
    case list([BlockID], mark: UInt64)
    case copies([RepairCopyOutcome])
    case deleted(Int)
    case listedBelow([BlockID], next: BlockID?)
    case done
    case refused
  }

  func perform(_ command: Command, _ signature: Signature, _ answer: @escaping (Reply) -> Void) {
    guard signature.expires > clock else { return answer(.refused) }
    rumouredLayout = max(rumouredLayout, signature.layoutVersion)
    // Before anything is answered under a newer layout, what is given up under an older one has ended, for good.
    let isNew = seals.observe(layoutVersion: signature.layoutVersion)
    keepSeals(isNew) { [unowned self] in
      wait({ $0.hasRetired(before: signature.layoutVersion) }) { isOver in
        isOver ? self.obey(command, signature, answer) : answer(.refused)
      }
    }
  }

  private func obey(_ command: Command, _ signature: Signature, _ reply: @escaping (Reply) -> Void) {
    let answer: (Reply) -> Void = { [unowned self] outcome in
      simulation.note("\(id) under \(signature.layoutVersion)/\(signature.gcEpoch): \(command) → \(outcome)")
      reply(outcome)
    }
    if command.asksAboutCopies, let view = knowledge.view {
      do throws(LayoutFence.Refusal) {
        try LayoutFence.checkQuestion(gcEpoch: signature.gcEpoch, knownEpoch: view.gcEpoch)
      } catch {
        rumouredEpoch = max(rumouredEpoch, signature.gcEpoch)
        return answer(.refused)
      }
    }
    switch command {
    case .exist(let blocks): answer(.checks(blocks.map { holds($0) ? .present : .missing }))
    case .verify(let blocks): answer(.checks(blocks.map(verify)))
    case .digest(let partitions):
      let asides = partitions.map { partition in stores.flatMap(\.setAside).count { $0.partition(bits: bits) == partition } }
      answer(.digests(partitions.map { blocks(inPartition: $0) }, asides: asides, disks: stores.map(\.disk)))
    case .list(let partition, let after, let limit):
      let page = blocks(inPartition: partition).filter { block in after.map { block > $0 } ?? true }.prefix(limit)
      answer(.list(Array(page), mark: seals.mark(of: partition)))
    case .copy(let items): copy(items, signature, [], answer)
    case .seal(let partitions, let version): seal(partitions, version, answer)
    case .retire(let partition, let blocks, let mark): retire(blocks, of: partition, mark: mark, signature, answer)
    case .delete(let blocks): delete(blocks, signature, answer)
    case .listBelow(let epoch, let partition, let after, let limit):
      let old = blocks(inPartition: partition).filter { block in
        stores.contains { $0.holds(block) && $0.copies[block].map { $0.gcEpoch < epoch } ?? false } && (after.map { block > $0 } ?? true)
      }
      let page = Array(old.prefix(limit))
      answer(.listedBelow(page, next: page.count == limit ? page.last : nil))
    }
  }

  private func verify(_ block: BlockID) -> RepairCheck {
    guard holds(block) else { return .missing }
    guard stores.contains(where: { $0.copies[block]?.isRotten == true }) else { return .present }
    setAside(block)
    return .damaged
  }

  // MARK: Copies

  /// Fetches one block after the other from other nodes.
  private func copy(
    _ items: [RepairCopy], _ signature: Signature, _ done: [RepairCopyOutcome], _ answer: @escaping (Reply) -> Void
  ) {
    guard done.count < items.count else { return answer(.copies(done)) }
    fetch(items[done.count], items[done.count].sources[...], .sourceMissing, signature) { [unowned self] outcome in
      copy(items, signature, done + [outcome], answer)
    }
  }

  private func fetch(
    _ item: RepairCopy, _ sources: ArraySlice<NodeID>, _ worst: RepairCopyOutcome, _ signature: Signature,
    _ then: @escaping (RepairCopyOutcome) -> Void
  ) {
    if holds(item.block) { return then(.present) }
    guard !isFull else { return then(.full) }
    guard let first = sources.first else { return then(worst) }
    guard let source = simulation.node(first) else { return fetch(item, sources.dropFirst(), worst, signature, then) }
    simulation.call(process, source.process, within: .seconds(5)) {
      source.record(item.block, $0)
    } then: { [unowned self] (result: Result<Bool, Failure>?) in
      switch result {
      case .success?:
        // What came meanwhile from elsewhere is as good.
        if holds(item.block) { return then(.present) }
        append(item.block, gcEpoch: signature.gcEpoch) { _ in then(.copied) }
      case .failure(.notFound)?: fetch(item, sources.dropFirst(), worst, signature, then)
      case .failure?, nil: fetch(item, sources.dropFirst(), .failed, signature, then)
      }
    }
  }

  // MARK: Seals

  /// Runs `then` when all that the ledger says is on the disk.
  private func keepSeals(_ isNew: Bool, _ then: @escaping () -> Void) {
    if isNew { sealChange += 1 }
    let change = sealChange
    guard keptChange < change, bug != .forgetsSeals else { return then() }
    simulation.after(.milliseconds(Int64(1 + simulation.diskRandom.below(15))), process) { [unowned self] in
      if keptChange < sealChange {
        keptSeals = KeptSeals(layoutVersion: seals.layoutVersion, rows: seals.rows)
        keptChange = sealChange
      }
      then()
    }
  }

  private func wait(_ isOver: @escaping (SealLedger) -> Bool, tries: Int = 400, _ then: @escaping (Bool) -> Void) {
    if isOver(seals) { return then(true) }
    guard tries > 0 else { return then(false) }
    simulation.after(.milliseconds(10), process) { [unowned self] in wait(isOver, tries: tries - 1, then) }
  }

  private func seal(_ partitions: [Int], _ version: UInt64, _ answer: @escaping (Reply) -> Void) {
    if bug == .ignoresSeals {
      for partition in partitions { simulation.noteSealed(self, partition, version) }
      return answer(.done)
    }
    keepSeals(seals.seal(partitions, layoutVersion: version)) { [unowned self] in
      wait({ $0.isQuiet(partitions, before: version) }) { isQuiet in
        if isQuiet { for partition in partitions { self.simulation.noteSealed(self, partition, version) } }
        answer(isQuiet ? .done : .refused)
      }
    }
  }

  // MARK: Giving up

  private func retire(
    _ blocks: [BlockID], of partition: Int, mark: UInt64, _ signature: Signature, _ answer: @escaping (Reply) -> Void
  ) {
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkRetirement(
        by: id, of: partition, bits: bits, layoutVersion: signature.layoutVersion, knowing: knowledge.view?.layout)
    } catch { return answer(.refused) }
    let life = process.incarnation
    if bug != .ignoresSeals {
      let mark = bug == .ignoresMarks ? seals.mark(of: partition) : mark
      do throws(SealLedger.Refusal) {
        try seals.beginRetiring(partition, layoutVersion: signature.layoutVersion, mark: mark)
      } catch { return answer(.refused) }
    }
    var left = 0
    let finish: () -> Void = { [unowned self] in
      if process.incarnation == life, bug != .ignoresSeals { seals.endRetiring(partition, layoutVersion: signature.layoutVersion) }
      answer(.done)
    }
    let held = blocks.filter { store(of: $0) != nil }
    guard !held.isEmpty else { return finish() }
    left = held.count
    for block in held {
      guard let store = store(of: block), let copy = store.copies[block] else { continue }
      simulation.checkRetirement(of: block, copy, by: self, under: signature.layoutVersion)
      change(store, .remove(block)) {
        left -= 1
        if left == 0 { finish() }
      }
    }
  }

  private func delete(_ blocks: [BlockID], _ signature: Signature, _ answer: @escaping (Reply) -> Void) {
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkDeletion(
        layoutVersion: signature.layoutVersion, gcEpoch: signature.gcEpoch, knownLayout: knowledge.view?.layout.version ?? 0,
        knownEpoch: knowledge.view?.gcEpoch ?? 0)
    } catch { return answer(.refused) }
    var left = 1
    var deleted = 0
    let finish: () -> Void = {
      left -= 1
      if left == 0 { answer(.deleted(deleted)) }
    }
    for block in blocks {
      for store in stores where store.holds(block) {
        guard let copy = store.copies[block], copy.gcEpoch < signature.gcEpoch || bug == .deletesWithoutEpochTest else { continue }
        simulation.checkDeletion(of: block, copy, at: self, under: signature.gcEpoch)
        change(
          store, .quarantine(block, below: bug == .deletesWithoutEpochTest ? .max : signature.gcEpoch, at: simulation.now), then: finish)
        left += 1
        deleted += 1
      }
    }
    finish()
  }
}

extension SimulatedNode.Command {
  /// Its answer says which copies are here.
  fileprivate var asksAboutCopies: Bool {
    switch self {
    case .exist, .digest, .verify, .copy: true
    default: false
    }
  }
}
