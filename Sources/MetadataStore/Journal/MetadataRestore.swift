package import BlockModel
package import ClusterLogic
package import Journal
internal import Platform
internal import SQLSession
internal import SQLiteDatabase

/// Brings a copy of an SQLite database forward, and makes of it the database of a cluster that went on without it. Blocks.
///
/// What must hold when `finish` has returned: nothing that the cluster's nodes or clients remember of the time that the copy has not seen
/// is taken for something that it says: generation, GC epoch and layout version are above all that was seen; receipts of earlier epochs
/// count for nothing, and open uploads have ended; the feed has another epoch, so cursors are reset; nothing is collected before an
/// operator allows it.
package final class MetadataRestore: Sendable {
  private let connection: SQLiteConnection

  /// - Parameter path: of a database that no other process has open.
  /// - Throws: `MetadataError`.
  package init(path: String) throws(MetadataError) {
    do {
      connection = try SQLiteConnection(path)
      try connection.migrate(Migrations.all)
      try JournalTables.establish(connection, schema: Migrations.all.count)
    } catch { throw MetadataError(mapping: error) }
  }

  /// The record that the database is after; nil when it had no journal.
  package func position() throws(MetadataError) -> JournalPosition? {
    do { return try JournalTables.position(connection)?.position } catch { throw MetadataError(mapping: error) }
  }

  /// When the backup was made that this is; nil for what is none.
  package func backedUpAt() throws(MetadataError) -> WallTime? {
    do {
      return try Settings.found(SQLiteSession(connection), Settings.backedUpAt).map { WallTime(microseconds: $0) }
    } catch { throw MetadataError(mapping: error) }
  }

  /// Runs the record that follows.
  /// - Parameter plain: its payload, unsealed.
  package func apply(_ record: JournalRecord, plain: [UInt8]) throws(MetadataError) {
    do {
      try JournalReplay.apply(record, plain: plain, to: connection, schema: Migrations.all.count, keepsRecord: false)
    } catch { throw MetadataError(mapping: error) }
  }

  /// Whether the file is sound as a database, in SQLite's words; empty when it is.
  package func faults() throws(MetadataError) -> [String] {
    do {
      return try connection.all("PRAGMA quick_check(10)") { $0.text(0) }.filter { $0 != "ok" }
    } catch { throw MetadataError(mapping: error) }
  }

  /// What the cluster's nodes have seen; the restored database goes above it.
  package struct Seen: Sendable {
    package var generation: UInt64
    package var gcEpoch: UInt64
    /// The newest layout that any node has.
    package var layout: Layout?
    package init(generation: UInt64, gcEpoch: UInt64, layout: Layout?) {
      self.generation = generation
      self.gcEpoch = gcEpoch
      self.layout = layout
    }
  }

  /// What a restored database is like.
  package struct Outcome: Sendable {
    package var identity: ClusterIdentity
    package var generation: UInt64
    package var gcEpoch: UInt64
    package var layoutVersion: UInt64
    /// Uploads that were open.
    package var endedUploads: Int
  }

  /// - Parameters:
  ///   - cause: where it was restored from, for the audit log and whoever asks why nothing is collected.
  ///   - isBackup: deletes of the time since were logged where nobody remembers them: nodes are to take them back.
  ///   - now: the time that it is.
  ///   - beginning: a place in the journal where another history begins, with this database.
  package func finish(
    _ seen: Seen, cause: String, isBackup: Bool, now: WallTime, beginning: JournalPosition
  ) throws(MetadataError) -> Outcome {
    do {
      return try connection.write {
        let outcome = try self.raise(seen, cause, now)
        let session = SQLiteSession(self.connection)
        if isBackup { try Settings.set(session, Settings.undoDue, 1) }
        try session.run("DELETE FROM settings WHERE key = ?", .text(Settings.backedUpAt))
        try JournalTables.begin(connection, at: beginning, schema: Migrations.all.count)
        return outcome
      }
    } catch { throw MetadataError(mapping: error) }
  }

  private func raise(_ seen: Seen, _ cause: String, _ now: WallTime) throws -> Outcome {
    let session = SQLiteSession(connection)
    let settings = try recordedIdentity(session)
    let transaction = WriteTransaction(
      db: session, now: now, context: WriterContext(settings: settings, options: MetadataOptions()))
    let generation = max(UInt64(clamping: try Settings.number(session, Settings.generation)), seen.generation)
    try Settings.set(session, Settings.generation, Int64(clamping: generation))
    let epoch = max(try transaction.gcEpoch(), seen.gcEpoch) + 1
    try Settings.set(session, Settings.gcEpoch, Int64(clamping: epoch))
    // A delete that this database does not remember may have taken any copy that was acknowledged before.
    try Settings.set(session, Settings.gcFloor, Int64(clamping: epoch))
    try Settings.set(session, Settings.feedEpoch, Int64.random(in: 1...(.max)))
    let version = try raiseLayout(transaction, settings, seen.layout)
    // What the tidying does next is to end them, with all that hangs on them.
    let uploads = try session.run("UPDATE uploads SET expires_at = 0 WHERE status = 0")
    try transaction.holdGarbage("The metadata was restored from \(cause).")
    try transaction.log(actor: "operator", action: "restore", subject: cause)
    return Outcome(identity: settings, generation: generation, gcEpoch: epoch, layoutVersion: version, endedUploads: uploads)
  }

  private func recordedIdentity(_ session: SQLiteSession) throws -> ClusterIdentity {
    func number(_ key: String) throws -> Int64 { try Settings.number(session, key) }
    return ClusterIdentity(
      cluster: ClusterID(
        high: UInt64(bitPattern: try number(Settings.clusterHigh)), low: UInt64(bitPattern: try number(Settings.clusterLow))),
      partitionBits: Int(try number(Settings.partitionBits)), replicationFactor: Int(try number(Settings.replicationFactor)),
      writeQuorum: Int(try number(Settings.writeQuorum)))
  }

  /// A layout of a number that no node has seen: the newest that is known, from here or from the nodes, which went on moving blocks by it.
  private func raiseLayout(_ transaction: WriteTransaction, _ settings: ClusterIdentity, _ seen: Layout?) throws -> UInt64 {
    var layout = try transaction.newestLayout(settings)
    let own = layout.version
    guard own > 0 || seen != nil else { return 0 }
    if let seen, seen.version > own { layout = seen }
    layout.version = max(own, seen?.version ?? 0) + 1
    let rows = try transaction.db.all("SELECT partition, targets, sources, arrivals FROM filling") { _ in 0 }.count
    try transaction.db.run(
      "INSERT INTO layouts (version, document, committed_at, cause) VALUES (?, ?, ?, ?)", .integer(Int64(clamping: layout.version)),
      .blob(try JSONCoding.encode(layout)), .time(transaction.now), .text("restored; \(rows) partitions were on their way"))
    try transaction.db.run("UPDATE settings SET value = value + 1 WHERE key = ?", .text(Settings.clusterRevision))
    return layout.version
  }
}
