/// The verbs by which a program tells shells and `man` about itself.
enum SelfDescription {
  static func added(to root: Command, version: String) -> Command {
    var full = root
    full.subcommands += [completions(root, version), manual(root, version)]
    return full
  }

  private static func completions(_ root: Command, _ version: String) -> Command {
    Command(
      "completions", summary: "print what a shell needs to complete commands",
      discussion: "The output is for the place where the shell looks for completions, or to be evaluated when a shell starts.",
      arguments: [CommandArgument("SHELL", help: "bash, zsh or fish")],
      examples: [
        "\(root.name) completions bash > ~/.local/share/bash-completion/completions/\(root.name)",
        "\(root.name) completions zsh > \"${fpath[1]}/_\(root.name)\"",
        "\(root.name) completions fish > ~/.config/fish/completions/\(root.name).fish",
      ]
    ) { invocation in
      guard let shell = CompletionScript.Shell(rawValue: invocation.argument("SHELL")) else {
        throw CommandFailure(.usage, "There are completions for bash, zsh and fish.")
      }
      invocation.console.write(CompletionScript(added(to: root, version: version)).text(for: shell))
    }
  }

  private static func manual(_ root: Command, _ version: String) -> Command {
    Command(
      "man", summary: "print the manual page",
      arguments: [CommandArgument("COMMAND", help: "a command that has a page of its own; the program when left away", count: .any)],
      examples: ["\(root.name) man | man -l -", "\(root.name) man > ~/.local/share/man/man1/\(root.name).1"]
    ) { invocation in
      var path = [added(to: root, version: version)]
      for name in invocation.arguments("COMMAND") {
        guard let verb = path[path.count - 1].subcommands.first(where: { $0.name == name }) else {
          throw CommandFailure(.usage, "There is no command “\(name)”.")
        }
        path.append(verb)
      }
      invocation.console.write(ManualPage(path: path, version: version).text)
    }
  }
}
