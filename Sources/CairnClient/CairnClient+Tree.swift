internal import BlockModel
internal import ServiceAPI

/// The tree of files and folders. Paths are absolute, such as `/docs/a.txt`; `.`, `..` and empty components are refused.
extension CairnClient {
  /// What is at a path.
  public func entry(at path: String) async throws(CairnError) -> Entry {
    try await answering { Entry(try await gateway.entry(at: RemotePath(path))) }
  }

  /// What is in a folder, a page at a time, in the order of paths.
  ///
  /// - Parameters:
  ///   - recursive: with all below it.
  ///   - cursor: from the page before; nil begins.
  public func entries(
    in path: String, recursive: Bool = false, cursor: String? = nil, limit: Int = 1000
  ) async throws(CairnError) -> (entries: [Entry], next: String?) {
    try await answering {
      let page = try await gateway.children(of: RemotePath(path), recursive: recursive, cursor: cursor, limit: limit)
      return (page.items.map(Entry.init), page.next)
    }
  }

  /// - Parameters:
  ///   - parents: makes missing folders above, and takes one that is there already as success.
  ///   - chunking: how files in it are cut whose uploads do not say; nil is as the folder above says. One that is there keeps its own.
  @discardableResult
  public func makeFolder(
    _ path: String, parents: Bool = false, modifiedAt: Timestamp? = nil, chunking: Chunking? = nil
  ) async throws(CairnError) -> Entry {
    try await answering {
      let time = modifiedAt.map { FileTime(nanoseconds: $0.nanoseconds) }
      return Entry(
        try await gateway.createFolder(
          RemotePath(path), parents: parents, modifiedAt: time, chunker: chunking.map { FolderChunker($0.wire) }))
    }
  }

