internal import BlockModel

/// One partition being worked on, page by page. A page ends where the shortest list of a node that has more ends, so that every holder of
/// a candidate is known when it is judged.
struct GarbageLane: Sendable {
  struct Candidate: Sendable {
    var block: BlockID
    /// Sorted.
    var holders: [NodeID]
    var bytes: [Int]
  }

  var partition: Int
  /// Everything up to here is done.
  var after: BlockID?
  /// The present page ends here; nil when it is the last one.
  var through: BlockID?
  /// Nodes that may have more of it, sorted.
  var nodes: [NodeID]
  var pages: [(node: NodeID, page: GarbagePage)] = []
  var candidates: [Candidate] = []
  /// Unwanted and not yet authorized.
  var queue: [GarbageVerdict] = []
  /// Sent to be authorized.
  var batch: [GarbageVerdict] = []
  /// Answers of nodes that are waited for.
  var waiting = 0
  /// The queue waits for its turn.
  var isPaced = false

  init(partition: Int, nodes: [NodeID]) {
    self.partition = partition
    self.nodes = nodes
  }

  func candidate(_ block: BlockID) -> Candidate? {
    let index = candidates.partitionPoint { $0.block < block }
    return index < candidates.count && candidates[index].block == block ? candidates[index] : nil
  }

  /// Makes the nodes' lists into candidates, each once with its holders.
  mutating func merge() {
    through = pages.compactMap(\.page.next).min()
    var copies: [(copy: GarbageCopy, node: NodeID)] = []
    var more: [NodeID] = []
    for (node, page) in pages {
      let within = page.copies.filter { copy in through.map { copy.block <= $0 } ?? true }
      if page.next != nil || within.count < page.copies.count { more.append(node) }
      copies += within.map { ($0, node) }
    }
    nodes = more.sorted()
    pages = []
    candidates = []
    for (copy, node) in copies.sorted(by: { ($0.copy.block, $0.node) < ($1.copy.block, $1.node) }) {
      if candidates.last?.block != copy.block { candidates.append(Candidate(block: copy.block, holders: [], bytes: [])) }
      guard candidates[candidates.count - 1].holders.last != node else { continue }
      candidates[candidates.count - 1].holders.append(node)
      candidates[candidates.count - 1].bytes.append(copy.storedBytes)
    }
  }
}

extension GarbageCollector {
  private func lane(of partition: Int) -> Int? { lanes.firstIndex { $0.partition == partition } }

  // MARK: - Counting

  /// Asks what the nodes hold in the next partitions.
  mutating func count(_ first: Int, _ effects: inout [Effect]) {
    if run.phase == .marking {
      // A node that comes while marking goes on has partitions that nobody marked.
      if first == 0 { note { [members] in $0.nodes = members } }
      note { [members] run in
        let gone = run.nodes.filter { !members.contains($0) }
        run.nodes.removeAll { gone.contains($0) }
        run.skipped = (run.skipped + gone.filter { !run.skipped.contains($0) }).sorted()
      }
    }
    countedPartitions = first..<min(first + GarbageCollector.countedAtOnce, run.partitionCount)
    asked = run.nodes.filter(members.contains)
    for node in run.nodes where !asked.contains(node) { skip(node) }
    counts = asked.map { _ in [] }
    isCounting = !asked.isEmpty
    for node in asked { effects.append(.count(open(.count(countedPartitions), node), node, countedPartitions)) }
  }

  mutating func counted(
    _ request: GarbageRequest, _ answer: GarbageAnswer<[Int]>, _ now: MonotonicTime, _ effects: inout [Effect]
  ) {
    guard let ticket = close(request), let node = ticket.node else { return }
    switch answer {
    case .done(let numbers) where numbers.count == countedPartitions.count:
      if let place = asked.firstIndex(of: node) {
        counts[place] = numbers
        if run.phase == .marking { note { $0.marked.held += numbers.reduce(0, +) } }
      }
    case .done: return refused(ticket, "it counted other partitions than it was asked for", now, &effects)
    case .silent: skip(node)
    case .refused(let reason): return refused(ticket, reason, now, &effects)
    }
    isCounting = outstanding.contains { if case .count = $0.kind { true } else { false } }
  }

