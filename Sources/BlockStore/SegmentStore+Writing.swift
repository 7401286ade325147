package import BlockModel
internal import Platform
internal import Synchronization

/// Appends, raises and deletes: queue, batch, write, sync, index, answer.
extension SegmentStore {
  package func append(_ record: SealedRecord) async throws(BlockStoreError) -> AppendOutcome {
    try record.checkHeader()
    let bytes = RecordPlacement.segmentBytes(recordBytes: RecordLayout.recordBytes(storedBytes: record.header.storedBytes))
    guard Segment.pageBytes + bytes.roundedUp(to: Segment.pageBytes) <= CommitLedger.blockLimit(fileBytes: configuration.segmentBytes)
    else {
      throw BlockStoreError(.full, "The disk's segments of \(configuration.segmentBytes) bytes are too small for this block.")
    }
    guard case .appended(let outcome) = try await submit(.append(record)) else { preconditionFailure("an append is answered as one") }
    return outcome
  }

  package func raiseEpoch(of block: BlockID, to epoch: UInt64) async throws(BlockStoreError) -> Bool {
    try await change(.raiseEpoch(block, to: epoch))
  }

  package func delete(_ block: BlockID, ifEpochBelow epoch: UInt64) async throws(BlockStoreError) -> Bool {
    try await change(.delete(block, ifEpochBelow: epoch))
  }

