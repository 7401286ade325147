import CairnClient
import CommandLineKit
import Platform

/// Looking at the tree and changing it.
enum TreeCommands {
  static let all = [list, stat, makeFolder, chunking, move, copy, remove, diskUsage, find, revisions]

  private static let recursive = CommandFlag("recursive", short: "r", otherShort: "R", help: "with all that is below")

  private static let humanReadable = CommandFlag(
    "human-readable", short: "h", help: "as with Unix; sizes are in KiB, MiB and so on either way")

  /// All entries of a folder, page by page.
  private static func each(
    in path: String, recursive: Bool, _ client: CairnClient, _ body: (Entry) throws -> Void
  ) async throws {
    var cursor: String?
    repeat {
      let page = try await client.entries(in: path, recursive: recursive, cursor: cursor)
      for entry in page.entries { try body(entry) }
      cursor = page.next
    } while cursor != nil
  }

  /// A slash at the end is how people say “folder”.
  static func trimmed(_ path: String) -> String { path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path }

  // MARK: ls, stat

  private static let list = Command(
    "ls", summary: "list folders",
    discussion: """
      Folders are shown with a slash. With -l: size, time, version and name; what is encrypted says so, and what this device cannot open \
      is shown as the cluster has it.
      """,
    arguments: [CommandArgument("REMOTE", help: "folders or files; the root by default", count: .any)],
    flags: [
      recursive, CommandFlag("long", short: "l", help: "a line with details for each"), humanReadable,
      CommandFlag("all", short: "a", help: "as with ls; names that begin with a dot are shown either way"),
      CommandFlag("one-per-line", short: "1", help: "as with ls; each name has a line of its own either way"),
    ],
    examples: ["cairn ls", "cairn ls -l /docs", "cairn ls -r /photos --json"]
  ) { invocation in
    let client = try Profile.current().client()
    let paths = invocation.arguments("REMOTE").isEmpty ? ["/"] : invocation.arguments("REMOTE").map(trimmed)
    let console = invocation.console
    var entries: [Entry] = []
    let failure = try await invocation.attempt(paths) { path in
      let top = try await client.entry(at: path)
      var below: [Entry] = []
      if top.kind == .folder {
        try await each(in: path, recursive: invocation.flag("recursive"), client) { below.append($0) }
      } else {
        below.append(top)
      }
      if console.isJSON {
        entries += below
        return
      }
      if paths.count > 1, top.kind == .folder { console.print("\(console.style.shown(top.path)):") }
      console.write(text(of: below, in: top, isLong: invocation.flag("long"), console))
    }
    if console.isJSON { try console.printJSON(entries) }
    if let failure { throw failure }
  }

  private static func text(of entries: [Entry], in top: Entry, isLong: Bool, _ console: Console) -> String {
    let prefix = top.path == "/" ? "/" : top.path + "/"
    func name(_ entry: Entry) -> String {
      let name = entry.path.hasPrefix(prefix) ? String(entry.path.dropFirst(prefix.count)) : entry.path
      return name + (entry.kind == .folder ? "/" : "")
    }
    guard isLong else { return entries.map { console.style.shown(name($0)) + "\n" }.joined() }
    guard !entries.isEmpty else { return "" }
    var table = Table([.right("SIZE"), .left("MODIFIED"), .right("VERSION"), .left("NAME")])
    for entry in entries {
      let size = entry.kind == .file ? HumanFormat.size(entry.size) : "-"
      let target = entry.target.map { " -> \($0)" } ?? ""
      let mark = entry.quarantine.map { "  [quarantined: \($0)]" } ?? marks(of: entry)
      table.add([
        size, String(entry.modifiedAt.rfc3339.prefix(19)), String(entry.version),
        name(entry) + (entry.executable ? "*" : "") + target + mark,
      ])
    }
    return table.render(style: console.style)
  }

  private static func marks(of entry: Entry) -> String {
    entry.locked == true ? "  [encrypted, no key here]" : entry.encrypted == true ? "  [encrypted]" : ""
  }

