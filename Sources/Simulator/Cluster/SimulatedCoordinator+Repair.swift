internal import BlockModel
internal import ClusterLogic

/// Does what `RepairScheduler` decides, as `RepairDriver` does: each request is answered once, with nothing where nothing came back.
extension SimulatedCoordinator {
  func feed(_ event: RepairScheduler.Event) {
    if simulation.trace != nil, event != .timer, event != .repairsWaiting { simulation.note("repair hears \(event)") }
    for effect in scheduler.step(event, now: now) {
      simulation.note("repair wants \(effect)")
      begin(effect)
    }
  }

  /// Asks a node; nil when no answer came in time, or it refused.
  /// - Parameter version: asks only while this is the layout.
  func ask(
    _ node: NodeID, _ command: SimulatedNode.Command, within deadline: Duration = .seconds(10), ifLayout version: UInt64? = nil,
    _ then: @escaping (SimulatedNode.Reply?) -> Void
  ) {
    guard version.map({ $0 == layout.version }) ?? true else { return soon { then(nil) } }
    send(node, command, within: deadline, gcEpoch: metadata.gcEpoch) { reply in
      if case .refused? = reply { then(nil) } else { then(reply) }
    }
  }

  /// - Parameter then: told of refusals, too.
  func send(
    _ node: NodeID, _ command: SimulatedNode.Command, within deadline: Duration, gcEpoch: UInt64,
    _ then: @escaping (SimulatedNode.Reply?) -> Void
  ) {
    guard let target = simulation.node(node) else { return soon { then(nil) } }
    let signature = SimulatedNode.Signature(
      layoutVersion: layout.version, gcEpoch: gcEpoch, expires: now + .seconds(settings.urlSeconds))
    nextQuestion += 1
    let number = nextQuestion
    var isAnswered = false
    let finish: (SimulatedNode.Reply?) -> Void = { [unowned self] reply in
      guard !isAnswered else { return }
      isAnswered = true
      questions.removeAll { $0.number == number }
      then(reply)
    }
    questions.append((number, node, { [unowned self] in soon { finish(nil) } }))
    simulation.call(process, target.process, within: deadline) {
      target.perform(command, signature, $0)
    } then: {
      finish($0)
    }
  }

  func soon(_ body: @escaping () -> Void) {
    simulation.after(.milliseconds(Int64(1 + simulation.networkRandom.below(10))), process, body)
  }

  private func begin(_ effect: RepairScheduler.Effect) {
    switch effect {
    case .list(let request, _, _, _), .listRepairs(let request, _, _), .listHeld(let request, _, _, _, _):
      if let pass = scheduler.pass(awaiting: request) { lacks[pass] = nil }
    default: break
    }
    switch effect {
    case .list(let request, let partition, let after, let limit):
      soon { [unowned self] in
        feed(.listed(request, metadata.liveBlocks(inPartition: partition, after: after, limit: limit)))
      }
    case .listRepairs(let request, let after, let limit):
      soon { [unowned self] in feed(.repairsListed(request, metadata.repairRows(after: after, limit: limit))) }
    case .check(let request, let node, let blocks, let reading): check(request, node, blocks, reading: reading)
    case .copy(let request, let target, let items): copy(request, target, items)
    case .compare(let request, let target, let reference, let partition): compare(request, target, reference, partition)
    case .seal(let request, let source, let partition, let version):
      ask(source, .seal([partition], layoutVersion: version), ifLayout: version) { [unowned self] reply in
        if case .done? = reply { feed(.sealed(request, true)) } else { feed(.sealed(request, false)) }
      }
    case .listHeld(let request, let node, let partition, let after, let limit):
      ask(node, .list(partition: partition, after: after, limit: limit)) { [unowned self] reply in
        guard case .list(let blocks, let mark)? = reply else { return feed(.heldListed(request, nil)) }
        let held = blocks.map { RepairBlock(id: $0, size: simulation.size(of: $0), isReferenced: false) }
        feed(.heldListed(request, HeldPage(blocks: held, mark: mark)))
      }
    case .voidReceipts(let request, let source, let blocks, let version, let epoch):
      soon { [unowned self] in
        feed(.settled(request, metadata.voidReceipts(of: source, for: blocks, layoutVersion: version, gcEpoch: epoch)))
      }
    case .retire(let request, let source, let partition, let blocks, let mark, let version):
      let command = SimulatedNode.Command.retire(partition: partition, blocks: blocks, mark: mark)
      ask(source, command, within: .seconds(30), ifLayout: version) { [unowned self] reply in
        if case .done? = reply { feed(.retired(request, true)) } else { feed(.retired(request, false)) }
      }
    case .markRetired(let request, let partition, let source, let version):
      soon { [unowned self] in
        let isDone = mark(partition, layoutVersion: version) { $0.retire(source) }
        soon { [unowned self] in feed(.settled(request, isDone)) }
      }
    case .markFilled(let request, let partition, let target, let version, let epoch):
      let known = losses[target]
      soon { [unowned self] in
        let isDone = known == losses[target] && mark(partition, layoutVersion: version, filledIn: epoch) { $0.fill(target) }
        if isDone { simulation.checkFilled(partition, target, under: version) }
        soon { [unowned self] in feed(.settled(request, isDone)) }
      }
    case .clearRepairs(let request, let blocks, let version, let epoch):
      soon { [unowned self] in
        let cleared = metadata.clearRepairs(blocks, layoutVersion: version, gcEpoch: epoch)
        for block in cleared ?? [] { simulation.checkCleared(block) }
        feed(.settled(request, cleared != nil))
      }
    }
  }

