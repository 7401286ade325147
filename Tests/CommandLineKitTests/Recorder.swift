internal import CommandLineKit
internal import Synchronization

/// Keeps what a program wrote.
final class Recorder: Sendable {
  private let streams = Mutex((output: [UInt8](), error: [UInt8]()))

  var output: String { streams.withLock { String(decoding: $0.output, as: UTF8.self) } }
  var error: String { streams.withLock { String(decoding: $0.error, as: UTF8.self) } }

  func console(isJSON: Bool = false, isQuiet: Bool = false, isErrorTerminal: Bool = false, width: Int = 80) -> Console {
    Console(
      isJSON: isJSON, isQuiet: isQuiet, isErrorTerminal: isErrorTerminal, width: width,
      output: { [self] bytes in streams.withLock { $0.output += bytes } }, error: { [self] bytes in streams.withLock { $0.error += bytes } }
    )
  }

  func run(_ tool: CommandLineTool, _ arguments: [String]) async -> CommandLineKit.ExitStatus {
    await tool.run(arguments) { [self] in console(isJSON: $0, isQuiet: $1) }
  }
}
