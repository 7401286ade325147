import BlockModel
import CommandLineKit
import ServiceAPI

/// `cairnctl scrub`: whether every copy is read back from time to time, and what that found.
enum ScrubCommands {
  static let command = Command(
    "scrub", summary: "have copies read back, or see how far that is",
    discussion: """
      Every node reads all its copies back by itself, new ones within a day and all within thirty, as fast as clients' reads \
      allow. A copy that \
      is bad is set aside and replaced from another replica. A pause holds until the scrub is started again, over restarts too.
      """,
    subcommands: [
      control("start", "go on after a pause, and begin a walk over all copies now", .start, flags: [waitFlag]),
      control("pause", "stop reading copies back", .pause),
      Command("status", summary: "show how far it is on every disk", examples: ["cairnctl scrub status"]) { invocation in
        try await status(invocation)
      },
    ])

  private static let nodeOption = CommandOption("node", value: "N", help: "this node only")

  private static let waitFlag = CommandFlag("wait", help: "until every copy was read back by a walk that began after this")

  private static func control(_ name: String, _ summary: String, _ action: ScrubAction, flags: [CommandFlag] = []) -> Command {
    Command(
      name, summary: summary, options: [nodeOption], flags: flags,
      examples: ["cairnctl scrub \(name)", "cairnctl scrub \(name) --node node-2"] + flags.map { "cairnctl scrub \(name) --\($0.name)" }
    ) { invocation in
      let node = try invocation.option("node").map { text in
        guard let node = NodeID(text) else { throw CommandFailure(.usage, "“\(text)” is no node's name.") }
        return node
      }
      let connection = try CoordinatorConnection()
      let waits = !flags.isEmpty && invocation.flag("wait")
      let before = waits ? try await connection.perform(OperatorOperations.GetStatus()) : nil
      let answer = try await connection.perform(OperatorOperations.ControlScrub(action: action, node: node))
      let verb = action == .start ? "runs" : "is paused"
      try invocation.console.result(answer) { "the scrub \(verb) on \(HumanFormat.counted(answer.done.count, "node"))" }
      guard answer.silent.isEmpty else {
        let names = answer.silent.map(\.text).joined(separator: ", ")
        throw CommandFailure(.unavailable, "\(names) did not answer: bring them back and say it again.")
      }
      guard let before else { return }
      if try await hasWalked(connection, node, since: before) {
        // On some disk the walk that ended had begun before: what it had behind it then was not read back since.
        let middle = try await connection.perform(OperatorOperations.GetStatus())
        _ = try await connection.perform(OperatorOperations.ControlScrub(action: action, node: node))
        _ = try await hasWalked(connection, node, since: middle)
      }
    }
  }

  /// Waits until a walk has ended on every disk that answered then.
  /// - Returns: whether one of them was under way at that time.
  private static func hasWalked(
    _ connection: CoordinatorConnection, _ node: NodeID?, since before: ClusterStatus
  ) async throws -> Bool {
    func disks(_ status: ClusterStatus) -> [DiskID: ScrubReport] {
      let disks = status.nodes.filter { node == nil || $0.name == node }.flatMap(\.disks)
      return Dictionary(disks.compactMap { disk in disk.scrub.map { (disk.id, $0) } }) { first, _ in first }
    }
    let known = disks(before)
    _ = try await connection.wait(for: OperatorOperations.GetStatus(), show: { _ in }) { status in
      // A disk that is gone by now is not waited for.
      let now = disks(status)
      return known.allSatisfy { id, report in now[id].map { $0.lastFinished != report.lastFinished } ?? true }
    }
    return known.values.contains { $0.passStarted != nil }
  }

  private struct DiskLine: Encodable {
    var node: NodeID
    var disk: DiskID
    var scrub: ScrubReport
  }

  private static func status(_ invocation: Invocation) async throws {
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetStatus())
    let console = invocation.console
    let disks = status.nodes.sorted { $0.name < $1.name }.flatMap { node in
      node.disks.compactMap { disk in disk.scrub.map { DiskLine(node: node.name, disk: disk.id, scrub: $0) } }
    }
    guard !console.isJSON else { return try console.printJSON(["disks": disks]) }
    var table = Table([
      .left("NODE"), .left("DISK"), .left("STATE"), .right("DONE"), .right("LEFT"), .right("NEW"), .right("RATE"), .right("BAD"),
      .left("LAST FULL WALK"),
    ])
    for line in disks {
      let scrub = line.scrub
      table.add([
        line.node.text, String(line.disk.hex.prefix(8)), scrub.state.rawValue, HumanFormat.size(scrub.passDoneBytes),
        HumanFormat.size(scrub.passLeftBytes), HumanFormat.size(scrub.freshBytes),
        scrub.state == .running ? HumanFormat.size(scrub.bytesPerSecond) + "/s" : "-",
        HumanFormat.count(scrub.rottenCopies + scrub.unreadableCopies), scrub.lastFinished?.rfc3339 ?? "never",
      ])
    }
    console.write(table.render(style: console.style))
  }
}

/// `cairnctl disks`: every disk of every node.
enum DiskCommands {
  private struct DiskLine: Encodable {
    var node: NodeID
    var zone: ZoneID
    var disk: DiskReport
  }

  static let command = Command("disks", summary: "list the disks of the storage nodes", examples: ["cairnctl disks"]) { invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetStatus())
    let console = invocation.console
    let disks = status.nodes.sorted { ($0.zone, $0.name) < ($1.zone, $1.name) }.flatMap { node in
      node.disks.map { DiskLine(node: node.name, zone: node.zone, disk: $0) }
    }
    guard !console.isJSON else { return try console.printJSON(["disks": disks]) }
    var table = Table([
      .left("NODE"), .left("ZONE"), .left("DISK"), .left("STATE"), .right("USED"), .right("CAPACITY"), .right("FULL"), .right("BLOCKS"),
      .left("FOLDER"),
    ])
    for line in disks {
      let disk = line.disk
      let full = disk.capacityBytes > 0 ? "\(Int((Double(disk.usedBytes) / Double(disk.capacityBytes) * 100).rounded()))%" : "-"
      table.add([
        line.node.text, line.zone.text, disk.id.hex, disk.state.rawValue, HumanFormat.size(disk.usedBytes),
        HumanFormat.size(disk.capacityBytes), full, HumanFormat.count(disk.blockCount), disk.folder.map { TextWidth.sanitised($0) } ?? "-",
      ])
    }
    console.write(table.render(style: console.style))
    for line in disks where line.disk.state != .healthy {
      let reason = line.disk.reason.map { ": " + TextWidth.sanitised($0) } ?? ""
      console.print("\(line.node.text): \(line.disk.id.hex.prefix(8)) is \(line.disk.state.rawValue)\(reason)")
    }
  }
}
