import BlockModel
import ClusterLogic
import Coordinator
import Credentials
import HTTPTransport
import MetadataStore
import Platform
import ServiceAPI
import Synchronization

func node(_ number: Int) -> NodeID { NodeID("node-\(number)")! }
func zone(_ number: Int) -> ZoneID { ZoneID("zone-\(number)")! }

/// `ClusterMetadata` in memory, with what a test wants to break.
final class FakeMetadata: ClusterMetadata {
  struct State {
    var generation: UInt64 = 0
    var layouts: [Layout] = []
    var filling: [Int: FillingPartition] = [:]
    var nodes: [NodeID: NodeRecord] = [:]
    var live: [LiveBlock] = []
    var repairs: [BlockID: RepairRow] = [:]
    var epochs: [UInt32: DataKeyEpochRecord] = [:]
    var findings: [RecountFinding] = []
    var uses: [BlockID: BlockUses] = [:]
    var isBroken = false
    /// The next layout is committed, and nobody hears of it.
    var losesLayoutAnswer = false
    var countQueries = 0
    var staged: [StagedRole] = []
    var rebalance = RebalanceRecord()
    var notes: [LayoutNote] = []
    /// Blocks whose receipts were voided, by node.
    var voided: [NodeID: Set<BlockID>] = [:]
    var tuning: [ClusterTuning.Value] = []
  }

  let identity = ClusterIdentity(
    cluster: ClusterID(high: 1, low: 2), partitionBits: 4, replicationFactor: 3, writeQuorum: 2)
  let state = Mutex(State())

