internal import BlockModel

/// Brings an index up to what the segments say, one record after the other. Does no I/O of its own.
///
/// What must hold: of everything that was said about a block the highest sequence number wins, in whatever order the records are met;
/// and a record that was not known to be durable when the disk stopped counts only after its frames were checked.
struct Replay {
  /// A record and the slot of its segment.
  struct Item {
    var slot: UInt32
    var record: ScannedRecord
    var location: RecordLocation { RecordLocation(slot: slot, unit: record.local.unit) }
  }

  /// Records that wait, at most, until a later header vouches for them; beyond that the oldest are checked right away.
  private static let waitingLimit = 65_536

  let index: BlockIndex
  /// The highest sequence number that was met, of good records and bad ones.
  private(set) var highestSeen: UInt64
  /// Everything up to this sequence number was durable.
  private(set) var durableSequence: UInt64
  private(set) var checkedRecords = 0
  /// Bad copies that were found at the end, to be set aside durably.
  private(set) var torn: [(block: BlockID, location: RecordLocation)] = []
  /// Records that no block refers to any more: their pages can be given back.
  private(set) var dead: [(location: RecordLocation, recordBytes: Int)] = []
  /// Records of blocks that were met, by slot.
  private(set) var blockRecords: [UInt32: Int] = [:]

  private var highestApplied: UInt64
  /// Good copies that gave way to newer ones, by block. Should the newer one turn out to have been set aside, they count again: it is
  /// what compaction wrote when the disk stopped, and the segment that it was to replace is still here.
  private var replaced: [BlockID: IndexEntry] = [:]
  /// The latest quarantine or restore record that was met of a block.
  private var lastHold: [BlockID: UInt64] = [:]
  private var waiting: [Item] = []
  private var waitingFirst = 0
  /// Deletions that were met, for records of the same blocks that come out of order.
  private var tombstones: [BlockID: UInt64] = [:]
  private let slots: [UInt32: UInt32]
  private let framesFit: (Item) throws(BlockStoreError) -> Bool
  private let sequence: (IndexEntry) throws(BlockStoreError) -> UInt64?

  /// - Parameters:
  ///   - sequence: the last one that the index knows of.
  ///   - durableSequence: what is known to be durable at least.
  ///   - slots: slot of a segment by its number.
  ///   - framesFit: reads a record past the page cache and checks its frames.
  ///   - sequenceOf: reads the sequence number of a record that the index names; nil when it cannot be read.
  init(
    index: BlockIndex, sequence: UInt64, durableSequence: UInt64, slots: [UInt32: UInt32],
    framesFit: @escaping (Item) throws(BlockStoreError) -> Bool, sequenceOf: @escaping (IndexEntry) throws(BlockStoreError) -> UInt64?
  ) {
    self.index = index
    self.durableSequence = durableSequence
    self.slots = slots
    self.framesFit = framesFit
    self.sequence = sequenceOf
    highestApplied = sequence
    highestSeen = sequence
  }

  /// Takes the next record of the scan.
  mutating func take(_ item: Item) throws(BlockStoreError) {
    highestSeen = max(highestSeen, item.record.local.sequence)
    durableSequence = max(durableSequence, item.record.local.durableSequence)
    switch item.record.content {
    case .segment: return
    case .block: blockRecords[item.slot, default: 0] += 1
    case .control: break
    }
    waiting.append(item)
    while waitingFirst < waiting.count, waiting[waitingFirst].record.local.sequence <= durableSequence {
      try apply(takeWaiting())
    }
    if waiting.count - waitingFirst > Replay.waitingLimit { try checkAndApply(takeWaiting()) }
  }

  /// The scan has ended: nothing vouches for what still waits.
  mutating func finish() throws(BlockStoreError) {
    while waitingFirst < waiting.count { try checkAndApply(takeWaiting()) }
  }

