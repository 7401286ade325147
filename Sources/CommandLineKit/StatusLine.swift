internal import Synchronization

/// One line on standard error that is written over as things go on, for waits that are not counted in bytes. Nothing in a pipe.
package final class StatusLine: Sendable {
  private let console: Console
  private let isShown: Bool
  private let current = Mutex("")

  package init(_ console: Console) {
    self.console = console
    isShown = console.isErrorTerminal && !console.isQuiet
  }

  /// Shows the text in place of what was there.
  package func show(_ text: String) {
    guard isShown else { return }
    let line = TextWidth.cut(TextWidth.sanitised(text), to: max(1, console.width - 1))
    let isNew = current.withLock { current in
      defer { current = line }
      return current != line
    }
    if isNew { console.writeError("\r\u{1B}[K" + line) }
  }

  /// Takes the line away, so that results stand alone.
  package func clear() {
    let wasThere = current.withLock { current in
      defer { current = "" }
      return !current.isEmpty
    }
    if wasThere { console.writeError("\r\u{1B}[K") }
  }
}
