internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Does what `GarbageCollector` decides: asks the database and the nodes, and brings the answers back.
///
/// What must hold: each request is answered once; a delete is signed with the epoch of its run, never another.
final class GarbageDriver: Sendable {
  private struct State {
    var collector: GarbageCollector
    var tasks: [UInt64: (node: NodeID?, task: Task<Void, Never>)] = [:]
    var nextTask: UInt64 = 0
    var isStopped = false
    var members: (nodes: [NodeID], areAll: Bool)
  }

  private static let countDeadline: Duration = .seconds(60)
  private static let deadline: Duration = .seconds(30)
  private static let rowsForgotten = 1000

  let purpose: GarbageCollector.Purpose
  private let generation: UInt64
  private let metadata: any GarbageMetadata
  /// Owns this; `ClusterService.stop` lets go of it.
  private let service: ClusterService
  private let state: Mutex<State>

  init(
    service: ClusterService, metadata: any GarbageMetadata, collector: GarbageCollector, purpose: GarbageCollector.Purpose,
    generation: UInt64, members: (nodes: [NodeID], areAll: Bool)
  ) {
    self.service = service
    self.metadata = metadata
    self.purpose = purpose
    self.generation = generation
    state = Mutex(State(collector: collector, members: members))
  }

  var run: GarbageRun { state.withLock { $0.collector.run } }
  /// Whether the last effect was done and recorded.
  var isEnded: Bool { state.withLock { $0.collector.isEnded && $0.tasks.isEmpty } }

  func feed(_ event: GarbageCollector.Event) {
    let now = service.time.monotonic()
    state.withLock { state in
      guard !state.isStopped else { return }
      for effect in state.collector.step(event, now: now) { begin(effect, &state) }
    }
  }

  /// Tells which nodes answer, when that is news, and gives up what the others were asked.
  func tell(_ nodes: [NodeID], areAll: Bool) {
    let silent = state.withLock { state -> [Task<Void, Never>]? in
      guard state.members.nodes != nodes || state.members.areAll != areAll else { return nil }
      state.members = (nodes, areAll)
      return state.tasks.values.filter { $0.node.map { !nodes.contains($0) } ?? false }.map(\.task)
    }
    guard let silent else { return }
    for task in silent { task.cancel() }
    feed(.nodes(nodes, areAll: areAll))
  }

  /// Ends what is under way without a record: the run stays open for the next coordinator.
  func stop() {
    let tasks = state.withLock { state in
      state.isStopped = true
      return state.tasks.values.map(\.task)
    }
    for task in tasks { task.cancel() }
  }

  private func begin(_ effect: GarbageCollector.Effect, _ state: inout State) {
    let node: NodeID? =
      switch effect {
      case .count(_, let node, _), .list(_, let node, _, _, _), .delete(_, let node, _): node
      case .judge, .authorize, .forget, .save, .ended: nil
      }
    // What is still under way is waited for by nobody.
    if case .ended = effect { for (_, task) in state.tasks.values { task.cancel() } }
    state.nextTask += 1
    let number = state.nextTask
    let epoch = state.collector.run.epoch
    let run = state.collector.run.number
    let task = Task {
      let event = await self.answer(effect, run: run, epoch: epoch)
      self.state.withLock { _ = $0.tasks.removeValue(forKey: number) }
      if let event { self.feed(event) }
    }
    state.tasks[number] = (node, task)
  }

