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
}
