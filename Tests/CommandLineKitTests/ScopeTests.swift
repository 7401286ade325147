internal import CommandLineKit
internal import Testing

/// Which options and letters go with a command.
@Suite("Options where they belong")
struct ScopeTests {
  private static let tool = CommandLineTool(
    root: Command(
      "tool", summary: "do things", flags: [.json, .quiet],
      subcommands: [
        Command("weigh", summary: "weigh things", flags: [CommandFlag("human-readable", short: "h", help: "as people read")]) { call in
          call.console.print("\(call.flag("human-readable"))")
        },
        Command(
          "sync", summary: "keep folders alike", arguments: [CommandArgument("A", help: "a folder")],
          options: [CommandOption("rate", value: "N", help: "how fast")], flags: [CommandFlag("once", help: "and no more")],
          subcommands: [Command("status", summary: "show it", flags: [CommandFlag("all", help: "of them")]) { $0.console.print("status") }]
        ) { $0.console.print("sync \($0.flag("once"))") },
        Command(
          "keys", summary: "manage keys", flags: [CommandFlag("dry-run", help: "do nothing")],
          subcommands: [Command("show", summary: "show them") { $0.console.print("show \($0.flag("dry-run"))") }]),
      ]), version: "1", describesItself: true)

  private func run(_ line: String) async -> (status: CommandLineKit.ExitStatus, output: String, error: String) {
    let recorder = Recorder()
    let status = await recorder.run(Self.tool, line.split(separator: " ").map(String.init))
    return (status, recorder.output, recorder.error)
  }

  @Test("-h is a command's own letter where it has one, and asks for help elsewhere; --help asks everywhere")
  func letter() async {
    #expect(await run("weigh -h").output == "true\n")
    #expect(await run("weigh -qh").output == "true\n")
    for line in ["weigh --help", "help weigh"] {
      let page = await run(line).output
      #expect(page.contains("  -h, --human-readable  as people read\n"))
      #expect(page.contains("      --help   show this page\n"))
    }
    #expect(await run("sync -h").output.contains("  -h, --help   show this page\n"))
  }

  @Test("what a command does something with is not for the verbs below it; what a group of verbs has is")
  func below() async {
    #expect(await run("sync a --once").output == "sync true\n")
    #expect(await run("sync status").output == "status\n")
    #expect(await run("keys --dry-run show").output == "show true\n")
    #expect(await run("keys show --dry-run").output == "show true\n")
    for line in ["sync status --once", "sync --once status", "sync --rate 5 status"] {
      let outcome = await run(line)
      #expect(outcome.status == .usage && outcome.output.isEmpty, "\(line)")
      #expect(outcome.error.hasPrefix("tool sync status: there is no option --"), "\(outcome.error)")
    }
    let page = await run("sync status --help").output
    #expect(page.contains("--all") && page.contains("--json") && !page.contains("--once") && !page.contains("--rate"))
    #expect(await run("sync --help").output.contains("--once"))
    #expect(await run("keys show --help").output.contains("--dry-run"))
  }
}
