import BlockModel
import ClusterLogic
import Platform
import TestSupport
import Testing

@Suite("Rates")
struct RequestBudgetTests {
  private static func at(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: Int64(seconds * 1e9)) }

  @Test("a burst passes, then as many as the rate says, and the refused one is told when to come back")
  func burst() {
    var budget = RequestBudget<String>(rate: RequestRate(perSecond: 10, burst: 3))
    var verdicts = (0..<3).map { _ in budget.take("a", now: Self.at(100)) }
    #expect(verdicts.map(\.isAllowed) == [true, true, true])
    #expect(verdicts.map(\.remaining) == [2, 1, 0])
    let refused = budget.take("a", now: Self.at(100))
    #expect(!refused.isAllowed && refused.remaining == 0 && refused.retryAfterSeconds == 1)
    #expect(budget.take("b", now: Self.at(100)).isAllowed, "each key has a bucket of its own")
    #expect(budget.take("a", now: Self.at(100.1)).isAllowed)
    #expect(!budget.take("a", now: Self.at(100.1)).isAllowed)
    verdicts = (0..<3).map { _ in budget.take("a", now: Self.at(200)) }
    #expect(verdicts.map(\.isAllowed) == [true, true, true], "it fills up to the burst and no further")
    #expect(!budget.take("a", now: Self.at(200)).isAllowed)
  }

  @Test("a rate of less than one a second holds, and says how long it takes")
  func slow() {
    var budget = RequestBudget<String>(rate: RequestRate(count: 6, inSeconds: 60, burst: 6))
    #expect(budget.rate.windowSeconds == 60)
    #expect((0..<6).allSatisfy { _ in budget.take("a", now: Self.at(0)).isAllowed })
    let refused = budget.take("a", now: Self.at(3))
    #expect(!refused.isAllowed && refused.retryAfterSeconds == 7)
    #expect(budget.take("a", now: Self.at(10)).isAllowed)
    #expect(!budget.take("a", now: Self.at(19)).isAllowed)
    #expect(budget.take("a", now: Self.at(20)).isAllowed)
  }

  @Test("in any span of time nobody gets more than the burst and the rate, and who stays below the rate is never refused")
  func bounds() {
    var random = Seeds.random()
    for _ in 0..<40 {
      let rate = RequestRate(perSecond: Int.random(in: 1...50, using: &random), burst: Int.random(in: 1...20, using: &random))
      var budget = RequestBudget<Int>(rate: rate)
      var now = 0.0
      var allowed: [Double] = []
      var steady = 0.0
      for _ in 0..<400 {
        now += Double.random(in: 0...0.1, using: &random)
        if budget.take(1, now: Self.at(now)).isAllowed { allowed.append(now) }
        if now - steady >= 1.0 / Double(rate.count) + 1e-6 {
          #expect(budget.take(2, now: Self.at(now)).isAllowed)
          steady = now
        }
      }
      for first in allowed.indices {
        for last in first..<allowed.count {
          let most = Double(rate.burst) + (allowed[last] - allowed[first]) * Double(rate.count) + 1e-3
          #expect(Double(last - first + 1) <= most)
        }
      }
    }
  }

  @Test("the table keeps its bound, and forgets those first whose buckets are full again")
  func bound() {
    var budget = RequestBudget<Int>(rate: RequestRate(perSecond: 1, burst: 2), bound: 4)
    for _ in 0..<2 { _ = budget.take(0, now: Self.at(0)) }
    for key in 1..<4 { _ = budget.take(key, now: Self.at(0)) }
    // The first is spent for another second and a half; the others are full again after one.
    #expect(budget.take(10, now: Self.at(1.5)).isAllowed)
    #expect(budget.count == 4)
    #expect(budget.take(0, now: Self.at(1.5)).remaining == 0, "it was not forgotten")
    var random = Seeds.random()
    for step in 0..<10_000 {
      _ = budget.take(Int.random(in: 0..<1000, using: &random), now: Self.at(2 + Double(step) / 100))
      #expect(budget.count <= 4)
    }
  }

  @Test("a charge is taken without asking, down to nothing and no further")
  func charge() {
    var budget = RequestBudget<String>(rate: RequestRate(perSecond: 1, burst: 10))
    budget.charge("a", cost: 9, now: Self.at(5))
    #expect(budget.take("a", now: Self.at(5)).remaining == 0)
    budget.charge("a", cost: 1000, now: Self.at(5))
    #expect(!budget.take("a", now: Self.at(5.5)).isAllowed)
    #expect(budget.take("a", now: Self.at(6.1)).isAllowed)
  }
}
