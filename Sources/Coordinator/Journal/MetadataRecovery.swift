package import BlockModel
internal import ClusterLogic
package import Credentials
package import HTTPTransport
internal import Journal
internal import MetadataStore
package import Platform
internal import ServiceAPI
internal import Synchronization

/// Rebuilds a coordinator's database from what the nodes keep of it, or from a backup.
///
/// What must hold: the journal is taken over from whatever coordinator may still run (it can make nothing safe any more) before it is read,
/// and it is read from so many nodes that every acknowledged record is among what was heard; else nothing is restored, unless the caller
/// accepts a loss. The database appears under its name when it is whole.
package struct MetadataRecovery: Sendable {
  /// A node that is known before anything else is: by its heartbeat, or by the operator.
  package struct Seed: Sendable, Equatable {
    package var node: NodeID
    package var zone: ZoneID?
    package var address: String
    package init(node: NodeID, zone: ZoneID?, address: String) {
      self.node = node
      self.zone = zone
      self.address = address
    }
  }

  package struct Report: Sendable, Codable, Equatable {
    /// The record that the newest snapshot, or the backup, was after.
    package var snapshotRecord: UInt64
    /// The newest record that was run on it.
    package var newestRecord: UInt64
    package var heard: [NodeID]
    package var silent: [NodeID]
    package var generation: UInt64
    package var gcEpoch: UInt64
    package var layoutVersion: UInt64
    package var endedUploads: Int
    private enum CodingKeys: String, CodingKey {
      case snapshotRecord = "snapshot_record"
      case newestRecord = "newest_record"
      case heard, silent, generation
      case gcEpoch = "gc_epoch"
      case layoutVersion = "layout_version"
      case endedUploads = "ended_uploads"
    }
  }

  /// Why nothing was restored, and what to do.
  package struct Refused: Error, Sendable, CustomStringConvertible {
    package var description: String
    /// More nodes could change it.
    package var isForNow: Bool
  }

  private static let deadline: Duration = .seconds(5)

  private let client: ClusterNodeClient
  private let cipher: JournalCipher
  private let time: any TimeSource
  private let folder: String
  private let pool = BlockingPool(name: "restore", threads: 1, queueLimit: 64)
  private let cluster: ClusterID
  private let backupWindow: Duration

  /// - Parameters:
  ///   - folder: the coordinator's data folder, without a database.
  ///   - backupWindow: how old a backup may be whose blocks are all still on the nodes.
  package init(
    secret: ClusterSecret, cluster: ClusterID, folder: String, http: any HTTPRequesting, time: any TimeSource, backupWindow: Duration
  ) {
    self.backupWindow = backupWindow
    client = ClusterNodeClient(
      signer: CapabilitySigner(secret: secret), http: http, time: time, lifetime: .seconds(600))
    cipher = JournalCipher(secret)
    self.time = time
    self.folder = folder
    self.cluster = cluster
  }

  private struct Known: Sendable {
    var target: ClusterNodeClient.Target
    var view: ClusterView?
  }

  private struct Heard: Sendable {
    var target: ClusterNodeClient.Target
    var status: JournalStatus
  }

  package enum Source: Sendable, Equatable {
    case nodes
    /// A file from `cairnctl backup`: what came after it is given up.
    case backup(String)
  }

  /// - Parameter acceptsLoss: restores also when nodes of so many zones are silent that acknowledged changes may be lost.
  /// - Throws: `Refused`, `MetadataError`, `JournalError`, `FileError`.
  package func run(_ source: Source, seeds: [Seed], acceptsLoss: Bool) async throws -> Report {
    let path = folder + "/metadata.db"
    guard try Directory.attributes(path) == nil else {
      throw Refused(description: "\(path) is there; move it away if it is to be replaced.", isForNow: false)
    }
    let known = try await findNodes(seeds)
    let views = known.compactMap(\.view)
    guard let newest = views.max(by: { ($0.layout.version, $0.generation) < ($1.layout.version, $1.generation) }) else {
      throw Refused(description: "No node answers, so nothing is known of the cluster yet.", isForNow: true)
    }
    let (heard, term) = try await takeOver(known.map(\.target), zones: newest.layout.requiredZones, acceptsLoss: acceptsLoss)
    let seen = MetadataRestore.Seen(
      generation: views.map(\.generation).max() ?? 0, gcEpoch: views.map(\.gcEpoch).max() ?? 0, layout: newest.layout)
    let draft = path + ".draft"
    for name in [draft, draft + "-wal", draft + "-shm"] where try Directory.attributes(name) != nil { try Directory.remove(name) }
    let (first, last, database, cause) = try await open(source, draft, heard.map(\.target))
    if !acceptsLoss { try await checkAge(of: database) }
    // What the restore changes is no record: nothing that follows on it may follow on the database of before. So the history goes on past
    // all that nodes have, under the term that they have promised, and only a new snapshot of it begins it.
    let next = max(heard.compactMap(\.status.newest?.sequence).max() ?? 0, last) + 1
    let beginning = JournalPosition(term: term, sequence: next, hash: MetadataRecovery.freshHash())
    let outcome = try await finish(database, seen, cause: cause, isBackup: source != .nodes, beginning: beginning)
    try await pool.run {
      try File(draft, [.read, .write]).fsync()
      try Directory.renameDurably(draft, to: path)
    }
    let names = heard.map(\.target.node)
    return Report(
      snapshotRecord: first, newestRecord: last, heard: names, silent: known.map(\.target.node).filter { !names.contains($0) },
      generation: outcome.generation, gcEpoch: outcome.gcEpoch, layoutVersion: outcome.layoutVersion, endedUploads: outcome.endedUploads)
  }

  /// The database as the source has it, and the first and the newest record that went into it.
  private func open(
    _ source: Source, _ draft: String, _ nodes: [ClusterNodeClient.Target]
  ) async throws -> (first: UInt64, last: UInt64, database: OpenDatabase, cause: String) {
    switch source {
    case .nodes:
      let (history, database) = try await rebuild(draft, nodes)
      return (history.base.sequence, history.records.last?.sequence ?? history.base.sequence, database, "the nodes")
    case .backup(let backup):
      try await copy(backup, to: draft)
      let database = OpenDatabase(try await pool.run { try MetadataRestore(path: draft) })
      let record = try await pool.run { try database.use { try $0.position()?.sequence ?? 0 } }
      return (record, record, database, "the backup \(backup)")
    }
  }

  /// What an older backup refers to may have been deleted since, and purged by the nodes.
  private func checkAge(of database: OpenDatabase) async throws {
    guard let made = try await pool.run({ try database.use { try $0.backedUpAt() } }) else { return }
    let age = time.wall() - made
    guard age > backupWindow else { return }
    let hours = backupWindow.components.seconds / 3600
    throw Refused(
      description: """
        The backup is \(age.components.seconds / 3600) h old, and nodes keep what was deleted for \(hours) h \
        (“backup-window-hours”): blocks that it names may be gone. --accept-loss restores it all the same.
        """, isForNow: false)
  }

  /// The newest database that the nodes' journal gives.
  private func rebuild(
    _ draft: String, _ nodes: [ClusterNodeClient.Target]
  ) async throws -> (JournalHistory, OpenDatabase) {
    let scratch = folder + "/journal-records"
    defer { try? Directory.remove(scratch) }
    let collector = JournalCollector(client: client, pool: pool, scratch: scratch)
    for target in nodes {
      let status = try await client.journalStatus(.status, of: target, deadline: MetadataRecovery.deadline)
      try await collector.collect(from: target, status)
    }
    guard let history = JournalHistory.newest(collector.entries, collector.bases) else {
      throw Refused(description: "The nodes that answer have no whole snapshot of the metadata.", isForNow: true)
    }
    try await collector.fetch(history.base, to: draft, cipher)
    let database = OpenDatabase(try await pool.run { try MetadataRestore(path: draft) })
    for entry in history.records {
      let record = try await collector.record(entry)
      let plain = try cipher.open(record.payload, as: SnapshotFormat.recordName(record.sequence))
      try await pool.run { try database.use { try $0.apply(record, plain: plain) } }
    }
    return (history, database)
  }

  /// Stands for all that the restored database says; nothing else has it.
  private static func freshHash() -> BlockID {
    guard let hash = BlockID(bytes: SecureRandom.bytes(BlockID.byteCount)) else { preconditionFailure("32 bytes are a hash") }
    return hash
  }

  /// Makes it the database of a cluster that went on without it, and closes it.
  private func finish(
    _ database: OpenDatabase, _ seen: MetadataRestore.Seen, cause: String, isBackup: Bool, beginning: JournalPosition
  ) async throws -> MetadataRestore.Outcome {
    let (now, cluster) = (time.wall(), cluster)
    return try await pool.run {
      let outcome = try database.use { restore in
        let faults = try restore.faults()
        guard faults.isEmpty else {
          throw MetadataError(.unusable, "The restored database is damaged: \(faults.joined(separator: "; "))")
        }
        return try restore.finish(seen, cause: cause, isBackup: isBackup, now: now, beginning: beginning)
      }
      // Closing it brings what its log has into the file.
      database.close()
      guard outcome.identity.cluster == cluster else {
        throw MetadataError(.unusable, "This metadata is of cluster \(outcome.identity.cluster), the keys are of \(cluster).")
      }
      return outcome
    }
  }

  private func copy(_ source: String, to draft: String) async throws {
    try await pool.run {
      let (from, to) = (try File(source, [.read]), try File(draft, [.read, .write, .create, .truncate]))
      var offset: Int64 = 0
      var bytes = [UInt8](repeating: 0, count: 1 << 20)
      while true {
        let count = try bytes.withUnsafeMutableBytes { try from.pread(into: $0, at: offset) }
        if count == 0 { break }
        try bytes.withUnsafeBytes { try to.pwrite(UnsafeRawBufferPointer(rebasing: $0[..<count]), at: offset) }
        offset += Int64(count)
      }
    }
  }

  // MARK: Nodes

  /// The seeds, and whomever they know of.
  private func findNodes(_ seeds: [Seed]) async throws -> [Known] {
    var known: [Known] = []
    var waiting = seeds.map { seed in
      ClusterNodeClient.Target(
        node: seed.node, zone: seed.zone ?? MetadataRecovery.unknownZone, address: seed.address, layoutVersion: 0, gcEpoch: 0)
    }
    while !waiting.isEmpty {
      let target = waiting.removeFirst()
      guard !known.contains(where: { $0.target.node == target.node }) else { continue }
      let view = await view(of: target)
      known.append(Known(target: target, view: view))
      for member in view?.members ?? [] where !seeds.contains(where: { $0.node == member.node }) {
        waiting.append(
          ClusterNodeClient.Target(
            node: member.node, zone: member.zone, address: member.address, layoutVersion: 0, gcEpoch: 0))
      }
    }
    // What the views say of zones counts; a seed may not know its own.
    let zones = Dictionary(known.compactMap(\.view).flatMap { $0.members.map { ($0.node, $0.zone) } }) { first, _ in first }
    return known.map { node in
      var node = node
      node.target.zone = zones[node.target.node] ?? node.target.zone
      return node
    }.sorted { $0.target.node < $1.target.node }
  }

  private static let unknownZone: ZoneID = {
    guard let zone = ZoneID("unknown") else { preconditionFailure("a good name") }
    return zone
  }()

  private func view(of target: ClusterNodeClient.Target) async -> ClusterView? {
    guard let bytes = try? await client.ask(.view, of: target, deadline: MetadataRecovery.deadline),
      let view = try? JSONCoding.decode(ClusterView.self, from: bytes), view.cluster == cluster
    else { return nil }
    return view
  }

  /// Has the nodes promise a term of our own; answers those that did.
  private func takeOver(
    _ nodes: [ClusterNodeClient.Target], zones: Int, acceptsLoss: Bool
  ) async throws -> (heard: [Heard], term: JournalTerm) {
    let found = await ask(.status, nodes)
    let highest = found.compactMap(\.status.promised?.generation).max() ?? 0
    let term = JournalTerm(generation: highest + 1, writer: .random(in: 1...(.max)))
    func isEnough(_ heard: [Heard]) -> Bool {
      acceptsLoss
        || JournalHistory.hasHeardEnough(of: nodes.map { (node: $0.node, zone: $0.zone) }, heard: heard.map(\.target.node), zones: zones)
    }
    // What cannot be restored yet is not taken from a coordinator that may still run.
    let promised = isEnough(found) ? await ask(.promise(term), found.map(\.target)) : []
    let heard = (isEnough(found) ? promised : found).map(\.target.node)
    guard isEnough(found), isEnough(promised) else {
      let silent = nodes.map(\.node).filter { !heard.contains($0) }
      let names = silent.map(\.text).joined(separator: ", ")
      throw Refused(
        description: "Acknowledged changes may be on nodes alone that do not answer, in \(zones) zones or more: \(names).", isForNow: true)
    }
    return (promised, term)
  }

  private func ask(_ request: JournalRequest, _ nodes: [ClusterNodeClient.Target]) async -> [Heard] {
    await withTaskGroup(of: (Int, JournalStatus?).self) { group in
      for (index, node) in nodes.enumerated() {
        group.addTask { (index, try? await client.journalStatus(request, of: node, deadline: MetadataRecovery.deadline)) }
      }
      var answers: [(Int, JournalStatus)] = []
      for await (index, status) in group { if let status { answers.append((index, status)) } }
      return answers.sorted { $0.0 < $1.0 }.map { Heard(target: nodes[$0.0], status: $0.1) }
    }
  }
}

/// A database that is open until it is closed, whoever still has this.
final class OpenDatabase: Sendable {
  private let restore: Mutex<MetadataRestore?>
  init(_ restore: MetadataRestore) { self.restore = Mutex(restore) }

  func use<T: Sendable>(_ body: (MetadataRestore) throws -> T) throws -> T {
    try restore.withLock { restore in
      guard let restore else { preconditionFailure("it is used before it is closed") }
      return try body(restore)
    }
  }

  func close() { restore.withLock { $0 = nil } }
}
