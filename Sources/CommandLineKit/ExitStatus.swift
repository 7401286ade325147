/// What a program's end says to whoever started it; the same for all of our programs.
package enum ExitStatus: Int32, Sendable {
  case done = 0
  case failed = 1
  /// The command line was wrong; nothing was tried.
  case usage = 2
  /// Somebody else changed it first.
  case conflict = 3
  case notFound = 4
  case notAllowed = 5
  /// Over the quota, or no space on the disk.
  case noSpace = 6
  /// Not reachable or too busy; the same command may work later.
  case unavailable = 7
}

/// Ends a command with a status and a sentence on standard error that says what happened and what to do.
package struct CommandFailure: Error, Sendable, Equatable, CustomStringConvertible {
  package var status: ExitStatus
  /// Printed after the program's name; nothing is printed when it is empty.
  package var message: String

  package init(_ status: ExitStatus, _ message: String) {
    self.status = status
    self.message = message
  }

  package var description: String { message }
}

/// A command line that does not say what to do.
package struct UsageError: Error, Sendable, Equatable, CustomStringConvertible {
  package var message: String
  /// The command that was being read, such as `cairn put`.
  package var command: String
  package var description: String { message }
}
