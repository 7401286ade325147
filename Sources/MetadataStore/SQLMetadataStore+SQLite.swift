internal import BlockModel
package import Platform
internal import SQLSession
internal import SQLiteDatabase

/// Metadata in one SQLite file: a writer thread that groups commits, and a few readers.
///
/// What must hold: one process at a time has the file open (a lock file beside it says so); the schema is the one this program knows.
extension SQLMetadataStore {
  /// Opens the database and makes it when it is not there.
  ///
  /// - Parameters:
  ///   - path: the database file; its folder exists.
  ///   - identity: recorded when the database is made. Later its cluster has to be the recorded one; the rest stays as recorded.
  /// - Throws: `.unusable` for a damaged database, one of a newer schema or of another cluster, and one that another process has open;
  ///   `.full`, `.unavailable`.
  package static func open(
    path: String, identity: ClusterIdentity, options: MetadataOptions = MetadataOptions(), time: any TimeSource = SystemTime()
  ) async throws(MetadataError) -> SQLMetadataStore {
    do {
      return try await slow.run { try SQLMetadataStore(path: path, identity: identity, options: options, time: time) }
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  private convenience init(path: String, identity: ClusterIdentity, options: MetadataOptions, time: any TimeSource) throws {
    let lock: File
    do {
      lock = try File(path + ".lock", [.read, .write, .create])
      guard try lock.lockExclusive() else {
        throw MetadataError(.unusable, "Another coordinator has \(path) open: stop it, or give this one a folder of its own.")
      }
    } catch let error as FileError {
      throw MetadataError(.unusable, "The database's lock cannot be taken: \(error)")
    }
    var writing = SQLiteConnection.Options()
    // Four times as much made no operation of the bench quicker.
    writing.cacheKibibytes = 16 << 10
    writing.maximumPages = options.maximumPages
    let connection = try SQLiteConnection(path, writing)
    try connection.migrate(Migrations.all)
    try PlannerStatistics.install(on: connection)
    guard try Settings.found(SQLiteSession(connection), Settings.moved) == nil else {
      throw MetadataError(.unusable, "The metadata of \(path) has moved to PostgreSQL: set “metadata = postgres”.")
    }
    try JournalTables.establish(connection, schema: Migrations.all.count)
    let (settings, feedEpoch) = try connection.write { try Settings.establish(SQLiteSession(connection), identity) }
    guard settings.cluster == identity.cluster else {
      throw MetadataError(.unusable, "\(path) belongs to cluster \(settings.cluster) and this is cluster \(identity.cluster).")
    }
    var reading = SQLiteConnection.Options()
    reading.readOnly = true
    // The upper levels of the indexes of a few million entries.
    reading.cacheKibibytes = 8 << 10
    let hub = ChangeHub()
    self.init(
      writer: CommitWriter(connection: connection, context: WriterContext(settings: settings, options: options), time: time, hub: hub),
      readers: ReaderPool(try (0..<max(1, options.readers)).map { _ in try SQLiteConnection(path, reading) }), settings: settings,
      feedEpoch: feedEpoch, options: options, time: time, hub: hub,
      copy: { destination in
        try SQLMetadataStore.copyDatabase(path, to: destination)
      },
      // The lock is the process's as long as the store lives.
      atEnd: { withExtendedLifetime(lock) {} })
  }
}
