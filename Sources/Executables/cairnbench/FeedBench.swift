import BlockModel
import CairnClient
import CommandLineKit
import HTTPTransport
import Platform
import Synchronization

/// What waiting for changes costs a gateway, and how soon a hint comes.
enum FeedBench {
  static let command = Command(
    "feed", summary: "hold idle event streams at a gateway, and measure its memory and how late hints come",
    discussion: "Signs users up at the gateway that CAIRN_GATEWAY names. --pid is the gateway's process.",
    options: [
      CommandOption("streams", value: "N", help: "idle streams", kind: .integer(1...100_000), default: "1000"),
      CommandOption("users", value: "N", help: "users that they are of", kind: .integer(1...1000), default: "10"),
      CommandOption("commits", value: "N", help: "commits whose hints are timed", kind: .integer(10...100_000), default: "300"),
      CommandOption("pid", value: "PID", help: "the gateway's process", kind: .integer(1...Int.max), isRequired: true),
    ]
  ) { invocation in
    let bench = try Bench(users: invocation.int("users") ?? 10, pid: invocation.int("pid") ?? 1)
    try await bench.run(streams: invocation.int("streams") ?? 1000, commits: invocation.int("commits") ?? 300, invocation.console)
  }

  /// When the last event of a stream came.
  private final class Listener: Sendable {
    private let state = Mutex<(events: Int, last: ContinuousClock.Instant)>((0, .now))
    var events: Int { state.withLock { $0.events } }
    var last: ContinuousClock.Instant { state.withLock { $0.last } }
    func heard(_ piece: UnsafeRawBufferPointer) -> Bool {
      let isEvent = String(decoding: piece, as: UTF8.self).contains("event: ")
      if isEvent {
        state.withLock { state in
          state.events += 1
          state.last = .now
        }
      }
      return true
    }
  }

  private struct Bench: Sendable {
    let gateway: String
    let http: HTTPClient
    let users: Int
    let pid: Int

    init(users: Int, pid: Int) throws {
      gateway = try BenchEnvironment.required("CAIRN_GATEWAY")
      var configuration = HTTPClient.Configuration()
      configuration.connectionsPerHost = 100_000
      configuration.maxConnections = 100_000
      configuration.maxTransfers = 200_000
      configuration.receiveBufferBytes = 4096
      configuration.uploadBufferBytes = 16_384
      http = HTTPClient(configuration: configuration)
      self.users = users
      self.pid = pid
    }

    func run(streams: Int, commits: Int, _ console: Console) async throws {
      var tokens: [String] = []
      for _ in 0..<users { tokens.append(try await token()) }
      let active = try await token()
      let before = try residentBytes()
      let begin = Listener()
      let idle = (0..<streams).map { index in listen(tokens[index % users], begin) }
      while begin.events < streams { try await Task.sleep(for: .milliseconds(50)) }
      try await Task.sleep(for: .seconds(2))
      let after = try residentBytes()
      let listener = Listener()
      let stream = listen(active, listener)
      while listener.events == 0 { try await Task.sleep(for: .milliseconds(10)) }
      let latencies = try await time(commits, active, listener)
      for task in idle + [stream] { task.cancel() }
      http.shutdown()
      let more = Double(after - before) / 1_048_576
      console.print("| \(streams) idle streams, memory more | \(rounded(more)) MiB | ≤ \(rounded(Double(streams) * 64 / 1000)) |")
      for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let latency = latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))]
        console.print("| commit → hint, \(name) | \(rounded(latency.inSeconds * 1000)) ms | ≤ 100 |")
      }
    }

    /// Sorted. From the moment that the commit is sent, so each has the commit itself in it.
    private func time(_ commits: Int, _ token: String, _ listener: Listener) async throws -> [Duration] {
      var latencies: [Duration] = []
      let client = try CairnClient(Configuration(gateway: gateway, token: token))
      for index in 0..<commits {
        let seen = listener.events
        let begin = ContinuousClock.now
        _ = try await client.makeFolder("/f\(index)")
        while listener.events == seen {
          try await Task.sleep(for: .microseconds(500))
          guard ContinuousClock.now - begin < .seconds(30) else { throw CommandFailure(.failed, "A hint did not come within 30 s.") }
        }
        latencies.append(listener.last - begin)
      }
      return latencies.sorted()
    }

    private func token() async throws -> String {
      let client = try CairnClient(Configuration(gateway: gateway))
      let name = "bench-\(UInt32.random(in: 0...(.max)))"
      try await client.signUp(name: name, password: "bench password")
      return try await client.logIn(name: name, password: "bench password", device: "bench").token
    }

    private func listen(_ token: String, _ listener: Listener) -> Task<Void, any Error> {
      let request = HTTPClientRequest(
        method: .get, url: gateway + "/v1/changes/stream", headers: ["Authorization": "Bearer \(token)"], deadline: .seconds(3600),
        stallTimeout: nil)
      let http = http
      return Task { try await http.stream(request, onHead: { _ in }, onBytes: { listener.heard($0) }) }
    }

    private func residentBytes() throws -> Int {
      let status = try AtomicFile.read("/proc/\(pid)/status", limit: 1 << 16) ?? []
      for line in String(decoding: status, as: UTF8.self).split(separator: "\n") where line.hasPrefix("VmRSS:") {
        if let kibibytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) { return kibibytes * 1024 }
      }
      throw CommandFailure(.failed, "Process \(pid) does not say how much memory it has.")
    }

    private func rounded(_ number: Double) -> String { "\(Double(Int((number * 10).rounded())) / 10)" }
  }
}
