/// Why a step of the agent did not happen, and what to do about it.
package struct SyncError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// Something else is there than the plan presumed: look again and plan anew.
    case stale
    /// The cluster cannot be reached or is busy: the same again later.
    case unavailable
    /// This one thing cannot be done now, because of permissions, space, a name or the like; others can.
    case refused
    /// Nothing goes on before somebody has looked.
    case stopped
    /// The pair cannot be synced as it was named: what is there is no folder.
    case unfit
  }

  package var code: Code
  /// A sentence with what to do.
  package var message: String
  package var description: String { message }

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
}
