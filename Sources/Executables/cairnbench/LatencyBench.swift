import BlockModel
import CairnClient
import CommandLineKit
import Platform
import Synchronization

/// `cairnbench latency`: what users wait for whole files of one block while something else goes on in the cluster.
enum LatencyBench {
  static let command = Command(
    "latency", summary: "put and get files of one block in turn, and print how long that takes",
    discussion: "Prints p50 and p99 of PUT, then of GET, in milliseconds, and how many of each there were.",
    options: [
      CommandOption("seconds", value: "N", help: "how long", kind: .integer(1...3600), default: "20"),
      CommandOption("folder", value: "DIR", help: "for the files that are put", isRequired: true),
      CommandOption("remote", value: "PATH", help: "a remote folder for them", default: "/latency"),
    ]
  ) { invocation in
    let size = Int(invocation.size("size") ?? Int64(Limits.blockBytes))
    let bench = LatencyRun(
      client: try BenchEnvironment.client(), folder: invocation.option("folder") ?? "", remote: invocation.option("remote") ?? "",
      sizeBytes: size)
    let (puts, gets) = try await bench.run(seconds: invocation.int("seconds") ?? 20, workers: invocation.int("concurrency") ?? 4)
    func figures(_ times: [Duration]) -> String {
      let sorted = times.sorted()
      func percentile(_ share: Double) -> String {
        sorted.isEmpty ? "0" : rounded(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))].inSeconds * 1000, 2)
      }
      return "\(percentile(0.5)) \(percentile(0.99)) \(sorted.count)"
    }
    invocation.console.print("\(figures(puts)) \(figures(gets))")
  }
}

private struct LatencyRun: Sendable {
  let client: CairnClient
  let folder: String
  let remote: String
  let sizeBytes: Int

  func run(seconds: Int, workers: Int) async throws -> (puts: [Duration], gets: [Duration]) {
    try Directory.create(folder)
    _ = try await client.makeFolder(remote, parents: true)
    let end = ContinuousClock.now + .seconds(seconds)
    return try await withThrowingTaskGroup(of: (puts: [Duration], gets: [Duration]).self) { group in
      for worker in 0..<workers { group.addTask { try await work(worker, until: end) } }
      var all: (puts: [Duration], gets: [Duration]) = ([], [])
      for try await times in group { all = (all.puts + times.puts, all.gets + times.gets) }
      return all
    }
  }

  /// Gets what it put a few turns before, so that what is read has had time to be settled and is not only in one node's cache.
  private func work(_ worker: Int, until end: ContinuousClock.Instant) async throws -> (puts: [Duration], gets: [Duration]) {
    let clock = ContinuousClock()
    let file = folder + "/\(worker)"
    var times: (puts: [Duration], gets: [Duration]) = ([], [])
    var turn = 0
    while clock.now < end {
      var bytes = [UInt8](repeating: 0, count: sizeBytes)
      var random = SystemRandomNumberGenerator()
      bytes.withUnsafeMutableBytes { raw in
        for offset in stride(from: 0, to: raw.count - 7, by: 8) { raw.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self) }
      }
      try AtomicFile.write(file, bytes)
      var start = clock.now
      _ = try await client.upload(file, to: "\(remote)/\(worker)-\(turn % 8)")
      times.puts.append(clock.now - start)
      if turn >= 4 {
        start = clock.now
        _ = try await client.read("\(remote)/\(worker)-\((turn - 4) % 8)", consume: { _ in })
        times.gets.append(clock.now - start)
      }
      turn += 1
    }
    return times
  }
}
