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
    /// Partitions that older layouts may not write to any more.
    var seals: [Int: UInt64] = [:]
    /// Writes of each partition that ended.
    var marks: [Int: UInt64] = [:]
    /// Blocks for which its receipts were voided since it was last written to.
    var voided: Set<BlockID> = []
  }

  struct Answer {
    var at: MonotonicTime
    var order: Int
    var event: RepairScheduler.Event
  }

  var random: SeededRandom
  var now = MonotonicTime.zero
  var layout: Layout
  /// The layout before the present one.
  var former: Layout?
  var retired: [BlockID] = []
  /// Rows come while it runs, and the scheduler is told as the coordinator tells it.
  var hasWriters = false
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
  var gcEpoch: UInt64 = 1
  /// Epochs in which blocks were told to go that are referred to again.
  var deletes: [BlockID: UInt64] = [:]
  var refusedVoids = 0
  var violations: [String] = []
  var copyCommands = 0
  var lists = 0
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
      members: nodes.keys.sorted().map { id in
        let zone = (layout.node(id) ?? former?.node(id))?.zone ?? ZoneID("elsewhere")!
        return PlanMember(node: id, zone: zone, liveness: liveness[id]!, isWritable: true)
      }, isBraked: isBraked, gcEpoch: gcEpoch)
  }

  /// A collection deletes blocks that are written anew, and ends.
  mutating func collect(_ blocks: [BlockID]) {
    for block in blocks { deletes[block] = gcEpoch }
    gcEpoch += 1
    tellView()
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
    let down = nodes.keys.filter { !nodes[$0]!.isUp }
    let coming = list.map(\.id).filter { layout.node($0) == nil && nodes[$0] != nil }
    filling = LayoutTransition.filling(from: layout, filling: filling, to: plan.layout, unreliable: down + coming)
    former = layout
    layout = plan.layout
    for node in list where nodes[node.id] == nil {
      nodes[node.id] = Node()
      liveness[node.id] = .alive
    }
    tellView()
  }

  /// A client's write under the present layout or, with a URL that was issued before, under the one before it.
  mutating func write() {
    let id = BlockID(words: (random.next(), random.next(), random.next(), random.next()))
    let planned = Bool.random(using: &random) ? layout : former ?? layout
    let partition = id.partition(bits: planned.partitionBits)
    let taken = planned.replicas(of: id).filter { nodes[$0]!.isUp && (nodes[$0]!.seals[partition] ?? 0) <= planned.version }
    for node in taken { acknowledge(id, at: node) }
    guard taken.count >= 2 else { return }
    live.append(RepairBlock(id: id, size: 1000, isReferenced: true))
    live.sort { $0.id < $1.id }
    let replicas = layout.replicas(of: id)
    if !replicas.allSatisfy(taken.contains) {
      rows[id] = taken.filter { !replicas.contains($0) }
      hasWriters = true
    }
  }

  /// The coordinator's part when it finds that a node holds what is not its own.
  mutating func sweep(_ id: NodeID) {
    let held = Set(nodes[id]!.blocks.map { $0.partition(bits: layout.partitionBits) }).sorted()
    let rows = LayoutTransition.leftovers(id, of: held, in: layout, filling: filling)
    guard !rows.isEmpty else { return }
    filling = (filling.filter { row in !rows.contains { $0.partition == row.partition } } + rows).sorted { $0.partition < $1.partition }
    tellView()
  }

  /// The node has the block and said so; also one that it had before.
  mutating func acknowledge(_ id: BlockID, at node: NodeID) {
    nodes[node]!.blocks.insert(id)
    nodes[node]!.marks[id.partition(bits: layout.partitionBits), default: 0] += 1
    nodes[node]!.voided.remove(id)
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
      if hasWriters && !rows.isEmpty { deliver(.repairsWaiting) }
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
      lists += 1
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
    case .markFilled(let request, let partition, let target, let version, _):
      let isCurrent = version == layout.version
      if isCurrent, let row = filling.firstIndex(where: { $0.partition == partition }) {
        // A block that came in meanwhile under the layout before has its row.
        for block in live where block.id.partition(bits: layout.partitionBits) == partition && rows[block.id] == nil {
          guard !nodes[target]!.blocks.contains(block.id) else { continue }
          violations.append("\(target) was marked filled without \(block.id)")
        }
        filling[row].fill(target)
        if filling[row].isDone { filling.remove(at: row) }
      }
      answer(.settled(request, isCurrent), .settled(request, false), isUp: true)
    case .seal(let request, let source, let partition, let version):
      if nodes[source]!.isUp { nodes[source]!.seals[partition] = max(version, nodes[source]!.seals[partition] ?? 0) }
      answer(.sealed(request, true), .sealed(request, false), isUp: nodes[source]!.isUp)
    case .compare(let request, let target, let reference, let partition):
      func held(_ node: NodeID) -> [BlockID] {
        nodes[node]!.blocks.filter { $0.partition(bits: layout.partitionBits) == partition }.sorted()
      }
      let isUp = nodes[target]!.isUp && nodes[reference]!.isUp
      answer(.compared(request, isUp ? held(target) == held(reference) : nil), .compared(request, nil), isUp: isUp)
    case .listHeld(let request, let id, let partition, let after, let limit):
      let held = nodes[id]!.blocks.filter { $0.partition(bits: layout.partitionBits) == partition && (after == nil || $0 > after!) }
      let sizes = held.sorted().prefix(limit).map { block in
        RepairBlock(id: block, size: live.first { $0.id == block }?.size ?? 1000, isReferenced: false)
      }
      let page = HeldPage(blocks: sizes, mark: nodes[id]!.marks[partition] ?? 0)
      answer(.heldListed(request, page), .heldListed(request, nil), isUp: nodes[id]!.isUp)
    case .voidReceipts(let request, let source, let blocks, let version, let epoch):
      let mayBeDeleted = blocks.contains { (deletes[$0] ?? 0) >= epoch }
      if mayBeDeleted { refusedVoids += 1 }
      let isCurrent = version == layout.version && !mayBeDeleted
      if isCurrent { nodes[source]!.voided.formUnion(blocks) }
      answer(.settled(request, isCurrent), .settled(request, false), isUp: true)
    case .retire(let request, let source, let partition, let blocks, let mark, let version):
      retire(request, source, partition, blocks, mark, version)
    case .markRetired(let request, let partition, let source, let version):
      let isCurrent = version == layout.version
      if isCurrent, let row = filling.firstIndex(where: { $0.partition == partition }) {
        filling[row].retire(source)
        if filling[row].isDone { filling.remove(at: row) }
      }
      answer(.settled(request, isCurrent), .settled(request, false), isUp: true)
    case .clearRepairs(let request, let blocks, let version, _):
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

  private mutating func retire(
    _ request: RepairRequest, _ source: NodeID, _ partition: Int, _ blocks: [BlockID], _ mark: UInt64, _ version: UInt64
  ) {
    let isAllowed =
      nodes[source]!.isUp && version == layout.version && nodes[source]!.seals[partition] == version
      && nodes[source]!.marks[partition] ?? 0 == mark
    if isAllowed {
      for block in blocks {
        if !nodes[source]!.voided.contains(block) { violations.append("\(source) gave up \(block), and its receipts still count") }
        let replicas = layout.replicas(of: block)
        if replicas.contains(source) { violations.append("\(source) gave up \(block), and it is a replica") }
        for replica in replicas where !nodes[replica]!.blocks.contains(block) {
          violations.append("\(source) gave up \(block), and \(replica) has none")
        }
        nodes[source]!.blocks.remove(block)
        retired.append(block)
      }
    }
    answer(.retired(request, isAllowed), .retired(request, false), isUp: nodes[source]!.isUp)
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
