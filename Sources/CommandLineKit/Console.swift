internal import Glibc
internal import Platform
internal import Synchronization

/// Where a command writes: results to standard output, everything else to standard error.
///
/// What must hold: results that could not be written are never taken for written. After the first refusal nothing more is written to
/// standard output, and the tool ends the command with what the refusal says, whatever the command itself thinks of its end.
package final class Console: Sendable {
  /// Takes whole pieces of text; called by one thread at a time.
  package typealias Sink = @Sendable ([UInt8]) -> Void
  /// As `Sink`, for results: throws when they cannot be written.
  package typealias ResultSink = @Sendable ([UInt8]) throws(CommandFailure) -> Void

  private let output: ResultSink
  private let error: Sink
  /// Why results cannot be written, once that is so; who holds it writes.
  private let refusal = Mutex<CommandFailure?>(nil)

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
  /// For text on standard output: coloured on a terminal that shows colours, and as it is where a program reads it.
  package let style: Style

  /// A console for tests, or with results somewhere else.
  package init(
    isJSON: Bool = false, isQuiet: Bool = false, isTerminal: Bool = false, isErrorTerminal: Bool = false, width: Int = 80,
    isColoured: Bool = false, output: @escaping ResultSink, error: @escaping Sink
  ) {
    self.isJSON = isJSON
    self.isQuiet = isQuiet
    self.isTerminal = isTerminal
    self.isErrorTerminal = isErrorTerminal
    self.width = width
    self.style = isColoured ? .coloured : isTerminal ? .plain : .exact
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
      isColoured: isTerminal && !isPlain, output: { bytes throws(CommandFailure) in try StandardStream.writeResults(bytes) },
      error: { StandardStream.writeError($0) })
  }

  /// A line of results on standard output.
  package func print(_ line: String) { write(line + "\n") }

  /// Results on standard output, as they are.
  package func write(_ text: String) { writeBytes(Array(text.utf8)) }

  package func writeBytes(_ bytes: [UInt8]) {
    refusal.withLock { refusal in
      guard refusal == nil else { return }
      do throws(CommandFailure) { try output(bytes) } catch { refusal = error }
    }
  }

  /// Contents of files, piece by piece.
  /// - Throws: as `checkResults` does.
  package func writeContents(_ bytes: UnsafeRawBufferPointer) throws(CommandFailure) {
    writeBytes(Array(bytes))
    try checkResults()
  }

  /// Ends a command early whose results nobody gets; for those that go on for long.
  /// - Throws: `CommandFailure` when results could not be written.
  package func checkResults() throws(CommandFailure) {
    if let refusal = resultsRefusal { throw refusal }
  }

  var resultsRefusal: CommandFailure? { refusal.withLock { $0 } }

  /// A value as one line of JSON on standard output.
  /// - Throws: as `checkResults` does.
  package func printJSON(_ value: some Encodable) throws {
    writeBytes(try JSONCoding.encode(value) + [UInt8(ascii: "\n")])
    try checkResults()
  }

  /// JSON when it was asked for, else text; `text` ends without a line feed.
  package func result(_ value: @autoclosure () -> some Encodable, text: () -> String) throws {
    if isJSON { try printJSON(value()) } else { print(text()) }
  }

  /// As `result`, for a sentence that tells people no more than that it is done: nothing when quiet.
  package func confirm(_ value: @autoclosure () -> some Encodable, text: () -> String) throws {
    if isJSON { try printJSON(value()) } else if !isQuiet { print(text()) }
  }

  /// A remark for people on standard error; nothing when quiet.
  package func note(_ text: String) {
    if !isQuiet { complain(text) }
  }

  /// An error or a warning on standard error, in lines. What could steer the terminal is replaced.
  package func complain(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    writeError(lines.map { TextWidth.sanitised(String($0)) + "\n" }.joined())
  }

  func writeError(_ text: String) { refusal.withLock { _ in error(Array(text.utf8)) } }
}
