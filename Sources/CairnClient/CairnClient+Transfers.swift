internal import BlockModel
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Transfers. An interrupted one goes on when it is started again, if the client has a state directory.
extension CairnClient {
  /// Uploads one file; a pipe or device is read until it ends.
  ///
  /// The file is read once. If it changes meanwhile, it is read once more; if it keeps changing, the upload fails with `sourceChanged`.
  @discardableResult
  public func upload(
    _ localPath: String, to remotePath: String, options: UploadOptions = UploadOptions(), progress: TransferProgress? = nil
  ) async throws(CairnError) -> Entry {
    try await answering {
      let upload = FileUpload(gateway: gateway, resources: resources, progress: progress, journals: journals)
      let path = try RemotePath(remotePath)
      guard path != .root else { throw CairnError(.invalidArgument, "“/” is a folder; name the file that is to be made.") }
      return Entry(try await upload.upload(localPath, to: path, options))
    }
  }

  /// Uploads standard input until it ends. It cannot go on after an interruption.
  @discardableResult
  public func uploadStandardInput(
    to remotePath: String, options: UploadOptions = UploadOptions(), progress: TransferProgress? = nil
  ) async throws(CairnError) -> Entry {
    try await answering {
      let upload = FileUpload(gateway: gateway, resources: resources, progress: progress, journals: nil)
      return Entry(try await upload.upload(streamAt: "/dev/stdin", to: RemotePath(remotePath), options))
    }
  }

  /// Downloads one file; `localPath` is the old file or the whole new one, never half of it.
  ///
  /// - Parameter version: of the file; nil is the newest.
  @discardableResult
  public func download(
    _ remotePath: String, to localPath: String, version: Int64? = nil, progress: TransferProgress? = nil
  ) async throws(CairnError) -> Entry {
    try await answering {
      let entry = try await file(at: remotePath)
      progress?.expect(bytes: entry.size, files: 1)
      let download = FileDownload(gateway: gateway, resources: resources, progress: progress, journals: journals)
      return Entry(try await download.download(entry, version: version, to: localPath))
    }
  }

  /// Reads a file, or a range of it, in order.
  ///
  /// - Parameters:
  ///   - range: bytes, cut to the file's end; nil is all of it. One that begins beyond the end is refused, with the status 416.
  ///   - consume: gets verified bytes piece by piece, on a thread that may block. They are valid inside the call only.
  @discardableResult
  public func read(
    _ remotePath: String, range: Range<Int64>? = nil, version: Int64? = nil, progress: TransferProgress? = nil,
    consume: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void
  ) async throws(CairnError) -> Entry {
    try await answering {
      let entry = try await file(at: remotePath)
      let plan = try await gateway.downloadPlan(entry.id, in: entry.keyFolder, version: version)
      if let range { try check(range, of: plan) }
      try await RangeRead(gateway: gateway, resources: resources, progress: progress).read(plan, range: range, consume: consume)
      return Entry(plan.file)
    }
  }

  /// Downloads a range of a file into a local file of its own.
  ///
  /// - Parameter range: bytes, cut to the file's end. One that begins beyond the end is refused, with the status 416.
  @discardableResult
  public func download(
    _ remotePath: String, range: Range<Int64>, to localPath: String, version: Int64? = nil, progress: TransferProgress? = nil
  ) async throws(CairnError) -> Entry {
    try await answering {
      let entry = try await file(at: remotePath)
      let plan = try await gateway.downloadPlan(entry.id, in: entry.keyFolder, version: version)
      try check(range, of: plan)
      do {
        return Entry(try await downloadPart(range, of: plan, to: localPath, progress))
      } catch { throw LocalPath.naming(localPath, error) }
    }
  }

  private func downloadPart(
    _ range: Range<Int64>, of plan: FilePlan, to localPath: String, _ progress: TransferProgress?
  ) async throws -> FileEntry {
    let part = try await resources.threads.run { try PartFile(beside: localPath, executable: false) }
    do {
      let end = Mutex<Int64>(0)
      try await RangeRead(gateway: gateway, resources: resources, progress: progress).read(plan, range: range) { piece in
        try part.file.pwrite(piece, at: end.withLock { $0 })
        end.withLock { $0 += Int64(piece.count) }
      }
      try await resources.threads.run { try part.finish(modified: plan.file.modifiedAt, executable: false, durably: true) }
    } catch {
      try? await resources.threads.run { part.discard() }
      throw error
    }
    return plan.file
  }

  /// As HTTP has it: what begins at the end or beyond it cannot be had, except for nothing of an empty file.
  private func check(_ range: Range<Int64>, of plan: FilePlan) throws(CairnError) {
    guard range.lowerBound > 0, range.lowerBound >= plan.size else { return }
    throw CairnError(
      .invalidArgument, "The range begins at byte \(range.lowerBound), and \(plan.file.path) has \(plan.size); name a smaller one.",
      status: 416)
  }

  private func file(at remotePath: String) async throws -> FileEntry {
    let entry = try await gateway.entry(at: RemotePath(remotePath))
    switch entry.kind {
    case .file: return entry
    case .folder: throw CairnError(.invalidArgument, "\(entry.path) is a folder; name a file in it, or get it with “cairn get -r”.")
    case .symlink:
      throw CairnError(.invalidArgument, "\(entry.path) is a symbolic link to \(entry.target ?? "?"), which has no bytes of its own.")
    }
  }

  /// Puts files and folders as `cp -r` does: into an existing folder under their own names, else under the name given. Missing remote
  /// folders are made; empty folders, links, times and the executable bit are kept.
  ///
  /// - Returns: what was done and what failed; items fail one by one.
  public func put(
    _ localPaths: [String], to remotePath: String, recursive: Bool = false, options: UploadOptions = UploadOptions(),
    progress: TransferProgress? = nil
  ) async throws(CairnError) -> TreeResult {
    try await answering {
      let put = TreePut(
        gateway: gateway, resources: resources, progress: progress, journals: journals, options: options, recursive: recursive)
      return try await put.put(localPaths, to: remotePath)
    }
  }

  /// Gets files and folders as `cp -r` does; nothing is written outside of the local target.
  ///
  /// - Returns: what was done and what failed; items fail one by one.
  public func get(
    _ remotePaths: [String], to localPath: String, recursive: Bool = false, version: Int64? = nil, progress: TransferProgress? = nil
  ) async throws(CairnError) -> TreeResult {
    try await answering {
      let get = TreeGet(
        gateway: gateway, resources: resources, progress: progress, journals: journals, recursive: recursive, version: version)
      return try await get.get(remotePaths, to: localPath)
    }
  }
}
