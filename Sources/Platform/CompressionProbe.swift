/// Whether compressing pays, found by trying a little of it: names and types of files lie.
package enum CompressionProbe {
  /// Bytes of each sample, and how many are taken over the whole.
  private static let sampleSize = 8 << 10
  private static let samples = 4
  /// Compressed to at most this share of the plain bytes; above, the gain is not worth the work on both ends.
  private static let worthwhileShare = 0.9

  /// Compresses a few pieces spread over `plain` at the fastest level. Costs some 100 µs for a 4 MiB block.
  package static func pays(_ plain: UnsafeRawBufferPointer) -> Bool {
    guard plain.count >= 128 else { return false }
    let size = min(sampleSize, plain.count)
    let count = min(samples, plain.count / size)
    let step = count > 1 ? (plain.count - size) / (count - 1) : 0
    var compressed = 0
    for index in 0..<count {
      let sample = UnsafeRawBufferPointer(rebasing: plain[(index * step)..<(index * step + size)])
      compressed += compressedSize(sample)
    }
    return Double(compressed) <= Double(size * count) * worthwhileShare
  }

  private static func compressedSize(_ sample: UnsafeRawBufferPointer) -> Int {
    withUnsafeTemporaryAllocation(byteCount: sampleSize, alignment: 16) { room in
      Zstandard.compress(sample, into: room, level: 1) ?? sample.count
    }
  }
}