  /// Says how files are cut that go into a folder, or into those below it that do not say themselves. What is there stays as it is until
  /// its next revision.
  ///
  /// - Parameter chunking: nil is as the folder above says, and for the root every 4 MiB.
  @discardableResult
  public func setChunking(of path: String, to chunking: Chunking?) async throws(CairnError) -> Entry {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      guard entry.kind == .folder else {
        throw CairnError(.invalidArgument, "\(entry.path) is not a folder, and only folders say how the files in them are cut.")
      }
      return Entry(try await gateway.update(entry.id, chunker: FolderChunker(chunking?.wire)))
    }
  }

  /// - Parameter target: kept as it is and never followed.
  @discardableResult
  public func makeSymlink(_ path: String, target: String, parents: Bool = false) async throws(CairnError) -> Entry {
    try await answering { Entry(try await gateway.createSymlink(RemotePath(path), target: target, parents: parents, modifiedAt: nil)) }
  }

  /// Moves or renames; into `destination` when that is a folder.
  ///
  /// - Parameter replacing: a file or link that is there goes to the trash, in the same transaction; folders are never replaced.
  @discardableResult
  public func move(_ source: String, to destination: String, replacing: Bool = false) async throws(CairnError) -> Entry {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(source))
      let target = try await place(of: entry, at: destination)
      try await checkBorder(entry, to: target)
      if replacing, let there = try await replaceable(by: entry, at: target) {
        return Entry(try await gateway.replace(there, at: target, by: ChangeSetItem(.update, id: entry.id)))
      }
      let moved = try await gateway.update(entry.id, path: target)
      try await gateway.folders.moved(from: RemotePath(entry.path), to: target, gateway)
      return Entry(moved)
    }
  }

  /// Copies without moving bytes; into `destination` when that is a folder.
  ///
  /// - Parameter replacing: a file's copy becomes the next version of a file that is there, and what was there is among its revisions;
  ///   a link that is there, or that is copied onto a file, sends what was there to the trash; folders are never replaced.
  @discardableResult
  public func copy(_ source: String, to destination: String, replacing: Bool = false) async throws(CairnError) -> Entry {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(source))
      let target = try await place(of: entry, at: destination)
      try await checkBorder(entry, to: target)
      guard replacing, let there = try await replaceable(by: entry, at: target) else {
        return Entry(try await gateway.copy(entry.id, to: target))
      }
      if entry.kind == .file, there.kind == .file {
        return Entry(try await gateway.copy(entry.id, to: target, replaces: there.version))
      }
      return Entry(try await gateway.replace(there, at: target, by: ChangeSetItem(.copy, id: entry.id)))
    }
  }

  /// What is at a path and may make room for an entry: another one, and no folder for no folder.
  private func replaceable(by entry: FileEntry, at path: RemotePath) async throws -> FileEntry? {
    guard entry.kind != .folder, let there = try await gateway.entryIfThere(at: path) else { return nil }
    return there.kind == .folder || there.id == entry.id ? nil : there
  }

  /// Before anything is asked for: the cluster would refuse it, but by then it would have seen a plain name.
  func checkBorder(_ entry: FileEntry, to target: RemotePath) async throws {
    let around = try await gateway.view().root(around: target)?.id
    let own = entry.keyFolder == entry.id ? nil : entry.keyFolder
    guard around == own else { throw FolderView.acrossBorder }
  }

  private func place(of entry: FileEntry, at destination: String) async throws -> RemotePath {
    let (path, meansFolder) = try TreePut.remotePath(destination)
    guard let name = try RemotePath(entry.path).name else {
      throw CairnError(.invalidArgument, "The root can be neither moved nor copied.")
    }
    if path == .root { return path.appending(name) }
    let there = try await gateway.entryIfThere(at: path)
    if there?.kind == .folder, there?.id != entry.id { return path.appending(name) }
    if meansFolder, there == nil, entry.kind != .folder {
      throw CairnError(.notFound, "\(path) is not there; make it first with “cairn mkdir \(path)”.")
    }
    return path
  }

  /// To the trash.
  ///
  /// - Parameters:
  ///   - forever: not to the trash but away; refused when somebody changes it at that moment.
  ///   - recursive: folders with what is in them; without it only empty ones go.
  public func remove(_ path: String, forever: Bool = false, recursive: Bool = false) async throws(CairnError) {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      guard entry.path != "/" else { throw CairnError(.invalidArgument, "The root cannot be removed; remove what is in it.") }
      try await gateway.delete(entry.id, forever: forever, recursive: recursive, ifVersion: forever ? entry.version : nil)
      try await gateway.folders.removed(RemotePath(path), gateway)
    }
  }

  /// The blocks that a file consists of, in their order, and where their copies are. A block that comes again is listed again.
  ///
  /// - Parameter version: of the file; nil is the newest.
  public func blocks(of path: String, version: Int64? = nil) async throws(CairnError) -> [BlockPlacement] {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      guard entry.kind == .file else { throw CairnError(.invalidArgument, "\(entry.path) is not a file, and only files have blocks.") }
      var walk = PlanWalk(gateway: gateway, plan: try await gateway.downloadPlan(entry.id, in: entry.keyFolder, version: version))
      var blocks: [BlockPlacement] = []
      while let step = try await walk.next() { blocks.append(BlockPlacement(step.block)) }
      return blocks
    }
  }

  /// A file's revisions, newest first.
  public func revisions(of path: String, limit: Int = 100) async throws(CairnError) -> [Revision] {
    try await answering {
      let entry = try await gateway.entry(at: RemotePath(path))
      guard entry.kind == .file else { throw CairnError(.invalidArgument, "\(entry.path) is not a file, and only files have revisions.") }
      var revisions: [Revision] = []
      var cursor: String?
      repeat {
        let page = try await gateway.versions(of: entry, limit: min(limit - revisions.count, 1000), cursor: cursor)
        revisions += page.items.map(Revision.init)
        cursor = page.items.isEmpty ? nil : page.next
      } while cursor != nil && revisions.count < limit
      return revisions
    }
  }
}
