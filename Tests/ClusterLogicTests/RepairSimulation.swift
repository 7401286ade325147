import BlockModel
import ClusterLogic

/// A tiny cluster around one `RepairScheduler`: nodes with sets of blocks, answers that come late or never, nodes that crash and come back.
/// Everything follows from the seed.
struct RepairSimulation {
  struct Node {
    var blocks: Set<BlockID> = []
    var damaged: Set<BlockID> = []
    var isUp = true
    var isFull = false
  }

  struct Answer {
    var at: MonotonicTime
    var order: Int
    var event: RepairScheduler.Event
  }

  var random: SeededRandom
  var now = MonotonicTime.zero
  var layout: Layout
  var filling: [PlanFilling] = []
  var nodes: [NodeID: Node] = [:]
  var liveness: [NodeID: Liveness] = [:]
  var live: [RepairBlock] = []
  var rows: [BlockID: [NodeID]] = [:]
  var scheduler: RepairScheduler
  var queue: [Answer] = []
  var order = 0
  /// Chance in 1,000 that a command or its answer is lost.
  var lossPerMille = 0
  var isBraked = false
  var violations: [String] = []
  var copyCommands = 0
  var copiedItems = 0
  var mostInFlight: [NodeID: Int] = [:]
  var firstCopied: [BlockID] = []
  private var copying: [NodeID: Int] = [:]

  init(seed: UInt64, nodes nodeCount: Int, zones: Int, blocks: Int, bits: Int = 4, configuration: RepairScheduler.Configuration = .init()) {
    random = SeededRandom(seed: seed)
    let list = (0..<nodeCount).map { LayoutNode(id: node($0), zone: zone($0 % zones), weight: 1) }
    let empty = Layout.empty(partitionBits: bits, replicationFactor: 3, writeQuorum: 2)
    layout = RepairSimulation.plan(previous: empty, nodes: list).layout
    for node in list {
      nodes[node.id] = Node()
      liveness[node.id] = .alive
    }
    scheduler = RepairScheduler(configuration: configuration, view: RepairView(layout: empty, filling: [], members: [], isBraked: false))
    for _ in 0..<blocks {
      let id = BlockID(words: (random.next(), random.next(), random.next(), random.next()))
      live.append(RepairBlock(id: id, size: Int.random(in: 1...(1 << 20), using: &random), isReferenced: true))
      for replica in layout.replicas(of: id) { nodes[replica]!.blocks.insert(id) }
    }
    live.sort { $0.id < $1.id }
    tellView()
  }

  var view: RepairView {
    RepairView(
      layout: layout, filling: filling,
      members: layout.nodes.map(\.id).sorted().map { id in
        PlanMember(node: id, zone: layout.node(id)!.zone, liveness: liveness[id]!, isWritable: true)
      }, isBraked: isBraked)
  }

  mutating func tellView() { deliver(.view(view)) }

  /// The nodes of a simulation are valid, so that planning never refuses them.
  private static func plan(previous: Layout, nodes: [LayoutNode]) -> LayoutPlan {
    guard let plan = try? LayoutPlanner.plan(previous: previous, nodes: nodes) else {
      preconditionFailure("the simulation's nodes are valid")
    }
    return plan
  }

  /// The coordinator's part when nodes are declared out or come in: the next layout, and who has to be filled.
  mutating func relayout(to list: [LayoutNode]) {
    let plan = RepairSimulation.plan(previous: layout, nodes: list)
    var next: [PlanFilling] = []
    for partition in 0..<layout.partitionCount {
      let row = filling.first { $0.partition == partition }
      let holders = layout.replicas(ofPartition: partition).filter { !(row?.targets.contains($0) ?? false) } + (row?.sources ?? [])
      let replicas = plan.layout.replicas(ofPartition: partition)
      let targets = replicas.filter { !holders.contains($0) }
      if !targets.isEmpty {
        next.append(PlanFilling(partition: partition, targets: targets, sources: holders.filter { !replicas.contains($0) }))
      }
    }
    layout = plan.layout
    filling = next
    tellView()
  }

  mutating func crash(_ id: NodeID) {
    nodes[id]!.isUp = false
  }

  // MARK: Running

  mutating func deliver(_ event: RepairScheduler.Event) {
    for effect in scheduler.step(event, now: now) { perform(effect) }
  }

  /// Runs until `isDone` or the time is over; true when it was done.
  mutating func run(seconds: Int, until isDone: (inout RepairSimulation) -> Bool) -> Bool {
    let end = now + .seconds(seconds)
    while now < end {
      now += .milliseconds(100)
      while let first = queue.min(by: { ($0.at, $0.order) < ($1.at, $1.order) }), first.at <= now {
        queue.removeAll { $0.order == first.order }
        if case .copied = first.event { noteCopyEnded(first.order) }
        deliver(first.event)
      }
      deliver(.timer)
      if isDone(&self) { return true }
    }
    return false
  }

