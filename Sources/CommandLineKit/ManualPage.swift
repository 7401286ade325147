/// A manual page in the language of `man`, made from a program's own declarations.
struct ManualPage {
  private let outline: CommandOutline
  private let version: String

  /// - Parameter path: from the program to the command. The program's page has its verbs, too.
  init(path: [Command], version: String) {
    outline = CommandOutline(path: path)
    self.version = version
  }

  /// Ends with a line feed.
  var text: String {
    let program = outline.path[0].name
    let title = outline.path.map(\.name).joined(separator: "-")
    var lines = [
      ".TH \(quoted(title.uppercased())) 1 \"\" \(quoted("\(program) \(version)")) \(quoted("Cairn"))", ".SH NAME",
      "\(escaped(title)) \\- \(escaped(outline.command.summary))", ".SH SYNOPSIS",
    ]
    lines += synopsis(outline).flatMap { [".B \($0)", ".br"] }.dropLast()
    if !outline.command.discussion.isEmpty { lines += [".SH DESCRIPTION"] + paragraphs(outline.command.discussion) }
    lines += section(".SH ARGUMENTS", arguments(outline.command))
    lines += section(".SH OPTIONS", options(outline))
    if !outline.command.subcommands.isEmpty {
      lines.append(".SH COMMANDS")
      for verb in outline.command.subcommands { lines += describe(CommandOutline(path: outline.path + [verb])) }
    }
    lines += section(".SH EXAMPLES", examples(outline.command.examples))
    return lines.joined(separator: "\n") + "\n"
  }

  /// A verb on the page of what is above it.
  private func describe(_ verb: CommandOutline) -> [String] {
    let command = verb.command
    var lines =
      [".SS \(quoted(verb.name))"] + synopsis(verb).flatMap { [".B \($0)", ".br"] } + [".PP", escaped(capitalised(command.summary)) + "."]
    if !command.discussion.isEmpty { lines += [".PP"] + paragraphs(command.discussion) }
    lines += arguments(command)
    lines += rows(command.options, command.flags)
    if !command.examples.isEmpty { lines += [".PP", "Examples:"] + examples(command.examples) }
    return lines + command.subcommands.flatMap { describe(CommandOutline(path: verb.path + [$0])) }
  }

  private func synopsis(_ outline: CommandOutline) -> [String] {
    let command = outline.command
    var lines: [String] = []
    if command.run != nil {
      let hasOptions = outline.path.inForce.contains { !$0.options.isEmpty || !$0.flags.isEmpty }
      lines.append(
        ([outline.name] + (hasOptions ? ["[OPTIONS]"] : []) + command.arguments.map(HelpText.placeholder)).joined(separator: " "))
    }
    if !command.subcommands.isEmpty { lines.append("\(outline.name) COMMAND ...") }
    return lines.map(escaped)
  }

  private func arguments(_ command: Command) -> [String] {
    command.arguments.flatMap { [".TP", ".I \(escaped($0.name))", escaped(capitalised($0.help)) + "."] }
  }

  private func options(_ outline: CommandOutline) -> [String] { rows(outline.options, outline.flags) }

  private func rows(_ options: [CommandOption], _ flags: [CommandFlag]) -> [String] {
    let valued = options.flatMap { option in
      var help = capitalised(option.help)
      if !option.choices.isEmpty { help += " (one of: \(option.choices.joined(separator: ", ")))" }
      if let value = option.defaultValue { help += " (default: \(value))" }
      if option.isRequired { help += " (required)" }
      return [".TP", ".BI \(quoted(names(option.short, option.name) + " ")) \(quoted(option.value))", escaped(help) + "."]
    }
    return valued + flags.flatMap { [".TP", ".B \(quoted(names($0.short, $0.name)))", escaped(capitalised($0.help)) + "."] }
  }

  private func names(_ short: Character?, _ name: String) -> String { (short.map { "-\($0), " } ?? "") + "--" + name }

  private func section(_ title: String, _ lines: [String]) -> [String] { lines.isEmpty ? [] : [title] + lines }

  private func paragraphs(_ text: String) -> [String] {
    Array(text.split(separator: "\n\n").map { [escaped($0.replacing("\n", with: " "))] }.joined(separator: [".PP"]))
  }

  private func examples(_ lines: [String]) -> [String] {
    lines.isEmpty ? [] : [".PP", ".RS 4", ".nf"] + lines.map(escaped) + [".fi", ".RE"]
  }

  // MARK: What `man` would take for something else

  private func quoted(_ text: String) -> String { "\"" + escaped(text).replacing("\"", with: "\\(dq") + "\"" }

  private func escaped(_ text: some StringProtocol) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\e"
      case "-": result += "\\-"
      case "~": result += "\\(ti"
      case "^": result += "\\(ha"
      case "`": result += "\\(ga"
      case "'": result += "\\(aq"
      case _ where scalar.isASCII: result.unicodeScalars.append(scalar)
      default: result += "\\[u\(hexadecimal(scalar))]"
      }
    }
    // A line that begins with a dot is a request.
    return result.hasPrefix(".") ? "\\&" + result : result
  }

  /// Four digits at least, in capitals.
  private func hexadecimal(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }

  private func capitalised(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }
}
