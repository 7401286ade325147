internal import BlockModel
package import Platform
internal import SQLiteDatabase

/// Metadata in one SQLite file: a writer thread that groups commits, and a few readers.
///
/// What must hold: one process at a time has the file open (a lock file beside it says so); the schema is the one this program knows.
package final class SQLiteMetadataStore: MetadataStore {
  let writer: CommitWriter
  let readers: ReaderPool
  let settings: ClusterIdentity
  let feedEpoch: UInt64
  let options: MetadataOptions
  let time: any TimeSource
  let repairPages = RepairPages()
  package let hub = ChangeHub()
  private let lock: File
  private let path: String
  /// For calls that take long and are rare: opening, closing, backup.
  private static let slow = BlockingPool(name: "metadata-slow", threads: 2, queueLimit: 1024)

  /// Opens the database and makes it when it is not there.
  ///
  /// - Parameters:
  ///   - path: the database file; its folder exists.
  ///   - identity: recorded when the database is made. Later its cluster has to be the recorded one; the rest stays as recorded.
  /// - Throws: `.unusable` for a damaged database, one of a newer schema or of another cluster, and one that another process has open;
  ///   `.full`, `.unavailable`.
  package static func open(
    path: String, identity: ClusterIdentity, options: MetadataOptions = MetadataOptions(), time: any TimeSource = SystemTime()
  ) async throws(MetadataError) -> SQLiteMetadataStore {
    do {
      return try await slow.run { try SQLiteMetadataStore(path: path, identity: identity, options: options, time: time) }
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  private init(path: String, identity: ClusterIdentity, options: MetadataOptions, time: any TimeSource) throws {
    self.path = path
    self.options = options
    self.time = time
    do {
      lock = try File(path + ".lock", [.read, .write, .create])
      guard try lock.lockExclusive() else {
        throw MetadataError(.unusable, "Another coordinator has \(path) open: stop it, or give this one a folder of its own.")
      }
    } catch let error as FileError {
      throw MetadataError(.unusable, "The database's lock cannot be taken: \(error)")
    }
    var writing = SQLiteConnection.Options()
    writing.cacheKibibytes = 64 << 10
    writing.maximumPages = options.maximumPages
    let connection = try SQLiteConnection(path, writing)
    try connection.migrate(Migrations.all)
    (settings, feedEpoch) = try connection.write { try Settings.establish(connection, identity) }
    guard settings.cluster == identity.cluster else {
      throw MetadataError(.unusable, "\(path) belongs to cluster \(settings.cluster) and this is cluster \(identity.cluster).")
    }
    var reading = SQLiteConnection.Options()
    reading.readOnly = true
    readers = ReaderPool(try (0..<max(1, options.readers)).map { _ in try SQLiteConnection(path, reading) })
    writer = CommitWriter(connection: connection, context: WriterContext(settings: settings, options: options), time: time, hub: hub)
  }

  package func backUp(to path: String) async throws(MetadataError) {
    let source = self.path
    do {
      try await SQLiteMetadataStore.slow.run {
        var reading = SQLiteConnection.Options()
        reading.readOnly = true
        try SQLiteConnection(source, reading).backUp(to: path)
      }
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  package func close() async {
    // Both only wait for what was accepted; a refusal of the pool means that somebody else is closing already.
    _ = try? await SQLiteMetadataStore.slow.run {
      self.hub.close()
      self.writer.shutDown()
      self.readers.shutDown()
    }
  }
}
