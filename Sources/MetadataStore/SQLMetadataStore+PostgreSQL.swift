internal import BlockModel
package import Platform
package import PostgreSQLDatabase
internal import SQLSession
internal import ServiceAPI

/// Metadata in a PostgreSQL database that several coordinators may have open at the same time.
extension SQLMetadataStore {
  /// Connects to the primary, and brings the schema up to date; an empty database becomes this cluster's.
  ///
  /// - Parameters:
  ///   - identity: recorded when the database is new. Later its cluster has to be the recorded one; the rest stays as recorded.
  ///   - moved: what `moved(path:)` says of this coordinator's SQLite database.
  /// - Throws: `.unusable` for a database of a newer schema or of another cluster and for a server that is set up to lose what it
  ///   acknowledged; `.unavailable` when no primary was found within the options' patience; `.full`.
  package static func open(
    postgreSQL connection: PostgreSQLOptions, identity: ClusterIdentity, options: MetadataOptions = MetadataOptions(),
    time: any TimeSource = SystemTime(), moved: Int64? = nil
  ) async throws(MetadataError) -> SQLMetadataStore {
    do {
      return try await slow.run { try SQLMetadataStore(connection, identity, options, time, moved) }
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  private convenience init(
    _ database: PostgreSQLOptions, _ identity: ClusterIdentity, _ options: MetadataOptions, _ time: any TimeSource, _ moved: Int64?
  ) throws {
    let (settings, feedEpoch) = try SQLMetadataStore.prepare(database, identity, moved)
    guard settings.cluster == identity.cluster else {
      throw MetadataError(.unusable, "The database belongs to cluster \(settings.cluster) and this is cluster \(identity.cluster).")
    }
    let hub = ChangeHub()
    let exchange = HintExchange(database, hub)
    let writer = PostgreSQLWriter(database, settings: settings, metadata: options, time: time) { changed in
      hub.publish(changed)
      exchange.tell(changed)
    }
    self.init(
      writer: writer, readers: PostgreSQLReader(database, count: max(1, options.readers)), settings: settings, feedEpoch: feedEpoch,
      options: options, time: time, hub: hub,
      copy: { _ in
        let problem = Problem(.conflict, "This cluster's metadata is in PostgreSQL: back it up with pg_basebackup or pg_dump.")
        throw problem
      },
      atEnd: { exchange.stop() })
  }

  /// Schema and settings, with as much patience as any operation has.
  private static func prepare(
    _ database: PostgreSQLOptions, _ identity: ClusterIdentity, _ moved: Int64?
  ) throws -> (ClusterIdentity, feedEpoch: UInt64) {
    var attempts = PostgreSQLAttempts(from: SystemTime().monotonic(), patience: database.patience)
    while true {
      do {
        let connection = try PostgreSQLConnection(database)
        try connection.migrate(PostgreSQLSchema.migrations)
        try connection.begin()
        try acceptMove(connection, moved)
        let established = try Settings.establish(connection, identity)
        try connection.commit()
        return established
      } catch {
        switch attempts.next(after: error, at: SystemTime().monotonic(), chance: .random(in: 0...1)) {
        case .giveUp: throw error
        case .again(let pause): WorkerThread.sleep(for: pause)
        }
      }
    }
  }
}
