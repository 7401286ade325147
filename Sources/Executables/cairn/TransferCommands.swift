import CairnClient
import CommandLineKit
import Platform

/// `put`, `get` and `cat`.
enum TransferCommands {
  static let all = [put, get, cat]

  private static let parallel = CommandOption(
    "parallel", value: "N", help: "block transfers at a time; each takes 4 MiB of memory", kind: .integer(1...64), default: "8")
  private static let version = CommandOption(
    "version", value: "V", help: "this revision of a file, as “cairn revs” lists them", kind: .integer(1...Int.max))
  private static let range = CommandOption(
    "range", value: "A-B", help: "bytes A to B, both included, counted from 0; A- is all from A on, -N the last N")

  private static let limitRate = CommandOption(
    "limit-rate", value: "SIZE", help: "bytes a second that blocks may take, such as 2MiB", kind: .size)

  // MARK: put

  private static let put = Command(
    "put", summary: "upload files and folders",
    discussion: """
      As cp: into REMOTE under its own name when that is a folder, else REMOTE becomes the name. Missing remote folders \
      are made. Times, the \
      executable bit, empty folders and symbolic links (as links) are kept. A file that is there already gets a new revision.

      LOCAL may be - for standard input. An interrupted upload goes on when the same command is given again, and sends \
      no block twice; standard \
      input alone cannot go on.
      """,
    arguments: [
      CommandArgument("LOCAL", help: "files or folders of this machine, or - for standard input", count: .oneOrMore),
      CommandArgument("REMOTE", help: "where they go, such as /docs"),
    ],
    options: [
      parallel, limitRate,
      CommandOption(
        "on-conflict", value: "POLICY",
        help: "when somebody else's change came first: fail, copy (keep both), overwrite (a newer revision)",
        kind: .choice(["fail", "copy", "overwrite"])),
      CommandOption(
        "base-version", value: "V", help: "the revision that LOCAL was made from; a newer one is a conflict", kind: .integer(0...Int.max)),
      CommandOption(
        "chunker", value: "KIND",
        help: """
          how files are cut into blocks: fixed (every 4 MiB), cdc (where the content says, so that insertions cost little); when left \
          away, as the folder says that they go to (“cairn chunking”)
          """, kind: .choice(["fixed", "cdc"])),
    ],
    flags: [
      CommandFlag("recursive", short: "r", otherShort: "R", help: "folders with all that is in them"),
      CommandFlag("no-compress", help: "send blocks as they are"),
    ],
    examples: [
      "cairn put report.pdf /docs", "cairn put -r photos /photos", "tar c src | cairn put - /backup/src.tar",
      "cairn put notes.txt /notes.txt --base-version 7 --on-conflict copy",
    ], run: runPut)

  private static func runPut(_ invocation: Invocation) async throws {
    let client = try Profile.current().client(
      parallel: invocation.int("parallel") ?? 8, compress: !invocation.flag("no-compress"),
      bytesPerSecond: invocation.size("limit-rate"), patience: Profile.transferPatience)
    let base = invocation.int("base-version")
    // Who names a base wants to hear of a newer one.
    let policy = invocation.option("on-conflict").flatMap(OnConflict.init(rawValue:)) ?? (base == nil ? .overwrite : .fail)
    let options = UploadOptions(
      onConflict: policy, baseVersion: base.map { Int64($0) },
      chunking: invocation.option("chunker").flatMap(Chunking.init(rawValue:)))
    let locals = invocation.arguments("LOCAL")
    let remote = invocation.argument("REMOTE")
    if locals.contains("-") {
      guard locals.count == 1 else { throw CommandFailure(.usage, "Standard input can only be put by itself.") }
      let entry = try await TransferReport.watching(invocation.console) { progress in
        try await client.uploadStandardInput(to: remote, options: options, progress: progress)
      }
      if invocation.console.isJSON { try invocation.console.printJSON(entry) }
      TransferReport.tellCopies([entry], of: [remote], policy, invocation.console)
      return
    }
    let result = try await TransferReport.watching(invocation.console) { progress in
      try await client.put(locals, to: remote, recursive: invocation.flag("recursive"), options: options, progress: progress)
    }
    TransferReport.tellCopies(result.entries, of: locals + [remote], policy, invocation.console)
    try TransferReport.finish(result, invocation.console)
  }

  // MARK: get

