internal import BlockModel
internal import ClusterLogic
internal import SQLSession

/// Single values that belong to the whole database.
enum Settings {
  /// The cluster's id in two halves; older databases keep it as bytes under `cluster`.
  static let clusterHigh = "cluster-high"
  static let clusterLow = "cluster-low"
  private static let formerCluster = "cluster"
  static let partitionBits = "partition-bits"
  static let replicationFactor = "replication-factor"
  static let writeQuorum = "write-quorum"
  static let generation = "generation"
  static let gcEpoch = "gc-epoch"
  /// Counts what changed among layouts and nodes, so that whoever keeps them decoded sees that it has to look anew.
  static let clusterRevision = "cluster-revision"
  static let leaseHolder = "lease-holder"
  static let leaseBeat = "lease-beat"
  static let rebalancePaused = "rebalance-paused"
  static let rebalanceOrigin = "rebalance-origin"
  static let rebalanceSteps = "rebalance-steps"
  /// What operators set of the running cluster.
  static func tuning(_ key: ClusterTuning.Key) -> String { "tuning-" + key.rawValue }
  /// In SQLite: the move by which the metadata left it for PostgreSQL. In PostgreSQL: the move that is filling it.
  static let moved = "moved"
  static let moving = "moving"
  /// When a backup was made, in its copy of the database alone.
  static let backedUpAt = "backed-up-at"
  static let undoDue = "gc-undo-due"
  /// Random; a database that was restored from an older state gets a new one, so that old cursors are told to start anew.
  static let feedEpoch = "feed-epoch"

  /// Records what a new database is of; answers what is recorded.
  static func establish(_ db: any SQLSession, _ identity: ClusterIdentity) throws -> (ClusterIdentity, feedEpoch: UInt64) {
    let add = "INSERT OR IGNORE INTO settings (key, value) VALUES (?, ?)"
    // What the database was made with stays: another cluster's identity is refused by what is read back.
    let former: ClusterID? = try db.first("SELECT value FROM settings WHERE key = ?", .text(formerCluster), read: { $0.id(0) })
    let cluster = former ?? identity.cluster
    try db.run(add, .text(clusterHigh), .integer(Int64(bitPattern: cluster.high)))
    try db.run(add, .text(clusterLow), .integer(Int64(bitPattern: cluster.low)))
    try db.run(add, .text(clusterRevision), .int(1))
    try db.run(add, .text(leaseHolder), .int(0))
    try db.run(add, .text(leaseBeat), .int(0))
    try db.run(add, .text(partitionBits), .int(identity.partitionBits))
    try db.run(add, .text(replicationFactor), .int(identity.replicationFactor))
    try db.run(add, .text(writeQuorum), .int(identity.writeQuorum))
    try db.run(add, .text(generation), .int(0))
    try db.run(add, .text(gcEpoch), .int(1))
    try db.run(add, .text(feedEpoch), .integer(Int64.random(in: 1...(.max))))
    let recorded = ClusterID(
      high: UInt64(bitPattern: try number(db, clusterHigh)), low: UInt64(bitPattern: try number(db, clusterLow)))
    let settings = ClusterIdentity(
      cluster: recorded, partitionBits: Int(try number(db, partitionBits)), replicationFactor: Int(try number(db, replicationFactor)),
      writeQuorum: Int(try number(db, writeQuorum)))
    return (settings, UInt64(bitPattern: try number(db, feedEpoch)))
  }

  static func found(_ db: any SQLSession, _ key: String) throws -> Int64? {
    try db.first("SELECT value FROM settings WHERE key = ?", .text(key), read: { $0.int64(0) })
  }

  static func set(_ db: any SQLSession, _ key: String, _ value: Int64) throws {
    try db.run(
      "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", .text(key), .integer(value))
  }

  static func number(_ db: any SQLSession, _ key: String) throws -> Int64 {
    guard let value = try db.first("SELECT value FROM settings WHERE key = ?", .text(key), read: { $0.int64(0) }) else {
      throw MetadataError(.unusable, "The database lacks its setting “\(key)”.")
    }
    return value
  }
}
