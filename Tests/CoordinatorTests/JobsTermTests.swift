import BlockModel
import ClusterLogic
import Coordinator
import MetadataStore
import Platform
import Synchronization
import TestSupport
import Testing

@Suite("Terms of coordinators")
struct JobsTermTests {
  /// The row that all share, and a switch that takes the database away.
  private final class Row: JobsLeaseStore {
    private let state = Mutex((row: JobsLeaseRow(holder: 0, beat: 0), isAway: false))
    var isAway: Bool {
      get { state.withLock { $0.isAway } }
      set { state.withLock { $0.isAway = newValue } }
    }

    func jobsLease() async throws(MetadataError) -> JobsLeaseRow {
      let (row, isAway) = state.withLock { $0 }
      if isAway { throw MetadataError(.unavailable, "away") }
      return row
    }

    func replaceJobsLease(_ expected: JobsLeaseRow, by row: JobsLeaseRow) async throws(MetadataError) -> Bool {
      let done = state.withLock { state -> Bool? in
        if state.isAway { return nil }
        guard state.row == expected else { return false }
        state.row = row
        return true
      }
      guard let done else { throw MetadataError(.unavailable, "away") }
      return done
    }
  }

  private final class Log: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
  }

  private static func run(_ term: JobsTerm, _ name: String, _ log: Log) -> Task<Void, Never> {
    Task { await term.run(begin: { log.add("\(name) begins") }, end: { log.add("\(name) ends") }) }
  }

  @Test("one of two coordinators begins, the other one when the first has given back or lost the lease; no two terms overlap")
  func succession() async throws {
    let row = Row()
    let log = Log()
    let terms = (0..<2).map { _ in JobsTerm(store: row, time: SystemTime(), length: .seconds(2), logger: .none) }
    let first = Self.run(terms[0], "first", log)
    try await eventually("The first term") { log.all == ["first begins"] }
    let second = Self.run(terms[1], "second", log)
    first.cancel()
    await first.value
    try await eventually("The second term") { log.all == ["first begins", "first ends", "second begins"] }
    row.isAway = true
    try await eventually("The end of a term that cannot be renewed") { log.all.last == "second ends" }
    #expect(!terms[1].isHeld)
    row.isAway = false
    try await eventually("A term again") { log.all.last == "second begins" }
    second.cancel()
    await second.value
    #expect(log.all.last == "second ends")
  }
}
