import CairnClient
import CommandLineKit
import Platform

/// Going back: revisions, the trash, rewinding; and the change feed.
enum HistoryCommands {
  static let all = [revert, trash, restore, rewind, changes]

  private static let revert = Command(
    "revert", summary: "make an earlier revision the newest one",
    discussion: "The earlier content becomes a new revision, so that a revert can be reverted.",
    arguments: [CommandArgument("REMOTE", help: "the file")],
    options: [
      CommandOption(
        "version", value: "V", help: "the revision, as “cairn revs” shows it", kind: .integer(1...Int.max), isRequired: true)
    ],
    examples: ["cairn revs /docs/report.pdf", "cairn revert /docs/report.pdf --version 3"]
  ) { invocation in
    let version = Int64(invocation.int("version") ?? 0)
    let entry = try await Profile.current().client().revert(invocation.argument("REMOTE"), to: version)
    try invocation.console.confirm(entry) { "\(entry.path) is as in version \(version), and at version \(entry.version) now." }
  }

  private static let trash = Command(
    "trash", summary: "show the trash, or empty it",
    options: [CommandOption("delete", value: "ITEM", help: "delete this for good, by its path or id", repeats: true)],
    flags: [CommandFlag("empty", help: "delete all of it for good")],
    examples: ["cairn trash", "cairn trash --delete /old.iso", "cairn trash --empty"]
  ) { invocation in
    let client = try Profile.current().client()
    let console = invocation.console
    if invocation.flag("empty") {
      let removed = try await client.emptyTrash()
      return try console.confirm(["removed": removed]) { "\(HumanFormat.counted(removed, "entry", "entries")) deleted for good." }
    }
    let items = invocation.options("delete")
    guard items.isEmpty else {
      var removed = 0
      let failure = try await invocation.attempt(items) { item in
        try await client.removeFromTrash(item)
        removed += 1
      }
      try console.confirm(["removed": removed]) { "\(HumanFormat.counted(removed, "entry", "entries")) deleted for good." }
      if let failure { throw failure }
      return
    }
    let trash = try await client.trash(limit: 100_000)
    if console.isJSON { return try console.printJSON(trash) }
    var table = Table([.left("DELETED"), .left("BY"), .right("SIZE"), .left("KEPT UNTIL"), .left("ID"), .left("PATH")])
    for item in trash {
      table.add([
        String(item.removedAt.rfc3339.prefix(19)), item.removedBy ?? "-",
        item.entry.kind == .file ? HumanFormat.size(item.entry.size) : "-",
        String(item.expiresAt.rfc3339.prefix(10)), item.entry.id, item.entry.path + (item.entry.kind == .folder ? "/" : ""),
      ])
    }
    console.write(table.render(style: console.style))
  }

  private static let restore = Command(
    "restore", summary: "take something out of the trash",
    discussion: "To where it was, with the folders above it when they are gone. When its name is taken, a mark is put into it.",
    arguments: [CommandArgument("ITEM", help: "where it was, or its id", count: .oneOrMore)],
    options: [CommandOption("to", value: "REMOTE", help: "where it goes, with its name; for one item")],
    examples: ["cairn restore /docs/report.pdf", "cairn restore /docs/report.pdf --to /report-again.pdf"]
  ) { invocation in
    let client = try Profile.current().client()
    let items = invocation.arguments("ITEM")
    let target = invocation.option("to")
    guard target == nil || items.count == 1 else { throw CommandFailure(.usage, "--to goes with one item.") }
    try await invocation.each(items) { item in
      let entry = try await client.restore(item, to: target)
      try invocation.console.result(entry) { invocation.console.style.shown(entry.path) }
    }
  }

  private static let rewind = Command(
    "rewind", summary: "make a folder as it was",
    discussion: """
      TIME is RFC 3339, a day, or how long ago, such as 2h; a cursor is what “cairn changes” prints. All that changed \
      in the folder since is changed back in one step, which the printed cursor undoes.
      """,
    arguments: [CommandArgument("FOLDER", help: "the folder")],
    options: [CommandOption("to", value: "TIME|CURSOR", help: "the moment", isRequired: true)],
    examples: ["cairn rewind /projects --to 2h", "cairn rewind /projects --to 2026-11-20T18:00:00Z"]
  ) { invocation in
    let client = try Profile.current().client()
    let folder = invocation.argument("FOLDER")
    let to = invocation.option("to") ?? ""
    let outcome =
      if let time = Moments.past(to) { try await client.rewind(folder, to: time) } else {
        try await client.rewind(folder, toCursor: to)
      }
    try invocation.console.result(outcome) {
      let lost = outcome.lost > 0 ? " \(HumanFormat.counted(outcome.lost, "entry", "entries")) had been deleted for good." : ""
      return
        "\(HumanFormat.counted(outcome.changed, "entry", "entries")) changed back.\(lost) Undo: cairn rewind \(folder) --to \(outcome.undo)"
    }
  }

  private struct Line: Encodable {
    var change: FeedChange?
    var reset: Bool?
    /// After this line is applied.
    var cursor: String?
  }

  private static let changes = Command(
    "changes", summary: "show what changed, in order",
    discussion: "The last line of each page is the cursor to go on from, on standard error; with --json it stands in the page's last line.",
    options: [CommandOption("cursor", value: "C", help: "only what changed after it")],
    flags: [CommandFlag("follow", short: "f", help: "go on as things change")],
    examples: ["cairn changes", "cairn changes --cursor \"$CURSOR\"", "cairn changes --follow --json"]
  ) { invocation in
    let client = try Profile.current().client()
    let console = invocation.console
    let isFollowing = invocation.flag("follow")
    var cursor = invocation.option("cursor")
    while true {
      let page = try await client.changes(after: cursor, wait: isFollowing && cursor != nil ? .seconds(15) : .zero)
      if page.reset {
        if console.isJSON { try console.printJSON(Line(reset: true)) } else { console.print("reset") }
      }
      for change in page.changes {
        if console.isJSON {
          try console.printJSON(Line(change: change))
        } else {
          console.print(console.style.shown(text(of: change)))
        }
      }
      try console.checkResults()
      let isNew = page.cursor != cursor
      cursor = page.cursor
      if page.hasMore { continue }
      if isNew || !isFollowing {
        if console.isJSON { try console.printJSON(Line(cursor: page.cursor)) } else { console.note("cursor \(page.cursor)") }
      }
      guard isFollowing else { return }
    }
  }

  private static func text(of change: FeedChange) -> String {
    let from = change.oldPath.map { "\($0) -> " } ?? ""
    let by = change.actor.map { " (\($0))" } ?? ""
    let action = change.action + String(repeating: " ", count: max(0, 8 - change.action.count))
    return "\(change.at.rfc3339.prefix(19)) \(action) \(from)\(change.entry.path)\(by)"
  }
}
