package import BlockModel
package import Platform
internal import Synchronization

/// Reads: find, scatter the frames into one piece, check and open them there.
extension SegmentStore {
  package func read(_ block: BlockID, range: Range<Int>?, into pool: BufferPool) async throws(BlockStoreError) -> Payload {
    guard let entry = index.entry(of: block), entry.isShown else { throw absence(of: block) }
    if let range, range.lowerBound < 0 || range.upperBound > entry.storedBytes { throw .outside(range, entry.stored) }
    let buffer = try await pool.acquireForStore(bytes: entry.recordBytes)
    let isWhole = range.map { $0 == 0..<entry.storedBytes } ?? true
    let isPastCache = isWhole && isLarge(entry) && !history.note(block)
    return try await onReadThread { () throws(BlockStoreError) in
      try self.withCopy(of: block, first: isPastCache ? PageReader() : nil) { (entry, source) throws(BlockStoreError) in
        try self.payload(of: entry, range, into: buffer, from: source)
      }
    }
  }

  package func readCached(_ block: BlockID, into buffer: IOBuffer) -> Payload? {
    guard
      let entry = index.entry(
        of: block, whileHeld: { if $0.isShown, $0.recordBytes <= buffer.capacity { readers.enter($0.location) } }),
      entry.isShown, entry.recordBytes <= buffer.capacity
    else { return nil }
    defer { readers.leave(entry.location) }
    guard !state.withLock({ $0.isClosing || $0.dead != nil }), var source = try? source(of: entry, nil) else { return nil }
    source.isCachedOnly = true
    // A check that fails here is looked into where reading may take its time.
    return try? payload(of: entry, nil, into: buffer, from: source)
  }

  package func readRecord(_ block: BlockID, into pool: BufferPool) async throws(BlockStoreError) -> SealedRecord {
    guard let entry = index.entry(of: block), entry.isShown else { throw absence(of: block) }
    let buffer = try await pool.acquireForStore(bytes: entry.recordBytes)
    let isPastCache = isLarge(entry)
    return try await onReadThread { () throws(BlockStoreError) in
      // Copied once, and not read here by a user for it.
      try self.withCopy(of: block, first: isPastCache ? PageReader() : nil) { (entry, source) throws(BlockStoreError) in
        try self.record(of: entry, into: buffer, from: source)
      }
    }
  }

  package func verify(_ block: BlockID, using pool: BufferPool) async throws(BlockStoreError) {
    guard let entry = index.entry(of: block), entry.isShown else { throw absence(of: block) }
    let buffer = try await pool.acquireForStore(bytes: entry.recordBytes)
    try await onReadThread { () throws(BlockStoreError) in try self.verify(block, buffer, PageReader()) }
  }

  /// Reads the copy back by `reader`, past the page cache, and re-hashes it.
  func verify(_ block: BlockID, _ buffer: IOBuffer, _ reader: PageReader) throws(BlockStoreError) {
    try withCopy(of: block, first: reader) { (entry, source) throws(BlockStoreError) -> Void? in
      guard let payload = try self.payload(of: entry, nil, into: buffer, from: source),
        PayloadHash.fits(buffer.bytes(payload.range), entry.stored)
      else { return nil }
      return ()
    }
  }

  /// Whether the record is worth reading past the page cache.
  private func isLarge(_ entry: IndexEntry) -> Bool { entry.recordBytes >= configuration.directReadBytes }

  private func absence(of block: BlockID) -> BlockStoreError {
    if state.withLock({ $0.isClosing }) { return .closed }
    return index.entry(of: block)?.isSetAside == true ? .rotten(block) : .notFound(block)
  }

  func onReadThread<R: Sendable>(_ work: @Sendable @escaping () throws(BlockStoreError) -> R) async throws(BlockStoreError) -> R {
    let refusal = state.withLock { $0.isClosing ? BlockStoreError.closed : $0.dead.map { BlockStoreError(.io, $0) } }
    if let refusal { throw refusal }
    return try await onReadThreadEvenIfClosing(work)
  }

  func onReadThreadEvenIfClosing<R: Sendable>(
    _ work: @Sendable @escaping () throws(BlockStoreError) -> R
  ) async throws(BlockStoreError) -> R {
    do { return try await readThreads.run(work) } catch let error as BlockStoreError {
      guard error.code == .unreadable else { throw error }
      // A disk that reads nothing any more is found out at once, and not read by read.
      _ = try? await readThreads.run { self.answers() }
      throw BlockStoreError(.io, error.message)
    } catch {
      throw BlockStoreError(.busy, "The read did not begin: \(error)")
    }
  }

