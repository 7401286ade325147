internal import BlockModel
internal import Platform

/// A second reader of segments, made from `docs/formats.md` and independent of the store's: says which blocks have something to do with a
/// part of a segment's file.
enum SegmentReader {
  /// Blocks of which a record or a control record touches `range`.
  static func blocks(in range: Range<Int>, of bytes: [UInt8]) -> Set<BlockID> {
    var found: Set<BlockID> = []
    bytes.withUnsafeBytes { bytes in
      var unit = 0
      while unit < range.upperBound, unit + 128 <= bytes.count {
        defer { unit += 64 }
        guard let (end, block) = record(bytes, at: unit) else { continue }
        if end > range.lowerBound { found.insert(block) }
      }
    }
    return found
  }

  /// The record that begins at `start`: its end, and the block that it is about.
  private static func record(_ bytes: UnsafeRawBufferPointer, at start: Int) -> (end: Int, block: BlockID)? {
    // `CRNL`, then the version.
    guard bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self) == 0x4c4e_5243, bytes[start + 4] == 1 else { return nil }
    let header = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + 60)])
    guard CRC32C.checksum(header) == bytes.loadUnaligned(fromByteOffset: start + 60, as: UInt32.self) else { return nil }
    let kind = bytes[start + 5]
    let end = start + 64 + Int(bytes.loadUnaligned(fromByteOffset: start + 28, as: UInt32.self))
    // A block's id stands in the portable header, 16 bytes into the body; a control record's first in its body.
    let id = start + 64 + (kind == 1 ? 16 : 0)
    guard (1...4).contains(kind), id + 32 <= bytes.count else { return nil }
    return (end, BlockID(loading: UnsafeRawBufferPointer(rebasing: bytes[id..<(id + 32)])))
  }
}
