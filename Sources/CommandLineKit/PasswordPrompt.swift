internal import Glibc
package import Platform

/// Passwords from a terminal or from standard input; never from the command line, which every user of the machine can read.
package enum PasswordPrompt {
  /// Bytes; a longer line is refused.
  private static let limit = 1024

  /// Asks on the terminal without showing what is typed.
  ///
  /// - Parameters:
  ///   - confirming: asks a second time and compares, for new passwords.
  ///   - alternative: the flag by which it can be given without a terminal.
  /// - Throws: `CommandFailure` when there is no terminal, the two differ, or the question was broken off.
  package static func ask(
    _ question: String = "Password: ", confirming: Bool = false, alternative: String = "--password-stdin"
  ) async throws -> SecretBytes {
    try await offPool {
      let first = try readHidden(question, alternative)
      guard confirming else { return first }
      let second = try readHidden("Again: ", alternative)
      guard constantTimeEqual(first.exposed, second.exposed) else {
        throw CommandFailure(.usage, "The two passwords differ; nothing was changed.")
      }
      return first
    }
  }

  /// The next line of standard input, for `--password-stdin` and the like.
  package static func readStandardInput(asking what: String = "password") async throws -> SecretBytes {
    try await offPool {
      let line = try readLine(from: 0)
      guard !line.isEmpty else { throw CommandFailure(.usage, "There is no \(what) on standard input.") }
      return SecretBytes(line)
    }
  }

  /// A person may think for minutes; Swift's own threads are not for that.
  private static func offPool(_ body: @escaping @Sendable () throws -> SecretBytes) async throws -> SecretBytes {
    try await withCheckedThrowingContinuation { continuation in
      _ = WorkerThread.start(name: "password") { continuation.resume(with: Result { try body() }) }
    }
  }

  private static func readHidden(_ question: String, _ alternative: String) throws -> SecretBytes {
    let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
    guard terminal >= 0 else {
      throw CommandFailure(.usage, "There is no terminal to ask on; give it by \(alternative).")
    }
    defer { close(terminal) }
    _ = question.withCString { write(terminal, $0, strlen($0)) }
    defer { _ = write(terminal, "\n", 1) }
    guard let line = try Terminal.withHiddenInput(terminal, { try readLine(from: terminal) }) else {
      throw CommandFailure(.failed, "The terminal cannot hide the password.")
    }
    guard !line.contains(Terminal.interruptCharacter) else { throw CommandFailure(.failed, "Broken off; nothing was changed.") }
    return SecretBytes(line)
  }

  /// Up to the line feed, without it; byte by byte, so that nothing after it is taken.
  private static func readLine(from descriptor: Int32) throws -> [UInt8] {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while true {
      let count = read(descriptor, &byte, 1)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw CommandFailure(.failed, "The password could not be read.") }
      if count == 0 || byte == UInt8(ascii: "\n") { break }
      guard line.count < limit else { throw CommandFailure(.usage, "A password has at most \(limit) bytes.") }
      line.append(byte)
      if byte == Terminal.interruptCharacter { break }
    }
    if line.last == UInt8(ascii: "\r") { line.removeLast() }
    return line
  }
}
