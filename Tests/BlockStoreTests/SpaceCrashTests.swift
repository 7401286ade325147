import BlockModel
import BlockStore
import Platform
import Synchronization
import Testing

/// Random appends, quarantines, undos, purges, deletes and compactions on a simulated disk that loses power, is killed, fails syncs and
/// writes, and runs full, against what was acknowledged. `CAIRN_SEEDS=100..5000` runs those seeds, `CAIRN_SEEDS=4711` that one.
@Suite struct SpaceCrashTests {
  @Test("quarantine and compaction lose nothing and bring nothing back, wherever the disk stops")
  func crashes() async throws {
    let seeds = environment("CAIRN_SEEDS").flatMap(Self.range) ?? 0..<100
    var totals = SpaceRun.Totals()
    for seed in seeds {
      var run = SpaceRun(seed: UInt64(seed))
      let failure = await run.play()
      totals.add(run.totals)
      guard failure == nil else {
        Issue.record("seed \(seed): \(failure ?? "")")
        return
      }
    }
    print("space sequences \(seeds): \(totals)")
    // The test would prove nothing if nothing was compacted, or nothing broke.
    if seeds.count >= 100 {
      #expect(totals.removed > 100 && totals.moved > 300 && totals.purged > 100 && totals.torn > 5 && totals.fromCheckpoint > 50)
    }
  }

  private static func range(_ text: String) -> Range<Int>? {
    let ends = text.split(separator: ".").compactMap { Int($0) }
    return ends.count == 2 && ends[0] <= ends[1] ? ends[0]..<(ends[1] + 1) : ends.count == 1 ? ends[0]..<(ends[0] + 1) : nil
  }
}

/// One sequence: its disk, its model, and what it may still find.
struct SpaceRun {
  struct Totals {
    var (reopened, torn, fromCheckpoint, fenced, removed, moved, purged) = (0, 0, 0, 0, 0, 0, 0)

    mutating func add(_ other: Totals) {
      reopened += other.reopened
      torn += other.torn
      fromCheckpoint += other.fromCheckpoint
      fenced += other.fenced
      removed += other.removed
      moved += other.moved
      purged += other.purged
    }
  }

  enum Block: Hashable {
    case absent
    case here(UInt64)
    case held(UInt64)
  }

  enum Operation: Sendable {
    case append(Int, UInt64)
    case raise(Int, UInt64)
    case quarantine(Int, UInt64)
    case restore(Int)
    case delete(Int, UInt64)

    var content: Int {
      switch self {
      case .append(let content, _), .raise(let content, _), .quarantine(let content, _), .restore(let content), .delete(let content, _):
        return content
      }
    }

    /// What the block is afterwards when the operation takes effect, and what it answers.
    func applied(to block: Block) -> (Block, Bool) {
      switch (self, block) {
      case (.append(_, let new), .absent): return (.here(new), true)
      case (.append(_, let new), .here(let epoch)), (.append(_, let new), .held(let epoch)): return (.here(max(epoch, new)), false)
      case (.raise(_, let new), .here(let epoch)): return (.here(max(epoch, new)), true)
      case (.quarantine(_, let below), .here(let epoch)) where epoch < below: return (.held(epoch), true)
      case (.restore, .held(let epoch)): return (.here(epoch), true)
      case (.delete(_, let below), .here(let epoch)) where epoch < below: return (.absent, true)
      case (.delete(_, let below), .held(let epoch)) where epoch < below: return (.absent, true)
      default: return (block, false)
      }
    }
  }

  static let contents: [[UInt8]] = (0..<24).map { number in
    Fixtures.bytes([0, 40, 700, 4000, 4200, 9000, 20_000, 33_000, 66_000][number % 9] + number, seed: UInt64(2000 + number))
  }
  static let ids = contents.map { Fixtures.id(of: $0) }
  static let keys = Fixtures.ring(1)
  static let now = WallTime(seconds: 1_800_000_000)
  static let later = WallTime(seconds: 1_900_000_000)

  let seed: UInt64
  private(set) var totals = Totals()
  private var random: SeededRandom
  private var disk: SimulatedDisk
  private var model: [Set<Block>] = Array(repeating: [.absent], count: SpaceRun.contents.count)

  init(seed: UInt64) {
    self.seed = seed
    random = SeededRandom(seed: seed)
    disk = SimulatedDisk(seed: random.next())
  }

  /// Nil when everything held, else what did not.
  mutating func play() async -> String? {
    for _ in 0..<Int(3 + random.next() % 4) {
      if let failure = await openAndCheck(closes: false) { return failure }
      if let failure = await work() { return failure }
    }
    return await openAndCheck(closes: true)
  }

