internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI

/// What nodes are let do at other nodes, and what operators have nodes do.
extension ClusterService {
  func registerNodeOperations(on dispatcher: ControlDispatcher) {
    dispatcher.register(ClusterOperations.GetReplicaSources.self) { [self] (request, context) async throws(Problem) in
      try await sources(request, context)
    }
    dispatcher.register(OperatorOperations.ControlScrub.self) { [self] (request, _) async throws(Problem) in try await scrub(request) }
  }

  /// Where a node may fetch a block whose copy it has is bad. Given to who holds the block's partition, is filled with it, or is known to
  /// hold a stray copy: it was given these bytes before, and repair would give them to it again.
  private func sources(
    _ request: ClusterOperations.GetReplicaSources, _ context: ControlContext
  ) async throws(Problem) -> ReplicaSources {
    guard let caller = context.node else { throw Problem(.forbidden, "Only a node is told where other copies are.") }
    guard (0...Limits.blockBytes).contains(request.size) else { throw Problem(.malformed, "No block has this size.") }
    let strays: [NodeID]
    do throws(MetadataError) { strays = try await metadata.strays(of: [request.block])[request.block] ?? [] } catch {
      throw Problem(cluster: error)
    }
    let targets = try withState { (state) throws(Problem) -> [ClusterNodeClient.Target] in
      let row = state.fillingRow(request.block.partition(bits: state.layout.partitionBits))
      let replicas = state.layout.replicas(of: request.block)
      let all = replicas + (row?.sources ?? []) + strays
      guard all.contains(caller) else { throw Problem(.forbidden, "Node \(caller) is not to hold this block.") }
      var holders: [NodeID] = []
      for node in all where node != caller && !holders.contains(node) { holders.append(node) }
      return holders.filter { state.liveness($0) == .alive }.compactMap { state.node($0).map { state.target($0.record) } }
    }
    return ReplicaSources(
      sources: targets.map { target in
        SignedTarget(node: target.node, zone: target.zone, url: client.url(.record, block: request.block, size: request.size, target))
      })
  }

  private func scrub(_ request: OperatorOperations.ControlScrub) async throws(Problem) -> ScrubControlled {
    let nodes = try withState { (state) throws(Problem) -> [NodeID] in
      guard let node = request.node else { return state.nodes.map(\.record.id).filter { state.liveness($0) != .out } }
      guard state.node(node) != nil else { throw Problem(.notFound, "There is no node \(node).") }
      return [node]
    }
    let answers = await withTaskGroup(of: (NodeID, Bool).self) { group in
      for node in nodes { group.addTask { (node, await self.ask(node, .scrub(request.action)) == .done) } }
      var answers: [(NodeID, Bool)] = []
      for await answer in group { answers.append(answer) }
      return answers.sorted { $0.0 < $1.0 }
    }
    return ScrubControlled(done: answers.filter(\.1).map(\.0), silent: answers.filter { !$0.1 }.map(\.0))
  }
}
