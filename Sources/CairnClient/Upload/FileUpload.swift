internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Uploads one file or stream: reads it once, hashes and sends at the same time, holds no more than the pool's buffers.
///
/// Each block is a task of its own that holds one buffer from reading until a node has acknowledged it, so the pool is the one bound on
/// memory and on what travels at a time.
struct FileUpload: Sendable {
  /// Rounds of sending what completing said is lacking.
  private static let completionRounds = 4

  let gateway: GatewayConnection
  let resources: TransferResources
  let progress: TransferProgress?
  let journals: TransferJournals?

  // MARK: Files

  /// - Throws: `CairnError` `sourceChanged` when the file keeps changing.
  func upload(_ localPath: String, to path: RemotePath, _ options: UploadOptions) async throws -> FileEntry {
    do { return try await uploadOnce(localPath, to: path, options) } catch let error as CairnError where error.kind == .sourceChanged {
      // Once more from the start: what writes to a file is often just finishing.
      return try await uploadOnce(localPath, to: path, options)
    } catch let problem as Problem where problem.kind == .uploadNotFound {
      // The session ended meanwhile, as after a long sleep of this machine.
      return try await uploadOnce(localPath, to: path, options)
    }
  }

  private func uploadOnce(_ localPath: String, to path: RemotePath, _ options: UploadOptions) async throws -> FileEntry {
    let source = try await resources.threads.run { try SourceFile(localPath) }
    guard source.identity.isRegular else { return try await upload(SourceStream(source.file), to: path, options) }
    let opened = try await openJournal(source, path, options)
    var session = makeSession(source, path, options, opened?.journal)
    do {
      if let memory = opened?.memory, memory.blocks.count <= source.blockCount {
        if try await session.resume(memory, sizes: source.size(ofBlock:)) {
          // What a former run announced and no node has acknowledged.
          try await sendLacking(source, session)
        } else {
          opened?.journal.forget()
          session = makeSession(source, path, options, opened?.journal)
        }
      }
      let file = try await transfer(source, session)
      if let journal = opened?.journal { try? await resources.threads.run { journal.remove() } }
      return file
    } catch {
      if Self.isUseless(after: error) {
        if let journal = opened?.journal { try? await resources.threads.run { journal.remove() } }
        await session.abort()
      }
      throw error
    }
  }

  /// Whether nothing of the session is of use to the next run.
  private static func isUseless(after error: any Error) -> Bool {
    switch CairnError(error).kind {
    case .sourceChanged, .conflict, .corrupted, .notFound, .unexpected: true
    default: false
    }
  }

  private func openJournal(
    _ source: SourceFile, _ path: RemotePath, _ options: UploadOptions
  ) async throws -> (journal: UploadJournal, memory: UploadJournal.Memory?)? {
    // What fits into two blocks is sent again faster than remembered.
    guard let journals, source.blockCount > 2 else { return nil }
    let key = "\(options.onConflict.rawValue) \(options.baseVersion ?? -1)\(options.baseEntry.map { " " + $0.hex } ?? "")"
    return try await resources.threads.run {
      journals.sweep.runOnce()
      return UploadJournal.open(folder: journals.folder, gateway: journals.gateway, path: path, source: source.identity, key: key)
    }
  }

  private func makeSession(
    _ source: SourceFile, _ path: RemotePath, _ options: UploadOptions, _ journal: UploadJournal?
  ) -> UploadSession {
    var request = Self.request(path, options)
    request.size = source.identity.size
    request.modifiedAt = request.modifiedAt ?? FileTime(nanoseconds: source.identity.modifiedNanoseconds)
    request.executable = request.executable ?? source.identity.isExecutable
    return UploadSession(gateway: gateway, template: request, journal: journal, source: source.identity, threads: resources.threads)
  }

  static func request(_ path: RemotePath, _ options: UploadOptions) -> UploadRequest {
    UploadRequest(
      path: path.text, baseVersion: options.baseVersion, baseEntry: options.baseEntry, onConflict: options.onConflict.wire, mimeType: options.mimeType,
      modifiedAt: options.modifiedAt.map { FileTime(nanoseconds: $0.nanoseconds) }, executable: options.executable, parents: options.parents
    )
  }

  // MARK: The stages

  private func transfer(_ source: SourceFile, _ session: UploadSession) async throws -> FileEntry {
    try await guarded(session) { group in
      let known = await session.blocks.count
      progress?.moved(bytes: min(Int64(known) * Int64(Limits.blockBytes), source.identity.size))
      for index in known..<source.blockCount {
        let buffer = try await resources.buffer()
        group.addTask {
          let ref = try await hash(buffer) { try source.read(index, into: buffer) }
          try await announceAndSend(index, ref, buffer, session)
        }
      }
    }
    try await resources.threads.run { try source.checkUnchanged() }
    if source.blockCount == 0 { try await session.openEmpty() }
    for _ in 0..<FileUpload.completionRounds {
      if case .done(let file) = try await session.complete(size: source.identity.size) { return file }
      try await sendLacking(source, session)
    }
    throw CairnError(.unavailable, "The cluster keeps losing copies of this upload; check “cairnctl status”, then try again.")
  }