  // MARK: - Lanes

  mutating func startLanes(_ now: MonotonicTime, _ effects: inout [Effect]) {
    guard !isCounting else { return }
    for partition in lanes.filter(\.isPaced).map(\.partition) { authorizeNext(partition, now, &effects) }
    while !isEnded, lanes.count < configuration.lanes, countedPartitions.contains(nextPartition) {
      let partition = nextPartition
      nextPartition += 1
      let holders = asked.indices.filter { counts[$0][partition - countedPartitions.lowerBound] > 0 }.map { asked[$0] }
      guard !holders.isEmpty else { continue }
      lanes.append(GarbageLane(partition: partition, nodes: holders))
      list(partition, &effects)
    }
    note { [lanes, nextPartition] in $0.partition = lanes.first?.partition ?? nextPartition }
  }

  private mutating func list(_ partition: Int, _ effects: inout [Effect]) {
    guard let index = lane(of: partition) else { return }
    lanes[index].nodes = lanes[index].nodes.filter(asked.contains)
    guard !lanes[index].nodes.isEmpty else { return finish(partition) }
    lanes[index].waiting = lanes[index].nodes.count
    for node in lanes[index].nodes {
      effects.append(
        .list(
          open(.list, node, partition: partition), node, partition: partition, after: lanes[index].after, limit: configuration.pageBlocks))
    }
  }

  private mutating func finish(_ partition: Int) { lanes.removeAll { $0.partition == partition } }

  mutating func listed(
    _ request: GarbageRequest, _ answer: GarbageAnswer<GarbagePage>, _ now: MonotonicTime, _ effects: inout [Effect]
  ) {
    guard let ticket = close(request), let node = ticket.node, let index = lane(of: ticket.partition) else { return }
    switch answer {
    case .done(let page):
      if let next = page.next, let after = lanes[index].after, next <= after {
        return refused(ticket, "its list does not go on", now, &effects)
      }
      lanes[index].pages.append((node, page))
    case .silent: skip(node)
    case .refused(let reason): return refused(ticket, reason, now, &effects)
    }
    lanes[index].waiting -= 1
    guard lanes[index].waiting == 0 else { return }
    lanes[index].merge()
    guard !lanes[index].candidates.isEmpty else { return nextPage(ticket.partition, &effects) }
    effects.append(.judge(open(.judge, partition: ticket.partition), lanes[index].candidates.map(\.block)))
  }

  private mutating func nextPage(_ partition: Int, _ effects: inout [Effect]) {
    guard let index = lane(of: partition) else { return }
    guard let through = lanes[index].through else { return finish(partition) }
    lanes[index].after = through
    list(partition, &effects)
  }

  mutating func judged(_ request: GarbageRequest, _ verdicts: [GarbageVerdict]?, _ effects: inout [Effect]) {
    guard let ticket = close(request), let index = lane(of: ticket.partition) else { return }
    guard let verdicts else { return stop(GarbageCollector.metadataFailed, &effects) }
    let known = verdicts.filter { lanes[index].candidate($0.block) != nil }
    guard run.phase == .deleting else {
      for verdict in known {
        guard let candidate = lanes[index].candidate(verdict.block) else { continue }
        note { run in
          run.marked.count(verdict.cause, holders: candidate.holders.count)
          run.marked.copies += candidate.holders.count
          run.marked.bytes += Int64(candidate.bytes.reduce(0, +))
        }
      }
      return nextPage(ticket.partition, &effects)
    }
    lanes[index].queue = known
    // Authorized in its turn, by what follows each event.
    lanes[index].isPaced = true
  }

  // MARK: - Deleting

