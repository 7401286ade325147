import CairnClient
import CommandLineKit

/// Verbs that take several arguments, as their Unix namesakes do: what fails keeps none of the others back.
extension Invocation {
  /// Does the same with one thing after another. With several, each failure is told on standard error and the others are done.
  ///
  /// - Throws: what all others would meet as well: a cluster that cannot be reached, nobody logged in, results that nobody gets. With one
  ///   thing alone, whatever it met.
  /// - Returns: with several, what the command ends with when some failed: the status of the first failure, which was told already.
  func attempt(_ items: [String], _ body: (String) async throws -> Void) async throws -> CommandFailure? {
    guard items.count > 1 else {
      for item in items { try await body(item) }
      return nil
    }
    var first: CommandFailure?
    for item in items {
      do { try await body(item) } catch {
        try console.checkResults()
        guard let failure = CairnCommands.failure(of: error), !Self.concernsAll(error) else { throw error }
        console.complain("cairn: \(CairnCommands.sentence(failure.message, naming: item))")
        first = first ?? CommandFailure(failure.status, "")
      }
    }
    return first
  }

  /// As `attempt`, for commands that have nothing to do afterwards.
  /// - Throws: also what `attempt` returns.
  func each(_ items: [String], _ body: (String) async throws -> Void) async throws {
    if let failure = try await attempt(items, body) { throw failure }
  }

  private static func concernsAll(_ error: any Error) -> Bool {
    guard let error = error as? CairnError else { return false }
    return [.unavailable, .notLoggedIn, .cancelled].contains(error.kind)
  }
}
