import BlockModel
import BlockStore
import ClusterLogic
import Credentials
import HTTPTransport
import Journal
import Platform
import ServiceAPI
import StorageNode
import Synchronization
import TestSupport
import Testing

/// What a test's nodes keep blocks in.
enum StoreKind: String, CaseIterable, CustomTestStringConvertible {
  case memory, segments
  var testDescription: String { rawValue }
}

extension NodeLimits {
  /// A busy test machine is no failing replica.
  static var forTests: NodeLimits {
    var limits = NodeLimits()
    limits.forwardConnectTimeout = .seconds(10)
    return limits
  }
}

/// The ids of the requests that a server answered.
final class RequestIDs: Sendable {
  private let ids = Mutex<[String]>([])
  func add(_ id: String) { ids.withLock { $0.append(id) } }
  func contains(_ id: String) -> Bool { ids.withLock { $0.contains(id) } }
  func count(_ id: String) -> Int { ids.withLock { $0.count { $0 == id } } }
}

/// One node of a test: the real node behind a real server on 127.0.0.1.
final class TestNode: Sendable {
  let id: NodeID
  let zone: ZoneID
  let node: StorageNode
  let server: HTTPServer
  let disk: any BlockStoring
  let dataKeys: DataKeyring?
  let folder: TemporaryFolder
  let requests: RequestIDs

  init(
    id: NodeID, zone: ZoneID, node: StorageNode, server: HTTPServer, disk: any BlockStoring, dataKeys: DataKeyring?,
    folder: TemporaryFolder, requests: RequestIDs
  ) {
    self.requests = requests
    self.id = id
    self.zone = zone
    self.node = node
    self.server = server
    self.disk = disk
    self.dataKeys = dataKeys
    self.folder = folder
  }

  var address: String { "http://127.0.0.1:\(server.port)" }

  /// Stops answering, as a killed process does.
  func kill() async { await server.shutdown(grace: .zero) }
}

/// A few nodes in this process, over loopback HTTP, and what a gateway and a coordinator would do for them.
final class TestCluster: Sendable {
  struct Options: Sendable {
    var store = StoreKind.memory
    /// One zone letter per node; the first three are the layout's replicas of every block, the rest are spares.
    var zones = ["a", "b", "c"]
    var isEncrypted = true
    var limits = NodeLimits.forTests
    var capacityBytes: Int64?
    var replicas = 3
    /// As many as replicas, so that what a test expects does not hang on who is faster than the grace of 50 ms.
    var writeQuorum = 3
    var minimumRateGrace: Duration = .seconds(60)
    /// Index of the node whose disk has no room.
    var fullNode: Int?
    var control: [any ControlPlane] = []
    var scrub = ScrubPacer.Configuration()
  }

  let id = ClusterID.random()
  let secret = ClusterSecret.generate()
  let options: Options
  let client = HTTPClient()
  let nodes: [TestNode]
  let signer: CapabilitySigner
  let pool = BlockingPool(name: "test", threads: 2)

  init(_ options: Options = Options()) async throws {
    self.options = options
    signer = CapabilitySigner(secret: secret)
    let dataKey = SecretBytes(randomCount: 32)
    var nodes: [TestNode] = []
    for (index, zone) in options.zones.enumerated() {
      nodes.append(
        try await TestCluster.start(
          index, zone, options, secret: secret, cluster: id, client: client, pool: pool,
          dataKeys: options.isEncrypted ? DataKeyring(keys: [(1, dataKey)]) : nil))
    }
    self.nodes = nodes
    try await spread(view())
  }

  private static func start(
    _ index: Int, _ zone: String, _ options: Options, secret: ClusterSecret, cluster: ClusterID, client: HTTPClient, pool: BlockingPool,
    dataKeys: DataKeyring?
  ) async throws -> TestNode {
    let id = NodeID("node-\(index + 1)")!
    let zone = ZoneID(zone)!
    let folder = try TemporaryFolder()
    let capacity = options.fullNode == index ? 64 << 10 : options.capacityBytes
    let disk = try await TestStores.open(
      options.store, folder: folder.path("disk"), cluster: cluster, keys: dataKeys, capacityBytes: capacity, pool: pool)
    let knowledge = try ClusterKnowledge(folder: folder.path, cluster: cluster, pool: pool)
    let seals = try PartitionSeals(folder: folder.path, knownLayout: 0, pool: pool)
    var parts = StorageNode.Parts(
      node: id, zone: zone, weight: 1, advertisedAddress: "http://127.0.0.1:1", durability: .strict, limits: options.limits,
      keys: secret.nodeKeys(id, cluster: cluster), dataKeys: dataKeys, disks: [disk], knowledge: knowledge, seals: seals,
      client: client, control: options.control, pool: pool, time: SystemTime(), metrics: NodeMetrics(), log: .none)
    parts.scrub = options.scrub
    parts.journal = try JournalStore(fileSystem: LinuxFileSystem(), folder: folder.path("journal"))
    let node = StorageNode(parts)
    var configuration = HTTPServer.Configuration()
    configuration.connectionMemoryBytes = 256 << 10
    configuration.minimumRateGrace = options.minimumRateGrace
    let requests = RequestIDs()
    configuration.observer = { requests.add($0.requestID) }
    let server = HTTPServer(configuration: configuration, router: node.router)
    try server.start()
    return TestNode(id: id, zone: zone, node: node, server: server, disk: disk, dataKeys: dataKeys, folder: folder, requests: requests)
  }

