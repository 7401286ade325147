internal import BlockModel
internal import Platform
internal import PostgreSQLDatabase
internal import SQLSession
internal import ServiceAPI
internal import Synchronization

/// Mutations on PostgreSQL: several transactions at a time, those of one namespace one after the other. Mutations of a namespace that come
/// while another one commits share the next transaction, so a hundred of them cost one sync.
///
/// What must hold: a transaction locks its namespaces in the order of their numbers before it reads anything, so what it reads of them
/// stays, and commits come in the order of the feeds' sequences; nobody is answered before COMMIT was, not even with a refusal that may
/// rest on a neighbour's change; a commit whose outcome is unknown runs once more only when that is safe, and is reported as unknown else.
final class PostgreSQLWriter: MetadataWriter {
  struct Job: Sendable {
    let isRepeatable: Bool
    /// When it came; its patience with a database that is away counts from here.
    let since: MonotonicTime
    /// Does the work and answers how to tell its outcome later: with nil when the commit succeeded.
    let run: @Sendable (WriteTransaction) throws -> @Sendable (MetadataError?) -> Void
    let fail: @Sendable (MetadataError) -> Void
  }

  /// A place to work at: a connection when there is one, and what is kept decoded beside it.
  private struct Seat: Sendable {
    var connection: PostgreSQLConnection?
    let context: WriterContext
  }

  private struct State {
    /// Mutations that wait for their namespace. There is a list, perhaps an empty one, for each namespace that is at work.
    var lanes: [Int64: [Job]] = [:]
    var waiting = 0
    var isClosed = false
    var seats: [Seat]
  }

  static let batchLimit = 64

  private let options: PostgreSQLOptions
  private let time: any TimeSource
  private let published: @Sendable (Set<Int64>) -> Void
  private let threads: BlockingPool
  private let queueLimit: Int
  private let state: Mutex<State>

  /// - Parameters:
  ///   - published: called after each commit with the namespaces that it changed.
  ///   - queueLimit: mutations that may wait; one more is refused as `busy`.
  init(
    _ options: PostgreSQLOptions, settings: ClusterIdentity, metadata: MetadataOptions, time: any TimeSource, queueLimit: Int = 4096,
    published: @escaping @Sendable (Set<Int64>) -> Void
  ) {
    self.options = options
    self.time = time
    self.published = published
    self.queueLimit = queueLimit
    let count = max(1, metadata.writers)
    threads = BlockingPool(name: "metadata-writer", threads: count, queueLimit: queueLimit)
    let trimming = FeedRound()
    state = Mutex(
      State(
        seats: (0..<count).map { _ in
          Seat(connection: nil, context: WriterContext(settings: settings, options: metadata, sharing: trimming))
        }))
  }

