internal import BlockModel
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Blocks of a download that a local file has already: an older version of the same file, or a copy of it. They are not fetched.
///
/// What must hold: a block counts only when what was just read has its hash, so nobody has to keep the file from changing; and a file that
/// has nothing in common costs little.
final class LocalBlocks: Sendable {
  /// Blocks that may be found missing before the rest of the file is searched for them.
  private static let missLimit = 256
  /// Places of content-defined blocks that are kept in memory, some 50 bytes each.
  private static let placeLimit = 1 << 20

  private struct State: Sendable {
    var guesses: BlockGuesses
    /// Where content-defined blocks are that were not where they were guessed to be; nil before the file was searched.
    var places: [BlockID: Int64]?
  }

  private let file: File
  /// What the blocks are sealed with, where they are.
  private let cipher: FolderCipher?
  private let chunker: Chunker
  /// Whether blocks are read to the place within a page that they have in the download.
  private let keepsAlignment: Bool
  private let state: Mutex<State>

  private init(_ file: File, bytes: Int64, _ plan: FilePlan, keepsAlignment: Bool) {
    self.file = file
    self.keepsAlignment = keepsAlignment
    (cipher, chunker) = (plan.cipher, plan.chunker)
    state = Mutex(State(guesses: BlockGuesses(basisBytes: bytes, fileBytes: plan.size, mayShift: plan.chunker == .cdc)))
  }

  /// Blocks.
  /// - Parameter isInPlace: whether most blocks are expected where they were, so that hardly any of what is written is read again. They can
  ///   be written past the page cache then.
  /// - Returns: nil when there is no such file, or nothing to gain from it.
  static func open(_ path: String, for plan: FilePlan, isInPlace: Bool) -> LocalBlocks? {
    // Looked at before it is opened: a pipe would not open until somebody writes into it.
    guard plan.blocks.count > 1, let named = try? FileIdentity.at(path, followingLinks: false), named.isRegular,
      let file = try? File(path, [.read, .noFollow]), let identity = try? FileIdentity.of(file), identity.isRegular,
      identity.size > Int64(ContentDefinedChunking.standard.minimumBytes)
    else { return nil }
    return LocalBlocks(file, bytes: identity.size, plan, keepsAlignment: isInPlace && identity.size == plan.size)
  }

  /// Whether a block that was not found may be found yet, by `search`.
  var mayFindMore: Bool { chunker == .cdc && state.withLock { $0.places == nil } }
  /// Whether enough blocks were not found to search for them before any more are looked for.
  var isSearchDue: Bool { mayFindMore && state.withLock { $0.guesses.misses >= LocalBlocks.missLimit } }

  /// Cuts what no block was found in, so that blocks which moved are found as well.
  func search(_ resources: TransferResources) async throws {
    let gaps = state.withLock { $0.guesses.gaps }
    let places = try await withThrowingTaskGroup(of: (BlockID, Int64).self) { group in
      var started = 0
      for gap in gaps {
        let cutter = BlockCutter(
          cipher == nil ? .standard : .sealed, from: file, at: gap.lowerBound, countsPieces: false,
          start: cipher == nil ? 0 : SealedForm.tagBytes)
        var end = gap.lowerBound
        while end < gap.upperBound, started < LocalBlocks.placeLimit {
          try Task.checkCancellation()
          let buffer = try await resources.buffer()
          // What cannot be read is as good as what is not there.
          guard let count = try await resources.threads.run({ try? cutter.next(into: buffer) }), count > 0 else { break }
          let (place, cipher) = (end, cipher)
          group.addTask {
            try await resources.threads.run {
              let block = try cipher?.seal(count, in: buffer) ?? 0..<count
              return (BlockID(words: SHA256Hasher.hash(buffer.bytes(block))), place)
            }
          }
          end += Int64(count)
          started += 1
        }
      }
      var places: [BlockID: Int64] = [:]
      for try await (id, place) in group { places[id] = place }
      return places
    }
    state.withLock { $0.places = places }
  }

  /// Reads a block into `buffer`, if the file has it, and answers where its plain bytes are. Blocks.
  func take(_ step: PlanWalk.Step, into buffer: IOBuffer) -> Range<Int>? {
    let guesses = state.withLock { $0.guesses.places(of: step.index, at: step.offset, size: step.size) }
    for place in guesses ?? [] {
      guard let plain = read(step, at: place, into: buffer) else { continue }
      state.withLock { $0.guesses.noteHit(at: place, of: step.offset, size: step.size) }
      return plain
    }
    state.withLock { $0.guesses.noteMiss(wasLookedFor: guesses != nil) }
    guard let place = state.withLock({ $0.places?[step.block.id] }) else { return nil }
    return read(step, at: place, into: buffer)
  }

  private func read(_ step: PlanWalk.Step, at place: Int64, into buffer: IOBuffer) -> Range<Int>? {
    let start = keepsAlignment ? Int(step.offset % Int64(PartFile.alignment)) : 0
    return (try? LocalBlocks.read(step, from: file, at: place, into: buffer, start: start, cipher)).flatMap(\.self)
  }

  /// Reads what may be a block and answers where its plain bytes are; nil when it is another one. Blocks.
  ///
  /// Only what is stored has a name, so plain bytes of an encrypted folder are sealed to be compared, and opened again.
  /// - Parameter start: where in the buffer plain bytes go; of no effect on those of an encrypted folder, whose tag is before them.
  static func read(
    _ step: PlanWalk.Step, from file: File, at offset: Int64, into buffer: IOBuffer, start: Int = 0, _ cipher: FolderCipher?
  ) throws -> Range<Int>? {
    let start = cipher == nil ? start : SealedForm.tagBytes
    let plain = start..<(start + step.size)
    guard try file.pread(into: buffer.mutableBytes(plain), at: offset) == step.size else { return nil }
    let block = try cipher?.seal(step.size, in: buffer) ?? plain
    guard BlockID(words: SHA256Hasher.hash(buffer.bytes(block))) == step.block.id else { return nil }
    return try cipher?.open(block, in: buffer) ?? plain
  }
}