  private func change(_ request: StoreOperation.Request) async throws(BlockStoreError) -> Bool {
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
  func submit(_ operation: StoreOperation) {
    let refusal = state.withLock { state -> BlockStoreError? in
      if state.isClosing { return .closed }
      if let failure = state.failure { return BlockStoreError(.fenced, failure) }
      return state.commit.submit(operation) ? nil : .overloaded
    }
    if let refusal { return operation.answer(.failure(refusal)) }
    advance()
  }

  /// Begins what the pipeline allows to begin.
  private func advance() {
    let (effects, drained) = state.withLock { state in
      let effects = state.commit.effects()
      guard state.commit.isIdle else { return (effects, [CheckedContinuation<Void, Never>]()) }
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

  // MARK: Write

  private func write(_ operations: [StoreOperation]) {
    retryIfFull()
    do throws(FileError) {
      let (batch, left) = try plan(operations)
      try write(batch)
      state.withLock { $0.commit.wrote(batch, bytes: batch.byteCount, left: Array(left)) }
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
      try roll(forBlocks: !state.withLock { $0.ledger.refusesBlocks })
    }
    var batch = state.withLock { $0.ledger.plan([], index).batch }
    batch.answers = [(operations[0].answer, .failure(.full))]
    return (batch, operations[1...])
  }

  private func write(_ batch: CommitBatch) throws(FileError) {
    guard batch.byteCount > 0 else { return }
    let segment = state.withLock { $0.segments[Int(batch.slot)] }
    let file = try files.file(batch.slot, segment)
    let pieces = batch.pieces.map { piece in
      switch piece {
      case .bytes(let buffer, let range): return buffer.bytes(range)
      case .zeros(let count): return SegmentStore.zeros.bytes(0..<count)
      }
    }
    try file.pwritev(pieces, at: Int64(batch.offset))
    state.withLock { $0.segments[Int(batch.slot)].endBytes = batch.offset + batch.byteCount }
  }

  /// Writes and syncs on this thread, before the store has callers.
  func commitNow(_ operations: [StoreOperation]) throws {
    var left = operations
    while !left.isEmpty {
      let (batch, rest) = try plan(left)
      for (_, result) in batch.answers { _ = try result.get() }
      try write(batch)
      _ = try syncFiles(of: [batch], evenIfRelaxed: true)
      _ = try apply([batch])
      state.withLock { $0.ledger.forget(batch) }
      left = Array(rest)
    }
  }

  /// Padding is below one page.
  private static let zeros: IOBuffer = {
    let buffer = IOBuffer(capacity: Segment.pageBytes)
    buffer.mutableBytes(0..<Segment.pageBytes).initializeMemory(as: UInt8.self, repeating: 0)
    return buffer
  }()

  /// Begins a new segment, or notes that there is no room for one.
  private func roll(forBlocks: Bool) throws(FileError) {
    let (number, sequence, durable, old) = state.withLock { state in
      (
        (state.segments.last?.number ?? 0) + 1, state.ledger.takeSequence(), state.ledger.durableSequence,
        state.ledger.active.map { ($0.slot, state.segments[Int($0.slot)]) }
      )
    }
    guard state.withLock({ $0.segments.count }) < RecordLocation.slotLimit,
      let (segment, file) = try maker.make(
        number: number, sequence: sequence, durableSequence: durable, sizes: maker.sizes(forBlocks: forBlocks))
    else { return noteFull() }
    if let (slot, segment) = old { try retire(slot, segment) }
    state.withLock { state in
      let slot = UInt32(state.segments.count)
      files.adopt(file, slot)
      state.segments.append(segment)
      state.ledger.begin(segment, slot: slot)
    }
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

  // MARK: Sync

  private func sync(_ batches: [CommitBatch]) {
    var changed = false
    do throws(FileError) {
      changed = try syncFiles(of: batches)
    } catch {
      return failSyncing(batches, "A sync failed, so nothing more is acknowledged: \(error)")
    }
    if let failure = state.withLock({ $0.failure }) { return failSyncing(batches, failure) }
    do throws(BlockStoreError) {
      let gone = try apply(batches)
      state.withLock { state in
        for batch in batches {
          state.ledger.forget(batch)
          if changed { state.ledger.durableSequence = max(state.ledger.durableSequence, batch.lastSequence) }
        }
        state.commit.synced()
      }
      advance()
      for batch in batches { for (answer, result) in batch.answers { answer(result) } }
      for entry in gone { punch(entry.location, recordBytes: entry.recordBytes) }
      checkpointIfDue()
    } catch {
      failSyncing(batches, error.message)
    }
  }

  /// One `fdatasync` for each file that the batches are in; false when none was needed or wanted.
  private func syncFiles(of batches: [CommitBatch], evenIfRelaxed: Bool = false) throws(FileError) -> Bool {
    let written = batches.filter { $0.byteCount > 0 }
    let isWanted = evenIfRelaxed || configuration.durability == .strict || written.contains(where: \.deletes)
    guard !written.isEmpty, isWanted else { return false }
    var last: UInt32?
    for batch in written where batch.slot != last {
      last = batch.slot
      let segment = state.withLock { $0.segments[Int(batch.slot)] }
      try files.file(batch.slot, segment).fdatasync()
    }
    return true
  }

  /// Brings the index up to the batches, in order; answers the records that are not referred to any more.
  private func apply(_ batches: [CommitBatch]) throws(BlockStoreError) -> [IndexEntry] {
    var gone: [IndexEntry] = []
    var live: Int64 = 0
    for batch in batches {
      for change in batch.changes {
        switch change {
        case .set(let entry):
          // A copy that was set aside stays on the disk: somebody may want to look at it.
          if let old = try index.set(entry) { live -= Int64(old.recordBytes) }
          live += Int64(entry.recordBytes)
        case .raiseEpoch(let id, let epoch): try index.raiseEpoch(of: id, to: epoch)
        case .setAside(let id, let location): _ = index.setAside(id, at: location)
        case .remove(let id):
          if let old = index.remove(id) {
            live -= Int64(old.recordBytes)
            gone.append(old)
          }
        }
      }
    }
    state.withLock { state in
      state.liveBytes += live
      for batch in batches where batch.byteCount > 0 {
        state.applied = AppliedPosition(slot: batch.slot, offset: batch.offset + batch.byteCount, sequence: batch.lastSequence)
        state.recordsSinceCheckpoint += batch.recordCount
      }
    }
    return gone
  }

  /// Punches a deleted record's pages out when nobody reads them any more. Failing to is a loss of space and nothing else.
  func punch(_ location: RecordLocation, recordBytes: Int) {
    guard let range = RecordPlacement.punchable(offset: Int(location.offset), recordBytes: recordBytes) else { return }
    readers.whenFree(location) { [self] in
      let segment = state.withLock { $0.segments[Int(location.slot)] }
      guard let file = try? files.file(location.slot, segment),
        (try? file.punchHole(offset: Int64(range.lowerBound), length: Int64(range.count))) != nil
      else { return }
      state.withLock { state in
        state.segments[Int(location.slot)].punchedBytes += Int64(range.count)
        state.ledger.giveBack(range.count)
      }
    }
  }

  // MARK: Failure

  private func failWriting(_ operations: [StoreOperation], _ error: FileError) {
    let reason = "A write failed, so nothing more is acknowledged: \(error)"
    var batch = state.withLock { state in
      state.failure = state.failure ?? reason
      return state.ledger.plan([], index).batch
    }
    batch.answers = operations.map { ($0.answer, .failure(BlockStoreError(.fenced, reason))) }
    // An empty batch keeps the pipeline's order; the sync stage sees the failure and refuses it.
    state.withLock { $0.commit.wrote(batch, bytes: 0, left: []) }
  }

  private func failSyncing(_ batches: [CommitBatch], _ reason: String) {
    let failure = state.withLock { state in
      state.failure = state.failure ?? reason
      state.commit.synced()
      return state.failure ?? reason
    }
    refuse(batches, BlockStoreError(.fenced, failure))
    refuseIfFailed()
    advance()
  }

  /// After a failure: everything that waits is refused.
  private func refuseIfFailed() {
    let (queued, written, failure) = state.withLock { state in
      guard let failure = state.failure else { return ([StoreOperation](), [CommitBatch](), "") }
      let (queued, written) = state.commit.drain()
      return (queued, written, failure)
    }
    let error = BlockStoreError(.fenced, failure)
    for operation in queued { operation.answer(.failure(error)) }
    refuse(written, error)
  }

  private func refuse(_ batches: [CommitBatch], _ error: BlockStoreError) {
    for batch in batches { for (answer, _) in batch.answers { answer(.failure(error)) } }
  }
}

extension CommitLedger {
  /// Part of a segment that blocks leave to control records, so that deletes go on when the disk is full.
  static func reserve(fileBytes: Int) -> Int { min(1 << 20, fileBytes / 16).roundedUp(to: Segment.pageBytes) }

  /// Where block records stop in a segment.
  static func blockLimit(fileBytes: Int) -> Int { fileBytes - reserve(fileBytes: fileBytes) }

  /// Writes go to a new segment from now on.
  mutating func begin(_ segment: Segment, slot: UInt32) {
    active = Active(segment, slot: slot)
    segmentNumbers.append(segment.number)
    occupiedBytes += Int64(segment.endBytes)
  }
}

extension CommitLedger.Active {
  init(_ segment: Segment, slot: UInt32) {
    self.init(
      slot: slot, id: segment.id, end: segment.endBytes,
      blockLimit: CommitLedger.blockLimit(fileBytes: segment.fileBytes), fileBytes: segment.fileBytes)
  }
}
