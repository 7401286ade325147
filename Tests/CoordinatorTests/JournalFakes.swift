import BlockModel
import ClusterLogic
import Coordinator
import Credentials
import HTTPTransport
import Journal
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// Nodes that keep journals, without the rest of a node and without a network: any of them can be silent, lose answers, or lose its disk.
final class FakeJournals: HTTPRequesting {
  struct Node: Sendable {
    var store: JournalStore
    var isSilent = false
    /// Of a hundred messages, how many are done and not answered.
    var lostAnswers = 0
    /// Of a hundred messages, how many do not arrive.
    var lostMessages = 0
    var appends = 0
  }

  static let cluster = ClusterID(high: 1, low: 2)
  static let names = ["n1", "n2", "n3", "n4", "n5", "n6"]
  let folder: TemporaryFolder
  let nodes: Mutex<[String: Node]>
  let view = Mutex<ClusterView?>(nil)
  private let random: Mutex<SeededRandom>

  init(seed: UInt64 = 1) throws {
    let folder = try TemporaryFolder()
    self.folder = folder
    random = Mutex(SeededRandom(seed: seed))
    nodes = Mutex(
      Dictionary(
        uniqueKeysWithValues: try Self.names.map {
          ($0, Node(store: try JournalStore(fileSystem: LinuxFileSystem(), folder: folder.path($0))))
        }))
  }

  static func zone(_ name: String) -> ZoneID { ZoneID(["a", "b", "c"][names.firstIndex(of: name)! % 3])! }

  static var layout: Layout {
    let nodes = names.map { LayoutNode(id: NodeID($0)!, zone: zone($0), weight: 1) }
    let table = (0..<16).flatMap { _ -> [UInt16] in [0, 1, 2] }
    return Layout(version: 1, partitionBits: 4, replicationFactor: 3, writeQuorum: 2, nodes: nodes, table: table)
  }

  func change(_ names: String..., body: (inout Node) -> Void) {
    nodes.withLock { nodes in for name in names { body(&nodes[name]!) } }
  }

  func restartNode(_ name: String) throws {
    let store = try JournalStore(fileSystem: LinuxFileSystem(), folder: folder.path(name))
    change(name) { node in
      node.store = store
      node.isSilent = false
    }
  }

  private func chance(_ percent: Int) -> Bool { random.withLock { Int.random(in: 0..<100, using: &$0) < percent } }

  // MARK: The network

  func stream(
    _ request: HTTPClientRequest, onHead: @escaping @Sendable (HTTPClientResponse) -> Void,
    onBytes: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
  ) async throws(HTTPClientError) { throw HTTPClientError(code: .cannotConnect, message: "no streams here") }

  func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
    let name = Self.names.first { request.url.hasPrefix("http://\($0)/v1/journal/") }
    guard let name, case .bytes(let body) = request.body, let node = nodes.withLock({ $0[name] }), !node.isSilent,
      !chance(node.lostMessages)
    else { throw HTTPClientError(code: .cannotConnect, message: "silent") }
    let response = answer(name, node.store, body)
    if chance(node.lostAnswers) { throw HTTPClientError(code: .broken, message: "the answer is lost") }
    return response
  }

  private func answer(_ name: String, _ store: JournalStore, _ body: [UInt8]) -> HTTPClientResponse {
    do {
      var bytes: [UInt8]?
      switch try JournalRequest(body) {
      case .status: bytes = try JSONCoding.encode(store.status())
      case .view: bytes = try view.withLock { try $0.map { try JSONCoding.encode($0) } }
      case .promise(let term): try store.promise(term)
      case .append(let term, let records):
        change(name) { $0.appends += 1 }
        try store.append(records, term: term)
      case .snapshot(let term, let position, let offset, let bytes, let isLast):
        try store.addSnapshot(position, offset: offset, bytes: bytes, isLast: isLast, term: term)
      case .cut(let term, let through): try store.cut(through: through, term: term)
      case .read(let file, let offset, let limit): bytes = try store.read(file, offset: offset, limit: limit)
      }
      return HTTPClientResponse(status: 200, headers: [:], bytes: try bytes ?? JSONCoding.encode(store.status(withFiles: false)), count: 0)
    } catch {
      let isFenced = (error as? JournalError)?.code == .fenced
      return HTTPClientResponse(status: isFenced ? 409 : 503, headers: [:], bytes: [], count: 0)
    }
  }
}

