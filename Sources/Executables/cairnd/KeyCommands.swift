import BlockStore
import CommandLineKit
import Platform
import StorageNode

/// `cairnd keys`: a node's master key, while the node is down.
enum KeyCommands {
  static let command = Command("keys", summary: "look after this node's keys while it is down", subcommands: [rewrap])

  private static let rewrap = Command(
    "rewrap", summary: "wrap the node's data keys under another master key",
    discussion: """
      The data keys lie wrapped by the master key. This wraps them by another one, in one step that a crash leaves done or not done; blocks stay \
      as they are. Give the node the new key in its configuration afterwards. The old key is of no use then.
      """,
    options: [
      CommandOption("config", value: "FILE", help: "the node's configuration, with the present master key", isRequired: true),
      CommandOption("to-file", value: "FILE", help: "the new master key"),
      CommandOption("to-command", value: "COMMAND", help: "a command that prints the new master key"),
    ], examples: ["cairnd keys rewrap --config /etc/cairn/node.conf --to-file /etc/cairn/master.new"]
  ) { invocation in
    let file = try ConfigurationFile.load(invocation.option("config") ?? "", knownKeys: NodeConfiguration.keys + ["log-level"])
    let configuration = try NodeConfiguration(file)
    guard configuration.encryption else { throw CommandFailure(.usage, "Encryption is off on this node: it has no data keys.") }
    let new: MasterKey
    switch (invocation.option("to-file"), invocation.option("to-command")) {
    case (let path?, nil): new = try MasterKey.load(file: path)
    case (nil, let command?): new = try MasterKey.load(command: command)
    default: throw CommandFailure(.usage, "Give the new master key by --to-file or by --to-command.")
    }
    let lock = try FolderLock(configuration.dataFolder)
    let ring = try DataKeyring.open(path: NodeDaemon.dataKeyPath(configuration), master: try NodeDaemon.masterKey(configuration))
    try ring.changeMaster(to: new)
    lock.release()
    let count = ring.epochs.count
    try invocation.console.result(["keys": count]) {
      "\(HumanFormat.counted(count, "data key")) wrapped anew; give the node the new master key and start it"
    }
  }
}
