import BlockModel
import BlockStore
import Platform
import Synchronization
import Testing

/// Random operations on a simulated disk that loses power, is killed, fails syncs and writes, and runs full, against what was
/// acknowledged. `CAIRN_SEEDS=100..5000` runs those seeds, `CAIRN_SEEDS=4711` that one.
@Suite struct CrashTests {
  @Test("whatever was acknowledged survives power loss, kills and failed syncs, and nothing else appears")
  func crashes() async throws {
    let seeds = environment("CAIRN_SEEDS").flatMap(Self.range) ?? 0..<400
    var totals = CrashRun.Totals()
    for seed in seeds {
      var run = CrashRun(seed: UInt64(seed))
      let failure = await run.play()
      totals.add(run.totals)
      guard failure == nil else {
        Issue.record("seed \(seed): \(failure ?? "")")
        return
      }
    }
    print("crash sequences \(seeds): \(totals)")
    // The test would prove nothing if the faults did not happen.
    if seeds.count >= 400 {
      #expect(totals.acknowledged > 1000 && totals.reopened > 400 && totals.torn > 10 && totals.fromCheckpoint > 50 && totals.fenced > 20)
    }
  }

  private static func range(_ text: String) -> Range<Int>? {
    let ends = text.split(separator: ".").compactMap { Int($0) }
    return ends.count == 2 && ends[0] <= ends[1] ? ends[0]..<(ends[1] + 1) : ends.count == 1 ? ends[0]..<(ends[0] + 1) : nil
  }
}

/// Answers that came before the crash. What comes later nobody heard.
private final class AnswerLog: Sendable {
  typealias Entry = (operation: CrashRun.Operation, result: Result<Bool, BlockStoreError>)
  private let state = Mutex<(isOpen: Bool, results: [Entry])>((true, []))

  func add(_ operation: CrashRun.Operation, _ result: Result<Bool, BlockStoreError>) {
    state.withLock { state in if state.isOpen { state.results.append((operation, result)) } }
  }

  func close() { state.withLock { $0.isOpen = false } }
  var results: [Entry] { state.withLock { $0.results } }
}

/// One sequence: its disk, its model, and what it may still find.
struct CrashRun {
  struct Totals {
    var acknowledged = 0
    var reopened = 0
    var torn = 0
    var fromCheckpoint = 0
    var fenced = 0
    var full = 0

    mutating func add(_ other: Totals) {
      acknowledged += other.acknowledged
      reopened += other.reopened
      torn += other.torn
      fromCheckpoint += other.fromCheckpoint
      fenced += other.fenced
      full += other.full
    }
  }

  /// What may be true of one block: its GC epoch, nil for absent.
  typealias Possible = Set<UInt64?>

  enum Operation: Sendable {
    case append(Int, UInt64)
    case raise(Int, UInt64)
    case delete(Int, UInt64)

    var content: Int {
      switch self {
      case .append(let content, _), .raise(let content, _), .delete(let content, _): return content
      }
    }

    /// What the block is afterwards, when the operation takes effect.
    func applied(to epoch: UInt64?) -> UInt64? {
      switch self {
      case .append(_, let new): return max(epoch ?? 0, new)
      case .raise(_, let new): return epoch.map { max($0, new) }
      case .delete(_, let below): return epoch.flatMap { $0 < below ? nil : $0 }
      }
    }
  }

  static let contents: [[UInt8]] = [0, 1, 40, 700, 4000, 4200, 9000, 20_000, 33_000, 40_000, 66_000, 70_001].enumerated().map {
    Fixtures.bytes($0.element, seed: UInt64(1000 + $0.offset))
  }
  static let ids = contents.map { Fixtures.id(of: $0) }
  static let keys = Fixtures.ring(1)

  let seed: UInt64
  private(set) var totals = Totals()
  private var random: SeededRandom
  private var disk: SimulatedDisk
  private var model: [Possible]

  init(seed: UInt64) {
    self.seed = seed
    random = SeededRandom(seed: seed)
    disk = SimulatedDisk(seed: random.next())
    model = Array(repeating: [nil], count: CrashRun.contents.count)
  }

  /// Nil when everything held, else what did not.
  mutating func play() async -> String? {
    for _ in 0..<Int(2 + random.next() % 3) {
      guard let store = open() else { return "the disk did not open" }
      if let failure = await check(store) { return failure }
      if let failure = await work(store) { return failure }
    }
    disk = disk.afterCrash(losesPower: false)
    guard let store = open() else { return "the disk did not open at the end" }
    let failure = await check(store)
    await store.close()
    return failure
  }

  private mutating func open() -> SegmentStore? {
    var configuration = SegmentStore.Configuration(folder: "/disk-1", cluster: StoreKind.cluster, keys: CrashRun.keys)
    configuration.segmentBytes = [128 << 10, 256 << 10, 512 << 10][Int(seed % 3)]
    configuration.checkpointRecords = 6
    configuration.readThreads = 1
    configuration.fileSystem = disk
    let store = try? SegmentStore.open(configuration)
    totals.reopened += 1
    totals.torn += store?.openReport.tornRecords ?? 0
    totals.fromCheckpoint += store?.openReport.usedCheckpoint == true ? 1 : 0
    return store
  }

