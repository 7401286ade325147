internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Gets files and folders as `cp -r` does: into an existing local folder under their own names, else under the name given.
struct TreeGet: Sendable {
  let gateway: GatewayConnection
  let resources: TransferResources
  let progress: TransferProgress?
  let journals: TransferJournals?
  let recursive: Bool
  /// Of a single file; nil is the newest.
  let version: Int64?

  /// A remote file and its local place.
  struct Item: Sendable {
    var entry: FileEntry
    var destination: String
  }

  /// What is to be done, in this order.
  private struct Work {
    var files: [Item] = []
    var links: [Item] = []
    /// Folders with their times, parents first; set last and from the end, because what is written into a folder changes its time.
    var folders: [(path: String, modified: FileTime)] = []
  }

  func get(_ remotes: [String], to local: String) async throws -> TreeResult {
    let tally = TreeTally(progress: progress)
    var work = Work()
    for (entry, destination) in try await resolve(remotes, local, tally) {
      if entry.kind == .folder { try await list(entry, to: destination, &work, tally) } else { try await add(entry, destination, &work) }
    }
    progress?.expect(bytes: work.files.reduce(0) { $0 + $1.entry.size }, files: work.files.count)
    try await getFiles(work.files, keepEntries: work.folders.isEmpty, tally)
    try await finish(work, tally)
    return tally.result
  }

  // MARK: Where things go

  private func resolve(
    _ remotes: [String], _ local: String, _ tally: TreeTally
  ) async throws -> [(entry: FileEntry, destination: String)] {
    guard !local.isEmpty else { throw CairnError(.invalidArgument, "The local path is empty; name a file or a folder, such as “.”.") }
    let target = LocalPath.withoutTrailingSlashes(local)
    let there = try await resources.threads.run { try FileIdentity.at(target, followingLinks: true) }
    let isFolder = there?.isDirectory ?? false
    guard remotes.count == 1 || isFolder else {
      guard there == nil else {
        throw CairnError(.conflict, "\(target) is not a folder, so only one thing can be put there; name a folder.")
      }
      throw CairnError(.notFound, "\(target) is not a folder, so only one thing can be put there; make it first with “mkdir \(target)”.")
    }
    var found: [(FileEntry, String)] = []
    for remote in remotes {
      do {
        let entry = try await gateway.entry(at: TreePut.remotePath(remote).path)
        try check(entry)
        // The root has no name: its contents are meant.
        let name = try RemotePath(entry.path).name
        let intoFolder = isFolder || (local.hasSuffix("/") && entry.kind != .folder)
        let destination = intoFolder ? name.map { LocalPath.join(target, $0.text) } ?? target : target
        try await resources.threads.run { try TreeGet.checkRoom(for: entry, at: destination) }
        found.append((entry, destination))
      } catch {
        // As cp: of several things, one that cannot be got keeps none of the others back; but nobody waits for each in turn.
        let failure = CairnError(error)
        guard remotes.count > 1, failure.kind != .unavailable else { throw failure }
        try tally.failed(remote, failure)
      }
    }
    return found
  }

  private func check(_ entry: FileEntry) throws(CairnError) {
    guard entry.kind != .folder || recursive else {
      throw CairnError(.invalidArgument, "\(entry.path) is a folder; add -r to get it with all that is in it.")
    }
    guard entry.kind == .file || version == nil else {
      throw CairnError(.invalidArgument, "\(entry.path) is not a file, and only files have revisions; leave --version away.")
    }
  }

  /// A file never takes the place of a folder, nor a folder that of a file. Blocks.
  private static func checkRoom(for entry: FileEntry, at destination: String) throws {
    guard let there = try FileIdentity.at(destination, followingLinks: entry.kind == .folder) else { return }
    guard there.isDirectory != (entry.kind == .folder) else { return }
    throw CairnError(
      .conflict,
      there.isDirectory
        ? "\(destination) is a folder and in the way of a file; move it away, or name the file itself."
        : "\(destination) is in the way of a folder and is none itself; move it away, or name another place.")
  }

  private func add(_ entry: FileEntry, _ destination: String, _ work: inout Work) async throws {
    try await resources.threads.run { try LocalFolders.makeWithParents(Directory.parent(of: destination)) }
    if entry.kind == .symlink { work.links.append(Item(entry: entry, destination: destination)) }
    if entry.kind == .file { work.files.append(Item(entry: entry, destination: destination)) }
  }