  private func check(_ request: RepairRequest, _ node: NodeID, _ blocks: [BlockID], reading: Bool) {
    if bug == .retiresBeforeVerifying && reading || bug == .marksFilledUnseen {
      return soon { [unowned self] in feed(.checked(request, blocks.map { _ in .present })) }
    }
    let pass = scheduler.pass(awaiting: request) ?? 0
    // Only the answer to this question counts.
    for block in blocks { lacks[pass]?[block]?.removeAll { $0 == node } }
    ask(node, reading ? .verify(blocks) : .exist(blocks), within: reading ? .seconds(60) : .seconds(10)) { [unowned self] reply in
      guard case .checks(let checks)? = reply else {
        return feed(.checked(request, bug == .takesSilenceForMissing ? blocks.map { _ in .missing } : nil))
      }
      for (block, check) in zip(blocks, checks) where check != .present { lacks[pass, default: [:]][block, default: []].append(node) }
      feed(.checked(request, checks))
    }
  }

  private func copy(_ request: RepairRequest, _ target: NodeID, _ items: [RepairCopy]) {
    simulation.checkCopies(items, to: target, lacking: scheduler.pass(awaiting: request).flatMap { lacks[$0] } ?? [:])
    ask(target, .copy(items), within: .seconds(90)) { [unowned self] reply in
      guard case .copies(let outcomes)? = reply else { return feed(.copied(request, nil)) }
      simulation.totals.copies += outcomes.count { $0 == .copied }
      feed(.copied(request, outcomes))
    }
  }

  /// Both are asked at once; with one silent there is no answer.
  private func compare(_ request: RepairRequest, _ target: NodeID, _ reference: NodeID, _ partition: Int) {
    if bug == .marksFilledUnseen { return soon { [unowned self] in feed(.compared(request, true)) } }
    var answers: [[BlockID]?] = []
    for node in [target, reference] {
      ask(node, .digest([partition])) { [unowned self] reply in
        // What is set aside there may be missing here too, and only a list of what is live tells.
        if case .digests(let digests, let asides, let disks)? = reply, asides.allSatisfy({ $0 == 0 }) || bug == .comparesDespiteAsides,
          member(node)?.record.disks.allSatisfy(disks.contains) ?? false
        {
          answers.append(digests.first)
        } else {
          answers.append(nil)
        }
        guard answers.count == 2 else { return }
        guard let first = answers[0], let second = answers[1] else { return feed(.compared(request, nil)) }
        feed(.compared(request, first == second))
      }
    }
  }
}
