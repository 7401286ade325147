internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Puts files and folders as `cp -r` does: into an existing folder under their own names, else under the name given.
struct TreePut: Sendable {
  /// Files up to this size travel many at a time.
  static let smallFile: Int64 = 512 << 10

  let gateway: GatewayConnection
  let resources: TransferResources
  let progress: TransferProgress?
  let journals: TransferJournals?
  let options: UploadOptions
  let recursive: Bool
  private let chunking = FolderChunking()

  init(
    gateway: GatewayConnection, resources: TransferResources, progress: TransferProgress?, journals: TransferJournals?,
    options: UploadOptions, recursive: Bool
  ) {
    (self.gateway, self.resources, self.progress, self.journals) = (gateway, resources, progress, journals)
    (self.options, self.recursive) = (options, recursive)
  }

  func put(_ locals: [String], to remote: String) async throws -> TreeResult {
    let place = try await resolve(locals, remote)
    let tree = try await resources.threads.run {
      var tree = LocalTree()
      for local in locals {
        do { try tree.add(local, to: place.path(for: local), recursive: recursive, followsTop: !recursive) } catch {
          // As cp: of several things, one that cannot be put keeps none of the others back.
          guard locals.count > 1 else { throw error }
          tree.failures.append((local, CairnError(error)))
        }
      }
      return tree
    }
    let tally = TreeTally(progress: progress)
    for path in tree.skipped { tally.skipped(path) }
    for (path, error) in tree.failures { try tally.failed(path, error) }
    let isSized = tree.files.allSatisfy(\.identity.isRegular)
    progress?.expect(bytes: isSized ? tree.files.reduce(0) { $0 + $1.identity.size } : nil, files: tree.files.count)
    try await makeFolders(tree.folders, tally)
    try await putFiles(tree.files, keepEntries: tree.folders.isEmpty, tally)
    try await putLinks(tree.links, tally)
    return tally.result
  }

  // MARK: Where things go

  /// Where local things go.
  private struct Place: Sendable {
    var remote: RemotePath
    var isFolder: Bool
    /// The path ends with a slash.
    var meansFolder: Bool

    /// Blocks.
    func path(for local: String) throws -> RemotePath {
      let isLocalFolder = try FileIdentity.at(local, followingLinks: true)?.isDirectory ?? false
      guard isFolder || (meansFolder && !isLocalFolder), let name = LocalPath.name(of: local) else { return remote }
      return remote.appending(try EntryName(name))
    }
  }

  private func resolve(_ locals: [String], _ remote: String) async throws -> Place {
    let (path, meansFolder) = try Self.remotePath(remote)
    let there = try await gateway.entryIfThere(at: path)
    let isFolder = path == .root || there?.kind == .folder
    if !isFolder {
      guard locals.count == 1 else {
        if there != nil {
          throw CairnError(.conflict, "\(path) is not a folder, so only one thing can be put there; name a folder.")
        }
        throw CairnError(
          .notFound, "\(path) is not a folder, so only one thing can be put there; make it first with “cairn mkdir \(path)”.")
      }
      if meansFolder, there != nil { throw CairnError(.conflict, "\(path) is not a folder; leave the slash away to replace it.") }
    }
    return Place(remote: path, isFolder: isFolder, meansFolder: meansFolder)
  }

  /// A remote path that may end with a slash, which says that a folder is meant.
  static func remotePath(_ text: String) throws -> (path: RemotePath, meansFolder: Bool) {
    let meansFolder = text.hasSuffix("/")
    return (try RemotePath(meansFolder && text != "/" ? String(text.dropLast()) : text), meansFolder)
  }

  // MARK: Folders and links

