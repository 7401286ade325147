import BlockModel
import CairnClient
import CommandLineKit
import Glibc
import Platform
import SyncAgent

/// `sync` and `conflicts`.
enum SyncCommands {
  static let all = [sync, conflicts]

  private static let local = CommandArgument("LOCAL", help: "the local folder of one pair; all when left away", count: .optional)

  private static let sync = Command(
    "sync", summary: "keep a local and a remote folder in step",
    discussion: """
      Runs until it is stopped, and goes on where it stopped when it is started again. Changes travel both ways. \
      Where both sides changed a file, both are kept, one as “name (conflicted copy DEVICE TIME)”; an edit beats a \
      deletion; a moved folder is moved, not sent again.

      What a .cairnignore names (the patterns of .gitignore) stays where it is. Sockets and devices are left out. \
      When more than half of the files, and a hundred at least, are gone at once, the agent stops and asks.

      A local folder is in one pair: neither it nor a folder in it or above it can be synced with something else. A paused pair is not \
      synced by --once either, which ends with status 3 then, and with 1 when something could not be synced.

      Notes are kept in $XDG_STATE_HOME/cairn/sync, and nothing in your folder, except for downloads on their way, \
      which have names with “.cairn-part-”.
      """,
    arguments: [
      CommandArgument("LOCAL", help: "a folder of this machine"), CommandArgument("REMOTE", help: "a folder of the cluster, such as /docs"),
    ],
    options: [
      CommandOption("device", value: "NAME", help: "what conflicted copies call this machine; its host name when left away"),
      CommandOption("exclude", value: "PATH", help: "a folder or file below LOCAL that this machine does not have", repeats: true),
      CommandOption("limit-rate", value: "SIZE", help: "bytes a second that transfers may take, such as 2MiB", kind: .size),
      CommandOption(
        "chunker", value: "KIND",
        help: "how files that go up are cut into blocks, as with “cairn put”; when left away, as their remote folders say",
        kind: .choice(["fixed", "cdc"])),
    ],
    flags: [
      CommandFlag("once", help: "end when both sides are in step"),
      CommandFlag("dry-run", help: "say what would be done, and do nothing"),
      CommandFlag("allow-deletions", help: "delete even when most files are gone at once"),
    ],
    subcommands: [status, pause, resume, remove],
    examples: ["cairn sync ~/docs /docs", "cairn sync ~/docs /docs --once", "cairn sync ~/docs /docs --dry-run", "cairn sync status"],
    run: runSync)

  // MARK: The agent

  private static func runSync(_ invocation: Invocation) async throws {
    let profile = try Profile.current()
    let client = try profile.client(bytesPerSecond: invocation.size("limit-rate"), patience: Profile.transferPatience)
    let local = try absolute(invocation.argument("LOCAL"))
    let remote = try remoteFolder(invocation.argument("REMOTE"))
    let files = SyncFiles(state: Profile.stateFolder, gateway: profile.gateway, local: local, remote: remote)
    let configuration = configuration(invocation, profile, local, remote)
    try check(files, configuration)
    let console = invocation.console
    if try files.isPaused(), !configuration.once {
      console.note("\(local) is paused, and rests until “cairn sync resume \(local)”.")
    }
    let teller = RoundTeller(console, tellsAllIssues: configuration.once)
    let agent = SyncAgent(configuration, files: files, client: client) { round in teller.tell(round) }
    let running = Task { try await agent.run() }
    let signals = try ProcessSignals.stream()
    let stopper = Task {
      for await _ in signals {
        running.cancel()
        break
      }
    }
    defer { stopper.cancel() }
    do { try await running.value } catch is CancellationError {
      console.note("Stopped; the same command goes on from here.")
    } catch let error as SyncError {
      throw CommandFailure(status(of: error), error.message)
    }
    // Who runs it from a script sees nothing else.
    if configuration.once, !configuration.options.isDryRun, teller.failures > 0 {
      let things = teller.failures == 1 ? "One thing" : "\(teller.failures) things"
      throw CommandFailure(.failed, "\(things) in \(local) could not be synced.")
    }
  }

