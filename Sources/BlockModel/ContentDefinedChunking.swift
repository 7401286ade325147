/// Where content-defined chunking ends a block: FastCDC, a gear hash with normalised chunking (Xia and others, "FastCDC: a Fast and
/// Efficient Content-Defined Chunking Approach for Data Deduplication", USENIX ATC 2016).
///
/// What must hold: where a block ends follows from its own bytes alone, so two files with a stretch in common have blocks in common from
/// the first end inside of it on; and the parameters and the table do not change, because blocks of different ones have nothing in
/// common. `docs/formats.md` has both.
///
/// A deviation from the paper: a block ends after the byte that completes the pattern, not before it. Masks are the hash's highest bits,
/// which more bytes have a part in than in the lower ones.
package struct ContentDefinedChunking: Sendable, Equatable {
  /// Bytes of a block that is not the last of its file, at least. Nothing is hashed before.
  package let minimumBytes: Int
  /// Up to this length an end is four times less likely than one in this many bytes, and beyond it four times more. A power of two.
  package let averageBytes: Int
  package let maximumBytes: Int

  /// What clients cut by.
  package static let standard = ContentDefinedChunking(minimumBytes: 256 << 10, averageBytes: 1 << 20, maximumBytes: Limits.blockBytes)

  package init(minimumBytes: Int, averageBytes: Int, maximumBytes: Int) {
    precondition(minimumBytes > 0 && minimumBytes <= averageBytes && averageBytes <= maximumBytes, "block sizes are in order")
    precondition(averageBytes.nonzeroBitCount == 1 && averageBytes >= 8, "the average is a power of two")
    self.minimumBytes = minimumBytes
    self.averageBytes = averageBytes
    self.maximumBytes = maximumBytes
  }

  /// 256 numbers of SplitMix64 from the seed `cairncdc` in ASCII.
  static let gear: [UInt64] = {
    var numbers = SplitMix64(state: 0x6361_6972_6e63_6463)
    return (0..<256).map { _ in numbers.next() }
  }()

  /// Finds the end of one block whose bytes come in pieces.
  package func block() -> Block { Block(self) }

  package struct Block: Sendable {
    private let chunking: ContentDefinedChunking
    private let strictMask: UInt64
    private let looseMask: UInt64
    private var hash: UInt64 = 0
    /// Bytes seen so far.
    private var length = 0

    fileprivate init(_ chunking: ContentDefinedChunking) {
      self.chunking = chunking
      let bits = chunking.averageBytes.trailingZeroBitCount
      strictMask = ~UInt64(0) << UInt64(64 - (bits + 2))
      looseMask = ~UInt64(0) << UInt64(64 - (bits - 2))
    }

    /// Takes the bytes that follow.
    /// - Returns: how many of them belong to the block when it ends among them; nil when it goes on.
    package mutating func end(in bytes: UnsafeRawBufferPointer) -> Int? {
      var index = min(max(chunking.minimumBytes - length, 0), bytes.count)
      let average = min(max(chunking.averageBytes - length, index), bytes.count)
      let maximum = min(chunking.maximumBytes - length, bytes.count)
      if scan(bytes, &index, until: average, strictMask) || scan(bytes, &index, until: maximum, looseMask) { return index }
      if length + index >= chunking.maximumBytes { return index }
      length += bytes.count
      return nil
    }

    private mutating func scan(_ bytes: UnsafeRawBufferPointer, _ index: inout Int, until end: Int, _ mask: UInt64) -> Bool {
      guard index < end else { return false }
      // In locals, so that the loop is two additions, a table look-up and a test for each byte.
      var (place, sum) = (index, hash)
      let isFound = ContentDefinedChunking.gear.withUnsafeBufferPointer { gear in
        while place < end {
          sum = (sum &<< 1) &+ gear[Int(bytes[place])]
          place &+= 1
          if sum & mask == 0 { return true }
        }
        return false
      }
      (index, hash) = (place, sum)
      return isFound
    }
  }
}