/// A coordinator's database and journal over `FakeJournals`.
final class JournalledStore: Sendable {
  let folder: TemporaryFolder
  let journals: FakeJournals
  let secret: ClusterSecret
  let store: SQLMetadataStore
  let journal: MetadataJournal

  static let identity = ClusterIdentity(cluster: FakeJournals.cluster, partitionBits: 4, replicationFactor: 3, writeQuorum: 2)

  /// As a coordinator starts; with `layout` the first one is committed.
  /// - Parameter quiet: how long it waits to see that nobody else writes; the tests' own former coordinators have ended.
  init(
    _ journals: FakeJournals, folder: TemporaryFolder, secret: ClusterSecret, layout: Bool = false, quiet: Duration = .zero
  ) async throws {
    self.folder = folder
    self.journals = journals
    self.secret = secret
    store = try await SQLMetadataStore.open(path: folder.path("metadata.db"), identity: Self.identity)
    journal = MetadataJournal(secret: secret, http: journals, time: SystemTime(), folder: folder.path, logger: .none, quiet: quiet)
    do {
      try await journal.establish(store) { [store] in await Self.service(store, journals, secret).nodesBeforeStart() }
      _ = try await store.raiseGeneration()
      let keeping = Self.service(store, journals, secret)
      let known = await keeping.nodesBeforeStart()
      journal.run(over: store) { known.isEmpty ? Self.everyone : known }
      if layout {
        for name in FakeJournals.names { try await store.saveNode(Self.record(name)) }
        try await store.commitLayout(FakeJournals.layout, expectedVersion: 0, filling: [])
      }
      try await journal.awaitSafety()
      journals.view.withLock { view in
        view = ClusterView(
          cluster: FakeJournals.cluster, revision: 1, generation: 9, layout: FakeJournals.layout,
          members: FakeJournals.names.map {
            Member(node: NodeID($0)!, zone: FakeJournals.zone($0), address: "http://\($0)", state: .alive, writable: true)
          }, gcEpoch: 4, filling: [])
      }
    } catch {
      await journal.stop()
      await store.close()
      throw error
    }
  }

  static var everyone: [JournalNode] {
    FakeJournals.names.map { JournalNode(node: NodeID($0)!, zone: FakeJournals.zone($0), address: "http://\($0)", isAlive: true) }
  }

  private static func service(_ store: SQLMetadataStore, _ journals: FakeJournals, _ secret: ClusterSecret) -> ClusterService {
    ClusterService(
      metadata: store, signer: CapabilitySigner(root: secret.capabilityRoot), http: journals, time: SystemTime(),
      configuration: .dev(initialNodes: 6), logger: .none, metrics: Metrics())
  }

  static func record(_ name: String) -> NodeRecord {
    NodeRecord(id: NodeID(name)!, zone: FakeJournals.zone(name), weight: 1, address: "http://\(name)", disks: [], isOut: false)
  }

  func sign(_ name: String) async throws { _ = try await store.createUser(name: name, password: "x", quota: nil) }

  /// Names of users, in order.
  func names() async throws -> [String] { try await store.users(limit: 1000, cursor: nil).items.map(\.name) }

  /// The database as it is now, in a folder of its own.
  func copyWhileRunning() async throws -> TemporaryFolder {
    let copy = try TemporaryFolder()
    try await store.backUp(to: copy.path("metadata.db"))
    return copy
  }

  func stop() async {
    await journal.stop()
    await store.close()
  }

  /// A folder with this database as it is on the disk: the store's lock goes with the object, and tests start the next one before.
  func copyOfFolder() throws -> TemporaryFolder {
    let copy = try TemporaryFolder()
    for name in ["metadata.db", "metadata.db-wal"] {
      if let bytes = try AtomicFile.read(folder.path(name), limit: 64 << 20) { try AtomicFile.write(copy.path(name), bytes) }
    }
    return copy
  }

  /// Makes the database anew from what the journals have.
  static func recover(
    _ journals: FakeJournals, into folder: TemporaryFolder, secret: ClusterSecret, acceptsLoss: Bool = false
  ) async throws -> MetadataRecovery.Report {
    let recovery = MetadataRecovery(
      secret: secret, cluster: FakeJournals.cluster, folder: folder.path, http: journals, time: SystemTime(),
      backupWindow: .seconds(24 * 3600))
    let seeds = FakeJournals.names.map { MetadataRecovery.Seed(node: NodeID($0)!, zone: nil, address: "http://\($0)") }
    return try await recovery.run(.nodes, seeds: seeds, acceptsLoss: acceptsLoss)
  }
}
