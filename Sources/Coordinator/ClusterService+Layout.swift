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
        // What it missed while it is away, it holds too much when it comes back.
        state.sweepSoon([node])
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

  /// Commits the layout that the nodes call for, where it is not the present one. While it is not known whether an earlier commit is in
  /// the database the present one is committed anew: either that counts then, or what is refused finds the newer one.
  func reconcileLayout() async {
    let called = try? withState { state in
      let isUnsettled = state.isLayoutUnsettled && state.layout.version > 0
      return (state.layout, state.desiredNodes(initialNodes: configuration.initialNodes) ?? (isUnsettled ? state.layout.nodes : nil))
    }
    guard let (layout, desired) = called, let desired else { return }
    do throws(MetadataError) {
      let next = try await nextLayout(layout, desired)
      try await commitLayout(next, cause: ClusterService.cause(of: next, after: layout), clearsStaged: false, resumes: false)
    } catch {
      log.warning("the layout could not be changed; trying again", ["reason": .string(error.message)])
    }
  }

  private static func cause(of next: Layout, after layout: Layout) -> String {
    guard layout.version > 0 else { return "the first layout" }
    let leaving = layout.nodes.map(\.id.text).filter { name in !next.nodes.contains { $0.id.text == name } }
    let coming = next.nodes.map(\.id.text).filter { name in !layout.nodes.contains { $0.id.text == name } }
    let out = leaving.isEmpty ? [] : ["out: " + leaving.joined(separator: ", ")]
    let back = coming.isEmpty ? [] : ["in: " + coming.joined(separator: ", ")]
    return (out + back).joined(separator: "; ")
  }

  /// Commits a layout that an operator wants.
  func commit(_ next: Layout, cause: String, clearsStaged: Bool = false, resumes: Bool = false) async throws(Problem) {
    do throws(MetadataError) {
      try await commitLayout(next, cause: cause, clearsStaged: clearsStaged, resumes: resumes)
    } catch { throw Problem(cluster: error) }
  }

  /// Commits the next layout together with what it leaves to be done, and publishes it.
  /// - Parameter resumes: a pause ends with it.
  private func commitLayout(_ next: Layout, cause: String, clearsStaged: Bool, resumes: Bool) async throws(MetadataError) {
    await rows.enter()
    do throws(MetadataError) {
      try await commitAlone(next, cause: cause, clearsStaged: clearsStaged, resumes: resumes)
    } catch {
      await settle(after: error)
      await rows.leave()
      throw error
    }
    await rows.leave()
  }

  /// What the database refuses has not happened; of what it does not answer nobody knows.
  private func settle(after error: MetadataError) async {
    switch error.code {
    case .conflict: await reloadLayout()
    case .refused, .full: break
    case .unavailable, .unusable: _ = try? withState { state in state.isLayoutUnsettled = true }
    }
  }

  private func commitAlone(_ next: Layout, cause: String, clearsStaged: Bool, resumes: Bool) async throws(MetadataError) {
    guard let state = try? withState({ state in state }) else { throw MetadataError(.unavailable, "The coordinator is starting.") }
    let layout = state.layout
    // It was made from a layout that another commit has replaced in between.
    guard next.version == layout.version + 1 else { throw MetadataError(.conflict, "The layout changed meanwhile.") }
    let leaving = layout.nodes.map(\.id).filter { next.node($0) == nil }
    let coming = next.nodes.map(\.id).filter { layout.node($0) == nil }
    let out = state.nodes.map(\.record.id).filter { state.liveness($0) == .out }
    let rows = LayoutTransition.filling(from: layout, filling: state.filling, to: next, unreliable: out)
    var record = state.rebalance
    // What is under way keeps its origin when the layout changes again.
    record.origin = rows.isEmpty ? nil : state.filling.isEmpty ? layout.version : record.origin ?? layout.version
    record.steps = rows.reduce(0) { $0 + $1.targets.count + $1.sources.count }
    if resumes { record.isPaused = false }
    _ = try? withState { state in state.isLayoutCommitting = true }
    defer { _ = try? withState { state in state.isLayoutCommitting = false } }
    try await metadata.commitLayout(
      next, expectedVersion: layout.version, filling: rows.map { FillingPartition($0) },
      note: LayoutNote(cause: cause, clearsStaged: clearsStaged, rebalance: record))
    let onlyMoves = LayoutTransition.onlyMoves(from: layout, filling: state.filling, to: next, unreliable: out)
    publish(next, rows, record, coming: coming, clearsStaged: clearsStaged, onlyMoves: onlyMoves)
    log.info(
      "a layout is committed",
      [
        "version": .string(String(next.version)), "cause": .string(cause), "nodes": .int(next.nodes.count), "to_fill": .int(rows.count),
        "leaving": .string(leaving.map(\.text).joined(separator: ",")), "coming": .string(coming.map(\.text).joined(separator: ",")),
      ])
  }

  /// The table that an earlier layout over the same nodes had, so that a node that comes back finds what it holds; else a planned one.
  private func nextLayout(_ current: Layout, _ desired: [LayoutNode]) async throws(MetadataError) -> Layout {
    let history = current.version > 0 ? try await metadata.layoutHistory(limit: ClusterService.historyLimit) : []
    do { return try DesiredLayout.next(after: current, over: desired, history: history) } catch {
      throw MetadataError(.refused, "No layout can be made of these nodes: \(error).")
    }
  }

  private func publish(
    _ layout: Layout, _ rows: [PlanFilling], _ record: RebalanceRecord, coming: [NodeID], clearsStaged: Bool, onlyMoves: Bool
  ) {
    let now = time.monotonic()
    _ = try? withState { state in
      // Who was taken out by an operator does not come back by itself; who was lost does.
      let removed = clearsStaged ? state.staged.filter { $0.role == nil }.map(\.node) : []
      state.layout = layout
      state.isLayoutUnsettled = false
      state.onlyMoves = onlyMoves
      state.filling = rows
      state.sweepSoon(state.nodes.map(\.record.id))
      state.rebalance = record
      if clearsStaged { state.staged = [] }
      state.admitted.removeAll { layout.node($0) != nil || removed.contains($0) }
      for node in coming + removed where state.node(node)?.record.isOut == true {
        state.update(node) {
          $0.record.isOut = false
          $0.isSaved = false
        }
      }
      for placed in layout.nodes {
        state.update(placed.id) { node in
          guard (node.record.zone, node.record.weight) != (placed.zone, placed.weight) || node.record.region != placed.region else {
            return
          }
          node.record.zone = placed.zone
          node.record.region = placed.region
          node.record.weight = placed.weight
          node.isSaved = false
        }
      }
      state.touch()
    }
    shared.withLock { shared in
      shared.fillsSince = rows.isEmpty ? nil : now
      shared.progress = []
    }
    tellRepair(now)
  }

  /// Another coordinator was faster, or an earlier commit that was thought to have failed: what is in the database counts.
  private func reloadLayout() async {
    guard let layout = try? await metadata.currentLayout(), let filling = try? await metadata.fillingPartitions(),
      let staged = try? await metadata.stagedRoles(), let rebalance = try? await metadata.rebalance()
    else { return }
    _ = try? withState { state in
      state.staged = staged
      state.rebalance = rebalance
      if layout.version != state.layout.version { state.onlyMoves = false }
      state.layout = layout
      state.isLayoutUnsettled = false
      state.filling = filling.map { PlanFilling($0) }.sorted { $0.partition < $1.partition }
      state.touch()
    }
  }
}