  private func use<T: Sendable>(_ body: (inout State) throws(MetadataError) -> T) throws(MetadataError) -> T {
    let result: Result<T, MetadataError> = state.withLock { state in
      guard !state.isBroken else { return .failure(MetadataError(.unavailable, "the database is away")) }
      do throws(MetadataError) { return .success(try body(&state)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  func clusterIdentity() async throws(MetadataError) -> ClusterIdentity { identity }

  func raiseGeneration() async throws(MetadataError) -> UInt64 {
    try use { state in
      state.generation += 1
      return state.generation
    }
  }

  func currentLayout() async throws(MetadataError) -> Layout {
    try use { state in
      state.layouts.last ?? .empty(partitionBits: 4, replicationFactor: 3, writeQuorum: 2)
    }
  }

  func layoutHistory(limit: Int) async throws(MetadataError) -> [Layout] {
    try use { state in Array(state.layouts.reversed().prefix(limit)) }
  }

  func layoutRecords(limit: Int) async throws(MetadataError) -> [LayoutRecord] {
    try use { state in
      zip(state.layouts, state.notes).map { LayoutRecord(layout: $0, committedAt: nil, cause: $1.cause) }.reversed().prefix(limit).map {
        $0
      }
    }
  }

  func stagedRoles() async throws(MetadataError) -> [StagedRole] { try use { state in state.staged } }
  func saveStagedRoles(_ roles: [StagedRole]) async throws(MetadataError) { try use { state in state.staged = roles } }
  func rebalance() async throws(MetadataError) -> RebalanceRecord { try use { state in state.rebalance } }
  func saveRebalance(_ record: RebalanceRecord) async throws(MetadataError) { try use { state in state.rebalance = record } }

  func tuning() async throws(MetadataError) -> [ClusterTuning.Value] { try use { state in state.tuning } }
  func saveTuning(_ values: [ClusterTuning.Value]) async throws(MetadataError) { try use { state in state.tuning = values } }

  func commitLayout(
    _ layout: Layout, expectedVersion: UInt64, filling: [FillingPartition], note: LayoutNote
  ) async throws(MetadataError) {
    try use { (state) throws(MetadataError) in
      guard (state.layouts.last?.version ?? 0) == expectedVersion else { throw MetadataError(.conflict, "another layout is newer") }
      state.layouts.append(layout)
      state.notes.append(note)
      if note.clearsStaged { state.staged = [] }
      if let rebalance = note.rebalance { state.rebalance = rebalance }
      state.filling = Dictionary(uniqueKeysWithValues: filling.map { ($0.partition, $0) })
      guard !state.losesLayoutAnswer else {
        state.losesLayoutAnswer = false
        throw MetadataError(.unavailable, "whether it happened is not known")
      }
    }
  }

  func fillingPartitions() async throws(MetadataError) -> [FillingPartition] {
    try use { state in state.filling.values.sorted { $0.partition < $1.partition } }
  }

  func updateFilling(_ rows: [FillingPartition], filled: [FilledPartition], layoutVersion: UInt64) async throws(MetadataError) {
    try use { (state) throws(MetadataError) in
      guard state.layouts.last?.version == layoutVersion else { throw MetadataError(.conflict, "another layout is newer") }
      for row in rows { state.filling[row.partition] = row.targets.isEmpty && row.sources.isEmpty ? nil : row }
    }
  }

  func nodes() async throws(MetadataError) -> [NodeRecord] { try use { state in state.nodes.values.sorted { $0.id < $1.id } } }
  func saveNode(_ node: NodeRecord) async throws(MetadataError) { try use { state in state.nodes[node.id] = node } }

  func liveBlocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) async throws(MetadataError) -> [LiveBlock] {
    try use { state in
      Array(state.live.filter { $0.id.partition(bits: bits) == partition && (after == nil || $0.id > after!) }.prefix(limit))
    }
  }

  func referencedBlockCounts() async throws(MetadataError) -> [Int] {
    try use { state in
      state.countQueries += 1
      var counts = [Int](repeating: 0, count: 16)
      for block in state.live where block.isReferenced { counts[block.id.partition(bits: 4)] += 1 }
      return counts
    }
  }

  func repairs(after: BlockID?, limit: Int) async throws(MetadataError) -> [RepairRow] {
    try use { state in
      Array(state.repairs.values.sorted { $0.block < $1.block }.filter { after == nil || $0.block > after! }.prefix(limit))
    }
  }

  func repairCount() async throws(MetadataError) -> Int { try use { state in state.repairs.count } }

  func addRepairs(_ blocks: [BlockID]) async throws(MetadataError) {
    try use { state in
      for block in blocks {
        guard let live = state.live.first(where: { $0.id == block && $0.isReferenced }) else { continue }
        if state.repairs[block] == nil { state.repairs[block] = RepairRow(block: block, size: live.size, strays: []) }
      }
    }
  }

  func clearRepairs(_ blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) async throws(MetadataError) {
    try use { (state) throws(MetadataError) in
      guard state.layouts.last?.version == layoutVersion else { throw MetadataError(.conflict, "another layout is newer") }
      for block in blocks { state.repairs[block] = nil }
    }
  }

  func voidReceipts(of node: NodeID, for blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) async throws(MetadataError) {
    try use { (state) throws(MetadataError) in
      guard state.layouts.last?.version == layoutVersion else { throw MetadataError(.conflict, "another layout is newer") }
      state.voided[node, default: []].formUnion(blocks)
    }
  }

  func strays(of blocks: [BlockID]) async throws(MetadataError) -> [BlockID: [NodeID]] {
    try use { state in
      var found: [BlockID: [NodeID]] = [:]
      for block in blocks { if let row = state.repairs[block], !row.strays.isEmpty { found[block] = row.strays } }
      return found
    }
  }

  func dataKeyEpochs() async throws(MetadataError) -> [DataKeyEpochRecord] { try use { state in Array(state.epochs.values) } }

  func saveDataKeyEpoch(_ record: DataKeyEpochRecord) async throws(MetadataError) -> DataKeyEpochRecord {
    try use { state in
      if let known = state.epochs[record.epoch], known.founder != record.founder || !known.check.isEmpty { return known }
      state.epochs[record.epoch] = record
      return record
    }
  }

  func gcEpoch() async throws(MetadataError) -> UInt64 { 1 }

  func uses(of block: BlockID, limit: Int) async throws(MetadataError) -> BlockUses {
    try use { state in
      if let uses = state.uses[block] { return uses }
      guard let live = state.live.first(where: { $0.id == block }) else { return BlockUses(size: nil, uses: [], leases: []) }
      return BlockUses(size: live.size, uses: [.init(owner: "ann", path: "/a", version: 1)], leases: [])
    }
  }

  func recount() async throws(MetadataError) -> [RecountFinding] { try use { state in state.findings } }
}

/// Storage nodes behind a fake client: each checks that what it is asked is signed for it.
final class FakeNodes: HTTPRequesting {
  struct Node {
    var blocks: Set<BlockID> = []
    var rotten: Set<BlockID> = []
    /// Bad copies set aside, of which no coordinator was told.
    var asides: Set<BlockID> = []
    /// Those that its digests are over.
    var digestDisks = FakeNodes.disks
    var isUp = true
    /// Serves anybody: what an audit must find.
    var isOpen = false
    var copies = 0
    var scrub: ScrubAction?
    var seals: [Int: UInt64] = [:]
    /// Blocks given up, and what was wrong with that.
    var retired: Set<BlockID> = []
    var faults: [String] = []
    /// Blocks set aside, and the epochs of their deletes.
    var deleted: [BlockID: UInt64] = [:]
  }

  private let verifiers: [NodeID: CapabilityVerifier]
  private let wall: any TimeSource
  let state: Mutex<[NodeID: Node]>
  let refused = Atomic<Int>(0)

  init(_ nodes: [NodeID], secret: ClusterSecret, cluster: ClusterID, time: any TimeSource) {
    verifiers = Dictionary(uniqueKeysWithValues: nodes.map { ($0, CapabilityVerifier(keys: secret.nodeKeys($0, cluster: cluster))) })
    state = Mutex(Dictionary(uniqueKeysWithValues: nodes.map { ($0, Node()) }))
    wall = time
  }

  /// Every disk that a test gives to a node: digests here are over all of them.
  static let disks = [7, 8, 99].flatMap { high in (0..<100).map { DiskID(high: high, low: $0) } }

  static func address(_ node: NodeID) -> String { "http://\(node.text).test:7000" }

  func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
    let rest = request.url.dropFirst("http://".count)
    let host = NodeID(String(rest.prefix { $0 != "." }))!
    let pathAndQuery = rest.drop { $0 != "/" }
    let path = String(pathAndQuery.prefix { $0 != "?" })
    let query = pathAndQuery.drop { $0 != "?" }.dropFirst().split(separator: "&").map { pair in
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : "")
    }
    guard state.withLock({ $0[host]?.isUp }) == true else { throw HTTPClientError(code: .cannotConnect, message: "connection refused") }
    let id = String(path.split(separator: "/").last!)
    guard let capability = try? verifiers[host]!.verify(block: id, query: query, operations: [.control, .get], now: wall.wall()) else {
      refused.add(1, ordering: .relaxed)
      let isOpen = state.withLock { $0[host]!.isOpen }
      return HTTPClientResponse(status: isOpen ? 200 : 403, headers: [:], bytes: [], count: 0)
    }
    if capability.operation == .get { return HTTPClientResponse(status: 404, headers: [:], bytes: [], count: 0) }
    guard case .bytes(let body) = request.body, body.count == capability.size,
      body.withUnsafeBytes({ BlockID(words: SHA256Hasher.hash($0)) }) == capability.block,
      let command = try? JSONCoding.decode(NodeCommand.self, from: body)
    else { return HTTPClientResponse(status: 422, headers: [:], bytes: [], count: 0) }
    let reply = answer(command, at: host, capability.layoutVersion, capability.gcEpoch)
    let bytes = (try? JSONCoding.encode(reply)) ?? []
    return HTTPClientResponse(status: 200, headers: [:], bytes: bytes, count: bytes.count)
  }

  func stream(
    _ request: HTTPClientRequest, onHead: @escaping @Sendable (HTTPClientResponse) -> Void,
    onBytes: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
  ) async throws(HTTPClientError) { throw HTTPClientError(code: .cannotConnect, message: "nothing streams here") }

  private func answer(_ command: NodeCommand, at host: NodeID, _ layoutVersion: UInt64, _ gcEpoch: UInt64) -> NodeCommandReply {
    state.withLock { nodes in
      switch command {
      case .exist(let blocks): return .exist(present: String(blocks.map { nodes[host]!.blocks.contains($0) ? "1" : "0" }))
      case .verify(let blocks):
        return .verify(
          outcomes: blocks.map { block in
            if nodes[host]!.rotten.remove(block) != nil {
              nodes[host]!.blocks.remove(block)
              return .rotten
            }
            return nodes[host]!.blocks.contains(block) ? .valid : .missing
          })
      case .copy(let items):
        return .copy(
          outcomes: items.map { item in
            if nodes[host]!.blocks.contains(item.block) { return .present }
            let up = item.sources.map(\.node).filter { nodes[$0]!.isUp }
            guard up.contains(where: { nodes[$0]!.blocks.contains(item.block) && !nodes[$0]!.rotten.contains(item.block) }) else {
              return up.count == item.sources.count ? .sourceMissing : .failed
            }
            nodes[host]!.blocks.insert(item.block)
            nodes[host]!.copies += 1
            return .copied
          })
      case .scrub(let action):
        nodes[host]!.scrub = action
        return .done
      case .digest(let partitions, let bits):
        let counts = partitions.map { partition in nodes[host]!.blocks.count { $0.partition(bits: bits) == partition } }
        let words = partitions.map { partition in
          [nodes[host]!.blocks.filter { $0.partition(bits: bits) == partition }.reduce(0) { $0 &+ $1.words.1 }]
        }
        let asides = partitions.map { partition in nodes[host]!.asides.count { $0.partition(bits: bits) == partition } }
        return .digest(counts: counts, words: words, disks: nodes[host]!.digestDisks, asides: asides)
      case .list(let partition, let bits, let after, let limit):
        let held = nodes[host]!.blocks.filter { $0.partition(bits: bits) == partition && (after == nil || $0 > after!) }.sorted()
        return .list(blocks: held.prefix(limit).map { BlockRef(id: $0, size: 1000) }, next: nil, mark: 17)
      case .seal(let partitions, let version):
        for partition in partitions { nodes[host]!.seals[partition] = max(version, nodes[host]!.seals[partition] ?? 0) }
        return .sealed
      case .retire(let partition, _, let blocks, let mark):
        if mark != 17 { nodes[host]!.faults.append("retired without the list's mark") }
        if (nodes[host]!.seals[partition] ?? 0) < layoutVersion { nodes[host]!.faults.append("retired without a seal") }
        for block in blocks {
          if nodes.values.count(where: { $0.blocks.contains(block) && !$0.rotten.contains(block) }) < 4 {
            nodes[host]!.faults.append("\(block) was given up by \(host) with too few copies")
          }
          nodes[host]!.blocks.remove(block)
          nodes[host]!.retired.insert(block)
        }
        return .retire(retired: blocks.count)
      case .listBelow(_, let partition, let bits, let after, let limit):
        let held = nodes[host]!.blocks.filter { $0.partition(bits: bits) == partition && (after == nil || $0 > after!) }.sorted()
        let page = Array(held.prefix(limit))
        return .listBelow(blocks: page, bytes: page.map { _ in 1000 }, next: held.count > limit ? page.last : nil)
      case .delete(let blocks):
        let here = blocks.filter { nodes[host]!.blocks.remove($0) != nil }
        for block in here { nodes[host]!.deleted[block] = gcEpoch }
        return .delete(deleted: here.count)
      case .listQuarantined:
        let held = nodes[host]!.deleted.sorted { $0.key < $1.key }
        return .quarantined(blocks: held.map(\.key), epochs: held.map(\.value), next: nil)
      case .restore(let epoch, _, _):
        let back = nodes[host]!.deleted.filter { $0.value >= epoch }.map(\.key)
        for block in back { nodes[host]!.deleted[block] = nil }
        nodes[host]!.blocks.formUnion(back)
        return .restored(blocks: back.count, next: nil)
      case .dataKey: return .done
      }
    }
  }
}

/// A whole cluster around one `ClusterService`, on a clock that the test moves.
final class FakeCluster: Sendable {
  let time = ManualTime()
  let metadata = FakeMetadata()
  let secret = ClusterSecret.generate()
  let nodes: FakeNodes
  let names: [NodeID]
  let dispatcher = ControlDispatcher()
  private let current: Mutex<ClusterService>
  private let configuration: ClusterConfiguration
  private let beating: Mutex<Set<NodeID>>
  let replies = Mutex<[NodeID: HeartbeatReply]>([:])
  /// What nodes say of how long they hold deleted blocks.
  let holds = Mutex<[NodeID: Int64]>([:])

