internal import BlockModel
package import ClusterLogic
package import Platform

/// How the agent works.
package struct SyncOptions: Sendable {
  /// In the names of conflicted copies.
  package var device: String
  /// How long nobody may have touched a file before it is read.
  package var quiet = Duration.seconds(2)
  /// The same for one that was closed after writing, or that nobody has open for that.
  package var quietAfterClose = Duration.milliseconds(250)
  /// Whether many deletions at once are what the user wants.
  package var allowsDeletions = false
  /// Plans, and does nothing.
  package var isDryRun = false
  /// Names from the root down of folders and files that this device does not have.
  package var leftOut: [[String]] = []
  /// Operations of one round, and bytes that it uploads.
  package var operationsPerRound = 2048
  package var bytesPerRound: Int64 = 256 << 20

  package init(device: String) { self.device = device }
}

/// What one round did.
package struct SyncRound: Sendable {
  package var done: [SyncOperation] = []
  /// Planned and not done: with a dry run all.
  package var planned: [SyncOperation] = []
  /// With a dry run: what would be done, in words.
  package var plannedLines: [String] = []
  package var issues: [SyncIssue] = []
  /// Local paths of conflicted copies made.
  package var conflicts: [String] = []
  package var bytesUp: Int64 = 0
  package var bytesDown: Int64 = 0
  /// Something else was there than planned.
  package var wasStale = false
  /// Somebody is writing to a file, or something that failed is due again: look then.
  package var wakeIn: Duration?
  package var folders: [String] = []
  package var files = 0
  /// How long it took to read the local folder, hashing aside.
  package var scanTime = Duration.zero
  /// The same with all that comes before the first operation, the feed aside.
  package var planTime = Duration.zero
  /// More was planned than one round does.
  package var isCutShort = false

  /// Both sides are in step, apart from what `issues` says.
  package var isIdle: Bool { planned.isEmpty && done.isEmpty && !wasStale && wakeIn == nil }
}