  /// Runs `body` on the block's copy until it answers: through the page cache (or past it by `first`), then, when the check failed and the
  /// copy is still where it was, past it anew. A copy that fails twice is set aside.
  func withCopy<R>(
    of block: BlockID, first: PageReader? = nil, _ body: (IndexEntry, RecordSource) throws(BlockStoreError) -> R?
  ) throws(BlockStoreError) -> R {
    // The copy may move or go while it is read; each turn looks it up anew.
    for _ in 0..<4 {
      guard let entry = index.entry(of: block, whileHeld: { if !$0.isSetAside { readers.enter($0.location) } }) else {
        throw .notFound(block)
      }
      guard !entry.isSetAside else { throw .rotten(block) }
      defer { readers.leave(entry.location) }
      if let answer = try body(entry, source(of: entry, first)) { return answer }
      guard index.entry(of: block)?.location == entry.location else { continue }
      if let answer = try body(entry, source(of: entry, PageReader())) { return answer }
      guard index.entry(of: block)?.location == entry.location else { continue }
      throw setAside(entry)
    }
    throw BlockStoreError(.busy, "Block \(block) was replaced again and again while it was read.")
  }

  /// - Parameter direct: reads past the page cache; nil for a read through it.
  private func source(of entry: IndexEntry, _ direct: PageReader?) throws(BlockStoreError) -> RecordSource {
    let slot = entry.location.slot
    let segment = state.withLock { $0.segments[Int(slot)] }
    do {
      let file = direct == nil ? try files.file(slot, segment) : try files.directFile(slot, segment)
      return RecordSource(
        file: file, segment: segment.id, offset: entry.location.offset, recordBytes: entry.recordBytes,
        direct: direct)
    } catch { throw .io(error) }
  }

  /// Takes the copy out of sight at once, and notes it durably in its turn.
  func setAside(_ entry: IndexEntry) -> BlockStoreError {
    if index.setAside(entry.id, at: entry.location) {
      submit(StoreOperation(request: .setAside(entry.id, entry.location)) { _ in })
    }
    return .rotten(entry.id)
  }

  /// Nil when the check fails.
  private func payload(
    of entry: IndexEntry, _ range: Range<Int>?, into buffer: IOBuffer, from source: RecordSource
  ) throws(BlockStoreError) -> Payload? {
    let asked = range ?? 0..<entry.storedBytes
    // The block may have been deleted and come back in another encoding since the caller looked.
    guard asked.upperBound <= entry.storedBytes, entry.recordBytes <= buffer.capacity else { throw .outside(asked, entry.stored) }
    if asked.count == entry.storedBytes, source.hasPages(for: buffer) { return try wholePayload(of: entry, into: buffer, from: source) }
    let last = RecordLayout.frameCount(storedBytes: entry.storedBytes) - 1
    let frames =
      min(last, asked.lowerBound / Limits.frameBytes)...min(last, max(asked.lowerBound, asked.upperBound - 1) / Limits.frameBytes)
    guard try source.openFrames(frames, of: entry, into: buffer, keys: configuration.keys) else { return nil }
    let start = asked.lowerBound - frames.lowerBound * Limits.frameBytes
    return Payload(block: entry.stored, buffer: buffer, range: start..<(start + asked.count))
  }

  /// The payload of a record that is read in one piece, and opened where it came to lie; nil when the check fails.
  private func wholePayload(
    of entry: IndexEntry, into buffer: IOBuffer, from source: RecordSource
  ) throws(BlockStoreError) -> Payload? {
    guard try source.fetchPages(into: buffer), let header = source.header(buffer.bytes(0..<RecordLayout.framesStart), of: entry) else {
      return nil
    }
    do throws(BlockStoreError) {
      let record = SealedRecord(header: header, buffer: buffer, gcEpoch: entry.gcEpoch)
      return Payload(block: entry.stored, buffer: buffer, range: try RecordOpener.open(record, keys: configuration.keys))
    } catch {
      guard error.code == .malformed else { throw error }
      return nil
    }
  }

  /// Nil when the check fails.
  func record(of entry: IndexEntry, into buffer: IOBuffer, from source: RecordSource) throws(BlockStoreError) -> SealedRecord? {
    guard entry.recordBytes <= buffer.capacity else { throw .outside(0..<entry.recordBytes, entry.stored) }
    let whole = buffer.mutableBytes(0..<entry.recordBytes)
    let isFetched = source.hasPages(for: buffer) ? try source.fetchPages(into: buffer) : try source.fetch([whole], from: 0)
    guard isFetched, let header = source.header(UnsafeRawBufferPointer(whole), of: entry) else { return nil }
    let record = SealedRecord(header: header, buffer: buffer, gcEpoch: entry.gcEpoch)
    return try RecordOpener.check(record, keys: configuration.keys) ? record : nil
  }
}