  var service: ClusterService { current.withLock { $0 } }

  let garbage: FakeGarbage?

  init(
    nodes count: Int = 6, isEncrypted: Bool = false, garbage: FakeGarbage? = nil,
    configure: (inout ClusterConfiguration) -> Void = { _ in }
  ) {
    self.garbage = garbage
    garbage?.clock.withLock { [time] in $0 = time }
    names = (1...count).map(node)
    nodes = FakeNodes(names, secret: secret, cluster: metadata.identity.cluster, time: time)
    var configuration = ClusterConfiguration.dev(initialNodes: count, isEncrypted: isEncrypted)
    configure(&configuration)
    self.configuration = configuration
    current = Mutex(FakeCluster.make(metadata, secret, nodes, time, configuration, garbage))
    beating = Mutex(Set(names))
  }

  private static func make(
    _ metadata: FakeMetadata, _ secret: ClusterSecret, _ nodes: FakeNodes, _ time: ManualTime, _ configuration: ClusterConfiguration,
    _ garbage: FakeGarbage?
  ) -> ClusterService {
    ClusterService(
      metadata: metadata, signer: CapabilitySigner(secret: secret), http: nodes, time: time, configuration: configuration,
      logger: .none, metrics: Metrics(), garbage: garbage)
  }

  func start() async throws {
    try await service.start(runsLoop: false)
    service.register(on: dispatcher)
  }

