import CommandLineKit
import SyncAgent
import Synchronization

/// Tells people, or programs with `--json`, what each round of an agent did and what they should know.
final class RoundTeller: Sendable {
  /// One line of JSON for a round that did something.
  private struct RoundLine: Encodable {
    var done: [String]
    var planned: [String]
    var conflicts: [String]
    var issues: [String]
  }

  private let console: Console
  private let tellsAllIssues: Bool
  /// Those of the last round: each is told when it comes, and not in every round that it is there.
  private let told = Mutex<Set<SyncIssue>>([])

  /// How much of the last round could not be carried out.
  var failures: Int { told.withLock { $0.count { $0.kind == .failed } } }

  /// - Parameter tellsAllIssues: for a run that ends, after which nobody looks at the status any more.
  init(_ console: Console, tellsAllIssues: Bool) {
    self.console = console
    self.tellsAllIssues = tellsAllIssues
  }

  func tell(_ round: SyncRound) {
    let hasNews = !round.done.isEmpty || !round.plannedLines.isEmpty || !round.conflicts.isEmpty
    if console.isJSON {
      if hasNews { printLine(round) }
    } else {
      for line in round.plannedLines { console.print(console.style.shown(line)) }
      for line in SyncText.summary(round.done) { console.note(line) }
      for path in round.conflicts { console.note("Both sides changed it; yours is \(path).") }
    }
    tellIssues(round)
  }

  private func printLine(_ round: SyncRound) {
    let line = RoundLine(
      done: SyncText.summary(round.done), planned: round.plannedLines, conflicts: round.conflicts, issues: round.issues.map(\.message))
    // Whether it could be written the console knows, and says so at the end.
    try? console.printJSON(line)
  }

  private func tellIssues(_ round: SyncRound) {
    let issues = Set(round.issues)
    let former = told.withLock { told in
      defer { told = issues }
      return told
    }
    // A program that follows an agent has them in its lines.
    guard tellsAllIssues || !console.isJSON else { return }
    var told = former
    for issue in round.issues where told.insert(issue).inserted {
      if issue.kind == .failed {
        console.complain(issue.message)
      } else if tellsAllIssues || issue.kind == .encrypted {
        console.note(issue.message)
      }
    }
  }
}
