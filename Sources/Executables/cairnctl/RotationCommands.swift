import BlockModel
import CommandLineKit
import ServiceAPI

/// `cairnctl keys`: the data keys that blocks are sealed under.
enum RotationCommands {
  static let command = Command(
    "keys", summary: "rotate the data keys, or see which are in use", subcommands: [rotate, status])

  private static let rotate = Command(
    "rotate", summary: "seal new blocks under a new data key",
    discussion: """
      A node makes the key, all live nodes fetch it from each other, and then new blocks come under it. Nothing is written anew at once: what is \
      under older keys is sealed under the new one as compaction and repair move it, which “cairnctl keys status” shows.
      """,
    flags: [CommandFlag("wait", help: "return when new blocks come under the new key")], examples: ["cairnctl keys rotate --wait"]
  ) { invocation in
    let console = invocation.console
    let coordinator = try CoordinatorConnection()
    let begun = try await coordinator.perform(OperatorOperations.RotateDataKeys())
    let epoch = begun.epochs.last?.epoch ?? 0
    guard invocation.flag("wait") else {
      return try console.result(begun) { "epoch \(epoch) is being made; “cairnctl keys status” shows when it is in use" }
    }
    let line = StatusLine(console)
    let ended = try await coordinator.wait(
      for: OperatorOperations.GetDataKeys(),
      show: { line.show("epoch \(epoch) is with \($0.epochs.last?.holders.count ?? 0) nodes") }, until: { $0.current >= epoch })
    line.clear()
    try console.result(ended) { "new blocks come under epoch \(ended.current)" }
  }

  private static let status = Command("status", summary: "show the epochs and what is under each", examples: ["cairnctl keys status"]) {
    invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetDataKeys())
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(status) }
    guard status.current > 0 else { return console.print("there are no data keys: encryption is off, or no node has come yet") }
    var table = Table([
      .right("EPOCH"), .left("STATE"), .left("MADE BY"), .right("HELD BY"), .right("SEGMENTS"), .right("BYTES"), .left("LACKING"),
    ])
    for epoch in status.epochs {
      let state = epoch.epoch == status.current ? "current" : epoch.epoch > status.current ? "handed out" : "old"
      table.add([
        "\(epoch.epoch)", state, epoch.founder.text, HumanFormat.count(epoch.holders.count), HumanFormat.count(epoch.segments),
        HumanFormat.size(epoch.bytes), epoch.lacking.isEmpty ? "-" : epoch.lacking.map(\.text).joined(separator: " "),
      ])
    }
    console.write(table.render(style: console.style))
  }
}