/// Brings a local and a remote folder in step, a round at a time: follow the feed, scan, plan, carry out, note.
///
/// What must hold:
/// - It may stop at any point. What was done and not noted looks like both sides having done the same, and the next plan notes it.
/// - Nothing is planned from a remote tree that is not whole, or from a scan that was cut short.
/// - What a plan presumes is looked at again when it is carried out; what is not so any more is left alone.
package actor SyncEngine {
  let folder: any SyncFolder
  let remote: any SyncRemote
  let state: any SyncState
  let time: any TimeSource
  let options: SyncOptions
  private let executor: WorkerExecutor
  var memory: SyncMemory
  var scanner: FolderScanner
  /// By entry, or by path for what is new here.
  var retries: [String: Retry] = [:]
  private var closed: Set<String> = []
  private var asides = AsideWatch()
  /// Encrypted folders below, as names from the synced folder down: neither side's are touched.
  private var encrypted: [[String]] = []
  /// The encrypted folder that the remote folder is or lies in.
  private(set) var keyFolder: EntryID?
  /// A dry run towards a remote folder that is not there yet: it is taken for an empty one, and nothing is noted.
  private let isPretended: Bool

  /// Something that failed by itself.
  struct Retry {
    var due: MonotonicTime
    var delay: Duration
    var issue: SyncIssue
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  package init(
    folder: any SyncFolder, remote: any SyncRemote, state: any SyncState, memory: SyncMemory, time: any TimeSource, options: SyncOptions,
    executor: WorkerExecutor, isPretended: Bool = false
  ) {
    self.isPretended = isPretended
    (self.folder, self.remote, self.state, self.memory, self.time) = (folder, remote, state, memory, time)
    (self.options, self.executor) = (options, executor)
    let leftOut = options.leftOut
    scanner = FolderScanner(isLeftOut: Self.matching(leftOut))
  }

  /// What lies in one of these places; nil for none.
  private static func matching(_ places: [[String]]) -> (@Sendable ([String]) -> Bool)? {
    guard !places.isEmpty else { return nil }
    return { names in places.contains { place in names.starts(with: place) } }
  }

  /// Opens what a former run kept, or begins: makes the remote folder when it is missing.
  package static func open(
    folder: any SyncFolder, remote: any SyncRemote, remotePath: String, state: any SyncState, time: any TimeSource, options: SyncOptions,
    executor: WorkerExecutor
  ) async throws(SyncError) -> SyncEngine {
    let memory: SyncMemory
    var isPretended = false
    if let kept = try state.load() {
      memory = kept
    } else if let entry = try await begin(remote, remotePath, options) {
      try state.begin(root: entry.id, remotePath: remotePath)
      memory = SyncMemory(root: entry.id, remotePath: remotePath)
    } else {
      memory = SyncMemory(root: EntryID(high: 0, low: 0), remotePath: remotePath)
      isPretended = true
    }
    return SyncEngine(
      folder: folder, remote: remote, state: state, memory: memory, time: time, options: options, executor: executor,
      isPretended: isPretended)
  }

  /// The remote folder; nil when it is not there and is not to be made.
  private static func begin(
    _ remote: any SyncRemote, _ path: String, _ options: SyncOptions
  ) async throws(SyncError) -> RemoteEntry? {
    var entry = try await remote.entry(at: path)
    if entry == nil, !options.isDryRun { entry = try await remote.makeFolder(path) }
    guard let entry else { return nil }
    guard entry.kind == .folder else { throw SyncError(.unfit, "\(path) is not a folder; sync with a folder.") }
    return entry
  }

  // MARK: - Hints

  /// A folder's contents may have changed.
  package func noteChange(in path: String) { scanner.mark(path) }
  /// A writer has closed this file.
  package func noteClose(of path: String) {
    scanner.mark(FolderScanner.parent(of: path))
    if closed.count < 100_000 { closed.insert(path) }
  }
  /// Nothing is known of what changed.
  package func noteAnything() { scanner.markAll() }

  // MARK: - A round

  package func round() async throws(SyncError) -> SyncRound {
    try checkRoot()
    try await follow()
    var round = SyncRound()
    let begin = time.monotonic()
    var scan = try scanner.scan(folder, content: knownContent())
    round.scanTime = time.monotonic() - begin
    try hashUnknown(&scan, &round)
    (round.issues, round.folders, round.files) = (scan.issues, scan.folders, scan.items.count)
    for names in encrypted {
      let path = names.joined(separator: "/")
      round.issues.append(
        SyncIssue(.encrypted, path, "\(path) is an encrypted folder and is not synced with this one; sync it by itself."))
    }
    try forgetLeftOut(scan)
    let foldsCase = try folder.foldsCase()
    let cluster = memory.remote
    let synced = try foldsCase ? foldedSynced() : memory.synced
    let (local, places) = LocalMatcher.match(scan.items, synced: synced, identities: memory.identities)
    let view = visible(foldsCase ? folded(cluster, &round) : cluster, scan)
    try checkDeletions(view, local)
    let (abandoned, patience) = asides.look(at: view, now: time.monotonic())
    if let patience { wake(&round, patience) }
    let plan = SyncPlanner.plan(
      remote: view, local: local, synced: synced, naming: ConflictNaming(device: options.device, at: time.wall()), abandoned: abandoned)
    var run = SyncRun(local: local, remote: view, synced: synced, cluster: cluster, places: places, scan: scan)
    let (ready, waiting) = split(plan, run, &round)
    if options.isDryRun {
      round.planned = SyncPreview.whole(ready + waiting, local: local, remote: view)
      round.plannedLines = round.planned.filter { !$0.isBookkeeping }.map { SyncText.describe($0, run) }
      return round
    }
    if plan.isEmpty { try tidy(run) }
    round.planTime = time.monotonic() - begin
    try await carryOut(ready, &run, &round)
    round.isCutShort = !waiting.isEmpty || round.done.count < ready.count
    return round
  }

  private func checkRoot() throws(SyncError) {
    guard let identity = try folder.rootIdentity() else {
      throw SyncError(.stopped, "The local folder is not there; is its disk unplugged? Nothing was deleted anywhere.")
    }
    guard let known = memory.rootIdentity else { return try note([.rootIdentity(identity)]) }
    guard known == identity else {
      throw SyncError(
        .stopped,
        "The local folder is not the one that was synced; is something else mounted there? "
          + "Put it back, or remove this sync with “cairn sync remove” and begin anew.")
    }
  }

  private func checkDeletions(_ remote: SyncTree, _ local: SyncTree) throws(SyncError) {
    guard !options.allowsDeletions else { return }
    let gone = DeletionBreaker.gone(remote: remote, local: local, synced: memory.synced)
    for (count, place) in [(gone.local, "here"), (gone.remote, "in the cluster")]
    where DeletionBreaker.stops(synced: gone.synced, gone: count) {
      throw SyncError(
        .stopped,
        "\(count) of \(gone.synced) files were deleted \(place) at once. If that is what you want, run “cairn sync” once with "
          + "--allow-deletions; else bring them back first. Nothing was deleted on the other side.")
    }
  }

  // MARK: - The scan

  private func knownContent() -> (FolderItem, () -> String) -> SyncContent? {
    let memory = memory
    return { item, path in
      if let entry = memory.identities.entry(with: item.identity), let node = memory.synced[.entry(entry)], node.kind == .file {
        return node.content
      }
      return memory.hashes.isEmpty ? nil : memory.hashes[path()].flatMap { $0.identity == item.identity ? $0.content : nil }
    }
  }

  private func hashUnknown(_ scan: inout FolderScan, _ round: inout SyncRound) throws(SyncError) {
    var notes: [SyncChange] = []
    var stillOpen: Set<String> = []
    for place in scan.unknown {
      let path = scan.path(place)
      let item = scan.found[place]
      do throws(SyncError) {
        let left = try timeToRest(path, item.identity)
        guard left <= .zero else {
          stillOpen.insert(path)
          wake(&round, left)
          continue
        }
        let content = try folder.contentHash(path, expecting: item.identity)
        scan.items[place].content = content
        notes.append(.hash(path, SyncMemory.KnownHash(identity: item.identity, content: content)))
      } catch {
        guard error.code != .unavailable, error.code != .stopped else { throw error }
        scanner.mark(FolderScanner.parent(of: path))
        if error.code == .refused { round.issues.append(SyncIssue(.failed, path, error.message)) } else { round.wasStale = true }
        wake(&round, error.code == .refused ? .seconds(30) : options.quiet)
      }
    }
    closed.formIntersection(stillOpen)
    try note(notes)
  }

  /// How long nobody may touch a file yet before it is read. What nobody has open is as good as seen being closed.
  private func timeToRest(_ path: String, _ identity: LocalIdentity) throws(SyncError) -> Duration {
    let age = Duration.nanoseconds(abs(time.wall().microseconds * 1000 - identity.changed))
    if age < options.quietAfterClose { return options.quietAfterClose - age }
    if closed.contains(path) || age >= options.quiet { return .zero }
    return try folder.hasWriter(path) == false ? .zero : options.quiet - age
  }

  private func wake(_ round: inout SyncRound, _ duration: Duration) { round.wakeIn = min(round.wakeIn ?? duration, duration) }

  // MARK: - Folders that fold case

  private func folded(_ cluster: SyncTree, _ round: inout SyncRound) -> SyncTree {
    let (tree, renamed) = CaseFolding.adapted(cluster)
    for id in renamed {
      guard let name = cluster[id]?.place.name, let here = tree.names(of: id), let kept = here.last else { continue }
      round.issues.append(
        SyncIssue(
          .caseClash, here.joined(separator: "/"),
          "\(name) has the name of another one but for upper and lower case, which this file system does not tell apart; "
            + "here it is “\(kept)”."))
    }
    return tree
  }

  private func foldedSynced() throws(SyncError) -> SyncTree {
    let (tree, waiting) = CaseFolding.synced(memory.synced)
    try note(waiting.map { .synced($0, tree[.entry($0)], memory.identities[$0]) })
    return tree
  }

  // MARK: - What is left out

  private func leavesOut(_ scan: FolderScan) -> Bool {
    !scan.ignores.isEmpty || !options.leftOut.isEmpty || !encrypted.isEmpty || !scan.unreadable.isEmpty
  }

  private func visible(_ tree: SyncTree, _ scan: FolderScan) -> SyncTree {
    guard leavesOut(scan) else { return tree }
    var result = tree
    for id in leftOut(of: tree, scan) { result.remove(id) }
    return result
  }

  /// All that is left out, by the places that the tree says.
  private func leftOut(of tree: SyncTree, _ scan: FolderScan) -> [SyncNodeID] {
    var found: [SyncNodeID] = []
    var stack: [(id: SyncNodeID, names: [String], isOut: Bool)] = tree.children(of: tree.root).map { ($0, [], false) }
    while let (id, names, isOut) = stack.popLast() {
      guard let node = tree[id] else { continue }
      let here = names + [node.place.name]
      let isOutHere =
        isOut || scanner.leavesOut(here) || scan.isUnreadable(here)
        || scan.ignores.isIgnored(here, isFolder: node.kind == .folder)
      if isOutHere { found.append(id) }
      for child in tree.children(of: id) { stack.append((child, here, isOutHere)) }
    }
    return found
  }

  /// What is left out by now is not synced any more, on neither side deleted.
  private func forgetLeftOut(_ scan: FolderScan) throws(SyncError) {
    guard leavesOut(scan) else { return }
    try note(leftOut(of: memory.synced, scan).compactMap { id in id.entry.map { .synced($0, nil, nil) } })
  }

  // MARK: - The feed

  private static let listingAttempts = 5

  private func follow() async throws(SyncError) {
    if isPretended { return }
    var view = RemoteView(memory)
    var cursor = memory.cursor
    view.keyFolder = try await remote.keyFolder(at: view.path)
    for attempt in 0...SyncEngine.listingAttempts {
      var hasMore = true
      while hasMore {
        let page = try await remote.changes(after: cursor)
        if page.reset { view.reset() }
        for change in page.changes { try view.apply(change) }
        (cursor, hasMore) = (page.cursor, page.hasMore && !page.reset)
      }
      if !view.needsListing { break }
      guard attempt < SyncEngine.listingAttempts, let root = memory.remote.root.entry else { break }
      guard let entry = try await remote.entry(root) else { throw view.gone() }
      // What changes while it is listed comes by the feed afterwards.
      view.keyFolder = try await remote.keyFolder(at: entry.path)
      _ = try view.take(try await remote.list(entry.path), at: entry.path)
    }
    guard !view.needsListing else { throw SyncError(.unavailable, "The remote folder changes faster than it can be listed.") }
    try await leaveOutEncrypted(below: view.path, view.keyFolder)
    if view.changes.isEmpty, cursor == memory.cursor, view.path == memory.remotePath { return }
    try note(view.changes + [.followed(cursor: cursor, isListed: true, remotePath: view.path)])
  }

  /// In an encrypted folder there are no others.
  private func leaveOutEncrypted(below path: String, _ keyFolder: EntryID?) async throws(SyncError) {
    self.keyFolder = keyFolder
    guard keyFolder == nil else { return }
    let depth = path == "/" ? 0 : path.split(separator: "/").count
    let found = try await remote.encryptedFolders(below: path).map { $0.split(separator: "/").dropFirst(depth).map(String.init) }
    guard found != encrypted else { return }
    encrypted = found
    scanner.isLeftOut = Self.matching(options.leftOut + found)
    scanner.markAll()
  }

  // MARK: - Notes

  func note(_ changes: [SyncChange]) throws(SyncError) {
    guard !changes.isEmpty else { return }
    if !isPretended { try state.apply(changes) }
    memory.apply(changes)
  }

  /// Leaves out what failed a moment ago, and takes no more than one round does.
  private func split(
    _ plan: [SyncOperation], _ run: SyncRun, _ round: inout SyncRound
  ) -> (ready: [SyncOperation], waiting: [SyncOperation]) {
    let now = time.monotonic()
    var ready: [SyncOperation] = []
    var waiting: [SyncOperation] = []
    for operation in plan {
      if let retry = run.key(operation).flatMap({ retries[$0] }), retry.due > now {
        round.issues.append(retry.issue)
        wake(&round, retry.due - now)
      } else if ready.count < options.operationsPerRound || operation.isBookkeeping {
        ready.append(operation)
      } else {
        waiting.append(operation)
      }
    }
    return (ready, waiting)
  }
}
