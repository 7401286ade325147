import BlockModel
import ClusterLogic
import CommandLineKit
import ServiceAPI

/// `cairnctl admit`: a new node gets its share of the data.
enum AdmitCommand {
  static let command = Command(
    "admit", summary: "let a new node into the layout",
    discussion: """
      The node runs and sends heartbeats, and no layout names it yet. A new layout is committed that gives it its share; what \
      it is to hold is copied to it meanwhile, and reads go to those who have it. “cairnctl status” shows how far that is.
      """,
    arguments: [CommandArgument("NODE", help: "the node's name")], examples: ["cairnctl admit node-7"]
  ) { invocation in
    let name = invocation.argument("NODE")
    guard let node = NodeID(name) else { throw CommandFailure(.usage, "“\(name)” is no node's name.") }
    let layout = try await CoordinatorConnection().perform(OperatorOperations.AdmitNode(node: node))
    try invocation.console.result(["layout_version": layout.version]) { "\(name) is in layout \(layout.version)" }
  }
}
