package import BlockModel
internal import ClusterLogic
internal import Journal
internal import MetadataStore
internal import Platform
internal import Synchronization

/// What a journal does as time passes: it follows the nodes, gives up on waiting, greets, and asks for snapshots.
extension MetadataJournal {
  private static let greetingDeadline: Duration = .seconds(1)

  static var takenOver: MetadataError {
    MetadataError(
      .unavailable, "Another coordinator, or a restore, has taken the metadata's journal over: this one changes nothing any more.")
  }

  func passTime(_ store: SQLMetadataStore) {
    let source = nodes.withLock { $0 }
    let known = source.all()
    let now = time.monotonic()
    let (late, fence, takesSnapshot, isNews) = state.withLock { state -> ([Wait], MetadataError?, Int?, Bool) in
      if !known.isEmpty {
        state.targets = Dictionary(known.map { ($0.target.node, $0.target) }) { first, _ in first }
        MetadataJournal.changeMembers(&state) { $0.update(known.map(\.candidate), now: now) }
      }
      let isFenced = state.isFenced
      let late = state.waits.filter { $0.until <= now || isFenced }
      var isNews = false
      if !late.isEmpty {
        isNews = !state.isStalled
        state.isStalled = true
        state.waits.removeAll { $0.until <= now || isFenced }
      }
      let mayTake = state.quorum.head > 0 && !state.quorum.members.isEmpty && !state.isFenced && !state.isNew
      guard mayTake, state.upkeep.begin(now) else { return (late, state.fence, nil, isNews) }
      state.snapshotsBegun += 1
      return (late, nil, state.snapshotsBegun, isNews)
    }
    if isNews, fence == nil { log.error("too few zones keep the metadata's journal; mutations are refused until they are back") }
    let unknown = MetadataError(.unavailable, "Too few zones keep the metadata's journal; whether this happened is not known yet.")
    for wait in late { wait.body(fence ?? unknown) }
    lookAround(known)
    pump()
    greet(now)
    if let takesSnapshot { Task { await self.takeSnapshot(takesSnapshot, of: store) } }
  }

  // MARK: Members

  /// Who is not a member any more may have what others lack, until a snapshot that began later is whole.
  static func changeMembers(_ state: inout State, _ change: (inout JournalQuorum) -> Bool) {
    let before = state.quorum.members.map(\.node)
    guard change(&state.quorum) else { return }
    state.upkeep.membersChanged()
    let after = state.quorum.members.map(\.node)
    for node in after { state.leavers[node] = nil }
    for node in before where !after.contains(node) { state.leavers[node] = state.snapshotsBegun }
  }

  /// Whether something may be lost with this node that others do not have yet.
  package func needs(_ node: NodeID) -> Bool {
    state.withLock { state in state.quorum.members.contains { $0.node == node } || state.leavers[node] != nil }
  }

  // MARK: Greetings

  /// Lets members know that there is a writer, so that a coordinator that starts by mistake leaves the journal alone.
  private func greet(_ now: MonotonicTime) {
    let messages = state.withLock { state -> [(ClusterNodeClient.Target, JournalTerm)] in
      guard !state.isFenced, !state.isStopped, !state.isNew, state.quorum.head > 0 else { return [] }
      guard state.greetedAt.map({ now - $0 >= JournalTakeover.greeting }) ?? true else { return [] }
      state.greetedAt = now
      let targets = state.quorum.members.compactMap { state.targets[$0.node] }.filter { !state.greeted.contains($0.node) }
      for target in targets { state.greeted.insert(target.node) }
      return targets.map { ($0, state.term) }
    }
    for (target, term) in messages { Task { await self.greet(target, term) } }
  }

  private func greet(_ target: ClusterNodeClient.Target, _ term: JournalTerm) async {
    var isFenced = false
    do throws(NodeClientError) {
      _ = try await client.ask(.append(term, []), of: target, deadline: MetadataJournal.greetingDeadline)
    } catch {
      // Silence is for those to judge that have something to send.
      isFenced = error.code == .fenced
    }
    state.withLock { state in
      state.greeted.remove(target.node)
      if isFenced { state.fence = MetadataJournal.takenOver }
    }
  }

  // MARK: A new cluster

  /// Before the first record: nodes that already have a journal are of a cluster whose database is elsewhere, or lost. Sending them another
  /// one would hide it.
  private func lookAround(_ known: [JournalNode]) {
    let living = known.filter(\.isAlive)
    let looks = state.withLock { state in
      guard state.isNew, !state.isLooking, !living.isEmpty else { return false }
      state.isLooking = true
      return true
    }
    guard looks else { return }
    Task {
      let heard = await self.ask(.status, living)
      let holder = heard.first { $0.status.newest != nil || !($0.status.files ?? []).isEmpty }
      state.withLock { state in
        state.isLooking = false
        if let holder {
          state.fence = MetadataError(
            .unusable,
            """
            This coordinator's database is new, and node \(holder.node.node) has a journal of the cluster's metadata: the database was \
            lost, or is elsewhere. Bring it back with “cairnctl restore --from-nodes”.
            """)
        } else if heard.count == living.count {
          state.isNew = false
          // A promise that nothing came of.
          state.term.generation = max(state.term.generation, (heard.compactMap(\.status.promised?.generation).max() ?? 0) + 1)
        }
      }
    }
  }
}
