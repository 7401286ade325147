import BlockModel
import BlockStore
import CommandLineKit
import Platform

/// The block store by itself, and what it is held against. Each prints bare numbers for `scripts/bench` to divide.
enum StoreCommands {
  private static let folder = CommandOption("folder", value: "DIR", help: "a folder on the disk that is measured", isRequired: true)

  static let store = Command(
    "store", summary: "append blocks to a store; prints MB/s, blocks/s, and seconds of processor time",
    options: [folder, CommandOption("durability", value: "MODE", help: "strict or relaxed", default: "strict")],
    flags: [CommandFlag("plain", help: "without encryption")]
  ) { invocation in
    let bench = try StoreBench(
      folder: invocation.option("folder") ?? "", isEncrypted: !invocation.flag("plain"),
      durability: invocation.option("durability") == "relaxed" ? .relaxed : .strict)
    let setup = LoadShape(invocation)
    try report(await bench.append(count: setup.count, sizeBytes: setup.sizeBytes, writers: setup.concurrency), invocation)
    await bench.close()
  }

  static let files = Command(
    "files", summary: "write one file for each block, synced, renamed and its folder synced; prints as `store` does", options: [folder]
  ) { invocation in
    let bench = FilePerBlock(folder: invocation.option("folder") ?? "")
    let setup = LoadShape(invocation)
    try report(await bench.write(count: setup.count, sizeBytes: setup.sizeBytes, writers: setup.concurrency), invocation)
  }

  static let limits = Command("limits", summary: "print MB/s of one core: SHA-256, and copying memory") { invocation in
    invocation.console.print("\(rounded(ProcessorLimits.hashing(), 0)) \(rounded(ProcessorLimits.copying(), 0))")
  }

  private static func report(_ measured: (round: RoundResult, processorSeconds: Double), _ invocation: Invocation) throws {
    if let failure = measured.round.failures.first { throw BenchFailed(reason: failure) }
    invocation.console.print(
      [measured.round.megabytesPerSecond, measured.round.operationsPerSecond, measured.processorSeconds].map { rounded($0, 2) }.joined(
        separator: " "))
  }
}

/// The size and number of the objects of a round.
struct LoadShape {
  let count: Int
  let sizeBytes: Int
  let concurrency: Int

  init(_ invocation: Invocation) {
    count = invocation.int("count") ?? 100
    sizeBytes = Int(invocation.size("size") ?? Int64(Limits.blockBytes))
    concurrency = invocation.int("concurrency") ?? 4
  }
}
