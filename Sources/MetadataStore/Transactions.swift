internal import BlockModel
internal import ClusterLogic
internal import Platform
internal import SQLSession
internal import ServiceAPI
internal import Synchronization

/// What can be read in either kind of transaction.
protocol MetadataReading {
  var db: any SQLSession { get }
  /// Says that what follows rests on these namespaces staying as they are.
  /// - Throws: `LocksWanted` when the transaction has to begin anew to hold them.
  func hold(_ namespaces: [Int64]) throws
  /// What was found out already and cannot change meanwhile; nil where nothing is kept.
  var memory: ReadMemory? { get }
}

extension MetadataReading {
  var memory: ReadMemory? { nil }
}

/// A transaction went on without the locks that it turned out to need: it is rolled back, and begins anew with them.
package struct LocksWanted: Error {
  package init() {}
}

/// Another transaction was in the way: this one is rolled back, and begins anew.
package struct TransactionConflict: Error {
  package init() {}
}

/// A part of a transaction without a savepoint was refused after it had changed something: the transaction is rolled back, and begins anew
/// with a savepoint for each part.
struct PartBrokeOff: Error {}

/// What tells whether a part without a savepoint may end as it did. One thread uses it.
final class UnguardedParts {
  /// Rows that the connection has changed so far.
  let changedRows: () -> Int64
  /// Whether an error ends the whole transaction, and no part has to be undone for it.
  let endsTransaction: (any Error) -> Bool
  /// Nothing of the transaction may be committed.
  var haveBrokenOff = false

  init(changedRows: @escaping () -> Int64, endsTransaction: @escaping (any Error) -> Bool) {
    (self.changedRows, self.endsTransaction) = (changedRows, endsTransaction)
  }
}

/// One unchanging state of the database.
struct ReadTransaction: MetadataReading {
  let db: any SQLSession
  var memory: ReadMemory?
  func hold(_ namespaces: [Int64]) throws {}
}

/// One mutation inside of the writer's transaction.
struct WriteTransaction: MetadataReading {
  let db: any SQLSession
  let now: WallTime
  let context: WriterContext

  func hold(_ namespaces: [Int64]) throws { try context.locks?.require(namespaces) }

  /// Runs a part of the transaction that leaves nothing when it throws.
  /// - Throws: `PartBrokeOff` when that takes more than the part's end.
  func part<T>(_ body: () throws -> T) throws -> T {
    guard let parts = context.partsWithoutSavepoints else { return try db.savepoint(body) }
    let before = parts.changedRows()
    do {
      let value = try body()
      // Somebody may have caught it and gone on.
      guard !parts.haveBrokenOff else { throw PartBrokeOff() }
      return value
    } catch {
      guard parts.haveBrokenOff || (!parts.endsTransaction(error) && parts.changedRows() != before) else { throw error }
      parts.haveBrokenOff = true
      throw PartBrokeOff()
    }
  }
}

/// The namespaces that a transaction among others holds, each locked before anything was read.
struct NamespaceLocks {
  private(set) var held: Set<Int64>
  /// What somebody asked for in vain; remembered here because a caller may swallow the error.
  private(set) var wanted: Set<Int64> = []

  init(_ held: Set<Int64>) { self.held = held }

  mutating func require(_ namespaces: [Int64]) throws {
    let missing = namespaces.filter { !held.contains($0) }
    guard !missing.isEmpty else { return }
    wanted.formUnion(missing)
    throw LocksWanted()
  }
}

/// Where a round over all namespaces stands.
final class FeedRound: Sendable {
  private let position = Mutex<Int64>(0)
  var next: Int64 {
    get { position.withLock { $0 } }
    set { position.withLock { $0 = newValue } }
  }
}

/// What the writer of one connection keeps decoded between transactions. Used on one thread at a time, hence `@unchecked Sendable`.
///
/// What must hold: it shows what the database says. Where one writer is all there is, whoever changes a row replaces the value, and a
/// rollback forgets all. Where there are several, what is kept counts for the revision that it was read at, and each transaction that uses
/// it keeps the cluster's rows from changing until it ends.
final class WriterContext: @unchecked Sendable {
  let settings: ClusterIdentity
  let options: MetadataOptions
  private var cachedLayout: Layout?
  private var cachedNodes: [NodeID: NodeRecord]?
  private var random = SystemRandomNumberGenerator()
  /// Feeds of namespaces up to this one were looked at for what is too old.
  let trimming: FeedRound
  /// Nil where one transaction writes at a time.
  var locks: NamespaceLocks?
  private let isAlone: Bool
  private var holdsCluster = false
  private var ownsCluster = false
  private var revision: Int64 = 0
  /// How many more blocks of each partition versions refer to than the table says. Whoever undoes a part of a transaction sets it back.
  var partitionCounts: [Int: Int] = [:]
  /// The transaction that runs is the last one of this database.
  private(set) var isSealed = false
  /// While parts of the transaction have no savepoints of their own; nil when they have.
  var partsWithoutSavepoints: UnguardedParts?
  /// Namespaces with changes that are not committed yet.
  private var changed: Set<Int64> = []

