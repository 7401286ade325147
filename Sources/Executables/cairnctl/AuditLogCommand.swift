import BlockModel
import CommandLineKit
import ServiceAPI

/// `cairnctl audit-log`: who did what.
enum AuditLogCommand {
  private static let pageSize = 1000

  static let command = Command(
    "audit-log", summary: "show who did what, the newest first",
    discussion: """
      Operators' changes, log-ins (refused ones too), sign-ups, shares, links, devices, passwords and deletions, with ids and names and \
      nothing secret. Lines stay for 400 days.
      """,
    options: [
      CommandOption("actor", value: "NAME", help: "of this one alone: a user, “operator NAME”, or coordinator"),
      CommandOption("limit", value: "N", help: "lines at most", kind: .integer(1...1_000_000), default: "50"),
    ],
    examples: ["cairnctl audit-log", "cairnctl audit-log --actor ada --limit 1000", "cairnctl audit-log --actor \"operator local\""]
  ) { invocation in
    let connection = try CoordinatorConnection()
    let limit = invocation.int("limit") ?? 50
    var entries: [AuditEntry] = []
    var cursor: String?
    repeat {
      let page = try await connection.perform(
        OperatorOperations.GetAuditLog(actor: invocation.option("actor"), limit: min(pageSize, limit - entries.count), cursor: cursor))
      entries += page.items
      cursor = page.next
    } while cursor != nil && entries.count < limit
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(["entries": entries]) }
    var table = Table([.left("TIME"), .left("WHO"), .left("WHAT"), .left("SUBJECT")])
    for entry in entries { table.add([entry.at.rfc3339, entry.actor, entry.action, entry.subject]) }
    console.write(table.render(style: console.style))
  }
}
