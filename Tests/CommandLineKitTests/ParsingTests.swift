internal import CommandLineKit
internal import Platform
internal import Testing

@Suite("Command lines")
struct ParsingTests {
  /// Prints what it was given, so that tests can look at it.
  private static let put = Command(
    "put", summary: "upload files",
    arguments: [CommandArgument("LOCAL", help: "Files.", count: .oneOrMore), CommandArgument("REMOTE", help: "Place.")],
    options: [
      CommandOption("parallel", short: "p", value: "N", help: "Transfers at once.", kind: .integer(1...64), default: "8"),
      CommandOption("on-conflict", value: "POLICY", help: "What then.", kind: .choice(["fail", "copy"])),
      CommandOption("tag", short: "t", value: "T", help: "Tags.", repeats: true),
      CommandOption("limit", value: "SIZE", help: "Most.", kind: .size),
      CommandOption("expires", value: "TIME", help: "Until.", kind: .duration),
    ],
    flags: [
      CommandFlag("recursive", short: "r", otherShort: "R", help: "Folders too."), CommandFlag("force", short: "f", help: "Over all."),
    ],
    examples: ["tool put -r photos /photos"]
  ) { call in
    let numbers = [call.int("parallel").map { "\($0)" }, call.size("limit").map { "\($0)" }, call.duration("expires").map { "\($0)" }]
    call.console.print(
      "\(call.arguments("LOCAL").joined(separator: ",")) -> \(call.argument("REMOTE"))|\(call.flag("recursive"))|\(call.flag("force"))|"
        + "\(call.option("on-conflict") ?? "-")|\(call.options("tag").joined(separator: ","))|"
        + numbers.map { $0 ?? "-" }.joined(separator: ","))
  }

  private static let tool = CommandLineTool(
    root: Command(
      "tool", summary: "do things", flags: [.json, .quiet],
      subcommands: [
        put,
        Command(
          "sync", summary: "keep folders alike",
          arguments: [CommandArgument("A", help: "a"), CommandArgument("B", help: "b", count: .optional)],
          subcommands: [Command("status", summary: "show it") { $0.console.print("status") }]
        ) { $0.console.print("sync \($0.argument("A")) \($0.optionalArgument("B") ?? "-")") },
        Command("fail", summary: "fail", arguments: [CommandArgument("HOW", help: "how", count: .any)]) { call in
          switch call.arguments("HOW").first {
          case "conflict": throw CommandFailure(.conflict, "Somebody was faster.")
          case "silent": throw CommandFailure(.failed, "")
          case "cancel": throw CancellationError()
          default: throw FileError(operation: "open", path: "/x", errno: 2)
          }
        },
        Command("need", summary: "need", options: [CommandOption("key", value: "K", help: "A key.", isRequired: true)]) { call in
          try call.console.result(["key": call.option("key")], text: { call.option("key") ?? "" })
        },
      ]),
    version: "1.2.3",
    explain: { ($0 as? FileError)?.isNotFound == true ? CommandFailure(.notFound, "It is not there.") : nil })

  @Test(
    "options stand in any order and in every usual spelling",
    arguments: [
      ("put a b /r", "a,b -> /r|false|false|-||8,-,-"),
      ("put -r a /r -p 3", "a -> /r|true|false|-||3,-,-"),
      ("put a --parallel=3 /r --recursive", "a -> /r|true|false|-||3,-,-"),
      ("put -rfp3 a /r", "a -> /r|true|true|-||3,-,-"), ("put -fR a /r", "a -> /r|true|true|-||8,-,-"),
      ("put a /r -tag x -limit 4KiB", "a -> /r|false|false|-|x|8,4096,-"), ("put a /r -tagx", "a -> /r|false|false|-|agx|8,-,-"),
      ("put -rf -t x a -ty /r --tag=z=1", "a -> /r|true|true|-|x,y,z=1|8,-,-"),
      ("put --on-conflict copy --limit 4KiB --expires 2h - /r", "- -> /r|false|false|copy||8,4096,7200.0 seconds"),
      ("put -- -r --x /r", "-r,--x -> /r|false|false|-||8,-,-"),
      ("put --tag= a /r", "a -> /r|false|false|-||8,-,-"),
      ("--quiet put a /r --json", "a -> /r|false|false|-||8,-,-"),
      ("sync x", "sync x -"), ("sync x y", "sync x y"), ("sync status", "status"), ("sync -- status", "sync status -"),
      ("sync x status", "sync x status"),
    ])
  func spellings(line: String, output: String) async {
    let recorder = Recorder()
    let status = await recorder.run(ParsingTests.tool, line.split(separator: " ").map(String.init))
    #expect(recorder.error == "")
    #expect(recorder.output == output + "\n")
    #expect(status == .done)
  }

