package import BlockModel
package import CairnClient
internal import ClusterLogic
internal import ServiceAPI

/// The cluster, through the SDK.
package final class CairnRemote: SyncRemote {
  private static let parallelRequests = 4
  private static let smallFile: Int64 = 128 << 10
  private static let filesTogether = 256

  private let client: CairnClient
  /// The local folder, absolute.
  private let root: String

  private let chunking: Chunking?
  private let pieces: HashedPieces

  /// - Parameters:
  ///   - chunking: of what goes up; nil is as the remote folders say.
  ///   - pieces: of what whoever reads the local folder has hashed.
  package init(client: CairnClient, root: String, chunking: Chunking? = nil, pieces: HashedPieces = HashedPieces()) {
    (self.client, self.root, self.chunking, self.pieces) = (client, root, chunking, pieces)
  }

  private static func mapped(_ error: CairnError) -> SyncError {
    let code: SyncError.Code =
      switch error.kind {
      case .conflict, .notFound, .sourceChanged: .stale
      case .unavailable, .cancelled: .unavailable
      case .notLoggedIn, .noKey, .keyChanged, .encryption: .stopped
      case .invalidArgument, .notAllowed, .quota, .corrupted, .localFile, .unexpected: .refused
      }
    return SyncError(code, error.message)
  }

  private func answering<T>(_ body: () async throws(CairnError) -> T) async throws(SyncError) -> T {
    do { return try await body() } catch { throw Self.mapped(error) }
  }

  private static func entry(_ file: FileEntry) -> RemoteEntry {
    let kind: SyncNode.Kind =
      switch file.kind {
      case .file: .file
      case .folder: .folder
      case .symlink: .symlink
      }
    return RemoteEntry(
      id: file.id, path: file.path, kind: kind, content: SyncContent(file.contentHash ?? file.target ?? ""), executable: file.executable,
      modified: file.modifiedAt.nanoseconds, version: file.version, size: file.size, keyFolder: file.keyFolder, isLocked: file.isLocked)
  }

  // MARK: - Looking

  package func entry(at path: String) async throws(SyncError) -> RemoteEntry? {
    do throws(CairnError) { return Self.entry(try await client.syncEntry(at: path)) } catch {
      if error.kind == .notFound { return nil }
      throw Self.mapped(error)
    }
  }

  package func entry(_ id: EntryID) async throws(SyncError) -> RemoteEntry? {
    do throws(CairnError) { return Self.entry(try await client.syncEntry(id)) } catch {
      if error.kind == .notFound || error.kind == .notAllowed { return nil }
      throw Self.mapped(error)
    }
  }

  package func list(_ path: String) async throws(SyncError) -> [RemoteEntry] {
    var entries: [RemoteEntry] = []
    var cursor: String?
    repeat {
      let after = cursor
      let page = try await answering { () async throws(CairnError) in try await client.syncEntries(below: path, cursor: after) }
      entries += page.items.map(Self.entry)
      cursor = page.next
    } while cursor != nil
    return entries
  }

  package func changes(after cursor: String?) async throws(SyncError) -> RemoteChanges {
    let page = try await answering { () async throws(CairnError) in try await client.syncChanges(after: cursor) }
    let changes = page.changes.map { change in
      let action: RemoteChange.Action =
        switch change.action {
        case .created, .modified: .changed
        case .moved: .moved
        case .deleted, .left: .deleted
        case .entered: .entered
        }
      return RemoteChange(action, Self.entry(change.entry), oldPath: change.oldPath)
    }
    return RemoteChanges(changes: changes, cursor: page.cursor, hasMore: page.hasMore, reset: page.reset)
  }

  package func keyFolder(at path: String) async throws(SyncError) -> EntryID? {
    try await answering { () async throws(CairnError) in try await client.syncKeyFolder(at: path) }
  }

  package func encryptedFolders(below path: String) async throws(SyncError) -> [String] {
    try await answering { () async throws(CairnError) in try await client.syncEncryptedFolders(below: path) }
  }

  // MARK: - Carrying

  package func upload(_ files: [RemoteUpload]) async -> [Result<RemoteEntry, SyncError>] {
    let client = client
    let root = root
    let chunking = chunking
    let known = files.map(known)
    let outcomes = await together(files.map(\.size)) { places in
      await client.syncUpload(
        places.map { place in
          let file = files[place]
          return .init(
            localPath: root + "/" + file.path, remotePath: file.remotePath, baseEntry: file.entry, baseVersion: file.baseVersion,
            size: file.size, known: known[place], formerContent: file.formerContent?.text)
        }, chunking: chunking)
    }
    for (file, outcome) in zip(files, outcomes) {
      if case .success = outcome, let identity = file.identity { pieces.forget(identity) }
    }
    return outcomes
  }

  private func known(_ file: RemoteUpload) -> KnownContent? {
    guard let identity = file.identity, let content = file.content else { return nil }
    return KnownContent(
      inode: identity.inode, size: identity.size, modified: identity.modified, changed: identity.changed, contentHash: content.text,
      pieces: pieces.of(identity))
  }

  package func download(_ files: [RemoteDownload]) async -> [Result<RemoteEntry, SyncError>] {
    let client = client
    let root = root
    return await together(files.map(\.size)) { places in
      await client.syncDownload(
        places.map { place in
          .init(
            entry: files[place].entry, size: files[place].size, localPath: root + "/" + files[place].path,
            basis: files[place].basis.map { root + "/" + $0 }, basisContent: files[place].basisContent?.text,
            keyFolder: files[place].keyFolder)
        })
    }
  }

  /// Small files in batches and large ones by themselves, a few of either at a time.
  private func together(
    _ sizes: [Int64], _ transfer: @escaping @Sendable ([Int]) async -> [Result<FileEntry, CairnError>]
  ) async -> [Result<RemoteEntry, SyncError>] {
    var groups: [[Int]] = []
    var small: [Int] = []
    for (place, size) in sizes.enumerated() {
      if size > Self.smallFile { groups.append([place]) } else { small.append(place) }
    }
    for start in stride(from: 0, to: small.count, by: Self.filesTogether) {
      groups.append(Array(small[start..<min(start + Self.filesTogether, small.count)]))
    }
    let work = groups
    let outcomes = await withTaskGroup(of: (Int, [Result<FileEntry, CairnError>]).self) { group in
      var next = 0
      var done: [(Int, [Result<FileEntry, CairnError>])] = []
      func start() {
        guard next < work.count else { return }
        let index = next
        next += 1
        group.addTask { (index, await transfer(work[index])) }
      }
      for _ in 0..<Self.parallelRequests { start() }
      while let one = await group.next() {
        done.append(one)
        start()
      }
      return done
    }
    var results = [Result<RemoteEntry, SyncError>](
      repeating: .failure(SyncError(.unavailable, "The transfer did not take place.")), count: sizes.count)
    for (index, group) in outcomes {
      for (place, outcome) in zip(work[index], group) { results[place] = outcome.map(Self.entry).mapError(Self.mapped) }
    }
    return results
  }

  // MARK: - Changing

  package func move(_ entry: EntryID, to path: String) async throws(SyncError) {
    try await answering { () async throws(CairnError) in try await client.syncMove(entry, to: path) }
  }

  package func makeFolder(_ path: String) async throws(SyncError) -> RemoteEntry {
    Self.entry(try await answering { () async throws(CairnError) in try await client.syncMakeFolder(path) })
  }

  package func makeFolders(_ paths: [String]) async throws(SyncError) -> [RemoteEntry] {
    try await answering { () async throws(CairnError) in try await client.syncMakeFolders(paths) }.map(Self.entry)
  }

  package func makeSymlink(_ path: String, target: String) async throws(SyncError) -> RemoteEntry {
    Self.entry(try await answering { () async throws(CairnError) in try await client.syncMakeSymlink(path, target: target) })
  }

  package func setAttributes(_ entry: EntryID, executable: Bool, modified: Int64, ifVersion: Int64) async throws(SyncError) {
    try await answering { () async throws(CairnError) in
      try await client.syncSetAttributes(
        entry, executable: executable, modified: FileTime(nanoseconds: modified), ifVersion: ifVersion)
    }
  }

  package func delete(_ entries: [(id: EntryID, version: Int64?)]) async throws(SyncError) {
    try await answering { () async throws(CairnError) in try await client.syncDelete(entries) }
  }
}
