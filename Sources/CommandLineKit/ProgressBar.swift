internal import Synchronization

/// A line on the terminal that shows how a transfer goes: bytes, share, rate and time left.
///
/// Redrawn at most ten times a second, whatever calls it; silent when standard error is no terminal, with `--quiet` and with `--json`.
package final class ProgressBar: Sendable {
  private struct State {
    var line: ProgressLine
    var lastDrawn: Duration?
    var isFinished = false
  }

  private static let interval = Duration.milliseconds(100)

  private let console: Console
  private let isShown: Bool
  private let elapsed: @Sendable () -> Duration
  private let state: Mutex<State>

  /// - Parameters:
  ///   - label: such as the file's name.
  ///   - total: bytes; nil while it is not known.
  ///   - elapsed: time since any fixed moment, growing.
  package init(_ console: Console, label: String, total: Int64? = nil, elapsed: (@Sendable () -> Duration)? = nil) {
    self.console = console
    isShown = console.isErrorTerminal && !console.isQuiet && !console.isJSON
    let start = ContinuousClock.now
    self.elapsed = elapsed ?? { ContinuousClock.now - start }
    state = Mutex(State(line: ProgressLine(label: label, total: total)))
    if isShown { tick() }
  }

  /// Bytes so far.
  package var done: Int64 { state.withLock { $0.line.done } }

  /// Counts bytes that were moved; a negative number takes some back, such as after a retry.
  package func advance(by bytes: Int) { change { $0.advance(by: Int64(bytes)) } }

  package func setTotal(_ total: Int64?) { change { $0.total = total } }

  package func setLabel(_ label: String) { change { $0.label = label } }

  /// Draws again when the last time was long enough ago; worth calling now and then while nothing moves.
  package func tick() { change { _ in } }

  /// Draws the last state and leaves it standing, or takes the line away.
  package func finish(keepLine: Bool = true) {
    guard isShown else { return }
    let text = state.withLock { state -> String? in
      guard !state.isFinished else { return nil }
      state.isFinished = true
      state.line.sample(at: elapsed())
      return keepLine ? "\r" + state.line.render(width: console.width) + "\u{1B}[K\n" : "\r\u{1B}[K"
    }
    if let text { console.writeError(text) }
  }

  /// Prints a line above the bar.
  package func note(_ line: String) {
    guard isShown else { return console.note(line) }
    console.writeError("\r\u{1B}[K" + line + "\n")
    state.withLock { $0.lastDrawn = nil }
    tick()
  }

  private func change(_ body: (inout ProgressLine) -> Void) {
    let text = state.withLock { state -> String? in
      body(&state.line)
      guard isShown, !state.isFinished else { return nil }
      let now = elapsed()
      if let last = state.lastDrawn, now - last < ProgressBar.interval { return nil }
      state.lastDrawn = now
      state.line.sample(at: now)
      return "\r" + state.line.render(width: console.width) + "\u{1B}[K"
    }
    if let text { console.writeError(text) }
  }
}
