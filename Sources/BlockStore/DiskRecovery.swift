internal import BlockModel
internal import Platform

/// Finds out what a disk holds: from the checkpoint and the records behind it, or from all records.
///
/// What must hold: names are synced before they are read, and every segment that is scanned is synced first and read past the page cache,
/// because after a crash of the process or a failed sync the cache may hold what the disk does not.
struct DiskRecovery {
  private let configuration: SegmentStore.Configuration
  private let identity: DiskIdentity
  private let files: SegmentFiles
  private let ahead: ScanReadAhead?
  private var segments: [Segment] = []
  private var report = SegmentStore.OpenReport()
  /// Bytes that the scan made nothing of. Records may be there that another scan can read.
  private var skippedBytes = 0
  /// The last segment can be written to: nothing but zeros is behind its records.
  private var tailIsClean = true

  init(_ configuration: SegmentStore.Configuration, _ identity: DiskIdentity) throws(BlockStoreError) {
    self.configuration = configuration
    self.identity = identity
    ahead = configuration.scansAhead ? ScanReadAhead() : nil
    files = SegmentFiles(
      fileSystem: configuration.fileSystem, folder: configuration.folder + "/segments", limit: configuration.openFileLimit)
    do {
      try configuration.fileSystem.createDirectory(files.folder)
      // A process that was killed may have made names that only the cache knows.
      try configuration.fileSystem.syncDirectory(configuration.folder)
      try configuration.fileSystem.syncDirectory(files.folder)
      segments = try DiskRecovery.listSegments(files)
    } catch { throw .io(error) }
    guard segments.count <= RecordLocation.slotLimit else {
      throw BlockStoreError(.malformed, "The disk has \(segments.count) segments; at most \(RecordLocation.slotLimit) can be used.")
    }
  }

  private static func listSegments(_ files: SegmentFiles) throws(FileError) -> [Segment] {
    var segments: [Segment] = []
    for name in try files.fileSystem.list(files.folder) {
      guard let (number, id) = Segment.parse(fileName: name), let attributes = try files.fileSystem.attributes(files.folder + "/" + name),
        attributes.kind == .file
      else { continue }
      segments.append(Segment(number: number, id: id, fileBytes: Int(attributes.size), endBytes: 0))
    }
    return segments.sorted { ($0.number, $0.id) < ($1.number, $1.id) }
  }

  mutating func run() throws(BlockStoreError) -> RecoveredDisk {
    do {
      return try recover()
    } catch let error as FileError {
      throw BlockStoreError.io(error)
    } catch let error as BlockStoreError {
      throw error
    } catch {
      throw BlockStoreError(.io, "The disk could not be read: \(error)")
    }
  }

  private mutating func recover() throws -> RecoveredDisk {
    let listed = segments
    if let disk = try recover(from: CheckpointReader.open(configuration.fileSystem, folder: configuration.folder, disk: identity.disk)) {
      return disk
    }
    // Nothing was scanned yet; the slots are other ones now.
    segments = listed
    files.closeAll()
    guard let disk = try recover(from: nil) else { preconditionFailure("a scan of all segments needs nothing else") }
    return disk
  }

  /// Nil when the checkpoint is damaged, or is not of the segments that are here.
  private mutating func recover(from reader: CheckpointReader?) throws -> RecoveredDisk? {
    let index = BlockIndex()
    var checkpoint: Checkpoint?
    if let reader {
      guard let slots = matchSegments(reader.checkpoint), reader.load(into: index, slots: slots) else { return nil }
      checkpoint = reader.checkpoint
      checkpoint?.positionSlot = reader.checkpoint.segments.isEmpty ? 0 : slots[Int(reader.checkpoint.positionSlot)]
      report.usedCheckpoint = true
      if reader.checkpoint.positionOffset > 0 { try checkHeader(Int(checkpoint!.positionSlot)) }
    }
    var replay = makeReplay(index, checkpoint)
    let first = checkpoint.map { Int($0.positionSlot) } ?? 0
    for slot in segments.indices where slot >= first && !segments[slot].isGone {
      let start = slot == first ? checkpoint?.positionOffset ?? 0 : 0
      try scan(slot, from: start, &replay)
    }
    try replay.finish()
    report.checkedRecords = replay.checkedRecords
    report.tornRecords = replay.torn.count
    // Compaction writes what counts anew before it removes a segment. What the checkpoint still has in one was deleted since.
    if segments.contains(where: \.isGone) { index.removeAll { segments[Int($0.slot)].isGone } }
    for (slot, usage) in index.usage(segmentCount: segments.count).enumerated() {
      segments[slot].usage = usage
      segments[slot].blockRecords += replay.blockRecords[UInt32(slot)] ?? 0
    }
    return finish(index, replay, checkpointBytes: reader?.fileBytes ?? 0)
  }

