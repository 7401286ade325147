import BlockModel
import Charts
import ClusterLogic
import CommandLineKit
import Coordinator
import Credentials
import HTTPTransport
import MetadataStore
import Platform
import ServiceAPI

/// `cairnbench scale`: a coordinator with ten thousand nodes, whose heartbeats go through the real handlers from JSON to JSON, without
/// sockets; and repair after losses, by the real scheduler over modelled disks.
enum ScaleBench {
  static let command = Command(
    "scale", summary: "measure a coordinator with thousands of nodes, and repair of a large cluster",
    options: [
      CommandOption("folder", value: "DIR", help: "for the coordinator's database", isRequired: true),
      CommandOption("pictures", value: "DIR", help: "where to write SVG pictures"),
      CommandOption("nodes", value: "N", help: "nodes", kind: .integer(10...60_000), default: "10000"),
      CommandOption("zones", value: "N", help: "zones", kind: .integer(3...1000), default: "30"),
      CommandOption("partition-bits", value: "N", help: "partitions, as a power of two", kind: .integer(4...20), default: "18"),
    ],
    flags: [CommandFlag("repair-only", help: "leave the coordinator out")]
  ) { invocation in
    let console = invocation.console
    let (nodes, zones) = (invocation.int("nodes") ?? 10_000, invocation.int("zones") ?? 30)
    let bits = invocation.int("partition-bits") ?? 18
    if !invocation.flag("repair-only") {
      let coordinator = try await ScaleCoordinator(
        nodes: nodes, zones: zones, bits: bits, folder: invocation.option("folder") ?? "", console: console)
      try await coordinator.run()
      console.print("")
    }
    try RepairOfMany(nodes: nodes, zones: zones, bits: bits, console: console, pictures: invocation.option("pictures")).run()
  }
}

/// A coordinator as it is, and heartbeats as nodes send them.
private struct ScaleCoordinator {
  let service: ClusterService
  let dispatcher = ControlDispatcher()
  let store: SQLMetadataStore
  let nodes: [LayoutNode]
  let zones: Int
  let console: Console
  private let clock = ContinuousClock()

  init(nodes count: Int, zones: Int, bits: Int, folder: String, console: Console) async throws {
    nodes = PlacementCases.nodes(count, zones: zones)
    self.zones = zones
    self.console = console
    try Directory.create(folder)
    let identity = ClusterIdentity(cluster: ClusterID(high: 1, low: 2), partitionBits: bits, replicationFactor: 3, writeQuorum: 2)
    store = try await SQLMetadataStore.open(path: folder + "/metadata.db", identity: identity, options: MetadataOptions())
    let secret = ClusterSecret.generate()
    service = ClusterService(
      metadata: store, signer: CapabilitySigner(secret: secret), http: NobodyAnswers(), time: SystemTime(),
      // Nobody is to fall silent only because the first round of heartbeats takes long here.
      configuration: ClusterConfiguration(
        initialNodes: count,
        failure: FailureDetector.Configuration(suspectAfter: .seconds(3600), outAfter: .seconds(7200), tickInterval: .seconds(1)),
        isEncrypted: false),
      logger: Logger(component: "scale", level: .error), metrics: Metrics())
    service.register(on: dispatcher)
    try await service.start(runsLoop: false)
  }

  private func row(_ cells: String...) { console.print("| " + cells.joined(separator: " | ") + " |") }

  private func heartbeat(_ number: Int, revision: UInt64, layout: UInt64?) throws -> [UInt8] {
    let node = nodes[number]
    let disks = (0..<4).map { disk in
      DiskReport(
        id: DiskID(high: UInt64(number), low: UInt64(disk)), state: .healthy, reason: nil, capacityBytes: 4 << 40, usedBytes: 3 << 40,
        blockCount: 750_000, folder: "/srv/cairn/disk-\(disk)")
    }
    return try JSONCoding.encode(
      ClusterOperations.Heartbeat(
        node: node.id, zone: node.zone, address: "https://10.0.\(number / 256 % 256).\(number % 256):7001", weight: 1, disks: disks,
        viewRevision: revision, generation: 1, dataKeys: [], processID: UInt64(number), rottenBlocks: [],
        foreground: ForegroundLoad(requests: 100, meanMilliseconds: 4), layoutVersion: layout))
  }

