internal import Glibc
internal import Platform
internal import Synchronization

/// Where a command writes: results to standard output, everything else to standard error.
package final class Console: Sendable {
  /// Takes whole pieces of text; called by one thread at a time.
  package typealias Sink = @Sendable ([UInt8]) -> Void

  private let output: Sink
  private let error: Sink
  private let turn = Mutex(())

  /// Results are JSON.
  package let isJSON: Bool
  /// Neither progress nor notes.
  package let isQuiet: Bool
  /// Standard output is a terminal.
  package let isTerminal: Bool
  /// Standard error is a terminal, so progress can be drawn.
  package let isErrorTerminal: Bool
  /// Columns of the terminal, 80 elsewhere.
  package let width: Int
  /// For text on standard output.
  package let style: Style

  /// A console for tests, or with results somewhere else.
  package init(
    isJSON: Bool = false, isQuiet: Bool = false, isTerminal: Bool = false, isErrorTerminal: Bool = false, width: Int = 80,
    isColoured: Bool = false, output: @escaping Sink, error: @escaping Sink
  ) {
    self.isJSON = isJSON
    self.isQuiet = isQuiet
    self.isTerminal = isTerminal
    self.isErrorTerminal = isErrorTerminal
    self.width = width
    self.style = isColoured ? .coloured : .plain
    self.output = output
    self.error = error
  }

  /// This process's own streams. Colours only on a terminal, without `NO_COLOR` (no-color.org) and not on a `dumb` one.
  package static func standard(isJSON: Bool = false, isQuiet: Bool = false) -> Console {
    let isTerminal = Terminal.isTerminal(1)
    let isPlain = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false || getenv("TERM").map { String(cString: $0) } == "dumb"
    return Console(
      isJSON: isJSON, isQuiet: isQuiet, isTerminal: isTerminal, isErrorTerminal: Terminal.isTerminal(2),
      width: Terminal.columns(of: 1) ?? Terminal.columns(of: 2) ?? 80,
      isColoured: isTerminal && !isPlain, output: { writeAll($0, to: 1) }, error: { writeAll($0, to: 2) })
  }

  /// A line of results on standard output.
  package func print(_ line: String) { write(line + "\n") }

  /// Results on standard output, as they are.
  package func write(_ text: String) { writeBytes(Array(text.utf8)) }

  package func writeBytes(_ bytes: [UInt8]) { turn.withLock { _ in output(bytes) } }

  /// A value as one line of JSON on standard output.
  package func printJSON(_ value: some Encodable) throws {
    writeBytes(try JSONCoding.encode(value) + [UInt8(ascii: "\n")])
  }

  /// JSON when it was asked for, else text; `text` ends without a line feed.
  package func result(_ value: @autoclosure () -> some Encodable, text: () -> String) throws {
    if isJSON { try printJSON(value()) } else { print(text()) }
  }

  /// A remark for people on standard error; nothing when quiet.
  package func note(_ line: String) {
    if !isQuiet { writeError(line + "\n") }
  }

  /// An error or a warning on standard error.
  package func complain(_ line: String) { writeError(line + "\n") }

  func writeError(_ text: String) { turn.withLock { _ in error(Array(text.utf8)) } }

  private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    bytes.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
        if count > 0 {
          done += count
        } else if errno == EPIPE {
          endAsByBrokenPipe()
        } else if errno != EINTR {
          // Nobody can be told when the streams themselves fail.
          return
        }
      }
    }
  }

  /// The reader of a pipe left, as `head` does: end as other programs do then. Our programs ignore the signal because of their sockets.
  private static func endAsByBrokenPipe() {
    signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
  }
}
