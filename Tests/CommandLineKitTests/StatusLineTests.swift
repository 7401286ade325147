import CommandLineKit
import Synchronization
import Testing

@Suite("The status line")
struct StatusLineTests {
  private final class Written: Sendable {
    let text = Mutex("")
    func console(isTerminal: Bool, isQuiet: Bool = false) -> Console {
      Console(
        isQuiet: isQuiet, isErrorTerminal: isTerminal, width: 20, output: { _ in },
        error: { bytes in self.text.withLock { $0 += String(decoding: bytes, as: UTF8.self) } })
    }
  }

  @Test("a line replaces the one before, is cut to the terminal, and goes away")
  func replaces() {
    let written = Written()
    let line = StatusLine(written.console(isTerminal: true))
    line.show("one")
    line.show("one")
    line.show("a line that is longer than the terminal")
    line.clear()
    line.clear()
    let pieces = written.text.withLock { $0 }.split(separator: "\r\u{1B}[K", omittingEmptySubsequences: false)
    #expect(pieces.count == 4)
    #expect(pieces[1] == "one")
    #expect(pieces[2].count <= 19)
    #expect(pieces[3].isEmpty)
  }

  @Test("nothing is written in a pipe or when quiet", arguments: [(false, false), (true, true)])
  func silent(_ isTerminal: Bool, _ isQuiet: Bool) {
    let written = Written()
    let line = StatusLine(written.console(isTerminal: isTerminal, isQuiet: isQuiet))
    line.show("one")
    line.clear()
    #expect(written.text.withLock { $0 }.isEmpty)
  }
}
