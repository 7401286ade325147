internal import BlockModel
internal import ClusterLogic

/// Garbage collection as the design has it, in the simulator's own few lines: epoch, list, decide in one transaction, delete what is older.
///
/// What must hold: a block that is being deleted counts as missing, and only receipts of the new epoch count for it, until no command of
/// the collection can be obeyed any more.
struct SimulatedCollection {
  var epoch: UInt64 = 0
  var isRunning = false
}

extension SimulatedCoordinator {
  func collectLater() {
    // A collection that a former process began is ended first, when its commands have expired.
    let isUnfinished = metadata.known.contains { metadata.blocks[$0]?.deletingEpoch != nil }
    simulation.after(isUnfinished ? commandLife : .seconds(settings.collectSeconds), process) { [unowned self] in
      if isUnfinished { endCollection() }
      collect()
    }
  }

  /// How long after it was sent a command may be obeyed, at most: its URL's life by the slowest clock.
  private var commandLife: Duration { .seconds(settings.urlSeconds) + .milliseconds(2 * settings.skewMilliseconds + 10) }

  private func collect() {
    metadata.gcEpoch += 1
    collection = SimulatedCollection(epoch: metadata.gcEpoch, isRunning: true)
    touch()
    decide(0)
  }

  /// Partition by partition: what live nodes hold and nothing needs.
  private func decide(_ partition: Int) {
    guard partition < layout.partitionCount, layout.version > 0 else { return finish() }
    let nodes = members.map(\.record.id).filter { liveness($0) == .alive }
    var waiting = nodes.count
    var held: [BlockID] = []
    guard waiting > 0 else { return decide(partition + 1) }
    for node in nodes {
      ask(node, .list(partition: partition, after: nil, limit: 10_000)) { [unowned self] reply in
        if case .list(let blocks, _)? = reply { held += blocks.filter { !held.contains($0) } }
        waiting -= 1
        if waiting == 0 {
          delete(held.sorted(), from: nodes)
          decide(partition + 1)
        }
      }
    }
  }

  /// Decides in one transaction, then has nodes delete what is older than the epoch.
  private func delete(_ held: [BlockID], from nodes: [NodeID]) {
    let epoch = collection.epoch
    let candidates = held.filter { block in
      guard !metadata.isReferenced(block), bug == .ignoresLeases || !metadata.isLeased(block) else { return false }
      return metadata.blocks[block].map { $0.unreferencedEpoch < epoch } ?? true
    }
    guard !candidates.isEmpty else { return }
    for block in candidates {
      simulation.checkDecision(block)
      metadata.learn(block, size: simulation.size(of: block))
      metadata.blocks[block]?.deletingEpoch = epoch
      metadata.authorizations[block] = epoch
    }
    for node in nodes { ask(node, .delete(candidates)) { _ in } }
  }

  private func finish() {
    simulation.after(commandLife, process) { [unowned self] in
      endCollection()
      collectLater()
    }
  }

  /// No command of the collection is obeyed any more. A block that was uploaded anew meanwhile may have lost older copies.
  private func endCollection() {
    for block in metadata.known where metadata.blocks[block]?.deletingEpoch != nil {
      metadata.blocks[block]?.deletingEpoch = nil
      if metadata.isReferenced(block) {
        metadata.addRepairs([block])
      } else if !metadata.isLeased(block) {
        metadata.forget(block)
      }
    }
    collection.isRunning = false
    simulation.totals.collections += 1
  }
}
