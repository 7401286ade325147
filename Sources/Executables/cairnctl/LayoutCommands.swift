import BlockModel
import ClusterLogic
import CommandLineKit
import ServiceAPI

/// `cairnctl layout …`: changing which nodes hold the data, in stages.
enum LayoutCommands {
  static let command = Command(
    "layout", summary: "show and change which node holds which part of the data",
    discussion: """
      Changes are staged by assign and remove, shown by plan, and committed by apply; revert forgets them. Until apply nothing \
      changes. What moves then is shown by “cairnctl rebalance status”.
      """,
    subcommands: [show, assign, remove, plan, apply, revert, history],
    examples: ["cairnctl layout assign node-7 --zone c --weight 2", "cairnctl layout plan", "cairnctl layout apply --version 4"])

  private static let node = CommandArgument("NODE", help: "the node's name")

  static func nodeID(_ invocation: Invocation) throws -> NodeID {
    let text = invocation.argument("NODE")
    guard let node = NodeID(text) else { throw CommandFailure(.usage, "“\(text)” is no node's name.") }
    return node
  }

  // MARK: show

  private static let show = Command("show", summary: "show the committed layout", examples: ["cairnctl layout show --json"]) { invocation in
    let layout = LayoutSummary(try await CoordinatorConnection().perform(OperatorOperations.GetLayout()))
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(layout) }
    console.print(
      "layout \(layout.version): \(HumanFormat.counted(layout.partitions, "partition")), "
        + "\(HumanFormat.counted(layout.replicas, "replica")) each")
    console.print("")
    var table = Table([.left("NODE"), .left("ZONE"), .left("REGION"), .right("WEIGHT"), .right("PARTITIONS")])
    for node in layout.nodes {
      table.add([node.name.text, node.zone.text, node.region?.text ?? "-", "\(node.weight)", HumanFormat.count(node.partitions)])
    }
    console.write(table.render(style: console.style))
  }

  // MARK: Staging

  private static let assign = Command(
    "assign", summary: "stage a node's zone, region and weight for the next layout",
    discussion: "What is not given stays as it is; a new node's zone and weight are what its configuration says.",
    arguments: [node],
    options: [
      CommandOption("zone", value: "Z", help: "what fails together; copies of a block lie in different zones"),
      CommandOption("region", value: "R", help: "zones that may fail together; copies spread over regions first"),
      CommandOption("weight", value: "W", help: "share of data relative to other nodes, 0.1 to 20"),
    ], examples: ["cairnctl layout assign node-7 --zone c --weight 2"]
  ) { invocation in
    let zone = try invocation.option("zone").map { text in
      guard let zone = ZoneID(text) else { throw CommandFailure(.usage, "“\(text)” is no zone's name.") }
      return zone
    }
    let region = try invocation.option("region").map { text in
      guard let region = RegionID(text) else { throw CommandFailure(.usage, "“\(text)” is no region's name.") }
      return region
    }
    let weight = try invocation.option("weight").map { text in
      guard let weight = Double(text), weight.isFinite else { throw CommandFailure(.usage, "“\(text)” is no weight, such as 1 or 0.5.") }
      return weight
    }
    let staged = try await CoordinatorConnection().perform(
      OperatorOperations.AssignRole(node: try nodeID(invocation), zone: zone, region: region, weight: weight))
    try report(staged, invocation.console)
  }

  private static let remove = Command(
    "remove", summary: "stage that a node leaves the layout", arguments: [node], examples: ["cairnctl layout remove node-3"]
  ) { invocation in
    let node = try nodeID(invocation)
    try report(try await CoordinatorConnection().perform(OperatorOperations.RemoveRole(node: node)), invocation.console)
  }

  private static let revert = Command("revert", summary: "forget what is staged", examples: ["cairnctl layout revert"]) { invocation in
    let dropped = try await CoordinatorConnection().perform(OperatorOperations.RevertLayout())
    try invocation.console.result(dropped) { "\(HumanFormat.counted(dropped.staged.count, "staged change")) forgotten" }
  }

  private static func report(_ staged: StagedLayout, _ console: Console) throws {
    guard !console.isJSON else { return try console.printJSON(staged) }
    for change in staged.staged {
      let words = change.role.map { role in
        "zone \(role.zone), " + (role.region.map { "region \($0), " } ?? "") + "weight \(role.weight)"
      }
      console.print("staged: \(change.node) \(words ?? "leaves")")
    }
    console.print("“cairnctl layout plan” shows what that moves; layout \(staged.nextVersion) would be the next.")
  }

  // MARK: Planning

  private static let shownMoves = 40

  private static let plan = Command(
    "plan", summary: "show what the staged changes would move",
    discussion: """
      For every node its part before and after, for every pair of nodes what goes from one to the other, an estimate of bytes and time, \
      and the fewest zones that hold any block on the way. Changes nothing.
      """, examples: ["cairnctl layout plan"]
  ) { invocation in
    let coordinator = try CoordinatorConnection()
    let plan = try await coordinator.perform(OperatorOperations.PlanLayout())
    let layout = try await coordinator.perform(OperatorOperations.GetLayout())
    let console = invocation.console
    warn(layout, nodesLeft: plan.nodes.count, console)
    guard !console.isJSON else { return try console.printJSON(plan) }
    show(plan, console)
    console.print("")
    console.print("cairnctl layout apply --version \(plan.version) --plan \(plan.hash.prefix(16))")
  }

  private static let apply = Command(
    "apply", summary: "commit the staged changes",
    options: [
      CommandOption(
        "version", value: "N", help: "the version that plan showed", kind: .integer(1...Int(Int32.max)), isRequired: true),
      CommandOption("plan", value: "HASH", help: "the hash that plan showed, or its beginning: anything else is not committed"),
    ], examples: ["cairnctl layout apply --version 4"]
  ) { invocation in
    let coordinator = try CoordinatorConnection()
    let version = UInt64(invocation.int("version") ?? 0)
    // What is committed is the plan that is looked up here, or nothing.
    let plan = try await coordinator.perform(OperatorOperations.PlanLayout())
    if let hash = invocation.option("plan"), hash.count < 8 || !plan.hash.hasPrefix(hash.lowercased()) {
      throw CommandFailure(.conflict, "The plan is \(plan.hash.prefix(16)) now: look at it with “cairnctl layout plan”.")
    }
    let layout = try await coordinator.perform(OperatorOperations.GetLayout())
    let console = invocation.console
    warn(layout, nodesLeft: plan.nodes.count, console)
    let applied = try await coordinator.perform(OperatorOperations.ApplyLayout(version: version, hash: plan.hash))
    guard !console.isJSON else { return try console.printJSON(applied) }
    console.print(
      "layout \(applied.version) is committed; \(HumanFormat.counted(applied.movedReplicas, "replica")) move "
        + "(about \(HumanFormat.size(applied.bytes)))")
  }

  /// Says on standard error when blocks get fewer copies than the layout gives them.
  static func warn(_ layout: Layout, nodesLeft: Int, _ console: Console) {
    guard let warning = layout.copiesWarning(nodesLeft: nodesLeft) else { return }
    console.complain("\(warning) Add a node to keep \(layout.targetCopies).")
  }

  private static func show(_ plan: LayoutPlanReport, _ console: Console) {
    var nodes = Table([
      .left("NODE"), .left("ZONE"), .right("WEIGHT"), .right("BEFORE"), .right("AFTER"), .right("FAIR"), .right("IN"), .right("OUT"),
    ])
    for node in plan.nodes {
      nodes.add([
        node.name.text, node.zone.text, "\(node.weight)", HumanFormat.count(node.partitionsBefore),
        HumanFormat.count(node.partitionsAfter), HumanFormat.count(Int(node.fairShare.rounded())), HumanFormat.size(node.bytesIn),
        HumanFormat.size(node.bytesOut),
      ])
    }
    console.print("layout \(plan.version), plan \(plan.hash.prefix(16))")
    console.print("")
    console.write(nodes.render(style: console.style))
    for node in plan.leaving { console.print("\(node) leaves") }
    console.print("")
    var moves = Table([.left("FROM"), .left("TO"), .right("PARTITIONS"), .right("BYTES")])
    for move in plan.moves.prefix(shownMoves) {
      moves.add([move.from.text, move.to.text, HumanFormat.count(move.partitions), HumanFormat.size(move.bytes)])
    }
    if !plan.moves.isEmpty { console.write(moves.render(style: console.style)) }
    if plan.moves.count > shownMoves { console.print("and \(plan.moves.count - shownMoves) more pairs; --json has them all") }
    console.print("")
    console.print(
      "moves \(HumanFormat.counted(plan.movedReplicas, "replica")) (\(plan.leastMovedReplicas) at least), about "
        + "\(HumanFormat.size(plan.bytes)), \(HumanFormat.duration(.seconds(max(1, plan.seconds.rounded(.up))))) or longer")
    console.print("the fewest zones that hold any block: \(plan.fewestZonesNow) now, \(plan.fewestZonesOnTheWay) on the way")
  }

  // MARK: History

  private static let history = Command(
    "history", summary: "list the layouts that there were",
    options: [CommandOption("limit", value: "N", help: "so many, newest first", kind: .integer(1...1000), default: "20")],
    examples: ["cairnctl layout history --limit 5"]
  ) { invocation in
    let history = try await CoordinatorConnection().perform(OperatorOperations.GetLayoutHistory(limit: invocation.int("limit") ?? 20))
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(history) }
    var table = Table([.right("VERSION"), .left("COMMITTED"), .right("NODES"), .left("CHANGES"), .left("CAUSE")])
    for layout in history.layouts {
      let changes =
        layout.added.map { "+\($0)" } + layout.removed.map { "-\($0)" } + layout.changed.map { "~\($0)" }
      table.add([
        "\(layout.version)", layout.committedAt?.rfc3339 ?? "-", HumanFormat.count(layout.nodes),
        changes.isEmpty ? "-" : changes.joined(separator: " "), layout.cause.isEmpty ? "-" : TextWidth.sanitised(layout.cause),
      ])
    }
    console.write(table.render(style: console.style))
  }
}
