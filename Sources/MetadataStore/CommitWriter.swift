internal import BlockModel
internal import ClusterLogic
internal import Journal
internal import Platform
internal import SQLSession
internal import SQLiteDatabase
internal import ServiceAPI
internal import Synchronization

/// The one thread that writes. Mutations that come while a commit syncs wait in line and share the next transaction, so a hundred of them
/// cost one sync.
///
/// What must hold: a mutation that is refused leaves nothing. Nearly all that are have changed nothing by then, so a group runs without
/// savepoints first, which cost a copy of each page that is changed; where one has changed something the group is rolled back and runs once
/// more with a savepoint for each mutation and each item of a batch. Nobody is answered, not even with a refusal (which may rest on a
/// neighbour's change), before COMMIT has returned and, with a journal, before the group's record and all before it are safe on the nodes;
/// after a failed sync nothing is written any more. The next group may be written while the record of this one is on its way: its answers
/// wait for both. Readers see a group from its COMMIT on.
final class CommitWriter: MetadataWriter {
  private struct Job: Sendable {
    /// Does the work and answers how to tell its outcome later: with nil when the commit succeeded.
    let run: @Sendable (WriteTransaction) throws -> @Sendable (MetadataError?) -> Void
    let fail: @Sendable (MetadataError) -> Void
    /// Answered when it is durable here.
    var isHereOnly = false
    /// It may change layouts, nodes and what goes with them.
    var changesCluster = true
  }

  private struct Answer {
    let tell: @Sendable (MetadataError?) -> Void
    let isHereOnly: Bool
  }

  private struct Line {
    var jobs: [Job] = []
    var isRunning = false
    var failure: MetadataError?
  }

  static let batchLimit = 256
  /// A group ends when its record has about so much, so that records stay small enough to be sent at once.
  private static let recordBytes = 4 << 20

  private let connection: SQLiteConnection
  private let context: WriterContext
  private let time: any TimeSource
  private let hub: ChangeHub
  private let thread: BlockingPool
  private let queueLimit: Int
  private let line = Mutex(Line())
  private let feed = Mutex<FeedBox?>(nil)