  /// The slot of each of the checkpoint's segments, with what it says of them taken over; nil when they are not those that are here.
  ///
  /// A segment whose file is missing was compacted after the checkpoint was written: it keeps a slot, so that what replaced its records
  /// finds them.
  private mutating func matchSegments(_ checkpoint: Checkpoint) -> [UInt32]? {
    var matched: [Segment] = []
    var slots: [UInt32] = []
    var listed = segments[...]
    for row in checkpoint.segments {
      guard !row.isGone else {
        slots.append(.max)
        continue
      }
      slots.append(UInt32(matched.count))
      var segment = row
      if let file = listed.first, file.number == row.number, file.id == row.id {
        guard row.endBytes <= file.fileBytes else { return nil }
        segment.fileBytes = file.fileBytes
        listed = listed.dropFirst()
      } else {
        segment.isGone = true
      }
      guard matched.last.map({ $0.number < row.number }) ?? true else { return nil }
      matched.append(segment)
    }
    guard checkpoint.segments.isEmpty || Int(checkpoint.positionSlot) < checkpoint.segments.count,
      checkpoint.positionOffset % LocalHeader.unitBytes == 0,
      listed.first.map({ file in matched.last.map { $0.number < file.number } ?? true }) ?? true
    else { return nil }
    if !checkpoint.segments.isEmpty {
      let position = slots[Int(checkpoint.positionSlot)]
      guard position != .max, !matched[Int(position)].isGone else { return nil }
    }
    segments = matched + listed
    return slots
  }

  /// Whoever starts from a checkpoint scans no segment's beginning: the last one's keys are checked apart.
  private func checkHeader(_ slot: Int) throws {
    let file = try files.file(UInt32(slot), segments[slot])
    var scanner = SegmentScanner(file: file, segment: segments[slot].id, from: 0, size: min(Segment.pageBytes, segments[slot].fileBytes))
    guard let record = try scanner.next(), case .segment(let header) = record.content else { return }
    try header.check(cluster: identity.cluster, disk: identity.disk, keys: configuration.keys)
  }

  private func makeReplay(_ index: BlockIndex, _ checkpoint: Checkpoint?) -> Replay {
    var slots: [UInt32: UInt32] = [:]
    for (slot, segment) in segments.enumerated() where !segment.isGone { slots[segment.number] = UInt32(slot) }
    let (files, segments, keys) = (files, segments, configuration.keys)
    let reader = PageReader()
    let buffer = IOBuffer(capacity: RecordLayout.bufferBytes)
    return Replay(
      index: index, sequence: (checkpoint?.nextSequence ?? 1) - 1, durableSequence: checkpoint?.durableSequence ?? 0, slots: slots,
      framesFit: { (item) throws(BlockStoreError) in
        guard case .block(let header) = item.record.content else { return true }
        let entry = IndexEntry(header, location: item.location, gcEpoch: 0)
        let source = try DiskRecovery.source(entry, files, segments[Int(item.slot)], reader)
        let frames = 0...(RecordLayout.frameCount(storedBytes: header.storedBytes) - 1)
        return try source.openFrames(frames, of: entry, into: buffer, keys: keys)
      },
      sequenceOf: { (entry) throws(BlockStoreError) in
        guard !segments[Int(entry.location.slot)].isGone else { return nil }
        let source = try DiskRecovery.source(entry, files, segments[Int(entry.location.slot)], reader)
        let head = IOBuffer(capacity: RecordLayout.framesStart)
        let bytes = head.mutableBytes(0..<RecordLayout.framesStart)
        guard try source.fetch([bytes], from: 0) else { return nil }
        return LocalHeader(decoding: UnsafeRawBufferPointer(bytes), segment: source.segment, unit: entry.location.unit)?.sequence
      })
  }

