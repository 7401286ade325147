internal import BlockModel
internal import ClusterLogic
internal import Platform

/// Carrying a plan out.
///
/// What must hold: a step is noted when it is durable and not before, so the order is always the same: do, sync the folder, note.
extension SyncEngine {
  private static let retryDelays: ClosedRange<Duration> = .seconds(5) ... .seconds(3600)
  private static let retryLimit = 10_000
  /// Bytes from which on a download looks for what is here already.
  private static let worthLooking: Int64 = 4 << 20

  func carryOut(_ operations: [SyncOperation], _ run: inout SyncRun, _ round: inout SyncRound) async throws(SyncError) {
    var uploads: [SyncOperation] = []
    var downloads: [SyncOperation] = []
    var folders: [SyncOperation] = []
    do throws(SyncError) {
      for operation in operations {
        switch operation {
        case .makeRemoteFolder: folders.append(operation)
        case .upload(let id) where try run.here(id).kind == .file: uploads.append(operation)
        case .download: downloads.append(operation)
        default: try await attempt(operation, &run, &round)
        }
      }
      try await makeRemoteFolders(folders, &run, &round)
      try settle(&run)
      try await upload(uploads, &run, &round)
      try await download(downloads, &run, &round)
    } catch {
      // What was done before the cluster went away, or the disk refused, is done.
      try settle(&run)
      throw error
    }
  }

  private func settle(_ run: inout SyncRun) throws(SyncError) {
    if run.touchedFolder { try folder.sync() }
    try note(run.notes)
    (run.notes, run.touchedFolder) = ([], false)
  }

  private func attempt(_ operation: SyncOperation, _ run: inout SyncRun, _ round: inout SyncRound) async throws(SyncError) {
    do throws(SyncError) {
      try await perform(operation, &run, &round)
      succeeded(operation, run, &round)
    } catch { try failed(operation, error, run, &round) }
  }

  private func succeeded(_ operation: SyncOperation, _ run: SyncRun, _ round: inout SyncRound) {
    round.done.append(operation)
    if let key = run.key(operation) { retries[key] = nil }
  }

  /// - Throws: what concerns more than this one operation.
  private func failed(_ operation: SyncOperation, _ error: SyncError, _ run: SyncRun, _ round: inout SyncRound) throws(SyncError) {
    switch error.code {
    case .unavailable, .stopped, .unfit: throw error
    case .stale:
      round.wasStale = true
      if let id = operation.subject, let path = try? run.path(id) {
        scanner.mark(path)
        scanner.mark(FolderScanner.parent(of: path))
      } else {
        scanner.markAll()
      }
    case .refused:
      guard let key = run.key(operation) else { throw error }
      let path = operation.subject.flatMap { id in (try? run.path(id)) ?? run.remote.names(of: id)?.joined(separator: "/") } ?? ""
      let issue = SyncIssue(.failed, path, error.message)
      round.issues.append(issue)
      let delay = retries[key].map { min($0.delay * 2, SyncEngine.retryDelays.upperBound) } ?? SyncEngine.retryDelays.lowerBound
      if retries.count < SyncEngine.retryLimit { retries[key] = Retry(due: time.monotonic() + delay, delay: delay, issue: issue) }
      round.wakeIn = min(round.wakeIn ?? delay, delay)
    }
  }

  // MARK: - In step

  /// With nothing left to do, what an interrupted run left behind is of no use any more.
  func tidy(_ run: SyncRun) throws(SyncError) {
    try removeLeftovers(run)
    guard !memory.hashes.isEmpty else { return }
    let present = Set(run.scan.items.indices.lazy.map(run.scan.path))
    try note(memory.hashes.keys.sorted().filter { !present.contains($0) }.map { .hash($0, nil) })
  }

  /// - Parameter parent: leaves alone what is in any other folder; nil for all folders.
  private func removeLeftovers(_ run: SyncRun, in parent: String? = nil) throws(SyncError) {
    for (place, item) in run.scan.found.enumerated() where ReservedName.isOwn(item.name) && !run.places.isTaken(place) {
      let path = run.scan.path(place)
      guard parent == nil || FolderScanner.parent(of: path) == parent else { continue }
      scanner.mark(FolderScanner.parent(of: path))
      do throws(SyncError) {
        if item.kind != .folder, !ReservedName.isAside(item.name) { try folder.remove(path, expecting: item) }
      } catch { if error.code == .unavailable || error.code == .stopped { throw error } }
    }
  }

