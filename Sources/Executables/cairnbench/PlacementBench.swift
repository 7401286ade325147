import BlockModel
import Charts
import ClusterLogic
import CommandLineKit
import Platform

/// `cairnbench placement`: how evenly the planner shares, how little it moves, and what a layout of ten thousand nodes costs.
///
/// Fair shares and least moves are worked out here from weights alone, so that the planner is not held against itself.
enum PlacementBench {
  static let command = Command(
    "placement", summary: "measure layouts: loads, moves, time, memory, lookups",
    options: [
      CommandOption("pictures", value: "DIR", help: "where to write SVG pictures"),
      CommandOption("nodes", value: "N", help: "nodes of the large layout", kind: .integer(10...60_000), default: "10000"),
      CommandOption("zones", value: "N", help: "its zones", kind: .integer(1...1000), default: "30"),
      CommandOption("partition-bits", value: "N", help: "its partitions, as a power of two", kind: .integer(4...20), default: "18"),
    ]
  ) { invocation in
    var bench = PlacementRun(console: invocation.console, pictures: invocation.option("pictures"))
    let large = PlacementCases.large(nodes: invocation.int("nodes") ?? 10_000, zones: invocation.int("zones") ?? 30)
    // First, so that the peak of memory is its own.
    try bench.measureLarge(large, bits: invocation.int("partition-bits") ?? 18)
    try bench.balance()
    try bench.moves()
  }
}

/// Lists of nodes that layouts are made of.
enum PlacementCases {
  static func nodes(_ count: Int, zones: Int, weight: (Int) -> Double = { _ in 1 }) -> [LayoutNode] {
    (0..<count).map { number in node(number, zone: number % zones, weight: weight(number)) }
  }

  static func node(_ number: Int, zone: Int, weight: Double = 1) -> LayoutNode {
    guard let id = NodeID("node-\(number)"), let zone = ZoneID("zone-\(zone)") else { preconditionFailure("numbers make names") }
    return LayoutNode(id: id, zone: zone, weight: weight)
  }

  static func unequalZones(_ sizes: [Int]) -> [LayoutNode] {
    var list: [LayoutNode] = []
    for (zone, size) in sizes.enumerated() { for _ in 0..<size { list.append(node(list.count, zone: zone)) } }
    return list
  }

  static func large(nodes count: Int, zones: Int) -> [LayoutNode] { nodes(count, zones: zones) }

  /// The same four weights in each of six zones: then no node and no zone needs two replicas of a partition.
  static func mixed(seed: UInt64) -> [LayoutNode] {
    var random = SeededRandom(seed: seed)
    let weights = (0..<4).map { _ in Double(Int.random(in: 1...200, using: &random)) / 10 }
    return nodes(24, zones: 6) { weights[$0 / 6] }
  }

  static func layout(_ nodes: [LayoutNode], bits: Int = 12) throws -> LayoutPlan {
    try LayoutPlanner.plan(previous: .empty(partitionBits: bits, replicationFactor: 3, writeQuorum: 2), nodes: nodes)
  }
}

/// What a plan is held against.
struct PlacementFigures {
  let plan: LayoutPlan
  /// What weights alone give each node, as a number of partitions; it cannot hold more than all of them.
  let fair: [Double]

  init(_ plan: LayoutPlan) {
    self.plan = plan
    let nodes = plan.layout.nodes
    let sum = nodes.reduce(0) { $0 + $1.weight }
    let total = Double(plan.layout.table.count)
    fair = nodes.map { total * $0.weight / sum }
  }

  /// Whether weights alone can be followed: no node holds two replicas of a partition, and no zone while there are enough of them.
  var isFairSplitPossible: Bool {
    let partitions = Double(plan.layout.partitionCount)
    var zones: [ZoneID: Double] = [:]
    for (node, share) in zip(plan.layout.nodes, fair) { zones[node.zone, default: 0] += share }
    return fair.allSatisfy { $0 <= partitions } && zones.values.allSatisfy { $0 <= partitions * (1 + 1e-9) }
  }

  var ratios: [Double] { zip(plan.loads, fair).map { Double($0.after) / $1 } }
  var largestRatio: Double { ratios.max() ?? 0 }
  /// What any layout with fair loads has to move: what nodes lack of their fair shares.
  var leastMoved: Double { zip(plan.loads, fair).reduce(0) { $0 + max(0, $1.1 - Double($1.0.before)) } }
  /// Against the least for the loads that were reached: where a fair share changes by less than a partition for each node, fractions say
  /// nothing.
  var movedRatio: Double { Double(plan.movedReplicas) / Double(max(1, plan.leastMovedReplicas)) }
}

