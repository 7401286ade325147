internal import BlockModel
internal import ClusterLogic
internal import Journal
package import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// How a coordinator's start puts its database and the nodes' journal together.
///
/// What must hold: before anything is written or served,
/// 1. nodes of as many zones as a record needs have promised to take nothing of an earlier coordinator;
/// 2. what nodes have beyond this database is run on it: records that were sent and whose commit did not come to its end, or more where
/// this
///    database is an old copy. If it does not follow on this database the start is refused: another history went on, and only `restore
///    --from-nodes` tells;
/// 3. what this database has beyond the nodes is sent to them again, and a snapshot where records alone would not do.
extension MetadataJournal {
  private static let statusDeadline: Duration = .seconds(2)
  /// How long to wait for so many nodes that none that is silent can know more, when enough to go on are there.
  private static let strictWait: Duration = .seconds(10)

  private struct Heard {
    var node: JournalNode
    var status: JournalStatus
  }

  /// Returns when users may be served.
  ///
  /// - Parameter nodes: of the committed layout, and those known besides, with their present addresses; asked again and again.
  /// - Throws: `.unusable` when the nodes have another history; `CancellationError`.
  package func establish(_ store: SQLMetadataStore, nodes: @escaping @Sendable () async -> [JournalNode]) async throws {
    let stored = try await store.storedJournal()
    guard stored.zones > 0 else {
      // No layout, so no node keeps anything yet.
      try await store.keepJournal(in: self)
      state.withLock { $0.isEstablished = true }
      return
    }
    let heard = try await promises(zones: stored.zones, nodes)
    if let newest = heard.compactMap(\.status.newest).max(), stored.position.map({ newest > $0 }) ?? true {
      try await rollForward(store, stored, heard)
    }
    try await begin(store, heard)
  }

  private func begin(_ store: SQLMetadataStore, _ heard: [Heard]) async throws {
    let stored = try await store.storedJournal()
    // A snapshot that enough zones have serves on; which nodes they are does not matter.
    let snapshots = heard.flatMap { node in (node.status.files ?? []).filter(\.isSnapshot).map { (node.node.target, $0) } }
    let base = snapshots.first { (_, file) in
      MetadataJournal.zoneCount(snapshots.filter { $0.1.name == file.name }.map(\.0)) >= stored.zones
    }
    let recordBytes = heard.map { node in (node.status.files ?? []).filter { !$0.isSnapshot }.reduce(0) { $0 + Int($1.bytes) } }.max() ?? 0
    let now = time.monotonic()
    let position = stored.position?.sequence ?? 0
    let safe = stored.tail.first.map { $0.sequence - 1 } ?? position
    state.withLock { state in
      state.quorum = JournalQuorum(stored: safe, zones: stored.zones)
      state.hasBase = stored.position != nil && !stored.needsBase && base != nil
      state.upkeep = JournalUpkeep(isWanted: !state.hasBase, baseBytes: Int(base?.1.bytes ?? 0), recordBytes: recordBytes)
      state.targets = Dictionary(heard.map { ($0.node.target.node, $0.node.target) }) { first, _ in first }
      for record in stored.tail {
        state.quorum.append(record.sequence, zones: stored.zones)
        state.kept.append(Kept(record: record))
        state.keptBytes += record.encodedBytes
      }
      _ = state.quorum.update(heard.map(\.node.candidate), now: now)
    }
    try await store.keepJournal(in: self)
  }

  /// Returns when all that the database has is safe, and lets users in.
  package func awaitSafety() async throws {
    while true {
      let (isSafe, isFenced) = state.withLock { ($0.quorum.head == 0 || $0.hasBase && $0.quorum.stored == $0.quorum.head, $0.isFenced) }
      if isSafe { break }
      if isFenced { throw MetadataError(.unavailable, "Another coordinator writes the metadata's journal now.") }
      try await Task.sleep(for: .milliseconds(20))
    }
    state.withLock { $0.isEstablished = true }
  }

