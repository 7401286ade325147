import BlockModel
import ClusterLogic
import CommandLineKit
import ServiceAPI

/// `cairnctl status` and `nodes`: how the cluster is.
enum StatusCommands {
  static let commands = [status, nodes, jobs]

  private static let status = Command(
    "status", summary: "show the cluster's health",
    discussion: """
      In one word: healthy (every block has all its copies), degraded (something is down or being repaired, or there are too few nodes for \
      all copies; nothing is at risk), at-risk (a block \
      may have one copy left), unavailable (writes or some reads cannot be served); then why, the nodes by zone, and what runs.
      """, examples: ["cairnctl status", "cairnctl status --json | jq -r .health"]
  ) { invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetStatus())
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(status) }
    console.print(colour(status.health, console.style))
    for reason in status.reasons { console.print("  \(TextWidth.sanitised(reason))") }
    console.print("")
    console.print(
      "layout \(status.layoutVersion), \(HumanFormat.counted(status.referencedBlocks, "block")), "
        + "\(HumanFormat.count(status.underReplicatedBlocks)) under-replicated")
    console.print("")
    console.write(table(of: status.nodes).render(style: console.style))
    guard !status.jobs.isEmpty else { return }
    console.print("")
    console.write(table(of: status.jobs).render(style: console.style))
  }

  private static let nodes = Command("nodes", summary: "list the storage nodes", examples: ["cairnctl nodes"]) { invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetStatus())
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(["nodes": status.nodes]) }
    console.write(table(of: status.nodes).render(style: console.style))
    for node in status.nodes {
      for disk in node.disks where disk.state != .healthy {
        console.print(
          "\(node.name.text): disk \(disk.id.hex) is \(disk.state.rawValue)\(disk.reason.map { ": \(TextWidth.sanitised($0))" } ?? "")")
      }
    }
  }

  private static let jobs = Command(
    "jobs", summary: "list what runs: repair, rebalance, rechecks, garbage, audits",
    examples: ["cairnctl jobs", "cairnctl jobs --json | jq '.jobs[].name'"]
  ) { invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetStatus())
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(["jobs": status.jobs]) }
    guard !status.jobs.isEmpty else { return console.print("nothing runs") }
    console.write(table(of: status.jobs).render(style: console.style))
  }

  // MARK: Tables

  private static func table(of nodes: [NodeStatus]) -> Table {
    var table = Table([
      .left("NODE"), .left("ZONE"), .left("STATE"), .right("USED"), .right("CAPACITY"), .right("FULL"), .right("BLOCKS"),
      .left("LAST HEARD"),
      .left("ADDRESS"),
    ])
    for node in nodes.sorted(by: { ($0.zone, $0.name) < ($1.zone, $1.name) }) {
      table.add([
        node.name.text, node.zone.text, node.state.rawValue, HumanFormat.size(node.usedBytes), HumanFormat.size(node.capacityBytes),
        percent(node.usedBytes, of: node.capacityBytes), HumanFormat.count(node.blockCount),
        HumanFormat.duration(.seconds(node.silentSeconds)) + " ago", node.address,
      ])
    }
    return table
  }

  private static func table(of jobs: [JobStatus]) -> Table {
    var table = Table([.left("JOB"), .left("STATE"), .right("DONE"), .right("TOTAL"), .left("UNIT"), .left("LEFT")])
    for job in jobs {
      let left = job.etaSeconds.map { HumanFormat.duration(.seconds(max(0, $0))) } ?? "-"
      table.add([job.name, job.state, HumanFormat.count(job.done), HumanFormat.count(job.total), job.unit, left])
    }
    return table
  }

  private static func percent(_ part: Int64, of whole: Int64) -> String {
    whole > 0 ? "\(Int((Double(part) / Double(whole) * 100).rounded()))%" : "-"
  }

  private static func colour(_ health: ClusterHealth, _ style: Style) -> String {
    switch health {
    case .healthy: style.green(health.rawValue)
    case .degraded: style.yellow(health.rawValue)
    case .atRisk, .unavailable: style.red(health.rawValue)
    }
  }
}

/// The document of `cairnctl layout show --json`.
struct LayoutSummary: Encodable {
  struct Node: Encodable {
    var name: NodeID
    var zone: ZoneID
    var region: RegionID?
    var weight: Double
    /// Partitions that it holds a replica of.
    var partitions: Int
  }
  var version: UInt64
  var partitions: Int
  /// Copies that each block shall have.
  var replicas: Int
  var nodes: [Node]

  init(_ layout: Layout) {
    version = layout.version
    partitions = layout.partitionCount
    replicas = layout.replicationFactor
    nodes = zip(layout.nodes, layout.partitionsByNode).map {
      Node(name: $0.id, zone: $0.zone, region: $0.region, weight: $0.weight, partitions: $1)
    }
  }
}
