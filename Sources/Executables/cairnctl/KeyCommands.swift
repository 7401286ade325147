import BlockModel
import CommandLineKit
import Credentials
import Platform

/// `cairnctl init` and `cairnctl issue`: the cluster's secret, and what each service is given of it. They work on files and talk to nobody.
enum KeyCommands {
  static let commands = [initialise, issue]

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
