import BlockModel
import Coordinator
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// Versions that wait, in memory. Each has one block, whose content is said.
private final class FakeScans: ScanMetadata {
  private struct Item {
    var content: [UInt8]
    var due: DueScan
    var isWaiting = true
    var outcomes: [ScanOutcome] = []
  }

  private let items = Mutex<[Int64: Item]>([:])
  let blockBytes = 100_000

  func add(_ number: Int64, _ content: String, bytes: Int? = nil) {
    var content = Array(content.utf8)
    if let bytes { content += [UInt8](repeating: 0x20, count: max(0, bytes - content.count)) }
    let item = Item(content: content, due: DueScan(number: number, namespaceNumber: 1, size: Int64(content.count), attempts: 0))
    items.withLock { $0[number] = item }
  }

  func outcomes(_ number: Int64) -> [ScanOutcome] { items.withLock { $0[number]?.outcomes ?? [] } }

  func remove(_ number: Int64) { items.withLock { $0[number] = nil } }

  /// A block's id tells its version and place.
  func read(_ block: ScanBlock) -> IOBuffer? {
    let words = block.id.bytes
    let (number, first) = (Int64(words[0]), Int(words[1]) * blockBytes)
    guard let content = items.withLock({ $0[number]?.content }) else { return nil }
    if content.starts(with: Array("unreadable".utf8)) { return nil }
    let buffer = IOBuffer(capacity: block.size)
    buffer.mutableBytes(0..<block.size).copyBytes(from: content[first..<(first + block.size)])
    return buffer
  }

  func dueScans(limit: Int) async throws(MetadataError) -> [DueScan] {
    items.withLock { items in Array(items.values.filter(\.isWaiting).map(\.due).sorted { $0.number < $1.number }.prefix(limit)) }
  }

  func scanBlocks(_ scan: DueScan, first: Int, limit: Int) async throws(MetadataError) -> [ScanBlock]? {
    guard let size = items.withLock({ $0[scan.number]?.content.count }) else { return nil }
    return stride(from: 0, to: size, by: blockBytes).enumerated().dropFirst(first).prefix(min(limit, 2)).map { place, offset in
      var id = [UInt8](repeating: 0, count: 32)
      (id[0], id[1]) = (UInt8(scan.number), UInt8(place))
      return ScanBlock(id: id.withUnsafeBytes { BlockID(loading: $0) }, size: min(blockBytes, size - offset), strays: [])
    }
  }

  func recordScan(_ scan: DueScan, _ outcome: ScanOutcome) async throws(MetadataError) {
    items.withLock { items in
      items[scan.number]?.outcomes.append(outcome)
      if case .later = outcome { items[scan.number]?.due.attempts += 1 } else { items[scan.number]?.isWaiting = false }
    }
  }

  func scanCounts() async throws(MetadataError) -> ScanCounts { ScanCounts(waiting: 0, infected: 0, unscannable: 0) }
  func quarantine(limit: Int, cursor: String?) async throws(MetadataError) -> Page<QuarantinedVersion> { Page(items: [], next: nil) }
  func changeQuarantine(of number: Int64, _ change: QuarantineChange) async throws(MetadataError) -> QuarantinedVersion {
    throw MetadataError(.refused, "not asked here")
  }
}

@Suite("The malware scanner")
struct ContentScannerTests {
  private func scanner(_ scans: FakeScans, _ clamd: FakeClamd, patience: Duration = .seconds(20)) -> ContentScanner {
    var configuration = ContentScanner.Configuration(socket: clamd.path)
    configuration.sizeLimit = 1_000_000
    configuration.patience = patience
    configuration.pause = .milliseconds(10)
    return ContentScanner(store: scans, configuration: configuration, logger: .none, metrics: Metrics()) { scans.read($0) }
  }

  private func run(_ scanner: ContentScanner, until condition: () async throws -> Bool) async throws {
    let task = Task { await scanner.run() }
    do { try await eventually("what the scanner shall do", condition) } catch {
      task.cancel()
      await task.value
      throw error
    }
    task.cancel()
    await task.value
  }

  @Test("each version gets the outcome that clamd's answer means, its blocks streamed in order")
  func outcomes() async throws {
    let (scans, clamd) = (FakeScans(), try FakeClamd())
    clamd.start()
    scans.add(1, "harmless", bytes: 550_000)
    scans.add(2, "infected", bytes: 250_000)
    scans.add(3, "harmless", bytes: 1_000_001)
    scans.add(4, "large", bytes: 600_000)
    try await run(scanner(scans, clamd)) { (1...4).allSatisfy { !scans.outcomes($0).isEmpty } }
    #expect(scans.outcomes(1) == [.clean])
    #expect(scans.outcomes(2) == [.infected(signature: "Fake.Signature")])
    for number: Int64 in [3, 4] {
      guard case .unscannable = scans.outcomes(number).first else {
        Issue.record("\(scans.outcomes(number))")
        continue
      }
    }
    #expect(clamd.streams.sorted() == [250_000, 550_000])
  }

