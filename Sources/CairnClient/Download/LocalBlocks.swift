internal import BlockModel
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Blocks of a download that a local file has already: an older version of the same file, or a copy of it. They are not fetched.
///
/// What must hold: a block counts only when what was just read has its hash, so nobody has to keep the file from changing; and a file that
/// has nothing in common costs little.
final class LocalBlocks: Sendable {
  /// Places of content-defined blocks that are kept in memory, some 50 bytes each.
  private static let placeLimit = 1 << 20

  private let file: File
  private let bytes: Int64
  /// Where content-defined blocks are; fixed ones are where they are in the download.
  private let places: [BlockID: Int64]
  private let guesses = Mutex(Guesses())

  /// Looks at every place while that helps, and at some of them after that.
  struct Guesses: Sendable {
    private static let patience = 4
    private static let rarely = 16
    private var misses = 0

    mutating func isWorthwhile(_ index: Int) -> Bool { misses < Guesses.patience || index % Guesses.rarely == 0 }
    mutating func note(isHit: Bool) { misses = isHit ? 0 : misses + 1 }
  }

  private init(_ file: File, bytes: Int64, places: [BlockID: Int64]) {
    (self.file, self.bytes, self.places) = (file, bytes, places)
  }

  /// - Returns: nil when there is no such file, or nothing to gain from it.
  static func open(_ path: String, for plan: DownloadPlan, _ resources: TransferResources) async throws -> LocalBlocks? {
    guard plan.blocks.count > 1 else { return nil }
    let opened = try await resources.threads.run { () -> (File, Int64)? in
      guard let file = try? File(path, [.read, .noFollow]), let identity = try? FileIdentity.of(file), identity.isRegular,
        identity.size > Int64(ContentDefinedChunking.standard.minimumBytes)
      else { return nil }
      return (file, identity.size)
    }
    guard let (file, bytes) = opened else { return nil }
    if plan.chunker == .fixed { return LocalBlocks(file, bytes: bytes, places: [:]) }
    return LocalBlocks(file, bytes: bytes, places: try await cut(file, resources))
  }

  private static func cut(_ file: File, _ resources: TransferResources) async throws -> [BlockID: Int64] {
    let cutter = BlockCutter(.standard, from: file, countsPieces: false)
    let buffer = try await resources.buffer()
    var places: [BlockID: Int64] = [:]
    var end: Int64 = 0
    while places.count < placeLimit {
      try Task.checkCancellation()
      let found = try await resources.threads.run { () -> BlockRef? in
        // What cannot be read is as good as what is not there.
        guard let count = try? cutter.next(into: buffer), count > 0 else { return nil }
        return BlockRef(id: BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<count))), size: count)
      }
      guard let found else { break }
      places[found.id] = end
      end += Int64(found.size)
    }
    return places
  }

  /// Reads the block to the start of `buffer`, if the file has it. Blocks.
  func take(_ block: DownloadPlan.Block, index: Int, into buffer: IOBuffer) -> Bool {
    let offset: Int64
    let isGuess = places.isEmpty
    if isGuess {
      guard guesses.withLock({ $0.isWorthwhile(index) }) else { return false }
      offset = block.offset
    } else {
      guard let place = places[block.id] else { return false }
      offset = place
    }
    let isHit =
      offset + Int64(block.size) <= bytes
      && (try? file.pread(into: buffer.mutableBytes(0..<block.size), at: offset)) == block.size
      && BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<block.size))) == block.id
    if isGuess { guesses.withLock { $0.note(isHit: isHit) } }
    return isHit
  }
}
