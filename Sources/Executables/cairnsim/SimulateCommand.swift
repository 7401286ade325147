import BlockModel
import CommandLineKit
import Platform
import Simulator

/// Plays simulated clusters; `chaos/simulate` calls it.
enum SimulateCommand {
  static let tool = CommandLineTool(
    root: Command(
      "cairnsim", summary: "play simulated clusters, one for each seed, and check the invariants",
      discussion: "The last line says seeds, simulated hours, faults by kind and failures. Ends with 1 when an invariant broke.",
      options: [
        CommandOption("seeds", value: "A..B", help: "the first seed and the last one; a single number plays that one", default: "1..1000"),
        CommandOption(
          "ticks", value: "N", help: "seconds with faults in each run, in place of what the seed says", kind: .integer(10...86_400)),
        CommandOption("threads", value: "N", help: "runs at once", kind: .integer(1...256)),
        CommandOption(
          "bug", value: "NAME", help: "a deliberate bug, to see it found: \(ClusterBug.allCases.map(\.rawValue).joined(separator: ", "))"),
        CommandOption("failures", value: "N", help: "go on until so many seeds have failed", kind: .integer(1...1_000_000), default: "1"),
        CommandOption("commit", value: "HASH", help: "what was built, for the report", default: "unknown"),
      ],
      flags: [
        CommandFlag("no-shrink", help: "report failures as they are"),
        CommandFlag("trace", help: "play the first seed only and say what happens in it"),
      ],
      examples: ["cairnsim --seeds 1..100000", "cairnsim --seeds 4711"],
      run: run),
    version: CairnVersion.text)

  @Sendable private static func run(_ invocation: Invocation) async throws {
    guard let seeds = range(invocation.option("seeds") ?? "") else {
      throw CommandFailure(.usage, "--seeds takes a number or two with .. between: 1..1000.")
    }
    let bug = invocation.option("bug").flatMap { ClusterBug(rawValue: $0) }
    if let name = invocation.option("bug"), bug == nil { throw CommandFailure(.usage, "There is no deliberate bug named \(name).") }
    let ticks = invocation.option("ticks").flatMap { Int($0) }
    let threads = invocation.option("threads").flatMap { Int($0) } ?? Machine.processorCount
    let console = invocation.console
    let change: @Sendable (inout ClusterScenario) -> Void = { scenario in
      if let mood = bug?.mood { scenario = ClusterScenario(seed: scenario.seed, mood: mood) }
      if let ticks { scenario.settings.faultSeconds = ticks }
    }
    if invocation.flag("trace") { return try await trace(seeds.lowerBound, bug, change, console) }
    let outcome = try await ClusterPlayer.play(
      seeds, bug: bug, threads: threads, enough: invocation.option("failures").flatMap { Int($0) } ?? 1, change: change
    ) { done, outcome in
      if done % 4096 < UInt64(32 * threads) { console.note("\(done) seeds, \(outcome.failures.count) failures") }
    }
    for failure in outcome.failures { console.print("seed \(failure.seed) breaks \(failure.violation)") }
    if let first = outcome.failures.first, !invocation.flag("no-shrink") { try await report(first, bug, change, console) }
    console.print(outcome.totals.description)
    let hours = Double(outcome.totals.elapsed.components.seconds) / 3600
    let faults = outcome.totals.faults.map { "\($0.kind) \($0.count)" }.joined(separator: ", ")
    console.print(
      "seeds \(seeds.lowerBound)..\(seeds.upperBound - 1), commit \(invocation.option("commit") ?? ""): \(outcome.totals.runs) runs, "
        + "\(tenths(hours)) simulated hours, faults: \(faults); failures: \(outcome.failures.count)")
    if !outcome.failures.isEmpty { throw CommandFailure(.failed, "An invariant broke.") }
  }

  private static func trace(
    _ seed: UInt64, _ bug: ClusterBug?, _ change: @escaping @Sendable (inout ClusterScenario) -> Void, _ console: Console
  ) async throws {
    try await BlockingPool(name: "tracing", threads: 1).run {
      var scenario = ClusterScenario(seed: seed)
      change(&scenario)
      console.print(scenario.description)
      let simulation = ClusterSimulation(scenario, bug: bug)
      simulation.trace = { console.print($0) }
      console.print(simulation.run().map { "breaks \($0)" } ?? "nothing broke")
    }
  }

  private static func report(
    _ failure: ClusterPlayer.Failure, _ bug: ClusterBug?, _ change: (inout ClusterScenario) -> Void, _ console: Console
  ) async throws {
    var scenario = ClusterScenario(seed: failure.seed)
    change(&scenario)
    let whole = scenario
    let (short, violation) = try await BlockingPool(name: "shrinking", threads: 1).run { ClusterPlayer.shrink(whole, bug: bug) }
    console.print("Shortest scenario found, which breaks \(violation.map(String.init(describing:)) ?? "nothing any more"):\n\(short)")
  }

  private static func tenths(_ number: Double) -> String {
    let whole = Int((number * 10).rounded())
    return "\(whole / 10).\(whole % 10)"
  }

  private static func range(_ text: String) -> Range<UInt64>? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: true).map { UInt64($0) }
    if parts.count == 1, let only = parts[0], only < .max { return only..<(only + 1) }
    guard parts.count == 2, let first = parts[0], let last = parts[1], first <= last, last < .max else { return nil }
    return first..<(last + 1)
  }
}
