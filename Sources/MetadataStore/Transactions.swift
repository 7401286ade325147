internal import BlockModel
internal import ClusterLogic
internal import Platform
internal import SQLiteDatabase
internal import ServiceAPI

/// What can be read in either kind of transaction.
protocol MetadataReading {
  var db: SQLiteConnection { get }
}

/// One unchanging state of the database.
struct ReadTransaction: MetadataReading {
  let db: SQLiteConnection
}

/// One mutation inside of the writer's transaction.
struct WriteTransaction: MetadataReading {
  let db: SQLiteConnection
  let now: WallTime
  let context: WriterContext
}

/// What the writer's thread keeps decoded between transactions. Used on that thread alone, hence `@unchecked Sendable`.
///
/// What must hold: it shows what the database says; whoever changes a row replaces the value, and a rollback forgets all.
final class WriterContext: @unchecked Sendable {
  let settings: ClusterIdentity
  let options: MetadataOptions
  private var cachedLayout: Layout?
  private var cachedNodes: [NodeID: NodeRecord]?
  private var random = SystemRandomNumberGenerator()
  /// Feeds of namespaces up to this one were looked at for what is too old.
  var trimmedUpTo: Int64 = 0
  /// Namespaces with changes that are not committed yet.
  private var changed: Set<Int64> = []

  init(settings: ClusterIdentity, options: MetadataOptions) {
    self.settings = settings
    self.options = options
  }

  func forget() {
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
    if let cachedLayout { return cachedLayout }
    let layout = try transaction.newestLayout(settings)
    cachedLayout = layout
    return layout
  }

  func nodes(_ transaction: some MetadataReading) throws -> [NodeID: NodeRecord] {
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
  /// How long a version is kept after another took its place, and an entry in the trash.
  package var retention: Duration = .seconds(30 * 24 * 3600)
  /// How long changes are kept. Rewinding goes back no further.
  package var feedRetention: Duration = .seconds(30 * 24 * 3600)
  /// A bound on the database's size in pages of 4 KiB; nil leaves it to the disk.
  package var maximumPages: Int?
  package var readers = 4
  package init() {}
}
