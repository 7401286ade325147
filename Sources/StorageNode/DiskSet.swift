package import BlockModel
package import BlockStore
internal import Glibc
package import Platform

/// A node's disks as one place for blocks.
///
/// What must hold: a block is looked up on every disk, so a copy is found wherever it is; a new one goes to the disk that weighted
/// rendezvous hashing names among those that take blocks, so one fenced or full disk leaves the others serving and moves nothing. What
/// only a fenced disk has is read from it, and is not counted as held: it is to have a copy on a disk that can be trusted.
package struct DiskSet: Sendable {
  package let disks: [any BlockStoring]

  package init(_ disks: [any BlockStoring]) {
    precondition(!disks.isEmpty, "a node has a disk")
    self.disks = disks
  }

  /// What an append answered, and the disk that holds the copy.
  package struct Appended: Sendable {
    package var disk: DiskID
    package var outcome: AppendOutcome
  }

  package func status(of block: BlockID) -> StoredBlock? { holder(of: block)?.status(of: block) }

  package func status(of blocks: [BlockID]) -> [StoredBlock?] {
    disks.count == 1 ? disks[0].status(of: blocks) : blocks.map { status(of: $0) }
  }

  /// Whether each block is on a disk that can be trusted with it.
  package func holds(_ blocks: [BlockID]) -> [Bool] {
    let sound = sound
    return blocks.map { block in sound.contains { $0.status(of: block) != nil } }
  }

  private var sound: [any BlockStoring] { disks.filter { $0.health().isSound } }

  /// Those whose blocks `digest`, `blocks` and `holds` speak of.
  package var soundDisks: [DiskID] { sound.map(\.disk) }

  /// Whether a bad copy of the block is here, and no good one.
  package func isSetAside(_ block: BlockID) -> Bool { status(of: block) == nil && disks.contains { $0.isSetAside(block) } }

  /// How many blocks of each partition have a bad copy here that was set aside, and no good one. Beyond `RotReports.bound` of a disk,
  /// every partition counts as having some.
  package func setAsideCounts(inPartitions partitions: [Int], bits: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: partitions.count)
    for disk in disks {
      let blocks = disk.setAsideBlocks(limit: RotReports.bound)
      guard !blocks.isEmpty else { continue }
      if blocks.count == RotReports.bound { counts = counts.map { $0 + 1 } }
      let places = Dictionary(partitions.enumerated().map { ($1, $0) }) { first, _ in first }
      for block in blocks where status(of: block) == nil {
        if let place = places[block.partition(bits: bits)] { counts[place] += 1 }
      }
    }
    return counts
  }

  /// The disk that has the block.
  private func holder(of block: BlockID) -> (any BlockStoring)? {
    if disks.count == 1 { return disks[0] }
    return disks.first { $0.status(of: block) != nil }
  }

  /// Whether some disk takes a record of this size now.
  package func hasRoom(forBytes bytes: Int) -> Bool { disks.contains { DiskSet.takes($0, bytes) } }

  private static func takes(_ disk: any BlockStoring, _ bytes: Int) -> Bool {
    disk.health() == .healthy && disk.space().freeBytes >= Int64(bytes)
  }

  /// Stores a record on the disk that has the block already, else on the one that ranks first, else on the next that works.
  ///
  /// - Parameter asCopy: repair or rebalance brings it: a disk that is nearly full takes no new block then.
  package func append(_ record: SealedRecord, asCopy: Bool = false) async throws(BlockStoreError) -> Appended {
    var failure = BlockStoreError(.full, "No disk of this node takes new blocks.")
    for disk in ranking(for: record.header.block) {
      if asCopy, disk.space().level >= .noCopies, disk.status(of: record.header.block) == nil { continue }
      do throws(BlockStoreError) {
        return Appended(disk: disk.disk, outcome: try await disk.append(record))
      } catch {
        guard [.full, .fenced, .io, .closed].contains(error.code) else { throw error }
        failure = error
      }
    }
    throw failure
  }

  /// As `append`, for several that belong together: those of one disk are written together. One outcome for each, in their order.
  package func append(_ records: [SealedRecord]) async -> [Result<Appended, BlockStoreError>] {
    if disks.count == 1 {
      let disk = disks[0]
      return await disk.append(records).map { $0.map { Appended(disk: disk.disk, outcome: $0) } }
    }
    let places = records.map { record in ranking(for: record.header.block).first?.disk }
    var outcomes = [Result<Appended, BlockStoreError>?](repeating: nil, count: records.count)
    await withTaskGroup(of: [(Int, Result<Appended, BlockStoreError>)].self) { group in
      for disk in disks {
        let numbers = places.indices.filter { places[$0] == disk.disk }
        guard !numbers.isEmpty else { continue }
        group.addTask {
          let answers = await disk.append(numbers.map { records[$0] })
          return zip(numbers, answers).map { ($0, $1.map { Appended(disk: disk.disk, outcome: $0) }) }
        }
      }
      for await answers in group { for (number, answer) in answers { outcomes[number] = answer } }
    }
    for (number, record) in records.enumerated() {
      if case .success? = outcomes[number] { continue }
      // The next disk that works, as for a record alone.
      do throws(BlockStoreError) { outcomes[number] = .success(try await append(record)) } catch { outcomes[number] = .failure(error) }
    }
    return outcomes.compactMap { $0 }
  }

  /// Disks to try for a block, best first.
  private func ranking(for block: BlockID) -> [any BlockStoring] {
    guard disks.count > 1 else { return disks }
    var ranked: [(score: Double, disk: any BlockStoring)] = []
    for disk in disks {
      let health = disk.health()
      if disk.status(of: block) != nil {
        guard health.isSound else { continue }
        ranked.append((.infinity, disk))
      } else if health == .healthy {
        ranked.append((DiskSet.score(block, disk.disk, weight: Double(max(1, disk.space().capacityBytes))), disk))
      }
    }
    return ranked.sorted { ($0.score, $1.disk.disk) > ($1.score, $0.disk.disk) }.map(\.disk)
  }

  /// Weighted rendezvous: −weight / ln(u) with u uniform from block and disk (Schindelhauer and Schomaker 2005).
  private static func score(_ block: BlockID, _ disk: DiskID, weight: Double) -> Double {
    var mixer = SplitMix64(state: block.words.1 ^ disk.high)
    var second = SplitMix64(state: mixer.next() ^ block.words.2 ^ disk.low)
    let uniform = (Double(second.next() >> 11) + 0.5) * 0x1p-53
    return -weight / log(uniform)
  }

  /// Reads from the first disk whose copy is good.
  package func read(_ block: BlockID, range: Range<Int>?, into pool: BufferPool) async throws(BlockStoreError) -> Payload {
    try await first(block) { disk throws(BlockStoreError) in try await disk.read(block, range: range, into: pool) }
  }

  /// What `read` would answer for the whole block, when a disk can give it from memory at once.
  package func readCached(_ block: BlockID, into buffer: IOBuffer) -> Payload? {
    for disk in disks { if let payload = disk.readCached(block, into: buffer) { return payload } }
    return nil
  }

  package func readRecord(_ block: BlockID, into pool: BufferPool) async throws(BlockStoreError) -> SealedRecord {
    try await first(block) { disk throws(BlockStoreError) in try await disk.readRecord(block, into: pool) }
  }

  package func verify(_ block: BlockID, using pool: BufferPool) async throws(BlockStoreError) {
    try await first(block) { disk throws(BlockStoreError) in try await disk.verify(block, using: pool) }
  }

  /// The answer of the first disk that has one; the most telling error when none has.
  private func first<Value: Sendable>(
    _ block: BlockID, _ body: (any BlockStoring) async throws(BlockStoreError) -> Value
  ) async throws(BlockStoreError) -> Value {
    var failure: BlockStoreError?
    for disk in disks {
      do throws(BlockStoreError) { return try await body(disk) } catch {
        if failure == nil || failure?.code == .notFound { failure = error }
      }
    }
    throw failure ?? BlockStoreError(.notFound, "Block \(block) is not on this node.")
  }

  /// Deletes every copy at once; true when there was one and it went.
  package func delete(_ block: BlockID, ifEpochBelow epoch: UInt64) async throws(BlockStoreError) -> Bool {
    var deleted = false
    for disk in disks where disk.status(of: block) != nil {
      if try await disk.delete(block, ifEpochBelow: epoch) { deleted = true }
    }
    return deleted
  }

  /// Deletes every copy in a way that can be undone for the hold time; true when there was one and it went.
  package func quarantine(_ block: BlockID, ifEpochBelow epoch: UInt64, at time: WallTime) async throws(BlockStoreError) -> Bool {
    var hidden = false
    for disk in disks where disk.status(of: block) != nil {
      if try await disk.quarantine(block, ifEpochBelow: epoch, at: time) { hidden = true }
    }
    return hidden
  }

  /// Takes a deleted block back; false when its hold is over, or it was not deleted.
  package func restore(_ block: BlockID) async throws(BlockStoreError) -> Bool {
    var restored = false
    for disk in disks {
      if try await disk.restore(block) { restored = true }
    }
    return restored
  }

  /// Deleted blocks that are still held, in id order, each once, from `after` on. Of several deletes of one block the newest.
  package func quarantined(after: BlockID?, limit: Int) -> [QuarantinedBlock] {
    let pages = disks.flatMap { $0.quarantined(after: after, limit: limit) }.sorted {
      ($0.block.id, $1.epoch) < ($1.block.id, $0.epoch)
    }
    var merged: [QuarantinedBlock] = []
    for block in pages where merged.last?.block.id != block.block.id { merged.append(block) }
    return Array(merged.prefix(limit))
  }

  /// Raises the epoch of every copy; false when there is none.
  package func raiseEpoch(of block: BlockID, to epoch: UInt64) async throws(BlockStoreError) -> Bool {
    var raised = false
    for disk in disks where disk.status(of: block) != nil {
      if try await disk.raiseEpoch(of: block, to: epoch) { raised = true }
    }
    return raised
  }

  /// Blocks of a partition on disks that can be trusted, in id order, each once, from `after` on.
  package func blocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) -> [StoredBlock] {
    let sound = sound
    if sound.count == 1 { return sound[0].blocks(inPartition: partition, bits: bits, after: after, limit: limit) }
    let pages = sound.flatMap { $0.blocks(inPartition: partition, bits: bits, after: after, limit: limit) }.sorted { $0.id < $1.id }
    var merged: [StoredBlock] = []
    for block in pages where merged.last?.id != block.id { merged.append(block) }
    return Array(merged.prefix(limit))
  }

  /// As if all disks were one: a block that two disks have counts once.
  package func digest(ofPartition partition: Int, bits: Int) -> PartitionDigest {
    let sound = sound
    if sound.count == 1 { return sound[0].digest(ofPartition: partition, bits: bits) }
    var digest = PartitionDigest.empty
    var after: BlockID?
    while true {
      let page = blocks(inPartition: partition, bits: bits, after: after, limit: 4096)
      for block in page { digest.add(block.id) }
      guard page.count == 4096 else { return digest }
      after = page.last?.id
    }
  }

  package func close() async {
    for disk in disks { await disk.close() }
  }
}