  /// Lists a folder with all below it and makes the local folders.
  private func list(_ folder: FileEntry, to destination: String, _ work: inout Work, _ tally: TreeTally) async throws {
    let root = try RemotePath(folder.path)
    let folders = LocalFolders(root: destination)
    try await resources.threads.run { try folders.make([]) }
    work.folders.append((destination, folder.modifiedAt))
    tally.folder()
    var cursor: String?
    repeat {
      let page = try await gateway.children(of: root, recursive: true, cursor: cursor)
      for entry in page.items {
        do { try await place(entry, below: root, folders, &work, tally) } catch { try tally.failed(entry.path, error) }
      }
      cursor = page.next
    } while cursor != nil
  }

  private func place(_ entry: FileEntry, below root: RemotePath, _ folders: LocalFolders, _ work: inout Work, _ tally: TreeTally)
    async throws
  {
    let path = try RemotePath(entry.path)
    guard path.isInside(root), path != root else {
      throw CairnError(.unexpected, "The gateway named \(entry.path) as something in \(root), which it is not; nothing was written.")
    }
    guard !entry.isLocked else {
      throw CairnError(.noKey, "\(entry.path) is in an encrypted folder that this device cannot open; run “cairn keys recover”.")
    }
    let names = Array(path.components.dropFirst(root.components.count))
    let destination = folders.path(names)
    switch entry.kind {
    case .folder:
      try await resources.threads.run { try folders.make(names) }
      work.folders.append((destination, entry.modifiedAt))
      tally.folder()
    case .file, .symlink:
      try await resources.threads.run {
        try folders.make(Array(names.dropLast()))
        try TreeGet.checkRoom(for: entry, at: destination)
      }
      let item = Item(entry: entry, destination: destination)
      if entry.kind == .file { work.files.append(item) } else { work.links.append(item) }
    }
  }

  // MARK: Files

  private func getFiles(_ files: [Item], keepEntries: Bool, _ tally: TreeTally) async throws {
    let isTree = files.count > 1
    let small = isTree ? files.filter { $0.entry.size <= Int64(BlockBatch.itemDataBytes) } : []
    let large = isTree ? files.filter { $0.entry.size > Int64(BlockBatch.itemDataBytes) } : files
    try await withThrowingTaskGroup(of: Void.self) { group in
      var bounded = BoundedGroup(limit: max(resources.parallel, 2))
      var batch = SmallFileGet.split(small).makeIterator()
      for file in large {
        try await bounded.add(to: &group) { try await getFile(file, keepEntries: keepEntries, tally) }
        if let next = batch.next() { try await bounded.add(to: &group) { try await getBatch(next, keepEntries: keepEntries, tally) } }
      }
      while let next = batch.next() { try await bounded.add(to: &group) { try await getBatch(next, keepEntries: keepEntries, tally) } }
      try await group.waitForAll()
    }
  }

  private func getFile(_ file: Item, keepEntries: Bool, _ tally: TreeTally) async throws {
    progress?.began(file.entry.path)
    do {
      let download = FileDownload(gateway: gateway, resources: resources, progress: progress, journals: journals)
      let entry = try await download.download(file.entry, version: version, to: file.destination)
      tally.file(bytes: entry.size)
      if keepEntries { tally.entry(Entry(entry)) }
    } catch { try tally.failed(file.entry.path, LocalPath.naming(file.destination, error)) }
  }

  private func getBatch(_ files: [Item], keepEntries: Bool, _ tally: TreeTally) async throws {
    if let first = files.first { progress?.began(first.entry.path) }
    let outcomes = try await SmallFileGet(gateway: gateway, resources: resources).get(files)
    for (file, outcome) in zip(files, outcomes) {
      switch outcome {
      case .written(let entry):
        progress?.moved(bytes: entry.size)
        tally.file(bytes: entry.size)
        if keepEntries { tally.entry(Entry(entry)) }
      case .refused(let error): try tally.failed(file.entry.path, LocalPath.naming(file.destination, error))
      case .alone: try await getFile(file, keepEntries: keepEntries, tally)
      }
    }
  }

  // MARK: What comes after the files

  private func finish(_ work: Work, _ tally: TreeTally) async throws {
    for link in work.links {
      do {
        guard let target = link.entry.target, !target.isEmpty, !target.utf8.contains(0) else {
          throw CairnError(.unexpected, "\(link.entry.path) is a link without a target; nothing was written.")
        }
        try await resources.threads.run { try LocalLink.make(link.destination, target: target, modified: link.entry.modifiedAt) }
        tally.link()
      } catch { try tally.failed(link.entry.path, error) }
    }
    let folders = work.folders
    let hasFiles = !work.files.isEmpty
    try await resources.threads.run {
      for (path, modified) in folders.reversed() {
        // A folder that is not ours keeps its time.
        try? File(path, .read).setModified(nanoseconds: modified.nanoseconds)
      }
      // The many small files were not synced one by one.
      if let top = folders.first, hasFiles { try Directory.syncFileSystem(of: top.path) }
    }
  }
}