  private var ended: [Int: NodeID] = [:]

  private mutating func noteCopyEnded(_ order: Int) {
    if let node = ended.removeValue(forKey: order) { copying[node]! -= 1 }
  }

  private mutating func answer(_ event: RepairScheduler.Event, _ lost: RepairScheduler.Event, isUp: Bool, target: NodeID? = nil) {
    order += 1
    let isLost = !isUp || Int.random(in: 0..<1000, using: &random) < lossPerMille
    let delay = isLost ? Duration.seconds(2) : .milliseconds(Int.random(in: 1...400, using: &random))
    queue.append(Answer(at: now + delay, order: order, event: isLost ? lost : event))
    if let target { ended[order] = target }
  }

  private mutating func perform(_ effect: RepairScheduler.Effect) {
    switch effect {
    case .list(let request, let partition, let after, let limit):
      let rest = live.filter { block in block.id.partition(bits: layout.partitionBits) == partition && (after == nil || block.id > after!) }
      answer(.listed(request, Array(rest.prefix(limit))), .listed(request, nil), isUp: true)
    case .listRepairs(let request, let after, let limit):
      let rest = live.filter { rows[$0.id] != nil && (after == nil || $0.id > after!) }.prefix(limit).map { block in
        RepairBlock(id: block.id, size: block.size, isReferenced: true, strays: rows[block.id]!)
      }
      answer(.repairsListed(request, rest), .repairsListed(request, nil), isUp: true)
    case .check(let request, let id, let blocks, let reading):
      let node = nodes[id]!
      let outcomes = blocks.map { block -> RepairCheck in
        if reading && node.damaged.contains(block) {
          // As a node does: the bad copy is set aside.
          nodes[id]!.blocks.remove(block)
          nodes[id]!.damaged.remove(block)
          return .damaged
        }
        return node.blocks.contains(block) ? .present : .missing
      }
      answer(.checked(request, outcomes), .checked(request, nil), isUp: node.isUp)
    case .copy(let request, let target, let items): copy(request, target, items)
    case .markFilled(let request, let partition, let target, let version):
      let isCurrent = version == layout.version
      if isCurrent, let row = filling.firstIndex(where: { $0.partition == partition }) {
        for block in live where block.id.partition(bits: layout.partitionBits) == partition && !nodes[target]!.blocks.contains(block.id) {
          violations.append("\(target) was marked filled without \(block.id)")
        }
        filling[row].targets.removeAll { $0 == target }
        if filling[row].targets.isEmpty { filling.remove(at: row) }
      }
      answer(.settled(request, isCurrent), .settled(request, false), isUp: true)
    case .clearRepairs(let request, let blocks, let version):
      let isCurrent = version == layout.version
      for block in blocks where isCurrent {
        for replica in layout.replicas(of: block) where !nodes[replica]!.blocks.contains(block) {
          violations.append("the row of \(block) was cleared without a copy on \(replica)")
        }
        rows[block] = nil
      }
      answer(.settled(request, isCurrent), .settled(request, false), isUp: true)
    }
  }

  private mutating func copy(_ request: RepairRequest, _ target: NodeID, _ items: [RepairCopy]) {
    copyCommands += 1
    copiedItems += items.count
    copying[target, default: 0] += 1
    mostInFlight[target] = max(mostInFlight[target] ?? 0, copying[target]!)
    guard nodes[target]!.isUp else { return answer(.copied(request, nil), .copied(request, nil), isUp: false, target: target) }
    let outcomes = items.map { item -> RepairCopyOutcome in
      if nodes[target]!.blocks.contains(item.block) { return .present }
      if nodes[target]!.isFull { return .full }
      let up = item.sources.filter { nodes[$0]!.isUp }
      if up.contains(where: { nodes[$0]!.blocks.contains(item.block) && !nodes[$0]!.damaged.contains(item.block) }) {
        nodes[target]!.blocks.insert(item.block)
        firstCopied.append(item.block)
        return .copied
      }
      return up.count == item.sources.count ? .sourceMissing : .failed
    }
    answer(.copied(request, outcomes), .copied(request, nil), isUp: true, target: target)
  }

  // MARK: Truth

  /// Live blocks that lack a whole copy on a replica of the layout that is up.
  var lacking: [BlockID] {
    live.filter { block in
      layout.replicas(of: block.id).contains { replica in
        !nodes[replica]!.blocks.contains(block.id) || nodes[replica]!.damaged.contains(block.id)
      }
    }.map(\.id)
  }
}