  /// The coordinator dies, and another process takes its place over the same database.
  func restart() async throws {
    await service.stop()
    let next = FakeCluster.make(metadata, secret, nodes, time, configuration, garbage)
    try await next.start(runsLoop: false)
    current.withLock { $0 = next }
  }

  func heartbeat(_ name: NodeID, keys: [DataKeyStatement] = [], rotten: [BlockID] = []) -> ClusterOperations.Heartbeat {
    let number = names.firstIndex(of: name)!
    return ClusterOperations.Heartbeat(
      node: name, zone: zone(number % 3), address: FakeNodes.address(name), weight: 1,
      disks: [
        DiskReport(
          id: DiskID(high: 7, low: UInt64(number)), state: .healthy, reason: nil, capacityBytes: 1 << 40, usedBytes: 1 << 30,
          blockCount: nodes.state.withLock { $0[name]!.blocks.count })
      ], viewRevision: 0, generation: 1, dataKeys: keys, processID: UInt64(number + 1), rottenBlocks: rotten,
      quarantineSeconds: holds.withLock { $0[name] })
  }

  func kill(_ name: NodeID) {
    beating.withLock { _ = $0.remove(name) }
    nodes.state.withLock { $0[name]!.isUp = false }
  }

  func revive(_ name: NodeID) {
    beating.withLock { _ = $0.insert(name) }
    nodes.state.withLock { $0[name]!.isUp = true }
  }

