internal import BlockModel
package import Platform

/// Reads the disk of a stopped node and says what is there.
///
/// What must hold: it changes nothing, on a disk that may hold any bytes, and it takes the disk's lock, so that no node works on what it reads.
package struct StoreInspector {
  package var folder: String
  /// Nil when there are none: encrypted contents are not checked then.
  package var keys: DataKeyring?
  /// Whether copies' contents are read and checked, and not their headers only.
  package var checksContents = true
  package var fileSystem: any FileSystem = LinuxFileSystem()

  private static let knownNames: Set<String> = [
    "identity", "lock", "segments", "lost+found", Checkpoint.fileName, SegmentMaker.reserveName, "scrub",
  ]
  static let asidePrefix = "aside-"

  package init(folder: String, keys: DataKeyring? = nil) {
    self.folder = folder
    self.keys = keys
  }

  /// - Parameter each: is given every record in the order of segments and places.
  /// - Throws: `.notFound` when there is no such folder, `.locked` when a node has the disk, `.newerFormat`, `.io`.
  package func inspect(_ each: (InspectedRecord) throws -> Void = { _ in }) throws -> StoreInspection {
    let lock = try takeLock()
    defer { withExtendedLifetime(lock) {} }
    var found = StoreInspection(folder: folder)
    let identity = try inspectIdentity(&found)
    try inspectNames(&found)
    let segments = try openSegments(identity, &found)
    let index = try replay(segments, &found)
    inspectCheckpoint(identity, segments, &found)
    try inspectRecords(segments, index, &found, each)
    return found
  }

  private func takeLock() throws -> (any OpenFile)? {
    guard try fileSystem.attributes(folder)?.kind == .directory else {
      throw BlockStoreError(.notFound, "There is no folder \(folder).")
    }
    let lock: any OpenFile
    do throws(FileError) { lock = try fileSystem.open(folder + "/lock", .write) } catch {
      // A disk that cannot be written to has no node on it, and neither has one without a lock.
      guard error.isNotFound || error.isReadOnly else { throw BlockStoreError.io(error) }
      return nil
    }
    guard try lock.lockExclusive() else {
      throw BlockStoreError(.locked, "A node is working on \(folder). Stop it first.")
    }
    return lock
  }

  private func inspectIdentity(_ found: inout StoreInspection) throws(BlockStoreError) -> DiskIdentity? {
    do throws(BlockStoreError) {
      if let identity = try DiskIdentity.load(fileSystem, folder: folder) {
        (found.cluster, found.disk) = (identity.cluster.hex, identity.disk.hex)
        return identity
      }
      found.note(.blocking, .identity, "identity", "The file that says which disk this is is missing; the node refuses the folder.")
    } catch {
      guard error.code == .malformed else { throw error }
      found.note(.blocking, .identity, "identity", "\(error.message) The node refuses the folder.")
    }
    return nil
  }

  private func inspectNames(_ found: inout StoreInspection) throws {
    for (place, names) in [("", try fileSystem.list(folder)), ("segments/", (try? fileSystem.list(folder + "/segments")) ?? [])] {
      for name in names {
        let isKnown = place.isEmpty ? StoreInspector.knownNames.contains(name) : Segment.parse(fileName: name) != nil
        if isKnown || name.hasPrefix(StoreInspector.asidePrefix) { continue }
        if name.hasSuffix(".tmp") {
          found.note(.note, .leftover, place + name, "\(place + name) was being written when the node stopped, and means nothing.")
        } else {
          found.note(.note, .foreignFile, place + name, "\(place + name) is no file of a store. It is left alone, and takes space.")
        }
      }
    }
  }

  /// Those of this disk.
  private func openSegments(
    _ identity: DiskIdentity?, _ found: inout StoreInspection
  ) throws -> [(segment: Segment, file: any OpenFile)] {
    var segments: [(segment: Segment, file: any OpenFile)] = []
    for name in (try? fileSystem.list(folder + "/segments")) ?? [] {
      guard let (number, id) = Segment.parse(fileName: name) else { continue }
      let file = try fileSystem.open(folder + "/segments/" + name, .read)
      let segment = Segment(number: number, id: id, fileBytes: Int(try file.size()), endBytes: 0)
      if let identity, let header = try SegmentHeader.read(file, segment),
        header.cluster != identity.cluster || header.disk != identity.disk
      {
        let (path, owner) = ("segments/" + name, "disk \(header.disk) of cluster \(header.cluster)")
        found.note(.blocking, .foreignSegment, path, "\(path) belongs to \(owner); the node refuses the folder because of it.")
        continue
      }
      segments.append((segment, file))
    }
    found.segments = segments.count
    return segments.sorted { ($0.segment.number, $0.segment.id) < ($1.segment.number, $1.segment.id) }
  }

  /// The index that a scan of all segments gives, and what the scan meets besides records.
  private func replay(
    _ segments: [(segment: Segment, file: any OpenFile)], _ found: inout StoreInspection
  ) throws -> BlockIndex {
    let (index, reader) = (BlockIndex(), PageReader())
    let buffer = IOBuffer(capacity: RecordLayout.bufferBytes)
    var slots: [UInt32: UInt32] = [:]
    for (slot, (segment, _)) in segments.enumerated() { slots[segment.number] = UInt32(slot) }
    var replay = Replay(
      index: index, sequence: 0, durableSequence: 0, slots: slots,
      framesFit: { (item) throws(BlockStoreError) in
        guard case .block(let header) = item.record.content else { return true }
        let entry = IndexEntry(header, location: item.location, gcEpoch: 0)
        return try self.contentsFit(entry, self.source(entry, segments, reader), buffer) ?? true
      },
      sequenceOf: { (entry) throws(BlockStoreError) in
        let head = IOBuffer(capacity: RecordLayout.framesStart)
        let bytes = head.mutableBytes(0..<RecordLayout.framesStart)
        let source = self.source(entry, segments, reader)
        guard try source.fetch([bytes], from: 0) else { return nil }
        return LocalHeader(decoding: UnsafeRawBufferPointer(bytes), segment: source.segment, unit: entry.location.unit)?.sequence
      })
    for (slot, (segment, file)) in segments.enumerated() {
      let path = "segments/" + segment.fileName
      var scanner = SegmentScanner(file: file, segment: segment.id, from: 0, size: segment.fileBytes)
      var hasHeader = false
      while let record = try scanner.next() {
        found.records[record.local.kind.name, default: 0] += 1
        if case .segment = record.content { hasHeader = true }
        try replay.take(Replay.Item(slot: UInt32(slot), record: record))
      }
      note(scanner, hasHeader: hasHeader, path, isLast: slot == segments.count - 1, &found)
    }
    try replay.finish()
    for (block, location) in replay.torn {
      let path = "segments/" + segments[Int(location.slot)].segment.fileName
      found.note(
        .note, .tornRecord, path, block: block,
        "The record at \(location.offset) of \(path) is torn. It was never acknowledged; the node sets it aside at its next start.")
    }
    return index
  }

  private func note(_ scanner: SegmentScanner, hasHeader: Bool, _ path: String, isLast: Bool, _ found: inout StoreInspection) {
    let isEmpty = scanner.recordsEnd == 0 && scanner.debrisBytes == 0 && scanner.unreadableBytes == 0
    if isEmpty {
      found.note(.note, .leftover, path, "\(path) has nothing in it: it was being made when the node stopped.")
    } else if !hasHeader {
      found.note(.damage, .segmentHeader, path, "The first page of \(path) is damaged. Its records are found and used all the same.")
    }
    if scanner.unreadableBytes > 0 {
      found.note(
        .damage, .unreadable, path,
        "The disk cannot read \(scanner.unreadableBytes) bytes of \(path). Other replicas have what was there; replace the disk.")
    }
    if let cut = scanner.cutRecord {
      found.note(
        .damage, .cutRecord, path,
        "\(path) ends inside of the record at \(cut): the file was cut off. What came behind is on other replicas.")
    }
    guard scanner.cutRecord == nil, let first = scanner.firstDebris else { return }
    found.note(
      isLast ? .note : .damage, .debris, path,
      "\(path) has \(scanner.debrisBytes) bytes that are no record, the first at \(first)"
        + (isLast ? ": a write that did not end, or damage." : ": the header of a record there is damaged.")
        + " The node passes over them.")
  }

  private func inspectCheckpoint(
    _ identity: DiskIdentity?, _ segments: [(segment: Segment, file: any OpenFile)], _ found: inout StoreInspection
  ) {
    guard let identity else { return }
    let name = Checkpoint.fileName
    guard (try? fileSystem.attributes(folder + "/" + name)) ?? nil != nil else {
      guard !segments.isEmpty else { return }
      return found.note(.note, .checkpoint, name, "There is no checkpoint of the index: the next start reads all segments' headers.")
    }
    guard let reader = CheckpointReader.open(fileSystem, folder: folder, disk: identity.disk),
      reader.load(into: BlockIndex(), slots: (0..<UInt32(reader.checkpoint.segments.count)).map { $0 })
    else {
      return found.note(
        .note, .checkpoint, name,
        "The checkpoint of the index is damaged, of another disk, or of another version: the next start reads all segments' headers.")
    }
    for row in reader.checkpoint.segments where !row.isGone && !segments.contains(where: { $0.segment.id == row.id }) {
      found.note(
        .note, .missingSegment, "segments/" + row.fileName,
        "The checkpoint names segment \(row.number), which is not there: it was compacted since, or somebody took it away.")
    }
  }

  /// All records once more, now that it is known which of them count.
  private func inspectRecords(
    _ segments: [(segment: Segment, file: any OpenFile)], _ index: BlockIndex, _ found: inout StoreInspection,
    _ each: (InspectedRecord) throws -> Void
  ) throws {
    let (reader, buffer) = (PageReader(), IOBuffer(capacity: RecordLayout.bufferBytes))
    var unchecked = 0
    for (slot, (segment, file)) in segments.enumerated() {
      var scanner = SegmentScanner(file: file, segment: segment.id, from: 0, size: segment.fileBytes)
      while let record = try scanner.next() {
        let location = RecordLocation(slot: UInt32(slot), unit: record.local.unit)
        var line = InspectedRecord(record.local, segment.number)
        switch record.content {
        case .block(let header):
          let entry = index.entry(of: header.block).flatMap { $0.location == location ? $0 : nil }
          line.add(header, entry)
          found.count(entry)
          if let entry, !entry.isSetAside, checksContents {
            let fits = try check(entry, source(entry, segments, reader), buffer, "segments/" + segment.fileName, &found)
            if fits == nil { unchecked += 1 } else if fits == true { found.checkedBlocks += 1 }
          }
        case .control(let body): line.block = body.block
        case .segment: break
        }
        try each(line)
      }
    }
    guard unchecked > 0 else { return }
    found.note(
      .note, .unchecked, "", "The contents of \(unchecked) encrypted blocks were not checked, because their data keys were not given.")
  }

  private func check(
    _ entry: IndexEntry, _ source: RecordSource, _ buffer: IOBuffer, _ path: String, _ found: inout StoreInspection
  ) throws -> Bool? {
    let place = "at \(entry.location.offset) of \(path)"
    do throws(BlockStoreError) {
      guard let fits = try contentsFit(entry, source, buffer) else { return nil }
      guard fits else {
        found.note(
          .damage, .badCopy, path, block: entry.id,
          "The copy of block \(entry.id) \(place) fails its check. It is never given out; other replicas have the block.")
        return false
      }
    } catch {
      guard error.code == .io else { throw error }
      found.note(.damage, .unreadable, path, block: entry.id, "The copy of block \(entry.id) \(place) cannot be read: \(error.message)")
      return false
    }
    guard PayloadHash.fits(buffer.bytes(0..<entry.storedBytes), entry.stored) else {
      found.note(
        .damage, .wrongContent, path, block: entry.id,
        "The copy of block \(entry.id) \(place) is whole, but its content has another SHA-256: whoever stored it first spoilt it.")
      return false
    }
    return true
  }

  /// Whether the copy's frames fit their tags; nil when the key to tell is not here.
  private func contentsFit(_ entry: IndexEntry, _ source: RecordSource, _ buffer: IOBuffer) throws(BlockStoreError) -> Bool? {
    do throws(BlockStoreError) {
      return try source.openFrames(0...(RecordLayout.frameCount(storedBytes: entry.storedBytes) - 1), of: entry, into: buffer, keys: keys)
    } catch {
      guard error.code == .wrongKey else { throw error }
      return nil
    }
  }

  private func source(
    _ entry: IndexEntry, _ segments: [(segment: Segment, file: any OpenFile)], _ reader: PageReader
  ) -> RecordSource {
    let (segment, file) = segments[Int(entry.location.slot)]
    return RecordSource(
      file: file, segment: segment.id, offset: entry.location.offset, recordBytes: entry.recordBytes, direct: reader)
  }
}