  /// Sends the announced blocks that no node has acknowledged.
  private func sendLacking(_ source: SourceFile, _ session: UploadSession) async throws {
    var cursor: String?
    repeat {
      let page = try await session.lackingPage(cursor: cursor)
      try await guarded(session) { group in
        for block in page.missing {
          guard block.index < source.blockCount else {
            throw CairnError(.unexpected, "The gateway asks for a block beyond the file's end.")
          }
          let buffer = try await resources.buffer()
          group.addTask {
            let ref = try await hash(buffer) { try source.read(block.index, into: buffer) }
            guard ref.id == block.id else { throw source.changed() }
            try await send(block.index, ref, buffer, block.put, session)
          }
        }
      }
      cursor = page.next
    } while cursor != nil
  }

  // MARK: Streams

  /// Uploads what can be read from `localPath` until it ends. It cannot go on after an interruption: the bytes are gone.
  func upload(streamAt localPath: String, to path: RemotePath, _ options: UploadOptions) async throws -> FileEntry {
    try await upload(try await resources.threads.run { SourceStream(try File(localPath, .read)) }, to: path, options)
  }

  private func upload(_ stream: SourceStream, to path: RemotePath, _ options: UploadOptions) async throws -> FileEntry {
    let session = UploadSession(
      gateway: gateway, template: Self.request(path, options), journal: nil, source: nil, threads: resources.threads)
    do { return try await transfer(stream, session) } catch {
      await session.abort()
      throw error
    }
  }

  private func transfer(_ stream: SourceStream, _ session: UploadSession) async throws -> FileEntry {
    let size = try await guarded(session) { group in
      var total: Int64 = 0
      var index = 0
      while true {
        let buffer = try await resources.buffer()
        let count = try await resources.threads.run { try stream.read(into: buffer) }
        total += Int64(count)
        if count > 0 {
          let place = index
          group.addTask {
            let ref = try await hash(buffer) { count }
            try await announceAndSend(place, ref, buffer, session)
          }
          index += 1
        }
        if count < Limits.blockBytes { break }
      }
      if index == 0 { try await session.openEmpty() }
      return total
    }
    guard case .done(let file) = try await session.complete(size: size) else {
      throw CairnError(.unavailable, "The cluster lost blocks of a stream that cannot be read again; run the command again.")
    }
    return file
  }

  // MARK: One block

  /// Runs `body` with a group for block tasks; the first error ends all of them, also those that wait for their turn to be announced.
  private func guarded<Value: Sendable>(
    _ session: UploadSession, _ body: (inout ThrowingTaskGroup<Void, any Error>) async throws -> Value
  ) async throws -> Value {
    try await withTaskCancellationHandler {
      try await withThrowingTaskGroup(of: Void.self) { group in
        do {
          let value = try await body(&group)
          try await group.waitForAll()
          return value
        } catch {
          await session.fail(error)
          group.cancelAll()
          throw error
        }
      }
    } onCancel: {
      Task { await session.fail(CancellationError()) }
    }
  }

  private func hash(_ buffer: IOBuffer, _ read: @escaping @Sendable () throws -> Int) async throws -> BlockRef {
    try await resources.threads.run {
      let count = try read()
      return BlockRef(id: BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<count))), size: count)
    }
  }

  private func announceAndSend(_ index: Int, _ ref: BlockRef, _ buffer: IOBuffer, _ session: UploadSession) async throws {
    do {
      switch try await session.announce(index, ref) {
      case .have: progress?.moved(bytes: Int64(ref.size))
      case .send(let targets):
        try await send(index, ref, buffer, targets, session)
        progress?.moved(bytes: Int64(ref.size))
      }
    } catch {
      // Those after this one wait for it to be announced.
      await session.fail(error)
      throw error
    }
  }

  private func send(
    _ index: Int, _ ref: BlockRef, _ buffer: IOBuffer, _ targets: [SignedTarget], _ session: UploadSession
  ) async throws {
    let block = try await compressed(PreparedBlock(index: index, ref: ref, buffer: buffer, stored: ref.size, encoding: .plain))
    let receipts = try await BlockSender(resources: resources).send(block, to: targets) { try await session.freshTargets(index) }
    if !receipts.isEmpty { try await session.add(receipts) }
  }

  /// Compresses in place where a sample says that it pays: beside, then copied back over the plain bytes, which nobody needs any more.
  private func compressed(_ block: PreparedBlock) async throws -> PreparedBlock {
    guard resources.compress else { return block }
    let scratch = resources.scratch
    return try await resources.threads.run {
      let plain = block.buffer.bytes(0..<block.ref.size)
      guard CompressionProbe.pays(plain), let room = scratch.tryAcquire(),
        let count = Zstandard.compress(plain, into: room.mutableBytes(0..<room.capacity))
      else { return block }
      block.buffer.mutableBytes(0..<count).copyMemory(from: room.bytes(0..<count))
      var smaller = block
      smaller.stored = count
      smaller.encoding = .zstd
      return smaller
    }
  }
}
