import BlockModel
import MetadataStore
import PostgreSQLDatabase
import TestSupport
import Testing

@Suite("Beginning a transaction anew on PostgreSQL")
struct PostgreSQLAttemptsTests {
  private static let start = MonotonicTime(nanoseconds: 1_000_000_000)
  private static let patience: Duration = .seconds(10)

  private static func at(_ milliseconds: Int64) -> MonotonicTime { start + .milliseconds(milliseconds) }

  struct Example: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var error: any Error
    /// Milliseconds after the beginning.
    var at: Int64 = 0
    var chance = 0.5
    var expected: PostgreSQLAttempts.Next
  }

  static let examples: [Example] = [
    Example(testDescription: "more locks are wanted: at once", error: LocksWanted(), expected: .again(after: .zero)),
    Example(testDescription: "more locks, long after", error: LocksWanted(), at: 60_000, expected: .again(after: .zero)),
    Example(testDescription: "a conflict: after a moment", error: TransactionConflict(), expected: .again(after: .milliseconds(1))),
    Example(
      testDescription: "a conflict as the server says it", error: PostgreSQLError(.conflict, "", state: "40001"), chance: 1,
      expected: .again(after: .milliseconds(2))),
    Example(
      testDescription: "away: after half a pause at least", error: PostgreSQLError(.unavailable, ""), chance: 0,
      expected: .again(after: .milliseconds(100))),
    Example(
      testDescription: "away: after one and a half at most", error: PostgreSQLError(.unavailable, ""), chance: 1,
      expected: .again(after: .milliseconds(300))),
    Example(
      testDescription: "away, just before the patience ends", error: PostgreSQLError(.unavailable, ""), at: 9999,
      expected: .again(after: .milliseconds(200))),
    Example(testDescription: "away, when it has ended", error: PostgreSQLError(.unavailable, ""), at: 10_000, expected: .giveUp),
    Example(testDescription: "a full disk", error: PostgreSQLError(.full, ""), expected: .giveUp),
    Example(testDescription: "damaged data", error: PostgreSQLError(.corrupt, ""), expected: .giveUp),
    Example(testDescription: "another schema", error: PostgreSQLError(.schema, ""), expected: .giveUp),
    Example(testDescription: "a fault of our own", error: PostgreSQLError(.other, ""), expected: .giveUp),
    Example(testDescription: "what is not the database's", error: CancellationError(), expected: .giveUp),
  ]

  @Test("each reason for a failed transaction has its answer", arguments: examples)
  func first(example: Example) {
    var attempts = PostgreSQLAttempts(from: Self.start, patience: Self.patience)
    #expect(attempts.next(after: example.error, at: Self.at(example.at), chance: example.chance) == example.expected)
  }

  @Test("pauses after conflicts grow to a bound, and after so many conflicts it is enough")
  func conflicts() {
    var attempts = PostgreSQLAttempts(from: Self.start, patience: Self.patience)
    var pauses: [Duration] = []
    while case .again(let pause) = attempts.next(after: TransactionConflict(), at: Self.start, chance: 1) { pauses.append(pause) }
    #expect(pauses.count == PostgreSQLAttempts.conflictLimit)
    #expect(pauses == pauses.sorted() && pauses.last == .milliseconds(50))
    // The database being away meanwhile does not make it more.
    #expect(attempts.next(after: PostgreSQLError(.unavailable, ""), at: Self.start, chance: 0.5) == .again(after: .milliseconds(200)))
    #expect(attempts.next(after: TransactionConflict(), at: Self.start, chance: 1) == .giveUp)
  }

  @Test("wanting more locks comes to an end, and counts apart from conflicts")
  func locks() {
    var attempts = PostgreSQLAttempts(from: Self.start, patience: Self.patience)
    for _ in 0..<PostgreSQLAttempts.lockLimit {
      #expect(attempts.next(after: LocksWanted(), at: Self.start, chance: 0.5) == .again(after: .zero))
    }
    #expect(attempts.next(after: LocksWanted(), at: Self.start, chance: 0.5) == .giveUp)
    #expect(attempts.next(after: TransactionConflict(), at: Self.start, chance: 0) == .again(after: .zero))
  }
}
