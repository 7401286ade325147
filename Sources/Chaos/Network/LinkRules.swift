/// What is wrong with the links between the processes of a cluster: a value that the proxy asks for every connection.
///
/// What must hold: a link is from who opens the connection to who takes it, so “a cannot reach b” says nothing of b's calls to a; rules add
/// up, and taking one away leaves the others.
package struct LinkRules: Sendable {
  /// What happens to everything on a link.
  package struct Effect: Sendable, Equatable {
    /// Nothing passes, either way, and nobody is told.
    package var isCut = false
    /// Seconds that bytes take longer, each way, drawn for each piece.
    package var delay: ClosedRange<Double> = 0...0
    /// The share of pieces that are lost once, and so arrive only after TCP has sent them again.
    package var loss = 0.0

    package init(isCut: Bool = false, delay: ClosedRange<Double> = 0...0, loss: Double = 0) {
      (self.isCut, self.delay, self.loss) = (isCut, delay, loss)
    }
  }

  private struct Rule {
    var name: String
    var from: Set<String>
    var to: Set<String>
    var effect: Effect
  }

  private var rules: [Rule] = []

  package init() {}

  /// Adds a rule for the links from any of `from` to any of `to`; several may bear one name. A link to itself is never touched.
  package mutating func add(_ name: String, from: [String], to: [String], _ effect: Effect) {
    rules.append(Rule(name: name, from: Set(from), to: Set(to), effect: effect))
  }

  /// Takes every rule of the name away.
  package mutating func remove(_ name: String) { rules.removeAll { $0.name == name } }

  /// All that is wrong with one link: cut if any rule cuts it, the delays' sum, the loss of independent losses.
  package func effect(from: String, to: String) -> Effect {
    guard from != to else { return Effect() }
    return rules.reduce(into: Effect()) { sum, rule in
      guard rule.from.contains(from), rule.to.contains(to) else { return }
      sum.isCut = sum.isCut || rule.effect.isCut
      sum.delay = sum.delay.lowerBound + rule.effect.delay.lowerBound...sum.delay.upperBound + rule.effect.delay.upperBound
      sum.loss = 1 - (1 - sum.loss) * (1 - rule.effect.loss)
    }
  }
}
