import BlockModel
import ClusterLogic
import MetadataStore
import Platform
import Synchronization

/// `GarbageMetadata` in memory: what it knows is garbage, and what it authorized.
final class FakeGarbage: GarbageMetadata {
  struct State {
    var epoch: UInt64 = 1
    var hold: String?
    var runs: [GarbageRun] = []
    var generation: UInt64 = 0
    var causes: [BlockID: GarbageCause] = [:]
    var log: [BlockID: UInt64] = [:]
    var isBroken = false
    var isUndoDue = false
  }

  let state = Mutex(State())
  /// The cluster's.
  let clock = Mutex<(any TimeSource)?>(nil)

  private func use<T: Sendable>(_ body: (inout State) throws(MetadataError) -> T) throws(MetadataError) -> T {
    let result: Result<T, MetadataError> = state.withLock { state in
      guard !state.isBroken else { return .failure(MetadataError(.unavailable, "the database is away")) }
      do throws(MetadataError) { return .success(try body(&state)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  func garbageRecord() async throws(MetadataError) -> GarbageRecord {
    try use { state in
      GarbageRecord(
        epoch: state.epoch, hold: state.hold, newest: state.runs.last, unreferenced: state.causes.count, isUndoDue: state.isUndoDue)
    }
  }

  func garbageRuns(limit: Int) async throws(MetadataError) -> [GarbageRun] {
    try use { state in Array(state.runs.reversed().prefix(limit)) }
  }

  func beginGarbageRun(_ request: GarbageRunRequest) async throws(MetadataError) -> GarbageRun {
    let now = clock.withLock { $0?.wall() } ?? .epoch
    return try use { (state) throws(MetadataError) in
      guard state.hold == nil, state.runs.last?.phase ?? .ended == .ended else { throw MetadataError(.conflict, "not now") }
      state.epoch += 1
      state.generation = request.generation
      let run = GarbageRun(
        number: UInt64(state.runs.count + 1), epoch: state.epoch, cause: request.cause, startedAt: now,
        partitionCount: request.partitionCount, acceptsUnlogged: request.acceptsUnlogged)
      state.runs.append(run)
      return run
    }
  }

  func adoptGarbageRun(generation: UInt64) async throws(MetadataError) -> GarbageRun? {
    try use { state in
      guard let run = state.runs.last, run.phase != .ended else { return nil }
      state.generation = generation
      return run
    }
  }

  private static func check(_ run: UInt64, _ generation: UInt64, _ state: State) throws(MetadataError) {
    guard state.runs.last?.number == run, state.runs.last?.phase != .ended, state.generation == generation else {
      throw MetadataError(.conflict, "not this run any more")
    }
  }

  func saveGarbageRun(_ run: GarbageRun, generation: UInt64) async throws(MetadataError) {
    try use { (state) throws(MetadataError) in
      try FakeGarbage.check(run.number, generation, state)
      state.runs[state.runs.count - 1] = run
      if run.phase == .ended { state.epoch = max(state.epoch, run.epoch + 1) }
    }
  }

  func garbageVerdicts(on blocks: [BlockID], below epoch: UInt64) async throws(MetadataError) -> [GarbageVerdict] {
    try use { state in blocks.compactMap { block in state.causes[block].map { GarbageVerdict(block: block, cause: $0) } } }
  }

  func authorizeDeletes(of blocks: [BlockID], run: UInt64, generation: UInt64) async throws(MetadataError) -> [BlockID] {
    try use { (state) throws(MetadataError) in
      try FakeGarbage.check(run, generation, state)
      let granted = blocks.filter { state.causes[$0] != nil }
      for block in granted {
        state.log[block] = state.epoch
        state.causes[block] = .deletedBefore
      }
      return granted
    }
  }

  func forgetGarbage(run: UInt64, generation: UInt64, limit: Int) async throws(MetadataError) -> Int {
    try use { (state) throws(MetadataError) in
      try FakeGarbage.check(run, generation, state)
      return 0
    }
  }

  func holdGarbage(_ reason: String?) async throws(MetadataError) {
    try use { state in
      state.hold = reason
      guard reason != nil, let run = state.runs.last, run.phase != .ended else { return }
      state.runs[state.runs.count - 1].phase = .ended
      state.runs[state.runs.count - 1].outcome = .stopped
    }
  }

  func finishGarbageUndo() async throws(MetadataError) { try use { state in state.isUndoDue = false } }

  func unaccountedDeletes(_ deletes: [(block: BlockID, epoch: UInt64)]) async throws(MetadataError) -> [BlockID] {
    try use { state in deletes.filter { delete in state.log[delete.block].map { $0 < delete.epoch } ?? true }.map(\.block) }
  }
}
