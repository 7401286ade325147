internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Blocks of a file that are known without reading it, because somebody who read it says what each 4 MiB of it hashes to.
///
/// Fixed blocks are these pieces. Where the content says where blocks end, a block of a former version is one of this version too when
/// all of it lies in pieces that did not change and this version's blocks come to end where it begins: what is before a block does not
/// matter to where it ends. Equal hashes are equal bytes, so nothing is guessed.
struct KnownBlocks: Sendable {
  private let size: Int64
  private let pieces: [BlockID]
  private let former: CutRecord?
  /// Of each of the former version's blocks, where it begins, in bytes.
  private let starts: [Int64]

  /// Fixed blocks.
  /// - Parameter pieces: the SHA-256 of each 4 MiB of a file of `size` bytes.
  init(pieces: [BlockID], size: Int64) {
    (self.size, self.pieces, former, starts) = (size, pieces, nil, [])
  }

  /// Content-defined blocks.
  init(pieces: [BlockID], size: Int64, former: CutRecord) {
    (self.size, self.pieces, self.former) = (size, pieces, former)
    var end: Int64 = 0
    starts = former.blocks.map { block in
      defer { end += Int64(block.size) }
      return end
    }
  }

  /// The block that begins at `offset`, where one of this version's blocks does; nil when the file has to be read for it.
  func block(at offset: Int64) -> BlockRef? {
    guard offset < size else { return nil }
    guard let former else { return piece(at: offset) }
    guard let index = starts.firstIndex(at: offset) else { return nil }
    let block = former.blocks[index]
    // The last one ends because the file does.
    let isEnd = index == starts.count - 1
    guard isEnd ? former.size == size : offset + Int64(block.size) <= size else { return nil }
    let bytes = Int64(Limits.blockBytes)
    let touched = Int(offset / bytes)...Int((offset + Int64(block.size) - 1) / bytes)
    return touched.allSatisfy { former.pieces[$0] == pieces[$0] } ? block : nil
  }

  private func piece(at offset: Int64) -> BlockRef? {
    let bytes = Int64(Limits.blockBytes)
    guard offset % bytes == 0 else { return nil }
    return BlockRef(id: pieces[Int(offset / bytes)], size: Int(min(bytes, size - offset)))
  }
}

extension Array where Element == Int64 {
  /// The place of a number in an ascending array.
  fileprivate func firstIndex(at number: Int64) -> Int? {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < number { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low] == number ? low : nil
  }
}

/// How one version of a file was cut by its content: the hashes of its 4 MiB pieces, and its blocks.
struct CutRecord: Sendable, Equatable {
  let pieces: [BlockID]
  /// None of them empty.
  let blocks: [BlockRef]
  /// Bytes of the file.
  let size: Int64

  /// Nil when these cannot be of one file.
  init?(pieces: [BlockID], blocks: [BlockRef]) {
    guard blocks.allSatisfy({ (1...Limits.blockBytes).contains($0.size) }) else { return nil }
    let size = blocks.reduce(Int64(0)) { $0 + Int64($1.size) }
    let piece = Int64(Limits.blockBytes)
    guard Int64(pieces.count) == (size + piece - 1) / piece else { return nil }
    (self.pieces, self.blocks, self.size) = (pieces, blocks, size)
  }

  private static let numberBytes = 4
  private static let rowBytes = BlockID.byteCount + numberBytes

  /// The number of pieces, the pieces, each block with its size, the SHA-256 of all that. Numbers are little-endian.
  var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(CutRecord.numberBytes + (pieces.count + 1) * BlockID.byteCount + blocks.count * CutRecord.rowBytes)
    func append(_ number: Int) { for byte in 0..<CutRecord.numberBytes { bytes.append(UInt8(truncatingIfNeeded: number >> (8 * byte))) } }
    append(pieces.count)
    for piece in pieces { bytes += piece.bytes }
    for block in blocks {
      bytes += block.id.bytes
      append(block.size)
    }
    return bytes + SHA256Hasher.hash(bytes)
  }

  /// Nil for anything but what `encoded` gives.
  init?(encoded bytes: [UInt8]) {
    guard bytes.count >= CutRecord.numberBytes + BlockID.byteCount else { return nil }
    let rows = bytes.dropLast(BlockID.byteCount)
    guard SHA256Hasher.hash(Array(rows)).elementsEqual(bytes.suffix(BlockID.byteCount)) else { return nil }
    func number(at place: Int) -> Int {
      (0..<CutRecord.numberBytes).reduce(0) { $0 | Int(rows[place + $1]) << (8 * $1) }
    }
    let count = number(at: 0)
    let first = CutRecord.numberBytes + count * BlockID.byteCount
    guard first <= rows.count, (rows.count - first) % CutRecord.rowBytes == 0 else { return nil }
    func id(at place: Int) -> BlockID? { BlockID(bytes: rows[place..<(place + BlockID.byteCount)]) }
    let pieces = (0..<count).compactMap { id(at: CutRecord.numberBytes + $0 * BlockID.byteCount) }
    let blocks = stride(from: first, to: rows.count, by: CutRecord.rowBytes).compactMap { place in
      id(at: place).map { BlockRef(id: $0, size: number(at: place + BlockID.byteCount)) }
    }
    self.init(pieces: pieces, blocks: blocks)
  }
}

