package import BlockModel
internal import Platform
internal import Synchronization

/// Appends, raises and deletes: queue, batch, write, sync, index, answer.
extension SegmentStore {
  package func append(_ record: SealedRecord) async throws(BlockStoreError) -> AppendOutcome {
    try check(record)
    return try SegmentStore.appended(await submit(.append(record)))
  }

  package func append(_ records: [SealedRecord]) async -> [Result<AppendOutcome, BlockStoreError>] {
    let refusals = records.map { record -> BlockStoreError? in
      do throws(BlockStoreError) { try check(record) } catch { return error }
      return nil
    }
    var answers = await submitTogether(zip(records, refusals).compactMap { $1 == nil ? .append($0) : nil })[...]
    return refusals.map { refusal in
      if let refusal { return .failure(refusal) }
      guard let answer = answers.popFirst() else { preconditionFailure("each operation is answered") }
      return answer.map(SegmentStore.appended)
    }
  }

  private static func appended(_ outcome: StoreOperation.Outcome) -> AppendOutcome {
    guard case .appended(let outcome) = outcome else { preconditionFailure("an append is answered as one") }
    return outcome
  }

  /// - Throws: unless the record is one, and fits into a segment.
  private func check(_ record: SealedRecord) throws(BlockStoreError) {
    try record.checkHeader()
    let bytes = RecordPlacement.segmentBytes(recordBytes: RecordLayout.recordBytes(storedBytes: record.header.storedBytes))
    guard Segment.pageBytes + bytes.roundedUp(to: Segment.pageBytes) <= CommitLedger.blockLimit(fileBytes: configuration.segmentBytes)
    else {
      throw BlockStoreError(.full, "The disk's segments of \(configuration.segmentBytes) bytes are too small for this block.")
    }
  }

  package func raiseEpoch(of block: BlockID, to epoch: UInt64) async throws(BlockStoreError) -> Bool {
    try await change(.raiseEpoch(block, to: epoch))
  }

  package func delete(_ block: BlockID, ifEpochBelow epoch: UInt64) async throws(BlockStoreError) -> Bool {
    try await change(.delete(block, ifEpochBelow: epoch))
  }

  func change(_ request: StoreOperation.Request) async throws(BlockStoreError) -> Bool {
    guard case .changed(let changed) = try await submit(request) else { preconditionFailure("a change is answered as one") }
    return changed
  }

  private func submit(_ request: StoreOperation.Request) async throws(BlockStoreError) -> StoreOperation.Outcome {
    let result = await withCheckedContinuation { continuation in
      submit(StoreOperation(request: request) { continuation.resume(returning: $0) })
    }
    return try result.get()
  }

  /// Queues an operation; it is answered exactly once, also when it is refused.
  func submit(_ operation: StoreOperation) { submit([operation]) { $0.submit(operation) } }

  /// Queues operations next to each other, and answers when all of them are answered, in their order.
  private func submitTogether(_ requests: [StoreOperation.Request]) async -> [Result<StoreOperation.Outcome, BlockStoreError>] {
    await collect(requests) { operations in submit(operations) { $0.submit(operations) } }
  }

  /// Queues operations behind everything that others ask for, and answers when all of them are answered, in their order.
  func submitBehind(_ requests: [StoreOperation.Request]) async -> [Result<StoreOperation.Outcome, BlockStoreError>] {
    await collect(requests) { operations in submit(operations) { $0.submitBehind(operations) } }
  }

  private func collect(
    _ requests: [StoreOperation.Request], _ submit: ([StoreOperation]) -> Void
  ) async -> [Result<StoreOperation.Outcome, BlockStoreError>] {
    guard !requests.isEmpty else { return [] }
    return await withCheckedContinuation { continuation in
      let answers = AnswerCollector(count: requests.count) { continuation.resume(returning: $0) }
      submit(requests.enumerated().map { number, request in StoreOperation(request: request) { answers.take($0, number) } })
    }
  }