  private func makeFolders(_ folders: [LocalItem], _ tally: TreeTally) async throws {
    // Level by level, so that a folder's parent is there.
    let levels = Dictionary(grouping: folders) { $0.remote.components.count }
    for depth in levels.keys.sorted() {
      try await withThrowingTaskGroup(of: Void.self) { group in
        var bounded = BoundedGroup(limit: 16)
        for folder in levels[depth] ?? [] where folder.remote != .root {
          try await bounded.add(to: &group) {
            do {
              let time = FileTime(nanoseconds: folder.identity.modifiedNanoseconds)
              _ = try await gateway.createFolder(folder.remote, parents: true, modifiedAt: time)
              tally.folder()
            } catch { try tally.failed(folder.path, error) }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  private func putLinks(_ links: [(item: LocalItem, target: String)], _ tally: TreeTally) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      var bounded = BoundedGroup(limit: 16)
      for (item, target) in links {
        try await bounded.add(to: &group) {
          do {
            try await putLink(item, target)
            tally.link()
          } catch { try tally.failed(item.path, error) }
        }
      }
      try await group.waitForAll()
    }
  }

  private func putLink(_ item: LocalItem, _ target: String) async throws {
    let time = FileTime(nanoseconds: item.identity.modifiedNanoseconds)
    do { _ = try await gateway.createSymlink(item.remote, target: target, parents: true, modifiedAt: time) } catch let problem as Problem
      where problem.kind == .alreadyExists || problem.kind == .conflict
    {
      guard let there = try await gateway.entryIfThere(at: item.remote) else { throw problem }
      if there.kind == .symlink, there.target == target { return }
      guard there.kind != .folder, options.onConflict == .overwrite else { throw problem }
      // The old one goes to the trash, so nothing is lost.
      try await gateway.delete(there.id, forever: false, recursive: false)
      _ = try await gateway.createSymlink(item.remote, target: target, parents: true, modifiedAt: time)
    }
  }

  // MARK: Files

  private func putFiles(_ files: [LocalItem], keepEntries: Bool, _ tally: TreeTally) async throws {
    let small = files.count > 1 ? files.filter { $0.identity.isRegular && $0.identity.size <= TreePut.smallFile } : []
    let large = files.count > 1 ? files.filter { !$0.identity.isRegular || $0.identity.size > TreePut.smallFile } : files
    let batches = SmallFileBatch.split(small)
    try await withThrowingTaskGroup(of: Void.self) { group in
      var bounded = BoundedGroup(limit: max(resources.parallel, 2))
      var batch = batches.makeIterator()
      // Large files and batches take turns, so that neither the network nor the gateway waits for the other.
      for file in large {
        try await bounded.add(to: &group) { try await putFile(file, keepEntries: keepEntries, tally) }
        if let next = batch.next() { try await bounded.add(to: &group) { try await putBatch(next, keepEntries: keepEntries, tally) } }
      }
      while let next = batch.next() { try await bounded.add(to: &group) { try await putBatch(next, keepEntries: keepEntries, tally) } }
      try await group.waitForAll()
    }
  }

  private func putFile(_ file: LocalItem, keepEntries: Bool, _ tally: TreeTally) async throws {
    progress?.began(file.path)
    do {
      let upload = FileUpload(gateway: gateway, resources: resources, progress: progress, journals: journals, folders: chunking)
      let entry = try await upload.upload(file.path, to: file.remote, options)
      note(entry, of: file, keepEntries, tally)
    } catch { try tally.failed(file.path, error) }
  }

  private func putBatch(_ files: [LocalItem], keepEntries: Bool, _ tally: TreeTally) async throws {
    if let first = files.first { progress?.began(first.path) }
    let batch = SmallFileBatch(gateway: gateway, resources: resources, options: options)
    for (file, result) in zip(files, try await batch.upload(files)) {
      switch result {
      case .stored(let entry):
        progress?.moved(bytes: file.identity.size)
        note(entry, of: file, keepEntries, tally)
      case .refused(let error): try tally.failed(file.path, error)
      case .alone: try await putFile(file, keepEntries: keepEntries, tally)
      }
    }
  }

  /// A conflicted copy is always named, for nobody would know where to look.
  private func note(_ entry: FileEntry, of file: LocalItem, _ keepEntries: Bool, _ tally: TreeTally) {
    tally.file(bytes: entry.size)
    let isCopy = options.onConflict == .copy && ConflictNaming.isConflictedCopy(entry.name) && entry.name != file.remote.name?.text
    if keepEntries || isCopy { tally.entry(Entry(entry)) }
  }
}
