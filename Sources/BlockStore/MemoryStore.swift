package import BlockModel
package import Platform
internal import Synchronization

/// The model of a block store: everything in memory, nothing durable, as simple as can be. The conformance suite holds the
/// segments on disk against it, and tests of whoever uses a store run on it.
package final class MemoryStore: BlockStoring {
  fileprivate struct Copy {
    var block: StoredBlock
    var header: RecordHeader
    /// The whole record as `RecordLayout` places it.
    var bytes: [UInt8]
    var isSetAside = false
    /// Counts what was ever appended, in place of a place on a disk.
    var place: UInt32
    var quarantine: Quarantine?
    var isShown: Bool { !isSetAside && quarantine == nil }
  }

  fileprivate struct State {
    var copies: [BlockID: Copy] = [:]
    var usedBytes: Int64 = 0
    var isClosed = false
    var health = DiskHealth.healthy
    var appended: UInt32 = 0
    var scrub: ScrubProgress?
  }

  package let disk: DiskID
  private let keys: DataKeyring?
  private let capacityBytes: Int64
  private let state = Mutex(State())

  /// - Parameters:
  ///   - keys: nil when encryption is off.
  ///   - capacityBytes: bytes that records may take in all.
  package init(disk: DiskID = .random(), keys: DataKeyring? = nil, capacityBytes: Int64 = 1 << 40) {
    self.disk = disk
    self.keys = keys
    self.capacityBytes = capacityBytes
  }

  /// Changes one bit of a record's payload, as a rotten disk does; false when the block is not here. For tests.
  package func rot(_ block: BlockID) -> Bool {
    state.withLock { state in
      guard var copy = state.copies[block] else { return false }
      copy.bytes[copy.bytes.count - Limits.frameTagBytes - (copy.block.storedBytes > 0 ? 1 : 0)] ^= 1
      state.copies[block] = copy
      return true
    }
  }

  /// Sets what `health` answers; anything but healthy refuses new blocks. For tests.
  package func setHealth(_ health: DiskHealth) { state.withLock { $0.health = health } }

  package func status(of block: BlockID) -> StoredBlock? {
    state.withLock { state in
      if case .failed = state.health { return nil }
      return state.copies[block].flatMap { $0.isShown ? $0.block : nil }
    }
  }

  package func status(of blocks: [BlockID]) -> [StoredBlock?] { blocks.map { status(of: $0) } }

  package func existence(of blocks: [BlockID]) -> [Bool] { blocks.map { status(of: $0) != nil } }

  package func append(_ record: SealedRecord) async throws(BlockStoreError) -> AppendOutcome {
    try record.checkHeader()
    let bytes = Array(record.buffer.bytes(0..<RecordLayout.recordBytes(storedBytes: record.header.storedBytes)))
    return try state.withLock { state in Result { () throws(BlockStoreError) in try state.append(record, bytes, capacityBytes) } }.get()
  }

  package func raiseEpoch(of block: BlockID, to epoch: UInt64) async throws(BlockStoreError) -> Bool {
    try change { state throws(BlockStoreError) in
      guard var copy = state.copies[block], copy.isShown else { return false }
      copy.block.gcEpoch = max(copy.block.gcEpoch, epoch)
      state.copies[block] = copy
      return true
    }
  }

  package func delete(_ block: BlockID, ifEpochBelow epoch: UInt64) async throws(BlockStoreError) -> Bool {
    try change { state throws(BlockStoreError) in
      guard let copy = state.copies[block], !copy.isSetAside, copy.block.gcEpoch < epoch else { return false }
      state.copies[block] = nil
      state.usedBytes -= Int64(copy.bytes.count)
      return true
    }
  }

  package func quarantine(
    _ block: BlockID, ifEpochBelow epoch: UInt64, at time: WallTime
  ) async throws(BlockStoreError) -> Bool {
    try change { state throws(BlockStoreError) in
      guard let copy = state.copies[block], copy.isShown, copy.block.gcEpoch < epoch else { return false }
      state.copies[block]?.quarantine = Quarantine(epoch: epoch, since: time)
      return true
    }
  }

  package func restore(_ block: BlockID) async throws(BlockStoreError) -> Bool {
    try change { state throws(BlockStoreError) in
      guard let copy = state.copies[block], !copy.isSetAside, copy.quarantine != nil else { return false }
      state.copies[block]?.quarantine = nil
      return true
    }
  }

  package func quarantined(after: BlockID?, limit: Int) -> [QuarantinedBlock] {
    let held = state.withLock { state in
      state.copies.values.compactMap { copy in
        copy.isSetAside ? nil : copy.quarantine.map { QuarantinedBlock(block: copy.block, epoch: $0.epoch, since: $0.since) }
      }
    }
    return Array(
      held.sorted { $0.block.id < $1.block.id }.drop { held in after.map { held.block.id <= $0 } ?? false }.prefix(max(0, limit)))
  }

  package func purge(quarantinedBefore time: WallTime, limit: Int) async throws(BlockStoreError) -> Int {
    let due = quarantined(after: nil, limit: .max).filter { $0.since < time }.prefix(max(0, limit))
    for held in due {
      _ = try change { state throws(BlockStoreError) in
        state.usedBytes -= Int64(state.copies.removeValue(forKey: held.block.id)?.bytes.count ?? 0)
        return true
      }
    }
    return due.count
  }

  /// There is nothing to compact in memory.
  package func compact(limitBytes: Int) async throws(BlockStoreError) -> CompactionReport? {
    _ = try change { _ throws(BlockStoreError) in true }
    return nil
  }

  package func read(_ block: BlockID, range: Range<Int>?, into pool: BufferPool) async throws(BlockStoreError) -> Payload {
    let (copy, buffer) = try await load(block, pool)
    let asked = range ?? 0..<copy.block.storedBytes
    guard asked.lowerBound >= 0, asked.upperBound <= copy.block.storedBytes else {
      throw BlockStoreError(.malformed, "Block \(block) has \(copy.block.storedBytes) stored bytes; the range \(asked) is outside.")
    }
    let record = SealedRecord(header: copy.header, buffer: buffer, gcEpoch: copy.block.gcEpoch)
    let payload = try opened(block) { () throws(BlockStoreError) in try RecordOpener.open(record, keys: keys) }
    let start = payload.lowerBound + asked.lowerBound
    return Payload(block: copy.block, buffer: buffer, range: start..<(start + asked.count))
  }

  package func readRecord(_ block: BlockID, into pool: BufferPool) async throws(BlockStoreError) -> SealedRecord {
    let (copy, buffer) = try await load(block, pool)
    let record = SealedRecord(header: copy.header, buffer: buffer, gcEpoch: copy.block.gcEpoch)
    try opened(block) { () throws(BlockStoreError) in
      guard try RecordOpener.check(record, keys: keys) else { throw BlockStoreError(.malformed, "A frame does not fit its tag.") }
    }
    return record
  }

  package func verify(_ block: BlockID, using pool: BufferPool) async throws(BlockStoreError) {
    let payload = try await read(block, range: nil, into: pool)
    guard PayloadHash.fits(payload.buffer.bytes(payload.range), payload.block) else { throw setAside(block) }
  }

  package func isSetAside(_ block: BlockID) -> Bool { state.withLock { $0.copies[block]?.isSetAside == true } }

  package func copies(after position: CopyPosition, before end: CopyPosition?, limit: Int) async throws(BlockStoreError) -> CopyPage {
    let all = state.withLock { state in
      state.copies.values.filter { !$0.isSetAside }.map { copy in
        StoredCopy(block: copy.block.id, position: CopyPosition(segment: 1, unit: copy.place), recordBytes: copy.bytes.count)
      }
    }
    let left = all.filter { copy in copy.position > position && end.map { copy.position < $0 } ?? true }
      .sorted { $0.position < $1.position }
    var page = CopyPage()
    page.copies = Array(left.prefix(limit))
    page.leftCopies = left.count
    page.leftBytes = left.reduce(0) { $0 + Int64($1.recordBytes) }
    return page
  }

  package func check(_ copies: [StoredCopy], using pool: BufferPool) async throws(BlockStoreError) -> [CopyCheck] {
    var outcomes: [CopyCheck] = []
    for copy in copies {
      do throws(BlockStoreError) {
        try await verify(copy.block, using: pool)
        outcomes.append(.valid)
      } catch {
        switch error.code {
        case .notFound: outcomes.append(.gone)
        case .rotten: outcomes.append(.rotten)
        default: throw error
        }
      }
    }
    return outcomes
  }

  package func isPresent() async -> Bool { health().isThere }
  /// As if every copy had a segment of its own.
  package func keyEpochs() -> [KeyEpochUse] {
    let copies = state.withLock { $0.copies.values.map { (epoch: $0.header.keyEpoch, bytes: Int64($0.bytes.count)) } }
    return Set(copies.map(\.epoch)).subtracting([0]).sorted().map { epoch in
      let under = copies.filter { $0.epoch == epoch }
      return KeyEpochUse(epoch: epoch, segments: under.count, bytes: under.reduce(0) { $0 + $1.bytes })
    }
  }

  package func tail() -> CopyPosition { CopyPosition(segment: 1, unit: state.withLock { $0.appended } + 1) }
  package func loadScrub() async -> ScrubProgress? { state.withLock { $0.scrub } }
  package func saveScrub(_ progress: ScrubProgress) async throws(BlockStoreError) { state.withLock { $0.scrub = progress } }

  package func blocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) -> [StoredBlock] {
    let here = state.withLock { state in
      state.copies.values.filter { $0.isShown && $0.block.id.partition(bits: bits) == partition }.map(\.block)
    }
    return Array(here.sorted { $0.id < $1.id }.drop { block in after.map { block.id <= $0 } ?? false }.prefix(limit))
  }

  package func setAsideBlocks(limit: Int) -> [BlockID] {
    let aside = state.withLock { state in state.copies.values.filter(\.isSetAside).map(\.block.id) }
    return Array(aside.sorted().prefix(limit))
  }

  package func digest(ofPartition partition: Int, bits: Int) -> PartitionDigest {
    var digest = PartitionDigest.empty
    for block in blocks(inPartition: partition, bits: bits, after: nil, limit: .max) { digest.add(block.id) }
    return digest
  }

  package func space() -> DiskSpace {
    state.withLock { state in
      DiskSpace(
        capacityBytes: capacityBytes, usedBytes: state.usedBytes, freeBytes: max(0, capacityBytes - state.usedBytes),
        blockCount: state.copies.values.count { $0.isShown }, occupiedBytes: state.usedBytes,
        level: Watermarks().level(capacityBytes: capacityBytes, freeBytes: max(0, capacityBytes - state.usedBytes)))
    }
  }

  package func health() -> DiskHealth { state.withLock { $0.health } }

  package func close() async { state.withLock { $0.isClosed = true } }

  private func change(
    _ body: (inout State) throws(BlockStoreError) -> Bool
  ) throws(BlockStoreError) -> Bool {
    let result = state.withLock { state in
      Result { () throws(BlockStoreError) in
        try state.checkOpen()
        return try body(&state)
      }
    }
    return try result.get()
  }

  private func load(_ block: BlockID, _ pool: BufferPool) async throws(BlockStoreError) -> (Copy, IOBuffer) {
    let copy = try state.withLock { state in
      Result { () throws(BlockStoreError) in
        guard !state.isClosed else { throw BlockStoreError.closed }
        if case .failed(let reason) = state.health { throw BlockStoreError(.io, reason) }
        guard let copy = state.copies[block] else { throw BlockStoreError.notFound(block) }
        guard !copy.isSetAside else { throw BlockStoreError.rotten(block) }
        guard copy.quarantine == nil else { throw BlockStoreError.notFound(block) }
        return copy
      }
    }.get()
    let buffer = try await pool.acquireForStore(bytes: copy.bytes.count)
    buffer.mutableBytes(0..<copy.bytes.count).copyBytes(from: copy.bytes)
    return (copy, buffer)
  }

  private func opened<R>(_ block: BlockID, _ body: () throws(BlockStoreError) -> R) throws(BlockStoreError) -> R {
    do { return try body() } catch { throw error.code == .malformed ? setAside(block) : error }
  }

  private func setAside(_ block: BlockID) -> BlockStoreError {
    state.withLock { $0.copies[block]?.isSetAside = true }
    return .rotten(block)
  }
}

