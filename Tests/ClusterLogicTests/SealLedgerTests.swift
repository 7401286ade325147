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
    #expect(throws: SealLedger.Refusal.notSealed) { try ledger.beginRetiring(3, layoutVersion: 2, mark: 0) }
    _ = ledger.seal([3], layoutVersion: 2)
    try ledger.beginRetiring(3, layoutVersion: 2, mark: 0)
    let heard = [ledger.observe(layoutVersion: 3), ledger.observe(layoutVersion: 2)]
    #expect(heard == [true, false])
    #expect(!ledger.hasRetired(before: 3) && ledger.hasRetired(before: 2), "the newer command waits")
    #expect(throws: SealLedger.Refusal.newerLayout(3)) { try ledger.beginRetiring(3, layoutVersion: 2, mark: 0) }
    ledger.endRetiring(3, layoutVersion: 2)
    #expect(ledger.hasRetired(before: 3))
  }

  @Test("what was acknowledged since the list is not given up, nor what is being written, nor what a former life listed")
  func marks() throws {
    var ledger = SealLedger(layoutVersion: 0, allBelow: 2, rows: [], firstMark: 100)
    try ledger.enter(3, layoutVersion: 2)
    let during = ledger.mark(of: 3)
    #expect(throws: SealLedger.Refusal.written) { try ledger.beginRetiring(3, layoutVersion: 2, mark: during) }
    ledger.leave(3, layoutVersion: 2)
    #expect(throws: SealLedger.Refusal.written) { try ledger.beginRetiring(3, layoutVersion: 2, mark: during) }
    let after = ledger.mark(of: 3)
    // Another partition's writes are no business of this one's.
    try ledger.enter(4, layoutVersion: 2)
    ledger.leave(4, layoutVersion: 2)
    try ledger.beginRetiring(3, layoutVersion: 2, mark: after)
    #expect(ledger.mark(of: 4) != after && ledger.mark(of: 5) == 100)
    var next = SealLedger(layoutVersion: 0, allBelow: 2, rows: [], firstMark: 7000)
    #expect(throws: SealLedger.Refusal.written) { try next.beginRetiring(3, layoutVersion: 2, mark: after) }
  }

  @Test("while copies of a partition are given up, no write of it is let in")
  func retiring() throws {
    var ledger = SealLedger(layoutVersion: 0, allBelow: 2, rows: [])
    try ledger.beginRetiring(3, layoutVersion: 2, mark: 0)
    #expect(throws: SealLedger.Refusal.retiring) { try ledger.enter(3, layoutVersion: 2) }
    try ledger.enter(4, layoutVersion: 2)
    ledger.endRetiring(3, layoutVersion: 2)
    try ledger.enter(3, layoutVersion: 2)
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