  private func answer(_ effect: GarbageCollector.Effect, run: UInt64, epoch: UInt64) async -> GarbageCollector.Event? {
    switch effect {
    case .count(let request, let node, let partitions): return .counted(request, await count(node, partitions))
    case .list(let request, let node, let partition, let after, let limit):
      return .listed(request, await list(node, epoch, partition, after, limit))
    case .judge(let request, let blocks):
      return .judged(
        request, await ask("judge") { () throws(MetadataError) in try await metadata.garbageVerdicts(on: blocks, below: epoch) })
    case .authorize(let request, let blocks):
      let generation = generation
      return .authorized(
        request,
        await ask("authorize") { () throws(MetadataError) in
          try await metadata.authorizeDeletes(of: blocks, run: run, generation: generation)
        })
    case .delete(let request, let node, let blocks): return .deleted(request, await delete(node, blocks, epoch))
    case .forget(let request):
      let generation = generation
      return .forgotten(
        request,
        await ask("forget") { () throws(MetadataError) in
          try await metadata.forgetGarbage(run: run, generation: generation, limit: GarbageDriver.rowsForgotten)
        })
    case .save(let request, let run): return .saved(request, await save(run))
    case .ended(let run):
      let isSaved = purpose == .collect ? await save(run) : false
      service.garbageEnded(run, purpose, isSaved: isSaved)
      return nil
    }
  }

  // MARK: - Metadata

  private func ask<Value: Sendable>(_ what: String, _ body: () async throws(MetadataError) -> Value) async -> Value? {
    do throws(MetadataError) { return try await body() } catch {
      service.log.warning("the garbage collector's metadata failed it", ["doing": .string(what), "reason": .string(error.message)])
      return nil
    }
  }

  private func save(_ run: GarbageRun) async -> Bool {
    let generation = generation
    return await ask("save") { () throws(MetadataError) in try await metadata.saveGarbageRun(run, generation: generation) } != nil
  }

  // MARK: - Nodes

  private func count(_ node: NodeID, _ partitions: Range<Int>) async -> GarbageAnswer<[Int]> {
    let reply = await service.request(
      node, .digest(partitions: Array(partitions), bits: service.partitionBits), deadline: GarbageDriver.countDeadline)
    return reply.map { reply in if case .digest(let counts, _, _, _) = reply { counts } else { nil } }
  }

  private func list(_ node: NodeID, _ epoch: UInt64, _ partition: Int, _ after: BlockID?, _ limit: Int) async -> GarbageAnswer<GarbagePage>
  {
    let command = NodeCommand.listBelow(epoch: epoch, partition: partition, bits: service.partitionBits, after: after, limit: limit)
    return await service.request(node, command, deadline: GarbageDriver.deadline).map { reply in
      guard case .listBelow(let blocks, let bytes, let next) = reply, blocks.count == bytes.count else { return nil }
      return GarbagePage(copies: zip(blocks, bytes).map { GarbageCopy(block: $0, storedBytes: $1) }, next: next)
    }
  }

  private func delete(_ node: NodeID, _ blocks: [BlockID], _ epoch: UInt64) async -> GarbageAnswer<Int> {
    let reply = await service.request(node, .delete(blocks: blocks), deadline: GarbageDriver.deadline, gcEpoch: epoch)
    return reply.map { reply in if case .delete(let deleted) = reply { deleted } else { nil } }
  }
}

extension GarbageAnswer {
  /// An answer that is none to the question counts as a refusal.
  fileprivate func map<Other: Sendable>(_ read: (Value) -> Other?) -> GarbageAnswer<Other> {
    switch self {
    case .done(let value): read(value).map { .done($0) } ?? .refused("its answer is none to the question")
    case .silent: .silent
    case .refused(let reason): .refused(reason)
    }
  }
}

extension ClusterService {
  var partitionBits: Int { (try? withState { state in state.layout.partitionBits }) ?? 0 }

  /// What a node that lives answers to a command of the garbage collector.
  /// - Parameter gcEpoch: what the command is signed with; nil for the present one.
  func request(
    _ node: NodeID, _ command: NodeCommand, deadline: Duration, gcEpoch: UInt64? = nil
  ) async -> GarbageAnswer<NodeCommandReply> {
    let found = try? withState { state -> ClusterNodeClient.Target? in
      guard state.liveness(node) == .alive else { return nil }
      return state.node(node).map { state.target($0.record) }
    }
    guard var target = found ?? nil else { return .silent }
    target.gcEpoch = gcEpoch ?? target.gcEpoch
    do throws(NodeClientError) { return .done(try await client.send(command, to: target, deadline: deadline)) } catch {
      return error.code == .unreachable ? .silent : .refused(error.message)
    }
  }
}