extension MemoryStore.State {
  fileprivate func checkOpen() throws(BlockStoreError) {
    if isClosed { throw .closed }
    switch health {
    case .fenced(let reason), .failed(let reason): throw BlockStoreError(.fenced, reason)
    case .healthy, .readOnly: return
    }
  }

  fileprivate mutating func append(_ record: SealedRecord, _ bytes: [UInt8], _ capacityBytes: Int64) throws(BlockStoreError)
    -> AppendOutcome
  {
    try checkOpen()
    if var copy = copies[record.header.block], !copy.isSetAside {
      copy.block.gcEpoch = max(copy.block.gcEpoch, record.gcEpoch)
      copy.quarantine = nil
      copies[record.header.block] = copy
      return AppendOutcome(wasNew: false, block: copy.block)
    }
    let replaced = Int64(copies[record.header.block]?.bytes.count ?? 0)
    let used = usedBytes - replaced + Int64(bytes.count)
    if case .readOnly(let reason) = health { throw BlockStoreError(.full, reason) }
    guard used <= capacityBytes else { throw .full }
    let block = StoredBlock(record.header, gcEpoch: record.gcEpoch)
    appended += 1
    copies[block.id] = MemoryStore.Copy(block: block, header: record.header, bytes: bytes, place: appended)
    usedBytes = used
    return AppendOutcome(wasNew: true, block: block)
  }
}