  @Test(
    "an attempt that failed is tried again, later each time, and given up after twelve",
    arguments: ["close", "junk", "error", "unreadable"])
  func failures(content: String) async throws {
    let (scans, clamd) = (FakeScans(), try FakeClamd())
    clamd.start()
    scans.add(1, content)
    scans.add(2, "harmless")
    try await run(scanner(scans, clamd)) { scans.outcomes(1).count == ScanRetry.attempts && !scans.outcomes(2).isEmpty }
    let pauses = scans.outcomes(1).compactMap { if case .later(let pause) = $0 { pause } else { nil } }
    #expect(pauses.count == ScanRetry.attempts - 1 && pauses == pauses.sorted() && (pauses.last ?? .zero) <= .seconds(3600))
    guard case .unscannable(let reason) = scans.outcomes(1).last else {
      Issue.record("\(scans.outcomes(1))")
      return
    }
    #expect(!reason.isEmpty)
    #expect(scans.outcomes(2) == [.clean], "others are not kept from it")
  }

  @Test("a clamd that says nothing is given up when its time is over")
  func silence() async throws {
    let (scans, clamd) = (FakeScans(), try FakeClamd())
    clamd.start()
    scans.add(1, "hang")
    try await run(scanner(scans, clamd, patience: .seconds(1))) { !scans.outcomes(1).isEmpty }
    #expect(scans.outcomes(1).first == ScanRetry.pause(after: 1).map { .later($0) })
  }

  @Test("while nobody listens no attempt is spent, and what waits is scanned when somebody does")
  func absence() async throws {
    let (scans, clamd) = (FakeScans(), try FakeClamd())
    scans.add(1, "harmless")
    scans.add(2, "infected")
    let scanner = scanner(scans, clamd)
    try await run(scanner) { scanner.obstacle != nil }
    #expect(scans.outcomes(1).isEmpty && scans.outcomes(2).isEmpty)
    clamd.start()
    try await run(scanner) { !scans.outcomes(1).isEmpty && !scans.outcomes(2).isEmpty }
    #expect(scans.outcomes(1) == [.clean] && scanner.obstacle == nil)
  }

  @Test("stopping does not wait for a scan under way, and records nothing of it")
  func stopping() async throws {
    let (scans, clamd) = (FakeScans(), try FakeClamd())
    clamd.start()
    scans.add(1, "hang")
    try await run(scanner(scans, clamd, patience: .seconds(3600))) { clamd.streams.count == 1 }
    #expect(scans.outcomes(1).isEmpty)
  }

  @Test("a version that is deleted while it waits is passed over")
  func gone() async throws {
    let (scans, clamd) = (FakeScans(), try FakeClamd())
    scans.add(1, "harmless")
    let scanner = scanner(scans, clamd)
    try await run(scanner) { scanner.obstacle != nil }
    scans.remove(1)
    scans.add(2, "harmless")
    clamd.start()
    try await run(scanner) { !scans.outcomes(2).isEmpty }
    #expect(scans.outcomes(2) == [.clean])
  }
}

@Suite("What clamd answers")
struct ClamdReplyTests {
  static let table: [(String, ClamdReply?)] = [
    ("stream: OK\0", .clean), ("stream: Win.Test-1 FOUND\0", .infected(signature: "Win.Test-1")),
    ("stream: A FOUND FOUND\0", .infected(signature: "A FOUND")), ("stream: OK FOUND\0", .infected(signature: "OK")),
    ("INSTREAM size limit exceeded. ERROR\0", .tooLarge), ("stream: OK", nil), ("stream: OK\n\0", nil), ("OK\0", nil), ("\0", nil),
    ("stream: \0OK\0", nil), ("stream:  FOUND\0", nil), ("stream: ok\0", nil), (" stream: OK\0", nil), ("", nil),
    ("stream: OK ERROR\0", nil),
  ]

  @Test("only the exact words count", arguments: table)
  func words(text: String, expected: ClamdReply?) {
    let reply = ClamdReply(parsing: Array(text.utf8))
    if let expected { #expect(reply == expected) } else { #expect(reply.isFailure, "\(reply)") }
  }

  @Test("of whatever bytes nothing but the exact answer is clean, and no text is long or has control characters")
  func anyBytes() {
    var random = Seeds.random()
    let good = Array("stream: Some.Name FOUND\0".utf8)
    for _ in 0..<20_000 {
      var bytes = random.next() % 2 == 0 ? good : random.bytes(Int(random.next() % 600))
      for _ in 0..<(random.next() % 4) where !bytes.isEmpty {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      let text: String
      switch ClamdReply(parsing: bytes) {
      case .clean:
        #expect(bytes.starts(with: Array("stream: OK\0".utf8)))
        continue
      case .tooLarge: continue
      case .infected(let signature): text = signature
      case .failed(let reason): text = reason
      }
      #expect(!text.isEmpty && text.utf8.count <= 300 && text.utf8.allSatisfy { (0x20..<0x7f).contains($0) })
    }
  }
}

extension ClamdReply {
  fileprivate var isFailure: Bool { if case .failed = self { true } else { false } }
}
