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
  /// What the blocks are sealed with, where they are.
  private let cipher: FolderCipher?
  private let guesses = Mutex(Guesses())

  /// Looks at every place while that helps, and at some of them after that.
  struct Guesses: Sendable {
    private static let patience = 4
    private static let rarely = 16
    private var misses = 0

    mutating func isWorthwhile(_ index: Int) -> Bool { misses < Guesses.patience || index % Guesses.rarely == 0 }
    mutating func note(isHit: Bool) { misses = isHit ? 0 : misses + 1 }
  }

  private init(_ file: File, bytes: Int64, places: [BlockID: Int64], cipher: FolderCipher?) {
    (self.file, self.bytes, self.places, self.cipher) = (file, bytes, places, cipher)
  }

  /// - Returns: nil when there is no such file, or nothing to gain from it.
  static func open(_ path: String, for plan: FilePlan, _ resources: TransferResources) async throws -> LocalBlocks? {
    guard plan.blocks.count > 1 else { return nil }
    let opened = try await resources.threads.run { () -> (File, Int64)? in
      guard let file = try? File(path, [.read, .noFollow]), let identity = try? FileIdentity.of(file), identity.isRegular,
        identity.size > Int64(ContentDefinedChunking.standard.minimumBytes)
      else { return nil }
      return (file, identity.size)
    }
    guard let (file, bytes) = opened else { return nil }
    if plan.chunker == .fixed { return LocalBlocks(file, bytes: bytes, places: [:], cipher: plan.cipher) }
    return LocalBlocks(file, bytes: bytes, places: try await cut(file, plan.cipher, resources), cipher: plan.cipher)
  }

  private static func cut(_ file: File, _ cipher: FolderCipher?, _ resources: TransferResources) async throws -> [BlockID: Int64] {
    let cutter = BlockCutter(
      cipher == nil ? .standard : .sealed, from: file, countsPieces: false, start: cipher == nil ? 0 : SealedForm.tagBytes)
    let buffer = try await resources.buffer()
    var places: [BlockID: Int64] = [:]
    var end: Int64 = 0
    while places.count < placeLimit {
      try Task.checkCancellation()
      let found = try await resources.threads.run { () -> BlockRef? in
        // What cannot be read is as good as what is not there.
        guard let count = try? cutter.next(into: buffer), count > 0 else { return nil }
        let block = try cipher?.seal(count, in: buffer) ?? 0..<count
        return BlockRef(id: BlockID(words: SHA256Hasher.hash(buffer.bytes(block))), size: count)
      }
      guard let found else { break }
      places[found.id] = end
      end += Int64(found.size)
    }
    return places
  }

  /// Reads the block into `buffer`, if the file has it, and answers where its plain bytes are. Blocks.
  func take(_ step: PlanWalk.Step, into buffer: IOBuffer) -> Range<Int>? {
    let offset: Int64
    let isGuess = places.isEmpty
    if isGuess {
      guard guesses.withLock({ $0.isWorthwhile(step.index) }) else { return nil }
      offset = step.offset
    } else {
      guard let place = places[step.block.id] else { return nil }
      offset = place
    }
    let found = offset + Int64(step.size) <= bytes ? try? LocalBlocks.read(step, from: file, at: offset, into: buffer, cipher) : nil
    if isGuess { guesses.withLock { $0.note(isHit: found != nil) } }
    return found
  }

  /// Reads what may be a block and answers where its plain bytes are; nil when it is another one. Blocks.
  ///
  /// Only what is stored has a name, so plain bytes of an encrypted folder are sealed to be compared, and opened again.
  static func read(
    _ step: PlanWalk.Step, from file: File, at offset: Int64, into buffer: IOBuffer, _ cipher: FolderCipher?
  ) throws -> Range<Int>? {
    let start = cipher == nil ? 0 : SealedForm.tagBytes
    let plain = start..<(start + step.size)
    guard try file.pread(into: buffer.mutableBytes(plain), at: offset) == step.size else { return nil }
    let block = try cipher?.seal(step.size, in: buffer) ?? plain
    guard BlockID(words: SHA256Hasher.hash(buffer.bytes(block))) == step.block.id else { return nil }
    return try cipher?.open(block, in: buffer) ?? plain
  }
}
