internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Changes of the rows of a transition: which replicas lack a partition, and who still holds blocks of it besides.
///
/// What must hold: a row is read, changed, written and published by one caller at a time (`rows`), in the database first.
extension ClusterService {
  /// What a mark says of a partition.
  enum RowMark: Sendable, Equatable {
    case filled(partition: Int, target: NodeID, gcEpoch: UInt64)
    case retired(partition: Int, source: NodeID)

    var partition: Int {
      switch self {
      case .filled(let partition, _, _), .retired(let partition, _): partition
      }
    }

    var node: NodeID {
      switch self {
      case .filled(_, let node, _), .retired(_, let node): node
      }
    }

    var filled: FilledPartition? {
      guard case .filled(let partition, _, let gcEpoch) = self else { return nil }
      return FilledPartition(partition: partition, gcEpoch: gcEpoch)
    }

    func apply(to row: inout PlanFilling) {
      switch self {
      case .filled(_, let target, _): row.fill(target)
      case .retired(_, let source): row.retire(source)
      }
    }
  }

  /// Takes done steps off their rows. Answers whether it was done.
  /// - Parameter isCurrent: whether what the marks rest on still holds; asked while nobody else changes rows.
  func mark(_ marks: [RowMark], layoutVersion: UInt64, ifCurrent isCurrent: @escaping @Sendable () -> Bool) async -> Bool {
    await changeRows(layoutVersion: layoutVersion, filled: marks.compactMap(\.filled)) { state in
      guard isCurrent() else { return nil }
      var rows: [PlanFilling] = []
      for mark in marks {
        let place = rows.firstIndex { $0.partition == mark.partition }
        guard var row = place.map({ rows[$0] }) ?? state.fillingRow(mark.partition) else { continue }
        mark.apply(to: &row)
        if let place { rows[place] = row } else { rows.append(row) }
      }
      return rows
    }
  }

  /// Changes rows, in the database and then here, as long as the layout is this one.
  /// - Parameter body: the rows as they shall be; those that are done go. Nil changes nothing and is not done.
  /// - Returns: whether it was done; false is logged.
  func changeRows(
    layoutVersion: UInt64, filled: [FilledPartition] = [], _ body: @Sendable (ClusterState) -> [PlanFilling]?
  ) async -> Bool {
    await rows.enter()
    let isDone = await changeRowsAlone(layoutVersion, filled, body)
    await rows.leave()
    return isDone
  }

  private func changeRowsAlone(
    _ layoutVersion: UInt64, _ filled: [FilledPartition], _ body: @Sendable (ClusterState) -> [PlanFilling]?
  ) async -> Bool {
    let found = (try? withState { state in state.layout.version == layoutVersion ? body(state) : nil }) ?? nil
    guard let changed = found else { return false }
    guard !changed.isEmpty else { return true }
    do throws(MetadataError) {
      try await metadata.updateFilling(changed.map { FillingPartition($0) }, filled: filled, layoutVersion: layoutVersion)
    } catch {
      log.warning("progress of moving could not be noted; trying again", ["reason": .string(error.message)])
      return false
    }
    let now = time.monotonic()
    let isPublished = shared.withLock { $0.filledAt.map { now - $0 >= .seconds(1) } ?? true }
    let isLast =
      (try? withState { state in
        guard state.layout.version == layoutVersion else { return false }
        state.setRows(changed)
        // Views go to every node and gateway: progress is published once a second, and at the end.
        if isPublished || state.filling.isEmpty { state.touch() }
        return state.filling.isEmpty
      }) ?? false
    if isPublished || isLast { shared.withLock { $0.filledAt = now } }
    if isLast {
      log.info("every replica of the layout has all its blocks, and nobody else holds any of them")
      await endRebalance()
    }
    return true
  }

  /// The way is at its end: there is nothing to go back to any more.
  private func endRebalance() async {
    let record =
      (try? withState { state -> RebalanceRecord in
        state.rebalance.origin = nil
        state.rebalance.steps = 0
        return state.rebalance
      })
    guard let record else { return }
    do throws(MetadataError) { try await metadata.saveRebalance(record) } catch {
      log.warning("the end of a rebalance could not be noted", ["reason": .string(error.message)])
    }
  }

