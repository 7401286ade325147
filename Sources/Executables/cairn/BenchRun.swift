import BlockModel
import CairnClient
import Platform
import Synchronization

/// One run of `cairn bench`.
struct BenchRun: Sendable {
  enum Mode: String, Encodable, Sendable { case put, get, mixed, meta }

  struct Result: Encodable {
    var mode: Mode
    var operations: Int
    var seconds: Double
    var operationsPerSecond: Double
    /// Of files, both ways.
    var bytesPerSecond: Double
    var p50Milliseconds: Double
    var p99Milliseconds: Double
    private enum CodingKeys: String, CodingKey {
      case mode, operations, seconds
      case operationsPerSecond = "operations_per_second"
      case bytesPerSecond = "bytes_per_second"
      case p50Milliseconds = "p50_ms"
      case p99Milliseconds = "p99_ms"
    }
  }

  /// Gives each number once.
  private final class Turn: Sendable {
    private let next = Mutex(0)
    func take() -> Int {
      next.withLock { next in
        defer { next += 1 }
        return next
      }
    }
  }

  private typealias Operation = @Sendable () async throws -> Void

  private let client: CairnClient
  private let size: Int
  private let objects: Int
  private let concurrency: Int
  private let remote: String
  private let local: String

  /// - Parameters:
  ///   - size: bytes of a file.
  ///   - concurrency: operations under way at a time.
  init(client: CairnClient, size: Int, objects: Int, concurrency: Int) {
    self.client = client
    self.size = size
    self.objects = objects
    self.concurrency = concurrency
    let number = UInt64.random(in: 0...(.max))
    remote = "/.cairn-bench-\(number)"
    local = (Environment.value("TMPDIR") ?? "/tmp") + "/cairn-bench-\(number)"
  }

  /// Leaves nothing behind, however it ends.
  func measure(_ mode: Mode) async throws -> Result {
    try await client.makeFolder(remote)
    do {
      try Directory.create(local)
      let result = try await work(mode)
      await tidy()
      return result
    } catch {
      await tidy()
      throw error
    }
  }

  private func tidy() async {
    // What cannot be removed is named for what it is, and its owner sees it.
    try? Directory.removeTree(local)
    try? await client.remove(remote, forever: true, recursive: true)
  }

  private func work(_ mode: Mode) async throws -> Result {
    // Uploads are of bytes that the cluster has not: what it has it does not take again.
    let sources = mode == .meta ? 0 : objects
    for number in 0..<sources { try write(number) }
    if mode == .get || mode == .mixed { try await run((0..<(mode == .get ? objects : objects / 2)).map(put)) }
    let clock = ContinuousClock()
    let start = clock.now
    let times: [Duration] =
      switch mode {
      case .put: try await run((0..<objects).map(put))
      case .get: try await run((0..<objects).map(get))
      case .mixed: try await run((0..<objects).map { $0 < objects / 2 ? get($0) : put($0) }.shuffled())
      case .meta:
        try await run((0..<objects).map(makeFolder)) + run((0..<objects).map(lookUp)) + run((0..<objects).map(rename))
          + run((0..<objects).map(remove))
      }
    let seconds = (clock.now - start).inSeconds
    let sorted = times.sorted()
    func percentile(_ part: Double) -> Double { sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))].inSeconds * 1000 }
    return Result(
      mode: mode, operations: times.count, seconds: seconds, operationsPerSecond: Double(times.count) / seconds,
      bytesPerSecond: mode == .meta ? 0 : Double(size * objects) / seconds, p50Milliseconds: percentile(0.5),
      p99Milliseconds: percentile(0.99))
  }

  private func write(_ number: Int) throws {
    var random = SystemRandomNumberGenerator()
    var bytes = [UInt8](repeating: 0, count: min(size, 1 << 20))
    let file = try File(source(number), [.write, .create, .truncate])
    for start in stride(from: 0, to: size, by: 1 << 20) {
      bytes.withUnsafeMutableBytes { room in
        for place in stride(from: 0, to: room.count, by: 8) {
          withUnsafeBytes(of: random.next()) { word in
            for index in place..<min(place + 8, room.count) { room[index] = word[index - place] }
          }
        }
      }
      try bytes.withUnsafeBytes { try file.pwrite(UnsafeRawBufferPointer(rebasing: $0.prefix(size - start)), at: Int64(start)) }
    }
  }

  private func source(_ number: Int) -> String { "\(local)/\(number)" }
  private func target(_ number: Int) -> String { "\(remote)/\(number)" }

  private func put(_ number: Int) -> Operation { { _ = try await client.upload(source(number), to: target(number)) } }
  private func get(_ number: Int) -> Operation { { _ = try await client.read(target(number)) { _ in } } }
  private func makeFolder(_ number: Int) -> Operation { { _ = try await client.makeFolder(target(number)) } }
  private func lookUp(_ number: Int) -> Operation { { _ = try await client.entry(at: target(number)) } }
  private func rename(_ number: Int) -> Operation { { _ = try await client.move(target(number), to: target(number) + "-renamed") } }
  private func remove(_ number: Int) -> Operation { { try await client.remove(target(number) + "-renamed", forever: true) } }

  /// Runs all of them, so many at a time, and answers how long each took.
  @discardableResult
  private func run(_ operations: [Operation]) async throws -> [Duration] {
    let turn = Turn()
    return try await withThrowingTaskGroup(of: [Duration].self) { group in
      for _ in 0..<concurrency {
        group.addTask {
          let clock = ContinuousClock()
          var times: [Duration] = []
          while true {
            let index = turn.take()
            guard index < operations.count else { return times }
            try Task.checkCancellation()
            let start = clock.now
            try await operations[index]()
            times.append(clock.now - start)
          }
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
  }
}
