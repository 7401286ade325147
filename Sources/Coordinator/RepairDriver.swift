internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Does what `RepairScheduler` decides: asks the database and the nodes, and brings the answers back.
///
/// What must hold: each request is answered once, with nothing where nothing came back. The scheduler bounds how many are under way.
final class RepairDriver: Sendable {
  private struct State {
    var scheduler: RepairScheduler
    var tasks: [UInt64: (node: NodeID?, task: Task<Void, Never>)] = [:]
    var nextTask: UInt64 = 0
    var isStopped = false
    /// `losses`: of the mark's node when its repair was done.
    var marks: [(request: RepairRequest, mark: ClusterService.RowMark, version: UInt64, losses: Int)] = []
    /// Disks that nodes lost, as far as the scheduler was told.
    var losses: [NodeID: Int] = [:]
    var isMarking = false
    /// Seals that wait to be asked for together, by node.
    var seals: [NodeID: [(request: RepairRequest, partition: Int, version: UInt64)]] = [:]
  }

  private static let blocksPerVerify = 32

  /// Owns this; `ClusterService.stop` lets go of it.
  private let service: ClusterService
  private let state: Mutex<State>

  init(service: ClusterService, view: RepairView, configuration: RepairScheduler.Configuration) {
    self.service = service
    state = Mutex(State(scheduler: RepairScheduler(configuration: configuration, view: view)))
  }

  var copied: (blocks: Int, bytes: Int64) { state.withLock { ($0.scheduler.copiedBlocks, $0.scheduler.copiedBytes) } }
  /// Bytes that moved although nothing was missing, and blocks that former replicas gave up.
  var moved: (bytes: Int64, blocks: Int) { state.withLock { ($0.scheduler.movedBytes, $0.scheduler.retiredBlocks) } }
  var recheck: RecheckProgress? { state.withLock { $0.scheduler.recheck } }
  var fills: (done: Int, left: Int) { state.withLock { ($0.scheduler.fillsDone, $0.scheduler.fillsLeft) } }

  func feed(_ event: RepairScheduler.Event) {
    let now = service.time.monotonic()
    state.withLock { state in
      guard !state.isStopped else { return }
      if case .diskLost(let node) = event { state.losses[node, default: 0] += 1 }
      for effect in state.scheduler.step(event, now: now) { begin(effect, &state) }
    }
  }

  /// Gives up what this node was asked: it is silent, and waiting for its answers holds others up.
  func cancel(_ node: NodeID) {
    let tasks = state.withLock { state in state.tasks.values.filter { $0.node == node }.map(\.task) }
    for task in tasks { task.cancel() }
  }

  func stop() {
    let tasks = state.withLock { state in
      state.isStopped = true
      return state.tasks.values.map(\.task)
    }
    for task in tasks { task.cancel() }
  }

  // MARK: Effects

  private func begin(_ effect: RepairScheduler.Effect, _ state: inout State) {
    switch effect {
    case .markFilled(let request, let partition, let target, let version, let epoch):
      return note(request, .filled(partition: partition, target: target, gcEpoch: epoch), version, &state)
    case .markRetired(let request, let partition, let source, let version):
      return note(request, .retired(partition: partition, source: source), version, &state)
    case .seal(let request, let source, let partition, let version):
      let isFirst = state.seals[source] == nil
      state.seals[source, default: []].append((request, partition, version))
      return isFirst ? spawn(source, &state) { await self.seal(source) } : ()
    default: break
    }
    let node: NodeID? =
      switch effect {
      case .check(_, let node, _, _): node
      case .copy(_, let target, _): target
      case .retire(_, let source, _, _, _, _): source
      case .compare(_, let target, _, _): target
      case .listHeld(_, let node, _, _, _): node
      case .list, .listRepairs, .markFilled, .markRetired, .seal, .clearRepairs, .voidReceipts: nil
      }
    spawn(node, &state) {
      let event = await self.answer(effect)
      self.feed(event)
    }
  }

  private func note(_ request: RepairRequest, _ mark: ClusterService.RowMark, _ version: UInt64, _ state: inout State) {
    state.marks.append((request, mark, version, state.losses[mark.node] ?? 0))
    guard !state.isMarking else { return }
    state.isMarking = true
    spawn(nil, &state) { await self.mark() }
  }

  private func spawn(_ node: NodeID?, _ state: inout State, _ work: @escaping @Sendable () async -> Void) {
    state.nextTask += 1
    let number = state.nextTask
    let task = Task {
      await work()
      self.state.withLock { _ = $0.tasks.removeValue(forKey: number) }
    }
    state.tasks[number] = (node, task)
  }

