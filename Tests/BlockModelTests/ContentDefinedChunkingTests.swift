import BlockModel
import TestSupport
import Testing

@Suite("Content-defined chunking")
struct ContentDefinedChunkingTests {
  private static let small = ContentDefinedChunking(minimumBytes: 256, averageBytes: 1024, maximumBytes: 4096)

  /// Lengths of the blocks of `bytes`, which come in pieces of the lengths that `piece` says.
  private func cut(_ bytes: [UInt8], _ chunking: ContentDefinedChunking = small, piece: () -> Int = { .max }) -> [Int] {
    var lengths: [Int] = []
    var start = 0
    bytes.withUnsafeBytes { all in
      while start < all.count {
        var block = chunking.block()
        var place = start
        while true {
          guard place < all.count else {
            lengths.append(place - start)
            break
          }
          let count = min(piece(), all.count - place)
          if let end = block.end(in: UnsafeRawBufferPointer(rebasing: all[place..<(place + count)])) {
            lengths.append(place + end - start)
            break
          }
          place += count
        }
        start += lengths[lengths.count - 1]
      }
    }
    return lengths
  }

  /// The numbers of SplitMix64 from a seed, eight bytes each, little-endian.
  private func stream(_ seed: UInt64, _ count: Int) -> [UInt8] {
    var numbers = SplitMix64(state: seed)
    return (0..<(count / 8)).flatMap { _ in withUnsafeBytes(of: numbers.next().littleEndian) { Array($0) } }
  }

  @Test("the table and the ends are those that the format's description says")
  func vectors() {
    #expect(
      cut(stream(1, 20_000)) == [
        1109, 1272, 1922, 1140, 1167, 1864, 520, 539, 1044, 1484, 1665, 1028, 743, 1378, 1384, 1099, 327, 315,
      ])
    #expect(cut(stream(2, 6 << 20), .standard) == [1_311_276, 1_840_848, 2_132_015, 418_494, 588_823])
    #expect(cut([UInt8](repeating: 0, count: 9000)) == [4096, 4096, 808])
  }

  @Test("blocks follow one another, none but the last below the minimum and none above the maximum, however the bytes come")
  func bounds() {
    var random = Seeds.random()
    for _ in 0..<50 {
      let count = Int.random(in: 0...40_000, using: &random)
      // Few different bytes make patterns that come again, also such that never end a block.
      let kinds = UInt8.random(in: 0...255, using: &random)
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...kinds, using: &random) }
      let lengths = cut(bytes)
      #expect(lengths.reduce(0, +) == count)
      #expect(lengths.allSatisfy { $0 <= 4096 } && lengths.dropLast().allSatisfy { $0 > 256 })
      var pieces = random.fork()
      #expect(cut(bytes, piece: { Int.random(in: 1...3000, using: &pieces) }) == lengths)
    }
  }

  @Test("what is inserted, changed or removed somewhere costs a few blocks around it and no others")
  func locality() {
    var random = Seeds.random()
    var costs: [Int] = []
    for _ in 0..<20 {
      let old = (0..<60_000).map { _ in UInt8.random(in: 0...255, using: &random) }
      var new = old
      let place = Int.random(in: 0...50_000, using: &random)
      switch Int.random(in: 0...2, using: &random) {
      case 0: new.insert(contentsOf: (0..<Int.random(in: 1...500, using: &random)).map { _ in 7 }, at: place)
      case 1: new.removeSubrange(place..<(place + Int.random(in: 1...500, using: &random)))
      default: for index in place..<(place + 300) { new[index] ^= 0x55 }
      }
      let (before, after) = (blocks(old), blocks(new))
      costs.append(after.subtracting(before).count)
      #expect(after.count > 40)
    }
    // Two series of ends meet again at the first one that both would set. Of 20,000 such changes each half as many cost one block more than
    // the one before: half cost 1, one in 1,300 more than 12, the worst 20, and all together 2 each.
    #expect(costs.reduce(0, +) <= 5 * costs.count && costs.allSatisfy { $0 <= 40 }, "\(costs)")
  }

  private func blocks(_ bytes: [UInt8]) -> Set<[UInt8]> {
    var start = 0
    return Set(
      cut(bytes).map { length in
        defer { start += length }
        return Array(bytes[start..<(start + length)])
      })
  }

  @Test("blocks are about as long as asked for")
  func average() {
    var random = Seeds.random()
    let lengths = cut((0..<400_000).map { _ in UInt8.random(in: 0...255, using: &random) })
    #expect((900...1500).contains(400_000 / lengths.count))
  }
}
