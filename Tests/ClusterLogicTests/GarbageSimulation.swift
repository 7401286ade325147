import BlockModel
import ClusterLogic
import Testing

/// Nodes and metadata around one run, which answer in an order that a seed decides.
struct GarbageSimulation {
  struct Copy: Equatable {
    var epoch: UInt64
    var isDeleted = false
  }

  var collector: GarbageCollector
  var nodes: [NodeID: [BlockID: Copy]]
  /// Answers what a test says, or not at all.
  var silent: Set<NodeID> = []
  var refusing: [NodeID: Int] = [:]
  /// Why nothing wants a block; what is absent is wanted.
  var causes: [BlockID: GarbageCause]
  /// Blocks that somebody begins to want between judging and authorizing.
  var wantedLate: Set<BlockID> = []
  var metadataFailsAt: String?
  /// Rows without copies, forgotten in the end.
  var rows = 3
  private(set) var authorized: Set<BlockID> = []
  private(set) var deletesSent = 0
  private(set) var authorizations: [(time: MonotonicTime, blocks: Int)] = []
  private(set) var saved: GarbageRun?
  private(set) var ended: GarbageRun?
  private(set) var mostWaiting = 0
  private(set) var mostCandidates = 0
  var now = MonotonicTime.zero
  var pending: [GarbageCollector.Effect] = []
  let bits: Int

  init(
    nodes: [NodeID: [BlockID: Copy]], causes: [BlockID: GarbageCause], bits: Int = 4, purpose: GarbageCollector.Purpose = .collect,
    configuration: GarbageCollector.Configuration = GarbageSimulation.configuration, run: GarbageRun? = nil, epoch: UInt64 = 5
  ) {
    self.nodes = nodes
    self.causes = causes
    self.bits = bits
    let run =
      run ?? GarbageRun(number: 1, epoch: epoch, cause: "test", startedAt: .epoch, partitionCount: 1 << bits)
    collector = GarbageCollector(
      run: run, purpose: purpose, nodes: nodes.keys.sorted(), areAll: true, configuration: configuration, settleFor: configuration.grace,
      now: now)
  }

  static var configuration: GarbageCollector.Configuration {
    var configuration = GarbageCollector.Configuration()
    configuration.grace = .seconds(60)
    configuration.lanes = 3
    configuration.pageBlocks = 7
    configuration.batchBlocks = 4
    return configuration
  }

  mutating func feed(_ event: GarbageCollector.Event) {
    for effect in collector.step(event, now: now) {
      if case .authorize(_, let blocks) = effect { authorizations.append((now, blocks.count)) }
      if case .ended(let run) = effect { ended = run } else { pending.append(effect) }
    }
    mostWaiting = max(mostWaiting, pending.count)
  }

  /// Runs until the run has ended, or for so many steps.
  mutating func run(_ random: inout SeededRandom, steps: Int = 100_000) {
    for _ in 0..<steps where ended == nil { step(&random) }
  }

  mutating func step(_ random: inout SeededRandom) {
    if pending.isEmpty || Int.random(in: 0..<10, using: &random) == 0 {
      now += .milliseconds(100)
      return feed(.timer)
    }
    let effect = pending.remove(at: Int.random(in: 0..<pending.count, using: &random))
    if let answer = answer(effect) { feed(answer) }
  }

  mutating func answer(_ effect: GarbageCollector.Effect) -> GarbageCollector.Event? {
    let bits = bits
    switch effect {
    case .count(let request, let node, let partitions):
      return .counted(
        request, ask(node) { held in partitions.map { partition in held.count { $0.block.partition(bits: bits) == partition } } })
    case .list(let request, let node, let partition, let after, let limit):
      let epoch = collector.run.epoch
      return .listed(
        request,
        ask(node) { held in
          let rest = held.filter { block, copy in
            block.partition(bits: bits) == partition && copy.epoch < epoch && (after.map { block > $0 } ?? true)
          }
          let page = rest.prefix(limit)
          return GarbagePage(
            copies: page.map { GarbageCopy(block: $0.block, storedBytes: 10) }, next: rest.count > limit ? page.last?.block : nil)
        })
    case .judge(let request, let blocks):
      guard metadataFailsAt != "judge" else { return .judged(request, nil) }
      mostCandidates = max(mostCandidates, blocks.count)
      return .judged(request, blocks.compactMap { block in causes[block].map { GarbageVerdict(block: block, cause: $0) } })
    case .authorize(let request, let blocks):
      guard metadataFailsAt != "authorize" else { return .authorized(request, nil) }
      let granted = blocks.filter { causes[$0] != nil && !wantedLate.contains($0) }
      authorized.formUnion(granted)
      return .authorized(request, granted)
    case .delete(let request, let node, let blocks):
      deletesSent += 1
      for block in blocks where !authorized.contains(block) { Issue.record("\(block) is deleted and was not authorized") }
      let epoch = collector.run.epoch
      let answer = ask(node) { held in
        blocks.filter { block in held.contains { $0.block == block && $0.copy.epoch < epoch } }
      }
      guard case .done(let here) = answer else { return .deleted(request, answer.map { $0.count }) }
      for block in here { nodes[node]![block]!.isDeleted = true }
      return .deleted(request, .done(here.count))
    case .forget(let request):
      guard metadataFailsAt != "forget" else { return .forgotten(request, nil) }
      defer { rows = 0 }
      return .forgotten(request, rows)
    case .save(let request, let run):
      saved = run
      return .saved(request, metadataFailsAt != "save")
    case .ended: return nil
    }
  }

  private mutating func ask<Value>(
    _ node: NodeID, _ body: ([(block: BlockID, copy: Copy)]) -> Value
  ) -> GarbageAnswer<Value> {
    if silent.contains(node) { return .silent }
    if let left = refusing[node], left > 0 {
      refusing[node] = left - 1
      return .refused("busy")
    }
    return .done(body(nodes[node]!.filter { !$0.value.isDeleted }.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }))
  }

  /// Copies that count.
  func held(_ node: NodeID) -> Set<BlockID> { Set(nodes[node]!.filter { !$0.value.isDeleted }.keys) }
}

extension GarbageAnswer {
  func map<Other: Sendable>(_ change: (Value) -> Other) -> GarbageAnswer<Other> {
    switch self {
    case .done(let value): .done(change(value))
    case .silent: .silent
    case .refused(let reason): .refused(reason)
    }
  }
}
