internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// From what the failure detector says to committed layouts.
///
/// All of it looks at the state as it is and not at what just happened, so a step that failed is simply due again at the next tick.
extension ClusterService {
  /// Layouts whose table is looked at when nodes come back.
  private static let historyLimit = 16

  func note(_ effects: [FailureDetector.Effect]) async {
    guard !effects.isEmpty else { return }
    for effect in effects { report(effect) }
    _ = try? withState { state in
      for effect in effects {
        guard case .declaredOut(let node) = effect else { continue }
        state.unrestored.append(node)
        // A node that no layout names has nothing to be restored, and does not come into one by falling silent.
        guard state.layout.node(node) != nil else { continue }
        state.update(node) {
          $0.record.isOut = true
          $0.isSaved = false
        }
      }
      state.touch()
    }
  }

  func report(_ effect: FailureDetector.Effect) {
    switch effect {
    case .suspected(let node): log.warning("a node is silent; it is avoided", ["node": .string(node.text)])
    case .declaredOut(let node): log.warning("a node is out; its blocks get new copies elsewhere", ["node": .string(node.text)])
    case .recovered(let node): log.info("a node is heard again", ["node": .string(node.text)])
    case .returned(let node): log.info("a node that was out is back", ["node": .string(node.text)])
    case .brakeEngaged(let down, let limit):
      log.error(
        "so many nodes seem down that nothing is moved", ["down": .int(down), "limit": .int(limit)])
    case .brakeReleased: log.info("few enough nodes seem down again; repair goes on")
    case .stalled(let duration): log.warning("this process stood still; every deadline is extended", ["stall": .duration(duration)])
    }
  }

  /// Writes the nodes' records that changed.
  func saveRecords() async {
    let unsaved = (try? withState { state in state.nodes.filter { !$0.isSaved }.map(\.record.id) }) ?? []
    for node in unsaved {
      do throws(MetadataError) { try await save(node) } catch {
        log.warning("a node's record could not be saved; trying again", ["node": .string(node.text), "reason": .string(error.message)])
        return
      }
    }
  }

  /// Writes the node's record as it is now.
  func save(_ node: NodeID) async throws(MetadataError) {
    await saving.enter()
    guard let record = try? withState({ state in state.node(node)?.record }) else { return await saving.leave() }
    do throws(MetadataError) { try await metadata.saveNode(record) } catch {
      await saving.leave()
      throw error
    }
    _ = try? withState { state in state.update(node) { if $0.record == record { $0.isSaved = true } } }
    await saving.leave()
  }

  /// Commits the layout that the nodes call for, where it is not the present one.
  func reconcileLayout() async {
    guard
      let (layout, filling, desired) = try? withState({ state in
        (state.layout, state.filling, state.desiredNodes(initialNodes: configuration.initialNodes))
      }), let desired
    else { return }
    do throws(MetadataError) {
      let next = try await nextLayout(layout, desired)
      let leaving = layout.nodes.map(\.id).filter { next.node($0) == nil }
      let coming = next.nodes.map(\.id).filter { layout.node($0) == nil }
      let rows = LayoutTransition.filling(from: layout, filling: filling, to: next, unreliable: leaving + coming)
      try await metadata.commitLayout(next, expectedVersion: layout.version, filling: rows.map { FillingPartition($0) })
      publish(next, rows, coming: coming)
      log.info(
        "a layout is committed",
        [
          "version": .string(String(next.version)), "nodes": .int(next.nodes.count), "to_fill": .int(rows.count),
          "leaving": .string(leaving.map(\.text).joined(separator: ",")), "coming": .string(coming.map(\.text).joined(separator: ",")),
        ])
    } catch {
      log.warning("the layout could not be changed; trying again", ["reason": .string(error.message)])
      if error.code == .conflict { await reloadLayout() }
    }
  }

