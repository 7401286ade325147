internal import BlockModel
internal import Platform
internal import Synchronization

/// Cuts the bytes of a file or stream into blocks, one after the other: content-defined ones, or such of 4 MiB.
///
/// With content-defined blocks the content hash does not follow from their names, so the 4 MiB pieces that it is made of are hashed on the
/// way. Every byte is read once. One caller at a time.
final class BlockCutter: Sendable {
  /// Fills what it is given from the bytes that follow, and answers how many came; fewer mean the end. Blocks.
  typealias Reading = @Sendable (UnsafeMutableRawBufferPointer) throws -> Int

  /// Bytes that are read at a time, and at most left over when a block ends.
  private static let step = 512 << 10

  private struct State: ~Copyable {
    /// Bytes that were read and belong to the next block: this range of `rest`.
    var carried = 0..<0
    /// Whether the last bytes came from `rest`.
    var isFromRest = false
    var pieces = PieceHasher()
    var cutBytes: Int64 = 0
    var isAtEnd = false
  }

  private let chunking: ContentDefinedChunking?
  private let countsPieces: Bool
  /// Where in a buffer a block goes.
  private let start: Int
  private let read: Reading
  private let rest: IOBuffer
  private let state = Mutex(State())

  /// - Parameters:
  ///   - chunking: nil cuts blocks of 4 MiB, or what `start` leaves of that.
  ///   - countsPieces: whether the content hash is wanted, which costs as much as hashing the blocks.
  ///   - start: where in a buffer blocks go; what is before stays as it is, for the tag of a block that is to be sealed.
  init(_ chunking: ContentDefinedChunking?, countsPieces: Bool = true, start: Int = 0, read: @escaping Reading) {
    self.chunking = chunking
    // Of blocks of 4 MiB the names say it.
    self.countsPieces = countsPieces && (chunking != nil || start > 0)
    self.start = start
    self.read = read
    rest = IOBuffer(capacity: BlockCutter.step)
  }

  /// Cuts a file from an offset on, in bytes.
  convenience init(
    _ chunking: ContentDefinedChunking?, from file: File, at offset: Int64 = 0, countsPieces: Bool = true, start: Int = 0
  ) {
    let place = Mutex<Int64>(offset)
    self.init(chunking, countsPieces: countsPieces, start: start) { bytes in
      try place.withLock { place in
        let count = try file.pread(into: bytes, at: place)
        place += Int64(count)
        return count
      }
    }
  }

  /// Bytes in the blocks so far.
  var cutBytes: Int64 { state.withLock { $0.cutBytes } }

  /// Writes the next block to its place in `buffer`, which holds 4 MiB. Blocks.
  /// - Returns: its length; 0 at the end.
  func next(into buffer: IOBuffer) throws -> Int {
    try state.withLock { state in
      let count = try fill(buffer, &state)
      if countsPieces { state.pieces.update(buffer.bytes(start..<(start + count))) }
      state.cutBytes += Int64(count)
      return count
    }
  }

  /// Takes bytes that are in the cluster already: they count for the content hash. Blocks.
  func skip(_ bytes: Int64, through buffer: IOBuffer) throws {
    try state.withLock { state in
      var left = bytes
      while left > 0 {
        let wanted = Int(min(left, Int64(buffer.capacity)))
        let count = try read(buffer.mutableBytes(0..<wanted))
        guard count == wanted else { throw CairnError(.sourceChanged, "The file became shorter while it was read; upload it again.") }
        if countsPieces { state.pieces.update(buffer.bytes(0..<count)) }
        left -= Int64(count)
      }
      state.cutBytes += bytes
    }
  }

  /// After the end: the content hash where it does not follow from the blocks.
  func contentHash() -> String? {
    guard countsPieces else { return nil }
    return state.withLock { $0.pieces.contentHash() }
  }

  private func fill(_ buffer: IOBuffer, _ state: inout State) throws -> Int {
    var count = 0
    var block = chunking?.block()
    let limit = chunking?.maximumBytes ?? Limits.blockBytes - start
    while count < limit, !(state.isAtEnd && state.carried.isEmpty) {
      let fresh = try more(buffer, at: count, limit: limit, &state)
      count = fresh.upperBound
      let bytes = buffer.bytes((start + fresh.lowerBound)..<(start + fresh.upperBound))
      guard let end = block?.end(in: bytes) else { continue }
      keep(UnsafeRawBufferPointer(rebasing: bytes[end...]), &state)
      return fresh.lowerBound + end
    }
    return count
  }

  /// Adds up to a step of bytes at `place` of the block, first those that were left over.
  private func more(_ buffer: IOBuffer, at place: Int, limit: Int, _ state: inout State) throws -> Range<Int> {
    state.isFromRest = !state.carried.isEmpty
    if state.isFromRest {
      let count = min(state.carried.count, limit - place)
      let taken = state.carried.lowerBound..<(state.carried.lowerBound + count)
      buffer.mutableBytes((start + place)..<(start + place + count)).copyMemory(from: rest.bytes(taken))
      state.carried = taken.upperBound..<state.carried.upperBound
      return place..<(place + count)
    }
    let wanted = min(BlockCutter.step, limit - place)
    let count = try read(buffer.mutableBytes((start + place)..<(start + place + wanted)))
    state.isAtEnd = count < wanted
    return place..<(place + count)
  }

  /// Puts the last of the bytes that `more` took back.
  private func keep(_ bytes: UnsafeRawBufferPointer, _ state: inout State) {
    if state.isFromRest {
      // They are there still.
      state.carried = (state.carried.lowerBound - bytes.count)..<state.carried.upperBound
    } else {
      rest.mutableBytes(0..<bytes.count).copyMemory(from: bytes)
      state.carried = 0..<bytes.count
    }
  }
}

/// Hashes the 4 MiB pieces of bytes that come in order.
struct PieceHasher: ~Copyable {
  private var pieces: [BlockID] = []
  private var piece = SHA256Hasher()
  private var pieceBytes = 0

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var left = bytes[...]
    while !left.isEmpty {
      let part = left.prefix(Limits.blockBytes - pieceBytes)
      piece.update(UnsafeRawBufferPointer(rebasing: part))
      pieceBytes += part.count
      left = left.dropFirst(part.count)
      if pieceBytes == Limits.blockBytes { endPiece() }
    }
  }

  /// Ends the last piece.
  mutating func contentHash() -> String {
    if pieceBytes > 0 { endPiece() }
    return ContentHash.ofPieces(pieces)
  }

  private mutating func endPiece() {
    var done = SHA256Hasher()
    swap(&done, &piece)
    pieces.append(BlockID(words: done.finalize()))
    pieceBytes = 0
  }
}
