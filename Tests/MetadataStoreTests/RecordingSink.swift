import BlockModel
import ClusterLogic
import Journal
import MetadataStore
import SQLiteDatabase
import Synchronization
import Testing

/// Keeps a store's records in memory, and says that they are safe at once, or when it is told to.
final class RecordingSink: JournalSink {
  struct State {
    var term = JournalTerm(generation: 1, writer: 5)
    var records: [JournalRecord] = []
    var zones: [Int] = []
    var retracted = 0
    var isHeld = false
    var waiting: [@Sendable (MetadataError?) -> Void] = []
    var refusal: MetadataError?
  }

  let state = Mutex(State())

  var term: JournalTerm { state.withLock { $0.term } }
  var stored: UInt64 { state.withLock { $0.isHeld ? 0 : UInt64($0.records.count) } }
  var refusal: MetadataError? { state.withLock { $0.refusal } }
  var hasBase: Bool { true }
  func seal(_ plain: [UInt8], sequence: UInt64) -> [UInt8] { plain }

  func send(_ record: JournalRecord, zones: Int) {
    state.withLock { state in
      state.records.append(record)
      state.zones.append(zones)
    }
  }

  func retract(_ record: JournalRecord) {
    state.withLock { state in
      state.records.removeLast()
      state.zones.removeLast()
      state.retracted += 1
      state.term.attempt += 1
    }
  }

  func whenStored(_ sequence: UInt64, _ body: @escaping @Sendable (MetadataError?) -> Void) {
    let isHeld = state.withLock { state in
      if state.isHeld { state.waiting.append(body) }
      return state.isHeld
    }
    if !isHeld { body(nil) }
  }

  func hold() { state.withLock { $0.isHeld = true } }
  func release(_ error: MetadataError? = nil) {
    let waiting = state.withLock { state in
      defer { state.waiting = [] }
      state.isHeld = false
      return state.waiting
    }
    for body in waiting { body(error) }
  }
}

/// A copy of a database, and the records that came after it: they have to make the copy what the database is.
struct ReplayCheck {
  let database: String
  let base: String
  let sink: RecordingSink

  /// Replays on a copy and answers the tables that differ. The store may be open, but nobody writes.
  func differences() throws -> [String] {
    let restore = try MetadataRestore(path: base)
    for record in sink.state.withLock({ $0.records }) where try record.sequence > restore.position()?.sequence ?? 0 {
      try restore.apply(record, plain: record.payload)
    }
    // The copy alone says when it was made.
    try SQLiteConnection(base).execute("DELETE FROM settings WHERE key = 'backed-up-at'")
    var options = SQLiteConnection.Options()
    options.readOnly = true
    let connection = try SQLiteConnection(database, options)
    try connection.execute("ATTACH '\(base)' AS replayed")
    let tables = try connection.all("SELECT name FROM main.sqlite_master WHERE type = 'table'") { $0.text(0) }
    return try tables.filter { !$0.hasPrefix("sqlite_") && $0 != "journal_tail" }.filter { table in
      func beyond(_ one: String, _ other: String) throws -> Int {
        try connection.first("SELECT count(*) FROM (SELECT * FROM \(one).\(table) EXCEPT SELECT * FROM \(other).\(table))") { $0.int(0) }
          ?? 0
      }
      return try beyond("main", "replayed") > 0 || beyond("replayed", "main") > 0
    }
  }
}