  // Proof: what is in it is used on the writer's thread alone, apart from the sink, which is any thread's.
  private struct FeedBox: @unchecked Sendable {
    let feed: JournalFeed
  }

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
    try await write(scope, isHereOnly: false, work)
  }

  func writeHere<T: Sendable>(
    _ scope: WriteScope, isRepeatable: Bool, _ work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T {
    try await write(scope, isHereOnly: true, work)
  }

  private func write<T: Sendable>(
    _ scope: WriteScope, isHereOnly: Bool, _ work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T {
    let changesCluster = if case .namespace = scope { false } else { true }
    let result: Result<T, MetadataError> = await withCheckedContinuation { continuation in
      add(
        Job(
          run: { transaction in
            let value = try work(transaction)
            return { error in continuation.resume(returning: error.map { .failure($0) } ?? .success(value)) }
          },
          fail: { continuation.resume(returning: .failure($0)) }, isHereOnly: isHereOnly, changesCluster: changesCluster))
    }
    return try result.get()
  }

  /// From now on each group's record goes to `sink`. Called before the first mutation.
  func attach(_ sink: any JournalSink, position: JournalPosition?) {
    feed.withLock { $0 = FeedBox(feed: JournalFeed(sink: sink, position: position, schema: Migrations.all.count)) }
  }

  /// Of the database file.
  var path: String { connection.path }

  /// Runs `body` on the writer's thread and connection, between mutations. Blocks.
  func alone<T: Sendable>(_ body: @escaping @Sendable (SQLiteConnection) throws -> T) async throws -> T {
    try await thread.run {
      defer { self.context.forget() }
      return try body(self.connection)
    }
  }

  /// Refuses what comes from now on and blocks until what waits is done.
  func shutDown() {
    line.withLock { $0.failure = $0.failure ?? MetadataError(.unavailable, "The coordinator is stopping.") }
    thread.shutDown()
  }

  private func add(_ job: Job) {
    enum Next { case nothing, start, refuse(MetadataError) }
    let refusal = job.isHereOnly ? nil : feed.withLock { $0 }?.feed.sink.refusal
    let next = line.withLock { line -> Next in
      if let failure = line.failure ?? refusal { return .refuse(failure) }
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

  private func commit(_ batch: [Job], withSavepoints: Bool = false) {
    let feed = feed.withLock { $0 }?.feed
    var group = batch[...]
    var answers: [Answer] = []
    answers.reserveCapacity(batch.count)
    var record: JournalRecord?
    context.partsWithoutSavepoints =
      withSavepoints
      ? nil : UnguardedParts(changedRows: { [connection] in connection.changedRows }, endsTransaction: CommitWriter.endsTransaction)
    do {
      feed?.recorder.log.removeAll()
      try connection.run("BEGIN IMMEDIATE")
      while let job = group.first {
        answers.append(Answer(tell: try perform(job, feed), isHereOnly: job.isHereOnly))
        group.removeFirst()
        if context.isSealed || (feed.map { $0.recorder.log.approximateBytes > CommitWriter.recordBytes } ?? false) { putBack(&group) }
      }
      let transaction = transaction(feed)
      try transaction.writePartitionCounts()
      if let feed {
        let zones = try context.layout(transaction).requiredZones
        record = try feed.prepare(connection, hasLayout: zones > 0)
        if let record { feed.sink.send(record, zones: zones) }
      }
      try connection.run("COMMIT")
    } catch {
      connection.rollBack()
      if let record { feed?.sink.retract(record) }
      context.forget()
      context.partitionCounts = [:]
      context.unseal()
      if error is PartBrokeOff {
        _ = context.takeChanged()
        return commit(batch, withSavepoints: true)
      }
      let mapped = MetadataError(mapping: error)
      if (error as? SQLiteError)?.code == .inputOutput { stopWriting(error) }
      for answer in answers { answer.tell(mapped) }
      for job in group { job.fail(mapped) }
      _ = context.takeChanged()
      return
    }
    if let record { feed?.committed(record) }
    if context.isSealed {
      failAll(MetadataError(.unavailable, "The metadata has moved to PostgreSQL; the coordinator starts anew with it."))
    }
    tell(answers, changed: context.takeChanged(), feed)
  }

  private func tell(_ answers: [Answer], changed: Set<Int64>, _ feed: JournalFeed?) {
    guard let feed, let sequence = feed.sequence else {
      hub.publish(changed)
      for answer in answers { answer.tell(nil) }
      return
    }
    for answer in answers where answer.isHereOnly { answer.tell(nil) }
    let waiting = answers.filter { !$0.isHereOnly }.map(\.tell)
    guard !waiting.isEmpty || !changed.isEmpty else { return }
    feed.sink.whenStored(sequence) { [hub] error in
      hub.publish(changed)
      for tell in waiting { tell(error) }
    }
  }

  private func putBack(_ jobs: inout ArraySlice<Job>) {
    let later = jobs
    line.withLock { $0.jobs.insert(contentsOf: later, at: 0) }
    jobs = []
  }

  private func transaction(_ feed: JournalFeed?) -> WriteTransaction {
    let session: any SQLSession = if let feed { RecordingSession(connection, feed.recorder) } else { SQLiteSession(connection) }
    return WriteTransaction(db: session, now: time.wall(), context: context)
  }

  /// Runs one mutation.
  /// - Throws: when the transaction as a whole cannot go on.
  private func perform(_ job: Job, _ feed: JournalFeed?) throws -> @Sendable (MetadataError?) -> Void {
    let counts = context.partitionCounts
    let transaction = transaction(feed)
    do {
      return try transaction.part { try job.run(transaction) }
    } catch {
      if error is PartBrokeOff { throw error }
      // A refusal is nothing unusual, and a layout takes long to read.
      if job.changesCluster { context.forget() }
      context.partitionCounts = counts
      if CommitWriter.endsTransaction(error) { throw error }
      guard connection.isInTransaction else { throw error }
      let refusal = MetadataError(mapping: error)
      return { failure in job.fail(failure ?? refusal) }
    }
  }

  private static func endsTransaction(_ error: any Error) -> Bool {
    guard let error = error as? SQLiteError else { return false }
    return error.code != .constraint && error.code != .other
  }

  /// A sync that failed may have dropped pages that SQLite believes written: only a restart, which reads the journal anew, tells.
  private func stopWriting(_ error: any Error) {
    failAll(MetadataError(.unavailable, "Writing the metadata failed (\(error)); the coordinator has to be restarted."))
  }
}