  /// Hands operations to the pipeline, or refuses all of them.
  private func submit(_ operations: [StoreOperation], _ add: (inout GroupCommit<StoreOperation, CommitBatch>) -> Bool) {
    let refusal = state.withLock { state -> BlockStoreError? in
      if state.isClosing { return .closed }
      if let failure = state.failure { return BlockStoreError(.fenced, failure) }
      return add(&state.commit) ? nil : .overloaded
    }
    guard let refusal else { return advance() }
    for operation in operations { operation.answer(.failure(refusal)) }
  }

  /// Begins what the pipeline allows to begin.
  func advance() {
    let (effects, drained) = state.withLock { state in
      let effects = state.commit.effects()
      guard state.isDrained else { return (effects, [CheckedContinuation<Void, Never>]()) }
      defer { state.drainWaiters = [] }
      return (effects, state.drainWaiters)
    }
    for waiter in drained { waiter.resume() }
    for effect in effects {
      let refusal: BlockingPool.Refused?
      switch effect {
      case .write(let operations): refusal = commitThreads.submit { self.write(operations) }
      case .sync(let batches): refusal = commitThreads.submit { self.sync(batches) }
      }
      // One write, one sync and one checkpoint at a time are far below the pool's bound, and it is never shut down.
      precondition(refusal == nil, "the store's threads take what the pipeline begins")
    }
  }

  private func write(_ operations: [StoreOperation]) {
    retryIfFull()
    do throws(FileError) {
      var (batch, left) = try plan(operations)
      try write(&batch)
      let (written, waiting) = (batch, Array(left))
      state.withLock { $0.commit.wrote(written, bytes: written.byteCount, left: waiting) }
    } catch {
      failWriting(operations, error)
    }
    refuseIfFailed()
    advance()
  }

  /// The first batch of `operations`; makes a segment when none has room.
  private func plan(_ operations: [StoreOperation]) throws(FileError) -> (CommitBatch, ArraySlice<StoreOperation>) {
    // Each turn either takes an operation, or makes a segment, or stops taking blocks, or gives up on the first operation.
    for _ in 0..<3 {
      let (batch, left) = state.withLock { $0.ledger.plan(operations, index) }
      if left.count < operations.count { return (batch, left) }
      if case .move = operations[0].request {
        guard try roll(.moves) else { break }
      } else {
        _ = try roll(state.withLock { $0.ledger.refusesBlocks } ? .control : .blocks)
      }
    }
    var batch = state.withLock { $0.ledger.plan([], index).batch }
    batch.answers = [(operations[0].answer, .failure(.full))]
    return (batch, operations[1...])
  }

  private func write(_ batch: inout CommitBatch) throws(FileError) {
    guard batch.byteCount > 0 else { return }
    let (slot, end) = (batch.slot, batch.offset + batch.byteCount)
    let segment = state.withLock { $0.segments[Int(slot)] }
    let file = try files.file(slot, segment)
    batch.file = file
    try writer.write(batch, to: file) { () throws(FileError) in try files.directFile(slot, segment) }
    state.withLock { $0.segments[Int(slot)].endBytes = end }
  }

  /// Writes and syncs on this thread, before the store has callers.
  func commitNow(_ operations: [StoreOperation]) throws {
    var left = operations
    while !left.isEmpty {
      var (batch, rest) = try plan(left)
      for (_, result) in batch.answers { _ = try result.get() }
      try write(&batch)
      _ = try syncFiles(of: [batch], evenIfRelaxed: true)
      _ = try apply([batch])
      let durable = batch
      state.withLock { $0.ledger.forget(durable) }
      left = Array(rest)
    }
  }

