package import BlockModel
internal import HTTPTransport
internal import Platform
package import ServiceAPI

/// What a sync agent needs beyond what everybody uses: entries by their ids, conditions on versions, and many small files at once.
extension CairnClient {
  /// A local file on its way up.
  package struct SyncUpload: Sendable {
    package var localPath: String
    package var remotePath: String
    /// What it is to be a version of; nil with a `baseVersion` of 0.
    package var baseEntry: EntryID?
    /// The version that it replaces; 0 when nothing may be there.
    package var baseVersion: Int64
    package var size: Int64
    package var known: KnownContent?
    /// The content hash of the version that it replaces.
    package var formerContent: String?

    package init(
      localPath: String, remotePath: String, baseEntry: EntryID?, baseVersion: Int64, size: Int64, known: KnownContent? = nil,
      formerContent: String? = nil
    ) {
      (self.known, self.formerContent) = (known, formerContent)
      self.localPath = localPath
      self.remotePath = remotePath
      self.baseEntry = baseEntry
      self.baseVersion = baseVersion
      self.size = size
    }
  }

  /// A file on its way down.
  package struct SyncDownload: Sendable {
    package var entry: EntryID
    package var size: Int64
    /// Nothing may be there but what an earlier attempt left.
    package var localPath: String
    /// A local file that may have much in common with it.
    package var basis: String?
    /// The content hash that it had when it was last looked at.
    package var basisContent: String?
    /// The encrypted folder that it is in.
    package var keyFolder: EntryID?

    package init(
      entry: EntryID, size: Int64, localPath: String, basis: String? = nil, basisContent: String? = nil, keyFolder: EntryID? = nil
    ) {
      self.keyFolder = keyFolder
      self.basisContent = basisContent
      self.entry = entry
      self.size = size
      self.localPath = localPath
      self.basis = basis
    }
  }

  /// Uploads files, small ones together.
  ///
  /// - Parameter chunking: nil is as their folders say.
  /// - Returns: one outcome a file, in their order.
  package func syncUpload(_ files: [SyncUpload], chunking: Chunking? = nil) async -> [Result<FileEntry, CairnError>] {
    var outcomes = [Result<FileEntry, CairnError>?](repeating: nil, count: files.count)
    let small = files.indices.filter { files[$0].size <= TreePut.smallFile }
    if small.count > 1 {
      do {
        for (index, outcome) in zip(small, try await uploadTogether(small.map { files[$0] })) { outcomes[index] = outcome }
      } catch {
        for index in small { outcomes[index] = .failure(CairnError(error)) }
      }
    }
    let upload = FileUpload(gateway: gateway, resources: resources, progress: nil, journals: journals)
    for index in files.indices where outcomes[index] == nil { outcomes[index] = await self.upload(files[index], by: upload, chunking) }
    return outcomes.compactMap { $0 }
  }

  /// Nil for those that have to be uploaded by themselves.
  private func uploadTogether(_ files: [SyncUpload]) async throws -> [Result<FileEntry, CairnError>?] {
    var items: [LocalItem] = []
    var places: [Int] = []
    for (place, file) in files.enumerated() {
      let path = try RemotePath(file.remotePath)
      let identity = try await resources.threads.run { try FileIdentity.at(file.localPath, followingLinks: false) }
      guard let identity, identity.isRegular, identity.size <= TreePut.smallFile else { continue }
      items.append(
        LocalItem(path: file.localPath, remote: path, identity: identity, baseEntry: file.baseEntry, baseVersion: file.baseVersion))
      places.append(place)
    }
    var outcomes = [Result<FileEntry, CairnError>?](repeating: nil, count: files.count)
    let batch = SmallFileBatch(
      gateway: gateway, resources: resources, options: UploadOptions(onConflict: .fail, parents: false))
    var start = 0
    for part in SmallFileBatch.split(items) {
      for (offset, result) in try await batch.upload(part).enumerated() {
        switch result {
        case .stored(let entry): outcomes[places[start + offset]] = .success(entry)
        case .refused(let error): outcomes[places[start + offset]] = .failure(CairnError(error))
        case .alone: break
        }
      }
      start += part.count
    }
    return outcomes
  }

  private func upload(
    _ file: SyncUpload, by upload: FileUpload, _ chunking: Chunking?
  ) async -> Result<FileEntry, CairnError> {
    do {
      var options = UploadOptions(onConflict: .fail, baseVersion: file.baseVersion, chunking: chunking, parents: false)
      (options.baseEntry, options.known, options.formerContent) = (file.baseEntry, file.known, file.formerContent)
      return .success(try await upload.upload(file.localPath, to: RemotePath(file.remotePath), options))
    } catch { return .failure(CairnError(error)) }
  }

