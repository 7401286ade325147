package import BlockModel
package import Platform

/// A disk that should be here and is not, or could not be opened: it holds nothing as far as anybody can tell, and says why.
///
/// It keeps its place among a node's disks, so that the node serves the others and the coordinator hears which one is gone.
package struct FailedDisk: BlockStoring {
  package let disk: DiskID
  package let reason: String

  package init(disk: DiskID, reason: String) {
    self.disk = disk
    self.reason = reason
  }

  private var error: BlockStoreError { BlockStoreError(.fenced, reason) }

  package func status(of block: BlockID) -> StoredBlock? { nil }
  package func status(of blocks: [BlockID]) -> [StoredBlock?] { blocks.map { _ in nil } }
  package func existence(of blocks: [BlockID]) -> [Bool] { blocks.map { _ in false } }
  package func append(_ record: SealedRecord) async throws(BlockStoreError) -> AppendOutcome { throw error }
  package func raiseEpoch(of block: BlockID, to epoch: UInt64) async throws(BlockStoreError) -> Bool { false }
  package func read(_ block: BlockID, range: Range<Int>?, into pool: BufferPool) async throws(BlockStoreError) -> Payload {
    throw .notFound(block)
  }
  package func readRecord(_ block: BlockID, into pool: BufferPool) async throws(BlockStoreError) -> SealedRecord { throw .notFound(block) }
  package func verify(_ block: BlockID, using pool: BufferPool) async throws(BlockStoreError) { throw .notFound(block) }
  package func isSetAside(_ block: BlockID) -> Bool { false }
  package func copies(after position: CopyPosition, before end: CopyPosition?, limit: Int) async throws(BlockStoreError) -> CopyPage {
    CopyPage()
  }
  package func check(_ copies: [StoredCopy], using pool: BufferPool) async throws(BlockStoreError) -> [CopyCheck] { throw error }
  package func isPresent() async -> Bool { false }
  package func keyEpochs() -> [KeyEpochUse] { [] }
  package func tail() -> CopyPosition { .start }
  package func loadScrub() async -> ScrubProgress? { nil }
  package func saveScrub(_ progress: ScrubProgress) async throws(BlockStoreError) { throw error }
  package func delete(_ block: BlockID, ifEpochBelow epoch: UInt64) async throws(BlockStoreError) -> Bool { false }
  package func quarantine(_ block: BlockID, ifEpochBelow epoch: UInt64, at time: WallTime) async throws(BlockStoreError) -> Bool {
    false
  }
  package func restore(_ block: BlockID) async throws(BlockStoreError) -> Bool { false }
  package func quarantined(after: BlockID?, limit: Int) -> [QuarantinedBlock] { [] }
  package func purge(quarantinedBefore time: WallTime, limit: Int) async throws(BlockStoreError) -> Int { 0 }
  package func compact(limitBytes: Int) async throws(BlockStoreError) -> CompactionReport? { nil }
  package func blocks(inPartition partition: Int, bits: Int, after: BlockID?, limit: Int) -> [StoredBlock] { [] }
  package func setAsideBlocks(limit: Int) -> [BlockID] { [] }
  package func digest(ofPartition partition: Int, bits: Int) -> PartitionDigest { .empty }
  package func space() -> DiskSpace { DiskSpace(capacityBytes: 0, usedBytes: 0, freeBytes: 0, blockCount: 0) }
  package func health() -> DiskHealth { .failed(reason: reason) }
  package func close() async {}
}
