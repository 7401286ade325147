internal import BlockModel
internal import ClusterLogic

/// What goes wrong, within what a cluster has to bear: never so much at once that the last copy of a block that counts would be gone.
extension ClusterSimulation {
  func perform(_ action: ClusterScenario.Action) {
    switch action {
    case .upload(let client, _, _, _), .download(let client, _), .delete(let client, _), .abandonUpload(let client, _, _):
      clients[client % clients.count].perform(action)
    case .addNode(let zone):
      guard let node = addNode(zone: zone, &diskRandom) else { return }
      node.start()
      admit(node.id, tries: 20)
    case .weigh, .drain, .abortRebalance, .recheck: coordinator.operate(action)
    case .pauseRebalance(let seconds):
      metadata.isPaused = true
      later(seconds) { $0.metadata.isPaused = false }
    default: if fault(action), let kind = action.fault { totals.count(kind) }
    }
  }

  private func admit(_ node: NodeID, tries: Int) {
    coordinator.admit(node)
    guard tries > 0, metadata.layout.node(node) == nil else { return }
    later(2) { $0.admit(node, tries: tries - 1) }
  }

  private func later(_ seconds: Int, _ body: @escaping (ClusterSimulation) -> Void) {
    queue.add(at: now + .seconds(seconds)) { [unowned self] in body(self) }
  }

  /// Answers whether it happened.
  private func fault(_ action: ClusterScenario.Action) -> Bool {
    guard !isHealed else { return false }
    switch action {
    case .killNode(let number, let seconds): return stop(pick(number), losingPower: false, seconds)
    case .failPower(let number, let seconds): return stop(pick(number), losingPower: true, seconds)
    case .failZone(let number, let seconds):
      let zone = ZoneID("z\(number + 1)")
      return nodes.filter { $0.zone == zone }.reduce(false) { stop($1, losingPower: true, seconds) || $0 }
    case .stallNode(let number, let seconds):
      pick(number).process.stalledUntil = now + .seconds(seconds)
      return true
    case .loseDisk(let number, let disk): return loseDisk(pick(number), disk)
    case .destroyNode(let number): return destroy(pick(number))
    case .rot(let number, let copy): return rot(pick(number), copy)
    case .fillDisk(let number, let seconds):
      let node = pick(number)
      node.isFull = true
      later(seconds) { _ in node.isFull = false }
      return true
    case .slowDisk(let number, let seconds):
      let node = pick(number)
      for store in node.stores { store.isSlow = true }
      later(seconds) { _ in for store in node.stores { store.isSlow = false } }
      return true
    case .cutOff(let number, let incoming, let outgoing, let seconds):
      let node = pick(number)
      cut([node.process.address], from: addresses.filter { $0 != node.process.address }, incoming, outgoing, seconds)
      return true
    case .splitZone(let number, let seconds):
      let inside = nodes.filter { $0.zone == ZoneID("z\(number + 1)") }.map(\.process.address)
      cut(inside, from: addresses.filter { !inside.contains($0) }, true, true, seconds)
      return true
    case .killCoordinator(let seconds):
      guard coordinator.process.isUp else { return false }
      coordinator.end()
      later(seconds) { if !$0.coordinator.process.isUp { $0.coordinator.start() } }
      return true
    case .stallCoordinator(let seconds):
      coordinator.process.stalledUntil = now + .seconds(seconds)
      return true
    case .cutGateway(let number, let seconds):
      cut([1 + number % 2], from: [0], true, true, seconds)
      return true
    default: return false
    }
  }

  private var addresses: [Int] { [0] + gateways.map(\.process.address) + nodes.map(\.process.address) }

  private func pick(_ number: Int) -> SimulatedNode { nodes[number % nodes.count] }

  private func cut(_ inside: [Int], from outside: [Int], _ incoming: Bool, _ outgoing: Bool, _ seconds: Int) {
    for a in inside {
      for b in outside {
        if incoming { network.cut(b, a) }
        if outgoing { network.cut(a, b) }
      }
    }
    later(seconds) { simulation in
      for a in inside {
        for b in outside {
          if incoming { simulation.network.mend(b, a) }
          if outgoing { simulation.network.mend(a, b) }
        }
      }
    }
  }

  private func stop(_ node: SimulatedNode, losingPower: Bool, _ seconds: Int) -> Bool {
    guard node.process.isUp else { return false }
    node.end(losingPower: losingPower)
    later(seconds) { _ in if !node.process.isUp, !node.isDestroyed { node.start() } }
    return true
  }

  // MARK: Loss

  /// Whether these copies of a node may be lost: each block that counts has another whole one, on a replica that is not to give it up.
  private func canLose(_ copies: [BlockID], of node: SimulatedNode) -> Bool {
    copies.allSatisfy { block in
      guard metadata.isReferenced(block) || metadata.isLeased(block) else { return true }
      let partition = block.partition(bits: settings.partitionBits)
      let leaving = metadata.filling.first { $0.partition == partition }?.sources ?? []
      return nodes.contains { other in
        other !== node && !other.isDestroyed && !leaving.contains(other.id) && other.isSafe(block)
          && metadata.layout.replicas(of: block).contains(other.id)
      }
    }
  }

  private func loseDisk(_ node: SimulatedNode, _ disk: Int) -> Bool {
    let index = disk % node.stores.count
    let held = node.stores[index].copies.keys.sorted()
    guard !node.isDestroyed, canLose(held, of: node) else { return false }
    if node.process.isUp { node.end(losingPower: false) }
    // What was on its way to the disk is on it now, and gone with it.
    for block in node.stores[index].copies.keys.sorted() { truth.lose(block, node.id) }
    node.replaceDisk(index)
    later(2) { _ in if !node.process.isUp, !node.isDestroyed { node.start() } }
    return true
  }

  /// A machine burns. Enough others are left to hold all copies.
  private func destroy(_ node: SimulatedNode) -> Bool {
    let rest = metadata.layout.nodes.filter { $0.id != node.id }
    let enough = rest.count >= max(settings.replicationFactor, 3) && Set(rest.map(\.zone)).count >= metadata.layout.requiredZones
    let held = node.stores.flatMap { $0.copies.keys }.sorted()
    guard enough, !nodes.contains(where: \.isDestroyed), canLose(held, of: node) else { return false }
    if node.process.isUp { node.end(losingPower: true) }
    node.isDestroyed = true
    for index in node.stores.indices {
      for block in node.stores[index].copies.keys.sorted() { truth.lose(block, node.id) }
      node.replaceDisk(index)
    }
    return true
  }

  private func rot(_ node: SimulatedNode, _ number: Int) -> Bool {
    let held = node.stores.flatMap { store in store.copies.keys.filter { store.isSafe($0) } }.sorted()
    guard !held.isEmpty else { return false }
    let block = held[number % held.count]
    guard canLose([block], of: node) else { return false }
    for store in node.stores { store.rot(block) }
    truth.lose(block, node.id)
    return true
  }
}
