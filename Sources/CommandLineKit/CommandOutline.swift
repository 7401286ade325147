/// A command with those above it, as completions and manual pages look at it.
struct CommandOutline {
  /// From the program to the command.
  var path: [Command]

  var command: Command { path[path.count - 1] }
  /// As it is typed: `cairn sync status`.
  var name: String { path.map(\.name).joined(separator: " ") }

  /// What may be given with it, its own first.
  var options: [CommandOption] { path.inForce.reversed().flatMap(\.options) }
  var flags: [CommandFlag] {
    path.inForce.reversed().flatMap(\.flags) + [path.helpFlag] + (path.count == 1 ? [CommandFlag("version", help: "show the version")] : [])
  }

  /// The program and all its verbs, each before those below it.
  static func all(_ root: Command) -> [CommandOutline] { below([root]) }

  private static func below(_ path: [Command]) -> [CommandOutline] {
    [CommandOutline(path: path)] + path[path.count - 1].subcommands.flatMap { below(path + [$0]) }
  }
}

extension CommandOption {
  /// As they are typed: `--name`, `-n`.
  var spellings: [String] { ["--" + name] + (short.map { ["-\($0)"] } ?? []) }

  /// All that may be given, where that is known.
  var choices: [String] {
    if case .choice(let choices) = kind { return choices }
    return []
  }
}

extension CommandFlag {
  var spellings: [String] { ["--" + name] + (short.map { ["-\($0)"] } ?? []) }
}
