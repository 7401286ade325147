/// The help page of a command.
struct HelpText {
  private let path: [Command]
  private let width: Int

  /// - Parameters:
  ///   - path: from the program to the command.
  ///   - width: columns of the terminal.
  init(path: [Command], width: Int) {
    self.path = path
    self.width = max(40, min(width, 100))
  }

  private var command: Command { path[path.count - 1] }
  private var name: String { path.map(\.name).joined(separator: " ") }

  /// Ends with a line feed.
  var text: String {
    var sections = [usage, capitalised(command.summary) + "."]
    sections += command.discussion.split(separator: "\n\n").map { wrapped(String($0), indent: 0) }
    sections.append(section("Arguments", command.arguments.map { (HelpText.placeholder($0), $0.help) }))
    sections.append(section("Commands", command.subcommands.map { ($0.name, $0.summary) }))
    sections.append(section("Options", rows(of: command) + (path.count == 1 ? builtIn : [])))
    if path.count > 1 {
      sections.append(section("Options of every command", path.inForce.dropLast().flatMap { rows(of: $0) } + builtIn))
    }
    if !command.examples.isEmpty { sections.append("Examples:\n" + command.examples.map { "  " + $0 }.joined(separator: "\n")) }
    if !command.subcommands.isEmpty { sections.append("“\(name) COMMAND --help” tells more about a command.") }
    return sections.filter { !$0.isEmpty }.joined(separator: "\n\n") + "\n"
  }

  private var usage: String {
    var lines: [String] = []
    if command.run != nil {
      let options = path.inForce.contains { !$0.options.isEmpty || !$0.flags.isEmpty } ? ["[OPTIONS]"] : []
      lines.append(([name] + options + command.arguments.map(HelpText.placeholder)).joined(separator: " "))
    }
    if !command.subcommands.isEmpty { lines.append("\(name) COMMAND …") }
    return "Usage: " + lines.joined(separator: "\n       ")
  }

  private var builtIn: [(String, String)] {
    var rows = [(HelpText.names(path.helpFlag.short, "help"), "show this page")]
    if path.count == 1 { rows.append(("    --version", "show the version")) }
    return rows
  }

  private func rows(of command: Command) -> [(String, String)] {
    let flags = command.flags.map { (HelpText.names($0.short, $0.name), $0.help) }
    let options = command.options.map { option in
      let note = option.defaultValue.map { " (default: \($0))" } ?? (option.isRequired ? " (required)" : "")
      return (HelpText.names(option.short, option.name) + " " + option.value, option.help + note)
    }
    return options + flags
  }

  private func section(_ title: String, _ rows: [(String, String)]) -> String {
    guard !rows.isEmpty else { return "" }
    let column = min(28, (rows.map { TextWidth.columns(of: $0.0) }.max() ?? 0) + 4)
    let lines = rows.map { left, right -> String in
      let start = "  " + left
      let lines = wrapped(right, indent: column)
      let used = TextWidth.columns(of: start)
      return used + 2 <= column ? start + String(repeating: " ", count: column - used) + lines.drop { $0 == " " } : start + "\n" + lines
    }
    return "\(title):\n" + lines.joined(separator: "\n")
  }

  private func wrapped(_ text: String, indent: Int) -> String {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = ""
    for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
      if !line.isEmpty, indent + TextWidth.columns(of: line) + 1 + TextWidth.columns(of: String(word)) > width {
        lines.append(margin + line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return (lines + [margin + line]).joined(separator: "\n")
  }

  private func capitalised(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }

  static func placeholder(_ argument: CommandArgument) -> String {
    switch argument.count {
    case .one: return argument.name
    case .optional: return "[\(argument.name)]"
    case .oneOrMore: return "\(argument.name)..."
    case .any: return "[\(argument.name)...]"
    }
  }

  private static func names(_ short: Character?, _ name: String) -> String {
    (short.map { "-\($0), " } ?? "    ") + "--" + name
  }
}
