internal import CLinux
internal import Glibc

/// The person's terminal.
package enum Terminal {
  /// The character that Ctrl-C gives while input is hidden.
  package static let interruptCharacter: UInt8 = 3

  /// Whether a descriptor, such as 1 for standard output, is open on a terminal.
  package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Columns of the terminal behind a descriptor; nil when it is none or does not say.
  package static func columns(of descriptor: Int32) -> Int? {
    let columns = Int(cairn_terminal_columns(descriptor))
    return columns > 0 ? columns : nil
  }

  /// Runs `body` while what is typed on an open terminal is not shown; Ctrl-C is a character then, so the terminal never stays without
  /// its echo. Nil when the descriptor is no terminal.
  package static func withHiddenInput<R, E: Error>(_ descriptor: Int32, _ body: () throws(E) -> R) throws(E) -> R? {
    guard let saved = cairn_terminal_hide(descriptor) else { return nil }
    defer { cairn_terminal_restore(descriptor, saved) }
    return try body()
  }
}
