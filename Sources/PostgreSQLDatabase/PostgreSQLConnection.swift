internal import BlockModel
internal import CPostgreSQL
internal import Glibc
internal import Platform
internal import SQLSession

/// One connection to the primary, in libpq's pipeline mode: statements whose answers nobody waits for travel with the next one that
/// somebody does.
///
/// What must hold: one thread at a time uses it, which is what `@unchecked Sendable` rests on (its pool lends it out to one job); `queue`
/// is what was sent and not yet answered, in order; after an error of the connection itself it is broken for good.
package final class PostgreSQLConnection: @unchecked Sendable {
  /// What is on its way.
  enum Sent {
    case prepare(PostgreSQLStatement)
    case run
    /// The end of a group: what fails in it takes the rest of the group along.
    case end
  }

  /// Statements that may wait for their answers: few enough that neither side's buffers fill.
  private static let queueBound = 256
  /// Statements kept prepared; more than the program has, so reaching it means that somebody builds SQL from data.
  private static let statementBound = 512

  let handle: OpaquePointer
  let options: PostgreSQLOptions
  private var queue: [Sent] = []
  /// The first error among answers that nobody waited for.
  private var pendingError: PostgreSQLError?
  private var statements: [PostgreSQLStatement.Key: PostgreSQLStatement] = [:]
  private var statementNumber = 0
  var cursorNumber = 0

  /// - Throws: `.unavailable` when no primary takes the connection, `.schema` for a server that must not be used.
  package init(_ options: PostgreSQLOptions) throws(PostgreSQLError) {
    self.options = options
    handle = try PostgreSQLConnection.connect(options)
    // Notices are for people at a terminal; libpq would write them beside the log.
    PQsetNoticeProcessor(handle, { _, _ in }, nil)
    // All is in place, so what is thrown from here on ends the connection by `deinit`.
    try check()
    guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else { throw connectionError("enter pipeline mode") }
  }

  deinit { PQfinish(handle) }

  /// False once the connection itself has failed.
  package var isUsable: Bool { PQstatus(handle) == CONNECTION_OK && !isGivenUp }
  private var isGivenUp = false

  private static func connect(_ options: PostgreSQLOptions) throws(PostgreSQLError) -> OpaquePointer {
    // What comes later counts, so these stand over what the operator wrote.
    let settings: [(String, String)] = [
      ("dbname", options.connection), ("target_session_attrs", "read-write"), ("client_encoding", "UTF8"),
      ("connect_timeout", "\(options.connectTimeoutSeconds)"), ("fallback_application_name", "cairn"), ("keepalives_idle", "5"),
      ("keepalives_interval", "2"), ("keepalives_count", "3"), ("tcp_user_timeout", "10000"),
    ]
    let names = settings.map { strdup($0.0) }
    let values = settings.map { strdup($0.1) }
    defer { for text in names + values { free(text) } }
    let handle = (names + [nil]).map { UnsafePointer($0) }.withUnsafeBufferPointer { names in
      (values + [nil]).map { UnsafePointer($0) }.withUnsafeBufferPointer { values in
        PQconnectdbParams(names.baseAddress, values.baseAddress, 1)
      }
    }
    guard let handle else { throw PostgreSQLError(.unavailable, "No memory for a connection to PostgreSQL.") }
    guard PQstatus(handle) == CONNECTION_OK else {
      let message = String(cString: PQerrorMessage(handle))
      PQfinish(handle)
      throw PostgreSQLError(.unavailable, "PostgreSQL takes no connection: \(PostgreSQLConnection.oneLine(message))")
    }
    return handle
  }

  /// Sees that the server is one that this program can rely on.
  private func check() throws(PostgreSQLError) {
    guard PQserverVersion(handle) >= 140_000 else { throw PostgreSQLError(.schema, "PostgreSQL 14 or newer is needed.") }
    // A coordinator that stands still must not hold the locks of its transaction for ever. Each statement has its index, and a plan that
    // was made while a table was empty must not go on reading all of it when it has grown. Compiling a plan to machine code takes tens of
    // milliseconds each time it runs, and the estimates for recursive queries are high enough for the server to think that it pays. The
    // same holds for workers, each a process that has to be made, and for collecting and sorting what an index has in order: a plan for
    // any value takes “all that is older than” for a third of a table.
    guard
      let result = PQexec(
        handle,
        """
        SET idle_in_transaction_session_timeout = '30s'; SET standard_conforming_strings = on;
        SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;
        SET enable_bitmapscan = off; SET max_parallel_workers_per_gather = 0;
        SELECT current_setting('server_encoding'), current_setting('fsync'), current_setting('synchronous_commit')
        """
      ).map({ PostgreSQLResult($0) }), result.status == PGRES_TUPLES_OK
    else { throw connectionError("set up a connection") }
    let row = PostgreSQLRow(result: result, index: 0)
    guard row.text(0) == "UTF8" else {
      throw PostgreSQLError(.schema, "The database has to be made with encoding UTF8, not \(row.text(0)).")
    }
    guard !options.requiresSync || (row.text(1) == "on" && ["on", "remote_apply"].contains(row.text(2))) else {
      throw PostgreSQLError(
        .schema, "PostgreSQL has to run with fsync = on and synchronous_commit = on: it acknowledges what a power loss would undo.")
    }
  }

  // MARK: - Scripts

  /// Runs a script of statements that take and answer nothing, each in a transaction of its own unless the script says otherwise.
  package func runScript(_ script: String) throws(PostgreSQLError) {
    try finish()
    guard PQexitPipelineMode(handle) == 1 else { throw connectionError("leave pipeline mode") }
    guard PQsendQuery(handle, script) == 1 else { throw connectionError("send a script") }
    let deadline = SystemTime().monotonic() + .seconds(3600)
    var error: PostgreSQLError?
    while let result = try nextResult(deadline) {
      if let failure = failure(of: result, "run a script") { error = error ?? failure }
    }
    guard PQenterPipelineMode(handle) == 1 else { throw connectionError("enter pipeline mode") }
    if let error { throw error }
  }

  // MARK: - The pipeline

  /// Sends a statement without waiting for its answer.
  func enqueue(_ sql: String, _ values: [SQLValue], translating: Bool = true) throws(PostgreSQLError) {
    if queue.count >= PostgreSQLConnection.queueBound { try finish() }
    let parameters = PostgreSQLParameters(values)
    let statement = try prepared(sql, parameters)
    let isSent = parameters.withPointers { count, pointers, lengths, formats in
      PQsendQueryPrepared(handle, statement.name, count, pointers, lengths, formats, 1)
    }
    guard isSent == 1 else { throw connectionError("send a statement") }
    queue.append(.run)
  }

  /// Sends a statement that is not kept prepared.
  func enqueueOnce(_ sql: String, _ values: [SQLValue] = []) throws(PostgreSQLError) {
    if queue.count >= PostgreSQLConnection.queueBound { try finish() }
    let parameters = PostgreSQLParameters(values)
    let isSent = parameters.withPointers { count, pointers, lengths, formats in
      PQsendQueryParams(handle, PostgreSQLDialect.translate(sql), count, parameters.types, pointers, lengths, formats, 1)
    }
    guard isSent == 1 else { throw connectionError("send a statement") }
    queue.append(.run)
  }

  private func prepared(_ sql: String, _ parameters: PostgreSQLParameters) throws(PostgreSQLError) -> PostgreSQLStatement {
    let key = PostgreSQLStatement.Key(sql: SQLText(sql), types: parameters.types)
    if let known = statements[key] { return known }
    if statements.count >= PostgreSQLConnection.statementBound {
      try finish()
      statements = [:]
      try enqueueOnce("DEALLOCATE ALL")
    }
    statementNumber += 1
    let statement = PostgreSQLStatement(key: key, name: "s\(statementNumber)")
    guard PQsendPrepare(handle, statement.name, PostgreSQLDialect.translate(sql), Int32(key.types.count), key.types) == 1 else {
      throw connectionError("prepare a statement")
    }
    queue.append(.prepare(statement))
    statements[key] = statement
    return statement
  }

  /// Ends the group and waits for all answers; the last one is returned.
  /// - Throws: the first error of all that was sent since the last call.
  @discardableResult
  func finish() throws(PostgreSQLError) -> PostgreSQLResult? { try answers(ofLast: 1).last }

  /// As `finish`, with the answers of the last statements that were run.
  private func answers(ofLast count: Int) throws(PostgreSQLError) -> [PostgreSQLResult] {
    try endGroup()
    let deadline = SystemTime().monotonic() + options.answerLimit
    try flush(deadline)
    var kept: [PostgreSQLResult] = []
    var runs = queue.count { if case .run = $0 { true } else { false } }
    var isFailed = pendingError != nil
    for sent in queue {
      if case .end = sent {
        guard let result = try nextResult(deadline), result.status == PGRES_PIPELINE_SYNC else {
          throw broken("PostgreSQL's answers are out of step.")
        }
        isFailed = false
        continue
      }
      var isKept = false
      if case .run = sent {
        isKept = runs <= count
        runs -= 1
      }
      while let result = try nextResult(deadline) {
        if result.status == PGRES_PIPELINE_ABORTED {
          if case .prepare(let statement) = sent { statements[statement.key] = nil }
        } else if let failure = failure(of: result, "run a statement") {
          pendingError = isFailed ? pendingError : pendingError ?? failure
          isFailed = true
          if case .prepare(let statement) = sent { statements[statement.key] = nil }
        } else if isKept {
          kept.append(result)
        }
      }
    }
    queue.removeAll(keepingCapacity: true)
    if let error = pendingError {
      pendingError = nil
      throw error
    }
    return kept
  }

  /// Statements that `answers(to:)` has on their way at a time.
  static let groupBound = 100

  /// Sends statements, at most `groupBound`, and answers the answers.
  func answers(to statements: [(sql: String, values: [SQLValue])]) throws(PostgreSQLError) -> [PostgreSQLResult] {
    precondition(statements.count <= PostgreSQLConnection.groupBound, "a group of statements is sent at once")
    // None of them may be in a group that ends before the last was sent, and each may have to be prepared first.
    if queue.count + 2 * statements.count + 2 > PostgreSQLConnection.queueBound { try finish() }
    for statement in statements { try enqueue(statement.sql, statement.values) }
    return try answers(ofLast: statements.count)
  }

  /// Sends what waits without reading answers: they are read with the next ones.
  func push() throws(PostgreSQLError) {
    try endGroup()
    try flush(SystemTime().monotonic() + options.answerLimit)
  }

  private func endGroup() throws(PostgreSQLError) {
    if case .end? = queue.last { return }
    guard PQpipelineSync(handle) == 1 else { throw connectionError("end a group of statements") }
    queue.append(.end)
  }

  // MARK: - The socket

  private func flush(_ deadline: MonotonicTime) throws(PostgreSQLError) {
    while true {
      switch PQflush(handle) {
      case 0: return
      case 1:
        try wait(forWriting: true, deadline)
        guard PQconsumeInput(handle) == 1 else { throw connectionError("talk to PostgreSQL") }
      default: throw connectionError("talk to PostgreSQL")
      }
    }
  }

  private func nextResult(_ deadline: MonotonicTime) throws(PostgreSQLError) -> PostgreSQLResult? {
    while PQisBusy(handle) == 1 {
      try wait(forWriting: false, deadline)
      guard PQconsumeInput(handle) == 1 else { throw connectionError("hear from PostgreSQL") }
    }
    guard let result = PQgetResult(handle) else {
      guard PQstatus(handle) == CONNECTION_OK else { throw connectionError("hear from PostgreSQL") }
      return nil
    }
    return PostgreSQLResult(result)
  }

  private func wait(forWriting: Bool, _ deadline: MonotonicTime) throws(PostgreSQLError) {
    guard try isReady(forWriting: forWriting, before: deadline) else { throw broken("PostgreSQL does not answer.") }
  }

  private func isReady(forWriting: Bool, before deadline: MonotonicTime) throws(PostgreSQLError) -> Bool {
    while true {
      let left = deadline - SystemTime().monotonic()
      guard left > .zero else { return false }
      var socket = pollfd(fd: PQsocket(handle), events: Int16(POLLIN | (forWriting ? POLLOUT : 0)), revents: 0)
      let ready = poll(&socket, 1, Int32(clamping: left.saturatedNanoseconds / 1_000_000 + 1))
      if ready > 0 { return true }
      if ready < 0, errno != EINTR { throw broken("PostgreSQL's connection cannot be waited for.") }
    }
  }

  /// Takes in what the server says by itself, waiting for it when there is nothing yet.
  func hear(waitingAtMost limit: Duration) throws(PostgreSQLError) {
    guard try isReady(forWriting: false, before: SystemTime().monotonic() + limit) else { return }
    guard PQconsumeInput(handle) == 1 else { throw connectionError("hear from PostgreSQL") }
  }

  // MARK: - Errors

  private func failure(of result: PostgreSQLResult, _ doing: String) -> PostgreSQLError? {
    switch result.status {
    case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY, PGRES_PIPELINE_SYNC, PGRES_PIPELINE_ABORTED: return nil
    default: break
    }
    let state = result.state
    guard !state.isEmpty else { return connectionError(doing) }
    let error = PostgreSQLError(PostgreSQLError.code(of: state), "PostgreSQL cannot \(doing): \(result.message)", state: state)
    // The session ends with these, or is of no use any more.
    if error.code == .unavailable { isGivenUp = true }
    return error
  }

  private func connectionError(_ doing: String) -> PostgreSQLError {
    broken("PostgreSQL's connection failed (\(doing)): \(PostgreSQLConnection.oneLine(String(cString: PQerrorMessage(handle))))")
  }

  private func broken(_ message: String) -> PostgreSQLError {
    isGivenUp = true
    return PostgreSQLError(.unavailable, message)
  }

  private static func oneLine(_ text: String) -> String { String(text.prefix(500)).split(separator: "\n").joined(separator: " ") }
}

/// A statement that the server knows by a name.
struct PostgreSQLStatement {
  struct Key: Hashable {
    var sql: SQLText
    var types: [UInt32]
  }
  var key: Key
  var name: String
}
