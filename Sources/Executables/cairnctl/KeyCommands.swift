import BlockModel
import CommandLineKit
import Credentials
import Platform

/// `cairnctl init` and `cairnctl issue`: the cluster's secret, and what each service is given of it. They work on files and talk to nobody.
enum KeyCommands {
  static let commands = [initialise, issue, secret]

  private static let keysOption = CommandOption(
    "keys", value: "FILE", help: "the cluster's key file, from cairnctl init", isRequired: true)

  private static let initialise = Command(
    "init", summary: "make a new cluster's secret",
    discussion: """
      Writes a fresh cluster secret to FILE, readable by you only, and prints the cluster's id. Coordinators need this \
      file; whoever has it can sign
      anything. An existing file is never overwritten.
      """,
    arguments: [CommandArgument("FILE", help: "where the key file goes")], examples: ["cairnctl init cluster.keys"]
  ) { invocation in
    let path = invocation.argument("FILE")
    guard try AtomicFile.read(path, limit: 1 << 16) == nil else {
      throw CommandFailure(.conflict, "\(path) is there already; a second secret would cut the cluster in two, so it stays as it is.")
    }
    let cluster = ClusterID.random()
    try explaining { try KeyFile.write(.generate(), cluster: cluster, to: path) }
    try invocation.console.result(["cluster": cluster.hex]) { cluster.hex }
  }

  private static let issue = Command(
    "issue", summary: "give a service its keys",
    subcommands: [
      Command(
        "node", summary: "write a node's key file",
        arguments: [CommandArgument("NAME", help: "the node's name"), CommandArgument("FILE", help: "where the key file goes")],
        options: [keysOption], examples: ["cairnctl issue node node-1 node-1.keys --keys cluster.keys"]
      ) { invocation in
        let (secret, cluster) = try clusterKeys(invocation)
        guard let node = NodeID(invocation.argument("NAME")) else { throw badName(invocation) }
        try explaining { try KeyFile.writeNode(secret.nodeKeys(node, cluster: cluster), to: invocation.argument("FILE")) }
      },
      Command(
        "gateway", summary: "write a gateway's key file",
        arguments: [CommandArgument("NAME", help: "the gateway's name"), CommandArgument("FILE", help: "where the key file goes")],
        options: [keysOption], examples: ["cairnctl issue gateway gateway-1 gateway-1.keys --keys cluster.keys"]
      ) { invocation in
        let (secret, cluster) = try clusterKeys(invocation)
        let name = invocation.argument("NAME")
        guard NameRule.accepts(name) else { throw badName(invocation) }
        try explaining { try KeyFile.writeGateway(secret, cluster: cluster, name: name, to: invocation.argument("FILE")) }
      },
      Command(
        "operator", summary: "print an operator's token", arguments: [CommandArgument("NAME", help: "the operator's name")],
        options: [keysOption], examples: ["CAIRN_OPERATOR_TOKEN=$(cairnctl issue operator ada --keys cluster.keys)"]
      ) { invocation in
        let (secret, _) = try clusterKeys(invocation)
        let name = invocation.argument("NAME")
        guard NameRule.accepts(name) else { throw badName(invocation) }
        let token = secret.controlRoot.token(.op(name))
        try invocation.console.result(["token": token]) { token }
      },
    ])

  private static let secret = Command(
    "secret", summary: "replace the cluster's secret while the cluster works",
    discussion: """
      Three steps. After each, issue the key files of all nodes and gateways anew from FILE, put them and FILE where the daemons \
      read them, and send each daemon SIGHUP: a daemon that reads new keys goes on with what it is doing. Operators' tokens \
      carry the epoch: issue them anew between advance and finish. Wait for the life of a URL (30 minutes) and of a lease before finish.
      """,
    subcommands: [
      step("begin", "add a new epoch, which is believed and does not sign yet") { secret throws(CredentialError) in try secret.begun() },
      step("advance", "have the new epoch sign") { secret throws(CredentialError) in try secret.advanced() },
      step("finish", "take the old epoch out: what was signed under it opens nothing any more") { secret throws(CredentialError) in
        try secret.finished()
      },
    ])

  private static func step(
    _ name: String, _ summary: String, _ change: @escaping @Sendable (ClusterSecret) throws(CredentialError) -> ClusterSecret
  ) -> Command {
    Command(
      name, summary: summary, arguments: [CommandArgument("FILE", help: "the cluster's key file")],
      examples: ["cairnctl secret \(name) cluster.keys"]
    ) { invocation in
      let path = invocation.argument("FILE")
      let epochs = try explaining {
        let (secret, cluster) = try KeyFile.readCluster(path)
        let changed = try change(secret)
        try KeyFile.write(changed, cluster: cluster, to: path)
        return changed.keys
      }
      let all = epochs.epochs.map { "\($0.epoch)" }.joined(separator: " ")
      try invocation.console.result(["epochs": all, "signs": "\(epochs.current.epoch)"]) { "epochs \(all); \(epochs.current.epoch) signs" }
    }
  }

  private static func clusterKeys(_ invocation: Invocation) throws -> (ClusterSecret, ClusterID) {
    try explaining { try KeyFile.readCluster(invocation.option("keys") ?? "") }
  }

  private static func badName(_ invocation: Invocation) -> CommandFailure {
    CommandFailure(.usage, "“\(invocation.argument("NAME"))” is no name: 1 to 63 of a–z, 0–9 and -, not beginning with -.")
  }

  private static func explaining<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as CredentialError { throw CommandFailure(.failed, error.message) }
  }
}
