internal import CommandLineKit
internal import Glibc
internal import Platform
internal import TestSupport
internal import Testing

@Suite("What programs tell of themselves")
struct SelfDescriptionTests {
  /// With everything that is hard to quote.
  private static let tool = CommandLineTool(
    root: Command(
      "tool", summary: "do the user's “things” [all: of them]",
      discussion: "First a \\ and a 'quote'.\n\n.then a paragraph that begins with a dot, and $VARIABLES `too`.", flags: [.json],
      subcommands: [
        Command(
          "put", summary: "upload the user's files: all of [them]",
          arguments: [CommandArgument("LOCAL", help: "files", count: .oneOrMore), CommandArgument("REMOTE", help: "where")],
          options: [
            CommandOption("policy", short: "p", value: "KIND", help: "what's done [then]: this", kind: .choice(["fail", "copy"])),
            CommandOption("limit", value: "SIZE", help: "most", kind: .size, default: "1GiB"),
          ], flags: [CommandFlag("recursive", short: "r", help: "folders too")], examples: ["tool put -r 'a b' /c\\d"]
        ) { _ in },
        Command(
          "sync", summary: "keep folders alike", arguments: [CommandArgument("A", help: "a folder")],
          subcommands: [Command("status", summary: "show it", flags: [CommandFlag("all", help: "of them")]) { _ in }]
        ) { _ in },
      ], examples: ["tool put a /b"]),
    version: "1.2", describesItself: true)

  private func output(_ arguments: [String]) async -> String {
    let recorder = Recorder()
    #expect(await recorder.run(Self.tool, arguments) == .done)
    return recorder.output
  }

  private func run(_ program: String, _ arguments: [String], _ files: [String: String]) async throws -> ProcessRunner.Outcome {
    let folder = try TemporaryFolder()
    for (name, text) in files { try AtomicFile.write(folder.path(name), Array(text.utf8)) }
    return try await ProcessRunner.run(program, arguments.map { $0.hasPrefix("@") ? folder.path(String($0.dropFirst())) : $0 })
  }

  /// Shells that a machine may lack.
  private static func isThere(_ program: String) -> Bool { access(program, X_OK) == 0 }

  private static let lines: [(words: [String], completions: Set<String>)] = [
    (["tool", ""], ["put", "sync", "completions", "man"]), (["tool", "s"], ["sync"]),
    (["tool", "--j"], ["--json"]), (["tool", "put", "--policy", ""], ["fail", "copy"]), (["tool", "put", "-p", "c"], ["copy"]),
    (["tool", "put", "--policy", "=", "f"], ["fail"]), (["tool", "put", "--policy", "fail", "--rec"], ["--recursive"]),
    (["tool", "sync", "st"], ["status"]), (["tool", "sync", "status", "--a"], ["--all"]), (["tool", "sync", "folder", ""], []),
    (["tool", "put", "sync", ""], []), (["tool", "--json", "sy"], ["sync"]), (["tool", "put", "--limit", ""], []),
  ]

  @Test("bash reads the script and completes by it", arguments: lines)
  func bash(words: [String], completions: Set<String>) async throws {
    let script = await output(["completions", "bash"])
    let driver = """
      source "$1"; shift
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
      _tool
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    let checked = try await run("/bin/bash", ["-n", "@script"], ["script": script])
    #expect(checked.succeeded && checked.error.isEmpty, "\(checked.error)")
    let result = try await run("/bin/bash", ["@driver", "@script"] + words, ["script": script, "driver": driver])
    #expect(Set(result.output.split(separator: "\n").map(String.init)) == completions)
    #expect(result.error.isEmpty)
  }

  @Test("zsh reads the script", .enabled(if: isThere("/usr/bin/zsh"), "zsh is not installed"))
  func zsh() async throws {
    let result = try await run("/usr/bin/zsh", ["-n", "@_tool"], ["_tool": await output(["completions", "zsh"])])
    #expect(result.succeeded && result.error.isEmpty, "\(result.error)")
    let driver = "autoload -Uz compinit && compinit -D; source \"$1\"; whence -w _tool _tool_put _tool_sync _tool_sync_status"
    let loaded = try await run(
      "/usr/bin/zsh", ["-f", "@driver", "@_tool"], ["_tool": await output(["completions", "zsh"]), "driver": driver])
    #expect(loaded.output.split(separator: "\n").count { $0.hasSuffix(": function") } == 4, "\(loaded.error)")
  }

  @Test("fish reads the script and completes by it", .enabled(if: isThere("/usr/bin/fish"), "fish is not installed"), arguments: lines)
  func fish(words: [String], completions: Set<String>) async throws {
    // fish splits at the sign by itself, and completes what follows with the option before it.
    guard !words.contains("=") else { return }
    let line = words.joined(separator: " ")
    let driver = "source $argv[1]; complete --do-complete=$argv[2]"
    let result = try await run(
      "/usr/bin/fish", ["--no-config", "@driver", "@script", line], ["script": await output(["completions", "fish"]), "driver": driver])
    #expect(result.succeeded && result.error.isEmpty, "\(result.error)")
    let found = Set(result.output.split(separator: "\n").map { String($0.prefix { $0 != "\t" }) })
    // Without words of ours it offers files.
    if completions.isEmpty { #expect(found.isDisjoint(with: ["put", "sync", "fail"])) } else { #expect(found == completions) }
  }

  @Test("man formats the page without a warning, and everything is on it", .enabled(if: isThere("/usr/bin/man"), "man is not installed"))
  func manual() async throws {
    for page in [["man"], ["man", "put"], ["man", "sync", "status"]] {
      let result = try await run(
        "/usr/bin/env", ["LC_ALL=C.UTF-8", "MANWIDTH=80", "man", "--warnings", "-l", "@page"], ["page": await output(page)])
      #expect(result.succeeded && result.error.isEmpty, "\(result.error)")
      #expect(result.output.contains(page.count == 1 ? "tool - do the user's" : page.count == 2 ? "tool-put - upload" : "tool-sync-status"))
    }
    let text = try await run(
      "/usr/bin/env", ["LC_ALL=C.UTF-8", "MANWIDTH=200", "man", "--warnings", "-l", "@page"], ["page": await output(["man"])]
    ).output
    for part in [
      "First a \\ and a 'quote'.", ".then a paragraph", "$VARIABLES `too`", "“things” [all: of them]", "tool put -r 'a b' /c\\d",
      "tool sync status", "--recursive", "one of: fail, copy", "default: 1GiB", "--all", "completions",
    ] { #expect(text.contains(part), "\(part)") }
  }

  @Test("a shell or a command that is not there is a mistake of use")
  func unknown() async {
    let recorder = Recorder()
    #expect(await recorder.run(Self.tool, ["completions", "csh"]) == .usage)
    #expect(await recorder.run(Self.tool, ["man", "nothing"]) == .usage)
    #expect(recorder.output.isEmpty)
  }
}