  private static let stat = Command(
    "stat", summary: "show what is known of a file or folder",
    arguments: [CommandArgument("REMOTE", help: "files or folders", count: .oneOrMore)],
    examples: ["cairn stat /docs/report.pdf", "cairn stat /docs/report.pdf --json"]
  ) { invocation in
    let client = try Profile.current().client()
    try await invocation.each(invocation.arguments("REMOTE")) { path in
      let entry = try await client.entry(at: trimmed(path))
      try invocation.console.result(entry) { text(of: entry, invocation.console.style) }
    }
  }

  private static func text(of entry: Entry, _ style: Style) -> String {
    var lines = [("path", entry.path), ("kind", entry.kind.rawValue)]
    if entry.kind == .file {
      lines += [("size", "\(entry.size) bytes (\(HumanFormat.size(entry.size)))"), ("version", String(entry.version))]
      lines += [
        ("content hash", entry.contentHash ?? "-"), ("type", entry.mimeType ?? "-"), ("executable", entry.executable ? "yes" : "no"),
      ]
    }
    if entry.kind == .folder, let text = chunkingText(of: entry) { lines.append(("chunker", text)) }
    if let target = entry.target { lines.append(("target", target)) }
    if let finding = entry.quarantine { lines.append(("quarantined", finding)) }
    if entry.encrypted == true { lines.append(("encrypted", entry.locked == true ? "yes, and this device has no key" : "yes")) }
    lines += [("modified", entry.modifiedAt.rfc3339), ("owner", entry.owner), ("your role", entry.role), ("id", entry.id)]
    return lines.map { name, value in name + String(repeating: " ", count: 14 - name.count) + style.shown(value) }.joined(
      separator: "\n")
  }

  // MARK: mkdir, mv, cp, rm

  private static let makeFolder = Command(
    "mkdir", summary: "make folders",
    discussion: """
      With --encrypted, names and contents of all that is put into the folder are encrypted on this machine before they are sent; only \
      the folder's own name is not. The keys stay with you (see “cairn keys”). The first time, a key pair is made for you, and its \
      recovery phrase is printed.
      """,
    arguments: [CommandArgument("REMOTE", help: "the folders", count: .oneOrMore)],
    options: [
      CommandOption(
        "chunker", value: "KIND",
        help: "how files that go there are cut into blocks, fixed or cdc, as with “cairn chunking”; a folder that is there keeps its own",
        kind: .choice(["fixed", "cdc"]))
    ],
    flags: [
      CommandFlag("parents", short: "p", help: "make missing folders above, and do not mind folders that are there"),
      CommandFlag("encrypted", help: "make encrypted folders; nothing may be there"),
    ],
    examples: [
      "cairn mkdir /docs", "cairn mkdir -p /projects/2026/plans", "cairn mkdir --chunker cdc /images", "cairn mkdir --encrypted /secret",
    ]
  ) { invocation in
    let client = try Profile.current().client()
    if invocation.flag("encrypted") { return try await makeEncryptedFolders(invocation, client) }
    try await invocation.each(invocation.arguments("REMOTE")) { path in
      let made = try await makeOne(invocation, client, trimmed(path))
      if invocation.console.isJSON { try invocation.console.printJSON(made) }
    }
  }

  private static func makeOne(_ invocation: Invocation, _ client: CairnClient, _ path: String) async throws -> Entry {
    do {
      return try await client.makeFolder(
        path, parents: invocation.flag("parents"), chunking: invocation.option("chunker").flatMap(Chunking.init(rawValue:)))
    } catch {
      let isAmongShares = path.hasPrefix("/Shared with me/") && path.split(separator: "/").count == 2
      guard isAmongShares, error.kind == .notFound else { throw error }
      throw CommandFailure(.notAllowed, "“/Shared with me” has what others share with you, and nothing can be made in it.")
    }
  }

  /// Such as `cdc` or `fixed (inherited)`; nil for what is no folder.
  private static func chunkingText(of entry: Entry) -> String? {
    entry.effectiveChunking.map { $0.rawValue + (entry.chunking == nil ? " (inherited)" : "") }
  }

