import BlockModel
import BlockStore
import ClusterLogic
import Credentials
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import Synchronization
import TestSupport
import Testing

/// A coordinator that answers what a test wants.
private final class FakeCoordinator: ControlPlane {
  struct State: Sendable {
    var heartbeats: [ClusterOperations.Heartbeat] = []
    var reply: HeartbeatReply
    var ticket: (@Sendable (ClusterOperations.GetDataKeyTicket) -> DataKeyTicket)?
    var isDown = false
  }
  let state: Mutex<State>
  init(_ reply: HeartbeatReply) { state = Mutex(State(reply: reply)) }

  func perform<Operation: ControlOperation>(_ operation: Operation, context: ControlContext) async throws(Problem) -> Operation.Response {
    let (answer, isDown) = state.withLock { state -> ((any Sendable)?, Bool) in
      if state.isDown { return (nil, true) }
      if let heartbeat = operation as? ClusterOperations.Heartbeat {
        state.heartbeats.append(heartbeat)
        return (state.reply, false)
      }
      if let ticket = operation as? ClusterOperations.GetDataKeyTicket { return (state.ticket?(ticket), false) }
      return (nil, false)
    }
    guard !isDown, let response = answer as? Operation.Response else { throw Problem(.unavailable, "The coordinator is down.") }
    return response
  }

  var last: ClusterOperations.Heartbeat? { state.withLock { $0.heartbeats.last } }
  func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
}

@Suite("Heartbeats") struct HeartbeatTests {
  private let folder: TemporaryFolder
  private let cluster = ClusterID.random()
  private let secret = ClusterSecret.generate()
  private let pool = BlockingPool(name: "test", threads: 1)
  private let client = HTTPClient()

  init() throws { folder = try TemporaryFolder() }

  private func node(
    _ control: [any ControlPlane], keys: DataKeyring? = DataKeyring(), disk: MemoryStore = MemoryStore()
  ) throws -> StorageNode {
    let id = NodeID("node-1")!
    return StorageNode(
      StorageNode.Parts(
        node: id, zone: ZoneID("a")!, weight: 2, advertisedAddress: "http://127.0.0.1:9", durability: .strict, limits: NodeLimits(),
        keys: secret.nodeKeys(id, cluster: cluster), dataKeys: keys, disks: [disk],
        knowledge: try ClusterKnowledge(folder: folder.path, cluster: cluster, pool: pool),
        seals: try PartitionSeals(folder: folder.path, knownLayout: 0, pool: pool), client: client, control: control, pool: pool,
        time: SystemTime(), metrics: NodeMetrics(), log: .none))
  }

  private func view(generation: UInt64 = 3, revision: UInt64 = 7) -> ClusterView {
    let id = NodeID("node-1")!
    let layout = Layout(
      version: 1, partitionBits: 0, replicationFactor: 1, writeQuorum: 1, nodes: [LayoutNode(id: id, zone: ZoneID("a")!, weight: 1)],
      table: [0])
    let member = Member(node: id, zone: ZoneID("a")!, address: "http://127.0.0.1:9", state: .alive, writable: true)
    return ClusterView(
      cluster: cluster, revision: revision, generation: generation, layout: layout, members: [member], gcEpoch: 1, filling: [])
  }

  private func reply(_ order: DataKeyOrder, view: ClusterView?, generation: UInt64 = 3) -> HeartbeatReply {
    HeartbeatReply(view: view, generation: generation, dataKeys: order, intervalMilliseconds: 100)
  }

  @Test("a heartbeat says who and how the node is; the view that comes back is kept over a restart")
  func view() async throws {
    let coordinator = FakeCoordinator(reply(.use(current: 0), view: view()))
    let first = try node([coordinator], keys: nil)
    #expect(first.notReady != nil)
    try await first.beat()
    #expect(first.notReady == nil)
    let heartbeat = try #require(coordinator.last)
    #expect(heartbeat.node == NodeID("node-1") && heartbeat.weight == 2 && heartbeat.disks.count == 1 && heartbeat.viewRevision == 0)
    try await first.beat()
    #expect(coordinator.last?.viewRevision == 7 && coordinator.last?.generation == 3)
    let second = try node([], keys: nil)
    #expect(second.knowledge.view == view() && second.knowledge.generation == 3)
    #expect(second.notReady == nil)
  }