  func write<T: Sendable>(
    _ scope: WriteScope, isRepeatable: Bool, _ work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T {
    let result: Result<T, MetadataError> = await withCheckedContinuation { continuation in
      add(
        Job(
          isRepeatable: isRepeatable, since: SystemTime().monotonic(),
          run: { transaction in
            let value = try work(transaction)
            return { error in continuation.resume(returning: error.map { .failure($0) } ?? .success(value)) }
          },
          fail: { continuation.resume(returning: .failure($0)) }), scope)
    }
    return try result.get()
  }

  func shutDown() {
    state.withLock { $0.isClosed = true }
    threads.shutDown()
    let left = state.withLock { state in
      defer { state.lanes = [:] }
      for index in state.seats.indices { state.seats[index].connection = nil }
      return state.lanes.values.flatMap { $0 }
    }
    for job in left { job.fail(PostgreSQLWriter.stopping) }
  }

  private static let stopping = MetadataError(.unavailable, "The coordinator is stopping.")

  // MARK: - The lines

  private func add(_ job: Job, _ scope: WriteScope) {
    guard case .namespace(let namespace) = scope else {
      let refused = state.withLock { $0.isClosed } ? .shutDown : threads.submit { self.commit([job], scope) }
      if let refused { job.fail(MetadataError(mapping: refused)) }
      return
    }
    enum Next { case nothing, start, refuse(MetadataError) }
    let next = state.withLock { state -> Next in
      if state.isClosed { return .refuse(PostgreSQLWriter.stopping) }
      guard state.waiting < queueLimit else { return .refuse(MetadataError(mapping: BlockingPool.Refused.overloaded)) }
      state.waiting += 1
      let isAtWork = state.lanes[namespace] != nil
      state.lanes[namespace, default: []].append(job)
      return isAtWork ? .nothing : .start
    }
    switch next {
    case .nothing: break
    case .refuse(let error): job.fail(error)
    case .start: start(namespace)
    }
  }

  private func start(_ namespace: Int64) {
    guard let refused = threads.submit({ self.drain(namespace) }) else { return }
    let jobs = state.withLock { state in
      let jobs = state.lanes.removeValue(forKey: namespace) ?? []
      state.waiting -= jobs.count
      return jobs
    }
    for job in jobs { job.fail(MetadataError(mapping: refused)) }
  }

  /// Commits one batch of a namespace; what came meanwhile goes to the end of the line, so that no namespace keeps the others waiting.
  private func drain(_ namespace: Int64) {
    let batch = state.withLock { state -> [Job] in
      guard let jobs = state.lanes[namespace] else { return [] }
      let batch = Array(jobs.prefix(PostgreSQLWriter.batchLimit))
      state.lanes[namespace] = Array(jobs.dropFirst(batch.count))
      state.waiting -= batch.count
      return batch
    }
    if !batch.isEmpty { commit(batch, .namespace(namespace)) }
    let hasMore = state.withLock { state in
      if state.lanes[namespace]?.isEmpty ?? true {
        state.lanes[namespace] = nil
        return false
      }
      return true
    }
    if hasMore { start(namespace) }
  }

  // MARK: - Transactions

  private func takeSeat() -> Seat {
    // As many seats as threads, and each thread takes one at a time.
    guard let seat = state.withLock({ $0.seats.popLast() }) else { preconditionFailure("a thread without a seat") }
    return seat
  }

  /// Runs the jobs in one transaction until that succeeds or there is no sense in going on, and answers each.
  private func commit(_ jobs: [Job], _ scope: WriteScope) {
    var seat = takeSeat()
    var left = jobs
    var held: Set<Int64> = []
    if case .namespace(let namespace) = scope { held = [namespace] }
    let since = jobs.map(\.since).max() ?? SystemTime().monotonic()
    var attempts = PostgreSQLAttempts(from: since, patience: options.patience)
    while !left.isEmpty {
      do {
        let answers = try transact(&seat, scope, held, left)
        published(seat.context.takeChanged())
        for answer in answers { answer(nil) }
        break
      } catch {
        if error is LocksWanted { held.formUnion(seat.context.locks?.wanted ?? []) }
        if (error as? PostgreSQLError)?.isOutcomeUnknown == true {
          for job in left where !job.isRepeatable { job.fail(MetadataError(mapping: error)) }
          left.removeAll { !$0.isRepeatable }
        }
        switch attempts.next(after: error, at: SystemTime().monotonic(), chance: .random(in: 0...1)) {
        case .again(let pause): WorkerThread.sleep(for: pause)
        case .giveUp where left.count > 1 && (error as? PostgreSQLError)?.code != .unavailable:
          // One of them is at fault, and which one is not known: each by itself.
          state.withLock { $0.seats.append(seat) }
          for job in left { commit([job], scope) }
          return
        case .giveUp:
          for job in left { job.fail(MetadataError(mapping: error)) }
          left = []
        }
      }
    }
    state.withLock { $0.seats.append(seat) }
  }

  /// One attempt. What it answers are the answers to be given now that it is committed.
  private func transact(
    _ seat: inout Seat, _ scope: WriteScope, _ held: Set<Int64>, _ jobs: [Job]
  ) throws -> [@Sendable (MetadataError?) -> Void] {
    if seat.connection?.isUsable != true {
      seat.connection = nil
      seat.connection = try PostgreSQLConnection(options)
    }
    guard let connection = seat.connection else { preconditionFailure("a connection was just made") }
    let context = seat.context
    do {
      try connection.begin()
      for namespace in held.sorted() {
        try connection.send("SELECT 1 FROM namespaces WHERE number = ? FOR UPDATE", [.integer(namespace)])
      }
      var ownsCluster = false
      if case .cluster = scope {
        try connection.lock(WriterContext.clusterLock, isExclusive: true)
        ownsCluster = true
      }
      context.begin(holding: held, holdsCluster: ownsCluster)
      var answers: [@Sendable (MetadataError?) -> Void] = []
      for job in jobs { answers.append(try perform(job, connection, context, isAlone: jobs.count == 1)) }
      try WriteTransaction(db: connection, now: time.wall(), context: context).writePartitionCounts()
      try connection.commit()
      return answers
    } catch {
      context.forget()
      connection.rollBack()
      throw error
    }
  }

  /// Runs one mutation, in a savepoint when others share the transaction.
  /// - Throws: when the transaction as a whole cannot go on.
  private func perform(
    _ job: Job, _ connection: PostgreSQLConnection, _ context: WriterContext, isAlone: Bool
  ) throws -> @Sendable (MetadataError?) -> Void {
    let run = { [time] in
      let answer = try job.run(WriteTransaction(db: connection, now: time.wall(), context: context))
      // Somebody may have caught the wish and gone on without.
      guard context.locks?.wanted.isEmpty ?? true else { throw LocksWanted() }
      return answer
    }
    if isAlone { return try run() }
    let counts = context.partitionCounts
    do {
      return try connection.savepoint(run)
    } catch {
      // Only mutations of a namespace share a transaction.
      context.letClusterGo()
      context.partitionCounts = counts
      if error is LocksWanted || error is TransactionConflict || error is PostgreSQLError { throw error }
      guard context.locks?.wanted.isEmpty ?? true else { throw LocksWanted() }
      let refusal = MetadataError(mapping: error)
      return { failure in job.fail(failure ?? refusal) }
    }
  }
}