  private func send(_ body: [UInt8], from number: Int) async throws -> [UInt8] {
    try await dispatcher.performEncoded(
      name: ClusterOperations.Heartbeat.name, body: body, context: ControlContext(requestID: "scale", node: nodes[number].id))
  }

  private func timed<T>(_ body: () async throws -> T) async rethrows -> (T, Double) {
    let start = clock.now
    let result = try await body()
    return (result, (clock.now - start).inSeconds)
  }

  func run() async throws {
    row("\(nodes.count) nodes in \(zones) zones at one coordinator", "measured", "that is")
    row("---", "---", "---")
    let (_, joining) = try await timed {
      for number in nodes.indices { _ = try await send(try heartbeat(number, revision: 0, layout: nil), from: number) }
    }
    row("first heartbeats, each node's record saved", rounded(joining) + " s", "\(Int(Double(nodes.count) / joining)) nodes a second")
    let (_, committing) = await timed { await service.tick() }
    guard let view = service.view, view.layout.version == 1 else { throw CommandFailure(.failed, "No layout was committed.") }
    row("the first layout planned and committed", rounded(committing) + " s", "")
    let document = try JSONCoding.encode(view.layout)
    row("the layout as a document", HumanFormat.size(Int64(document.count)), "")
    try await views(view)
    try await steady(view)
    try await change()
    row("peak memory", rounded(Double(try PlacementRun.peakBytes()) / 1_048_576) + " MiB", "")
    await service.stop()
    await store.close()
  }

  /// What a node gets that has nothing yet, or another layout.
  private func views(_ view: ClusterView) async throws {
    let count = min(20, nodes.count)
    var bytes = 0
    let (_, seconds) = try await timed {
      for number in 0..<count { bytes += try await send(try heartbeat(number, revision: 0, layout: nil), from: number).count }
    }
    let all = Int64(bytes / count) * Int64(nodes.count)
    row(
      "a whole view to one node", "\(HumanFormat.size(Int64(bytes / count))), \(rounded(seconds / Double(count) * 1000)) ms",
      "to all nodes \(HumanFormat.size(all)), \(rounded(seconds / Double(count) * Double(nodes.count))) s of one processor, "
        + "\(rounded(Double(all) / 1.25e9)) s at 10 Gbit/s")
  }

  /// Nothing changes: what one second costs.
  private func steady(_ view: ClusterView) async throws {
    let bodies = try nodes.indices.map { try heartbeat($0, revision: view.revision, layout: view.layout.version) }
    var received = 0
    let (_, seconds) = try await timed {
      for (number, body) in bodies.enumerated() { received += try await send(body, from: number).count }
    }
    let rate = Double(nodes.count) / seconds
    row(
      "heartbeats when nothing changes, JSON to JSON", "\(Int(rate)) a second, \(bodies[0].count) and \(received / bodies.count) bytes",
      "\(rounded(Double(nodes.count) / rate * 100)) % of one processor at one a second from each")
    var ticks: [Double] = []
    for _ in 0..<20 { ticks.append(await timed { await service.tick() }.1) }
    let tick = Comparison.median(ticks)
    row("a tick (ten a second)", rounded(tick * 1000, 2) + " ms", rounded(tick * 1000, 2) + " % of one processor")
  }

  /// One node's address changes: every node has to learn it.
  private func change() async throws {
    guard let before = service.view else { return }
    var body = try heartbeat(0, revision: before.revision, layout: before.layout.version)
    body = Array(String(decoding: body, as: UTF8.self).replacing("10.0.0.0:7001", with: "10.9.9.9:7001").utf8)
    _ = try await send(body, from: 0)
    let count = min(100, nodes.count - 1)
    var bytes = 0
    let (_, seconds) = try await timed {
      for number in 1...count {
        bytes += try await send(try heartbeat(number, revision: before.revision, layout: before.layout.version), from: number).count
      }
    }
    let all = Int64(bytes / count) * Int64(nodes.count)
    row(
      "one member changes: the news to one node",
      "\(HumanFormat.size(Int64(bytes / count))), \(rounded(seconds / Double(count) * 1000, 2)) ms",
      "to all nodes \(HumanFormat.size(all)), \(rounded(seconds / Double(count) * Double(nodes.count))) s of one processor")
  }
}

