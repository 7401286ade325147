import BlockModel
import Chaos
import CommandLineKit
import Platform

/// What `chaos/run` and `chaos/list` call.
enum ChaosCommands {
  static let tool = CommandLineTool(
    root: Command(
      "cairnchaos", summary: "break real clusters, heal them, and see that nothing acknowledged was lost",
      options: [CommandOption("root", value: "FOLDER", help: "the repository", isRequired: true)], flags: [.quiet],
      subcommands: [run, list, LinearizeCommand.command]),
    version: CairnVersion.text)

  private static let run = Command(
    "run", summary: "tell scenarios to private clusters of real processes",
    discussion: """
      Clients put, read and remove files and write down what they were told, while faults happen by seed. Then everything is healed, \
      waited for in bounded time, audited, and read again. Exit status 0 only when every acknowledged write is there, byte for byte, \
      and every invariant holds.
      """,
    options: [
      CommandOption("scenario", value: "NAME", help: "one of chaos/list, or “all”", default: "all"),
      CommandOption("some", value: "N", help: "of all, only so many, which the seed chooses", kind: .integer(1...1000)),
      CommandOption("seed", value: "N", help: "repeats a run's choices; a new one without it", kind: .integer(0...Int.max)),
      CommandOption("minutes", value: "M", help: "of faults, shared by the scenarios", default: "5"),
      CommandOption("workload", value: "N", help: "clients at work, in place of the scenario's", kind: .integer(1...64)),
      CommandOption("report", value: "FOLDER", help: "where the report pages go", default: ".chaos"),
    ],
    examples: ["chaos/run --scenario node-dies --seed 7 --minutes 2"]
  ) { invocation in
    let root = invocation.option("root") ?? "."
    let wanted = invocation.option("scenario") ?? "all"
    let all = try scenarios(root)
    let seed = invocation.int("seed").map { UInt64($0) } ?? UInt64.random(in: 0...UInt64(UInt32.max))
    var chosen = wanted == "all" ? all : all.filter { $0.name == wanted }
    if let some = invocation.int("some") {
      var random = SeededRandom(seed: seed)
      chosen = Array(chosen.shuffled(using: &random).prefix(some))
    }
    let barred = Machine.isRoot ? [] : chosen.filter { $0.diskBytes != nil }
    if !barred.isEmpty {
      invocation.console.print("left out, since they mount file systems and need root: \(barred.map(\.name).joined(separator: ", "))")
      chosen.removeAll { $0.diskBytes != nil }
    }
    guard !chosen.isEmpty else { throw CommandFailure(.notFound, "There is no scenario “\(wanted)”; see chaos/list.") }
    guard let minutes = invocation.option("minutes").flatMap({ Double($0) }), minutes > 0, minutes <= 600 else {
      throw CommandFailure(.usage, "--minutes is a number above 0 and at most 600.")
    }
    let console = invocation.console
    let reports = invocation.option("report") ?? ".chaos"
    try Directory.create(reports)
    var (acknowledged, lost, counts, failed) = (0, 0, [String: Int](), [String]())
    for scenario in chosen {
      let folder = try Directory.makeUnique(in: "/tmp", prefix: "cairn-chaos")
      let settings = ChaosRun.Settings(
        root: root, folder: folder, seed: seed, duration: .seconds(minutes * 60 / Double(chosen.count)), clients: invocation.int("workload")
      ) { line in if !console.isQuiet { console.print("  " + line) } }
      console.print("\(scenario.name), seed \(seed): \(scenario.title)")
      let outcome = try await ChaosRun(scenario, settings).run()
      let page = "\(reports)/\(scenario.name)-\(seed).html"
      try AtomicFile.write(page, Array(ChaosReport.page(outcome).utf8), mode: 0o644)
      acknowledged += outcome.acknowledged
      lost += outcome.lost.count
      for (kind, count) in outcome.timeline.faultCounts { counts[kind, default: 0] += count }
      for fault in outcome.lost + outcome.faults { console.print("  WRONG: \(fault)") }
      if !outcome.succeeded {
        failed.append(scenario.name)
        console.print("  what the clients wrote down and the daemons logged is in \(folder)")
      }
      console.print(
        "  longest without a write \(rounded(outcome.timeline.longestGap(.write))) s, without a read "
          + "\(rounded(outcome.timeline.longestGap(.read))) s; report \(page)")
      let memory = outcome.timeline.usage.keys.sorted().compactMap { name in
        outcome.timeline.thirds(of: name).map { "\(name) \($0.second.bytes >> 20), \($0.last.bytes >> 20)" }
      }
      if !memory.isEmpty { console.print("  MiB in the second and last third of a process's time: \(memory.joined(separator: "; "))") }
    }
    let faults = counts.keys.sorted().map { "\(counts[$0] ?? 0) \($0)" }.joined(separator: ", ")
    console.print("seed \(seed); faults: \(faults); acknowledged \(acknowledged), lost \(lost)")
    if !failed.isEmpty { throw CommandFailure(.failed, "These scenarios ended badly: \(failed.joined(separator: ", ")).") }
  }

  private static let list = Command("list", summary: "name the scenarios") { invocation in
    for scenario in try scenarios(invocation.option("root") ?? ".") { invocation.console.print("\(scenario.name)\t\(scenario.title)") }
  }

  private static func scenarios(_ root: String) throws -> [Scenario] {
    let folder = root + "/chaos/scenarios"
    return try Directory.list(folder).filter { $0.hasSuffix(".scenario") }.sorted().map { file in
      let text = String(decoding: try AtomicFile.read(folder + "/" + file, limit: 1 << 16) ?? [], as: UTF8.self)
      do { return try Scenario(name: String(file.dropLast(9)), text: text) } catch {
        throw CommandFailure(.failed, "chaos/scenarios/\(file): \(error)")
      }
    }
  }

  private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}