  private var store: SegmentStore?

  private mutating func openAndCheck(closes: Bool) async -> String? {
    var configuration = SegmentStore.Configuration(folder: "/disk-1", cluster: StoreKind.cluster, keys: SpaceRun.keys)
    configuration.segmentBytes = [128 << 10, 256 << 10][Int(seed % 2)]
    configuration.durability = seed % 5 == 0 ? .relaxed : .strict
    configuration.checkpointRecords = [6, 40, 1000][Int(seed % 3)]
    configuration.readThreads = 1
    configuration.fileSystem = disk
    configuration.compaction.leastGainBytes = 1
    for level in SpaceLevel.allCases { configuration.compaction.mostLive[level] = 900 }
    do { store = try SegmentStore.open(configuration) } catch { return "the disk did not open: \(error)" }
    totals.reopened += 1
    totals.torn += store!.openReport.tornRecords
    totals.fromCheckpoint += store!.openReport.usedCheckpoint ? 1 : 0
    let failure = await check()
    if closes { await store!.close() }
    return failure
  }

  /// The store shows exactly what may be, and every byte of it. From then on the model is what it shows.
  private mutating func check() async -> String? {
    let store = store!
    let held = Dictionary(uniqueKeysWithValues: store.quarantined(after: nil, limit: .max).map { ($0.block.id, $0.block.gcEpoch) })
    let pool = Fixtures.pool(1)
    for (content, id) in SpaceRun.ids.enumerated() {
      let found: Block = store.status(of: id).map { .here($0.gcEpoch) } ?? held[id].map { .held($0) } ?? .absent
      guard model[content].contains(found) else { return "block \(content) is \(found), may be \(model[content])" }
      model[content] = [found]
      guard case .here = found else { continue }
      do {
        guard try await store.bytes(id, pool: pool) == SpaceRun.contents[content] else { return "block \(content) has other bytes" }
      } catch { return "block \(content) does not read: \(error)" }
    }
    return nil
  }

  private mutating func work() async -> String? {
    let store = store!
    planFaults()
    let bursts = 2 + random.next() % 12
    for burst in 0..<bursts {
      let operations = pickBurst()
      if burst == bursts - 1, random.next() % 4 != 0 { return await crash(during: operations) }
      if random.next() % 5 == 0 {
        if let failure = await purge() { return failure }
        continue
      }
      let compactions = random.next() % 3
      let results = await SpaceRun.perform(operations, compactions: compactions, store)
      totals.add(results.totals)
      for (operation, result) in results.answers {
        if let failure = settle(operation, result) { return failure }
      }
    }
    if disk.withState({ $0.faults.callsUntilCrash == nil }), case .healthy = store.health(), let failure = await check() { return failure }
    await store.close()
    disk = disk.afterCrash(losesPower: configurationIsStrict && random.next() % 2 == 0)
    return nil
  }

  /// In relaxed mode what was acknowledged may go with the power or a failed sync, so only kills and failed writes are tried.
  private var configurationIsStrict: Bool { seed % 5 != 0 }

  private mutating func planFaults() {
    let (kind, count, isStrict) = (random.next() % 9, Int(random.next() % 30), configurationIsStrict)
    disk.withState { state in
      if kind == 0, isStrict { state.faults.syncsUntilFailure = count }
      if kind == 1 { state.faults.writesUntilFailure = count }
      if kind == 2 { state.faults.capacity = state.usedBytes + count * 40_000 }
    }
  }

  private mutating func pickBurst() -> [Operation] {
    let contents = SpaceRun.contents.indices.shuffled(using: &random).prefix(Int(1 + random.next() % 10))
    return contents.map { content in
      let epoch = random.next() % 20
      switch random.next() % 12 {
      case 0..<6: return .append(content, epoch)
      case 6: return .raise(content, epoch)
      case 7, 8: return .quarantine(content, epoch + 5)
      case 9: return .restore(content)
      default: return .delete(content, epoch + 5)
      }
    }
  }

  private mutating func purge() async -> String? {
    let limit = Int(random.next() % 12)
    let may = model.indices.filter(mayBeHeld)
    do throws(BlockStoreError) {
      let purged = try await store!.purge(quarantinedBefore: SpaceRun.later, limit: limit)
      totals.purged += purged
      guard purged <= min(limit, may.count) else { return "\(purged) were purged, \(may.count) were held" }
    } catch { if ![.fenced, .full].contains(error.code) { return "a purge failed: \(error)" } }
    for content in may { model[content].insert(.absent) }
    // Which of them went is shown.
    if case .healthy = store!.health() { return await check() }
    return nil
  }

  private func mayBeHeld(_ content: Int) -> Bool { model[content].contains { if case .held = $0 { true } else { false } } }

