import BlockModel
import CommandLineKit
import ServiceAPI

/// `cairnctl quarantine …`: versions that a malware scanner holds back.
enum QuarantineCommands {
  private static let pageSize = 1000

  static let command = Command(
    "quarantine", summary: "show and release versions that a malware scanner holds back",
    discussion: """
      With “malware-scanner” in the coordinator's configuration every version is scanned after it was committed. One that is found \
      infected is not served any more: not to its owner, not to members, not through links. Earlier versions are.
      """,
    subcommands: [status, list, release, rescan], examples: ["cairnctl quarantine list", "cairnctl quarantine release 17"])

  private static let status = Command(
    "status", summary: "show how many versions wait and how many are held", examples: ["cairnctl quarantine status"]
  ) { invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetQuarantineStatus())
    try invocation.console.result(status) {
      let scanning = status.isOn ? status.obstacle.map { "nothing is scanned now: \($0)" } ?? "scanning is on" : "scanning is off"
      return "\(scanning); \(HumanFormat.counted(status.waiting, "version")) to scan, \(status.infected) infected, "
        + "\(status.unscannable) that cannot be scanned"
    }
  }

  private static let list = Command(
    "list", summary: "list what is held and what was released, the newest first",
    options: [CommandOption("limit", value: "N", help: "lines at most", kind: .integer(1...1_000_000), default: "100")],
    examples: ["cairnctl quarantine list"]
  ) { invocation in
    let connection = try CoordinatorConnection()
    let limit = invocation.int("limit") ?? 100
    var versions: [QuarantinedVersion] = []
    var cursor: String?
    repeat {
      let page = try await connection.perform(
        OperatorOperations.ListQuarantine(limit: min(pageSize, limit - versions.count), cursor: cursor))
      versions += page.items
      cursor = page.next
    } while cursor != nil && versions.count < limit
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(["versions": versions]) }
    var table = Table([.right("NUMBER"), .left("STATE"), .left("FINDING"), .left("OWNER"), .left("PATH"), .right("VERSION"), .left("BY")])
    for item in versions {
      table.add([
        String(item.number), item.state.rawValue, item.finding, item.owner, item.path ?? "(in the trash) \(item.entry.hex)",
        String(item.version), item.author,
      ])
    }
    console.write(table.render(style: console.style))
  }

  private static let release = change(
    "release", .release, summary: "let a version be read, whatever was found in it", done: "can be read again")
  private static let rescan = change(
    "rescan", .rescan, summary: "have a version scanned anew, after new signatures for instance", done: "is scanned anew")

  private static func change(
    _ name: String, _ change: OperatorOperations.ChangeQuarantine.Change, summary: String, done: String
  ) -> Command {
    Command(
      name, summary: summary, arguments: [CommandArgument("NUMBER", help: "as “cairnctl quarantine list” shows it")],
      examples: ["cairnctl quarantine \(name) 17"]
    ) { invocation in
      guard let number = Int64(invocation.argument("NUMBER")), number > 0 else {
        throw CommandFailure(.usage, "NUMBER has to be one that “cairnctl quarantine list” shows.")
      }
      let item = try await CoordinatorConnection().perform(OperatorOperations.ChangeQuarantine(number: number, change: change))
      try invocation.console.result(item) { "version \(item.version) of \(item.path ?? item.entry.hex) of \(item.owner) \(done)" }
    }
  }
}