  private mutating func takeWaiting() -> Item {
    let item = waiting[waitingFirst]
    waitingFirst += 1
    if waitingFirst > 1024, waitingFirst * 2 > waiting.count {
      waiting.removeFirst(waitingFirst)
      waitingFirst = 0
    }
    return item
  }

  private mutating func checkAndApply(_ item: Item) throws(BlockStoreError) {
    checkedRecords += 1
    if case .block(let header) = item.record.content, try !framesFit(item) {
      torn.append((header.block, item.location))
      return
    }
    try apply(item)
  }

  private mutating func apply(_ item: Item) throws(BlockStoreError) {
    let sequence = item.record.local.sequence
    let isNewest = sequence > highestApplied
    highestApplied = max(highestApplied, sequence)
    switch item.record.content {
    case .segment: break
    case .block(let header):
      var entry = IndexEntry(header, location: item.location, gcEpoch: item.record.local.gcEpoch)
      if item.record.local.isHeld { entry.quarantine = index.entry(of: header.block)?.quarantine }
      var counts = isNewest
      if !counts { counts = try isNewer(entry, sequence) }
      guard counts else { return dead.append((entry.location, entry.recordBytes)) }
      guard let old = try index.set(entry), old.location != entry.location, !old.isSetAside else { return }
      // Its pages stay: compaction goes on and takes the whole segment.
      replaced[entry.id] = old
    case .control(let body):
      try apply(body, item.record.local, isNewest: isNewest)
    }
  }

  private mutating func apply(_ body: ControlBody, _ local: LocalHeader, isNewest: Bool) throws(BlockStoreError) {
    switch local.kind {
    case .tombstone:
      tombstones[body.block] = max(tombstones[body.block] ?? 0, local.sequence)
      guard let entry = index.entry(of: body.block) else { return }
      if !isNewest, let written = try sequence(entry), written > local.sequence { return }
      index.remove(body.block)
      dead.append((entry.location, entry.recordBytes))
      if let older = replaced.removeValue(forKey: body.block) { dead.append((older.location, older.recordBytes)) }
    case .epochRaise:
      // A raise that is older than the copy raises it too far at worst, and that only keeps a block longer.
      try index.raiseEpoch(of: body.block, to: local.gcEpoch)
    case .setAside:
      guard let slot = slots[body.segmentNumber] else { return }
      guard index.setAside(body.block, at: RecordLocation(slot: slot, unit: body.unit)) else { return }
      // What held of the newer copy's epoch held of the block.
      guard var older = replaced.removeValue(forKey: body.block) else { return }
      older.gcEpoch = max(older.gcEpoch, index.entry(of: body.block)?.gcEpoch ?? 0)
      try index.set(older)
    case .quarantine, .restore:
      try applyHold(body, local, isNewest: isNewest)
    case .block, .segment:
      preconditionFailure("a control body comes under a control header")
    }
  }

  private mutating func applyHold(_ body: ControlBody, _ local: LocalHeader, isNewest: Bool) throws(BlockStoreError) {
    guard local.sequence > lastHold[body.block] ?? 0 else { return }
    lastHold[body.block] = local.sequence
    guard let entry = index.entry(of: body.block) else { return }
    if !isNewest, let written = try sequence(entry), written > local.sequence { return }
    if local.kind == .restore {
      try index.setQuarantine(of: body.block, to: nil)
      try index.raiseEpoch(of: body.block, to: local.gcEpoch)
    } else {
      try index.setQuarantine(of: body.block, to: Quarantine(epoch: local.gcEpoch, minute: body.minute))
    }
  }

  /// Whether a record that comes out of order is the last word on its block.
  private func isNewer(_ entry: IndexEntry, _ sequence: UInt64) throws(BlockStoreError) -> Bool {
    if let deleted = tombstones[entry.id], deleted > sequence { return false }
    guard let known = index.entry(of: entry.id) else { return true }
    if known.location == entry.location { return false }
    guard let written = try self.sequence(known) else { return true }
    return written < sequence
  }
}