struct PlacementRun {
  let console: Console
  let pictures: String?
  private let clock = ContinuousClock()

  init(console: Console, pictures: String?) {
    self.console = console
    self.pictures = pictures
  }

  private func row(_ cells: String...) { console.print("| " + cells.joined(separator: " | ") + " |") }

  func write(_ chart: Chart, to name: String) throws {
    guard let pictures else { return }
    try Directory.create(pictures)
    try AtomicFile.write(pictures + "/" + name + ".svg", Array(chart.render().utf8), mode: 0o644)
  }

  // MARK: Loads

  mutating func balance() throws {
    console.print("")
    row("loads", "largest ÷ fair share", "goal")
    row("---", "---", "---")
    for (nodes, zones) in [(6, 3), (12, 3), (12, 4), (100, 10)] {
      let figures = PlacementFigures(try PlacementCases.layout(PlacementCases.nodes(nodes, zones: zones)))
      report("\(nodes) equal nodes in \(zones) zones, 4,096 partitions", [figures], goal: 1.01)
    }
    let mixed = try (UInt64(1)...20).map { PlacementFigures(try PlacementCases.layout(PlacementCases.mixed(seed: $0))) }
    report("24 nodes of weights 0.1 to 20 in 6 zones, the worst of 20 draws", mixed, goal: 1.05)
    for sizes in [[2, 3, 3, 4], [4, 5, 6, 3, 6], [1, 1, 1, 1]] {
      let figures = PlacementFigures(try PlacementCases.layout(PlacementCases.unequalZones(sizes)))
      report("zones of \(sizes.map(String.init).joined(separator: ", ")) equal nodes", [figures], goal: 1.05)
    }
    guard let shown = mixed.first else { return }
    var chart = Chart("Load and fair share: 24 nodes, weights 0.1 to 20, 6 zones", x: "node", y: "partitions")
    let order = shown.fair.indices.sorted { (shown.fair[$0], $0) < (shown.fair[$1], $1) }
    chart.series = [
      .bars(order.map { shown.fair[$0] }, colour: "#b0bec5"), .bars(order.map { Double(shown.plan.loads[$0].after) }, colour: "#1565c0"),
    ]
    chart.legend = ["fair share", "load"]
    try write(chart, to: "load-mixed")
  }

  /// Of shares that are no possible split (a weight so large that its node would hold two replicas of a partition) nothing is said.
  private func report(_ name: String, _ all: [PlacementFigures], goal: Double) {
    let possible = all.filter(\.isFairSplitPossible)
    let worst = possible.map(\.largestRatio).max()
    let note = possible.count < all.count ? " (\(possible.count) of \(all.count) have a fair split)" : ""
    row(name + note, worst.map { PlacementRun.digits($0) } ?? "–", "≤ \(goal)")
  }

  static func digits(_ value: Double) -> String { "\((value * 10_000).rounded() / 10_000)" }

  // MARK: Moves

  mutating func moves() throws {
    console.print("")
    row("change", "replicas moved", "least possible", "ratio", "goal")
    row("---", "---", "---", "---", "---")
    var (names, moved, least): ([String], [Double], [Double]) = ([], [], [])
    for zones in [3, 4, 6] {
      let before = PlacementCases.nodes(12, zones: zones)
      let changes: [(String, [LayoutNode])] = [
        ("add 1", before + [PlacementCases.node(12, zone: 0)]),
        ("remove 1", before.filter { $0.id.text != "node-5" }),
        ("weight 2", before.map { $0.id.text == "node-4" ? PlacementCases.node(4, zone: 4 % zones, weight: 2) : $0 }),
        ("add zone", before + (12..<15).map { PlacementCases.node($0, zone: zones) }),
      ]
      let layout = try PlacementCases.layout(before).layout
      for (name, after) in changes {
        let figures = PlacementFigures(try LayoutPlanner.plan(previous: layout, nodes: after))
        // Where weights alone ask for the impossible (a zone that would hold two replicas), what zones allow is the fair share.
        let bound = figures.isFairSplitPossible ? figures.leastMoved : Double(figures.plan.leastMovedReplicas)
        let count = Double(figures.plan.movedReplicas)
        let note = figures.isFairSplitPossible ? "" : " *"
        row("\(name) of 12, \(zones) zones\(note)", "\(Int(count))", rounded(bound), PlacementRun.digits(count / bound), "≤ 1.02")
        names.append("\(name), \(zones)z")
        moved.append(count)
        least.append(bound)
      }
    }
    console.print("")
    console.print("\\* the zones allow no fair split by weight alone; the least is that for the loads that they do allow")
    var chart = Chart("Replicas moved by a change of 12 nodes, 4,096 partitions, R=3", x: "change, zones", y: "replicas")
    chart.names = names
    chart.series = [.bars(least, colour: "#b0bec5"), .bars(moved, colour: "#1565c0")]
    chart.legend = ["least possible", "moved"]
    try write(chart, to: "moves")
  }

