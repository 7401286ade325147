import BlockModel
import CairnClient
import CommandLineKit
import HTTPTransport
import Platform
import Synchronization

/// What one user waits while another floods the gateway.
enum FairnessBench {
  static let command = Command(
    "fairness", summary: "time one user's requests in quiet, and while another user sends as many as it can",
    discussion: "Signs two users up at the gateway that CAIRN_GATEWAY names, whose rates should be off.",
    options: [
      CommandOption(
        "flood", value: "N", help: "requests of the other user that are under way at once", kind: .integer(1...4096), default: "256"),
      CommandOption("requests", value: "N", help: "timed requests", kind: .integer(10...100_000), default: "500"),
    ]
  ) { invocation in
    let gateway = try BenchEnvironment.required("CAIRN_GATEWAY")
    let (one, other) = (try await token(gateway), try await token(gateway))
    let (flood, count) = (invocation.int("flood") ?? 256, invocation.int("requests") ?? 500)
    let client = HTTPClient()
    let quiet = try await timed(count, gateway, one, client)

    var configuration = HTTPClient.Configuration()
    configuration.connectionsPerHost = flood
    configuration.maxConnections = flood
    let floodClient = HTTPClient(configuration: configuration)
    let flooding = Flooding()
    let began = ContinuousClock.now
    let busy = try await withThrowingTaskGroup(of: [Double].self) { group in
      for _ in 0..<flood {
        group.addTask {
          while !flooding.isOver.load(ordering: .relaxed) {
            _ = try? await get("/v1/files?path=/&children=1", gateway, other, floodClient)
            flooding.sent.add(1, ordering: .relaxed)
          }
          return []
        }
      }
      try await Task.sleep(for: .seconds(1))
      let busy = try await timed(count, gateway, one, client)
      flooding.isOver.store(true, ordering: .relaxed)
      for try await _ in group {}
      return busy
    }
    let rate = Double(flooding.sent.load(ordering: .relaxed)) / (ContinuousClock.now - began).inSeconds
    floodClient.shutdown()
    client.shutdown()
    let console = invocation.console
    console.print("| a request of one user | quiet ms | beside \(flood) of another at once (\(rounded(rate)) a second) ms |")
    console.print("|---|---|---|")
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
      console.print("| \(name) | \(rounded(percentile(quiet, part), 2)) | \(rounded(percentile(busy, part), 2)) |")
    }
  }

  private final class Flooding: Sendable {
    let isOver = Atomic<Bool>(false)
    let sent = Atomic<Int>(0)
  }

  private static func percentile(_ sorted: [Double], _ part: Double) -> Double {
    sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]
  }

  /// Milliseconds, sorted.
  private static func timed(_ count: Int, _ gateway: String, _ token: String, _ client: HTTPClient) async throws -> [Double] {
    var times: [Double] = []
    for _ in 0..<count {
      let began = ContinuousClock.now
      try await get("/v1/files?path=/", gateway, token, client)
      times.append((ContinuousClock.now - began).inSeconds * 1000)
    }
    return times.sorted()
  }

  private static func get(_ path: String, _ gateway: String, _ token: String, _ client: HTTPClient) async throws {
    let response = try await client.send(
      HTTPClientRequest(method: .get, url: gateway + path, headers: ["Authorization": "Bearer \(token)"], stallTimeout: nil))
    guard response.status == 200 else { throw CommandFailure(.failed, "The gateway answered \(response.status).") }
  }

  private static func token(_ gateway: String) async throws -> String {
    let client = try CairnClient(Configuration(gateway: gateway))
    let name = "bench-\(UInt32.random(in: 0...(.max)))"
    try await client.signUp(name: name, password: "bench password")
    return try await client.logIn(name: name, password: "bench password", device: "bench").token
  }
}
