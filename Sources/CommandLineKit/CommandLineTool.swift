internal import Glibc
internal import Platform

/// A program made of commands.
package struct CommandLineTool: Sendable {
  package let root: Command
  package let version: String
  /// Turns an error of the program's own kinds into a status and a sentence; nil leaves it at “failed” with the error's description.
  private let explain: @Sendable (any Error) -> CommandFailure?

  /// - Parameter describesItself: adds the verbs `completions` and `man`.
  package init(
    root: Command, version: String, describesItself: Bool = false,
    explain: @escaping @Sendable (any Error) -> CommandFailure? = { _ in nil }
  ) {
    self.root = describesItself ? SelfDescription.added(to: root, version: version) : root
    self.version = version
    self.explain = explain
  }

  /// Reads this process's command line, runs the command and ends the process with its status.
  package func main() async -> Never {
    StandardStream.fillClosed()
    ProcessSignals.ignoreBrokenPipes()
    let status = await run(Array(CommandLine.arguments.dropFirst())) { .standard(isJSON: $0, isQuiet: $1) }
    // Not `exit`: its handlers take libraries down while our threads may still be letting go of what belongs to them.
    fflush(nil)
    _exit(status.rawValue)
  }

  /// - Parameters:
  ///   - arguments: without the program's name.
  ///   - console: makes the console from whether JSON and quiet were asked for.
  package func run(_ arguments: [String], console: @Sendable (_ isJSON: Bool, _ isQuiet: Bool) -> Console) async -> ExitStatus {
    let outcome: CommandParser.Outcome
    do { outcome = try CommandParser.parse(root, arguments) } catch {
      console(false, false).complain("\(error.command): \(error.message) Try “\(error.command) --help”.")
      return .usage
    }
    switch outcome {
    case .help(let path):
      let console = console(false, false)
      console.write(HelpText(path: path, width: console.width).text)
      return end(.done, console)
    case .version:
      let console = console(false, false)
      console.print("\(root.name) \(version)")
      return end(.done, console)
    case .run(let command, let parsed):
      let console = console(parsed.flags.contains("json"), parsed.flags.contains("quiet"))
      return await run(command, parsed, console)
    }
  }

  private func run(_ command: Command, _ parsed: CommandParser.Parsed, _ console: Console) async -> ExitStatus {
    guard let body = command.run else { preconditionFailure("the parser answers commands that do something") }
    let declared = Invocation.Declared(options: parsed.options, flags: parsed.allFlags, arguments: command.arguments)
    let invocation = Invocation(
      path: parsed.path.map(\.name), console: console, values: parsed.values, setFlags: parsed.flags, arguments: parsed.arguments,
      declared: declared)
    do {
      try await body(invocation)
      return end(.done, console)
    } catch {
      let failure = self.failure(for: error, command: parsed.name)
      // What the console refused is told at the end.
      if failure == console.resultsRefusal { return end(.done, console) }
      if !failure.message.isEmpty { console.complain("\(root.name): \(failure.message)") }
      return end(failure.status, console)
    }
  }

  /// - Returns: the command's own status, unless it was done but for what it had to print.
  private func end(_ status: ExitStatus, _ console: Console) -> ExitStatus {
    guard let refusal = console.resultsRefusal else { return status }
    console.complain("\(root.name): \(refusal.message)")
    return status == .done ? refusal.status : status
  }

  private func failure(for error: any Error, command: String) -> CommandFailure {
    if let failure = error as? CommandFailure { return failure }
    if let error = error as? UsageError { return CommandFailure(.usage, "\(error.message) Try “\(command) --help”.") }
    return explain(error) ?? CommandFailure(.failed, error is CancellationError ? "The command was cancelled." : String(describing: error))
  }
}
