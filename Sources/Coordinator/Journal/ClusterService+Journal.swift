package import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import ServiceAPI
internal import Synchronization

/// Which nodes the metadata's journal can go to.
extension ClusterService {
  private static let earlyLimit = 10_000

  /// A heartbeat that comes before the cluster is kept says at least where its node is.
  func noteEarly(_ heartbeat: ClusterOperations.Heartbeat) {
    shared.withLock { shared in
      guard shared.state == nil, shared.early.count < ClusterService.earlyLimit else { return }
      shared.early[heartbeat.node] = (heartbeat.zone, heartbeat.address)
    }
  }

  /// Before `start`: the nodes that the database knows, where it says or where they said themselves since.
  package func nodesBeforeStart() async -> [JournalNode] {
    guard let records = try? await metadata.nodes(), let layout = try? await metadata.currentLayout() else { return [] }
    let early = shared.withLock { $0.early }
    return records.map { record in
      JournalNode(
        target: ClusterNodeClient.Target(
          node: record.id, zone: layout.node(record.id)?.zone ?? record.zone, address: early[record.id]?.address ?? record.address,
          layoutVersion: layout.version, gcEpoch: 0),
        isAlive: true, isInLayout: layout.node(record.id) != nil)
    }
  }

  /// All nodes that are known, as they are now. Not the layout's alone: a record that was written under a layout of more zones than the
  /// present one still needs that many, and nodes that left the layout because they were silent may be back.
  package var journalNodes: [JournalNode] {
    shared.withLock { shared in
      guard let state = shared.state else { return [] }
      return state.nodes.map { node in
        JournalNode(
          target: state.target(node.record), isAlive: state.liveness(node.record.id) == .alive,
          isInLayout: state.layout.version == 0 || state.layout.node(node.record.id) != nil)
      }
    }
  }

  /// Asks from now on whether the journal still needs a node that left the layout. Called once, before nodes are drained.
  package func askJournal(_ needs: @escaping @Sendable (NodeID) -> Bool) { shared.withLock { $0.journalNeeds = needs } }

  func journalNeeds(_ node: NodeID) -> Bool { shared.withLock { $0.journalNeeds }(node) }
}
