import BlockModel
import BlockStore
import CommandLineKit
import Platform

/// `cairnd store check|dump|repair DIR`: works on one disk's folder of a stopped node.
enum StoreCommands {
  static let command = Command(
    "store", summary: "look into a disk of a stopped node",
    discussion: """
      DIR is one of the node's “disks”. The node must be stopped: a disk that is in use is refused. Without the data keys \
      of an encrypted disk, everything but its blocks' contents is checked.
      """,
    options: [
      CommandOption("data-keys", value: "FILE", help: "the node's data keys: the file data-keys in its “data” folder"),
      CommandOption("master-key-file", value: "FILE", help: "the node's master key, which opens them"),
    ],
    flags: [.json, .quiet], subcommands: [check, dump, repair])

  private static let folder = CommandArgument("DIR", help: "the disk's folder")

  private static let check = Command(
    "check", summary: "say what is wrong with a disk, and change nothing",
    discussion: "Exit status 1 when something was lost or the node does not start with the disk; what a start mends by itself is a note.",
    arguments: [folder], flags: [CommandFlag("headers", help: "do not read the blocks' contents")],
    examples: ["cairnd store check /srv/cairn/disk-1"]
  ) { invocation in
    var inspector = try inspector(invocation)
    inspector.checksContents = !invocation.flag("headers")
    let found = try explaining { try inspector.inspect() }
    try invocation.console.result(found) { text(of: found) }
    if !found.isSound { throw CommandFailure(.failed, "The disk \(found.folder) is damaged; cairnd store repair says what can be done.") }
  }

  private static let dump = Command(
    "dump", summary: "list every record of a disk, and change nothing", arguments: [folder],
    examples: ["cairnd store dump /srv/cairn/disk-1 --json | jq -c 'select(.state == \"live\")'"]
  ) { invocation in
    var inspector = try inspector(invocation)
    inspector.checksContents = false
    let console = invocation.console
    _ = try explaining {
      try inspector.inspect { record in if console.isJSON { try console.printJSON(record) } else { console.print(line(record)) } }
    }
  }

  private static let repair = Command(
    "repair", summary: "make a disk one that its node starts with",
    discussion: """
      Deletes nothing: what is in the way goes into a folder aside-TIME on the disk, and copies that fail their check twice are set aside \
      where they are. What is lost here comes from other replicas once the node runs.
      """, arguments: [folder], examples: ["cairnd store repair /srv/cairn/disk-1"]
  ) { invocation in
    let inspector = try inspector(invocation)
    let report: StoreRepair.Report
    do { report = try await StoreRepair(inspector).run() } catch { throw explained(error) }
    try invocation.console.result(report) {
      let done = report.actions.isEmpty ? ["Nothing was to be done."] : report.actions
      return (done + report.left).joined(separator: "\n")
    }
    if report.after.findings.contains(where: { $0.severity == .blocking }) {
      throw CommandFailure(.failed, "The node does not start with \(inspector.folder) yet; cairnd store check says why.")
    }
  }

  private static func inspector(_ invocation: Invocation) throws -> StoreInspector {
    let (keys, master) = (invocation.option("data-keys"), invocation.option("master-key-file"))
    guard (keys == nil) == (master == nil) else {
      throw CommandFailure(.usage, "--data-keys and --master-key-file go together: the one is wrapped by the other.")
    }
    let folder = invocation.argument("DIR")
    let path = folder.count > 1 && folder.hasSuffix("/") ? String(folder.dropLast()) : folder
    guard let keys, let master else { return StoreInspector(folder: path) }
    return try explaining { StoreInspector(folder: path, keys: try DataKeyring.open(path: keys, master: try MasterKey.load(file: master))) }
  }

  private static func explaining<R>(_ body: () throws -> R) throws -> R {
    do { return try body() } catch { throw explained(error) }
  }

  private static func explained(_ error: any Error) -> any Error {
    guard let error = error as? BlockStoreError else { return error }
    switch error.code {
    case .notFound: return CommandFailure(.notFound, error.message)
    case .locked: return CommandFailure(.unavailable, error.message)
    default: return CommandFailure(.failed, error.message)
    }
  }

  private static func text(of found: StoreInspection) -> String {
    var lines = [
      "\(HumanFormat.counted(found.blocks, "block")), \(HumanFormat.size(found.liveBytes)), in \(HumanFormat.counted(found.segments, "segment"))"
        + "; \(found.quarantinedBlocks) quarantined, \(found.setAsideBlocks) set aside, \(found.deadRecords) dead records"
    ]
    if found.checkedBlocks > 0 { lines.append("The contents of \(HumanFormat.counted(found.checkedBlocks, "block")) were read and fit.") }
    lines += found.findings.map { "\($0.severity.rawValue): \($0.message)" }
    if found.isCut { lines.append("There is more; only the first \(found.findings.count) findings are listed.") }
    if found.findings.isEmpty { lines.append("Everything is as it should be.") }
    return lines.joined(separator: "\n")
  }

  private static func line(_ record: InspectedRecord) -> String {
    var words = ["\(record.segment)", "\(record.offset)", record.kind, "seq=\(record.sequence)", "epoch=\(record.gcEpoch)"]
    if let block = record.block { words.append(block.hex) }
    if let plain = record.plainBytes, let stored = record.storedBytes { words.append("plain=\(plain) stored=\(stored)") }
    if let state = record.state { words.append(state) }
    return words.joined(separator: " ")
  }
}
