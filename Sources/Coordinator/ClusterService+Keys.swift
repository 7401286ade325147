internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI

/// Rotating the data keys, and how far that is.
extension ClusterService {
  func registerKeyOperations(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.GetDataKeys.self) { [self] (_, _) async throws(Problem) in
      try withState { state in state.keyStatus }
    }
    dispatcher.register(OperatorOperations.RotateDataKeys.self) { [self] (_, _) async throws(Problem) in try await rotateDataKeys() }
  }

  /// Records the next epoch and who makes its key; the rest follows from heartbeats.
  private func rotateDataKeys() async throws(Problem) -> KeyStatus {
    guard configuration.isEncrypted else { throw Problem(.conflict, "Encryption is off in this cluster, so there are no data keys.") }
    let record = try withState { (state) throws(Problem) -> DataKeyEpochRecord in
      guard let last = state.dataKeys.max(by: { $0.epoch < $1.epoch }), !last.check.isEmpty else {
        throw Problem(.conflict, "The newest data key is not made yet: wait for it, “cairnctl keys status” shows it.")
      }
      let lacking = state.liveLayoutNodes.filter { !$0.states(last) }
      guard lacking.isEmpty else {
        let names = lacking.map(\.record.id.text).joined(separator: ", ")
        throw Problem(.conflict, "The data key of epoch \(last.epoch) is not with \(names) yet: rotate again when it is.")
      }
      guard let founder = state.liveLayoutNodes.first else { throw Problem(.unavailable, "No live node can make a key.", retryAfter: 1) }
      return DataKeyEpochRecord(epoch: last.epoch + 1, founder: founder.record.id, check: "")
    }
    let recorded: DataKeyEpochRecord
    do throws(MetadataError) { recorded = try await metadata.saveDataKeyEpoch(record) } catch { throw Problem(cluster: error) }
    log.info("the data keys are rotated", ["epoch": .int(recorded.epoch), "founder": .string(recorded.founder.text)])
    return try withState { state in
      state.dataKeys.removeAll { $0.epoch == recorded.epoch }
      state.dataKeys.append(recorded)
      return state.keyStatus
    }
  }
}

extension ClusterState.Node {
  func states(_ key: DataKeyEpochRecord) -> Bool { keys.contains { $0.epoch == key.epoch && $0.check == key.check } }
}

extension ClusterState {
  var liveLayoutNodes: [Node] { nodes.filter { layout.node($0.record.id) != nil && liveness($0.record.id) == .alive } }

  func isHeldByAll(_ key: DataKeyEpochRecord) -> Bool { liveLayoutNodes.allSatisfy { $0.states(key) } }

  var keyStatus: KeyStatus {
    let epochs = dataKeys.sorted { $0.epoch < $1.epoch }
    let statuses = epochs.map { key in
      let uses = nodes.flatMap { $0.disks.flatMap { $0.keyEpochs ?? [] } }.filter { $0.epoch == key.epoch }
      return KeyEpochStatus(
        epoch: key.epoch, founder: key.founder, holders: nodes.filter { $0.states(key) && !key.check.isEmpty }.map(\.record.id),
        lacking: liveLayoutNodes.filter { !$0.states(key) || key.check.isEmpty }.map(\.record.id),
        segments: uses.reduce(0) { $0 + $1.segments }, bytes: uses.reduce(0) { $0 + $1.bytes })
    }
    let known = epochs.filter { !$0.check.isEmpty }
    return KeyStatus(current: MembershipDataKeys.current(known) { isHeldByAll($0) }, epochs: statuses)
  }
}
