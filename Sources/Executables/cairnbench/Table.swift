import Platform

/// One row of a comparison: ours against a peer's, each the median of rounds that were run in turn.
struct Comparison {
  var name: String
  var ours: [RoundResult]
  var theirs: [RoundResult]
  var goal: Double?

  static let header =
    "| what | ours | peer | ratio, median of pairs (min–max) | goal | p50 / p99 ms ours | p50 / p99 ms peer |\n"
    + "|---|---|---|---|---|---|---|"

  /// Ratios come pair by pair, because the machine's speed drifts between rounds.
  func row(_ value: (RoundResult) -> Double, unit: String) -> String {
    let ratios = zip(ours, theirs).map { value($0) / value($1) }.sorted()
    let cells = [
      name, "\(rounded(Self.median(ours.map(value)))) \(unit)", "\(rounded(Self.median(theirs.map(value)))) \(unit)",
      "\(rounded(Self.median(ratios), 2)) (\(rounded(ratios.first ?? 0, 2))–\(rounded(ratios.last ?? 0, 2)))",
      goal.map { "≥ \(rounded($0, 2))" } ?? "", Self.percentiles(ours), Self.percentiles(theirs),
    ]
    return "| " + cells.joined(separator: " | ") + " |"
  }

  static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
  }

  private static func percentiles(_ rounds: [RoundResult]) -> String {
    "\(rounded(median(rounds.map { $0.percentile(0.5) }), 2)) / \(rounded(median(rounds.map { $0.percentile(0.99) }), 2))"
  }
}

/// A number with few digits: none after the point above 100, `digits` below.
func rounded(_ value: Double, _ digits: Int = 1) -> String {
  guard value.isFinite else { return "–" }
  if value >= 100 { return String(Int(value.rounded())) }
  let scale = digits == 1 ? 10.0 : 100.0
  let scaled = Int((value * scale).rounded())
  let fraction = String(scaled % Int(scale))
  return "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
}