  private static func configuration(
    _ invocation: Invocation, _ profile: Profile, _ local: String, _ remote: String
  ) -> SyncAgent.Configuration {
    var options = SyncOptions(device: invocation.option("device") ?? hostName())
    options.isDryRun = invocation.flag("dry-run")
    options.allowsDeletions = invocation.flag("allow-deletions")
    options.leftOut = invocation.options("exclude").map { $0.split(separator: "/").map(String.init) }.filter { !$0.isEmpty }
    return SyncAgent.Configuration(
      local: local, remote: remote, gateway: profile.gateway, options: options,
      chunking: invocation.option("chunker").flatMap(Chunking.init(rawValue:)),
      once: invocation.flag("once") || options.isDryRun)
  }

  private static func status(of error: SyncError) -> ExitStatus {
    switch error.code {
    case .unavailable: .unavailable
    case .unfit: .conflict
    case .stale, .refused, .stopped: .failed
    }
  }

  private static func remoteFolder(_ text: String) throws -> String {
    do { return try RemotePath(TreeCommands.trimmed(text)).text } catch {
      throw CommandFailure(.usage, "“\(text)” is no path of the cluster: \(error.description).")
    }
  }

  /// What must not even begin, so that nothing is left of it.
  private static func check(_ files: SyncFiles, _ configuration: SyncAgent.Configuration) throws {
    let local = configuration.local
    if let there = try Directory.attributes(local), there.kind != .directory {
      throw CommandFailure(.conflict, "\(local) is not a folder; sync with a folder.")
    }
    if let other = try files.overlap(of: local, state: Profile.stateFolder) {
      let relation =
        if other.local == local { "\(local) is" } else if local.hasPrefix(other.local) {
          "\(local) lies in \(other.local), which is"
        } else {
          "\(other.local), which lies in \(local), is"
        }
      throw CommandFailure(
        .conflict, "\(relation) synced with \(other.remote) already; end that first with “cairn sync remove \(other.local)”.")
    }
    if configuration.once, !configuration.options.isDryRun, try files.isPaused() {
      throw CommandFailure(.conflict, "\(local) is paused; go on with “cairn sync resume \(local)”, then run this again.")
    }
  }

