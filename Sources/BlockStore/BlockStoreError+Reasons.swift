internal import BlockModel
internal import Platform

/// The refusals that several places give, in the same words.
extension BlockStoreError {
  static let closed = BlockStoreError(.closed, "The disk's store is closed.")
  static let full = BlockStoreError(.full, "The disk has no room for another block.")
  static let overloaded = BlockStoreError(.busy, "Too many operations wait for the disk; try again.")
  static func notFound(_ block: BlockID) -> BlockStoreError { BlockStoreError(.notFound, "Block \(block) is not on this disk.") }
  static func rotten(_ block: BlockID) -> BlockStoreError {
    BlockStoreError(.rotten, "This disk's copy of block \(block) fails its check and was set aside.")
  }
  static func outside(_ range: Range<Int>, _ block: StoredBlock) -> BlockStoreError {
    BlockStoreError(.malformed, "Block \(block.id) has \(block.storedBytes) stored bytes; the range \(range) is outside.")
  }
  static func io(_ error: FileError) -> BlockStoreError { BlockStoreError(.io, error.description) }
}
