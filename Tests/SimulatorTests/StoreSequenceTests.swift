import BlockModel
import Platform
import Simulator
import TestSupport
import Testing

/// The real block store on simulated disks, against a model of what it may show.
///
/// `CAIRN_DISK_SEQUENCES=100000` plays so many sequences, `CAIRN_SEED=4711 CAIRN_DISK_SEQUENCES=1` that one.
@Suite struct StoreSequenceTests {
  private static var count: UInt64 {
    Environment.value("CAIRN_DISK_SEQUENCES").flatMap { UInt64($0) } ?? (Environment.value("CAIRN_QUICK") == nil ? 2000 : 300)
  }

  @Test("whatever the disk and the power do, what was acknowledged is there, what was deleted is gone, and no wrong byte is served")
  func randomSequences() async throws {
    let first = Seeds.next()
    let outcome = try await SequencePlayer.play(first..<(first + Self.count))
    print("\(outcome.played) sequences from seed \(first): \(outcome.totals)")
    if let failure = outcome.failure { Issue.record(Comment(rawValue: try await SequencePlayer.report(failure))) }
    // The test would prove nothing if the faults did not happen.
    if outcome.failure == nil, outcome.played >= 1000 {
      let totals = outcome.totals
      #expect(totals.acknowledged > 5000 && totals.reads > 5000 && totals.opened > 3000 && totals.powerLosses > 1000)
      #expect(totals.interruptedOpenings > 50 && totals.fromCheckpoint > 300 && totals.tornRecords > 100)
      #expect(totals.fenced > 100 && totals.full > 50 && totals.damagedBlocks > 100 && totals.rottenReads > 20)
    }
  }

  @Test("a sequence does the same every time it is played")
  func deterministic() async throws {
    let first = Seeds.next()
    let totals = try await SequencePlayer.play(first..<(first + 20)).totals
    #expect(try await SequencePlayer.play(first..<(first + 20)).totals == totals)
  }

  @Test("a deliberate bug is found within 2,000 sequences", arguments: DeliberateBug.allCases)
  func findsBugs(bug: DeliberateBug) async throws {
    let first = Seeds.next()
    let outcome = try await SequencePlayer.play(first..<(first + 2000)) { BuggyFileSystem(inner: $0, bug: bug) }
    let failure = try #require(outcome.failure, "\(bug) was not found")
    print("\(bug): found in sequence \(failure.seed - first + 1): \(failure.violation)")
  }

  @Test("a failure shrinks to a few steps, which fail the same way every time")
  func shrinks() async throws {
    let first = Seeds.next()
    let wrap: SequencePlayer.Wrap = { BuggyFileSystem(inner: $0, bug: .swallowsDataSyncs) }
    let failure = try #require(try await SequencePlayer.play(first..<(first + 2000), wrap: wrap).failure)
    let (short, violation) = try await SequencePlayer.shrink(StoreSequence(seed: failure.seed), wrap: wrap)
    // An append, and a power failure, which may be the one at the end of every sequence.
    #expect(short.steps.count <= 4, "\(short)")
    let fault = try #require(violation).description
    for _ in 0..<3 { #expect(try await SequencePlayer.play(short, wrap: wrap)?.description == fault) }
    let honest = try await SequencePlayer.play(short)
    #expect(honest == nil, "without the bug nothing is wrong: \(short)")
  }
}