  @Test("a coordinator of a lower generation, or of another cluster, changes nothing")
  func fencing() async throws {
    let coordinator = FakeCoordinator(reply(.use(current: 0), view: view()))
    let node = try node([coordinator], keys: nil)
    try await node.beat()
    coordinator.set { $0.reply = reply(.use(current: 0), view: view(generation: 2, revision: 9), generation: 2) }
    await #expect(throws: ClusterKnowledge.Refused.self) { try await node.beat() }
    var foreign = view(generation: 9, revision: 10)
    foreign.cluster = .random()
    coordinator.set { $0.reply = reply(.use(current: 0), view: foreign, generation: 9) }
    await #expect(throws: ClusterKnowledge.Refused.self) { try await node.beat() }
    #expect(node.knowledge.generation == 3 && node.knowledge.view?.revision == 7)
    coordinator.set { $0.reply = reply(.use(current: 0), view: nil, generation: 4) }
    try await node.beat()
    let restarted = try self.node([], keys: nil)
    #expect(restarted.knowledge.generation == 4 && restarted.knowledge.view?.revision == 7)
  }

  @Test("an update goes with the layout that it names; with another one it changes nothing, and the whole view is asked for")
  func update() async throws {
    let coordinator = FakeCoordinator(reply(.use(current: 0), view: view()))
    let node = try node([coordinator], keys: nil)
    try await node.beat()
    let known = try #require(node.knowledge.view)
    var changed = known
    changed.revision = 8
    changed.members[0].state = .suspect
    coordinator.set {
      $0.reply = HeartbeatReply(view: nil, update: all(of: changed), generation: 3, dataKeys: .use(current: 0), intervalMilliseconds: 100)
    }
    try await node.beat()
    #expect(node.knowledge.view == changed && coordinator.last?.layoutVersion == known.layout.version)
    var news = all(of: changed)
    news.revision = 9
    news.since = 8
    news.members = [changed.members[0]]
    news.members[0].state = .alive
    coordinator.set { [news] in $0.reply.update = news }
    try await node.beat()
    changed.revision = 9
    changed.members[0].state = .alive
    #expect(node.knowledge.view == changed, "the members that are not named stay as they were")
    for (version, since) in [(UInt64(99), UInt64?.none), (known.layout.version, 7)] {
      var other = all(of: changed)
      other.layoutVersion = version
      other.since = since
      other.revision = 10
      coordinator.set { [other] in $0.reply.update = other }
      try await node.beat()
      #expect(node.knowledge.view == changed)
      coordinator.set { $0.reply.update = nil }
      try await node.beat()
      #expect(coordinator.last?.viewRevision == 0 && coordinator.last?.layoutVersion == nil)
    }
  }

  private func all(of view: ClusterView) -> ClusterViewUpdate {
    ClusterViewUpdate(
      revision: view.revision, generation: view.generation, layoutVersion: view.layout.version, layoutChanges: [], since: nil,
      members: view.members, gcEpoch: view.gcEpoch, filling: view.filling)
  }

  @Test("the kept view is not trusted when a byte of it changed")
  func damaged() async throws {
    let coordinator = FakeCoordinator(reply(.use(current: 0), view: view()))
    let first = try node([coordinator], keys: nil)
    try await first.beat()
    let path = folder.path("cluster-view")
    var bytes = try #require(try AtomicFile.read(path, limit: 1 << 20))
    bytes[bytes.count / 2] ^= 1
    try AtomicFile.write(path, bytes)
    #expect(try node([], keys: nil).knowledge.view == nil)
  }

  @Test("when one coordinator is down the next is asked; when all are, the error is told and the view stays")
  func failover() async throws {
    let down = FakeCoordinator(reply(.use(current: 0), view: nil))
    down.set { $0.isDown = true }
    let up = FakeCoordinator(reply(.use(current: 0), view: view()))
    let node = try node([down, up], keys: nil)
    try await node.beat()
    #expect(up.last != nil)
    up.set { $0.isDown = true }
    await #expect(throws: Problem.self) { try await node.beat() }
    #expect(node.knowledge.view != nil && node.notReady == nil)
  }

