/// Why the journal did not do what it was asked.
package struct JournalError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// A higher term is known here.
    case fenced
    /// The disk, or what the journal may take of it, is full.
    case full
    /// Reading, writing or syncing failed; after a failed sync the store takes nothing until it is opened anew.
    case io
    /// What was read or received is not what it should be.
    case malformed
    /// Sealed under a key that is not held here, or changed since.
    case unreadable
    /// There is no such file, or no such place in it.
    case notFound
  }

  package var code: Code
  package var message: String
  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  package var description: String { message }
}