  /// The power fails or the process is killed while the operations are on their way.
  private mutating func crash(during operations: [Operation]) async -> String? {
    let store = store!
    let losesPower = configurationIsStrict && random.next() % 4 != 0
    let (calls, compactions, purges) = (Int(random.next() % 16), random.next() % 4, random.next() % 4 == 0)
    let shared = AnswersBeforeCrash()
    disk.withState { state in
      state.faults.callsUntilCrash = calls
      state.onCrash = { shared.close() }
    }
    await withTaskGroup { group in
      for operation in operations { group.addTask { shared.add((operation, await SpaceRun.perform(operation, store))) } }
      group.addTask { for _ in 0..<compactions { _ = try? await store.compact(limitBytes: 1 << 20) } }
      if purges { group.addTask { _ = try? await store.purge(quarantinedBefore: SpaceRun.later, limit: 99) } }
    }
    shared.close()
    for operation in operations {
      if shared.answers.contains(where: { $0.0.content == operation.content }) { continue }
      model[operation.content].formUnion(model[operation.content].map { operation.applied(to: $0).0 })
    }
    for (operation, result) in shared.answers {
      if purges {
        // The purge came before or after it.
        model[operation.content].formUnion(model[operation.content].map { if case .held = $0 { .absent } else { $0 } })
      }
      if let failure = settle(operation, result) { return failure }
    }
    if purges { for content in model.indices where mayBeHeld(content) { model[content].insert(.absent) } }
    disk = disk.afterCrash(losesPower: losesPower)
    return nil
  }

  /// What an answer says about a block; a text when it cannot be true.
  private mutating func settle(_ operation: Operation, _ result: Result<Bool, BlockStoreError>) -> String? {
    let before = model[operation.content]
    switch result {
    case .success(let answer):
      let fitting = before.map { operation.applied(to: $0) }.filter { $0.1 == answer }
      guard !fitting.isEmpty else { return "\(operation) answered \(answer) on \(before)" }
      model[operation.content] = Set(fitting.map(\.0))
      return nil
    case .failure(let error):
      switch error.code {
      case .fenced:
        totals.fenced += 1
        model[operation.content] = before.union(before.map { operation.applied(to: $0).0 })
        return nil
      case .full: return nil
      default: return "\(operation) failed: \(error)"
      }
    }
  }

  typealias SpaceAnswer = (Operation, Result<Bool, BlockStoreError>)

  private static func perform(
    _ operations: [Operation], compactions: UInt64, _ store: SegmentStore
  ) async -> (answers: [SpaceAnswer], totals: Totals) {
    await withTaskGroup(of: (SpaceAnswer?, Totals).self) { group in
      for operation in operations { group.addTask { ((operation, await perform(operation, store)), Totals()) } }
      group.addTask {
        var totals = Totals()
        for _ in 0..<compactions {
          guard let report = try? await store.compact(limitBytes: 1 << 20) else { break }
          totals.removed += report.removedBytes > 0 ? 1 : 0
          totals.moved += report.movedRecords
        }
        return (nil, totals)
      }
      return await group.reduce(into: ([], Totals())) { all, one in
        if let answer = one.0 { all.0.append(answer) }
        all.1.add(one.1)
      }
    }
  }

  private static func perform(_ operation: Operation, _ store: SegmentStore) async -> Result<Bool, BlockStoreError> {
    do throws(BlockStoreError) {
      switch operation {
      case .append(let content, let epoch):
        guard let record = try? Fixtures.record(contents[content], gcEpoch: epoch, keys: keys) else { preconditionFailure("it seals") }
        return .success(try await store.append(record).wasNew)
      case .raise(let content, let epoch): return .success(try await store.raiseEpoch(of: ids[content], to: epoch))
      case .quarantine(let content, let epoch): return .success(try await store.quarantine(ids[content], ifEpochBelow: epoch, at: now))
      case .restore(let content): return .success(try await store.restore(ids[content]))
      case .delete(let content, let epoch): return .success(try await store.delete(ids[content], ifEpochBelow: epoch))
      }
    } catch { return .failure(error) }
  }
}

/// Answers that came before the crash. What comes later nobody heard.
private final class AnswersBeforeCrash: Sendable {
  private let state = Mutex<(isOpen: Bool, answers: [SpaceRun.SpaceAnswer])>((true, []))

  func add(_ answer: SpaceRun.SpaceAnswer) { state.withLock { state in if state.isOpen { state.answers.append(answer) } } }
  func close() { state.withLock { $0.isOpen = false } }
  var answers: [SpaceRun.SpaceAnswer] { state.withLock { $0.answers } }
}