  /// Notes all partitions of nodes that lost a disk as to be filled.
  func refillLostDisks() async {
    guard let (node, version) = try? withState({ state in state.refills.first.map { ($0, state.layout.version) } }) ?? nil else { return }
    // First, so that nothing that is confirmed from here on rests on what was on the disk.
    shared.withLock { $0.repair }?.feed(.diskLost(node))
    let isDone = await changeRows(layoutVersion: version) { state in
      LayoutTransition.refilling(node, in: state.layout, filling: state.filling)
    }
    guard isDone else { return }
    let (now, outAfter) = (time.monotonic(), configuration.failure.outAfter)
    _ = try? withState { state in
      state.refills.removeAll { $0 == node }
      state.update(node) {
        $0.record.disks = $0.countedDisks(outAfter: outAfter, now: now)
        $0.isSaved = false
      }
      state.touch()
    }
  }

  /// Nobody waits for what a node that is out still holds; what it holds when it comes back is found then.
  func dropDeadSources() async {
    let found = try? withState { state -> (NodeID, UInt64)? in
      guard !state.detector.isBraked, !state.filling.isEmpty else { return nil }
      let out = state.nodes.map(\.record.id).first { id in
        state.liveness(id) == .out && state.filling.contains { $0.sources.contains(id) }
      }
      return out.map { ($0, state.layout.version) }
    }
    guard let (node, version) = found ?? nil else { return }
    log.warning("a node that was giving up its copies is out; it is not waited for", ["node": .string(node.text)])
    _ = await changeRows(layoutVersion: version) { state in LayoutTransition.withoutSource(node, filling: state.filling) }
  }

  // MARK: Leftovers

  /// Looks at what live nodes hold beyond their part of the layout, one node at a time, and lets them give it up: copies that a drained
  /// node took as somebody's spare, and what a node has that was replaced while it was away.
  func sweepLeftovers(_ now: MonotonicTime) {
    let found = try? withState { state -> (NodeID, UInt64, Int, Int)? in
      guard state.layout.version > 0, !state.detector.isBraked else { return nil }
      let node = state.nodes.first { node in
        let id = node.record.id
        guard node.wasHeard, node.blockCount > 0, node.sweepAt.map({ now >= $0 }) ?? true, state.liveness(id) == .alive else {
          return false
        }
        // With data on its way, only who shall hold nothing at all is looked at.
        guard !state.filling.isEmpty else { return true }
        return state.layout.node(id) == nil && !state.filling.contains { $0.sources.contains(id) }
      }
      guard let id = node?.record.id else { return nil }
      // A node off the layout shall be empty soon; of others this is looked at now and then.
      let pause: Duration = state.layout.node(id) == nil ? .seconds(2) : ClusterService.sweepInterval
      state.update(id) { $0.sweepAt = now + pause }
      return (id, state.layout.version, state.layout.partitionCount, state.layout.partitionBits)
    }
    guard let (node, version, partitions, bits) = found ?? nil else { return }
    guard
      shared.withLock({ shared in
        guard !shared.isSweeping else { return false }
        shared.isSweeping = true
        return true
      })
    else { return }
    Task {
      await self.sweep(node, version, partitions, bits)
      self.shared.withLock { $0.isSweeping = false }
    }
  }

  static let sweepInterval: Duration = .seconds(600)
  private static let digestsAtOnce = 4096

  private func sweep(_ node: NodeID, _ version: UInt64, _ partitions: Int, _ bits: Int) async {
    var held: [Int] = []
    var start = 0
    while start < partitions {
      let part = Array(start..<min(partitions, start + ClusterService.digestsAtOnce))
      guard case .digest(let counts, _, _, _)? = await ask(node, .digest(partitions: part, bits: bits)), counts.count == part.count else {
        return
      }
      for (partition, count) in zip(part, counts) where count > 0 { held.append(partition) }
      start += part.count
    }
    let own = held
    let isNews =
      (try? withState { state in
        state.layout.version == version && !LayoutTransition.leftovers(node, of: own, in: state.layout, filling: state.filling).isEmpty
      }) ?? false
    guard isNews else { return }
    log.info("a node holds copies beyond its part of the layout; it gives them up", ["node": .string(node.text)])
    _ = await changeRows(layoutVersion: version) { state in
      LayoutTransition.leftovers(node, of: own, in: state.layout, filling: state.filling)
    }
    _ = try? withState { state in
      state.rebalance.steps = max(state.rebalance.steps, state.stepsLeft)
      state.touch()
    }
  }
}
