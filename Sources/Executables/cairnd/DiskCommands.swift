import BlockModel
import BlockStore
import CommandLineKit
import Credentials
import Platform
import StorageNode

/// `cairnd disk`: what an operator does with a node's disks while the node is down.
enum DiskCommands {
  static let command = Command("disk", summary: "look after this node's disks while it is down", subcommands: [adopt, replace])

  private static let arguments = [CommandArgument("DIR", help: "the disk's folder, as the configuration has it")]
  private static let options = [CommandOption("config", value: "FILE", help: "the node's configuration", isRequired: true)]

  private static let adopt = Command(
    "adopt", summary: "make another node's disk this node's",
    discussion: """
      A disk says whose it is, and a node refuses those of others. After this the blocks on it are this node's: those that it is to hold count \
      at once, the others are of use to repair. The node that had the disk before must not come back with it.
      """,
    arguments: arguments, options: options, examples: ["cairnd disk adopt /srv/disk-3 --config /etc/cairn/node.conf"]
  ) { invocation in
    let (configuration, folder) = try configuration(invocation)
    let keys = try KeyFile.readNode(configuration.keyFile)
    var disk = SegmentStore.Configuration(folder: folder, cluster: keys.cluster, keys: nil)
    disk.owner = configuration.node
    let (id, before) = try SegmentStore.adopt(disk)
    let from = before.map { $0 == configuration.node ? ", as before" : ", and was \($0)'s" } ?? ""
    try invocation.console.result(["disk": id.hex]) { "disk \(id.hex) is \(configuration.node)'s now\(from)" }
  }

  private static let replace = Command(
    "replace", summary: "let the empty folder of a lost disk become a new disk",
    discussion: """
      A folder that had a disk is never formatted by itself: its mount may only be missing. This forgets which disk was there. The next \
      start makes a new one of the folder, if it is empty then, and the cluster fills it.
      """,
    arguments: arguments, options: options, examples: ["cairnd disk replace /srv/disk-3 --config /etc/cairn/node.conf"]
  ) { invocation in
    let (configuration, folder) = try configuration(invocation)
    var roster = try DiskRoster.load(folder: configuration.dataFolder)
    guard let disk = roster[folder] else {
      throw CommandFailure(.notFound, "\(configuration.node) knows of no disk that was in \(folder); nothing was changed.")
    }
    roster[folder] = nil
    try roster.save(folder: configuration.dataFolder)
    try invocation.console.result(["disk": disk.hex]) { "disk \(disk.hex) is forgotten; start the node to make a new one in \(folder)" }
  }

  private static func configuration(_ invocation: Invocation) throws -> (NodeConfiguration, String) {
    let file = try ConfigurationFile.load(invocation.option("config") ?? "", knownKeys: NodeConfiguration.keys + ["log-level"])
    let configuration = try NodeConfiguration(file)
    let folder = invocation.argument("DIR")
    guard configuration.diskFolders.contains(folder) else {
      throw CommandFailure(
        .usage, "“disks” of the configuration does not name \(folder); it has \(configuration.diskFolders.joined(separator: ", ")).")
    }
    return (configuration, folder)
  }
}
