internal import BlockModel
internal import BlockStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Fetches a good copy for a read that met a bad one, so that who asked does not notice.
///
/// A node has no capability at other nodes: it asks the coordinator, which gives `record` URLs to nodes that are to hold the block, and to no
/// others. So a stolen node key reads nothing that the node was not to hold anyway. The copy is checked as repair checks it, and takes the
/// place of the bad one. Without a coordinator, or without another replica, the reader is told to go elsewhere.
///
/// What must hold: at most `limit` fetches are under way, one for a block; a read waits `patience` at the longest.
final class ReadMending: Sendable {
  private static let limit = 8
  private static let patience: Duration = .seconds(5)

  private let coordinators: CoordinatorTurn
  private let copying: RecordCopying
  private let knowledge: ClusterKnowledge
  private let metrics: NodeMetrics
  private let log: Logger
  private let running = Mutex<[BlockID: Task<Bool, Never>]>([:])

  init(coordinators: CoordinatorTurn, copying: RecordCopying, knowledge: ClusterKnowledge, metrics: NodeMetrics, log: Logger) {
    self.coordinators = coordinators
    self.copying = copying
    self.knowledge = knowledge
    self.metrics = metrics
    self.log = log
  }

  /// Whether a good copy of the block is here now. The capability is that of the read.
  func mend(_ capability: Capability, requestID: String) async -> Bool {
    let block = capability.block
    let task = running.withLock { running -> Task<Bool, Never>? in
      if let task = running[block] { return task }
      guard running.count < ReadMending.limit else { return nil }
      let task = Task { await self.fetch(capability, requestID) }
      running[block] = task
      return task
    }
    guard let task else {
      metrics.mendedReads("busy").increment()
      return false
    }
    let timer = Task {
      try? await Task.sleep(for: ReadMending.patience)
      if !Task.isCancelled { task.cancel() }
    }
    let isMended = await task.value
    timer.cancel()
    return isMended
  }

  private func fetch(_ capability: Capability, _ requestID: String) async -> Bool {
    defer { running.withLock { _ = $0.removeValue(forKey: capability.block) } }
    do {
      let reply = try await coordinators.perform(
        ClusterOperations.GetReplicaSources(block: capability.block, size: capability.size), requestID: requestID)
      let item = CopyItem(block: capability.block, size: capability.size, sources: reply.sources)
      let epoch = max(capability.gcEpoch, knowledge.view?.gcEpoch ?? 0)
      let outcome = await copying.copy([item], gcEpoch: epoch, requestID: requestID).first ?? .failed
      let isMended = outcome == .copied || outcome == .present
      metrics.mendedReads(isMended ? "mended" : outcome.rawValue).increment()
      log.request(requestID).notice(isMended, capability.block, outcome.rawValue)
      return isMended
    } catch {
      metrics.mendedReads("unavailable").increment()
      log.request(requestID).warning(
        "no other replica could be asked for", ["block": .string(capability.block.hex), "reason": .error(error)])
      return false
    }
  }
}

extension Logger {
  fileprivate func notice(_ isMended: Bool, _ block: BlockID, _ outcome: String) {
    if isMended {
      info("a read met a bad copy and fetched a good one", ["block": .string(block.hex)])
    } else {
      warning("a read met a bad copy and found no good one", ["block": .string(block.hex), "outcome": .string(outcome)])
    }
  }
}
