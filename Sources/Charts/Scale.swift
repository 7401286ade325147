/// Maps figures to places on a straight line.
package struct Scale: Sendable, Equatable {
  /// The figures at its two ends; different ones.
  package let domain: ClosedRange<Double>
  /// The places of these ends, in points. They may run backwards, as upwards does on a screen.
  package let start: Double
  package let end: Double

  /// - Parameter domain: a single figure is given some room on both sides.
  package init(_ domain: ClosedRange<Double>, from start: Double, to end: Double) {
    let room = domain.lowerBound == domain.upperBound ? max(1, abs(domain.lowerBound)) / 2 : 0
    self.domain = (domain.lowerBound - room)...(domain.upperBound + room)
    self.start = start
    self.end = end
  }

  /// The place of a figure; of one that lies beyond an end, that end's.
  package func place(_ value: Double) -> Double {
    let share = (value - domain.lowerBound) / (domain.upperBound - domain.lowerBound)
    return start + min(1, max(0, share.isFinite ? share : 0)) * (end - start)
  }

  /// Round figures within the domain, about `count` of them: multiples of 1, 2 or 5 times a power of ten.
  package func ticks(_ count: Int = 6) -> [Double] {
    let step = Scale.roundStep((domain.upperBound - domain.lowerBound) / Double(max(1, count)))
    // Counted in steps, so that sums of small errors do not show.
    let first = (domain.lowerBound / step - 1e-9).rounded(.up)
    let last = (domain.upperBound / step + 1e-9).rounded(.down)
    guard first <= last else { return [] }
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  /// The smallest of 1, 2, 5 times a power of ten that is not below the length, which is above zero.
  static func roundStep(_ length: Double) -> Double {
    var power = 1.0
    while power * 10 <= length { power *= 10 }
    while power > length { power /= 10 }
    return [1, 2, 5].map { $0 * power }.first { $0 >= length * (1 - 1e-9) } ?? 10 * power
  }

  /// The smallest range that holds all figures, and zero.
  package static func rangeFromZero(_ values: [Double]) -> ClosedRange<Double> {
    let finite = values.filter(\.isFinite)
    return min(0, finite.min() ?? 0)...max(0, finite.max() ?? 1)
  }

  /// A figure beside a tick: no digits after the point that say nothing.
  package static func label(_ value: Double) -> String {
    let units: [(size: Double, sign: String)] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")]
    for unit in units where abs(value) >= unit.size {
      let size = unit.sign == "k" ? 1000 : unit.size
      return label(value / size) + unit.sign
    }
    let rounded = (value * 1000).rounded() / 1000
    return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
  }
}