  // MARK: Ten thousand nodes

  func measureLarge(_ nodes: [LayoutNode], bits: Int) throws {
    let empty = Layout.empty(partitionBits: bits, replicationFactor: 3, writeQuorum: 2)
    let zones = Set(nodes.map(\.zone)).count
    row("\(nodes.count) nodes, \(zones) zones, \(1 << bits) partitions", "seconds", "largest ÷ fair share", "moved ÷ least", "goal")
    row("---", "---", "---", "---", "---")
    let (first, seconds) = try timed { try LayoutPlanner.plan(previous: empty, nodes: nodes) }
    row("the first layout", rounded(seconds, 2), PlacementRun.digits(PlacementFigures(first).largestRatio), "", "≤ 10 s")
    let next = PlacementCases.node(nodes.count, zone: 0)
    let changes: [(String, [LayoutNode])] = [
      ("one node more", nodes + [next]), ("one node less", Array(nodes.dropFirst())),
      ("a rack of 40 less", nodes.enumerated().filter { !($0.offset < 40 * zones && $0.offset % zones == 0) }.map(\.element)),
      ("a zone less", nodes.filter { $0.zone != nodes[0].zone }),
      ("a zone more", nodes + (0..<nodes.count / zones).map { PlacementCases.node(nodes.count + $0, zone: zones) }),
      ("a weight doubled", [LayoutNode(id: nodes[0].id, zone: nodes[0].zone, weight: 2)] + nodes.dropFirst()),
    ]
    for (name, after) in changes {
      let (plan, seconds) = try timed { try LayoutPlanner.plan(previous: first.layout, nodes: after) }
      let figures = PlacementFigures(plan)
      row(name, rounded(seconds, 2), PlacementRun.digits(figures.largestRatio), PlacementRun.digits(figures.movedRatio), "≤ 10 s, ≤ 1.02")
    }
    row("peak memory of all of it", rounded(Double(try PlacementRun.peakBytes()) / 1_048_576) + " MiB", "", "", "≤ 1,024 MiB")
    lookups(first.layout)
    let ratios = PlacementFigures(first).ratios.sorted()
    var chart = Chart(
      "Load ÷ fair share: \(nodes.count) equal nodes in \(zones) zones, \(1 << bits) partitions", x: "nodes, sorted", y: "load ÷ fair share"
    )
    // Every so many of them, and the last: an eye sees no more.
    let step = max(1, ratios.count / 400)
    let shown = Array(stride(from: 0, to: ratios.count, by: step)) + [ratios.count - 1]
    chart.series = [.line(shown.map { Chart.Point(Double($0), ratios[$0]) }, colour: "#1565c0")]
    chart.yDomain = 0.95...1.05
    chart.goal = (1.01, "goal 1.01")
    try write(chart, to: "load-large")
  }

  private func timed<T>(_ body: () throws -> T) rethrows -> (T, Double) {
    let start = clock.now
    let result = try body()
    return (result, (clock.now - start).inSeconds)
  }

  /// Blocks drawn at random, so that the table is as cold as a real one.
  private func lookups(_ layout: Layout) {
    var random = SeededRandom(seed: 7)
    let blocks = (0..<1_000_000).map { _ in BlockID(words: (random.next(), random.next(), random.next(), random.next())) }
    var sum = 0
    let (_, indices) = timed {
      for block in blocks { for index in layout.replicaIndices(of: block) { sum &+= Int(index) } }
    }
    let (_, names) = timed { for block in blocks { sum &+= layout.replicas(of: block).count } }
    row("lookup of a block's replicas, as indices", rounded(indices * 1e9 / Double(blocks.count)) + " ns", "", "", "≤ 50 ns")
    row("the same as an array of names", rounded(names * 1e9 / Double(blocks.count)) + " ns", "", "", "")
    precondition(sum != 0, "the loops have to be run")
  }

  /// The most memory that this process has had resident.
  static func peakBytes() throws -> Int64 {
    let text = String(decoding: try AtomicFile.read("/proc/self/status", limit: 1 << 16) ?? [], as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    guard let words = line?.split(whereSeparator: { $0 == " " || $0 == "\t" }), words.count >= 2, let size = Int64(words[1]) else {
      throw CommandFailure(.failed, "/proc/self/status does not say VmHWM.")
    }
    return size << 10
  }
}
