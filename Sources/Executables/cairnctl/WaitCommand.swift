import BlockModel
import CommandLineKit
import ServiceAPI

/// `cairnctl wait`: for scripts that go on when the cluster or a node is as it should be.
enum WaitCommand {
  static let command = Command(
    "wait", summary: "wait until the cluster is healthy, or a node is in a state",
    options: [
      CommandOption("node", value: "NAME", help: "wait for this node and not for the whole cluster"),
      CommandOption(
        "state", value: "STATE", help: "the node's state", kind: .choice(["alive", "suspect", "out"]), default: "alive"),
      CommandOption("timeout", value: "SECONDS", help: "give up after", kind: .integer(1...86_400), default: "60"),
    ],
    flags: [CommandFlag("healthy", help: "wait until the cluster is healthy (default)")],
    examples: ["cairnctl wait --healthy --timeout 120", "cairnctl wait --node node-1 --state alive"]
  ) { invocation in
    let connection = try CoordinatorConnection()
    let timeout = Duration.seconds(invocation.int("timeout") ?? 60)
    let node = try invocation.option("node").map { name throws(CommandFailure) in
      guard let node = NodeID(name) else { throw CommandFailure(.usage, "“\(name)” is no node's name.") }
      return node
    }
    let wanted = NodeState(rawValue: invocation.option("state") ?? "alive") ?? .alive
    let waiting = Task {
      try await connection.wait(for: OperatorOperations.GetStatus(), show: { _ in }) { status in
        guard let node else { return status.health == .healthy }
        return status.nodes.contains { $0.name == node && $0.state == wanted }
      }
    }
    let timer = Task {
      try await Task.sleep(for: timeout)
      waiting.cancel()
    }
    defer { timer.cancel() }
    do { _ = try await waiting.value } catch is CancellationError {
      let what = node.map { "\($0) is not \(wanted.rawValue)" } ?? "the cluster is not healthy"
      throw CommandFailure(.unavailable, "After \(timeout.components.seconds) s \(what); cairnctl status says why.")
    }
  }
}
