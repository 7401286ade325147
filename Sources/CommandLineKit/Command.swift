/// One verb of a program, or the program itself with its verbs.
///
/// Options and flags of a program, and of a command that only has verbs, hold for all verbs below too; those of a command that does
/// something itself are its own. `--help` and, for the program, `--version` are always there, and `-h` where no flag has that letter.
package struct Command: Sendable {
  package typealias Body = @Sendable (Invocation) async throws -> Void

  package var name: String
  /// One line, without a full stop, that begins with a verb: “upload files and folders”.
  package var summary: String
  /// Paragraphs after the summary on the help page; blank lines separate them.
  package var discussion: String
  package var arguments: [CommandArgument]
  package var options: [CommandOption]
  package var flags: [CommandFlag]
  package var subcommands: [Command]
  /// Whole command lines, as typed.
  package var examples: [String]
  package var run: Body?

  package init(
    _ name: String, summary: String, discussion: String = "", arguments: [CommandArgument] = [], options: [CommandOption] = [],
    flags: [CommandFlag] = [], subcommands: [Command] = [], examples: [String] = [], run: Body? = nil
  ) {
    precondition(run != nil || !subcommands.isEmpty, "\(name) does something or has verbs")
    precondition(arguments.filter(\.count.isUnbounded).count <= 1, "only one argument of \(name) takes any number of values")
    self.name = name
    self.summary = summary
    self.discussion = discussion
    self.arguments = arguments
    self.options = options
    self.flags = flags
    self.subcommands = subcommands
    self.examples = examples
    self.run = run
  }
}

/// A value that is known by its place.
package struct CommandArgument: Sendable {
  package enum Count: Sendable {
    case one, optional, oneOrMore, any

    var minimum: Int { self == .one || self == .oneOrMore ? 1 : 0 }
    var isUnbounded: Bool { self == .oneOrMore || self == .any }
  }

  /// In capitals, as the help shows it: `LOCAL`.
  package var name: String
  package var help: String
  package var count: Count

  package init(_ name: String, help: String, count: Count = .one) {
    self.name = name
    self.help = help
    self.count = count
  }
}

/// `--name VALUE`, `--name=VALUE`, `-name VALUE` as `find` has it, and `-n VALUE` or `-nVALUE` when it has a short form.
package struct CommandOption: Sendable {
  /// What values are taken; anything else is a usage error before the command runs.
  package enum Kind: Sendable {
    case text
    case integer(ClosedRange<Int>)
    /// Bytes, such as `64MiB`.
    case size
    /// Such as `7d`.
    case duration
    case choice([String])
  }

  /// Without the dashes.
  package var name: String
  package var short: Character?
  /// In capitals, as the help shows it: `N`.
  package var value: String
  package var help: String
  package var kind: Kind
  /// Taken when the option is not given.
  package var defaultValue: String?
  package var isRequired: Bool
  /// Whether it may be given more than once.
  package var repeats: Bool

  package init(
    _ name: String, short: Character? = nil, value: String, help: String, kind: Kind = .text, default defaultValue: String? = nil,
    isRequired: Bool = false, repeats: Bool = false
  ) {
    precondition(!name.hasPrefix("-"), "names are given without their dashes")
    self.name = name
    self.short = short
    self.value = value
    self.help = help
    self.kind = kind
    self.defaultValue = defaultValue
    self.isRequired = isRequired
    self.repeats = repeats
  }
}

/// `--name`, and `-n` when it has a short form.
package struct CommandFlag: Sendable {
  /// Without the dashes.
  package var name: String
  package var short: Character?
  /// Taken as well, and not shown: what the fingers know from a command of the same name.
  package var otherShort: Character?
  package var help: String

  package init(_ name: String, short: Character? = nil, otherShort: Character? = nil, help: String) {
    precondition(!name.hasPrefix("-"), "names are given without their dashes")
    self.name = name
    self.short = short
    self.otherShort = otherShort
    self.help = help
  }

  func isMeant(by letter: Character) -> Bool { letter == short || letter == otherShort }
}

extension CommandFlag {
  /// For every program of ours: one JSON document in place of text, or one a line for streams.
  package static let json = CommandFlag("json", help: "print JSON in place of text")
  /// For every program of ours: no progress and no notes.
  package static let quiet = CommandFlag("quiet", short: "q", help: "print nothing but results and errors")
}

extension [Command] {
  /// Of a path from the program to a command, those whose options and flags go with the command.
  var inForce: [Command] {
    indices.filter { $0 == startIndex || $0 == endIndex - 1 || self[$0].run == nil }.map { self[$0] }
  }

  /// How help is asked for.
  var helpFlag: CommandFlag {
    let isTaken = inForce.contains { $0.flags.contains { $0.isMeant(by: "h") } || $0.options.contains { $0.short == "h" } }
    return CommandFlag("help", short: isTaken ? nil : "h", help: "show what the command does")
  }
}