  /// The table that an earlier layout over the same nodes had, so that a node that comes back finds what it holds; else a planned one.
  private func nextLayout(_ current: Layout, _ desired: [LayoutNode]) async throws(MetadataError) -> Layout {
    if current.version > 0 {
      let history = try await metadata.layoutHistory(limit: ClusterService.historyLimit)
      if let earlier = history.first(where: { $0.nodes == desired && $0.partitionBits == current.partitionBits }) {
        var next = earlier
        next.version = current.version + 1
        return next
      }
    }
    do { return try LayoutPlanner.plan(previous: current, nodes: desired).layout } catch {
      throw MetadataError(.refused, "No layout can be made of these nodes: \(error).")
    }
  }

  private func publish(_ layout: Layout, _ rows: [PlanFilling], coming: [NodeID]) {
    let now = time.monotonic()
    _ = try? withState { state in
      state.layout = layout
      state.filling = rows
      state.admitted.removeAll { layout.node($0) != nil }
      for node in coming where state.node(node)?.record.isOut == true {
        state.update(node) {
          $0.record.isOut = false
          $0.isSaved = false
        }
      }
      state.touch()
    }
    shared.withLock { $0.fillsSince = rows.isEmpty ? nil : now }
    tellRepair(now)
  }

  /// Another coordinator was faster: what it committed counts.
  private func reloadLayout() async {
    guard let layout = try? await metadata.currentLayout(), let filling = try? await metadata.fillingPartitions() else { return }
    _ = try? withState { state in
      state.layout = layout
      state.filling = filling.map { PlanFilling($0) }.sorted { $0.partition < $1.partition }
      state.touch()
    }
  }

  /// Notes all partitions of nodes that lost a disk as to be filled.
  func refillLostDisks() async {
    guard
      let (node, rows, version) = try? withState({ state in
        state.refills.first.map { ($0, LayoutTransition.refilling($0, in: state.layout, filling: state.filling), state.layout.version) }
      }) ?? nil
    else { return }
    do throws(MetadataError) {
      if !rows.isEmpty { try await metadata.updateFilling(rows.map { FillingPartition($0) }, layoutVersion: version) }
    } catch {
      log.warning("a lost disk could not be noted; trying again", ["node": .string(node.text), "reason": .string(error.message)])
      return
    }
    let (now, outAfter) = (time.monotonic(), configuration.failure.outAfter)
    _ = try? withState { state in
      guard state.layout.version == version else { return }
      state.refills.removeAll { $0 == node }
      for row in rows {
        if let index = state.fillingIndex(row.partition) { state.filling[index] = row } else { state.filling.append(row) }
      }
      state.filling.sort { $0.partition < $1.partition }
      state.update(node) {
        $0.record.disks = $0.countedDisks(outAfter: outAfter, now: now)
        $0.isSaved = false
      }
      state.touch()
    }
  }

  /// Takes filled targets off their rows, in the database and then here. Answers whether it was done.
  func markFilled(_ marks: [(partition: Int, target: NodeID)], layoutVersion: UInt64) async -> Bool {
    guard
      let rows = try? withState({ state -> [PlanFilling]? in
        guard state.layout.version == layoutVersion else { return nil }
        return marks.compactMap { mark in
          guard var row = state.fillingRow(mark.partition) else { return nil }
          row.targets.removeAll { $0 == mark.target }
          return row
        }
      }) ?? nil
    else { return false }
    do throws(MetadataError) { try await metadata.updateFilling(rows.map { FillingPartition($0) }, layoutVersion: layoutVersion) } catch {
      log.warning("filled partitions could not be noted; trying again", ["reason": .string(error.message)])
      return false
    }
    let now = time.monotonic()
    let isPublished = shared.withLock { $0.filledAt.map { now - $0 >= .seconds(1) } ?? true }
    let isLast =
      (try? withState { state in
        guard state.layout.version == layoutVersion else { return false }
        for mark in marks {
          guard let index = state.fillingIndex(mark.partition) else { continue }
          state.filling[index].targets.removeAll { $0 == mark.target }
          if state.filling[index].targets.isEmpty { state.filling.remove(at: index) }
        }
        // Views go to every node and gateway: progress is published once a second, and at the end.
        if isPublished || state.filling.isEmpty { state.touch() }
        return state.filling.isEmpty
      }) ?? false
    if isPublished || isLast { shared.withLock { $0.filledAt = now } }
    if isLast { log.info("every replica of the layout has all its blocks") }
    return true
  }
}
