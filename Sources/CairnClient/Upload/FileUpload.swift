internal import BlockModel
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Uploads one file or stream: reads it once, hashes and sends at the same time, holds no more than the pool's buffers.
///
/// Each block is a task of its own that holds one buffer from reading until a node has acknowledged it, so the pool is the one bound on
/// memory and on what travels at a time. Where the cluster has had what came before, as with a new version of a file, blocks are announced
/// by the hundred and without their bytes, which are read again when they are asked for after all.
struct FileUpload: Sendable {
  /// Rounds of sending what completing said is lacking.
  private static let completionRounds = 4

  let gateway: GatewayConnection
  let resources: TransferResources
  let progress: TransferProgress?
  let journals: TransferJournals?
  /// Shared by the files of one transfer.
  var folders = FolderChunking()

  // MARK: Files

  /// - Throws: `CairnError` `sourceChanged` when the file keeps changing.
  func upload(_ localPath: String, to path: RemotePath, _ options: UploadOptions) async throws -> FileEntry {
    let root = try await gateway.view().root(around: path)
    let cipher = try root?.cipher.get()
    guard cipher != nil, options.onConflict == .copy else { return try await upload(localPath, to: path, options, cipher) }
    return try await uploadBeside(localPath, to: path, options, cipher)
  }

  private func upload(
    _ localPath: String, to path: RemotePath, _ options: UploadOptions, _ cipher: FolderCipher?
  ) async throws -> FileEntry {
    do { return try await uploadOnce(localPath, to: path, options, cipher) } catch let error as CairnError
      where error.kind == .sourceChanged
    {
      // Once more from the start, and from the file alone: what writes to a file is often just finishing.
      var anew = options
      anew.known = nil
      return try await uploadOnce(localPath, to: path, anew, cipher)
    } catch let problem as Problem where problem.kind == .uploadNotFound {
      // The session ended meanwhile, as after a long sleep of this machine.
      return try await uploadOnce(localPath, to: path, options, cipher)
    }
  }

  /// In an encrypted folder only a client can name the conflicted copy. Its blocks are there already when it is the second attempt.
  private func uploadBeside(
    _ localPath: String, to path: RemotePath, _ given: UploadOptions, _ cipher: FolderCipher?
  ) async throws -> FileEntry {
    var options = given
    options.onConflict = .fail
    do { return try await upload(localPath, to: path, options, cipher) } catch let problem as Problem
      where [.conflict, .alreadyExists, .wrongKindOfEntry].contains(problem.kind)
    {
      (options.baseVersion, options.baseEntry) = (0, nil)
      guard let name = path.name else { throw problem }
      let naming = ConflictNaming(device: try await gateway.currentUser().device ?? "device", at: resources.time.wall())
      for attempt in 0..<FileUpload.copyAttempts {
        let copy = try EntryName(naming.name(for: name.text, attempt: attempt, limit: SealedForm.nameBytes))
        let beside = RemotePath(components: path.components.dropLast() + [copy])
        do { return try await upload(localPath, to: beside, options, cipher) } catch let problem as Problem
          where [.conflict, .alreadyExists, .wrongKindOfEntry].contains(problem.kind)
        { continue }
      }
      throw problem
    }
  }

  private static let copyAttempts = 100

