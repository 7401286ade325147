package import BlockModel
internal import Platform
internal import Synchronization

/// What opening a disk found, for the store to start from.
struct RecoveredDisk {
  var identity: DiskIdentity
  var index: BlockIndex
  var files: SegmentFiles
  var segments: [Segment]
  var ledger: CommitLedger
  var applied: SegmentStore.AppliedPosition
  var report: SegmentStore.OpenReport
  /// Bad copies at the end that are to be noted durably before anything is acknowledged.
  var torn: [(block: BlockID, location: RecordLocation)]
  var dead: [(location: RecordLocation, recordBytes: Int)]
  var checkpointBytes: Int64
}

extension SegmentStore {
  /// Opens the disk in `configuration.folder`, after whatever ended its last use. Blocks: from a checkpoint for as long as reading it and
  /// the records behind it takes, else for a scan of all segments' headers.
  ///
  /// - Throws: `.locked` when another process has it, `.wrongCluster`, `.newerFormat`, `.wrongKey` when it holds encrypted blocks and the
  ///   keys are missing or are others, `.malformed` when the folder is no disk's, `.io`.
  package static func open(_ configuration: Configuration) throws(BlockStoreError) -> SegmentStore {
    precondition(
      configuration.segmentBytes % Segment.pageBytes == 0
        && (SegmentMaker.smallestForControl...RecordLocation.segmentBytesLimit).contains(configuration.segmentBytes),
      "a segment has 64 KiB to 1 GiB, in pages")
    let lock = try takeLock(configuration)
    let (identity, formatted) = try identify(configuration)
    if let owner = configuration.owner { try claim(configuration, for: owner) }
    var recovery = try DiskRecovery(configuration, identity)
    var disk = try recovery.run()
    disk.report.formatted = formatted
    let store = SegmentStore(disk, configuration, lock: lock)
    store.settle(disk)
    return store
  }

  /// Makes the disk in `configuration.folder` the node's that `configuration.owner` names, whosever it was. Its blocks stay as they are. Blocks.
  ///
  /// - Returns: the disk, and the node that had it.
  /// - Throws: as `open`, without looking at what the disk holds.
  package static func adopt(_ configuration: Configuration) throws(BlockStoreError) -> (disk: DiskID, before: NodeID?) {
    var configuration = configuration
    configuration.formatsEmptyFolder = false
    guard let owner = configuration.owner else { preconditionFailure("somebody adopts a disk") }
    let lock = try takeLock(configuration)
    defer { withExtendedLifetime(lock) {} }
    let identity = try identify(configuration).0
    // A damaged file is what adopting mends.
    let before: NodeID?
    do throws(BlockStoreError) { before = try DiskOwner.load(configuration.fileSystem, folder: configuration.folder) } catch {
      guard error.code == .malformed else { throw error }
      before = nil
    }
    try DiskOwner.save(owner, configuration.fileSystem, folder: configuration.folder)
    return (identity.disk, before)
  }

  private static func claim(_ configuration: Configuration, for owner: NodeID) throws(BlockStoreError) {
    guard let known = try DiskOwner.load(configuration.fileSystem, folder: configuration.folder) else {
      return try DiskOwner.save(owner, configuration.fileSystem, folder: configuration.folder)
    }
    guard known == owner else {
      throw BlockStoreError(
        .wrongNode,
        "The disk \(configuration.folder) is node \(known)'s, and this is \(owner): put it back, or run “cairnd disk adopt” on it.")
    }
  }

  private static func takeLock(_ configuration: Configuration) throws(BlockStoreError) -> any OpenFile {
    let fileSystem = configuration.fileSystem
    do {
      if configuration.formatsEmptyFolder { try fileSystem.createDirectory(configuration.folder) }
      let lock = try fileSystem.open(configuration.folder + "/lock", [.write, .create])
      guard try lock.lockExclusive() else {
        throw BlockStoreError(.locked, "The disk \(configuration.folder) is in use by another process.")
      }
      return lock
    } catch let error as FileError {
      throw BlockStoreError.io(error)
    } catch let error as BlockStoreError {
      throw error
    } catch {
      throw BlockStoreError(.io, "The disk \(configuration.folder) could not be locked: \(error)")
    }
  }

  /// Which disk this is; an empty folder becomes a new one when that is allowed.
  private static func identify(_ configuration: Configuration) throws(BlockStoreError) -> (DiskIdentity, formatted: Bool) {
    let (fileSystem, folder) = (configuration.fileSystem, configuration.folder)
    if let identity = try DiskIdentity.load(fileSystem, folder: folder) {
      guard identity.cluster == configuration.cluster else {
        throw BlockStoreError(.wrongCluster, "The disk \(folder) belongs to cluster \(identity.cluster), not to \(configuration.cluster).")
      }
      return (identity, false)
    }
    do {
      // The names that making a disk leaves when it is cut short.
      let unfinished = ["lock", "segments", "lost+found", DiskIdentity.fileName + ".tmp"]
      let others = try fileSystem.list(folder).filter { !unfinished.contains($0) }
      guard configuration.formatsEmptyFolder, others.isEmpty,
        try fileSystem.attributes(folder + "/segments") == nil
          || fileSystem.list(folder + "/segments").isEmpty
      else { throw BlockStoreError(.malformed, "The folder \(folder) is no disk of a store: it has no file \(DiskIdentity.fileName).") }
      try fileSystem.createDirectory(folder + "/segments")
      try fileSystem.syncDirectory(folder)
      // A process that was killed may have made the folder itself a moment ago.
      try fileSystem.syncDirectory(Directory.parent(of: folder))
    } catch let error as FileError {
      throw BlockStoreError.io(error)
    } catch let error as BlockStoreError {
      throw error
    } catch {
      throw BlockStoreError(.io, "The disk \(folder) could not be prepared: \(error)")
    }
    let disk = DiskID(high: configuration.randomWord(), low: configuration.randomWord())
    let identity = DiskIdentity(cluster: configuration.cluster, disk: disk, created: configuration.time.wall())
    try identity.save(fileSystem, folder: folder)
    return (identity, true)
  }

  /// Before the first caller: notes the torn copies durably, and gives back the pages of what is dead.
  private func settle(_ disk: RecoveredDisk) {
    if !disk.torn.isEmpty {
      do {
        try commitNow(disk.torn.map { StoreOperation(request: .setAside($0.block, $0.location)) { _ in } })
      } catch {
        // Without the notes a later header would vouch for the torn records. Reads go on.
        state.withLock { $0.failure = "The bad end of the disk could not be noted: \(error)" }
        return
      }
    }
    state.withLock { $0.ledger.durableSequence = $0.ledger.nextSequence - 1 }
    for (location, recordBytes) in disk.dead { punch(location, recordBytes: recordBytes) }
    takeStock()
    keepReserve()
  }

  /// Asks the file system what was punched out of the segments that are not written to: it is right whatever happened when.
  private func takeStock() {
    let (segments, active) = state.withLock { ($0.segments, $0.ledger.active?.slot) }
    for (slot, segment) in segments.enumerated() where !segment.isGone && UInt32(slot) != active {
      guard let attributes = try? configuration.fileSystem.attributes(files.path(of: segment)) else { continue }
      let punched = max(0, min(Int64(segment.endBytes), attributes.size - attributes.allocated))
      state.withLock { state in
        state.ledger.occupiedBytes -= punched - state.segments[slot].punchedBytes
        state.segments[slot].punchedBytes = punched
      }
    }
  }
}
