internal import BlockModel

/// How long operations took, counted in classes of 4 % width, so that a percentile of many costs little. Old counts can be made to fade.
package struct LatencyHistogram: Sendable {
  private static let classesPerOctave = 16
  /// 2^10 ns, about a microsecond, to 2^37 ns, about two minutes.
  private static let octaves = 10..<37
  private var counts = [Double](repeating: 0, count: octaves.count * classesPerOctave)
  /// Operations counted, faded ones in part.
  package private(set) var total = 0.0

  package init() {}

  package mutating func add(_ duration: Duration) {
    let nanoseconds = UInt64(max(1 << LatencyHistogram.octaves.lowerBound, duration.saturatedNanoseconds))
    let octave = 63 - nanoseconds.leadingZeroBitCount
    let part = Int(nanoseconds >> UInt64(octave - 4)) & 15
    let index = (octave - LatencyHistogram.octaves.lowerBound) * LatencyHistogram.classesPerOctave + part
    counts[min(index, counts.count - 1)] += 1
    total += 1
  }

  package mutating func add(_ other: LatencyHistogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    total += other.total
  }

  /// Multiplies every count.
  package mutating func fade(to share: Double) {
    for index in counts.indices { counts[index] *= share }
    total *= share
  }

  /// The upper end of the class in which the percentile lies; nil when nothing was counted.
  package func percentile(_ share: Double) -> Duration? {
    guard total > 0 else { return nil }
    var left = total * share
    for (index, count) in counts.enumerated() {
      left -= count
      guard left <= 0, count > 0 else { continue }
      let octave = index / LatencyHistogram.classesPerOctave + LatencyHistogram.octaves.lowerBound
      let part = index % LatencyHistogram.classesPerOctave
      return .nanoseconds(Int64(17 + part) << Int64(octave - 4))
    }
    return nil
  }
}
