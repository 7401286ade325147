import Chaos
import CommandLineKit
import Platform

/// What `chaos/linearize` calls.
enum LinearizeCommand {
  static let command = Command(
    "linearize", summary: "check that metadata operations are linearizable while coordinators and databases die",
    discussion: """
      Clients change and read the same files of a private cluster, everything that they send and are told is recorded, and an independent \
      checker looks for an order that explains every answer, and holds the change feed against it. Exit status 0 only when there is one.
      """,
    options: [
      CommandOption("metadata", value: "ENGINE", help: "sqlite, or postgres with a standby and two coordinators", default: "sqlite"),
      CommandOption("seed", value: "N", help: "repeats a run's choices; a new one without it", kind: .integer(0...Int.max)),
      CommandOption("minutes", value: "M", help: "of calls and faults", default: "1"),
      CommandOption("check", value: "FILE", help: "checks a history that a run left, and runs nothing"),
    ],
    examples: ["chaos/linearize --metadata postgres --minutes 30"]
  ) { invocation in
    let console = invocation.console
    if let file = invocation.option("check") {
      guard let history = try History.read(file) else { throw CommandFailure(.notFound, "There is no file \(file).") }
      try report(history.check(), "", console)
      return
    }
    let engine = invocation.option("metadata") ?? "sqlite"
    guard engine == "sqlite" || engine == "postgres" else { throw CommandFailure(.usage, "--metadata is sqlite or postgres.") }
    guard let minutes = invocation.option("minutes").flatMap({ Double($0) }), minutes > 0, minutes <= 600 else {
      throw CommandFailure(.usage, "--minutes is a number above 0 and at most 600.")
    }
    let seed = invocation.int("seed").map { UInt64($0) } ?? UInt64.random(in: 0...UInt64(UInt32.max))
    let folder = try Directory.makeUnique(in: "/tmp", prefix: "cairn-linearize")
    let run = LinearizabilityRun(
      LinearizabilityRun.Settings(
        root: invocation.option("root") ?? ".", folder: folder, seed: seed, duration: .seconds(minutes * 60),
        usesPostgreSQL: engine == "postgres"
      ) { line in if !console.isQuiet { console.print("  " + line) } })
    console.print("\(engine), seed \(seed)")
    let outcome = try await run.run()
    let strikes = outcome.strikes.map { "\($0.count) \($0.kind)" }.joined(separator: ", ")
    if !outcome.faults.isEmpty { console.print("  the history is \(outcome.historyPath)") }
    let gap = (outcome.longestWithoutCommit * 10).rounded() / 10
    try report(outcome.findings, "seed \(seed); faults: \(strikes); longest without a commit \(gap) s; ", console)
  }

  private static func report(_ findings: History.Findings, _ start: String, _ console: Console) throws {
    for fault in findings.faults { console.print("  WRONG: \(fault)") }
    console.print(
      "\(start)\(findings.calls) calls in \(findings.groups) folders, \(findings.unknown) of unknown outcome; "
        + "\(findings.faults.count) faults"
    )
    if !findings.faults.isEmpty { throw CommandFailure(.failed, "The history has no order that explains it, or the feed is wrong.") }
  }
}