  @Test(
    "a mistake ends with 2 and a sentence that says what to do, and nothing runs",
    arguments: [
      ("put a /r --paralel 3", "tool put: there is no option --paralel; did you mean --parallel? Try “tool put --help”."),
      ("put a /r --nothing", "tool put: there is no option --nothing. Try “tool put --help”."),
      ("put a /r -x", "tool put: there is no option -x. Try “tool put --help”."),
      ("pot a /r", "tool: there is no command “pot”; did you mean “put”? Try “tool --help”."),
      ("put a", "tool put: REMOTE is missing. Try “tool put --help”."),
      ("put", "tool put: LOCAL and REMOTE are missing. Try “tool put --help”."),
      ("put a /r --parallel", "tool put: --parallel needs a value: N. Try “tool put --help”."),
      ("put a /r -p", "tool put: -p needs a value: N. Try “tool put --help”."),
      ("put a /r --parallel 0", "tool put: --parallel is “0” and has to be a whole number from 1 to 64. Try “tool put --help”."),
      ("put a /r --on-conflict x", "tool put: --on-conflict is “x” and has to be one of fail, copy. Try “tool put --help”."),
      ("put a /r --limit x", "tool put: --limit is “x” and has to be a size such as 64MiB. Try “tool put --help”."),
      ("put a /r --expires 7", "tool put: --expires is “7” and has to be a duration such as 7d. Try “tool put --help”."),
      ("put a /r -p 1 -p 2", "tool put: --parallel is given twice. Try “tool put --help”."),
      ("put a /r --recursive=yes", "tool put: --recursive takes no value. Try “tool put --help”."),
      ("sync a b c", "tool sync: there is no place for “c”. Try “tool sync --help”."),
      ("need", "tool need: the option --key K is missing. Try “tool need --help”."),
      ("", "tool: a command is missing: one of put, sync, fail, need. Try “tool --help”."),
    ])
  func mistakes(line: String, message: String) async {
    let recorder = Recorder()
    let status = await recorder.run(ParsingTests.tool, line.split(separator: " ").map(String.init))
    #expect(recorder.error == message + "\n")
    #expect(recorder.output == "")
    #expect(status == .usage)
  }

  @Test(
    "what a command throws becomes a status and a sentence",
    arguments: [
      ("fail conflict", CommandLineKit.ExitStatus.conflict, "tool: Somebody was faster.\n"), ("fail silent", .failed, ""),
      ("fail cancel", .failed, "tool: The command was cancelled.\n"), ("fail", .notFound, "tool: It is not there.\n"),
    ])
  func failures(line: String, status: CommandLineKit.ExitStatus, error: String) async {
    let recorder = Recorder()
    #expect(await recorder.run(ParsingTests.tool, line.split(separator: " ").map(String.init)) == status)
    #expect(recorder.error == error)
  }

  @Test("statuses have the numbers of the interface")
  func statuses() {
    let all: [CommandLineKit.ExitStatus] = [.done, .failed, .usage, .conflict, .notFound, .notAllowed, .noSpace, .unavailable]
    #expect(all.map(\.rawValue) == Array(0...7))
  }

  @Test("JSON is printed in place of text when it was asked for")
  func json() async {
    let recorder = Recorder()
    _ = await recorder.run(ParsingTests.tool, ["need", "--key", "a/b"])
    _ = await recorder.run(ParsingTests.tool, ["need", "--key", "a/b", "--json"])
    #expect(recorder.output == "a/b\n{\"key\":\"a/b\"}\n")
  }

  @Test("every command has a help page, by --help, -h and the verb help; it asks nothing of the arguments")
  func help() async {
    var pages: [String] = []
    for line in [["put", "--help"], ["put", "-h"], ["help", "put"], ["put", "-r", "--help", "--nothing"]] {
      let recorder = Recorder()
      #expect(await recorder.run(ParsingTests.tool, line) == .done)
      pages.append(recorder.output)
    }
    #expect(Set(pages).count == 1)
    #expect(
      pages[0] == """
        Usage: tool put [OPTIONS] LOCAL... REMOTE

        Upload files.

        Arguments:
          LOCAL...  Files.
          REMOTE    Place.

        Options:
          -p, --parallel N          Transfers at once. (default: 8)
              --on-conflict POLICY  What then.
          -t, --tag T               Tags.
              --limit SIZE          Most.
              --expires TIME        Until.
          -r, --recursive           Folders too.
          -f, --force               Over all.

        Options of every command:
              --json   print JSON in place of text
          -q, --quiet  print nothing but results and errors
          -h, --help   show this page

        Examples:
          tool put -r photos /photos

        """)
    let recorder = Recorder()
    #expect(await recorder.run(ParsingTests.tool, ["--help"]) == .done)
    for verb in ["put", "sync", "fail", "need"] { #expect(recorder.output.contains("\n  \(verb)  ")) }
    #expect(recorder.output.contains("--version"))
  }

  @Test("long help is wrapped to the width and stays in its column")
  func wrapping() async {
    let text = String(repeating: "many words ", count: 30)
    let tool = CommandLineTool(
      root: Command(
        "tool", summary: "x", discussion: text + "\n\n" + text,
        options: [CommandOption("a-very-long-name-for-an-option", value: "V", help: text)]
      ) { _ in }, version: "1")
    let recorder = Recorder()
    _ = await recorder.run(tool, ["--help"])
    let lines = recorder.output.split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 80 })
    #expect(lines.contains { $0.hasPrefix(String(repeating: " ", count: 28) + "many words") })
  }

  @Test("the version is the program's name and number")
  func version() async {
    let recorder = Recorder()
    #expect(await recorder.run(ParsingTests.tool, ["--version"]) == .done)
    #expect(recorder.output == "tool 1.2.3\n")
  }
}