  private func answer(_ effect: RepairScheduler.Effect) async -> RepairScheduler.Event {
    switch effect {
    case .list(let request, let partition, let after, let limit):
      .listed(request, await list(partition, after, limit))
    case .listRepairs(let request, let after, let limit):
      .repairsListed(request, await rows(after, limit))
    case .check(let request, let node, let blocks, let reading):
      .checked(request, reading ? await verify(node, blocks) : await exist(node, blocks))
    case .copy(let request, let target, let items): .copied(request, await copy(target, items))
    case .clearRepairs(let request, let blocks, let version, let epoch): .settled(request, await clear(blocks, version, epoch))
    case .markFilled(let request, _, _, _, _), .markRetired(let request, _, _, _): .settled(request, false)
    case .seal(let request, _, _, _): .sealed(request, false)
    case .compare(let request, let target, let reference, let partition):
      .compared(request, await compare(target, reference, partition))
    case .listHeld(let request, let node, let partition, let after, let limit):
      .heldListed(request, await held(node, partition, after, limit))
    case .voidReceipts(let request, let source, let blocks, let version, let epoch):
      .settled(request, await void(source, blocks, version, epoch))
    case .retire(let request, let source, let partition, let blocks, let mark, let version):
      .retired(request, await retire(source, partition, blocks, mark, version))
    }
  }

  // MARK: Database

  private func list(_ partition: Int, _ after: BlockID?, _ limit: Int) async -> [RepairBlock]? {
    let bits = (try? service.withState { state in state.layout.partitionBits }) ?? 0
    do throws(MetadataError) {
      let blocks = try await service.metadata.liveBlocks(inPartition: partition, bits: bits, after: after, limit: limit)
      return blocks.map { RepairBlock(id: $0.id, size: $0.size, isReferenced: $0.isReferenced) }
    } catch {
      service.log.warning("live blocks could not be listed", ["reason": .string(error.message)])
      return nil
    }
  }

  private func rows(_ after: BlockID?, _ limit: Int) async -> [RepairBlock]? {
    do throws(MetadataError) {
      return try await service.metadata.repairs(after: after, limit: limit).map {
        RepairBlock(id: $0.block, size: $0.size, isReferenced: true, strays: $0.strays)
      }
    } catch {
      service.log.warning("repairs could not be listed", ["reason": .string(error.message)])
      return nil
    }
  }

  private func clear(_ blocks: [BlockID], _ version: UInt64, _ epoch: UInt64) async -> Bool {
    do throws(MetadataError) {
      try await service.metadata.clearRepairs(blocks, layoutVersion: version, gcEpoch: epoch)
      return true
    } catch {
      service.log.warning("repairs could not be cleared; trying again", ["reason": .string(error.message)])
      return false
    }
  }

  /// Marks what has come together in a moment by one transaction.
  private func mark() async {
    try? await Task.sleep(for: .milliseconds(5))
    let marks = state.withLock { state in
      defer {
        state.marks = []
        state.isMarking = false
      }
      return state.marks
    }
    var rest = marks
    while let version = rest.first?.version {
      let batch = rest.filter { $0.version == version }
      rest.removeAll { $0.version == version }
      let isDone = await service.mark(batch.map(\.mark), layoutVersion: version) { [self] in
        // What was confirmed before a disk was lost says nothing any more.
        state.withLock { state in batch.allSatisfy { $0.losses == state.losses[$0.mark.node] ?? 0 } }
      }
      for mark in batch { feed(.settled(mark.request, isDone)) }
    }
  }

  // MARK: Retiring

  /// Seals what has come together in a moment by one command: it costs the node a sync.
  private func seal(_ source: NodeID) async {
    try? await Task.sleep(for: .milliseconds(5))
    var rest = state.withLock { $0.seals.removeValue(forKey: source) } ?? []
    while let version = rest.first?.version {
      let batch = rest.filter { $0.version == version }
      rest.removeAll { $0.version == version }
      let command = NodeCommand.seal(partitions: batch.map(\.partition), layoutVersion: version)
      let isDone = await service.ask(source, command, ifLayout: version) == .sealed
      for seal in batch { feed(.sealed(seal.request, isDone)) }
    }
  }

  private func held(_ node: NodeID, _ partition: Int, _ after: BlockID?, _ limit: Int) async -> HeldPage? {
    let bits = (try? service.withState { state in state.layout.partitionBits }) ?? 0
    let command = NodeCommand.list(partition: partition, bits: bits, after: after, limit: limit)
    guard case .list(let blocks, _, let mark)? = await service.ask(node, command) else { return nil }
    return HeldPage(blocks: blocks.map { RepairBlock(id: $0.id, size: $0.size, isReferenced: false) }, mark: mark)
  }

  private func void(_ source: NodeID, _ blocks: [BlockID], _ version: UInt64, _ epoch: UInt64) async -> Bool {
    do throws(MetadataError) {
      try await service.metadata.voidReceipts(of: source, for: blocks, layoutVersion: version, gcEpoch: epoch)
      return true
    } catch {
      service.log.warning(
        "receipts could not be voided; trying again", ["node": .string(source.text), "reason": .string(error.message)])
      return false
    }
  }