  /// One step of 100 ms: heartbeats, then a tick, then a moment for what it started.
  func step() async throws {
    time.advance(by: .milliseconds(100))
    for name in names where beating.withLock({ $0.contains(name) }) {
      let reply = try await dispatcher.performOn(service, heartbeat(name))
      replies.withLock { $0[name] = reply }
    }
    await service.tick()
    try await Task.sleep(for: .milliseconds(2))
  }

  /// Steps until it holds; false when it does not within so many steps.
  func run(steps: Int = 3000, until condition: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<steps {
      if try await condition() { return true }
      try await step()
    }
    return false
  }

  /// Blocks as if they had been uploaded: on all replicas, and referenced.
  func store(_ count: Int, seed: UInt64) -> [BlockID] {
    var random = SeededRandom(seed: seed)
    let layout = service.view!.layout
    let blocks = (0..<count).map { _ in BlockID(words: (random.next(), random.next(), random.next(), random.next())) }.sorted()
    nodes.state.withLock { nodes in
      for block in blocks { for replica in layout.replicas(of: block) { nodes[replica]!.blocks.insert(block) } }
    }
    metadata.state.withLock { state in
      state.live = (state.live + blocks.map { LiveBlock(id: $0, size: 1000, isReferenced: true) }).sorted { $0.id < $1.id }
    }
    return blocks
  }

  /// Live blocks that lack a copy on a replica of the present layout.
  var lacking: [BlockID] {
    let layout = service.view!.layout
    let live = metadata.state.withLock { $0.live.map(\.id) }
    return nodes.state.withLock { nodes in
      live.filter { block in
        layout.replicas(of: block).contains { !nodes[$0]!.blocks.contains(block) || nodes[$0]!.rotten.contains(block) }
      }
    }
  }

  func perform<Op: ControlOperation>(_ operation: Op) async throws -> Op.Response {
    try await dispatcher.performOn(service, operation)
  }
}

extension ControlDispatcher {
  /// As through the door, to the service that runs now: a dispatcher cannot be told of another service.
  func performOn<Op: ControlOperation>(_ service: ClusterService, _ operation: Op, node: NodeID? = nil) async throws -> Op.Response {
    let dispatcher = ControlDispatcher()
    service.register(on: dispatcher)
    return try await dispatcher.perform(operation, context: ControlContext(requestID: "test", node: node))
  }
}