  // MARK: - One operation

  private func perform(_ operation: SyncOperation, _ run: inout SyncRun, _ round: inout SyncRound) async throws(SyncError) {
    switch operation {
    case .accept(let entry): try accept(entry, &run)
    case .bind(let number, let entry):
      run.notes.append(.synced(entry, try run.here(.new(number)), run.identity(.new(number))))
    case .forget(let entry), .unbind(let entry): run.notes.append(.synced(entry, nil, nil))
    case .moveLocal(let entry, let place), .setAsideLocal(let entry, let place): try moveLocal(entry, to: place, &run)
    case .moveRemote(let entry, let place), .setAsideRemote(let entry, let place):
      try await remote.move(entry, to: run.remotePath(of: place, below: memory.remotePath))
      noteMove(entry, to: place, memory.identities[entry], &run)
    case .keepBoth(let entry, let name):
      round.conflicts.append(try rename(.entry(entry), to: name, &run).path)
      run.notes.append(.synced(entry, nil, nil))
    case .renameLocal(let id, let name):
      let renamed = try rename(id, to: name, &run)
      round.conflicts.append(renamed.path)
      if let entry = id.entry, let was = memory.synced[id] { run.notes.append(.synced(entry, was, renamed.identity)) }
    case .makeLocalFolder(let entry): try makeLocalFolder(entry, &run)
    case .makeRemoteFolder(let number):
      let node = try run.here(.new(number))
      noteMade(try await remote.makeFolder(run.remotePath(of: node.place, below: memory.remotePath)), number, node, &run)
    case .upload(let id): try await uploadLink(id, &run)
    case .setLocalAttributes(let entry): try setLocalAttributes(entry, &run)
    case .setRemoteAttributes(let entry):
      let node = try run.here(.entry(entry))
      try await remote.setAttributes(
        entry, executable: node.executable, modified: node.modified, ifVersion: run.there(entry).version)
      noteAttributes(of: node, entry, run.identity(.entry(entry)), &run)
    case .deleteLocal(let entries): try deleteLocal(entries, &run)
    case .deleteRemote(let entries): try await deleteRemote(entries, &run)
    case .download: break
    }
  }

  private func accept(_ entry: EntryID, _ run: inout SyncRun) throws(SyncError) {
    let id = SyncNodeID.entry(entry)
    let here = try run.here(id)
    guard let agreed = SyncPlanner.agreed(entry, local: here, remote: try run.there(entry), synced: run.synced) else {
      throw SyncError(.stale, "\(entry.hex) is not synced any more.")
    }
    // The identity says when the file had the content that is noted with it.
    run.notes.append(.synced(entry, agreed, here.content == agreed.content ? run.identity(id) : memory.identities[entry]))
  }

  private func noteMove(_ entry: EntryID, to place: SyncPlace, _ identity: LocalIdentity?, _ run: inout SyncRun) {
    guard var node = memory.synced[.entry(entry)] else { return }
    node.place = place
    run.notes.append(.synced(entry, node, identity))
  }

  private func noteAttributes(of node: SyncNode, _ entry: EntryID, _ identity: LocalIdentity?, _ run: inout SyncRun) {
    guard var was = memory.synced[.entry(entry)] else { return }
    (was.executable, was.modified) = (node.executable, node.modified)
    run.notes.append(.synced(entry, was, identity))
  }

  // MARK: - Here

  /// - Returns: what is to be noted as the identity of something that was renamed: only its time of change is another.
  private func renamed(_ path: String, from known: LocalIdentity?, seen: LocalIdentity?) throws(SyncError) -> LocalIdentity? {
    guard let known, known == seen, let now = try folder.item(path)?.identity, now.inode == known.inode, now.size == known.size,
      now.modified == known.modified
    else { return known }
    return now
  }

  private func move(_ path: String, to target: String, _ run: inout SyncRun) throws(SyncError) {
    scanner.mark(FolderScanner.parent(of: path))
    scanner.mark(FolderScanner.parent(of: target))
    run.touchedFolder = true
    try folder.move(path, to: target)
  }