  private func uploadOnce(
    _ localPath: String, to path: RemotePath, _ given: UploadOptions, _ cipher: FolderCipher?
  ) async throws -> FileEntry {
    let (source, isStream) = try await resources.threads.run {
      let source = try SourceFile(localPath)
      return (source, try !source.identity.isRegular || !source.hasItsSize())
    }
    guard !isStream else { return try await upload(SourceStream(source.file), to: path, given, cipher) }
    var options = given
    // What is one block either way is a fixed one, whose content hash the cluster can check.
    if source.identity.size <= Int64(ContentDefinedChunking.standard.minimumBytes) { options.chunking = .fixed }
    let opened = try await openJournal(source, path, options, cipher)
    var session = makeSession(source, path, options, opened?.journal, cipher)
    do {
      if let memory = opened?.memory {
        if try await session.resume(memory) {
          // What a former run announced and no node has acknowledged.
          try await sendLacking(source, session, self.chunking(options, of: session, to: path), cipher)
        } else {
          opened?.journal.forget()
          session = makeSession(source, path, options, opened?.journal, cipher)
        }
      }
      let chunking = try await chunking(options, of: session, to: path)
      let known = options.known.flatMap { $0.isOf(source.identity) ? $0 : nil }
      let file = try await transfer(source, session, chunking, cipher, known, inPlaceOf: options.formerContent)
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

  /// How the file is cut: as was asked for, else as a session that goes on began, else as the folder says, which costs a request a folder
  /// and none a file. A folder that is not there yet, or that the caller does not see, has no word of its own; then the session is opened
  /// before anything is read, and its answer tells.
  private func chunking(_ options: UploadOptions, of session: UploadSession, to path: RemotePath) async throws -> Chunking {
    if let chunking = options.chunking { return chunking }
    if let chunking = await session.chunking { return chunking }
    let folder = path.parent ?? .root
    let chunking = try await folders.chunking(in: folder) {
      if let chunker = try await gateway.entryIfThere(at: folder)?.effectiveChunker { return Chunking(chunker) }
      return try await session.openAhead()
    }
    await session.choose(chunking)
    return chunking
  }

  /// Whether nothing of the session is of use to the next run.
  private static func isUseless(after error: any Error) -> Bool {
    switch CairnError(error).kind {
    case .sourceChanged, .conflict, .corrupted, .notFound, .unexpected: true
    default: false
    }
  }

  private func openJournal(
    _ source: SourceFile, _ path: RemotePath, _ options: UploadOptions, _ cipher: FolderCipher?
  ) async throws -> (journal: UploadJournal, memory: UploadJournal.Memory?)? {
    // What fits into two blocks is sent again faster than remembered.
    guard let journals, source.blockCount > 2 else { return nil }
    let chunking = options.chunking == .fixed ? "" : " \(options.chunking?.rawValue ?? "folder")"
    let sealing = cipher == nil ? "" : " sealed"
    let key =
      "\(options.onConflict.rawValue) \(options.baseVersion ?? -1)\(options.baseEntry.map { " " + $0.hex } ?? "")\(chunking)\(sealing)"
    return try await resources.threads.run {
      journals.sweep.runOnce()
      return UploadJournal.open(
        folder: journals.folder, gateway: journals.gateway, path: path, source: source.identity, key: key,
        overhead: FileUpload.overhead(cipher))
    }
  }

  private func makeSession(
    _ source: SourceFile, _ path: RemotePath, _ options: UploadOptions, _ journal: UploadJournal?, _ cipher: FolderCipher?
  ) -> UploadSession {
    var request = Self.request(path, options)
    request.encrypted = cipher == nil ? nil : true
    request.size = storedSize(of: source, options.chunking, cipher)
    request.chunker = options.chunking?.wire
    request.modifiedAt = request.modifiedAt ?? FileTime(nanoseconds: source.identity.modifiedNanoseconds)
    request.executable = request.executable ?? source.identity.isExecutable
    return UploadSession(gateway: gateway, template: request, journal: journal, source: source.identity, threads: resources.threads)
  }

  /// Bytes that a block has beside the file's.
  static func overhead(_ cipher: FolderCipher?) -> Int { cipher == nil ? 0 : SealedForm.tagBytes }

  /// Nil where it is known at the end only.
  private func storedSize(of source: SourceFile, _ chunking: Chunking?, _ cipher: FolderCipher?) -> Int64? {
    let size = source.identity.size
    guard cipher != nil else { return size }
    guard chunking == .fixed else { return nil }
    let piece = Int64(SealedForm.pieceBytes)
    return size + (size + piece - 1) / piece * Int64(SealedForm.tagBytes)
  }

  static func request(_ path: RemotePath, _ options: UploadOptions) -> UploadRequest {
    UploadRequest(
      path: path.text, baseVersion: options.baseVersion, baseEntry: options.baseEntry, onConflict: options.onConflict.wire,
      mimeType: options.mimeType, modifiedAt: options.modifiedAt.map { FileTime(nanoseconds: $0.nanoseconds) },
      executable: options.executable, parents: options.parents)
  }

  // MARK: The stages

  /// What is sealed is read in order, because its content hash is of other pieces than its blocks. Else only what is cut by its content.
  private func cutter(_ chunking: Chunking, _ cipher: FolderCipher?, _ file: File, countsPieces: Bool) -> BlockCutter? {
    guard cipher != nil else { return chunking == .fixed ? nil : BlockCutter(.standard, from: file, countsPieces: countsPieces) }
    return BlockCutter(chunking == .fixed ? nil : .sealed, from: file, countsPieces: countsPieces, start: SealedForm.tagBytes)
  }

  /// - Parameters:
  ///   - content: of the source in the state in which it was opened, where that is known; it stays so, or the upload fails.
  ///   - former: the content hash of the version that this one takes the place of.
  private func transfer(
    _ source: SourceFile, _ session: UploadSession, _ chunking: Chunking, _ cipher: FolderCipher?, _ content: KnownContent?,
    inPlaceOf former: String?
  ) async throws -> FileEntry {
    let sent = await session.blocks
    let start = sent.reduce(Int64(0)) { $0 + Int64($1.size - FileUpload.overhead(cipher)) }
    progress?.moved(bytes: start)
    let pieces = cipher == nil ? content?.wholePieces : nil
    let known = try await knownBlocks(pieces, of: source, chunking, inPlaceOf: former)
    let cutter = known == nil ? cutter(chunking, cipher, source.file, countsPieces: content == nil) : nil
    try await guarded(session) { group in
      if let known { return try await sendUnknown(known, from: sent.count, at: start, of: source, session, &group) }
      if let cutter {
        let buffer = try await resources.buffer()
        try await resources.threads.run { try cutter.skip(start, through: buffer) }
      }
      if let cutter { return try await cut(cutter, from: sent.count, of: source, session, cipher, &group) }
      var tasks = BoundedGroup(limit: Limits.blocksPerRequest)
      for index in sent.count..<source.blockCount {
        let lease = BufferLease(try await resources.buffer())
        let piece = FilePiece(source: source, offset: Int64(index) * Int64(Limits.blockBytes), size: source.size(ofBlock: index))
        try await tasks.add(to: &group) {
          try await hashAndSend(index, lease, again: piece, session, nil) { try source.read(index, into: $0) }
        }
      }
    }
    if let cutter, cutter.cutBytes != source.identity.size { throw source.changed() }
    try await resources.threads.run { try source.checkUnchanged() }
    if source.blockCount == 0 { try await session.openEmpty() }
    // Of fixed blocks that nobody sealed it follows from their names.
    let contentHash = chunking == .fixed && cipher == nil ? nil : cutter?.contentHash() ?? content?.contentHash
    for _ in 0..<FileUpload.completionRounds {
      let done = try await session.complete(size: source.identity.size, contentHash: contentHash, sealedWith: cipher)
      if case .done(let file) = done {
        if chunking == .contentDefined, let pieces { await remember(pieces, await session.blocks, inPlaceOf: former) }
        return file
      }
      try await sendLacking(source, session, chunking, cipher)
    }
    throw CairnError(.unavailable, "The cluster keeps losing copies of this upload; check “cairnctl status”, then try again.")
  }

  /// Reads and sends all that a cutter makes of its bytes.
  ///
  /// - Parameter source: nil for what cannot be read again.
  private func cut(
    _ cutter: BlockCutter, from first: Int, of source: SourceFile?, _ session: UploadSession, _ cipher: FolderCipher?,
    _ group: inout ThrowingTaskGroup<Void, any Error>
  ) async throws {
    var tasks = BoundedGroup(limit: Limits.blocksPerRequest)
    var index = first
    while true {
      let offset = cutter.cutBytes
      let (lease, count) = try await cutNext(cutter)
      if count == 0 { return }
      let place = index
      let piece = source.map { FilePiece(source: $0, offset: offset, size: count) }
      try await tasks.add(to: &group) { try await hashAndSend(place, lease, again: piece, session, cipher) { _ in count } }
      index += 1
    }
  }

  func cutNext(_ cutter: BlockCutter) async throws -> (BufferLease, Int) {
    let buffer = try await resources.buffer()
    return (BufferLease(buffer), try await resources.threads.run { try cutter.next(into: buffer) })
  }

  /// Sends the announced blocks that no node has acknowledged.
  private func sendLacking(
    _ source: SourceFile, _ session: UploadSession, _ chunking: Chunking, _ cipher: FolderCipher?
  ) async throws {
    let overhead = FileUpload.overhead(cipher)
    let places = BlockPlaces(await session.blocks, source, chunking, overhead: overhead)
    var cursor: String?
    repeat {
      let page = try await session.lackingPage(cursor: cursor)
      try await guarded(session) { group in
        for block in page.missing {
          guard let place = try places.place(of: block.index) else { continue }
          let buffer = try await resources.buffer()
          group.addTask {
            let ref = try await hash(buffer, cipher) { try source.read(place.size, at: place.offset, into: $0, start: overhead) }
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
    let root = try await gateway.view().root(around: path)
    let cipher = try root?.cipher.get()
    return try await upload(try await resources.threads.run { SourceStream(try File(localPath, .read)) }, to: path, options, cipher)
  }

  private func upload(
    _ stream: SourceStream, to path: RemotePath, _ options: UploadOptions, _ cipher: FolderCipher?
  ) async throws -> FileEntry {
    if cipher != nil, options.onConflict == .copy {
      throw CairnError(
        .invalidArgument, "A stream cannot be read again for a conflicted copy in an encrypted folder; use another policy than “copy”.")
    }
    var request = Self.request(path, options)
    request.encrypted = cipher == nil ? nil : true
    request.chunker = options.chunking?.wire
    let session = UploadSession(gateway: gateway, template: request, journal: nil, source: nil, threads: resources.threads)
    do { return try await transfer(stream, session, chunking(options, of: session, to: path), cipher) } catch {
      await session.abort()
      throw error
    }
  }

  private func transfer(
    _ stream: SourceStream, _ session: UploadSession, _ chunking: Chunking, _ cipher: FolderCipher?
  ) async throws -> FileEntry {
    let cutting: ContentDefinedChunking? = chunking == .fixed ? nil : cipher == nil ? .standard : .sealed
    let cutter = BlockCutter(cutting, start: FileUpload.overhead(cipher)) { try stream.read(into: $0) }
    try await guarded(session) { group in try await cut(cutter, from: 0, of: nil, session, cipher, &group) }
    if cutter.cutBytes == 0 { try await session.openEmpty() }
    let completion = try await session.complete(size: cutter.cutBytes, contentHash: cutter.contentHash(), sealedWith: cipher)
    guard case .done(let file) = completion else {
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

  /// Reads, seals where that is to be, and hashes.
  private func hash(
    _ buffer: IOBuffer, _ cipher: FolderCipher?, _ read: @escaping @Sendable (IOBuffer) throws -> Int
  ) async throws -> BlockRef {
    try await resources.threads.run {
      let count = try read(buffer)
      let block = try cipher?.seal(count, in: buffer) ?? 0..<count
      return BlockRef(id: BlockID(words: SHA256Hasher.hash(buffer.bytes(block))), size: block.count)
    }
  }

  /// - Parameters:
  ///   - lease: of the buffer that the block is in, or that `read` reads it into.
  ///   - piece: where it can be read again. Where the cluster is expected to have it, the buffer serves others while that is asked.
  func hashAndSend(
    _ index: Int, _ lease: BufferLease, again piece: FilePiece?, _ session: UploadSession, _ cipher: FolderCipher?,
    _ read: @escaping @Sendable (IOBuffer) throws -> Int
  ) async throws {
    do {
      let isExpected = await session.expectsToHave
      let (ref, buffer) = try await hashed(lease, keeping: piece == nil || !isExpected, cipher, read)
      try await announceAndSend(index, ref, buffer, again: piece, session, cipher)
    } catch {
      // Those after this one wait for it to be announced.
      await session.fail(error)
      throw error
    }
  }

  /// - Returns: the block's name, and its buffer where that is kept. It is in no other frame than this one's, so it is free otherwise.
  private func hashed(
    _ lease: BufferLease, keeping: Bool, _ cipher: FolderCipher?, _ read: @escaping @Sendable (IOBuffer) throws -> Int
  ) async throws -> (BlockRef, IOBuffer?) {
    guard let buffer = lease.take() else { throw CancellationError() }
    let ref = try await hash(buffer, cipher, read)
    return (ref, keeping ? buffer : nil)
  }

  func announceAndSend(
    _ index: Int, _ ref: BlockRef, _ buffer: consuming IOBuffer?, again piece: FilePiece?, _ session: UploadSession,
    _ cipher: FolderCipher?
  ) async throws {
    if case .send(let targets) = try await session.announce(index, ref) {
      if let buffer {
        try await send(index, ref, buffer, targets, session)
      } else if let piece {
        try await resources.rereads.run {
          let again = try await resources.buffer()
          guard try await hash(again, cipher, { try piece.read(into: $0, start: FileUpload.overhead(cipher)) }) == ref else {
            throw piece.source.changed()
          }
          try await send(index, ref, again, targets, session)
        }
      }
    }
    progress?.moved(bytes: Int64(ref.size - FileUpload.overhead(cipher)))
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

/// A buffer that a task takes over from the one that filled it, and may give back before it ends.
final class BufferLease: Sendable {
  private let buffer: Mutex<IOBuffer?>

  init(_ buffer: IOBuffer) { self.buffer = Mutex(buffer) }

  /// Nil from the second time on.
  func take() -> IOBuffer? {
    buffer.withLock { buffer in
      defer { buffer = nil }
      return buffer
    }
  }
}

/// Where in a file a block is.
struct FilePiece: Sendable {
  let source: SourceFile
  /// Bytes, as `size`.
  let offset: Int64
  let size: Int

  /// Blocks.
  func read(into buffer: IOBuffer, start: Int) throws -> Int { try source.read(size, at: offset, into: buffer, start: start) }
}

/// Where in a file its blocks are, as far as they are known.
private struct BlockPlaces: Sendable {
  private let source: SourceFile
  private let chunking: Chunking
  /// Bytes of a block that are not the file's.
  private let overhead: Int
  private var known: [(offset: Int64, size: Int)] = []

  init(_ blocks: [BlockRef], _ source: SourceFile, _ chunking: Chunking, overhead: Int) {
    (self.source, self.chunking, self.overhead) = (source, chunking, overhead)
    known.reserveCapacity(blocks.count)
    var end: Int64 = 0
    for block in blocks {
      known.append((end, block.size - overhead))
      end += Int64(block.size - overhead)
    }
  }

  /// Nil for a block that a former run announced and this one has no note of: where it is will be known when the file is cut so far.
  func place(of index: Int) throws -> (offset: Int64, size: Int)? {
    if known.indices.contains(index) { return known[index] }
    guard chunking == .fixed, overhead == 0 else { return nil }
    guard index < source.blockCount else { throw CairnError(.unexpected, "The gateway asks for a block beyond the file's end.") }
    return (Int64(index) * Int64(Limits.blockBytes), source.size(ofBlock: index))
  }
}