  private static let chunking = Command(
    "chunking", summary: "show or say how files in a folder are cut into blocks",
    discussion: """
      Files that go into the folder, or into those below it that do not say themselves, are cut so unless the upload names a chunker. \
      With fixed every 4 MiB: the least work, and the best for files that are changed in place or appended to. With cdc where the content \
      says, into 1 MiB or so: an insertion then costs a few blocks and not all that come after it. With inherit as the folder above says, \
      and for the root fixed.

      Files that are there stay as they are. A file's next revision is cut as its folder says by then; when that is another way than \
      before, this one time all of it is sent.
      """,
    arguments: [
      CommandArgument("FOLDER", help: "a folder of the cluster"),
      CommandArgument("KIND", help: "fixed, cdc or inherit; shown when left away", count: .optional),
    ], examples: ["cairn chunking /images", "cairn chunking /images cdc", "cairn chunking /images inherit"]
  ) { invocation in
    let path = trimmed(invocation.argument("FOLDER"))
    let kind = invocation.arguments("KIND").first
    guard kind == nil || kind == "inherit" || kind.flatMap(Chunking.init(rawValue:)) != nil else {
      throw CommandFailure(.usage, "“\(kind ?? "")” is not a way to cut files; say fixed, cdc or inherit.")
    }
    let client = try Profile.current().client()
    let entry: Entry
    if let kind {
      entry = try await client.setChunking(of: path, to: Chunking(rawValue: kind))
    } else {
      entry = try await client.entry(at: path)
    }
    guard let text = chunkingText(of: entry) else {
      throw CommandFailure(.usage, "\(entry.path) is not a folder; “cairn revs \(entry.path) --json” says how its revisions are cut.")
    }
    try invocation.console.result(entry) { text }
  }

  /// What `mkdir --encrypted --json` prints of each folder; the first time, the phrase stands beside it.
  private struct MadeFolder: Encodable {
    var entry: Entry
    var recoveryPhrase: String?
    private enum CodingKeys: String, CodingKey {
      case entry
      case recoveryPhrase = "recovery_phrase"
    }
  }

  private static func makeEncryptedFolders(_ invocation: Invocation, _ client: CairnClient) async throws {
    // The first time there is no pair to wrap a folder's key to.
    var phrase: String?
    if try await client.keys() == nil {
      let made = try await client.createKeys()
      phrase = made.recoveryPhrase
      if !invocation.console.isJSON { invocation.console.print("A key pair was made for you. " + KeyCommands.text(of: made)) }
    }
    try await invocation.each(invocation.arguments("REMOTE")) { path in
      let entry = try await makeOneEncrypted(invocation, client, trimmed(path))
      if invocation.console.isJSON { try invocation.console.printJSON(MadeFolder(entry: entry, recoveryPhrase: phrase)) }
      phrase = nil
    }
  }

  private static func makeOneEncrypted(_ invocation: Invocation, _ client: CairnClient, _ path: String) async throws -> Entry {
    do {
      return try await client.makeEncryptedFolder(
        path, parents: invocation.flag("parents"), chunking: invocation.option("chunker").flatMap(Chunking.init(rawValue:)))
    } catch {
      // Where one is already, it is as with any folder; in one, it is the border that is in the way.
      guard error.kind == .encryption, let there = try? await client.entry(at: path) else { throw error }
      throw CommandFailure(.conflict, "\(there.path) is there already; name another one.")
    }
  }

  private static let move = Command(
    "mv", summary: "move or rename",
    discussion: """
      Into TARGET under its own name when that is a folder, else TARGET becomes the name. A file that has that name goes to the trash; a \
      folder is never replaced.
      """,
    arguments: [
      CommandArgument("SOURCE", help: "files or folders", count: .oneOrMore), CommandArgument("TARGET", help: "a folder, or the new name"),
    ], flags: overwriting, examples: ["cairn mv /draft.txt /docs/final.txt", "cairn mv /a.txt /b.txt /docs"]
  ) { invocation in
    try await relocate(invocation) { client, source, target, replacing in
      try await client.move(source, to: target, replacing: replacing)
    }
  }

