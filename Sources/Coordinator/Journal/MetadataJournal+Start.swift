internal import BlockModel
internal import ClusterLogic
internal import Credentials
internal import Journal
package import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// How a coordinator's start puts its database and the nodes' journal together.
///
/// What must hold: before anything is written or served,
/// 1. a journal that another coordinator writes, or whose history does not follow on this database, is left as it is: the start is refused
///    before any node has promised anything, so that the other one goes on undisturbed (`JournalTakeover`, `JournalHistory`);
/// 2. nodes of as many zones as a record needs have promised to take nothing of an earlier coordinator;
/// 3. what nodes have beyond this database is run on it: records that were sent and whose commit did not come to its end, or more where
///    this database is an old copy. It is looked for again after the promise, because until then somebody may have added something;
/// 4. what this database has beyond the nodes is sent to them again, and a snapshot where records alone would not do.
extension MetadataJournal {
  private static let statusDeadline: Duration = .seconds(2)
  private static let pause: Duration = .milliseconds(200)
  private static let knownLimit = 10_000
  /// Nodes whose view is asked for; a view names every node, so a few of them do.
  private static let viewLimit = 64

  struct Heard: Sendable {
    var node: JournalNode
    var status: JournalStatus
  }

  /// Returns when users may be served.
  ///
  /// - Parameter nodes: that are known, with their present addresses; asked again and again.
  /// - Throws: `.unusable` when the nodes have another history; `.unavailable` when another coordinator writes it; `CancellationError`.
  package func establish(_ store: SQLMetadataStore, nodes: @escaping @Sendable () async -> [JournalNode]) async throws {
    let stored = try await store.storedJournal()
    guard stored.zones > 0 else {
      // No layout, so no node keeps anything yet.
      try await store.keepJournal(in: self)
      state.withLock { state in
        state.isEstablished = true
        state.isNew = true
      }
      return
    }
    let heard = try await takeOver(stored, nodes)
    try await rollForward(store, stored.position, heard)
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
      let (isSafe, fence) = state.withLock { ($0.quorum.head == 0 || $0.hasBase && $0.quorum.stored == $0.quorum.head, $0.fence) }
      if isSafe { break }
      if let fence { throw fence }
      try await Task.sleep(for: .milliseconds(20))
    }
    state.withLock { $0.isEstablished = true }
  }

  // MARK: Taking over

  /// Answers what the nodes have that have promised this coordinator's term.
  private func takeOver(_ stored: StoredJournal, _ nodes: @escaping @Sendable () async -> [JournalNode]) async throws -> [Heard] {
    var takeover = JournalTakeover(zones: stored.zones, quiet: quiet, began: began)
    var others: [JournalNode] = []
    var viewed: Set<NodeID> = []
    var said: JournalTakeover.Decision?
    while true {
      try Task.checkCancellation()
      let own = await nodes()
      let known = own + others.filter { other in !own.contains { $0.node == other.node } }
      let asked = time.monotonic()
      let found = await ask(.status, known)
      let fresh = found.filter { !viewed.contains($0.node.node) }.prefix(MetadataJournal.viewLimit - viewed.count)
      for node in fresh { viewed.insert(node.node.node) }
      let more = await nodesBeyond(known, of: Array(fresh))
      others += more
      let decision = takeover.decide(
        known: known.map { (node: $0.target.node, zone: $0.target.zone) }, reports: found.map { report($0) }, asked: asked)
      switch decision {
      case .isInUse: throw MetadataJournal.inUse
      case .compare(let isComplete) where more.isEmpty:
        if let promised = try await promise(stored, found) {
          if !isComplete { log.warning("some nodes are silent; the database is taken for the newest all the same") }
          return promised
        }
      case .waitForNodes where said != decision:
        log.info("waiting for nodes that keep the metadata's journal", ["zones": .int(stored.zones), "heard": .int(found.count)])
      case .waitForQuiet where said != decision: log.info("waiting to see that nobody else writes the metadata's journal")
      case .waitForNodes, .waitForQuiet, .compare: break
      }
      said = decision
      if more.isEmpty { try await Task.sleep(for: MetadataJournal.pause) }
    }
  }

  private func report(_ heard: Heard) -> JournalTakeover.Report {
    // What this coordinator said itself counts for nothing.
    let isOwn = heard.status.promised == state.withLock { $0.term }
    let quiet = isOwn ? nil : heard.status.quietMilliseconds.map { Duration.milliseconds($0) }
    return JournalTakeover.Report(node: heard.node.target.node, zone: heard.node.target.zone, quietFor: quiet)
  }

  /// Nodes that these nodes know of and the database does not: it may be so old that the journal is on none of its own any more.
  private func nodesBeyond(_ known: [JournalNode], of heard: [Heard]) async -> [JournalNode] {
    let views = await withTaskGroup(of: (Int, ClusterView?).self) { group in
      for (index, node) in heard.enumerated() {
        group.addTask {
          let bytes = try? await self.client.ask(.view, of: node.node.target, deadline: MetadataJournal.statusDeadline)
          return (index, bytes.flatMap { try? JSONCoding.decode(ClusterView.self, from: $0) })
        }
      }
      var views: [(Int, ClusterView)] = []
      for await (index, view) in group { if let view { views.append((index, view)) } }
      return views.sorted { $0.0 < $1.0 }.map(\.1)
    }
    var more: [JournalNode] = []
    for member in views.flatMap(\.members) where known.count + more.count < MetadataJournal.knownLimit {
      guard !(known + more).contains(where: { $0.node == member.node }) else { continue }
      more.append(JournalNode(node: member.node, zone: member.zone, address: member.address, isAlive: true, isInLayout: false))
    }
    return more
  }

  /// Compares histories, and has the nodes promise. Nil when too few of them did.
  private func promise(_ stored: StoredJournal, _ found: [Heard]) async throws -> [Heard]? {
    do { _ = try await beyond(stored.position, found) } catch let error as NodeClientError {
      // It died meanwhile, or cut off what was to be read: there is another attempt.
      log.info("a node's journal cannot be read now", ["reason": .string(error.message)])
      return nil
    }
    let highest = found.compactMap(\.status.promised?.generation).max() ?? 0
    let term = JournalTerm(generation: max(highest, state.withLock { $0.term.generation }) + 1, writer: .random(in: 1...(.max)))
    state.withLock { $0.term = term }
    let promised = await ask(.promise(term), found.map(\.node))
    // Asked after the promise: from here on nobody else adds anything.
    let heard = await ask(.status, promised.map(\.node)).filter { $0.status.promised == term }
    return MetadataJournal.zoneCount(heard.map(\.node.target)) >= stored.zones ? heard : nil
  }

  func ask(_ request: JournalRequest, _ nodes: [JournalNode]) async -> [Heard] {
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

  /// The records that follow on the database, with who has read them.
  /// - Throws: `.unusable` when the nodes have something newer that does not follow; `NodeClientError`.
  private func beyond(_ position: JournalPosition?, _ heard: [Heard]) async throws -> (JournalCollector, [JournalHistory.Entry]) {
    let collector = JournalCollector(client: client, pool: snapshots, scratch: folder + "/journal-records")
    for node in heard { try await collector.collectSnapshots(of: node.node.target, node.status) }
    let bases = collector.bases.map { JournalPosition(term: $0.term, sequence: $0.sequence, hash: $0.hash) }
    let newest = (heard.compactMap(\.status.newest) + bases).max()
    guard let position else {
      // The journal began on nodes and this database never saw that: nothing was acknowledged of it, unless the database is another's.
      guard newest?.sequence ?? 0 <= 1 else { throw MetadataJournal.otherHistory }
      return (collector, [])
    }
    guard let newest, newest > position else { return (collector, []) }
    for node in heard where node.status.newest.map({ $0 > position }) ?? false {
      try await collector.collectRecords(of: node.node.target, node.status)
    }
    guard
      let chain = JournalHistory.continuation(
        of: position.hash, term: position.term, sequence: position.sequence, in: collector.entries, collector.bases)
    else { throw MetadataJournal.otherHistory }
    return (collector, chain)
  }

  private func rollForward(_ store: SQLMetadataStore, _ position: JournalPosition?, _ heard: [Heard]) async throws {
    defer { try? Directory.remove(folder + "/journal-records") }
    let (collector, chain) = try await beyond(position, heard)
    for entry in chain {
      let record = try await collector.record(entry)
      let plain = try cipher.current.open(record.payload, as: SnapshotFormat.recordName(record.sequence))
      try await store.replay(record, plain: plain)
    }
    guard !chain.isEmpty else { return }
    log.warning("the nodes' journal was ahead of the database; it was brought forward", ["records": .int(chain.count)])
  }

  private static var otherHistory: MetadataError {
    MetadataError(
      .unusable,
      """
      The nodes have a history of the metadata that does not follow on this database: it is an old copy, or the cluster was restored \
      elsewhere. This coordinator does not start. If no other one runs, restore the database with “cairnctl restore --from-nodes”.
      """)
  }

  private static var inUse: MetadataError {
    MetadataError(
      .unavailable,
      """
      Another coordinator writes this cluster's metadata now, so this one does not start: one with SQLite has it alone. If this is the one \
      to go on with, stop the other one first.
      """)
  }
}
