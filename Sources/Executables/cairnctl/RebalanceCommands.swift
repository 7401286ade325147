import BlockModel
import ClusterLogic
import CommandLineKit
import ServiceAPI

/// `cairnctl rebalance …` and `drain`: data on its way to where the layout wants it.
enum RebalanceCommands {
  static let commands = [rebalance, drain]

  private static let waitFlag = CommandFlag("wait", help: "return when nothing moves any more")

  // MARK: rebalance

  private static let rebalance = Command(
    "rebalance", summary: "watch and control how data moves to where the layout wants it",
    discussion: """
      Replicas are filled first, then their predecessors give their copies up, block by block. Reads and writes go on the whole time; \
      when clients have to wait, moving slows down by itself.
      """,
    subcommands: [
      Command("status", summary: "show how far it is", flags: [waitFlag], examples: ["cairnctl rebalance status --wait"]) { invocation in
        let coordinator = try CoordinatorConnection()
        try await end(try await coordinator.perform(OperatorOperations.GetRebalance()), invocation, coordinator) { $0.state == .idle }
      },
      control("pause", .pause, "stop moving; repair of lost copies goes on"),
      control("resume", .resume, "let moving go on"),
      control("abort", .abort, "go back to the layout before"),
    ], examples: ["cairnctl rebalance status", "cairnctl rebalance pause"])

  private static func control(_ name: String, _ action: OperatorOperations.ControlRebalance.Action, _ summary: String) -> Command {
    Command(name, summary: summary, flags: [waitFlag], examples: ["cairnctl rebalance \(name)"]) { invocation in
      let coordinator = try CoordinatorConnection()
      let status = try await coordinator.perform(OperatorOperations.ControlRebalance(action: action))
      // Paused, what was under way comes to its end; the rate is that of the last ten seconds.
      try await end(status, invocation, coordinator) { $0.state == .idle || action == .pause && $0.bytesPerSecond == 0 }
    }
  }

  /// Shows the status; with `--wait` once it is as it should be.
  private static func end(
    _ status: RebalanceStatus, _ invocation: Invocation, _ coordinator: CoordinatorConnection, until isOver: (RebalanceStatus) -> Bool
  ) async throws {
    let console = invocation.console
    var status = status
    if invocation.flag("wait") {
      let line = StatusLine(console)
      status = try await coordinator.wait(for: OperatorOperations.GetRebalance(), show: { line.show(text(of: $0)) }, until: isOver)
      line.clear()
    }
    guard !console.isJSON else { return try console.printJSON(status) }
    console.print(text(of: status))
    for sentence in status.waiting { console.print("  \(TextWidth.sanitised(sentence))") }
  }

  private static func text(of status: RebalanceStatus) -> String {
    guard status.state != .idle else { return "layout \(status.layoutVersion): nothing moves" }
    let share = status.stepsTotal > 0 ? Double(status.stepsDone) / Double(status.stepsTotal) : 0
    var parts = [
      "\(status.state.rawValue) to layout \(status.layoutVersion) \(bar(share)) \(Int(share * 100))%",
      "\(HumanFormat.count(status.stepsDone)) of \(HumanFormat.counted(status.stepsTotal, "step"))",
      "\(HumanFormat.size(status.bytesMoved)) moved",
    ]
    if status.state == .moving { parts.append(HumanFormat.rate(status.bytesPerSecond)) }
    if let eta = status.etaSeconds { parts.append("\(HumanFormat.duration(.seconds(max(1, eta.rounded(.up))))) left") }
    return parts.joined(separator: ", ")
  }

  private static func bar(_ share: Double) -> String {
    let columns = 20
    let full = min(columns, max(0, Int(share * Double(columns))))
    return "▕" + String(repeating: "█", count: full) + String(repeating: " ", count: columns - full) + "▏"
  }

  // MARK: drain

  private static let drain = Command(
    "drain", summary: "empty a node for good",
    discussion: """
      The node leaves the layout at once and takes no new blocks. What it holds is copied to others, and given up after that. It has to \
      run until it is empty: with --wait this returns when it may be unplugged.
      """,
    arguments: [CommandArgument("NODE", help: "the node's name")], flags: [CommandFlag("wait", help: "return when it is empty")],
    examples: ["cairnctl drain node-3 --wait"]
  ) { invocation in
    let console = invocation.console
    let node = try LayoutCommands.nodeID(invocation)
    let coordinator = try CoordinatorConnection()
    let layout = try await ask(OperatorOperations.GetLayout(), invocation, coordinator)
    if layout.node(node) != nil { LayoutCommands.warn(layout, nodesLeft: layout.nodes.count - 1, console) }
    var status = try await ask(OperatorOperations.DrainNode(node: node), invocation, coordinator)
    if invocation.flag("wait") {
      let line = StatusLine(console)
      status = try await coordinator.wait(
        for: OperatorOperations.GetDrain(node: node),
        show: { line.show("\($0.sentence) \(HumanFormat.size($0.bytesLeft)) left") },
        until: { $0.state == .drained || $0.state == .serving })
      line.clear()
    }
    try console.result(status) { status.sentence }
    guard status.state != .serving else {
      throw CommandFailure(.conflict, "\(node) is in the layout: somebody put it back.")
    }
  }

  /// Asking twice does what asking once does, so whoever waits asks again when the answer got lost.
  private static func ask<Operation: ControlOperation>(
    _ operation: Operation, _ invocation: Invocation, _ coordinator: CoordinatorConnection
  ) async throws -> Operation.Response {
    guard invocation.flag("wait") else { return try await coordinator.perform(operation) }
    return try await coordinator.wait(for: operation, show: { _ in }, until: { _ in true })
  }
}
