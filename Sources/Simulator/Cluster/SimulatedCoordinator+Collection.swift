internal import BlockModel
internal import ClusterLogic

/// Garbage collection: `GarbageCollector` decides over a run; this begins runs and does what they say, as `ClusterService` and
/// `GarbageDriver` do.
///
/// What must hold: each request of a run is answered once, and to nobody when the run is over; a delete is signed with the epoch of its
/// run.
struct SimulatedCollection {
  var collector: GarbageCollector?
  var nodes: [NodeID] = []
  var areAll = false
  /// The run that an earlier process left open was taken over, or there was none.
  var hasAdopted = false
  var lookAt = MonotonicTime.zero
}

extension SimulatedCoordinator {
  private static let lookInterval: Duration = .seconds(1)

  /// Given by each tick: feeds the run under way, takes over what an earlier process began, and begins what is due.
  func tendGarbage() {
    if let run = collection.collector?.run.number {
      let (nodes, areAll) = garbageMembers
      if (nodes, areAll) != (collection.nodes, collection.areAll) {
        (collection.nodes, collection.areAll) = (nodes, areAll)
        collect(.nodes(nodes, areAll: areAll), run)
      }
      return collect(.timer, run)
    }
    guard layout.version > 0, now >= collection.lookAt else { return }
    collection.lookAt = now + SimulatedCoordinator.lookInterval
    guard collection.hasAdopted else {
      collection.hasAdopted = true
      if let run = metadata.adoptGarbageRun(generation) { drive(run.resumed) }
      return
    }
    guard metadata.collectedAt.map({ now - $0 >= .seconds(settings.collectSeconds) }) ?? true,
      let run = metadata.beginGarbageRun(partitions: layout.partitionCount, generation: generation, now: now)
    else { return }
    touch()
    drive(run)
  }

  /// Nodes that answer, and whether all that the layout names are among them.
  private var garbageMembers: ([NodeID], Bool) {
    let nodes = members.filter { $0.wasHeard && liveness($0.record.id) == .alive }.map(\.record.id)
    return (nodes, layout.nodes.allSatisfy { nodes.contains($0.id) })
  }

  private func drive(_ run: GarbageRun) {
    (collection.nodes, collection.areAll) = garbageMembers
    var configuration = GarbageCollector.Configuration()
    configuration.grace = .seconds(settings.urlSeconds / 2)
    configuration.lanes = 2
    configuration.pageBlocks = 6
    configuration.batchBlocks = 4
    configuration.blocksPerSecond = 50
    configuration.retryAfter = .seconds(1)
    configuration.saveInterval = .seconds(2)
    let begun = metadata.collectedAt ?? now
    let left = run.phase == .settling ? max(.zero, configuration.grace - (now - begun)) : .zero
    collection.collector = GarbageCollector(
      run: run, purpose: .collect, nodes: collection.nodes, areAll: collection.areAll, configuration: configuration, settleFor: left,
      now: now)
    collect(.timer, run.number)
  }

  /// - Parameter run: that the event is for: answers to an earlier one find nobody.
  private func collect(_ event: GarbageCollector.Event, _ run: UInt64) {
    guard collection.collector?.run.number == run, let effects = collection.collector?.step(event, now: now) else { return }
    for effect in effects {
      simulation.note("collection wants \(effect)")
      begin(effect)
    }
  }

  private func begin(_ effect: GarbageCollector.Effect) {
    guard let (run, epoch) = collection.collector.map({ ($0.run.number, $0.run.epoch) }) else { return }
    switch effect {
    case .count(let request, let node, let partitions):
      question(node, .digest(Array(partitions)), .seconds(60), epoch, run) { reply in
        guard case .digests(let digests, _, _) = reply else { return nil }
        return digests.map(\.count)
      } event: {
        .counted(request, $0)
      }
    case .list(let request, let node, let partition, let after, let limit):
      question(node, .listBelow(epoch: epoch, partition: partition, after: after, limit: limit), .seconds(30), epoch, run) { reply in
        guard case .listedBelow(let blocks, let next) = reply else { return nil }
        return GarbagePage(copies: blocks.map { GarbageCopy(block: $0, storedBytes: 1) }, next: next)
      } event: {
        .listed(request, $0)
      }
    case .judge(let request, let blocks):
      soon { [unowned self] in collect(.judged(request, metadata.garbageVerdicts(on: blocks, below: epoch)), run) }
    case .authorize(let request, let blocks):
      soon { [unowned self] in
        let granted = metadata.authorizeDeletes(of: blocks, run: run, generation: generation)
        for block in granted ?? [] { simulation.checkDecision(block) }
        collect(.authorized(request, granted), run)
      }
    case .delete(let request, let node, let blocks):
      question(node, .delete(blocks), .seconds(30), epoch, run) { reply in
        guard case .deleted(let count) = reply else { return nil }
        return count
      } event: {
        .deleted(request, $0)
      }
    case .forget(let request):
      soon { [unowned self] in collect(.forgotten(request, metadata.forgetGarbage(run: run, generation: generation, limit: 8)), run) }
    case .save(let request, let record):
      soon { [unowned self] in collect(.saved(request, metadata.saveGarbageRun(record, generation: generation)), run) }
    case .ended(let record):
      _ = metadata.saveGarbageRun(record, generation: generation)
      touch()
      collection.collector = nil
      simulation.totals.collections += 1
      simulation.checkRun(record)
    }
  }

  /// Asks a node that lives.
  private func question<Value: Sendable>(
    _ node: NodeID, _ command: SimulatedNode.Command, _ deadline: Duration, _ epoch: UInt64, _ run: UInt64,
    read: @escaping (SimulatedNode.Reply) -> Value?, event: @escaping (GarbageAnswer<Value>) -> GarbageCollector.Event
  ) {
    let answer: (GarbageAnswer<Value>) -> Void = { [unowned self] answer in collect(event(answer), run) }
    guard liveness(node) == .alive else { return soon { answer(.silent) } }
    send(node, command, within: deadline, gcEpoch: epoch) { reply in
      guard let reply else { return answer(.silent) }
      answer(read(reply).map { .done($0) } ?? .refused("it will not"))
    }
  }
}
