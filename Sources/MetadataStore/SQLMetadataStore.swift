internal import BlockModel
internal import Platform
internal import SQLSession

/// Metadata in an SQL database: SQLite in one file (`open(path:)`), or PostgreSQL (`open(postgreSQL:)`).
///
/// What must hold: all that differs between the engines is in the writer, the readers and `backup`; the statements are the same.
package final class SQLMetadataStore: MetadataStore {
  let writer: any MetadataWriter
  let readers: any MetadataReader
  let settings: ClusterIdentity
  let feedEpoch: UInt64
  let options: MetadataOptions
  let time: any TimeSource
  let repairPages = RepairPages()
  package let hub: ChangeHub
  let copy: @Sendable (_ path: String) throws -> Void
  private let atEnd: @Sendable () -> Void
  /// For calls that take long and are rare: opening, closing, backup.
  static let slow = BlockingPool(name: "metadata-slow", threads: 2, queueLimit: 1024)

  /// - Parameters:
  ///   - copy: writes a consistent copy of the database to a file.
  ///   - atEnd: called when the store was closed and nothing uses the database any more.
  init(
    writer: any MetadataWriter, readers: any MetadataReader, settings: ClusterIdentity, feedEpoch: UInt64, options: MetadataOptions,
    time: any TimeSource, hub: ChangeHub, copy: @escaping @Sendable (String) throws -> Void, atEnd: @escaping @Sendable () -> Void
  ) {
    self.writer = writer
    self.readers = readers
    self.settings = settings
    self.feedEpoch = feedEpoch
    self.options = options
    self.time = time
    self.hub = hub
    self.copy = copy
    self.atEnd = atEnd
  }

  package func backUp(to path: String) async throws(MetadataError) {
    do {
      let now = time.wall()
      try await SQLMetadataStore.slow.run {
        try self.copy(path)
        try SQLMetadataStore.noteBackup(path, at: now)
      }
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  package func close() async {
    // These only wait for what was accepted; a refusal of the pool means that somebody else is closing already.
    _ = try? await SQLMetadataStore.slow.run {
      self.hub.close()
      self.writer.shutDown()
      self.readers.shutDown()
      self.atEnd()
    }
  }
}