  private func retire(_ source: NodeID, _ partition: Int, _ blocks: [BlockID], _ mark: UInt64, _ version: UInt64) async -> Bool {
    let bits = (try? service.withState { state in state.layout.partitionBits }) ?? 0
    let command = NodeCommand.retire(partition: partition, bits: bits, blocks: blocks, mark: mark)
    guard case .retire? = await service.ask(source, command, deadline: .seconds(30), ifLayout: version) else { return false }
    return true
  }

  // MARK: Nodes

  /// Whether both hold the same blocks of the partition.
  private func compare(_ target: NodeID, _ reference: NodeID, _ partition: Int) async -> Bool? {
    async let first = digest(target, partition)
    async let second = digest(reference, partition)
    guard let ours = await first, let theirs = await second else { return nil }
    return ours == theirs
  }

  /// Nil also when a disk that counts is not among those that the node has: then the digest is over what is left; and when bad copies were
  /// set aside: two nodes that lack the same block would vouch for each other, and the report of it may yet be lost with its disk.
  private func digest(_ node: NodeID, _ partition: Int) async -> [UInt64]? {
    let bits = (try? service.withState { state in state.layout.partitionBits }) ?? 0
    guard
      case .digest(let counts, let words, let disks, let asides)? = await service.ask(node, .digest(partitions: [partition], bits: bits)),
      counts.count == 1, words.count == 1, asides == [0],
      (try? service.withState({ state in state.node(node)?.record.disks.allSatisfy(disks.contains) ?? false })) == true
    else { return nil }
    return [UInt64(clamping: counts[0])] + words[0]
  }

  private func exist(_ node: NodeID, _ blocks: [BlockID]) async -> [RepairCheck]? {
    guard let reply = await service.ask(node, .exist(blocks: blocks)), case .exist(let present) = reply,
      present.utf8.count == blocks.count
    else { return nil }
    return present.utf8.map { $0 == UInt8(ascii: "1") ? .present : .missing }
  }

  private func verify(_ node: NodeID, _ blocks: [BlockID]) async -> [RepairCheck]? {
    var checks: [RepairCheck] = []
    var rest = blocks[...]
    while !rest.isEmpty {
      let part = Array(rest.prefix(RepairDriver.blocksPerVerify))
      guard let outcomes = await service.verify(node, part) else { return nil }
      checks += outcomes.map { outcome in
        switch outcome {
        case .valid: .present
        case .missing: .missing
        case .rotten, .unreadable: .damaged
        }
      }
      rest = rest.dropFirst(part.count)
    }
    return checks
  }

  private func copy(_ target: NodeID, _ items: [RepairCopy]) async -> [RepairCopyOutcome]? {
    guard
      let sources = try? service.withState({ state in
        items.map { item in item.sources.compactMap { state.node($0).map { state.target($0.record) } } }
      })
    else { return nil }
    let command = zip(items, sources).map { item, sources in
      CopyItem(
        block: item.block, size: item.size,
        sources: sources.map { source in
          SignedTarget(
            node: source.node, zone: source.zone, url: service.client.url(.record, block: item.block, size: item.size, source))
        })
    }
    guard let reply = await service.ask(target, .copy(items: command), deadline: .seconds(90)), case .copy(let outcomes) = reply,
      outcomes.count == items.count
    else { return nil }
    return outcomes.map { outcome in
      switch outcome {
      case .copied: .copied
      case .present: .present
      case .sourceMissing: .sourceMissing
      case .failed: .failed
      case .full: .full
      }
    }
  }
}

extension ClusterService {
  /// A node's reply; nil when none came or it was no reply to this, which is logged.
  /// - Parameter version: asks only while this is the layout, and signs under it.
  func ask(
    _ node: NodeID, _ command: NodeCommand, deadline: Duration? = nil, ifLayout version: UInt64? = nil
  ) async -> NodeCommandReply? {
    let found = try? withState { state -> ClusterNodeClient.Target? in
      guard version == nil || version == state.layout.version else { return nil }
      return state.node(node).map { state.target($0.record) }
    }
    guard let target = found ?? nil else { return nil }
    do throws(NodeClientError) {
      return try await client.send(command, to: target, deadline: deadline ?? configuration.commandDeadline)
    } catch {
      log.warning("a node did not do what it was asked", ["node": .string(node.text), "reason": .string(error.message)])
      return nil
    }
  }

  /// Has the node read these copies back and re-hash them; nil when it did not answer. At most 256.
  func verify(_ node: NodeID, _ blocks: [BlockID]) async -> [VerifyOutcome]? {
    guard let reply = await ask(node, .verify(blocks: blocks), deadline: .seconds(60)), case .verify(let outcomes) = reply,
      outcomes.count == blocks.count
    else { return nil }
    return outcomes
  }
}