extension CutRecord {
  /// The hashes of the pieces that another file has in common with this one: pieces of blocks that are in both at the same places.
  ///
  /// - Parameter blocks: of the other file, from its start to its end.
  /// - Returns: one for each of its pieces, nil where it may be another one.
  func commonPieces(with blocks: [BlockRef]) -> [BlockID?] {
    let piece = Int64(Limits.blockBytes)
    let otherSize = blocks.reduce(Int64(0)) { $0 + Int64($1.size) }
    /// Of each piece, the bytes in blocks that both have.
    var common = [Int64](repeating: 0, count: Int((otherSize + piece - 1) / piece))
    var (mine, place, offset) = (0, Int64(0), Int64(0))
    for block in blocks {
      while mine < self.blocks.count, place < offset {
        place += Int64(self.blocks[mine].size)
        mine += 1
      }
      let end = offset + Int64(block.size)
      if mine < self.blocks.count, place == offset, self.blocks[mine] == block {
        while offset < end {
          let index = Int(offset / piece)
          let next = min(end, Int64(index + 1) * piece)
          common[index] += next - offset
          offset = next
        }
      }
      offset = end
    }
    return common.indices.map { index in
      let start = Int64(index) * piece
      let length = min(piece, otherSize - start)
      return common[index] == length && min(piece, size - start) == length ? pieces[index] : nil
    }
  }
}

/// What a client remembers of how large files were cut that it carried, by their content hashes. Nothing depends on it but time.
struct CutRecords: Sendable {
  /// A smaller file is cut before its record is found.
  static let smallestFile = Int64(4 * Limits.blockBytes)
  /// Of a file of 100 GB and more.
  private static let readLimit = 8 << 20
  /// Records beyond this go, those first that were written first.
  private static let most = 256

  let folder: String

  private func path(_ contentHash: String) -> String { "\(folder)/\(contentHash)" }

  /// Nil when there is none that can be used. Blocks.
  func record(of contentHash: String) -> CutRecord? {
    guard BlockID(hex: contentHash) != nil,
      let bytes = (try? AtomicFile.read(path(contentHash), limit: CutRecords.readLimit)).flatMap(\.self),
      let record = CutRecord(encoded: bytes), ContentHash.ofPieces(record.pieces) == contentHash
    else { return nil }
    return record
  }

  /// Keeps a record, in place of that of a former content where there is one. A disk that takes none costs time later. Blocks.
  func keep(_ record: CutRecord, inPlaceOf former: String?) {
    let contentHash = ContentHash.ofPieces(record.pieces)
    let bytes = record.encoded
    guard bytes.count <= CutRecords.readLimit else { return }
    do {
      try Directory.create(folder)
      try AtomicFile.write(path(contentHash), bytes)
    } catch { return }
    if let former, former != contentHash { forget(former) }
    removeOldest()
  }

  /// Blocks.
  func forget(_ contentHash: String) {
    guard BlockID(hex: contentHash) != nil else { return }
    try? Directory.remove(path(contentHash))
  }

  private func removeOldest() {
    guard let names = try? Directory.list(folder), names.count > CutRecords.most else { return }
    let aged = names.map { name in (time: (try? Directory.attributes(path(name)))?.modifiedNanoseconds ?? 0, name: name) }
    for (_, name) in aged.sorted(by: <).dropLast(CutRecords.most) { try? Directory.remove(path(name)) }
  }
}