  private func moveLocal(_ entry: EntryID, to place: SyncPlace, _ run: inout SyncRun) throws(SyncError) {
    let target = try run.path(of: place)
    try move(try run.path(.entry(entry)), to: target, &run)
    let identity = try renamed(target, from: memory.identities[entry], seen: run.identity(.entry(entry)))
    noteMove(entry, to: place, identity, &run)
  }

  private func rename(
    _ id: SyncNodeID, to name: String, _ run: inout SyncRun
  ) throws(SyncError) -> (path: String, identity: LocalIdentity?) {
    let path = try run.path(id)
    let target = FolderScanner.join(FolderScanner.parent(of: path), name)
    try move(path, to: target, &run)
    let known = id.entry.flatMap { memory.identities[$0] }
    return (target, try renamed(target, from: known, seen: run.identity(id)))
  }

  private func makeLocalFolder(_ entry: EntryID, _ run: inout SyncRun) throws(SyncError) {
    let node = try run.there(entry)
    let path = try run.path(of: node.place)
    scanner.mark(FolderScanner.parent(of: path))
    run.touchedFolder = true
    try folder.makeFolder(path)
    run.notes.append(.synced(entry, node, try folder.item(path)?.identity))
  }

  private func setLocalAttributes(_ entry: EntryID, _ run: inout SyncRun) throws(SyncError) {
    let node = try run.there(entry)
    let path = try run.path(.entry(entry))
    let item = try run.item(.entry(entry))
    scanner.mark(FolderScanner.parent(of: path))
    run.touchedFolder = true
    try folder.setAttributes(path, executable: node.executable, modified: node.modified, expecting: item)
    var identity = try folder.item(path)?.identity
    // Anything but the time that was set may mean other bytes.
    if identity?.inode != item.identity.inode || identity?.size != item.identity.size || identity?.modified != node.modified {
      identity = nil
    }
    noteAttributes(of: node, entry, identity, &run)
  }

  private func deleteLocal(_ entries: [EntryID], _ run: inout SyncRun) throws(SyncError) {
    for entry in entries {
      let path = try run.path(.entry(entry))
      scanner.mark(FolderScanner.parent(of: path))
      run.touchedFolder = true
      if var item = try folder.item(path) {
        // A folder changes while what is in it is removed; that it is empty is all it takes.
        let expected = try run.item(.entry(entry))
        if expected.kind == .folder {
          // What an interrupted run left in it would keep it there for ever.
          try removeLeftovers(run, in: path)
          item = try folder.item(path) ?? item
        }
        try folder.remove(path, expecting: expected.kind == .folder ? item : expected)
      }
      run.notes.append(.synced(entry, nil, nil))
    }
  }

  // MARK: - There

  private static let foldersAtOnce = 500

  /// Many in a request; one by one where that does not work, to learn which of them is in the way.
  private func makeRemoteFolders(_ operations: [SyncOperation], _ run: inout SyncRun, _ round: inout SyncRound) async throws(SyncError) {
    var start = 0
    while start < operations.count {
      let part = operations[start..<min(start + SyncEngine.foldersAtOnce, operations.count)]
      start += part.count
      if part.count > 1, try await makeTogether(part, &run, &round) { continue }
      for operation in part { try await attempt(operation, &run, &round) }
    }
  }

  /// - Returns: whether they are made; none of them is otherwise.
  private func makeTogether(
    _ operations: ArraySlice<SyncOperation>, _ run: inout SyncRun, _ round: inout SyncRound
  ) async throws(SyncError) -> Bool {
    var folders: [(number: Int, node: SyncNode)] = []
    var paths: [String] = []
    let made: [RemoteEntry]
    do throws(SyncError) {
      for operation in operations {
        guard case .makeRemoteFolder(let number) = operation else { return false }
        let node = try run.here(.new(number))
        folders.append((number, node))
        paths.append(try run.remotePath(of: node.place, below: memory.remotePath))
      }
      made = try await remote.makeFolders(paths)
    } catch {
      guard error.code == .stale || error.code == .refused else { throw error }
      return false
    }
    for (folder, entry) in zip(folders, made) { noteMade(entry, folder.number, folder.node, &run) }
    for operation in operations { succeeded(operation, run, &round) }
    return true
  }

