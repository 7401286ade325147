internal import BlockModel
internal import SQLiteDatabase

/// Single values that belong to the whole database.
enum Settings {
  static let cluster = "cluster"
  static let partitionBits = "partition-bits"
  static let replicationFactor = "replication-factor"
  static let writeQuorum = "write-quorum"
  static let generation = "generation"
  static let gcEpoch = "gc-epoch"
  static let rebalancePaused = "rebalance-paused"
  static let rebalanceOrigin = "rebalance-origin"
  static let rebalanceSteps = "rebalance-steps"
  /// Random; a database that was restored from an older state gets a new one, so that old cursors are told to start anew.
  static let feedEpoch = "feed-epoch"

  /// Records what a new database is of; answers what is recorded.
  static func establish(_ db: SQLiteConnection, _ identity: ClusterIdentity) throws -> (ClusterIdentity, feedEpoch: UInt64) {
    let add = "INSERT OR IGNORE INTO settings (key, value) VALUES (?, ?)"
    try db.run(add, .text(cluster), .id(identity.cluster))
    try db.run(add, .text(partitionBits), .int(identity.partitionBits))
    try db.run(add, .text(replicationFactor), .int(identity.replicationFactor))
    try db.run(add, .text(writeQuorum), .int(identity.writeQuorum))
    try db.run(add, .text(generation), .int(0))
    try db.run(add, .text(gcEpoch), .int(1))
    try db.run(add, .text(feedEpoch), .integer(Int64.random(in: 1...(.max))))
    let select = "SELECT value FROM settings WHERE key = ?"
    guard let recorded: ClusterID = try db.first(select, .text(cluster), read: { $0.id(0) }) else {
      throw MetadataError(.unusable, "The database does not say of which cluster it is.")
    }
    let settings = ClusterIdentity(
      cluster: recorded, partitionBits: Int(try number(db, partitionBits)), replicationFactor: Int(try number(db, replicationFactor)),
      writeQuorum: Int(try number(db, writeQuorum)))
    return (settings, UInt64(bitPattern: try number(db, feedEpoch)))
  }

  static func number(_ db: SQLiteConnection, _ key: String) throws -> Int64 {
    guard let value = try db.first("SELECT value FROM settings WHERE key = ?", .text(key), read: { $0.int64(0) }) else {
      throw MetadataError(.unusable, "The database lacks its setting “\(key)”.")
    }
    return value
  }
}