  private static let get = Command(
    "get", summary: "download files and folders",
    discussion: """
      As cp: into LOCAL under its own name when that is a folder, else LOCAL becomes the name; - is standard output. A \
      local file is replaced only \
      when the new one is whole and verified. An interrupted download goes on when the same command is given again.
      """,
    arguments: [
      CommandArgument("REMOTE", help: "files or folders of the cluster", count: .oneOrMore),
      CommandArgument("LOCAL", help: "where they go, or - for standard output"),
    ],
    options: [parallel, limitRate, version, range],
    flags: [CommandFlag("recursive", short: "r", otherShort: "R", help: "folders with all that is in them")],
    examples: [
      "cairn get /docs/report.pdf .", "cairn get -r /photos ~/photos", "cairn get /notes.txt old.txt --version 6",
      "cairn get /disk.img head.bin --range 0-511",
    ], run: runGet)

  private static func runGet(_ invocation: Invocation) async throws {
    let client = try Profile.current().client(
      parallel: invocation.int("parallel") ?? 8, bytesPerSecond: invocation.size("limit-rate"), patience: Profile.transferPatience)
    let remotes = invocation.arguments("REMOTE")
    let local = invocation.argument("LOCAL")
    let version = invocation.int("version").map { Int64($0) }
    let console = invocation.console
    if local == "-" { return try await write(remotes, version: version, client, invocation) }
    guard let range = invocation.option("range") else {
      let result = try await TransferReport.watching(console) { progress in
        try await client.get(remotes, to: local, recursive: invocation.flag("recursive"), version: version, progress: progress)
      }
      return try TransferReport.finish(result, console)
    }
    guard remotes.count == 1 else { throw CommandFailure(.usage, "--range takes one file.") }
    let bytes = try await ByteRange(range).resolved(in: client, remotes[0], version: version)
    let entry = try await TransferReport.watching(console) { progress in
      try await client.download(remotes[0], range: bytes, to: local, version: version, progress: progress)
    }
    if console.isJSON { try console.printJSON(entry) }
  }

  // MARK: cat

  private static let cat = Command(
    "cat", summary: "write files to standard output",
    arguments: [CommandArgument("REMOTE", help: "files of the cluster", count: .oneOrMore)],
    options: [parallel, limitRate, version, range],
    examples: ["cairn cat /docs/notes.txt", "cairn cat /backup/src.tar | tar x", "cairn cat /disk.img --range -512 | xxd"]
  ) { invocation in
    let client = try Profile.current().client(
      parallel: invocation.int("parallel") ?? 8, bytesPerSecond: invocation.size("limit-rate"), patience: Profile.transferPatience)
    let version = invocation.int("version").map { Int64($0) }
    try await write(invocation.arguments("REMOTE"), version: version, client, invocation)
  }

  private static func write(
    _ remotes: [String], version: Int64?, _ client: CairnClient, _ invocation: Invocation
  ) async throws {
    let range = invocation.option("range")
    guard remotes.count == 1 || (version == nil && range == nil) else {
      throw CommandFailure(.usage, "--version and --range take one file.")
    }
    try await invocation.each(remotes) { remote in
      var bytes: Range<Int64>?
      if let range { bytes = try await ByteRange(range).resolved(in: client, remote, version: version) }
      do {
        try await client.read(remote, range: bytes, version: version) { try invocation.console.writeContents($0) }
      } catch {
        try invocation.console.checkResults()
        throw error
      }
    }
  }
}

/// `A-B`, `A-` or `-N`, as HTTP and curl write ranges.
struct ByteRange {
  private enum Form {
    case from(Int64, through: Int64?)
    case last(Int64)
  }

  private let form: Form

  init(_ text: String) throws {
    let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let wrong = CommandFailure(
      .usage, "“\(text)” is no range; write 0-99 for the first hundred bytes, 100- for the rest, -10 for the last ten.")
    guard parts.count == 2 else { throw wrong }
    switch (parts[0], parts[1]) {
    case ("", let last):
      guard let count = Self.number(last), count > 0 else { throw wrong }
      form = .last(count)
    case (let first, ""):
      guard let start = Self.number(first) else { throw wrong }
      form = .from(start, through: nil)
    case (let first, let last):
      guard let start = Self.number(first), let end = Self.number(last), end >= start else { throw wrong }
      form = .from(start, through: end)
    }
  }

  private static func number(_ text: String) -> Int64? {
    guard text.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int64(text), value < .max else { return nil }
    return value
  }

  /// The bytes of one file; asks for its size only where the form needs it.
  func resolved(in client: CairnClient, _ path: String, version: Int64?) async throws -> Range<Int64> {
    switch form {
    case .from(let start, let end): return start..<(end.map { $0 + 1 } ?? .max)
    case .last(let count):
      var size = try await client.entry(at: path).size
      if let version {
        guard let revision = try await client.revisions(of: path, limit: 1000).first(where: { $0.version == version }) else {
          throw CommandFailure(.notFound, "\(path) has no revision \(version); see “cairn revs \(path)”.")
        }
        size = revision.size
      }
      return max(0, size - count)..<size
    }
  }
}
