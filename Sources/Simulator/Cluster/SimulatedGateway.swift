internal import BlockModel
internal import ClusterLogic

/// Plans transfers with the view that it has, which may be old, and passes on what only the coordinator may change.
final class SimulatedGateway {
  struct Target {
    var block: BlockID
    /// Best first.
    var candidates: [SimulatedCapability]
  }

  struct Opened {
    var id: UploadID
    var puts: [Target]
  }

  unowned let simulation: ClusterSimulation
  let process: SimulatedProcess
  private var view: SimulatedView?

  init(_ simulation: ClusterSimulation, address: Int) {
    self.simulation = simulation
    process = SimulatedProcess(address: address)
  }

  private var coordinator: SimulatedCoordinator { simulation.coordinator }
  private var settings: ClusterScenario.Settings { simulation.settings }

  /// Asks for a newer view again and again.
  func refresh() {
    let (known, coordinator) = (view?.revision ?? 0, coordinator)
    simulation.call(process, coordinator.process, within: .seconds(3)) { (answer: @escaping (SimulatedView?) -> Void) in
      answer(coordinator.revision == known ? nil : coordinator.view)
    } then: { [unowned self] reply in
      if let news = reply ?? nil, news.generation >= view?.generation ?? 0, news.revision > view?.revision ?? 0 { view = news }
    }
    simulation.after(.milliseconds(Int64(500 + simulation.networkRandom.below(2000))), process) { [unowned self] in refresh() }
  }

  // MARK: Planning

  func puts(_ blocks: [BlockID], for upload: UploadID) -> [Target] {
    guard let view else { return [] }
    let planner = TargetPlanner(layout: view.layout, members: view.members, filling: view.filling)
    return blocks.map { block in
      let plan = planner.put(block)
      return Target(
        block: block,
        candidates: plan.candidates.map { first in
          SimulatedCapability(
            isFromClient: true, block: block, node: first.node, layoutVersion: plan.layoutVersion, gcEpoch: view.gcEpoch, upload: upload,
            writeQuorum: plan.writeQuorum, forwards: first.forwards, expires: simulation.now + .seconds(settings.urlSeconds))
        })
    }
  }

  func gets(_ blocks: [BlockID], strays: [BlockID: [NodeID]]) -> [Target] {
    guard let view else { return [] }
    let planner = TargetPlanner(layout: view.layout, members: view.members, filling: view.filling)
    return blocks.map { block in
      Target(
        block: block,
        candidates: planner.get(block, strays: strays[block] ?? []).map { member in
          SimulatedCapability(
            isFromClient: true, block: block, node: member.node, layoutVersion: view.layout.version, gcEpoch: view.gcEpoch,
            upload: UploadID(high: 0, low: 0), writeQuorum: 0, forwards: [], expires: simulation.now + .seconds(settings.urlSeconds))
        })
    }
  }

  // MARK: Passing on

  /// Has the coordinator do something in one transaction and answers what comes of it; silent when nothing comes back.
  func ask<Reply, Answer>(
    _ body: @escaping (SimulatedMetadata) -> Reply, _ answer: @escaping (Answer) -> Void, _ make: @escaping (Reply) -> Answer
  ) {
    let coordinator = coordinator
    simulation.call(process, coordinator.process, within: .seconds(5)) { (reply: @escaping (Reply) -> Void) in
      reply(body(coordinator.metadata))
    } then: { (reply: Reply?) in
      if let reply { answer(make(reply)) }
    }
  }
}
