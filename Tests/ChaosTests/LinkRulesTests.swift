import Chaos
import Testing

@Suite("Rules for links") struct LinkRulesTests {
  @Test("a rule counts for the links it names, in the direction it names, until it is taken away")
  func direction() {
    var rules = LinkRules()
    rules.add("split", from: ["a", "b"], to: ["c"], .init(isCut: true))
    #expect(rules.effect(from: "a", to: "c").isCut && rules.effect(from: "b", to: "c").isCut)
    #expect(!rules.effect(from: "c", to: "a").isCut && !rules.effect(from: "a", to: "b").isCut)
    rules.add("split", from: ["c"], to: ["a", "b"], .init(isCut: true))
    #expect(rules.effect(from: "c", to: "a").isCut)
    rules.remove("split")
    #expect(rules.effect(from: "a", to: "c") == .init() && rules.effect(from: "c", to: "a") == .init())
  }

  @Test("rules add up, and a process is never cut from itself")
  func addUp() {
    var rules = LinkRules()
    rules.add("far", from: ["a"], to: ["a", "b"], .init(delay: 0.1...0.2, loss: 0.5))
    rules.add("near", from: ["a"], to: ["b"], .init(delay: 0.01...0.02, loss: 0.5))
    let effect = rules.effect(from: "a", to: "b")
    #expect(abs(effect.delay.lowerBound - 0.11) < 1e-9 && abs(effect.delay.upperBound - 0.22) < 1e-9 && effect.loss == 0.75)
    #expect(!effect.isCut && rules.effect(from: "a", to: "a") == .init())
    rules.remove("near")
    #expect(rules.effect(from: "a", to: "b").loss == 0.5)
  }
}
