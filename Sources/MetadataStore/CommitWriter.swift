internal import BlockModel
internal import Platform
internal import SQLSession
internal import SQLiteDatabase
internal import ServiceAPI
internal import Synchronization

/// The one thread that writes. Mutations that come while a commit syncs wait in line and share the next transaction, so a hundred of them
/// cost one sync.
///
/// What must hold: each mutation is in a savepoint of its own, so a refused one leaves nothing; nobody is answered, not even with a refusal
/// (which may rest on a neighbour's change), before COMMIT has returned; after a failed sync nothing is written any more.
final class CommitWriter: MetadataWriter {
  private struct Job: Sendable {
    /// Does the work and answers how to tell its outcome later: with nil when the commit succeeded.
    let run: @Sendable (WriteTransaction) throws -> @Sendable (MetadataError?) -> Void
    let fail: @Sendable (MetadataError) -> Void
  }

  private struct Line {
    var jobs: [Job] = []
    var isRunning = false
    var failure: MetadataError?
  }

  static let batchLimit = 256

  private let connection: SQLiteConnection
  private let context: WriterContext
  private let time: any TimeSource
  private let hub: ChangeHub
  private let thread: BlockingPool
  private let queueLimit: Int
  private let line = Mutex(Line())

  /// - Parameter queueLimit: mutations that may wait; one more is refused as `busy`.
  init(connection: SQLiteConnection, context: WriterContext, time: any TimeSource, hub: ChangeHub, queueLimit: Int = 4096) {
    self.hub = hub
    self.connection = connection
    self.context = context
    self.time = time
    self.queueLimit = queueLimit
    thread = BlockingPool(name: "metadata-writer", threads: 1, queueLimit: 2)
  }

  func write<T: Sendable>(
    _ scope: WriteScope, isRepeatable: Bool, _ work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T {
    let result: Result<T, MetadataError> = await withCheckedContinuation { continuation in
      add(
        Job(
          run: { transaction in
            let value = try work(transaction)
            return { error in continuation.resume(returning: error.map { .failure($0) } ?? .success(value)) }
          },
          fail: { continuation.resume(returning: .failure($0)) }))
    }
    return try result.get()
  }

  /// Refuses what comes from now on and blocks until what waits is done.
  func shutDown() {
    line.withLock { $0.failure = $0.failure ?? MetadataError(.unavailable, "The coordinator is stopping.") }
    thread.shutDown()
  }

  private func add(_ job: Job) {
    enum Next { case nothing, start, refuse(MetadataError) }
    let next = line.withLock { line -> Next in
      if let failure = line.failure { return .refuse(failure) }
      guard line.jobs.count < queueLimit else { return .refuse(MetadataError(mapping: BlockingPool.Refused.overloaded)) }
      line.jobs.append(job)
      if line.isRunning { return .nothing }
      line.isRunning = true
      return .start
    }
    switch next {
    case .nothing: break
    case .refuse(let error): job.fail(error)
    case .start:
      // Only one run is ever in line, so it is refused only when the thread has been shut down since the check above.
      if thread.submit({ self.drain() }) != nil { failAll(MetadataError(.unavailable, "The coordinator is stopping.")) }
    }
  }

  private func failAll(_ error: MetadataError) {
    let jobs = line.withLock { line in
      defer { line.jobs = [] }
      line.failure = line.failure ?? error
      return line.jobs
    }
    for job in jobs { job.fail(error) }
  }

  private func drain() {
    while true {
      let batch = line.withLock { line -> [Job] in
        let batch = Array(line.jobs.prefix(CommitWriter.batchLimit))
        line.jobs.removeFirst(batch.count)
        if batch.isEmpty { line.isRunning = false }
        return batch
      }
      if batch.isEmpty { return }
      commit(batch)
    }
  }

  private func commit(_ batch: [Job]) {
    var answers: [@Sendable (MetadataError?) -> Void] = []
    answers.reserveCapacity(batch.count)
    do {
      try connection.run("BEGIN IMMEDIATE")
      for job in batch { answers.append(try perform(job)) }
      try WriteTransaction(db: SQLiteSession(connection), now: time.wall(), context: context).writePartitionCounts()
      try connection.run("COMMIT")
    } catch {
      connection.rollBack()
      context.forget()
      context.partitionCounts = [:]
      let mapped = MetadataError(mapping: error)
      if (error as? SQLiteError)?.code == .inputOutput { stopWriting(error) }
      for answer in answers { answer(mapped) }
      for job in batch[answers.count...] { job.fail(mapped) }
      _ = context.takeChanged()
      return
    }
    hub.publish(context.takeChanged())
    for answer in answers { answer(nil) }
  }

  /// Runs one mutation in its savepoint.
  /// - Throws: when the transaction as a whole cannot go on.
  private func perform(_ job: Job) throws -> @Sendable (MetadataError?) -> Void {
    let counts = context.partitionCounts
    do {
      return try connection.savepoint {
        try job.run(WriteTransaction(db: SQLiteSession(connection), now: time.wall(), context: context))
      }
    } catch {
      context.forget()
      context.partitionCounts = counts
      if let error = error as? SQLiteError, error.code != .constraint, error.code != .other { throw error }
      guard connection.isInTransaction else { throw error }
      let refusal = MetadataError(mapping: error)
      return { failure in job.fail(failure ?? refusal) }
    }
  }

  /// A sync that failed may have dropped pages that SQLite believes written: only a restart, which reads the journal anew, tells.
  private func stopWriting(_ error: any Error) {
    failAll(MetadataError(.unavailable, "Writing the metadata failed (\(error)); the coordinator has to be restarted."))
  }
}
