internal import Platform

/// Reads a command line against a tree of commands.
///
/// Options may stand anywhere after the command that declares them; `--` ends them; a lone `-` is an argument.
struct CommandParser {
  enum Outcome {
    case help([Command])
    case version
    case run(Command, Parsed)
  }

  /// What was found, before it is given to the command's body.
  struct Parsed {
    var path: [Command]
    var values: [String: [String]] = [:]
    var flags: Set<String> = []
    var arguments: [String: [String]] = [:]

    var options: [CommandOption] { path.inForce.flatMap(\.options) }
    var allFlags: [CommandFlag] { path.inForce.flatMap(\.flags) }
    var name: String { path.map(\.name).joined(separator: " ") }
  }

  private var parsed: Parsed
  private var tokens: ArraySlice<String>
  private var positionals: [String] = []
  private var optionsEnded = false
  private var wantsHelp = false

  private init(_ root: Command, _ tokens: [String]) {
    parsed = Parsed(path: [root])
    self.tokens = tokens[...]
  }

  /// - Parameter tokens: without the program's name.
  static func parse(_ root: Command, _ tokens: [String]) throws(UsageError) -> Outcome {
    var parser = CommandParser(root, tokens)
    return try parser.run()
  }

  private mutating func run() throws(UsageError) -> Outcome {
    while let token = tokens.popFirst() {
      if optionsEnded || token == "-" || !token.hasPrefix("-") {
        try takePositional(token)
      } else if token == "--" {
        optionsEnded = true
      } else if token == "--version", parsed.path.count == 1, positionals.isEmpty {
        return .version
      } else if token.hasPrefix("--") {
        try takeLong(String(token.dropFirst(2)))
      } else if parsed.options.contains(where: { $0.name.count > 1 && "-\($0.name)" == token }) {
        try takeLong(String(token.dropFirst()))
      } else {
        try takeShort(token.dropFirst())
      }
      if wantsHelp { return .help(parsed.path) }
    }
    return try finish()
  }

  private var command: Command { parsed.path[parsed.path.count - 1] }

  private func failure(_ message: String) -> UsageError { UsageError(message: message, command: parsed.name) }

  // MARK: Verbs and arguments

  private mutating func takePositional(_ token: String) throws(UsageError) {
    guard positionals.isEmpty, !optionsEnded, !command.subcommands.isEmpty else {
      positionals.append(token)
      return
    }
    if let verb = command.subcommands.first(where: { $0.name == token }) {
      parsed.path.append(verb)
      try checkGiven()
    } else if token == "help", parsed.path.count == 1 {
      try takeHelpVerb()
    } else if command.run != nil {
      positionals.append(token)
    } else {
      let hint = Suggestion.nearest(to: token, in: command.subcommands.map(\.name)).map { "; did you mean “\($0)”?" } ?? "."
      throw failure("there is no command “\(token)”\(hint)")
    }
  }

  /// What was given before a verb may be of the command above alone.
  private func checkGiven() throws(UsageError) {
    let known = Set(parsed.options.map(\.name) + parsed.allFlags.map(\.name))
    guard let stray = parsed.flags.union(parsed.values.keys).subtracting(known).min() else { return }
    throw failure("there is no option --\(stray).")
  }

  /// `cairn help put` is `cairn put --help`.
  private mutating func takeHelpVerb() throws(UsageError) {
    while let token = tokens.popFirst() {
      guard let verb = command.subcommands.first(where: { $0.name == token }) else { throw failure("there is no command “\(token)”.") }
      parsed.path.append(verb)
    }
    wantsHelp = true
  }

  private mutating func finish() throws(UsageError) -> Outcome {
    guard command.run != nil else {
      throw failure("a command is missing: one of \(command.subcommands.map(\.name).joined(separator: ", ")).")
    }
    for option in parsed.options where option.isRequired && parsed.values[option.name] == nil {
      throw failure("the option --\(option.name) \(option.value) is missing.")
    }
    try assignArguments()
    return .run(command, parsed)
  }

