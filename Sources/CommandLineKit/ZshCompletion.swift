/// The script for zsh, which has a function for each command.
struct ZshCompletion {
  let root: Command

  init(_ root: Command) { self.root = root }

  var text: String {
    let functions = CommandOutline.all(root).map(function)
    return """
      #compdef \(root.name)
      # zsh completion of \(root.name), made by “\(root.name) completions zsh”.

      \(functions.joined(separator: "\n\n"))

      if [ "$funcstack[1]" = "_\(root.name)" ]; then _\(root.name) "$@"; else compdef _\(root.name) \(root.name); fi

      """
  }

  private func function(_ outline: CommandOutline) -> String {
    let command = outline.command
    var specs = outline.options.flatMap(specs) + outline.flags.flatMap(specs)
    if command.subcommands.isEmpty {
      specs += command.arguments.enumerated().map { place, argument in
        let many = argument.count.isUnbounded || place > 0 && command.arguments[..<place].contains(where: \.count.isUnbounded)
        return ShellQuoting.posix("\(many ? "*" : "\(place + 1)"):\(escaped(argument.name)):_files")
      }
      // Those after an argument that takes any number are of its kind.
      specs = specs.reduce(into: []) { list, spec in
        if !(spec.hasPrefix("'*:") && list.last?.hasPrefix("'*:") == true) { list.append(spec) }
      }
      return "\(name(outline))() {\n  _arguments -s \\\n" + specs.map { "    \($0)" }.joined(separator: " \\\n") + "\n}"
    }
    specs += ["'1: :->verb'", "'*:: :->rest'"]
    let verbs = command.subcommands.map { "    \(ShellQuoting.posix("\(escaped($0.name)):\($0.summary)"))" }
    let cases = command.subcommands.map { "        \($0.name)) \(name(CommandOutline(path: outline.path + [$0]))) ;;" }
    return """
      \(name(outline))() {
        local curcontext=$curcontext state line verbs
        typeset -A opt_args
        _arguments -s -C \\
      \(specs.map { "    \($0)" }.joined(separator: " \\\n"))
        case $state in
          verb)
            verbs=(
      \(verbs.map { "      \($0)" }.joined(separator: "\n"))
            )
            _describe -t verbs verb verbs\(command.run == nil ? "" : "\n      _files") ;;
          rest)
            case $line[1] in
      \(cases.joined(separator: "\n"))
              *) _files ;;
            esac ;;
        esac
      }
      """
  }

  private func name(_ outline: CommandOutline) -> String { "_" + outline.path.map(\.name).joined(separator: "_") }

  private func specs(_ option: CommandOption) -> [String] {
    let action = option.choices.isEmpty ? (option.kind.isText ? "_files" : " ") : "(\(option.choices.joined(separator: " ")))"
    let help = "[\(escaped(option.help))]:\(escaped(option.value)):\(action)"
    return option.spellings.map { spelling in
      let isLong = spelling.hasPrefix("--")
      return ShellQuoting.posix((option.repeats ? "*" : "") + spelling + (isLong ? "=" : "+") + help)
    }
  }

  private func specs(_ flag: CommandFlag) -> [String] { flag.spellings.map { ShellQuoting.posix("\($0)[\(escaped(flag.help))]") } }

  /// For a description inside of a specification.
  private func escaped(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("[", with: "\\[").replacing("]", with: "\\]").replacing(":", with: "\\:")
  }
}

extension CommandOption.Kind {
  fileprivate var isText: Bool {
    if case .text = self { return true }
    return false
  }
}
