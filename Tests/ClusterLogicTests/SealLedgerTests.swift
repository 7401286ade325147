import BlockModel
import ClusterLogic
import Testing

@Suite("Sealing partitions") struct SealLedgerTests {
  private func ledger() -> SealLedger { SealLedger(layoutVersion: 0, allBelow: 0, rows: []) }

  @Test("after a seal no older write enters, and it is quiet when those that did have left")
  func seal() throws {
    var ledger = ledger()
    try ledger.enter(3, layoutVersion: 1)
    try ledger.enter(3, layoutVersion: 2)
    try ledger.enter(4, layoutVersion: 1)
    let isNew = ledger.seal([3], layoutVersion: 2)
    #expect(isNew)
    #expect(throws: SealLedger.Refusal.sealed(against: 2)) { try ledger.enter(3, layoutVersion: 1) }
    #expect(!ledger.isQuiet([3], before: 2))
    ledger.leave(3, layoutVersion: 1)
    #expect(ledger.isQuiet([3], before: 2) && !ledger.isQuiet([3, 4], before: 2))
    let isOlder = ledger.seal([3], layoutVersion: 1)
    #expect(!isOlder, "seals only grow")
    #expect(ledger.seal(of: 3) == 2 && ledger.seal(of: 4) == 0)
    #expect(ledger.rows.map(\.partition) == [3] && ledger.rows.map(\.version) == [2])
  }

  @Test("copies are given up of sealed partitions only, under the newest layout that was heard of")
  func retire() throws {
    var ledger = ledger()
    #expect(throws: SealLedger.Refusal.notSealed) { try ledger.beginRetiring(3, layoutVersion: 2) }
    _ = ledger.seal([3], layoutVersion: 2)
    try ledger.beginRetiring(3, layoutVersion: 2)
    let heard = [ledger.observe(layoutVersion: 3), ledger.observe(layoutVersion: 2)]
    #expect(heard == [true, false])
    #expect(!ledger.hasRetired(before: 3) && ledger.hasRetired(before: 2), "the newer command waits")
    #expect(throws: SealLedger.Refusal.newerLayout(3)) { try ledger.beginRetiring(3, layoutVersion: 2) }
    ledger.endRetiring(layoutVersion: 2)
    #expect(ledger.hasRetired(before: 3))
  }

  @Test("what is kept makes the same ledger again")
  func kept() {
    var ledger = ledger()
    _ = ledger.seal([9, 1, 5], layoutVersion: 4)
    _ = ledger.observe(layoutVersion: 6)
    let again = SealLedger(layoutVersion: ledger.layoutVersion, allBelow: 2, rows: ledger.rows)
    #expect(again.rows.map(\.partition) == [1, 5, 9] && again.layoutVersion == 6)
    #expect(again.seal(of: 1) == 4 && again.seal(of: 2) == 2)
  }
}