extension StoreInspection {
  fileprivate mutating func count(_ entry: IndexEntry?) {
    guard let entry else {
      deadRecords += 1
      return
    }
    liveBytes += Int64(entry.recordBytes)
    if entry.isSetAside { setAsideBlocks += 1 } else if entry.quarantine != nil { quarantinedBlocks += 1 } else { blocks += 1 }
  }
}

extension InspectedRecord {
  fileprivate init(_ local: LocalHeader, _ segment: UInt32) {
    self.init(
      segment: segment, offset: Int64(local.unit) * Int64(LocalHeader.unitBytes), bytes: local.recordBytes, kind: local.kind.name,
      sequence: local.sequence, gcEpoch: local.gcEpoch)
  }

  fileprivate mutating func add(_ header: RecordHeader, _ entry: IndexEntry?) {
    block = header.block
    plainBytes = header.plainBytes
    storedBytes = header.storedBytes
    keyEpoch = header.sealing == .encrypted ? header.keyEpoch : nil
    state = entry.map { $0.isSetAside ? "set-aside" : $0.quarantine != nil ? "quarantined" : "live" } ?? "dead"
  }
}

extension LocalHeader.Kind {
  fileprivate var name: String {
    switch self {
    case .block: "block"
    case .tombstone: "tombstone"
    case .epochRaise: "epoch-raise"
    case .setAside: "set-aside"
    case .segment: "segment"
    case .quarantine: "quarantine"
    case .restore: "restore"
    }
  }
}

extension SegmentHeader {
  /// What a segment's first page says of it; nil when the page is damaged.
  static func read(_ file: any OpenFile, _ segment: Segment) throws(FileError) -> SegmentHeader? {
    var scanner = SegmentScanner(file: file, segment: segment.id, from: 0, size: min(Segment.pageBytes, segment.fileBytes))
    guard let record = try scanner.next(), case .segment(let header) = record.content else { return nil }
    return header
  }
}

extension FileError {
  fileprivate var isReadOnly: Bool { errno == 30 }
}