  @Test("a data key is made on order and stated, and used only when the coordinator says so")
  func createKey() async throws {
    let coordinator = FakeCoordinator(reply(.create(epoch: 1), view: view()))
    let keys = DataKeyring()
    let node = try node([coordinator], keys: keys)
    try await node.beat()
    #expect(keys.epochs == [1] && node.notReady != nil)
    coordinator.set { $0.reply = reply(.use(current: 1), view: nil) }
    try await node.beat()
    #expect(coordinator.last?.dataKeys.map(\.epoch) == [1])
    #expect(coordinator.last?.dataKeys.first?.check == keys.checkValue(1).map { HexDigits.encode($0) })
    #expect(node.notReady == nil)
  }

  @Test("a data key is fetched from a holder with a ticket, and refused when it is not the one that the coordinator knows")
  func fetchKey() async throws {
    try await withCluster { holders in
      let right = holders.nodes[0].dataKeys!.checkValue(1)!
      let coordinator = FakeCoordinator(reply(.fetch(epoch: 1), view: view()))
      let keys = DataKeyring()
      let node = try node([coordinator], keys: keys)
      for check in [String(repeating: "0", count: 64), HexDigits.encode(right)] {
        coordinator.set { state in
          state.ticket = { request in
            let capability = holders.capability(.control, request.body, size: request.bodyBytes, at: 0)
            return DataKeyTicket(holder: holders.nodes[0].id, url: holders.url(capability), check: check)
          }
        }
        try await node.beat()
        #expect(keys.epochs == (check.hasPrefix("0000") ? [] : [1]))
      }
      #expect(keys.key(1)?.exposed == holders.nodes[0].dataKeys?.key(1)?.exposed)
    }
  }

  @Test("rot is reported until a heartbeat was answered")
  func rot() async throws {
    let coordinator = FakeCoordinator(reply(.use(current: 0), view: view()))
    let disk = MemoryStore()
    let node = try node([coordinator], keys: nil, disk: disk)
    try await node.beat()
    let server = HTTPServer(configuration: HTTPServer.Configuration(), router: node.router)
    try server.start()
    let bytes: [UInt8] = [1, 2, 3]
    let name = TestCluster.name(bytes)
    let signer = CapabilitySigner(secret: secret)
    func url(_ operation: CapabilityOperation) -> String {
      signer.url(
        Capability(
          operation: operation, block: name, node: NodeID("node-1")!, size: 3, layoutVersion: 1, gcEpoch: 1, upload: .random(),
          writeQuorum: 1, forwards: [], expires: SystemTime().wall().seconds + 60, keyEpoch: signer.currentEpoch),
        address: "http://127.0.0.1:\(server.port)")
    }
    let put = try await client.send(HTTPClientRequest(method: .put, url: url(.put), body: .bytes(bytes)))
    #expect(put.status == 201)
    #expect(disk.rot(name))
    let get = try await client.send(HTTPClientRequest(method: .get, url: url(.get)))
    #expect(get.status == 503)
    coordinator.set { $0.isDown = true }
    await #expect(throws: Problem.self) { try await node.beat() }
    coordinator.set { $0.isDown = false }
    try await node.beat()
    #expect(coordinator.last?.rottenBlocks == [name])
    try await node.beat()
    #expect(coordinator.last?.rottenBlocks == [])
    // Whether the report was noted, a process that starts anew does not know.
    let restarted = try self.node([coordinator], keys: nil, disk: disk)
    try await restarted.beat()
    #expect(coordinator.last?.rottenBlocks == [name])
    await server.shutdown(grace: .zero)
  }

  @Test("a stopping node says that its disks take nothing more")
  func stopping() async throws {
    let coordinator = FakeCoordinator(reply(.use(current: 0), view: view()))
    let node = try node([coordinator], keys: nil)
    try await node.beat()
    #expect(coordinator.last?.disks.first?.state == .healthy)
    node.refuseWrites()
    try await node.beat()
    #expect(coordinator.last?.disks.first?.state == .readOnly)
  }
}
