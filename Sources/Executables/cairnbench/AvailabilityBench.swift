import BlockModel
import CairnClient
import CommandLineKit
import Platform

/// `cairnbench availability`: what users are refused and how long they wait while something is wrong with the cluster.
///
/// It writes one line for each operation, so that whoever breaks the cluster meanwhile can tell before from after.
enum AvailabilityBench {
  static let command = Command(
    "availability", summary: "put and get files until a file is there, and print each operation",
    discussion: """
      Each line is the operation (put or get), when it began (milliseconds since 1970), how long it took in milliseconds, and 1 when it \
      succeeded within --patience, else 0.
      """,
    options: [
      CommandOption("folder", value: "DIR", help: "for the files that are put", isRequired: true),
      CommandOption("until", value: "FILE", help: "ends when this is there", isRequired: true),
      CommandOption("patience", value: "SECONDS", help: "what takes longer has failed", kind: .integer(1...600), default: "10"),
    ]
  ) { invocation in
    let patience = invocation.int("patience") ?? 10
    let run = AvailabilityRun(
      client: try CairnClient(
        Configuration(
          gateway: try BenchEnvironment.required("CAIRN_GATEWAY"), token: try BenchEnvironment.required("CAIRN_TOKEN"),
          caFile: BenchEnvironment.optional("CAIRN_CA_FILE"), patience: .seconds(patience))), patience: .seconds(patience),
      folder: invocation.option("folder") ?? "", until: invocation.option("until") ?? "",
      sizeBytes: Int(invocation.size("size") ?? 1 << 20))
    for line in try await run.run(workers: invocation.int("concurrency") ?? 4) { invocation.console.print(line) }
  }
}

private struct AvailabilityRun: Sendable {
  let client: CairnClient
  let patience: Duration
  let folder: String
  let until: String
  let sizeBytes: Int

  /// Files that each worker reads again and again: one block more than anything is remembered of would be no help to them.
  private static let kept = 16

  func run(workers: Int) async throws -> [String] {
    try Directory.create(folder)
    _ = try await client.makeFolder("/availability", parents: true)
    return try await withThrowingTaskGroup(of: [String].self) { group in
      for worker in 0..<workers { group.addTask { try await work(worker) } }
      var lines: [String] = []
      for try await more in group { lines += more }
      return lines
    }
  }

  private func work(_ worker: Int) async throws -> [String] {
    let file = folder + "/\(worker)"
    var random = SeededRandom(seed: UInt64(worker) ^ UInt64(SystemTime().wall().microseconds))
    var lines: [String] = []
    var stored: [String] = []
    var turn = 0
    while try AtomicFile.read(until, limit: 16) == nil {
      let words = (0..<(sizeBytes / 8)).map { _ in random.next() }
      try AtomicFile.write(file, words.withUnsafeBytes { Array($0) })
      let target = "/availability/\(worker)-\(turn % Self.kept)"
      let (line, isDone) = await time("put") { _ = try await client.upload(file, to: target) }
      lines.append(line)
      if isDone, !stored.contains(target) { stored.append(target) }
      // Three reads for each write, each of another file.
      for _ in 0..<3 {
        guard let path = stored.randomElement(using: &random) else { break }
        lines.append(await time("get") { _ = try await client.read(path, consume: { _ in }) }.line)
      }
      turn += 1
    }
    return lines
  }

  private func time(_ kind: String, _ body: () async throws -> Void) async -> (line: String, isDone: Bool) {
    let (clock, began) = (ContinuousClock(), SystemTime().wall().microseconds / 1000)
    let start = clock.now
    var isDone = true
    do { try await body() } catch { isDone = false }
    let took = clock.now - start
    isDone = isDone && took <= patience
    return ("\(kind) \(began) \(rounded(took.inSeconds * 1000, 2)) \(isDone ? 1 : 0)", isDone)
  }
}