  // MARK: Promises

  private func promises(zones: Int, _ nodes: @escaping @Sendable () async -> [JournalNode]) async throws -> [Heard] {
    let began = time.monotonic()
    var hasSaid = false
    while true {
      try Task.checkCancellation()
      let known = await nodes()
      let found = await ask(.status, known)
      let highest = found.compactMap(\.status.promised?.generation).max() ?? 0
      if MetadataJournal.zoneCount(found.map(\.node.target)) >= zones {
        let isComplete = JournalHistory.hasHeardEnough(
          of: known.map { (node: $0.target.node, zone: $0.target.zone) }, heard: found.map(\.node.target.node), zones: zones)
        if isComplete || time.monotonic() - began > MetadataJournal.strictWait {
          let term = JournalTerm(
            generation: max(highest, state.withLock { $0.term.generation }) + 1, writer: .random(in: 1...(.max)))
          state.withLock { $0.term = term }
          // Asked after the promise: from here on nobody else adds anything.
          var promised = await ask(.promise(term), found.map(\.node))
          for index in promised.indices {
            promised[index].status.files = found.first { $0.node.target.node == promised[index].node.target.node }?.status.files
          }
          if MetadataJournal.zoneCount(promised.map(\.node.target)) >= zones {
            if !isComplete { log.warning("some nodes are silent; the database is taken for the newest all the same") }
            return promised
          }
        }
      }
      if !hasSaid { log.info("waiting for nodes that keep the metadata's journal", ["zones": .int(zones), "heard": .int(found.count)]) }
      hasSaid = true
      try await Task.sleep(for: .milliseconds(300))
    }
  }

  private func ask(_ request: JournalRequest, _ nodes: [JournalNode]) async -> [Heard] {
    await withTaskGroup(of: (Int, JournalStatus?).self) { group in
      for (index, node) in nodes.enumerated() {
        group.addTask { (index, try? await self.client.journalStatus(request, of: node.target, deadline: MetadataJournal.statusDeadline)) }
      }
      var answers: [(Int, JournalStatus)] = []
      for await (index, status) in group { if let status { answers.append((index, status)) } }
      return answers.sorted { $0.0 < $1.0 }.map { Heard(node: nodes[$0.0], status: $0.1) }
    }
  }

  // MARK: What nodes have beyond the database

  private func rollForward(_ store: SQLMetadataStore, _ stored: StoredJournal, _ heard: [Heard]) async throws {
    guard let position = stored.position else {
      // The journal began on nodes and this database never saw that: nothing was acknowledged of it, unless the database is another's.
      guard heard.allSatisfy({ ($0.status.newest?.sequence ?? 0) <= 1 }) else { throw MetadataJournal.otherHistory }
      return
    }
    let scratch = folder + "/journal-records"
    defer { try? Directory.remove(scratch) }
    let collector = JournalCollector(client: client, pool: snapshots, scratch: scratch)
    for node in heard where node.status.newest.map({ $0 > position }) ?? false {
      let status = try await client.journalStatus(.status, of: node.node.target, deadline: MetadataJournal.statusDeadline)
      try await collector.collect(from: node.node.target, status)
    }
    guard
      let chain = JournalHistory.continuation(
        of: position.hash, term: position.term, sequence: position.sequence, in: collector.entries)
    else { throw MetadataJournal.otherHistory }
    for entry in chain {
      let record = try await collector.record(entry)
      let plain = try cipher.open(record.payload, as: SnapshotFormat.recordName(record.sequence))
      try await store.replay(record, plain: plain)
    }
    log.warning("the nodes' journal was ahead of the database; it was brought forward", ["records": .int(chain.count)])
  }

  private static var otherHistory: MetadataError {
    MetadataError(
      .unusable,
      """
      The nodes have a history of the metadata that does not follow on this database: it is an old copy, or the cluster was restored \
      elsewhere. Restore it with “cairnctl restore --from-nodes”.
      """)
  }
}