  /// - Parameter trimming: shared by the writers of a store; nil for its only one.
  init(settings: ClusterIdentity, options: MetadataOptions, sharing trimming: FeedRound? = nil) {
    self.settings = settings
    self.options = options
    self.trimming = trimming ?? FeedRound()
    isAlone = trimming == nil
  }

  /// When the transaction has been committed nothing is written any more.
  func seal() { isSealed = true }
  func unseal() { isSealed = false }

  /// A transaction begins that holds these namespaces.
  func begin(holding namespaces: Set<Int64>, holdsCluster: Bool) {
    locks = NamespaceLocks(namespaces)
    ownsCluster = holdsCluster
    self.holdsCluster = holdsCluster
    if holdsCluster { forget() }
    changed = []
    partitionCounts = [:]
  }

  /// Keeps layouts and nodes as they are until the transaction ends.
  func holdCluster(_ transaction: some MetadataReading) throws {
    guard !isAlone, !holdsCluster else { return }
    try transaction.db.lock(WriterContext.clusterLock, isExclusive: false)
    let now = try Settings.number(transaction.db, Settings.clusterRevision)
    if now != revision { forget() }
    revision = now
    holdsCluster = true
  }

  /// Held shared by who relies on layouts and nodes, exclusively by who changes them.
  static let clusterLock: Int64 = 0x4341_4952_4e02

  /// What the items of the batch at work have in common; nil outside of one.
  var batch: BatchMemory?

  /// A part of the transaction was undone that changed nothing of the cluster's rows: only the lock that it may have taken is gone.
  func letClusterGo() { holdsCluster = ownsCluster }

  /// Also after a part of the transaction was undone: with it go the locks that were taken in it.
  func forget() {
    revision = 0
    holdsCluster = ownsCluster
    cachedLayout = nil
    cachedNodes = nil
  }

  func noteChanged(_ namespace: Int64) { changed.insert(namespace) }

  /// The namespaces that the transaction has changed, or tried to; forgets them.
  func takeChanged() -> Set<Int64> {
    defer { changed = [] }
    return changed
  }

  func layout(_ transaction: some MetadataReading) throws -> Layout {
    try holdCluster(transaction)
    if let cachedLayout { return cachedLayout }
    let layout = try transaction.newestLayout(settings)
    cachedLayout = layout
    return layout
  }

  func nodes(_ transaction: some MetadataReading) throws -> [NodeID: NodeRecord] {
    try holdCluster(transaction)
    if let cachedNodes { return cachedNodes }
    let nodes = Dictionary(try transaction.allNodes().map { ($0.id, $0) }) { first, _ in first }
    cachedNodes = nodes
    return nodes
  }

  /// An id that begins with the time, so that rows made one after the other lie side by side in the tables.
  func orderedID<Kind>(_ now: WallTime) -> Identifier<Kind> {
    Identifier(high: UInt64(clamping: now.microseconds) << 12 | (random.next() as UInt64) & 0xfff, low: random.next())
  }
}

/// What an installation decides about its metadata.
package struct MetadataOptions: Sendable {
  /// How long an upload session lives after its last use.
  package var uploadLease: Duration = .seconds(24 * 3600)
  /// How long the outcome of an upload and of an idempotency key is remembered.
  package var memory: Duration = .seconds(24 * 3600)
  /// Whether copies count that their nodes have not synced; for benchmarks against systems that do not sync either.
  package var countsRelaxedReceipts = false
  /// Whether versions wait for a malware scanner, and what is served before they were scanned.
  package var scanning = ContentScanning.off
  /// How long a version is kept after another took its place, and an entry in the trash.
  package var retention: Duration = .seconds(30 * 24 * 3600)
  /// How long lines of the audit log stay.
  package var auditRetention: Duration = .seconds(400 * 24 * 3600)
  /// How long changes are kept. Rewinding goes back no further.
  package var feedRetention: Duration = .seconds(30 * 24 * 3600)
  /// A bound on the database's size in pages of 4 KiB; nil leaves it to the disk.
  package var maximumPages: Int?
  package var readers = 4
  /// Transactions that write at a time, where the engine has several.
  package var writers = 8
  package init() {}
}
