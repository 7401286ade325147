package import BlockModel
package import Platform
internal import Synchronization

/// The scrub's side of the store: which copies there are in the order of their places, and reading them back.
///
/// What must hold: copies are read past the page cache, one at a time, on a thread of lower weight than those that serve; only a copy
/// that failed twice while it stayed where it was is set aside.
extension SegmentStore {
  package func isSetAside(_ block: BlockID) -> Bool { index.entry(of: block)?.isSetAside == true }

  package func tail() -> CopyPosition {
    state.withLock { state in
      let applied = state.applied
      guard Int(applied.slot) < state.segments.count else { return CopyPosition(segment: 1, unit: 0) }
      return CopyPosition(segment: state.segments[Int(applied.slot)].number, unit: UInt32(applied.offset / LocalHeader.unitBytes))
    }
  }

  package func copies(
    after position: CopyPosition, before end: CopyPosition?, limit: Int
  ) async throws(BlockStoreError) -> CopyPage {
    guard limit > 0 else { return CopyPage() }
    return try await onScrubThread { () throws(BlockStoreError) in
      let numbers = self.state.withLock { $0.segments.map(\.number) }
      return self.index.page(after: position, before: end, limit: limit) { slot in
        Int(slot) < numbers.count ? numbers[Int(slot)] : .max
      }
    }
  }

  package func check(_ copies: [StoredCopy], using pool: BufferPool) async throws(BlockStoreError) -> [CopyCheck] {
    guard !copies.isEmpty else { return [] }
    if let dead = state.withLock({ $0.dead }) { throw BlockStoreError(.fenced, dead) }
    let buffer = try await pool.acquireForStore(bytes: RecordLayout.bufferBytes)
    return try await onScrubThread { () throws(BlockStoreError) in
      let reader = PageReader()
      var outcomes: [CopyCheck] = []
      for copy in copies { outcomes.append(try self.check(copy.block, buffer, reader)) }
      return outcomes
    }
  }

  private func check(_ block: BlockID, _ buffer: IOBuffer, _ reader: PageReader) throws(BlockStoreError) -> CopyCheck {
    do throws(BlockStoreError) {
      try verify(block, buffer, reader)
      return .valid
    } catch {
      switch error.code {
      case .notFound: return .gone
      case .rotten: return .rotten
      case .unreadable: return try checkUnreadable(block, buffer)
      default: throw error
      }
    }
  }

  /// The disk could not read the copy. Only when it fails again, and other places can be read, the fault is in this place.
  private func checkUnreadable(_ block: BlockID, _ buffer: IOBuffer) throws(BlockStoreError) -> CopyCheck {
    guard let entry = index.entry(of: block) else { return .gone }
    do throws(BlockStoreError) {
      try verify(block, buffer, PageReader())
      return .valid
    } catch {
      guard error.code == .unreadable else { return error.code == .rotten ? .rotten : .gone }
    }
    guard answers() else { throw BlockStoreError(.fenced, state.withLock { $0.dead ?? "" }) }
    guard index.entry(of: block)?.location == entry.location else { return .gone }
    _ = setAside(entry)
    return .unreadable
  }

  // MARK: A disk that does not answer

  /// Whether the disk still reads anything: asked after a read failed, so that one bad place is told from a disk that is gone.
  ///
  /// A disk that reads neither end of its newest segments is taken for gone until the next start: it shows no blocks any more.
  func answers() -> Bool {
    let segments = state.withLock { state in Array(state.segments.enumerated().suffix(4)) }
    let page = IOBuffer(capacity: Segment.pageBytes)
    for (slot, segment) in segments {
      for offset in [0, max(0, segment.endBytes - Segment.pageBytes)] {
        guard let file = try? files.directFile(UInt32(slot), segment),
          let count = try? file.pread(into: page.mutableBytes(0..<Segment.pageBytes), at: Int64(offset)), count > 0
        else { continue }
        return true
      }
    }
    guard !segments.isEmpty else { return true }
    giveUp("the disk does not answer: neither end of any of its newest segments can be read")
    return false
  }

