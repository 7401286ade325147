internal import BlockModel
internal import BlockStore
internal import Platform
internal import ServiceAPI

/// What the garbage collector asks of a node: what it holds, to set deleted blocks aside, and to take them back.
///
/// What must hold: a copy goes only when its record's epoch is below the delete's, and stays for the hold time; a disk that fails leaves
/// the others alone.
struct GarbageCommands: Sendable {
  /// Blocks looked at for one answer, for each that it may have.
  private static let lookedAt = 8

  let disks: DiskSet
  let time: any TimeSource
  let log: Logger

  func list(below epoch: UInt64, partition: Int, bits: Int, after: BlockID?, limit: Int) -> NodeCommandReply {
    var found: [StoredBlock] = []
    var after = after
    for _ in 0..<GarbageCommands.lookedAt {
      let page = disks.blocks(inPartition: partition, bits: bits, after: after, limit: limit)
      for block in page {
        after = block.id
        guard block.gcEpoch < epoch else { continue }
        found.append(block)
        if found.count == limit { return reply(found, next: after) }
      }
      guard page.count == limit else { return reply(found, next: nil) }
    }
    return reply(found, next: after)
  }

  private func reply(_ blocks: [StoredBlock], next: BlockID?) -> NodeCommandReply {
    .listBelow(
      blocks: blocks.map(\.id), bytes: blocks.map { RecordLayout.recordBytes(storedBytes: $0.storedBytes) }, next: next)
  }

  /// Answers how many had a copy that went.
  func delete(_ blocks: [BlockID], below epoch: UInt64) async -> Int {
    let now = time.wall()
    return await count(blocks) { block throws(BlockStoreError) in try await disks.quarantine(block, ifEpochBelow: epoch, at: now) }
  }

  func quarantined(after: BlockID?, limit: Int) -> NodeCommandReply {
    let page = disks.quarantined(after: after, limit: limit)
    return .quarantined(
      blocks: page.map(\.block.id), epochs: page.map(\.epoch), next: page.count == limit ? page.last?.block.id : nil)
  }

  func restore(sinceEpoch epoch: UInt64, after: BlockID?, limit: Int) async -> NodeCommandReply {
    let page = disks.quarantined(after: after, limit: limit)
    let restored = await count(page.filter { $0.epoch >= epoch }.map(\.block.id)) { block throws(BlockStoreError) in
      try await disks.restore(block)
    }
    if restored > 0 { log.info("deleted blocks were taken back", ["blocks": .int(restored)]) }
    return .restored(blocks: restored, next: page.count == limit ? page.last?.block.id : nil)
  }

  /// Does it to all at once, so that they share a sync. One that fails, with its disk, is left as it is and not counted.
  private func count(
    _ blocks: [BlockID], _ body: @escaping @Sendable (BlockID) async throws(BlockStoreError) -> Bool
  ) async -> Int {
    await withTaskGroup(of: Bool.self) { group in
      for block in blocks {
        group.addTask {
          do throws(BlockStoreError) { return try await body(block) } catch {
            log.warning("a block could not be set aside or taken back", ["block": .string(block.hex), "reason": .string(error.message)])
            return false
          }
        }
      }
      var done = 0
      for await isDone in group { done += isDone ? 1 : 0 }
      return done
    }
  }
}
