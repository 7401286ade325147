internal import BlockModel
internal import Platform
internal import Synchronization

/// Gives back the space of a segment that is mostly dead, in pieces that a caller paces.
///
/// What is durable before what:
/// 1. Live copies are read, checked, and written once more through the writer's queue, under new sequence numbers. The ledger moves a copy only if
///    it still is what counts after everything that was decided before; the index names the new place only after the sync that covers it, in
///    relaxed mode too. The old copies stay untouched, so a crash leaves at least one good copy, and the highest sequence number wins.
/// 2. Control records that still count are written anew in the same way. Sequence numbers grow with segment numbers, so all that is older
///    than a tombstone lies in segments up to its own: one is dropped when none of those has a dead record, and until then written anew with the
///    number of that segment.
/// 3. When the index names no record of the segment, every answer has come, and the last reader has left, the file is removed, and the folder is
///    synced before anything relies on its being gone. A file that comes back before that, after a crash, holds only what newer records
///    speak about.
/// A copy that was set aside is never moved and never dropped: its segment stays until another copy has replaced it.
///
/// A step that fails on the segment itself leaves it as it is, and it is not tried again before the next start.
extension SegmentStore {
  package func compact(limitBytes: Int) async throws(BlockStoreError) -> CompactionReport? {
    let begins = state.withLock { state in
      guard !state.isCompacting, !state.isClosing else { return false }
      state.isCompacting = true
      return true
    }
    guard begins else {
      if state.withLock({ $0.isClosing }) { throw .closed }
      return nil
    }
    defer {
      state.withLock { $0.isCompacting = false }
      advance()
    }
    do throws(BlockStoreError) { return try await compactNext(limitBytes: limitBytes) } catch {
      state.withLock { state in
        if let job = state.compaction, [.io, .rotten, .wrongKey, .malformed].contains(error.code) {
          state.segments[Int(job.slot)].isKept = true
        }
        state.compaction = nil
      }
      throw error
    }
  }

  private func compactNext(limitBytes: Int) async throws(BlockStoreError) -> CompactionReport? {
    guard var job = state.withLock({ $0.compaction }) ?? chooseSegment() else { return nil }
    state.withLock { [job] in $0.compaction = job }
    var report = CompactionReport()
    while report.movedBytes < limitBytes, !job.isAtEnd {
      let begun = job
      let piece = try await onReadThread { () throws(BlockStoreError) in try self.collect(begun) }
      for (request, result) in zip(piece.requests, await submitBehind(piece.requests)) {
        guard case .changed(true) = try result.get() else { continue }
        report.movedBytes += StoreOperation(request: request, answer: { _ in }).segmentBytes
        if case .move = request { report.movedRecords += 1 }
      }
      job = piece.job
      state.withLock { [job] in $0.compaction = job }
    }
    guard job.isAtEnd else { return report }
    report.removedBytes = try await removeSegment(job.slot)
    state.withLock { $0.compaction = nil }
    return report
  }

  /// The segment that is worth it most.
  private func chooseSegment() -> CompactionJob? {
    let available = (try? configuration.fileSystem.space(configuration.folder).available) ?? 0
    return state.withLock { state in
      guard state.failure == nil else { return nil }
      let candidates = state.segments.enumerated().compactMap { slot, segment -> CompactionPolicy.Candidate? in
        let slot = UInt32(slot)
        // What was written to later ones may not be in the index yet.
        guard slot < state.applied.slot, !segment.isGone, !segment.isKept else { return nil }
        return CompactionPolicy.Candidate(
          slot: slot, occupiedBytes: segment.occupiedBytes, liveBytes: segment.usage.placedBytes + segment.restatedBytes)
      }
      let unused = Int64(state.ledger.active.map { max(0, $0.blockLimit - $0.end) } ?? 0)
      let fresh = available >= Int64(maker.sizes(.moves).last ?? .max) ? available : 0
      let level = space(state, availableBytes: available, blocks: 0).level
      return configuration.compaction.choose(candidates, level: level, roomBytes: unused + fresh + state.reserveBytes)
        .map { CompactionJob(slot: $0.slot) }
    }
  }