  private mutating func authorizeNext(_ partition: Int, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let index = lane(of: partition) else { return }
    guard !lanes[index].queue.isEmpty else {
      lanes[index].isPaced = false
      return nextPage(partition, &effects)
    }
    lanes[index].isPaced = now < paceAt
    guard !lanes[index].isPaced else { return }
    let batch = Array(lanes[index].queue.prefix(configuration.batchBlocks))
    lanes[index].queue.removeFirst(batch.count)
    lanes[index].batch = batch
    let cost = Duration.nanoseconds(Int64(batch.count) * 1_000_000_000 / Int64(max(1, configuration.blocksPerSecond)))
    paceAt = max(paceAt, now) + cost
    effects.append(.authorize(open(.authorize, partition: partition), batch.map(\.block)))
  }

  mutating func authorized(_ request: GarbageRequest, _ blocks: [BlockID]?, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let ticket = close(request), let index = lane(of: ticket.partition) else { return }
    guard let blocks else { return stop(GarbageCollector.metadataFailed, &effects) }
    let granted = lanes[index].batch.filter { blocks.contains($0.block) }
    lanes[index].batch = []
    for verdict in granted {
      let holders = lanes[index].candidate(verdict.block)?.holders.count ?? 0
      note { $0.deleted.count(verdict.cause, holders: holders) }
    }
    guard !hasTooManyUnlogged(run.deleted) else {
      return stop("More blocks without a logged dereference came up than were marked: the rest was not deleted.", &effects)
    }
    let candidates = granted.compactMap { lanes[index].candidate($0.block) }
    var waiting = 0
    for node in asked {
      var part: [BlockID] = []
      var bytes: Int64 = 0
      for candidate in candidates {
        guard let place = candidate.holders.firstIndex(of: node) else { continue }
        part.append(candidate.block)
        bytes += Int64(candidate.bytes[place])
      }
      guard !part.isEmpty else { continue }
      waiting += 1
      effects.append(.delete(open(.delete(part, bytes: bytes), node, partition: ticket.partition), node, part))
    }
    lanes[index].waiting = waiting
    if waiting == 0 { lanes[index].isPaced = true }
  }

  mutating func deleted(_ request: GarbageRequest, _ answer: GarbageAnswer<Int>, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard let ticket = close(request), case .delete(let blocks, let bytes) = ticket.kind, let node = ticket.node,
      let index = lane(of: ticket.partition)
    else { return }
    switch answer {
    case .done(let copies):
      let share = min(max(0, copies), blocks.count)
      note { run in
        run.deleted.copies += share
        run.deleted.bytes += bytes * Int64(share) / Int64(max(1, blocks.count))
      }
    case .silent: skip(node)
    case .refused(let reason): return refused(ticket, reason, now, &effects)
    }
    lanes[index].waiting -= 1
    if lanes[index].waiting == 0 { lanes[index].isPaced = true }
  }

  // MARK: - Refusals

  /// The node is asked once more later; one that keeps refusing ends the run.
  private mutating func refused(_ ticket: GarbageTicket, _ reason: String, _ now: MonotonicTime, _ effects: inout [Effect]) {
    guard ticket.attempt < configuration.attempts else {
      return stop("Node \(ticket.node?.text ?? "") did not do what it was asked: \(reason)", &effects)
    }
    var again = ticket
    again.attempt += 1
    again.againAt = now + configuration.retryAfter
    outstanding.append(again)
  }

  mutating func askAgain(_ now: MonotonicTime, _ effects: inout [Effect]) {
    for index in outstanding.indices {
      guard let at = outstanding[index].againAt, at <= now, let node = outstanding[index].node else { continue }
      outstanding[index].againAt = nil
      let ticket = outstanding[index]
      switch ticket.kind {
      case .count(let range): effects.append(.count(ticket.request, node, range))
      case .list:
        let after = lane(of: ticket.partition).flatMap { lanes[$0].after }
        effects.append(.list(ticket.request, node, partition: ticket.partition, after: after, limit: configuration.pageBlocks))
      case .delete(let blocks, _): effects.append(.delete(ticket.request, node, blocks))
      case .judge, .authorize, .forget, .save: break
      }
    }
  }
}