  /// Downloads the newest versions of files, small ones together. The bytes are verified; they are durable once the file system was synced.
  ///
  /// - Returns: one outcome a file, in their order: what was downloaded.
  package func syncDownload(_ files: [SyncDownload]) async -> [Result<FileEntry, CairnError>] {
    var outcomes = [Result<FileEntry, CairnError>?](repeating: nil, count: files.count)
    let small = files.indices.filter { files[$0].size <= Int64(BlockBatch.itemDataBytes) }
    if small.count > 1 {
      do {
        for (index, outcome) in zip(small, try await downloadTogether(small.map { files[$0] })) { outcomes[index] = outcome }
      } catch {
        for index in small { outcomes[index] = .failure(CairnError(error)) }
      }
    }
    for index in files.indices where outcomes[index] == nil {
      let file = files[index]
      do {
        let plan = try await gateway.downloadPlan(file.entry, in: file.keyFolder, version: nil)
        let download = FileDownload(
          gateway: gateway, resources: resources, progress: nil, journals: journals, basis: file.basis, basisContent: file.basisContent,
          remembersCuts: true)
        try await download.download(plan, to: file.localPath)
        outcomes[index] = .success(plan.file)
      } catch { outcomes[index] = .failure(CairnError(error)) }
    }
    return outcomes.compactMap { $0 }
  }

  private func downloadTogether(_ files: [SyncDownload]) async throws -> [Result<FileEntry, CairnError>?] {
    let items = files.map { file in
      // Only id, size and the like are looked at; a hash that nothing has says that whatever is there already does not count.
      TreeGet.Item(
        entry: FileEntry(
          id: file.entry, path: "/", name: "", kind: .file, size: file.size, contentHash: nil, version: 0, mimeType: nil,
          modifiedAt: FileTime(nanoseconds: 0), executable: false, target: nil, owner: "", role: .read, keyFolder: file.keyFolder),
        destination: file.localPath)
    }
    var outcomes: [Result<FileEntry, CairnError>?] = []
    for part in SmallFileGet.split(items) {
      for outcome in try await SmallFileGet(gateway: gateway, resources: resources).get(part) {
        switch outcome {
        case .written(let entry): outcomes.append(.success(entry))
        case .refused(let error): outcomes.append(.failure(CairnError(error)))
        case .alone: outcomes.append(nil)
        }
      }
    }
    return outcomes
  }

  // MARK: The tree

  /// - Throws: `conflict` when something has that path, `notFound` when the folder above or the entry is not there.
  package func syncMove(_ entry: EntryID, to path: String) async throws(CairnError) {
    try await answering { _ = try await gateway.update(entry, path: RemotePath(path)) }
  }

  package func syncMakeFolder(_ path: String) async throws(CairnError) -> FileEntry {
    try await answering { try await gateway.createFolder(RemotePath(path), parents: false, modifiedAt: nil) }
  }

  /// All or nothing, in order.
  ///
  /// - Parameter paths: at most `ChangeSetRequest.limit`.
  package func syncMakeFolders(_ paths: [String]) async throws(CairnError) -> [FileEntry] {
    try await answering { try await gateway.createFolders(paths.map { try RemotePath($0) }) }
  }

  package func syncMakeSymlink(_ path: String, target: String) async throws(CairnError) -> FileEntry {
    try await answering { try await gateway.createSymlink(RemotePath(path), target: target, parents: false, modifiedAt: nil) }
  }

  package func syncSetAttributes(
    _ entry: EntryID, executable: Bool, modified: FileTime, ifVersion: Int64
  ) async throws(CairnError) {
    try await answering { _ = try await gateway.update(entry, modifiedAt: modified, executable: executable, ifVersion: ifVersion) }
  }

  /// All or nothing, in order: files at these very versions, folders (version nil) only when they are empty by then.
  ///
  /// - Parameter entries: at most `ChangeSetRequest.limit`.
  package func syncDelete(_ entries: [(id: EntryID, version: Int64?)]) async throws(CairnError) {
    try await answering {
      _ = try await gateway.apply(
        ChangeSetRequest(changes: entries.map { ChangeSetItem(.delete, id: $0.id, ifVersion: $0.version, recursive: false) }))
    }
  }

  package func syncEntry(at path: String) async throws(CairnError) -> FileEntry {
    try await answering { try await gateway.entry(at: RemotePath(path)) }
  }

  /// Wherever it is now.
  package func syncEntry(_ id: EntryID) async throws(CairnError) -> FileEntry {
    try await answering { try await gateway.entry(id) }
  }

  /// The encrypted folder that a path is or lies in.
  /// - Throws: `noKey` when this device cannot open it.
  package func syncKeyFolder(at path: String) async throws(CairnError) -> EntryID? {
    try await answering {
      let root = try await gateway.view().root(over: RemotePath(path))
      _ = try root?.cipher.get()
      return root?.id
    }
  }

  package func syncEncryptedFolders(below path: String) async throws(CairnError) -> [String] {
    try await answering {
      let path = try RemotePath(path)
      return try await gateway.view().roots.map(\.path).filter { $0 != path && $0.isInside(path) }.map(\.text).sorted()
    }
  }

  package func syncEntries(below path: String, cursor: String?) async throws(CairnError) -> Page<FileEntry> {
    try await answering { try await gateway.children(of: RemotePath(path), recursive: true, cursor: cursor) }
  }

  /// - Parameter wait: seconds to wait for a change when there is none.
  package func syncChanges(after cursor: String?, wait: Int = 0) async throws(CairnError) -> ChangesPage {
    try await answering { try await gateway.changes(cursor: cursor, limit: 1000, wait: wait) }
  }
}