  /// Ends the servers and the stores.
  func stop() async {
    for node in nodes {
      await node.server.shutdown(grace: .zero)
      await node.node.stop()
    }
    client.shutdown()
  }

  // MARK: The coordinator's part

  func view(
    layoutVersion: UInt64 = 1, generation: UInt64 = 1, replicas: [Int]? = nil, down: Set<Int> = []
  ) -> ClusterView {
    let replicas = replicas ?? Array(nodes.indices.prefix(options.replicas))
    let members = nodes.enumerated().map { index, node in
      Member(
        node: node.id, zone: node.zone, address: node.address, state: down.contains(index) ? .suspect : .alive,
        writable: !down.contains(index))
    }
    let layout = Layout(
      version: layoutVersion, partitionBits: 0, replicationFactor: options.replicas, writeQuorum: options.writeQuorum,
      nodes: nodes.map { LayoutNode(id: $0.id, zone: $0.zone, weight: 1) }, table: replicas.prefix(options.replicas).map { UInt16($0) })
    return ClusterView(
      cluster: id, revision: layoutVersion, generation: generation, layout: layout, members: members, gcEpoch: 1, filling: [])
  }

  func spread(_ view: ClusterView) async throws {
    for node in nodes {
      try await node.node.knowledge.apply(generation: view.generation, view: view, dataKeyEpoch: options.isEncrypted ? 1 : 0)
    }
  }

  // MARK: The gateway's part

  func capability(
    _ operation: CapabilityOperation, _ block: BlockID, size: Int, at index: Int, forwards: [Int] = [], layoutVersion: UInt64 = 1,
    gcEpoch: UInt64 = 1, upload: UploadID = .random(), writeQuorum: Int? = nil, expires: Int64? = nil
  ) -> Capability {
    var capability = Capability(
      operation: operation, block: block, node: nodes[index].id, size: size, layoutVersion: layoutVersion, gcEpoch: gcEpoch, upload: upload,
      writeQuorum: writeQuorum ?? options.writeQuorum, forwards: [], expires: expires ?? SystemTime().wall().seconds + 600,
      keyEpoch: signer.currentEpoch)
    for forward in forwards {
      capability.forwards.append(
        Capability.Forward(node: nodes[forward].id, signature: signer.sign(capability.replica(at: nodes[forward].id))))
    }
    return capability
  }

  func url(_ capability: Capability) -> String {
    let node = nodes.first { $0.id == capability.node }!
    return signer.url(capability, address: node.address)
  }

  /// A PUT URL at a node, with all the other nodes as its forward list in order.
  func putURL(
    _ bytes: [UInt8], at index: Int = 0, forwards: [Int]? = nil, upload: UploadID = .random(), layoutVersion: UInt64 = 1,
    writeQuorum: Int? = nil
  ) -> String {
    url(
      capability(
        .put, TestCluster.name(bytes), size: bytes.count, at: index, forwards: forwards ?? nodes.indices.filter { $0 != index },
        layoutVersion: layoutVersion, upload: upload, writeQuorum: writeQuorum))
  }

  func getURL(_ bytes: [UInt8], at index: Int) -> String {
    url(capability(.get, TestCluster.name(bytes), size: bytes.count, at: index))
  }

