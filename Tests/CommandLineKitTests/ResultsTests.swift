internal import CommandLineKit
internal import Synchronization
internal import Testing

@Suite("Results that cannot be written")
struct ResultsTests {
  /// Takes so many pieces of results and refuses all that come after.
  private final class FullDisk: Sendable {
    private struct State {
      var room: Int
      var offered = 0
      var error: [UInt8] = []
    }
    private let state: Mutex<State>
    private let refusal: CommandFailure

    init(room: Int = 0, refusal: CommandFailure = CommandFailure(.noSpace, "The disk is full.")) {
      state = Mutex(State(room: room))
      self.refusal = refusal
    }

    var offered: Int { state.withLock { $0.offered } }
    var error: String { state.withLock { String(decoding: $0.error, as: UTF8.self) } }

    private func take() throws(CommandFailure) {
      let isTaken = state.withLock { state in
        state.offered += 1
        return state.offered <= state.room
      }
      guard isTaken else { throw refusal }
    }

    func console(isJSON: Bool, isQuiet: Bool) -> Console {
      Console(
        isJSON: isJSON, isQuiet: isQuiet, output: { [self] _ throws(CommandFailure) in try take() },
        error: { [self] bytes in state.withLock { $0.error += bytes } })
    }

    func run(_ arguments: [String]) async -> CommandLineKit.ExitStatus {
      await ResultsTests.tool.run(arguments) { [self] in console(isJSON: $0, isQuiet: $1) }
    }
  }

  private static let tool = CommandLineTool(
    root: Command(
      "tool", summary: "do things", flags: [.json, .quiet],
      subcommands: [
        Command("print", summary: "print lines") { call in for line in 0..<5 { call.console.print("\(line)") } },
        Command("result", summary: "answer") { call in try call.console.result(["a": 1]) { "a" } },
        Command("confirm", summary: "confirm") { call in try call.console.confirm(["a": 1]) { "It is done." } },
        Command("contents", summary: "copy") { call in
          try Array("contents".utf8).withUnsafeBytes { try call.console.writeContents($0) }
        },
        Command("follow", summary: "print for ever") { call in
          while true {
            call.console.print("line")
            try call.console.checkResults()
          }
        },
        Command("fail", summary: "print and fail") { call in
          call.console.print("line")
          throw CommandFailure(.conflict, "Somebody was faster.")
        },
      ]), version: "1.2.3", describesItself: true)

  @Test(
    "a command whose results are lost ends with what the system said, and says so once",
    arguments: [
      ["print"], ["result"], ["result", "--json"], ["contents"], ["confirm"], ["confirm", "--json"], ["follow"], ["--help"],
      ["print", "--help"], ["help", "print"], ["--version"], ["man"], ["completions", "bash"],
    ])
  func lost(arguments: [String]) async {
    let full = FullDisk()
    #expect(await full.run(arguments) == .noSpace)
    #expect(full.error == "tool: The disk is full.\n")
    #expect(full.offered == 1, "nothing more is tried")
    let broken = FullDisk(refusal: CommandFailure(.failed, "It is closed."))
    #expect(await broken.run(arguments) == .failed)
    #expect(broken.error == "tool: It is closed.\n")
  }

  @Test("it makes no difference how much was written before")
  func later() async {
    let full = FullDisk(room: 3)
    #expect(await full.run(["print"]) == .noSpace)
    #expect(full.offered == 4)
  }

  @Test("a command that failed by itself keeps its status, and both are told")
  func both() async {
    let full = FullDisk()
    #expect(await full.run(["fail"]) == .conflict)
    #expect(full.error == "tool: Somebody was faster.\ntool: The disk is full.\n")
  }

  @Test("a command that prints nothing has nothing to lose, and a confirmation is nothing when quiet")
  func silent() async {
    let full = FullDisk()
    #expect(await full.run(["confirm", "--quiet"]) == .done)
    #expect(await full.run(["nonsense"]) == .usage)
    #expect(full.offered == 0)
  }
}

@Suite("Names from elsewhere")
struct ExactnessTests {
  private static let name = "a\u{202E}b\u{1B}[2J"

  private func shown(isTerminal: Bool, isColoured: Bool = false) -> String {
    let style = Console(isTerminal: isTerminal, isColoured: isColoured, output: { _ in }, error: { _ in }).style
    var table = Table([.left("NAME")])
    table.add([Self.name])
    return style.shown(Self.name) + "\n" + table.render(style: style)
  }

  @Test("they are as they are in a pipe, and cannot steer a terminal")
  func exact() {
    #expect(shown(isTerminal: false) == "\(Self.name)\nNAME\n\(Self.name)\n")
    #expect(shown(isTerminal: true) == "a\u{FFFD}b\u{FFFD}[2J\nNAME\na\u{FFFD}b\u{FFFD}[2J\n")
    #expect(!shown(isTerminal: true, isColoured: true).contains(Self.name))
  }

  @Test("they cannot steer the terminal that notes and errors go to, which may be one when results go to a pipe")
  func errors() {
    let recorder = Recorder()
    let console = recorder.console()
    console.note(Self.name)
    console.complain("one\n" + Self.name)
    #expect(recorder.error == "a\u{FFFD}b\u{FFFD}[2J\none\na\u{FFFD}b\u{FFFD}[2J\n")
  }
}