  private static let copy = Command(
    "cp", summary: "copy without moving any bytes",
    discussion: """
      The copy refers to the same blocks, so it is done at once and takes no space. Into TARGET under its own name when that is a folder. \
      Onto a file the copy is that file's next revision; a folder is never replaced.
      """,
    arguments: [
      CommandArgument("SOURCE", help: "files or folders", count: .oneOrMore),
      CommandArgument("TARGET", help: "a folder, or the copy's name"),
    ],
    flags: [
      CommandFlag("recursive", short: "r", otherShort: "R", help: "as with cp; folders are copied with all below either way"),
      CommandFlag("archive", short: "a", help: "as with cp; copies keep times, the executable bit and links either way"),
      CommandFlag("preserve", short: "p", help: "the same"),
    ] + overwriting,
    examples: ["cairn cp /docs/report.pdf /docs/report-2.pdf", "cairn cp -r /projects /archive"]
  ) { invocation in
    try await relocate(invocation) { client, source, target, replacing in
      try await client.copy(source, to: target, replacing: replacing)
    }
  }

  private static let overwriting = [
    CommandFlag("no-clobber", short: "n", help: "fail where something has the name already"),
    CommandFlag("force", short: "f", help: "replace it, which is what happens without either"),
  ]

  private static func relocate(
    _ invocation: Invocation, _ one: (CairnClient, String, String, _ replacing: Bool) async throws -> Entry
  ) async throws {
    let client = try Profile.current().client()
    let sources = invocation.arguments("SOURCE")
    let target = invocation.argument("TARGET")
    if sources.count > 1, try await client.entry(at: trimmed(target)).kind != .folder {
      throw CommandFailure(.conflict, "\(target) is not a folder, so only one thing can go there; name a folder.")
    }
    try await invocation.each(sources) { source in
      let entry = try await one(client, trimmed(source), target, !invocation.flag("no-clobber"))
      if invocation.console.isJSON { try invocation.console.printJSON(entry) }
    }
  }

  private static let remove = Command(
    "rm", summary: "move to the trash, or remove for good",
    arguments: [CommandArgument("REMOTE", help: "files or folders", count: .oneOrMore)],
    flags: [
      CommandFlag("recursive", short: "r", otherShort: "R", help: "folders with all that is in them"),
      CommandFlag("forever", help: "not to the trash: it cannot be taken back"),
      CommandFlag("force", short: "f", help: "do not mind what is not there"),
    ], examples: ["cairn rm /docs/old.txt", "cairn rm -r /photos/2019", "cairn rm -r --forever /scratch"]
  ) { invocation in
    let client = try Profile.current().client()
    try await invocation.each(invocation.arguments("REMOTE")) { path in
      do {
        try await client.remove(trimmed(path), forever: invocation.flag("forever"), recursive: invocation.flag("recursive"))
        if invocation.console.isJSON { try invocation.console.printJSON(["removed": path]) }
      } catch let error as CairnError where error.kind == .notFound && invocation.flag("force") {
        return
      }
    }
  }

  // MARK: du, revs

  private struct Weight: Encodable {
    var path: String
    var bytes: Int64
    var files: Int
  }

  private static let diskUsage = Command(
    "du", summary: "show what files and folders weigh", discussion: "One line for each thing in the folder, and one for all of it.",
    arguments: [CommandArgument("REMOTE", help: "folders or files; the root by default", count: .any)],
    flags: [
      CommandFlag("summarise", short: "s", help: "only the sum"),
      CommandFlag("bytes", short: "b", help: "bytes in place of KiB, MiB and so on"), humanReadable,
    ],
    examples: ["cairn du", "cairn du -s /photos", "cairn du /projects --json"]
  ) { invocation in
    let client = try Profile.current().client()
    let paths = invocation.arguments("REMOTE").isEmpty ? ["/"] : invocation.arguments("REMOTE").map(trimmed)
    var weights: [Weight] = []
    let failure = try await invocation.attempt(paths) { path in
      weights += try await weigh(path, onlySum: invocation.flag("summarise"), client)
    }
    try show(weights, invocation)
    if let failure { throw failure }
  }

  private static func show(_ weights: [Weight], _ invocation: Invocation) throws {
    if invocation.console.isJSON { return try invocation.console.printJSON(weights) }
    var table = Table([.right("SIZE"), .right("FILES"), .left("PATH")])
    for weight in weights {
      table.add([
        invocation.flag("bytes") ? String(weight.bytes) : HumanFormat.size(weight.bytes), HumanFormat.count(weight.files), weight.path,
      ])
    }
    invocation.console.write(table.render(style: invocation.console.style))
  }