  static func name(_ bytes: [UInt8]) -> BlockID { bytes.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) } }

  // MARK: The client's part

  func put(_ bytes: [UInt8], to url: String, headers: HTTPHeaders = [:]) async throws -> HTTPClientResponse {
    try await client.send(HTTPClientRequest(method: .put, url: url, headers: headers, body: .bytes(bytes)))
  }

  /// PUTs a block and answers its verified receipts.
  func store(_ bytes: [UInt8], at index: Int = 0, forwards: [Int]? = nil, upload: UploadID = .random()) async throws -> [Receipt] {
    let response = try await put(bytes, to: putURL(bytes, at: index, forwards: forwards, upload: upload))
    return try receipts(response)
  }

  func receipts(_ response: HTTPClientResponse) throws -> [Receipt] {
    guard response.status == 201 else { throw Unexpected(response) }
    let verifier = ReceiptVerifier(root: secret.receiptRoot, cluster: id)
    return try JSONCoding.decode(PutReply.self, from: response.bytes).receipts.map { try verifier.verify($0) }
  }

  func get(_ url: String, headers: HTTPHeaders = [:], method: HTTPMethod = .get) async throws -> HTTPClientResponse {
    try await client.send(HTTPClientRequest(method: method, url: url, headers: headers))
  }

  /// Which nodes have the block.
  func holders(_ block: BlockID) -> [Int] { nodes.indices.filter { nodes[$0].disk.status(of: block) != nil } }

  /// The command's reply from a node.
  func command(_ command: NodeCommand, at index: Int, gcEpoch: UInt64 = 1, layoutVersion: UInt64 = 1) async throws -> NodeCommandReply {
    let body = try JSONCoding.encode(command)
    let url = url(
      capability(.control, TestCluster.name(body), size: body.count, at: index, layoutVersion: layoutVersion, gcEpoch: gcEpoch))
    let response = try await client.send(HTTPClientRequest(method: .post, url: url, body: .bytes(body)))
    guard response.status == 200 else { throw Unexpected(response) }
    return try JSONCoding.decode(NodeCommandReply.self, from: response.bytes)
  }
}

/// An answer that the test did not count on.
struct Unexpected: Error, CustomStringConvertible {
  let response: HTTPClientResponse
  init(_ response: HTTPClientResponse) { self.response = response }
  var description: String { "\(response.status): \(String(decoding: response.bytes, as: UTF8.self))" }
}

extension HTTPClientResponse {
  /// The last part of a problem document's type.
  var problem: String? {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let start = text.firstRange(of: "urn:cairn:problem:") else { return nil }
    return String(text[start.upperBound...].prefix { $0 != "\"" })
  }
}

/// Runs a body over a cluster and stops the cluster, whatever happens.
func withCluster(_ options: TestCluster.Options = .init(), _ body: (TestCluster) async throws -> Void) async throws {
  let cluster = try await TestCluster(options)
  do { try await body(cluster) } catch {
    await cluster.stop()
    throw error
  }
  await cluster.stop()
}

enum TestNodes {
  /// A node alone.
  static func node(
    _ disks: [any BlockStoring], folder: TemporaryFolder, cluster: ClusterID, control: [any ControlPlane],
    scrub: ScrubPacer.Configuration = .init(), folders: [DiskID: String] = [:]
  ) throws -> StorageNode {
    let pool = BlockingPool(name: "test", threads: 1)
    let id = NodeID("node-1")!
    var parts = StorageNode.Parts(
      node: id, zone: ZoneID("a")!, weight: 1, advertisedAddress: "http://127.0.0.1:1", durability: .strict, limits: .forTests,
      keys: ClusterSecret.generate().nodeKeys(id, cluster: cluster), dataKeys: nil, disks: disks,
      knowledge: try ClusterKnowledge(folder: folder.path, cluster: cluster, pool: pool),
      seals: try PartitionSeals(folder: folder.path, knownLayout: 0, pool: pool), client: HTTPClient(), control: control, pool: pool,
      time: SystemTime(), metrics: NodeMetrics(), log: .none)
    parts.scrub = scrub
    parts.diskFolders = folders
    return StorageNode(parts)
  }
}

enum TestStores {
  static func open(
    _ kind: StoreKind, folder: String, cluster: ClusterID, keys: DataKeyring?, capacityBytes: Int64?, pool: BlockingPool
  ) async throws -> any BlockStoring {
    switch kind {
    case .memory: return MemoryStore(keys: keys, capacityBytes: capacityBytes ?? 1 << 40)
    case .segments:
      var configuration = SegmentStore.Configuration(folder: folder, cluster: cluster, keys: keys)
      configuration.segmentBytes = 8 << 20
      configuration.capacityBytes = capacityBytes ?? 256 << 20
      configuration.readThreads = 2
      return try await pool.run { [configuration] in try SegmentStore.open(configuration) }
    }
  }
}