  private static func hostName() -> String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, 255) == 0 else { return "device" }
    let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.split(separator: ".").first.map(String.init) ?? "device"
  }

  /// Without links and dots, so that one folder has one name.
  private static func absolute(_ path: String) throws -> String {
    if let real = realpath(path, nil) {
      defer { free(real) }
      return String(cString: real)
    }
    guard errno == ENOENT else { throw CommandFailure(.failed, "\(path) cannot be used: \(String(cString: strerror(errno))).") }
    let parent = Directory.parent(of: path)
    guard let real = realpath(parent, nil) else {
      throw CommandFailure(.notFound, "\(parent) does not exist; make it first with “mkdir -p \(parent)”.")
    }
    defer { free(real) }
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    let folder = String(cString: real)
    return (folder == "/" ? "" : folder) + "/" + name
  }

  // MARK: Steering

  /// A pair and what its agent said last.
  private struct Pair: Encodable {
    var local: String
    var remote: String
    var gateway: String
    var device: String
    var state: String
    var message: String?
    var files: Int
    var issues: [SyncFiles.Status.Issue]
    var updatedAt: String

    private enum CodingKeys: String, CodingKey {
      case local, remote, gateway, device, state, message, files, issues
      case updatedAt = "updated_at"
    }

    init(_ status: SyncFiles.Status, isRunning: Bool, isPaused: Bool) {
      (local, remote, gateway, device) = (status.local, status.remote, status.gateway, status.device)
      state = isPaused ? "paused" : isRunning ? status.activity.rawValue : "stopped"
      (message, files, issues, updatedAt) = (status.message, status.files, status.issues, status.updatedAt)
    }
  }

  private static func pairs(_ invocation: Invocation) throws -> [(files: SyncFiles, status: SyncFiles.Status)] {
    let wanted = try invocation.optionalArgument("LOCAL").map { try absolute($0) }
    let found = try SyncFiles.all(state: Profile.stateFolder).compactMap { files in try files.status().map { (files, $0) } }
      .filter { wanted == nil || $0.1.local == wanted }
    if let wanted, found.isEmpty { throw CommandFailure(.notFound, "\(wanted) is not synced; see “cairn sync status”.") }
    return found
  }

  private static func pair(_ files: SyncFiles, _ status: SyncFiles.Status) throws -> Pair {
    Pair(status, isRunning: try files.isRunning(), isPaused: try files.isPaused())
  }

  private static let status = Command(
    "status", summary: "show what is synced and how it stands", arguments: [local],
    examples: ["cairn sync status", "cairn sync status ~/docs --json"]
  ) { invocation in
    let pairs = try pairs(invocation).map(pair)
    if invocation.console.isJSON { return try invocation.console.printJSON(pairs) }
    var table = Table([.left("STATE"), .right("FILES"), .left("LOCAL"), .left("REMOTE"), .left("SINCE")])
    for pair in pairs { table.add([pair.state, String(pair.files), pair.local, pair.remote, String(pair.updatedAt.prefix(19))]) }
    invocation.console.write(table.render(style: invocation.console.style))
    for pair in pairs {
      for message in [pair.message].compactMap(\.self) + pair.issues.map(\.message) {
        invocation.console.print(invocation.console.style.shown("\(pair.local): \(message)"))
      }
    }
  }

  private static let pause = Command(
    "pause", summary: "make agents rest", arguments: [local], examples: ["cairn sync pause", "cairn sync pause ~/docs"]
  ) { invocation in
    let pairs = try pairs(invocation)
    for (files, status) in pairs {
      try files.setPaused(true)
      if !invocation.console.isJSON { invocation.console.note("\(status.local) rests until “cairn sync resume”.") }
    }
    if invocation.console.isJSON { try invocation.console.printJSON(pairs.map(pair)) }
  }

  private static let resume = Command(
    "resume", summary: "make agents go on", arguments: [local], examples: ["cairn sync resume"]
  ) { invocation in
    let pairs = try pairs(invocation)
    for (files, status) in pairs {
      try files.setPaused(false)
      guard !invocation.console.isJSON else { continue }
      let isRunning = try files.isRunning()
      invocation.console.note(
        isRunning ? "\(status.local) goes on." : "\(status.local) may go on: start “cairn sync \(status.local) \(status.remote)”.")
    }
    if invocation.console.isJSON { try invocation.console.printJSON(pairs.map(pair)) }
  }

  private static let remove = Command(
    "remove", summary: "forget a pair of folders; the files stay on both sides",
    arguments: [CommandArgument("LOCAL", help: "the local folder of the pair")], examples: ["cairn sync remove ~/docs"]
  ) { invocation in
    for (files, status) in try pairs(invocation) {
      guard try !files.isRunning() else {
        throw CommandFailure(.failed, "An agent is at work on \(status.local); stop it first.")
      }
      try Directory.removeTree(files.folder)
      if invocation.console.isJSON {
        try invocation.console.printJSON(["removed": status.local, "remote": status.remote])
      } else {
        invocation.console.note("\(status.local) and \(status.remote) are not synced any more.")
      }
    }
  }

  // MARK: Conflicts

  private static let conflicts = Command(
    "conflicts", summary: "list conflicted copies in the synced folders",
    discussion: "Each lies beside the file that it conflicts with: keep what you want and delete or rename the other.",
    arguments: [local], examples: ["cairn conflicts", "cairn conflicts ~/docs"]
  ) { invocation in
    var found: [String] = []
    for (_, status) in try pairs(invocation) { found += try ConflictedCopies.below(status.local) }
    if invocation.console.isJSON { return try invocation.console.printJSON(found) }
    for path in found { invocation.console.print(invocation.console.style.shown(path)) }
  }
}
