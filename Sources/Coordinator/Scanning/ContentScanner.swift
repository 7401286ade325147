internal import BlockModel
package import MetadataStore
package import Platform
internal import Synchronization

/// Has clamd look at every version that was committed, behind the backs of those who commit.
///
/// What must hold: a version's row in the database is the only memory of what is left to scan, so a restart loses nothing and repeats at
/// most what was under way; at most `concurrency` versions, and one block of each, are in memory; a scanner that is not there costs one
/// attempt to connect now and then.
package final class ContentScanner: Sendable {
  package struct Configuration: Sendable {
    /// Path of clamd's socket.
    package var socket: String
    /// Larger versions are not scanned; at most clamd's `StreamMaxLength`.
    package var sizeLimit: Int64 = 100_000_000
    package var concurrency = 2
    /// How long clamd may take for a step, its verdict included.
    package var patience: Duration = .seconds(120)
    /// Between two looks for versions while there are none.
    package var pause: Duration = .seconds(1)
    package init(socket: String) { self.socket = socket }
  }

  /// The bytes of a block at the start of a buffer, verified; nil when no replica gives it now.
  package typealias ReadBlock = @Sendable (ScanBlock) async -> IOBuffer?

  private static let page = 64
  private static let blocksPerPage = 256

  private enum Attempt: Sendable {
    case outcome(ScanOutcome)
    /// The version is no longer there.
    case gone
    case failed(String)
    case unreachable(String)
  }

  private let store: any ScanMetadata
  private let configuration: Configuration
  private let read: ReadBlock
  private let log: Logger
  private let pool: BlockingPool
  private let metrics: ScanMetrics
  private let unreached = Mutex<(times: Int, reason: String?)>((0, nil))

  package init(
    store: any ScanMetadata, configuration: Configuration, logger: Logger, metrics: Metrics, read: @escaping ReadBlock
  ) {
    self.store = store
    self.configuration = configuration
    self.read = read
    log = logger.component("scan")
    pool = BlockingPool(name: "scan", threads: configuration.concurrency, queueLimit: configuration.concurrency * 2)
    self.metrics = ScanMetrics(metrics)
    metrics.gauge("cairn_scan_unreachable", help: "1 while the malware scanner does not answer.") { [weak self] in
      self?.obstacle == nil ? 0 : 1
    }
  }

  /// Why nothing is scanned now; nil while the scanner answers.
  package var obstacle: String? { unreached.withLock { $0.reason } }

  /// Scans until the task is cancelled.
  package func run() async {
    await withTaskGroup(of: Int64.self) { group in
      var running: Set<Int64> = []
      var line: ArraySlice<DueScan> = []
      while !Task.isCancelled {
        if line.isEmpty { line = await due().filter { !running.contains($0.number) }[...] }
        while running.count < configuration.concurrency, let next = line.popFirst() {
          running.insert(next.number)
          group.addTask {
            await self.work(on: next)
            return next.number
          }
        }
        if let done = await running.isEmpty ? nil : group.next() {
          running.remove(done)
        } else {
          try? await Task.sleep(for: configuration.pause)
        }
        let times = unreached.withLock { $0.times }
        guard times > 0 else { continue }
        // What was due is due again then, in whatever order it has by then.
        line = []
        try? await Task.sleep(for: ScanRetry.pause(afterUnreachable: times))
      }
      group.cancelAll()
    }
  }

  private func due() async -> [DueScan] {
    do {
      metrics.set(try await store.scanCounts())
      return try await store.dueScans(limit: ContentScanner.page)
    } catch {
      log.warning("what has to be scanned is not known", ["reason": .error(error)])
      return []
    }
  }

  private func work(on due: DueScan) async {
    let attempt = await scan(due)
    guard !Task.isCancelled else { return }
    if case .unreachable(let reason) = attempt {
      let isNews = unreached.withLock { state in
        state = (state.times + 1, reason)
        return state.times == 1
      }
      if isNews { log.warning("the malware scanner does not answer", ["reason": .string(reason)]) }
      return
    }
    let wasAway = unreached.withLock { state in
      defer { state = (0, nil) }
      return state.times > 0
    }
    if wasAway { log.info("the malware scanner answers again") }
    guard let outcome = outcome(of: attempt, due) else { return }
    do { try await store.recordScan(due, outcome) } catch {
      log.warning("a scan could not be recorded and is repeated", ["scan": .string(String(due.number)), "reason": .error(error)])
      return
    }
    metrics.count(outcome)
    if case .infected(let signature) = outcome {
      log.warning(
        "a version was found infected and is quarantined", ["scan": .string(String(due.number)), "signature": .string(signature)])
    }
  }

  private func outcome(of attempt: Attempt, _ due: DueScan) -> ScanOutcome? {
    switch attempt {
    case .outcome(let outcome): return outcome
    case .gone, .unreachable: return nil
    case .failed(let reason):
      log.warning("a version could not be scanned", ["scan": .string(String(due.number)), "reason": .string(reason)])
      return ScanRetry.pause(after: due.attempts + 1).map { .later($0) } ?? .unscannable(reason: reason)
    }
  }

  // MARK: - One version

  private func scan(_ due: DueScan) async -> Attempt {
    guard due.size <= configuration.sizeLimit else {
      return .outcome(.unscannable(reason: "it has more than \(configuration.sizeLimit) bytes"))
    }
    do {
      let (path, patience) = (configuration.socket, configuration.patience)
      let connection = try await pool.run { try ClamdConnection(path: path, patience: patience) }
      return try await withTaskCancellationHandler {
        try await stream(due, to: connection)
      } onCancel: {
        connection.interrupt()
      }
    } catch let error as ClamdError {
      return error.code == .unreachable ? .unreachable(error.message) : .failed(error.message)
    } catch { return .failed("\(error)") }
  }

  private func stream(_ due: DueScan, to connection: ClamdConnection) async throws -> Attempt {
    var position = 0
    var sent: Int64 = 0
    while sent < due.size {
      guard let blocks = try await store.scanBlocks(due, first: position, limit: ContentScanner.blocksPerPage) else { return .gone }
      guard !blocks.isEmpty else { return .failed("its list of blocks ends before the version does") }
      for block in blocks {
        guard let buffer = await read(block) else { return .failed("a block of it cannot be read at the moment") }
        if let early = try await send(buffer, block.size, to: connection) { return attempt(early) }
        sent += Int64(block.size)
        metrics.bytes.increment(by: block.size)
      }
      position += blocks.count
    }
    return attempt(try await pool.run { try connection.finish() })
  }

  /// Nil when clamd took it; its answer when it ended the stream of its own accord.
  private func send(_ buffer: IOBuffer, _ size: Int, to connection: ClamdConnection) async throws -> ClamdReply? {
    try await pool.run {
      do throws(ClamdError) {
        try connection.send(buffer.bytes(0..<size))
        return nil
      } catch {
        guard let reply = try? connection.answer() else { throw error }
        return reply
      }
    }
  }

  private func attempt(_ reply: ClamdReply) -> Attempt {
    switch reply {
    case .clean: .outcome(.clean)
    case .infected(let signature): .outcome(.infected(signature: signature))
    case .tooLarge: .outcome(.unscannable(reason: "the malware scanner takes nothing that large"))
    case .failed(let text): .failed("clamd answered “\(text)”")
    }
  }
}