  private static func source(
    _ entry: IndexEntry, _ files: SegmentFiles, _ segment: Segment, _ reader: PageReader
  ) throws(BlockStoreError) -> RecordSource {
    do {
      let file = try files.directFile(entry.location.slot, segment)
      return RecordSource(file: file, segment: segment.id, offset: entry.location.offset, recordBytes: entry.recordBytes, direct: reader)
    } catch { throw .io(error) }
  }

  private mutating func scan(_ slot: Int, from start: Int, _ replay: inout Replay) throws {
    let segment = segments[slot]
    try files.file(UInt32(slot), segment).fdatasync()
    var scanner = SegmentScanner(
      file: try files.directFile(UInt32(slot), segment), segment: segment.id, from: start, size: segment.fileBytes, ahead: ahead)
    while let record = try scanner.next() {
      if case .segment(let header) = record.content {
        try header.check(cluster: identity.cluster, disk: identity.disk, keys: configuration.keys)
      } else {
        report.scannedRecords += 1
      }
      try replay.take(Replay.Item(slot: UInt32(slot), record: record))
    }
    report.unreadableBytes += scanner.unreadableBytes
    skippedBytes += scanner.unreadableBytes + scanner.debrisBytes
    segments[slot].endBytes = max(segments[slot].endBytes, scanner.recordsEnd.roundedUp(to: Segment.pageBytes), Segment.pageBytes)
    if slot == segments.count - 1 {
      let hasHeader = start > 0 || scanner.recordsEnd > 0
      tailIsClean = hasHeader && scanner.debrisEnd == 0 && segments[slot].endBytes <= segment.fileBytes
      try discardEmptyTail(slot, isEmpty: start == 0 && scanner.recordsEnd == 0 && scanner.debrisEnd == 0)
      if !tailIsClean, segments.indices.contains(slot) { try trim(slot, to: max(segments[slot].endBytes, scanner.debrisEnd)) }
    }
  }

  /// A segment that was being made when the disk stopped: nothing was ever written to it.
  private mutating func discardEmptyTail(_ slot: Int, isEmpty: Bool) throws(FileError) {
    guard isEmpty else { return }
    try configuration.fileSystem.remove(files.path(of: segments[slot]))
    files.forget(UInt32(slot))
    segments.removeLast()
  }

  /// Gives back what was preallocated behind a tail that will not be written to any more. Only zeros are cut off.
  private mutating func trim(_ slot: Int, to end: Int) throws(FileError) {
    let size = end.roundedUp(to: Segment.pageBytes)
    guard size < segments[slot].fileBytes else { return }
    try files.file(UInt32(slot), segments[slot]).truncate(to: Int64(size))
    segments[slot].fileBytes = size
    segments[slot].endBytes = size
  }

  private func finish(_ index: BlockIndex, _ replay: Replay, checkpointBytes: Int64) -> RecoveredDisk {
    // Sequence numbers of records that cannot be read now are not given again: when a page can be read once more, an old deletion in it
    // must not win over a new copy. No record is shorter than a control record.
    let highest = replay.highestSeen + UInt64((skippedBytes + RecordPlacement.controlBytes - 1) / RecordPlacement.controlBytes)
    var ledger = CommitLedger()
    ledger.capacityBytes = configuration.capacityBytes.map { $0 - configuration.watermarks.keptBytes(capacityBytes: $0) }
    ledger.nextSequence = highest + 1
    ledger.durableSequence = replay.durableSequence
    ledger.segmentNumbers = segments.map(\.number)
    ledger.occupiedBytes = segments.reduce(0) { $0 + $1.occupiedBytes }
    var applied = SegmentStore.AppliedPosition(slot: 0, offset: 0, sequence: highest)
    if let last = segments.indices.last {
      applied.slot = UInt32(last)
      applied.offset = segments[last].endBytes
      if tailIsClean, replay.torn.isEmpty { ledger.active = CommitLedger.Active(segments[last], slot: UInt32(last)) }
    }
    return RecoveredDisk(
      identity: identity, index: index, files: files, segments: segments, ledger: ledger, applied: applied, report: report,
      torn: replay.torn,
      dead: replay.dead, checkpointBytes: checkpointBytes)
  }
}