  /// Begins a new segment; when there is no room for one, notes that no blocks can be taken, and answers false.
  private func roll(_ purpose: SegmentMaker.Purpose) throws(FileError) -> Bool {
    let (number, sequence, durable, old) = state.withLock { state in
      (
        (state.segments.last?.number ?? 0) + 1, state.ledger.takeSequence(), state.ledger.durableSequence,
        state.ledger.active.map { ($0.slot, state.segments[Int($0.slot)]) }
      )
    }
    guard state.withLock({ $0.segments.count }) < RecordLocation.slotLimit,
      let (segment, file) = try make(purpose, number, sequence, durable)
    else {
      if purpose != .moves { noteFull() }
      return false
    }
    if let (slot, segment) = old { try retire(slot, segment) }
    state.withLock { state in
      let slot = UInt32(state.segments.count)
      files.adopt(file, slot)
      state.segments.append(segment)
      state.keyEpochs[segment.number] = configuration.keys?.current?.epoch ?? 0
      state.ledger.begin(segment, slot: slot)
    }
    return true
  }

  /// A segment of what the file system has beyond what blocks leave free; for everything but blocks the reserve when it has nothing.
  private func make(
    _ purpose: SegmentMaker.Purpose, _ number: UInt32, _ sequence: UInt64, _ durable: UInt64
  ) throws(FileError) -> (Segment, any OpenFile)? {
    let sizes = maker.sizes(purpose, freeBytes: purpose == .blocks ? try bytesForSegments() : .max)
    if let made = try maker.make(number: number, sequence: sequence, durableSequence: durable, sizes: sizes) { return made }
    guard purpose != .blocks, state.withLock({ $0.reserveBytes }) > 0 else { return nil }
    let made = try maker.makeFromReserve(
      folder: configuration.folder, number: number, sequence: sequence, durableSequence: durable)
    state.withLock { $0.reserveBytes = 0 }
    return made
  }

  /// What new segments for blocks may take: the watermark's share of what the file system has for the store stays free.
  private func bytesForSegments() throws(FileError) -> Int64 {
    let available = try configuration.fileSystem.space(configuration.folder).available
    let occupied = state.withLock { $0.ledger.occupiedBytes }
    return available - configuration.watermarks.keptBytes(capacityBytes: available + occupied)
  }

  /// A full segment: what it reserved and did not use goes back, and in relaxed mode it is synced, so that only the active one is not.
  private func retire(_ slot: UInt32, _ segment: Segment) throws(FileError) {
    let file = try files.file(slot, segment)
    if configuration.durability == .relaxed { try file.fdatasync() }
    try file.truncate(to: Int64(segment.endBytes))
    state.withLock { $0.segments[Int(slot)].fileBytes = segment.endBytes }
  }

  private func noteFull() {
    let now = configuration.time.monotonic()
    state.withLock { state in
      state.ledger.refusesBlocks = true
      state.fullReason = "The file system has no room for another segment."
      state.retryWhenFull = now + .seconds(1)
    }
  }

  /// Space may have come from somebody else: once a second a full disk is asked again.
  private func retryIfFull() {
    let now = configuration.time.monotonic()
    state.withLock { state in
      if state.ledger.refusesBlocks, now >= state.retryWhenFull { state.ledger.refusesBlocks = false }
    }
  }
}

/// Collects the answers of operations that were asked together.
private final class AnswerCollector: Sendable {
  private let state: Mutex<(answers: [Result<StoreOperation.Outcome, BlockStoreError>?], left: Int)>
  private let whenDone: @Sendable ([Result<StoreOperation.Outcome, BlockStoreError>]) -> Void

  init(count: Int, whenDone: @Sendable @escaping ([Result<StoreOperation.Outcome, BlockStoreError>]) -> Void) {
    state = Mutex((Array(repeating: nil, count: count), count))
    self.whenDone = whenDone
  }

  func take(_ answer: Result<StoreOperation.Outcome, BlockStoreError>, _ number: Int) {
    let all = state.withLock { state -> [Result<StoreOperation.Outcome, BlockStoreError>]? in
      precondition(state.answers[number] == nil, "an operation is answered once")
      state.answers[number] = answer
      state.left -= 1
      return state.left == 0 ? state.answers.compactMap { $0 } : nil
    }
    if let all { whenDone(all) }
  }
}
