internal import CSQLite
internal import SQLSession

/// One connection to a database file in WAL mode, with its prepared statements.
///
/// What must hold: one thread at a time uses it. `@unchecked Sendable`: its holders (a writer's thread; a pool that lends each reader out
/// to
/// one job) see to that, and SQLite itself runs in its multi-thread mode, which asks exactly this.
package final class SQLiteConnection: @unchecked Sendable {
  package struct Options: Sendable {
    package var readOnly = false
    /// How long to wait for another connection's lock, in milliseconds.
    package var busyTimeoutMilliseconds: Int32 = 10_000
    /// Page cache in KiB.
    package var cacheKibibytes = 8 << 10
    /// Pages of the journal after which a commit moves them into the database.
    package var checkpointPages = 4000
    /// A bound on the size of the database, in pages of 4 KiB; nil leaves it to the disk.
    package var maximumPages: Int?
    package init() {}
  }

  /// Statements kept compiled; more than the program has, so reaching it means that somebody builds SQL from data.
  private static let statementBound = 512

  package let path: String
  let handle: OpaquePointer
  private var statements: [SQLText: SQLiteStatement] = [:]

  /// Opens the file, and makes it when it is not there and the connection is not read-only.
  package init(_ path: String, _ options: Options = Options()) throws(SQLiteError) {
    self.path = path
    var opened: OpaquePointer?
    let access = options.readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
    let result = sqlite3_open_v2(path, &opened, access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard result == SQLITE_OK, let opened else {
      let error = SQLiteError(result: result, connection: opened, doing: "open \(path)")
      sqlite3_close_v2(opened)
      throw error
    }
    handle = opened
    sqlite3_busy_timeout(handle, options.busyTimeoutMilliseconds)
    try configure(options)
  }

  deinit {
    statements.removeAll()
    sqlite3_close_v2(handle)
  }

  private func configure(_ options: Options) throws(SQLiteError) {
    try execute("PRAGMA foreign_keys = ON; PRAGMA cache_size = -\(options.cacheKibibytes); PRAGMA trusted_schema = OFF;")
    guard !options.readOnly else { return }
    let mode = try first("PRAGMA journal_mode = WAL") { $0.text(0) }
    guard mode == "wal" else { throw SQLiteError(.cannotOpen, "SQLite keeps \(path) in journal mode \(mode ?? "?") and not in WAL.") }
    // FULL syncs the journal at each commit: what was acknowledged outlives power loss. SQLite's own default for WAL does not promise that.
    // Each mutation is a savepoint, and what undoes one is in no need of a file.
    try execute(
      """
      PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = \(options.checkpointPages);
      PRAGMA journal_size_limit = 67108864;
      """)
    if let pages = options.maximumPages { try execute("PRAGMA max_page_count = \(pages)") }
  }

  // MARK: - Statements

  /// Runs a script of statements that answer nothing.
  package func execute(_ script: String) throws(SQLiteError) {
    let result = sqlite3_exec(handle, script, nil, nil, nil)
    guard result == SQLITE_OK else { throw SQLiteError(result: result, connection: handle, doing: "run a script") }
  }

  /// Rows that statements have changed since the connection was opened, undone ones included.
  package var changedRows: Int64 { sqlite3_total_changes64(handle) }

  /// Runs one statement and answers how many rows it changed.
  @discardableResult
  package func run(_ sql: String, _ values: SQLiteValue...) throws(SQLiteError) -> Int { try run(sql, values: values) }

  @discardableResult
  func run(_ sql: String, values: [SQLiteValue]) throws(SQLiteError) -> Int {
    let statement = try borrow(sql)
    defer { giveBack(statement) }
    try statement.bind(values)
    while try statement.step() {}
    return Int(sqlite3_changes64(handle))
  }

  /// The first row of the answer; nil without rows.
  package func first<T>(_ sql: String, _ values: SQLiteValue..., read: (SQLiteStatement) throws -> T) throws -> T? {
    let statement = try borrow(sql)
    defer { giveBack(statement) }
    try statement.bind(values)
    return try statement.step() ? read(statement) : nil
  }

  /// As above with a reader that cannot fail, so that the error keeps its type.
  package func first<T>(_ sql: String, _ values: SQLiteValue..., read: (SQLiteStatement) -> T) throws(SQLiteError) -> T? {
    let statement = try borrow(sql)
    defer { giveBack(statement) }
    try statement.bind(values)
    return try statement.step() ? read(statement) : nil
  }

  /// All rows of the answer. The statement has to bound them.
  package func all<T>(_ sql: String, _ values: SQLiteValue..., read: (SQLiteStatement) throws -> T) throws -> [T] {
    let statement = try borrow(sql)
    defer { giveBack(statement) }
    try statement.bind(values)
    var rows: [T] = []
    while try statement.step() { rows.append(try read(statement)) }
    return rows
  }

  /// Calls `body` for each row until it answers false.
  package func each(_ sql: String, _ values: SQLiteValue..., body: (SQLiteStatement) throws -> Bool) throws {
    try each(sql, values: values, body: body)
  }

  func each(_ sql: String, values: [SQLiteValue], body: (SQLiteStatement) throws -> Bool) throws {
    let statement = try borrow(sql)
    defer { giveBack(statement) }
    try statement.bind(values)
    while try statement.step(), try body(statement) {}
  }

  /// Whether a statement changes nothing by itself.
  package func isReadOnly(_ sql: String) throws(SQLiteError) -> Bool {
    let statement = try borrow(sql)
    defer { giveBack(statement) }
    return statement.isReadOnly
  }

  /// The row id that the last INSERT made.
  package var lastInsertedRow: Int64 { sqlite3_last_insert_rowid(handle) }

  /// Whether a transaction is open. SQLite ends one by itself after some errors, a full disk for instance.
  package var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  private func borrow(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
    let key = SQLText(sql)
    if let statement = statements[key] {
      // A statement in the middle of its rows cannot start anew; whoever asks for it meanwhile gets one of its own.
      guard statement.isBusy else {
        statement.isBusy = true
        return statement
      }
      return try SQLiteStatement(sql, connection: handle)
    }
    if statements.count >= SQLiteConnection.statementBound { statements = statements.filter { $0.value.isBusy } }
    let statement = try SQLiteStatement(sql, connection: handle)
    statement.isBusy = true
    statements[key] = statement
    return statement
  }

  private func giveBack(_ statement: SQLiteStatement) {
    statement.reset()
    statement.isBusy = false
  }
}