  private func noteMade(_ folder: RemoteEntry, _ number: Int, _ node: SyncNode, _ run: inout SyncRun) {
    run.notes.append(.synced(folder.id, folder.node(at: node.place), run.identity(.new(number))))
  }

  private func uploadLink(_ id: SyncNodeID, _ run: inout SyncRun) async throws(SyncError) {
    let node = try run.here(id)
    guard case .new = id, let target = node.content?.text else { throw SyncError(.stale, "A link is made anew and not changed.") }
    let made = try await remote.makeSymlink(run.remotePath(of: node.place, below: memory.remotePath), target: target)
    run.notes.append(.synced(made.id, made.node(at: node.place), run.identity(id)))
  }

  private static let deletionsAtOnce = 500

  private func deleteRemote(_ entries: [EntryID], _ run: inout SyncRun) async throws(SyncError) {
    var start = 0
    while start < entries.count {
      let part = entries[start..<min(start + SyncEngine.deletionsAtOnce, entries.count)]
      var list: [(id: EntryID, version: Int64?)] = []
      for entry in part {
        let node = try run.there(entry)
        list.append((entry, node.kind == .file ? node.version : nil))
      }
      try await remote.delete(list)
      for entry in part { run.notes.append(.synced(entry, nil, nil)) }
      start += part.count
    }
  }

  // MARK: - Files

  private func upload(_ operations: [SyncOperation], _ run: inout SyncRun, _ round: inout SyncRound) async throws(SyncError) {
    var taken: [(operation: SyncOperation, id: SyncNodeID, path: String)] = []
    var files: [RemoteUpload] = []
    var bytes: Int64 = 0
    for operation in operations {
      guard case .upload(let id) = operation, files.isEmpty || bytes < options.bytesPerRound else { continue }
      do throws(SyncError) {
        let node = try run.here(id)
        let there = id.entry.flatMap { run.remote[.entry($0)] == nil ? nil : run.cluster[.entry($0)] }
        let path = try run.path(id)
        files.append(
          RemoteUpload(
            path: path, remotePath: try run.remotePath(of: there?.place ?? node.place, below: memory.remotePath),
            entry: there == nil ? nil : id.entry, baseVersion: there?.version ?? 0, size: node.size, identity: run.identity(id),
            content: node.content, formerContent: there?.content))
        taken.append((operation, id, path))
        bytes += node.size
      } catch { try failed(operation, error, run, &round) }
    }
    guard !files.isEmpty else { return }
    try note(files.compactMap(detached))
    var gone: SyncError?
    for (place, outcome) in await remote.upload(files).enumerated() {
      let item = taken[place]
      do throws(SyncError) {
        let entry = try outcome.get()
        // Another file with the same content came there: nothing was written, and the next plan sees what is where.
        if let meant = files[place].entry, meant != entry.id { throw SyncError(.stale, "\(entry.path) is another file by now.") }
        noteUpload(item.id, item.path, entry, &run)
        round.bytesUp += run.local[item.id]?.size ?? 0
        succeeded(item.operation, run, &round)
      } catch {
        if error.code == .unavailable || error.code == .stopped {
          gone = gone ?? error
        } else {
          try failed(item.operation, error, run, &round)
        }
      }
    }
    try settle(&run)
    if let gone { throw gone }
  }

  /// A file that took the place of an entry's former one is that entry's by its place alone. The former one may be elsewhere. It must
  /// not be taken for the entry if this upload takes effect and nobody here hears of it: it would look unchanged, and be overwritten.
  private func detached(_ file: RemoteUpload) -> SyncChange? {
    guard let entry = file.entry, let was = memory.synced[.entry(entry)], let former = memory.identities[entry],
      former.inode != file.identity?.inode
    else { return nil }
    return .synced(entry, was, nil)
  }

  private func noteUpload(_ id: SyncNodeID, _ path: String, _ entry: RemoteEntry, _ run: inout SyncRun) {
    guard let here = run.local[id] else { return }
    // What arrived is what was hashed, or the file changed in between; then nothing is known of what it holds now.
    let identity = entry.content == here.content ? run.identity(id) : nil
    var node = entry.node(at: here.place)
    (node.executable, node.modified) = (here.executable, here.modified)
    // An answer that has other attributes is seen as somebody's change of them, and comes back by the feed.
    if let known = id.entry, let was = memory.synced[.entry(known)] { node.place = was.place }
    run.notes.append(.synced(entry.id, node, identity))
    run.notes.append(.hash(path, nil))
  }