  private static func weigh(_ path: String, onlySum: Bool, _ client: CairnClient) async throws -> [Weight] {
    let top = try await client.entry(at: path)
    guard top.kind == .folder else { return [Weight(path: top.path, bytes: top.size, files: 1)] }
    let prefix = top.path == "/" ? "/" : top.path + "/"
    var parts: [Weight] = []
    var sum = Weight(path: top.path, bytes: 0, files: 0)
    // In the order of paths, so what belongs to one child comes in one run.
    try await each(in: path, recursive: true, client) { entry in
      let files = entry.kind == .file ? 1 : 0
      let child = prefix + (entry.path.dropFirst(prefix.count).split(separator: "/").first ?? "")
      if parts.last?.path != child { parts.append(Weight(path: child, bytes: 0, files: 0)) }
      parts[parts.count - 1].bytes += entry.size
      parts[parts.count - 1].files += files
      sum.bytes += entry.size
      sum.files += files
    }
    return onlySum ? [sum] : parts + [sum]
  }

  // MARK: find

  private static let find = Command(
    "find", summary: "find files and folders by name, kind, size or age",
    discussion: "Prints a path a line. Of several conditions all have to hold; a pattern has * and ?, and is of the name alone.",
    arguments: [CommandArgument("REMOTE", help: "where to look; the root by default", count: .any)],
    options: [
      CommandOption("name", value: "PATTERN", help: "the name fits this"),
      CommandOption("iname", value: "PATTERN", help: "the same, upper and lower case alike"),
      CommandOption("type", value: "KIND", help: "f, d or l: files, folders or links", kind: .choice(["f", "d", "l"])),
      CommandOption("larger", value: "SIZE", help: "files of more than this", kind: .size),
      CommandOption("smaller", value: "SIZE", help: "files of less than this", kind: .size),
      CommandOption("newer", value: "TIME", help: "modified within this time, such as 7d", kind: .duration),
    ],
    examples: ["cairn find /photos --name '*.jpg' --larger 5MiB", "cairn find --type d --iname 'report*'"]
  ) { invocation in
    let client = try Profile.current().client()
    let wanted = FindConditions(
      name: invocation.option("name").map { Glob($0) }, foldedName: invocation.option("iname").map { Glob($0.lowercased()) },
      kind: invocation.option("type").map { $0 == "f" ? .file : $0 == "d" ? .folder : .symlink }, above: invocation.size("larger"),
      below: invocation.size("smaller"), since: invocation.duration("newer").map { Moments.ago($0) })
    let paths = invocation.arguments("REMOTE").isEmpty ? ["/"] : invocation.arguments("REMOTE").map(trimmed)
    try await invocation.each(paths) { path in
      let top = try await client.entry(at: path)
      func show(_ entry: Entry) throws {
        guard wanted.hold(for: entry) else { return }
        if invocation.console.isJSON {
          try invocation.console.printJSON(entry)
        } else {
          invocation.console.print(invocation.console.style.shown(entry.path))
          try invocation.console.checkResults()
        }
      }
      if top.path != "/" { try show(top) }
      if top.kind == .folder { try await each(in: path, recursive: true, client, show) }
    }
  }

  private static let revisions = Command(
    "revs", summary: "list a file's revisions, newest first", arguments: [CommandArgument("REMOTE", help: "the file")],
    options: [CommandOption("limit", value: "N", help: "at most so many", kind: .integer(1...100_000), default: "100")],
    examples: ["cairn revs /docs/report.pdf", "cairn get /docs/report.pdf old.pdf --version 3"]
  ) { invocation in
    let client = try Profile.current().client()
    let revisions = try await client.revisions(of: invocation.argument("REMOTE"), limit: invocation.int("limit") ?? 100)
    if invocation.console.isJSON { return try invocation.console.printJSON(revisions) }
    var table = Table([.right("VERSION"), .right("SIZE"), .left("COMMITTED"), .left("BY"), .left("CONTENT HASH")])
    for revision in revisions {
      let author = revision.device.map { "\(revision.author) on \($0)" } ?? revision.author
      table.add([
        String(revision.version), HumanFormat.size(revision.size), String(revision.committedAt.rfc3339.prefix(19)), author,
        String(revision.contentHash.prefix(16)),
      ])
    }
    invocation.console.write(table.render(style: invocation.console.style))
  }
}