/// What is counted of scanning.
private struct ScanMetrics {
  let bytes: Counter
  private let outcomes: [String: Counter]
  private let waiting: Gauge
  private let held: [String: Gauge]

  init(_ metrics: Metrics) {
    bytes = metrics.counter("cairn_scan_bytes_total", help: "Plain bytes that the malware scanner was given.")
    func outcome(_ name: String) -> (String, Counter) {
      (name, metrics.counter("cairn_scan_outcomes_total", help: "Attempts to scan a version, by outcome.", labels: ["outcome": name]))
    }
    outcomes = Dictionary(uniqueKeysWithValues: ["clean", "infected", "unscannable", "failed"].map(outcome))
    waiting = metrics.gauge("cairn_scan_waiting_versions", help: "Versions that wait for the malware scanner.")
    func gauge(_ state: String) -> (String, Gauge) {
      (state, metrics.gauge("cairn_scan_held_versions", help: "Versions in quarantine, by why.", labels: ["state": state]))
    }
    held = Dictionary(uniqueKeysWithValues: ["infected", "unscannable"].map(gauge))
  }

  func set(_ counts: ScanCounts) {
    waiting.set(Double(counts.waiting))
    held["infected"]?.set(Double(counts.infected))
    held["unscannable"]?.set(Double(counts.unscannable))
  }

  func count(_ outcome: ScanOutcome) {
    let name =
      switch outcome {
      case .clean: "clean"
      case .infected: "infected"
      case .unscannable: "unscannable"
      case .later: "failed"
      }
    outcomes[name]?.increment()
  }
}