  /// Places before the argument that takes any number are filled from the front, those after it from the back.
  private mutating func assignArguments() throws(UsageError) {
    let declared = command.arguments
    let missing = declared.map(\.count.minimum).reduce(0, +) - positionals.count
    guard missing <= 0 else {
      let names = declared.filter { $0.count.minimum > 0 }.suffix(missing).map(\.name)
      throw failure("\(names.joined(separator: " and ")) \(missing == 1 ? "is" : "are") missing.")
    }
    var spare = -missing
    var rest = positionals[...]
    for (index, argument) in declared.enumerated() {
      var count = argument.count.minimum
      if argument.count.isUnbounded {
        // The places after this one that may stay empty stay so: what is many here takes them.
        count = rest.count - declared[(index + 1)...].map(\.count.minimum).reduce(0, +)
        spare = 0
      } else if argument.count == .optional, spare > 0 {
        count = 1
        spare -= 1
      }
      parsed.arguments[argument.name] = Array(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    if let extra = rest.first { throw failure("there is no place for “\(extra)”.") }
  }

  // MARK: Options and flags

  private mutating func takeLong(_ token: String) throws(UsageError) {
    let parts = token.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts[0])
    let attached = parts.count == 2 ? String(parts[1]) : nil
    if name == "help" || parsed.allFlags.contains(where: { $0.name == name }) {
      guard attached == nil else { throw failure("--\(name) takes no value.") }
      setFlag(name)
    } else if let option = parsed.options.first(where: { $0.name == name }) {
      guard let value = attached ?? tokens.popFirst() else { throw failure("--\(name) needs a value: \(option.value).") }
      try store(value, for: option)
    } else {
      let known = parsed.options.map(\.name) + parsed.allFlags.map(\.name) + ["help"]
      let hint = Suggestion.nearest(to: name, in: known).map { "; did you mean --\($0)?" } ?? "."
      throw failure("there is no option --\(name)\(hint)")
    }
  }

  /// `-r`, several as in `-rq`, and `-n 5` or `-n5` where the last takes a value.
  private mutating func takeShort(_ letters: Substring) throws(UsageError) {
    var letters = letters
    while let letter = letters.popFirst() {
      if letter == "h", !parsed.options.contains(where: { $0.short == "h" }), !parsed.allFlags.contains(where: { $0.isMeant(by: "h") }) {
        setFlag("help")
      } else if let flag = parsed.allFlags.first(where: { $0.isMeant(by: letter) }) {
        setFlag(flag.name)
      } else if let option = parsed.options.first(where: { $0.short == letter }) {
        guard let value = letters.isEmpty ? tokens.popFirst() : String(letters) else {
          throw failure("-\(letter) needs a value: \(option.value).")
        }
        try store(value, for: option)
        return
      } else {
        throw failure("there is no option -\(letter).")
      }
    }
  }

  private mutating func setFlag(_ name: String) {
    if name == "help" { wantsHelp = true } else { parsed.flags.insert(name) }
  }

  private mutating func store(_ value: String, for option: CommandOption) throws(UsageError) {
    if let expected = option.kind.refusal(of: value) { throw failure("--\(option.name) is “\(value)” and has to be \(expected).") }
    guard option.repeats || parsed.values[option.name] == nil else { throw failure("--\(option.name) is given twice.") }
    parsed.values[option.name, default: []].append(value)
  }
}

extension CommandOption.Kind {
  /// Nil when the value is of this kind, else what it has to be.
  func refusal(of value: String) -> String? {
    switch self {
    case .text: return nil
    case .integer(let range):
      if let number = Int(value), range.contains(number) { return nil }
      if range.upperBound == .max { return "a whole number from \(range.lowerBound) on" }
      return "a whole number from \(range.lowerBound) to \(range.upperBound)"
    case .size: return ByteSize.parse(value) == nil ? "a size such as 64MiB" : nil
    case .duration: return DurationText.parse(value) == nil ? "a duration such as 7d" : nil
    case .choice(let choices): return choices.contains(value) ? nil : "one of \(choices.joined(separator: ", "))"
    }
  }
}
