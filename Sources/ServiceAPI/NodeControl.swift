package import BlockModel

/// What the coordinator asks of a node: `POST /v1/control/{sha256 of the body}` with a `control` capability; the body is a `NodeCommand`
/// as JSON.
package enum NodeCommand: Sendable, Codable, Equatable {
  /// Which of these blocks are here? At most 10,000.
  case exist(blocks: [BlockID])
  /// Digests of partitions' block sets. At most 4,096 partitions.
  case digest(partitions: [Int], bits: Int)
  /// One page of the ids that are here, in id order.
  case list(partition: Int, bits: Int, after: BlockID?, limit: Int)
  /// Fetch these blocks' records from other nodes. At most 256; answers when all are durable or failed.
  case copy(items: [CopyItem])
  /// Read these blocks back past the page cache and re-hash them. At most 256.
  case verify(blocks: [BlockID])
  /// Refuse writes of layouts before `layoutVersion` for these partitions from now on, durably; answered when none is under way any more.
  /// At most 4,096.
  case seal(partitions: [Int], layoutVersion: UInt64)
  /// Drop these blocks of a sealed partition: every replica confirmed its own copy. At most 1,000. `mark`: of the list that they are from;
  /// refused when a write of the partition has ended since.
  case retire(partition: Int, bits: Int, blocks: [BlockID], mark: UInt64)
  /// Drop these blocks when their epoch is below the capability's. At most 1,000.
  case delete(blocks: [BlockID])
  /// One page of the blocks of a partition whose epoch is below this one, in id order. At most 10,000.
  case listBelow(epoch: UInt64, partition: Int, bits: Int, after: BlockID?, limit: Int)
  /// One page of the deleted blocks that are still held, in id order. At most 10,000.
  case listQuarantined(after: BlockID?, limit: Int)
  /// Take deleted blocks back: one page of those that are still held and were deleted under this epoch or a later one. At most 1,000.
  case restore(sinceEpoch: UInt64, after: BlockID?, limit: Int)
  /// Send the data key of this epoch, sealed for the holder of this X25519 public key (hexadecimal).
  case dataKey(epoch: UInt32, requester: NodeID, publicKey: String)
  /// Start or pause the scrub of all disks.
  case scrub(ScrubAction)
}

package struct CopyItem: Sendable, Codable, Equatable {
  package var block: BlockID
  package var size: Int
  /// Signed `record` URLs, best first.
  package var sources: [SignedTarget]
  package init(block: BlockID, size: Int, sources: [SignedTarget]) {
    self.block = block
    self.size = size
    self.sources = sources
  }
}

package enum NodeCommandReply: Sendable, Codable, Equatable {
  /// As many letters as blocks were asked for: `1` here, `0` not.
  case exist(present: String)
  /// `disks`: over which the digests are; a disk that is missing among them took its blocks with it. `asides`: bad copies in each
  /// partition that were set aside and not replaced; the digest is without them.
  case digest(counts: [Int], words: [[UInt64]], disks: [DiskID], asides: [Int])
  /// `mark`: what `retire` takes along; it changes with each write of the partition that ends, and when the node restarts.
  case list(blocks: [BlockRef], next: BlockID?, mark: UInt64)
  /// One outcome per item.
  case copy(outcomes: [CopyOutcome])
  case verify(outcomes: [VerifyOutcome])
  case delete(deleted: Int)
  /// `bytes` are those that each block takes, in their order. `next`: everything up to here was looked at.
  case listBelow(blocks: [BlockID], bytes: [Int], next: BlockID?)
  /// `epochs` are those of the deletes.
  case quarantined(blocks: [BlockID], epochs: [UInt64], next: BlockID?)
  case restored(blocks: Int, next: BlockID?)
  case sealed
  /// How many were here and are gone.
  case retire(retired: Int)
  /// The requester derives the wrapping key from its secret and `publicKey`; all hexadecimal.
  case dataKey(publicKey: String, wrapped: String)
  case done
}

package enum CopyOutcome: String, Sendable, Codable { case copied, present, sourceMissing = "source-missing", failed, full }

package enum VerifyOutcome: String, Sendable, Codable { case valid, missing, rotten, unreadable }