/// Nodes are not there: nothing of this asks them.
private struct NobodyAnswers: HTTPRequesting {
  func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
    throw HTTPClientError(code: .cannotConnect, message: "There is nobody.")
  }
  func stream(
    _ request: HTTPClientRequest, onHead: @escaping @Sendable (HTTPClientResponse) -> Void,
    onBytes: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
  ) async throws(HTTPClientError) {
    throw HTTPClientError(code: .cannotConnect, message: "There is nobody.")
  }
}

/// Repair after the loss of a rack and of a zone, of a cluster with ten billion blocks of 1 MiB.
private struct RepairOfMany {
  let nodes: Int
  let zones: Int
  let bits: Int
  let console: Console
  let pictures: String?

  private static let blocks = 10_000_000_000.0
  private static let blockBytes = 1_048_576.0

  func run() throws {
    let list = PlacementCases.nodes(nodes, zones: zones)
    let layout = try PlacementCases.layout(list, bits: bits).layout
    var settings = RepairModel.Settings(partitionBytes: Int64(Self.blocks * Self.blockBytes / Double(layout.partitionCount)))
    settings.listSeconds = Self.blocks / Double(layout.partitionCount) / 256 * 0.01
    console.print(
      "| lost, of \(nodes) nodes with 10 billion blocks of 1 MiB, \(Int(settings.nodeBytesPerSecond / 1e6)) MB/s a node for repair "
        + "| replicas | copied | repair | events | deciding, of one processor |")
    console.print("|---|---|---|---|---|---|")
    let rack = (0..<min(40, nodes / zones)).map { $0 * zones }
    let losses: [(String, Set<Int>)] = [
      ("a node", [0]), ("a rack of \(rack.count) in one zone", Set(rack)),
      ("a zone of \((0..<nodes).count { $0 % zones == 0 })", Set((0..<nodes).filter { $0 % zones == 0 })),
    ]
    var chart = Chart("Replicas to fill after a loss, of \(nodes) nodes", x: "hours", y: "replicas")
    for ((name, lost), colour) in zip(losses, ["#2e7d32", "#1565c0", "#c62828"]) {
      let result = try repair(list, layout, lost, settings, name)
      chart.series.append(.line(result.left.map { Chart.Point($0.time / 3600, Double($0.fills)) }, colour: colour))
      chart.legend.append(name)
    }
    if let pictures {
      try Directory.create(pictures)
      try AtomicFile.write(pictures + "/repair.svg", Array(chart.render().utf8), mode: 0o644)
    }
  }

  private func repair(
    _ list: [LayoutNode], _ layout: Layout, _ lost: Set<Int>, _ settings: RepairModel.Settings, _ name: String
  ) throws -> RepairModel.Result {
    let left = list.enumerated().filter { !lost.contains($0.offset) }.map(\.element)
    let next = try LayoutPlanner.plan(previous: layout, nodes: left).layout
    let gone = lost.sorted().map { list[$0].id }.sorted()
    let rows = LayoutTransition.filling(from: layout, filling: [], to: next, unreliable: gone)
    let members = list.enumerated().map { number, node in
      PlanMember(
        node: node.id, zone: node.zone, liveness: lost.contains(number) ? .out : .alive, isWritable: !lost.contains(number))
    }
    var configuration = RepairScheduler.Configuration()
    configuration.bytesPerSecondPerNode = 32 << 20
    configuration.moveBytesPerSecondPerNode = 32 << 20
    var model = RepairModel(
      RepairView(layout: next, filling: rows, members: members, isBraked: false), configuration: configuration, settings: settings)
    guard let result = model.run(limit: 30 * 86_400) else { throw CommandFailure(.failed, "\(name) is not repaired within a month.") }
    console.print(
      "| \(name) | \(rows.reduce(0) { $0 + $1.targets.count }) | \(HumanFormat.size(result.bytes)) "
        + "| \(HumanFormat.duration(.seconds(result.seconds))) | \(result.events) "
        + "| \(rounded(result.decidingSeconds)) s, \(rounded(result.decidingSeconds / max(1, result.seconds) * 100, 2)) % |")
    return result
  }
}
