/// How far a transfer is, and how fast it goes now.
///
/// The rate is that of the last few seconds: old speed says little about when it will be done. Pure, so that tests need no clock.
struct ProgressLine: Sendable {
  /// What is shown before the numbers.
  var label: String
  /// Nil while it is not known.
  var total: Int64?
  private(set) var done: Int64 = 0
  /// Moments and what was done then, over the last `window`.
  private var history: [(time: Duration, done: Int64)] = []

  private static let window = Duration.seconds(5)
  /// Room kept for the time left, so that the parts before it do not jump: `23 h 59 min left`.
  private static let remainingWidth = 16

  init(label: String, total: Int64?) {
    self.label = label
    self.total = total
  }

  mutating func advance(by bytes: Int64) { done += bytes }

  /// Remembers where it stands. Called at most ten times a second, so the history stays short.
  mutating func sample(at time: Duration) {
    history.append((time, done))
    // The last moment before the window stays: without it a short history would have no beginning.
    while history.count > 2, time - history[1].time >= ProgressLine.window { history.removeFirst() }
  }

  /// Bytes a second; nil until two moments are known.
  var rate: Double? {
    guard let first = history.first, let last = history.last, last.time > first.time else { return nil }
    return Double(max(0, last.done - first.done)) / ProgressLine.seconds(last.time - first.time)
  }

  /// Nil when the total or the rate is not known, or nothing moves.
  var remaining: Duration? {
    guard let total, let rate, rate > 0 else { return nil }
    return .seconds(min(Double(max(0, total - done)) / rate, 8.64e8))
  }

  /// One line without its end, at most `width - 1` columns.
  func render(width: Int) -> String {
    var parts: [String] = []
    if let total, total > 0 {
      let share = min(1, max(0, Double(done) / Double(total)))
      if width >= 70 { parts.append(ProgressLine.bar(share, columns: width >= 100 ? 24 : 10)) }
      parts.append(ProgressLine.padded("\(Int((share * 100).rounded(.down)))%", 4))
      parts.append("\(ProgressLine.padded(HumanFormat.size(done), 8)) of \(HumanFormat.size(total))")
    } else {
      parts.append(HumanFormat.size(done))
    }
    if let rate { parts.append(ProgressLine.padded(HumanFormat.rate(rate), 10)) }
    let numbers = parts.joined(separator: "  ")
    let room = width - 1 - TextWidth.columns(of: numbers) - 2 - 2 - ProgressLine.remainingWidth
    let name = room >= 8 ? TextWidth.cut(TextWidth.sanitised(label), to: room) + "  " : ""
    return TextWidth.cut(name + numbers + remainingText, to: width - 1)
  }

  private var remainingText: String {
    guard let remaining, done < total ?? 0 else { return "" }
    // Whole seconds: fractions of the last one would only flicker.
    let seconds = remaining.components.seconds + (remaining.components.attoseconds > 0 ? 1 : 0)
    return "  \(HumanFormat.duration(.seconds(seconds))) left"
  }

  private static func bar(_ share: Double, columns: Int) -> String {
    let eighths = Int((share * Double(columns * 8)).rounded(.down))
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    let text = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    return "▕" + text + String(repeating: " ", count: columns - TextWidth.columns(of: text)) + "▏"
  }

  private static func padded(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}
