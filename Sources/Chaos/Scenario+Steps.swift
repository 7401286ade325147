/// How a line of a story is read.
extension Scenario.Step {
  /// System calls at which a process may be killed: those around which an operation is durable or not, told or not.
  static let calls = ["fdatasync", "pwrite64", "write", "sendto", "sendmsg"]

  /// Nil when the words are no step.
  init?(_ words: [String]) {
    var words = words
    var name: String?
    if words.count > 2, words[words.count - 2] == "as" {
      name = words.last
      words.removeLast(2)
    }
    guard let step = name.map({ Self.lasting(words, $0) }) ?? Self.passing(words) else { return nil }
    self = step
  }

  /// What the step's end is called later; nil when it has none.
  var boundName: String? {
    switch self {
    case .strike(_, _, let name), .killAt(_, _, _, let name), .cut(_, _, _, let name), .slowLinks(_, _, _, let name), .disk(_, let name),
      .turnClock(_, _, let name):
      name
    case .wait, .weigh, .end, .rot, .control, .must: nil
    }
  }

  /// Steps that are over at once.
  private static func passing(_ words: [String]) -> Self? {
    switch (words[0], words.count) {
    case ("wait", 2): range(words[1], 0...3600).map { .wait($0) }
    case ("weigh", 3) where words[1] == "node": range(words[2], 0.1...20).map { .weigh($0) }
    case ("rot", 2): range(words[1], 1...1000).map { .rot(places: Int($0.upperBound)) }
    case ("end", 2): .end(words[1])
    case ("control", 2...): .control(Array(words.dropFirst()))
    case ("must", 2...): .must(Array(words.dropFirst()))
    default: nil
    }
  }

  /// Steps that last until the name is ended.
  private static func lasting(_ words: [String], _ name: String) -> Self? {
    guard words.count >= 2 else { return nil }
    switch words[0] {
    case "lose" where words[1...] == ["disk"]: return .disk(.lose, name: name)
    case "fill" where words[1...] == ["disk"]: return .disk(.fill, name: name)
    case "fail" where words[1...] == ["disk"]: return .disk(.fail, name: name)
    case "slow" where words.count == 3 && words[1] == "disk":
      return Int(words[2]).flatMap { (1...10_000).contains($0) ? .disk(.slow(milliseconds: $0), name: name) : nil }
    case "power" where words[1...] == ["off", "node"]: return .disk(.power, name: name)
    default: break
    }
    guard let victim = Scenario.Victim(rawValue: words[1]) else { return nil }
    switch (words[0], words.count) {
    case ("cut", 4) where words[2] == "from" || words[2] == "to":
      return Scenario.Peers(rawValue: words[3]).map { .cut(victim, $0, bothWays: words[2] == "from", name: name) }
    case ("slow", 3): return range(words[2], 0...5000).map { .slowLinks(victim, $0, loss: 0, name: name) }
    case ("slow", 5) where words[3] == "loss":
      guard let delay = range(words[2], 0...5000), let loss = range(words[4], 0...50) else { return nil }
      return .slowLinks(victim, delay, loss: loss.upperBound / 100, name: name)
    case ("turn", 4) where words[2] == "clock": return range(words[3], -3600...3600).map { .turnClock(victim, $0, name: name) }
    case ("kill", 5) where words[2] == "at" && calls.contains(words[3]):
      return range(words[4], 1...10_000).map { .killAt(call: words[3], Int($0.lowerBound)...Int($0.upperBound), victim, name: name) }
    case (_, 2): return Scenario.Blow(rawValue: words[0]).map { .strike($0, victim, name: name) }
    default: return nil
    }
  }

  /// `A..B` or one number, within bounds.
  private static func range(_ text: String, _ bounds: ClosedRange<Double>) -> ClosedRange<Double>? {
    let parts = text.split(separator: "..", omittingEmptySubsequences: false)
    guard let from = parts.first.flatMap({ Double($0) }), let to = parts.last.flatMap({ Double($0) }), parts.count <= 2, from <= to,
      bounds.contains(from), bounds.contains(to)
    else { return nil }
    return from...to
  }
}
