package import BlockModel
package import BlockStore
internal import Platform
internal import Synchronization

/// The blocks that simulated stores are given: of every kind that is laid out differently.
package struct StoreContents: Sendable {
  package let id: BlockID
  package let plain: [UInt8]
  /// What a store keeps of it: the plain bytes, or one zstd frame.
  package let stored: [UInt8]

  /// Empty, tiny, packed, just below and above a page, a frame and the bound of large records, several frames, compressed.
  package static let all: [StoreContents] = [0, 1, 40, 700, 4000, 4200, 9000, 20_000, 33_000, 65_536, 66_000, 131_073, 30_000, 90_000]
    .enumerated().map { index, count in StoreContents(bytes: count, number: index, isCompressed: index >= 12) }

  /// A block for every number, each another one, of sizes that are laid out differently; for stores that get many.
  package static func numbered(_ number: Int) -> StoreContents {
    let sizes = [900, 20_000, 64, 70_001, 4096, 40_000, 5, 9000]
    return StoreContents(bytes: sizes[number % sizes.count], number: 1_000_000 + number, isCompressed: false)
  }

  /// The data key that encrypted stores have.
  package static let keys = DataKeyring(keys: [(1, SecretBytes([UInt8](repeating: 7, count: 32)))])

  private let sealed: Sealed

  private init(bytes count: Int, number: Int, isCompressed: Bool) {
    var random = SeededRandom(seed: UInt64(1000 + number))
    // Half of the words repeat, so that zstd finds something where it is wanted.
    let words = (0..<(count / 8 + 1)).map { $0 % 2 == 0 ? random.next() : 42 }
    let plain = Array(words.flatMap { word in withUnsafeBytes(of: word) { Array($0) } }.prefix(count))
    self.plain = plain
    id = plain.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) }
    stored = isCompressed ? plain.withUnsafeBytes { Zstandard.compress($0) } ?? plain : plain
    sealed = Sealed()
  }

  /// A record of the block in a buffer of its own. It is sealed once and copied afterwards, as replicas get it.
  package func record(gcEpoch: UInt64, isEncrypted: Bool) throws(BlockStoreError) -> SealedRecord {
    let template = try sealed.template(of: self, isEncrypted: isEncrypted)
    let bytes = RecordLayout.recordBytes(storedBytes: template.header.storedBytes)
    let buffer = IOBuffer(capacity: bytes.roundedUp(to: 4096))
    buffer.mutableBytes(0..<bytes).copyMemory(from: template.buffer.bytes(0..<bytes))
    return SealedRecord(header: template.header, buffer: buffer, gcEpoch: gcEpoch)
  }

  private final class Sealed: Sendable {
    private let records = Mutex<[Bool: SealedRecord]>([:])

    func template(of contents: StoreContents, isEncrypted: Bool) throws(BlockStoreError) -> SealedRecord {
      if let record = records.withLock({ $0[isEncrypted] }) { return record }
      let stored = contents.stored
      let buffer = IOBuffer(capacity: RecordLayout.recordBytes(storedBytes: stored.count))
      for frame in 0..<RecordLayout.frameCount(storedBytes: stored.count) {
        let piece = stored[(frame * Limits.frameBytes)..<min(stored.count, (frame + 1) * Limits.frameBytes)]
        let start = RecordLayout.frameStart(frame)
        buffer.mutableBytes(start..<(start + piece.count)).copyBytes(from: piece)
      }
      let sealer = try RecordSealer(
        buffer: buffer, block: contents.id, plainBytes: contents.plain.count, storedBytes: stored.count,
        encoding: stored.count < contents.plain.count ? .zstd : .plain, keys: isEncrypted ? StoreContents.keys : nil)
      let record = try sealer.finish(gcEpoch: 0)
      records.withLock { $0[isEncrypted] = record }
      return record
    }
  }
}