  /// The next requests for a segment's records, about a megabyte of them. Blocks.
  private func collect(_ job: CompactionJob) throws(BlockStoreError) -> (requests: [StoreOperation.Request], job: CompactionJob) {
    let segment = state.withLock { $0.segments[Int(job.slot)] }
    let file: any OpenFile
    do { file = try files.directFile(job.slot, segment) } catch { throw .io(error) }
    var scanner = SegmentScanner(file: file, segment: segment.id, from: job.position, size: segment.endBytes)
    let reader = PageReader()
    var requests: [StoreOperation.Request] = []
    var (bytes, job) = (0, job)
    while bytes < CompactionJob.pieceBytes, requests.count < CompactionJob.pieceRecords {
      let scanned: ScannedRecord?
      do { scanned = try scanner.next() } catch { throw .io(error) }
      guard scanner.unreadableBytes == 0 else {
        throw BlockStoreError(.io, "Segment \(segment.number) has pages that cannot be read; what they say would be lost with it.")
      }
      guard let scanned else {
        job.isAtEnd = true
        break
      }
      job.position = scanner.position
      let location = RecordLocation(slot: job.slot, unit: scanned.local.unit)
      switch scanned.content {
      case .block(let header):
        guard let entry = index.entry(of: header.block), entry.location == location, !entry.isSetAside else { continue }
        let source = RecordSource(
          file: file, segment: segment.id, offset: location.offset, recordBytes: entry.recordBytes, direct: reader)
        let buffer = IOBuffer(capacity: entry.recordBytes.roundedUp(to: Segment.pageBytes))
        guard let record = try record(of: entry, into: buffer, from: source) else { throw setAside(entry) }
        requests.append(.move(record, from: location))
        bytes += entry.recordBytes
      case .control(let body):
        guard mayBeNeeded(scanned.local, body, of: segment) else { continue }
        requests.append(.restate(scanned.local, body, segmentSlot: job.slot))
        bytes += RecordPlacement.controlBytes
      case .segment: continue
      }
    }
    return (requests, job)
  }

  /// Whether a control record may count for anything once its segment is gone; the ledger knows about the block itself.
  private func mayBeNeeded(_ local: LocalHeader, _ body: ControlBody, of segment: Segment) -> Bool {
    switch local.kind {
    case .tombstone:
      let last = body.segmentNumber == 0 ? segment.number : body.segmentNumber
      return state.withLock { state in
        state.segments.contains { !$0.isGone && $0.number <= last && $0.number != segment.number && $0.deadRecords > 0 }
      }
    case .setAside:
      return state.withLock { state in
        state.segments.contains { !$0.isGone && $0.number == body.segmentNumber && $0.number != segment.number }
      }
    case .epochRaise, .quarantine, .restore: return true
    case .block, .segment: return false
    }
  }

  /// Removes a segment that nothing is left in; answers the bytes that came back, 0 when something is left.
  private func removeSegment(_ slot: UInt32) async throws(BlockStoreError) -> Int64 {
    let segment = state.withLock { $0.segments[Int(slot)] }
    guard segment.usage.records == 0 else {
      // A copy that was set aside, or one whose header is damaged.
      state.withLock { $0.segments[Int(slot)].isKept = true }
      return 0
    }
    await withCheckedContinuation { continuation in readers.whenFree(segment: slot) { continuation.resume() } }
    try await onReadThreadEvenIfClosing { () throws(BlockStoreError) in
      do {
        try self.configuration.fileSystem.remove(self.files.path(of: segment))
        self.files.forget(slot)
        try self.configuration.fileSystem.syncDirectory(self.files.folder)
      } catch {
        // Whether the file is there after the next crash is not known, so nothing may rely on either.
        let reason = "Removing a segment failed, so nothing more is acknowledged: \(error)"
        self.state.withLock { $0.failure = $0.failure ?? reason }
        throw BlockStoreError(.fenced, reason)
      }
    }
    state.withLock { state in
      let bytes = state.segments[Int(slot)].occupiedBytes
      state.segments[Int(slot)].isGone = true
      state.ledger.giveBack(Int(bytes))
    }
    keepReserve()
    return segment.occupiedBytes
  }
}

/// How far the compaction of one segment is.
struct CompactionJob: Sendable {
  /// What is read before it is written: live bytes, or records.
  static let pieceBytes = 1 << 20
  static let pieceRecords = 1024

  var slot: UInt32
  /// Everything before this place is moved and written anew, durably.
  var position = 0
  var isAtEnd = false

  init(slot: UInt32) { self.slot = slot }
}