  /// The store shows exactly what may be, and every byte of it. From then on the model is what it shows.
  private mutating func check(_ store: SegmentStore) async -> String? {
    let pool = Fixtures.pool(1)
    for (content, id) in CrashRun.ids.enumerated() {
      let shown = store.status(of: id)?.gcEpoch
      guard model[content].contains(shown) else {
        return "block \(content) is \(shown.map(String.init) ?? "absent"), may be \(model[content])"
      }
      model[content] = [shown]
      guard shown != nil else { continue }
      do {
        let bytes = try await store.bytes(id, pool: pool)
        guard bytes == CrashRun.contents[content] else { return "block \(content) has other bytes" }
      } catch { return "block \(content) does not read: \(error)" }
    }
    return nil
  }

  /// Bursts of operations on different blocks, and then one of the ends.
  private mutating func work(_ store: SegmentStore) async -> String? {
    planFaults()
    let bursts = 1 + random.next() % 12
    for burst in 0..<bursts {
      let operations = pickBurst()
      if burst == bursts - 1, random.next() % 4 != 0 { return await crash(store, during: operations) }
      for (operation, result) in await CrashRun.perform(operations, store) {
        if let failure = settle(operation, result) { return failure }
      }
    }
    await store.close()
    disk = disk.afterCrash(losesPower: random.next() % 2 == 0)
    return nil
  }

  private mutating func planFaults() {
    let (kind, count) = (random.next() % 8, Int(random.next() % 14))
    disk.withState { state in
      if kind == 0 { state.faults.syncsUntilFailure = count }
      if kind == 1 { state.faults.writesUntilFailure = count }
      if kind == 2 { state.faults.capacity = state.usedBytes + count * 40_000 }
    }
  }

  private mutating func pickBurst() -> [Operation] {
    let contents = CrashRun.contents.indices.shuffled(using: &random).prefix(Int(1 + random.next() % 6))
    return contents.map { content in
      let epoch = random.next() % 20
      switch random.next() % 10 {
      case 0..<6: return .append(content, epoch)
      case 6: return .raise(content, epoch)
      default: return .delete(content, epoch)
      }
    }
  }

  /// The power fails or the process is killed while the operations are on their way.
  private mutating func crash(_ store: SegmentStore, during operations: [Operation]) async -> String? {
    let log = AnswerLog()
    let losesPower = random.next() % 4 != 0
    let calls = Int(random.next() % 5)
    disk.withState { state in
      state.faults.callsUntilCrash = calls
      state.onCrash = { log.close() }
    }
    await withTaskGroup { group in
      for operation in operations {
        group.addTask { log.add(operation, await CrashRun.perform(operation, store)) }
      }
    }
    // The burst was over before: then everything was heard.
    log.close()
    let results = log.results
    for operation in operations where !results.contains(where: { $0.0.content == operation.content }) { blur(operation) }
    for (operation, result) in results {
      if let failure = settle(operation, result) { return failure }
    }
    disk = disk.afterCrash(losesPower: losesPower)
    return nil
  }

  /// The operation may have taken effect or not.
  private mutating func blur(_ operation: Operation) {
    let before = model[operation.content]
    model[operation.content] = before.union(before.map { operation.applied(to: $0) })
  }

  /// What an answer says about a block; a text when it cannot be true.
  private mutating func settle(_ operation: Operation, _ result: Result<Bool, BlockStoreError>) -> String? {
    switch result {
    case .success(let changed):
      totals.acknowledged += 1
      let before = model[operation.content]
      model[operation.content] = Set(before.map { operation.applied(to: $0) })
      switch operation {
      case .append: return before.contains { ($0 == nil) == changed } ? nil : "\(operation) answered new: \(changed) on \(before)"
      case .raise: return before.contains { ($0 != nil) == changed } ? nil : "\(operation) answered \(changed) on \(before)"
      case .delete(_, let below):
        return before.contains { epoch in epoch.map { $0 < below } ?? false == changed }
          ? nil : "\(operation) answered \(changed) on \(before)"
      }
    case .failure(let error):
      switch error.code {
      case .fenced:
        totals.fenced += 1
        blur(operation)
        return nil
      case .full:
        totals.full += 1
        return nil
      default: return "\(operation) failed: \(error)"
      }
    }
  }

  private static func perform(_ operations: [Operation], _ store: SegmentStore) async -> [(Operation, Result<Bool, BlockStoreError>)] {
    await withTaskGroup(of: (Operation, Result<Bool, BlockStoreError>).self) { group in
      for operation in operations { group.addTask { (operation, await perform(operation, store)) } }
      return await group.reduce(into: []) { $0.append($1) }
    }
  }

  private static func perform(_ operation: Operation, _ store: SegmentStore) async -> Result<Bool, BlockStoreError> {
    do throws(BlockStoreError) {
      switch operation {
      case .append(let content, let epoch):
        guard let record = try? Fixtures.record(contents[content], gcEpoch: epoch, keys: keys) else { preconditionFailure("it seals") }
        return .success(try await store.append(record).wasNew)
      case .raise(let content, let epoch): return .success(try await store.raiseEpoch(of: ids[content], to: epoch))
      case .delete(let content, let epoch): return .success(try await store.delete(ids[content], ifEpochBelow: epoch))
      }
    } catch { return .failure(error) }
  }
}