  package func isPresent() async -> Bool {
    let reason = try? await onScrubThread { () throws(BlockStoreError) -> String? in
      let (fileSystem, folder) = (self.configuration.fileSystem, self.configuration.folder)
      do throws(BlockStoreError) {
        guard let identity = try DiskIdentity.load(fileSystem, folder: folder) else { return "the disk is gone from \(folder)" }
        return identity.disk == self.disk ? nil : "another disk, \(identity.disk), is at \(folder) now"
      } catch {
        // Too many open files and the like say nothing of the disk; a page of it that is bad is the scrub's to judge.
        return nil
      }
    }
    guard let reason = reason ?? nil else { return health().isThere }
    giveUp(reason)
    return false
  }

  private func giveUp(_ reason: String) {
    state.withLock { state in
      state.dead = state.dead ?? reason
      state.failure = state.failure ?? reason
    }
    isDead.store(true, ordering: .relaxed)
    refuseIfFailed()
  }

  // MARK: Progress

  package func loadScrub() async -> ScrubProgress? {
    let progress = try? await onScrubThread { () throws(BlockStoreError) -> ScrubProgress? in
      self.learnKeyEpochs()
      let path = self.configuration.folder + "/" + ScrubProgress.fileName
      guard let bytes = try? SmallFile.read(self.configuration.fileSystem, path, limit: ScrubProgress.limitBytes) else { return nil }
      return ScrubProgress(String(decoding: bytes, as: UTF8.self))
    }
    return progress ?? nil
  }

  package func saveScrub(_ progress: ScrubProgress) async throws(BlockStoreError) {
    try await onScrubThread { () throws(BlockStoreError) in
      do throws(FileError) {
        try SmallFile.write(
          self.configuration.fileSystem, folder: self.configuration.folder, name: ScrubProgress.fileName, Array(progress.text.utf8))
      } catch { throw .io(error) }
    }
  }

  private func onScrubThread<R: Sendable>(_ work: @Sendable @escaping () throws(BlockStoreError) -> R) async throws(BlockStoreError) -> R {
    if state.withLock({ $0.isClosing }) { throw .closed }
    do {
      return try await scrubThread.run {
        Machine.lowerThisThread()
        return try work()
      }
    } catch let error as BlockStoreError { throw error } catch {
      throw BlockStoreError(.busy, "The scrub's thread is taken: \(error)")
    }
  }
}

extension BlockIndex {
  /// Blocks whose only copy was set aside. Walks all entries where there are any.
  func setAsideBlocks(limit: Int) -> [BlockID] {
    guard totals.setAside > 0 else { return [] }
    var found: [BlockID] = []
    for stripe in 0..<BlockIndex.stripeCount {
      visit(stripe: stripe) { entry in if entry.isSetAside, found.count < limit { found.append(entry.id) } }
    }
    return found.sorted()
  }

  /// The next copies that count, in the order of their places.
  ///
  /// Walks all entries, under one stripe's lock after the other, and keeps no more than `limit`.
  func page(after position: CopyPosition, before end: CopyPosition?, limit: Int, number: (UInt32) -> UInt32) -> CopyPage {
    var page = CopyPage()
    var nearest = Smallest<StoredCopy>(limit)
    let (from, to) = (position.rawValue, end?.rawValue ?? .max)
    for stripe in 0..<BlockIndex.stripeCount {
      visit(stripe: stripe) { entry in
        let place = entry.location
        let key = UInt64(number(place.slot)) << 32 | UInt64(place.unit)
        guard !entry.isSetAside, key > from, key < to else { return }
        let bytes = RecordLayout.recordBytes(storedBytes: entry.storedBytes)
        page.leftCopies += 1
        page.leftBytes += Int64(bytes)
        if let bound = nearest.bound, key >= bound { return }
        nearest.add(StoredCopy(block: entry.id, position: CopyPosition(rawValue: key), recordBytes: bytes), key: key)
      }
    }
    page.copies = nearest.sorted()
    return page
  }
}
