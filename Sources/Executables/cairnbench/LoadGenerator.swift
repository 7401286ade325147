import BlockModel
import HTTPTransport
import Platform
import Synchronization

/// Random objects made before the clock starts; each differs from every other, so nothing is stored twice.
struct Objects: Sendable {
  let bodies: [IOBuffer]
  let ids: [BlockID]
  let sizeBytes: Int

  init(count: Int, sizeBytes: Int) {
    self.sizeBytes = sizeBytes
    bodies = (0..<count).map { _ in
      let buffer = IOBuffer(capacity: sizeBytes)
      SecureRandom.fill(buffer.mutableBytes(0..<sizeBytes))
      return buffer
    }
    ids = bodies.map { BlockID(words: SHA256Hasher.hash($0.bytes(0..<sizeBytes))) }
  }

  var count: Int { bodies.count }
}

/// What a round measured.
struct RoundResult: Sendable {
  var bytes: Int
  var operations: Int
  var seconds: Double
  var latencies: [Double]
  var failures: [String]

  var megabytesPerSecond: Double { Double(bytes) / 1e6 / seconds }
  var operationsPerSecond: Double { Double(operations) / seconds }

  /// Milliseconds below which this part of the operations stayed.
  func percentile(_ part: Double) -> Double {
    guard !latencies.isEmpty else { return 0 }
    let sorted = latencies.sorted()
    return sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))] * 1000
  }
}

/// Runs requests with a fixed number under way at once, and times each.
struct LoadGenerator: Sendable {
  let client: HTTPClient
  let concurrency: Int

  /// - Parameter operation: one operation by its index; answers the bytes that it moved, or throws.
  func run(count: Int, _ operation: @escaping @Sendable (Int) async throws -> Int) async -> RoundResult {
    await Self.run(count: count, concurrency: concurrency, operation)
  }

  static func run(count: Int, concurrency: Int, _ operation: @escaping @Sendable (Int) async throws -> Int) async -> RoundResult {
    let next = NextIndex()
    let clock = ContinuousClock()
    let started = clock.now
    let parts = await withTaskGroup(of: RoundResult.self) { group in
      for _ in 0..<concurrency {
        group.addTask { await Self.worker(next: next, count: count, operation) }
      }
      var parts: [RoundResult] = []
      for await part in group { parts.append(part) }
      return parts
    }
    return RoundResult(
      bytes: parts.map(\.bytes).reduce(0, +), operations: parts.map(\.operations).reduce(0, +),
      seconds: (clock.now - started).inSeconds, latencies: parts.flatMap(\.latencies), failures: parts.flatMap(\.failures))
  }

  private static func worker(
    next: NextIndex, count: Int, _ operation: @Sendable (Int) async throws -> Int
  ) async -> RoundResult {
    var result = RoundResult(bytes: 0, operations: 0, seconds: 0, latencies: [], failures: [])
    let clock = ContinuousClock()
    while true {
      let index = next.take()
      guard index < count else { return result }
      let started = clock.now
      do {
        result.bytes += try await operation(index)
        result.operations += 1
        result.latencies.append((clock.now - started).inSeconds)
      } catch { result.failures.append("\(error)") }
    }
  }

  /// One PUT. A node that says it is busy is asked again, as the SDK does; anything else but a 2xx is a failure.
  func put(_ url: String, _ body: IOBuffer, sizeBytes: Int) async throws -> Int {
    for attempt in 0..<200 {
      let source = UploadSource(buffer: body, length: sizeBytes, ready: sizeBytes)
      let response = try await client.send(HTTPClientRequest(method: .put, url: url, body: .buffer(source), deadline: .seconds(120)))
      if (200..<300).contains(response.status) { return sizeBytes }
      guard response.status == 503, attempt < 199 else {
        throw RequestFailed(status: response.status, text: String(decoding: response.bytes.prefix(300), as: UTF8.self))
      }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw RequestFailed(status: 503, text: "")
  }

  /// One GET into `buffer`.
  func get(_ url: String, into buffer: IOBuffer) async throws -> Int {
    let response = try await client.send(HTTPClientRequest(method: .get, url: url, deadline: .seconds(120), responseBuffer: buffer))
    guard response.status == 200 else { throw RequestFailed(status: response.status, text: "") }
    return response.count
  }
}

/// Hands out 0, 1, 2 … to workers.
final class NextIndex: Sendable {
  private let value = Atomic<Int>(0)
  func take() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}

struct RequestFailed: Error, CustomStringConvertible {
  let status: Int
  let text: String
  var description: String { "status \(status) \(text)" }
}