  private func download(_ operations: [SyncOperation], _ run: inout SyncRun, _ round: inout SyncRound) async throws(SyncError) {
    var taken: [(operation: SyncOperation, entry: EntryID, part: String, target: String)] = []
    var files: [RemoteDownload] = []
    var copies: [SyncContent: String]?
    for operation in operations {
      guard case .download(let entry) = operation else { continue }
      do throws(SyncError) {
        let node = try run.there(entry)
        let target = try run.local[.entry(entry)] == nil ? run.path(of: node.place) : run.path(.entry(entry))
        let part = FolderScanner.join(
          FolderScanner.parent(of: target), "\(ReservedName.prefix)\(entry.hex)-\(node.version)")
        if node.kind == .symlink {
          try placeLink(entry, node, part, target, &run)
          succeeded(operation, run, &round)
          continue
        }
        if copies == nil, node.size >= SyncEngine.worthLooking { copies = contents(run) }
        let replaced = run.local[.entry(entry)]
        let basis = replaced != nil ? target : node.content.flatMap { copies?[$0] }
        files.append(
          RemoteDownload(
            entry: entry, size: node.size, path: part, basis: basis,
            basisContent: replaced?.content ?? (basis == nil ? nil : node.content), keyFolder: keyFolder))
        taken.append((operation, entry, part, target))
      } catch { try failed(operation, error, run, &round) }
    }
    guard !files.isEmpty else { return try settle(&run) }
    let outcomes = await remote.download(files)
    // Bytes first, names second.
    try folder.sync()
    var gone: SyncError?
    for (item, outcome) in zip(taken, outcomes) {
      do throws(SyncError) {
        let entry = try outcome.get()
        try place(entry, item.part, item.target, &run)
        round.bytesDown += entry.size
        succeeded(item.operation, run, &round)
      } catch {
        if error.code == .unavailable || error.code == .stopped {
          gone = gone ?? error
        } else {
          try failed(item.operation, error, run, &round)
        }
      }
    }
    try settle(&run)
    if let gone { throw gone }
  }

  /// A local file for each content that large files have. It is only where a download looks first: each block is verified.
  private func contents(_ run: SyncRun) -> [SyncContent: String] {
    var paths: [SyncContent: String] = [:]
    for id in run.local.sortedIDs {
      guard let node = run.local[id], node.kind == .file, node.size >= SyncEngine.worthLooking, let content = node.content,
        paths[content] == nil
      else { continue }
      paths[content] = try? run.path(id)
    }
    return paths
  }

  private func place(_ entry: RemoteEntry, _ part: String, _ target: String, _ run: inout SyncRun) throws(SyncError) {
    let id = SyncNodeID.entry(entry.id)
    guard let written = try folder.item(part) else { throw SyncError(.stale, "The download \(part) is gone.") }
    let replaced = run.local[id] == nil ? nil : try run.item(id)
    scanner.mark(FolderScanner.parent(of: target))
    run.touchedFolder = true
    try folder.place(part, at: target, expecting: replaced)
    let place: SyncPlace
    if let was = memory.synced[id] { place = was.place } else { place = try run.there(entry.id).place }
    run.notes.append(.synced(entry.id, entry.node(at: place), try renamed(target, from: written.identity, seen: written.identity)))
  }

  private func placeLink(
    _ entry: EntryID, _ node: SyncNode, _ part: String, _ target: String, _ run: inout SyncRun
  ) throws(SyncError) {
    guard let text = node.content?.text, !text.isEmpty else { throw SyncError(.refused, "\(target) is a link without a target.") }
    if let left = try folder.item(part) { try folder.remove(part, expecting: left) }
    try folder.makeSymlink(part, target: text)
    let replaced = run.local[.entry(entry)] == nil ? nil : try run.item(.entry(entry))
    scanner.mark(FolderScanner.parent(of: target))
    run.touchedFolder = true
    try folder.place(part, at: target, expecting: replaced)
    let place = memory.synced[.entry(entry)]?.place ?? node.place
    run.notes.append(.synced(entry, SyncNode(place, .symlink, content: node.content), try folder.item(target)?.identity))
  }
}
