import BlockModel
import ClusterLogic
import TestSupport
import Testing

@Suite("Taking the metadata's journal over")
struct JournalTakeoverTests {
  private static let began = MonotonicTime(nanoseconds: 50_000_000_000)
  private static let known = ["a-1", "b-1", "c-1"].map { (node: NodeID($0)!, zone: ZoneID(String($0.prefix(1)))!) }

  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Seconds since the start.
    var asked: Double
    /// Seconds since each node's writer spoke: nil for a node that does not answer, infinite for one that heard nobody.
    var quiet: [Double?]
    var decision: JournalTakeover.Decision
  }

  static let cases = [
    Case(testDescription: "nobody ever spoke", asked: 0, quiet: [.infinity, .infinity, .infinity], decision: .compare(isComplete: true)),
    Case(testDescription: "too few zones", asked: 60, quiet: [.infinity, nil, nil], decision: .waitForNodes),
    Case(testDescription: "one zone less than all has heard enough", asked: 0, quiet: [5, 5, nil], decision: .compare(isComplete: true)),
    Case(testDescription: "the former process ended a moment ago", asked: 0.3, quiet: [0.9, 0.5, 7], decision: .waitForQuiet),
    Case(testDescription: "it ended long enough ago", asked: 2, quiet: [2.4, 2, 7], decision: .compare(isComplete: true)),
    Case(testDescription: "what it had sent came just after the start", asked: 1.5, quiet: [0.6, 9, 9], decision: .waitForQuiet),
    Case(testDescription: "one word since the start", asked: 2, quiet: [0.4, 9, 9], decision: .waitForQuiet),
  ]

  @Test("it is taken over when enough nodes answer and nobody has spoken for a while, never while somebody speaks", arguments: cases)
  func decides(_ one: Case) {
    var takeover = JournalTakeover(zones: 2, began: Self.began)
    #expect(decide(&takeover, one.asked, one.quiet) == one.decision)
  }

  private func decide(_ takeover: inout JournalTakeover, _ asked: Double, _ quiet: [Double?]) -> JournalTakeover.Decision {
    let reports = zip(Self.known, quiet).compactMap { node, quiet in
      quiet.map { quiet in
        JournalTakeover.Report(
          node: node.node, zone: node.zone, quietFor: quiet.isInfinite ? nil : .milliseconds(Int(quiet * 1000)))
      }
    }
    return takeover.decide(known: Self.known, reports: reports, asked: Self.began + .milliseconds(Int(asked * 1000)))
  }

  @Test("somebody who goes on speaking since the start has it, also when most nodes are silent")
  func inUse() {
    var takeover = JournalTakeover(zones: 2, began: Self.began)
    #expect(decide(&takeover, 1.5, [0.4, 9, nil]) == .waitForQuiet)
    #expect(decide(&takeover, 1.7, [0.3, nil, nil]) == .waitForNodes, "it may be the same word, or one sent with it")
    #expect(decide(&takeover, 2.2, [0.1, nil, nil]) == .isInUse)
  }

  @Test("what a node had in its queue while it stood still is not somebody who goes on speaking")
  func queued() {
    var takeover = JournalTakeover(zones: 2, began: Self.began)
    #expect(decide(&takeover, 5, [0.3, 9, 9]) == .waitForQuiet)
    #expect(decide(&takeover, 5.2, [0.2, 0.4, 9]) == .waitForQuiet)
    #expect(decide(&takeover, 7.2, [2.2, 2.4, 11]) == .compare(isComplete: true))
  }

  @Test("with nodes of enough zones for a record and others silent it goes on after a while")
  func patience() {
    var takeover = JournalTakeover(zones: 2, began: Self.began)
    let more = Self.known + [(node: NodeID("d-1")!, zone: ZoneID("d")!)]
    let reports = Self.known.prefix(2).map { JournalTakeover.Report(node: $0.node, zone: $0.zone, quietFor: nil) }
    #expect(takeover.decide(known: more, reports: reports, asked: Self.began + .seconds(9)) == .waitForNodes)
    #expect(takeover.decide(known: more, reports: reports, asked: Self.began + .seconds(11)) == .compare(isComplete: false))
  }
}
