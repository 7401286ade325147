internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Uploads many small files with few requests: all are read into one buffer, opened with one request and committed with one.
struct SmallFileBatch: Sendable {
  /// Files in one batch; the gateway takes no more.
  static let files = 256
  /// Bytes; a smaller file takes one page on the nodes' disks anyway.
  private static let worthCompressing = 4096

  enum Result: Sendable {
    case stored(FileEntry)
    case refused(any Error)
    /// Changed while it was read, or its block was lost: to be uploaded by itself.
    case alone
  }

  /// One file in the batch's buffer.
  private struct Loaded: Sendable {
    var place: Int
    var range: Range<Int>
    var id: BlockID
    /// Bytes from the range's start that are sent.
    var stored: Int
    var encoding: ContentEncoding
    /// In an encrypted folder: what it is sealed with, and what it is.
    var sealing: (cipher: FolderCipher, content: FolderCipher.Content)?
  }

  /// A file whose session is open, with its receipts.
  private struct Sent: Sendable {
    var place: Int
    var upload: UploadID
    var receipts: [String]
    var loaded: Loaded
  }

  let gateway: GatewayConnection
  let resources: TransferResources
  let options: UploadOptions

  /// Runs of files that fit into one buffer together.
  static func split(_ files: [LocalItem]) -> [[LocalItem]] {
    var batches: [[LocalItem]] = []
    var current: [LocalItem] = []
    var bytes: Int64 = 0
    for file in files {
      let size = file.identity.size + Int64(SealedForm.tagBytes)
      if current.count == SmallFileBatch.files || bytes + size > Int64(Limits.blockBytes) {
        batches.append(current)
        (current, bytes) = ([], 0)
      }
      current.append(file)
      bytes += size
    }
    if !current.isEmpty { batches.append(current) }
    return batches
  }

  /// - Returns: one result a file, in the order of `items`.
  func upload(_ items: [LocalItem]) async throws -> [Result] {
    let buffer = try await resources.buffer()
    var results = [Result](repeating: .alone, count: items.count)
    let view = try await gateway.view()
    var ciphers: [FolderCipher?] = []
    for (place, item) in items.enumerated() {
      do { ciphers.append(try view.cipher(at: item.remote)) } catch {
        results[place] = .refused(error)
        ciphers.append(nil)
      }
    }
    let (known, refused) = (ciphers, Set(results.indices.filter { if case .refused = results[$0] { true } else { false } }))
    let loaded = try await resources.threads.run { load(items, known, leavingOut: refused, into: buffer) }
    let states = try await open(items, loaded)
    var opened: [(file: Loaded, state: UploadState)] = []
    for (file, state) in zip(loaded, states) {
      do { opened.append((file, try state.get())) } catch { results[file.place] = .refused(error) }
    }
    let settled = try await sendTogether(opened, buffer)
    let outcomes = await withTaskGroup(of: (Int, Swift.Result<Sent, any Error>).self) { group in
      var outcomes: [(place: Int, outcome: Swift.Result<Sent, any Error>)] = []
      for ((file, state), receipts) in zip(opened, settled) {
        if let receipts {
          outcomes.append((file.place, .success(Sent(place: file.place, upload: state.uploadID, receipts: receipts, loaded: file))))
          continue
        }
        group.addTask {
          do { return (file.place, .success(try await sendAlone(file, state, buffer))) } catch { return (file.place, .failure(error)) }
        }
      }
      for await outcome in group { outcomes.append(outcome) }
      return outcomes
    }
    var sent: [Sent] = []
    for (place, outcome) in outcomes {
      switch outcome {
      case .success(let done): sent.append(done)
      case .failure(let error): results[place] = .refused(error)
      }
    }
    try await complete(sent.sorted { $0.place < $1.place }, into: &results)
    return results
  }

  /// Reads and hashes; leaves out what cannot be read as it was listed. Blocks.
  private func load(
    _ items: [LocalItem], _ ciphers: [FolderCipher?], leavingOut refused: Set<Int>, into buffer: IOBuffer
  ) -> [Loaded] {
    var loaded: [Loaded] = []
    var end = 0
    for (place, item) in items.enumerated() where !refused.contains(place) {
      let size = Int(item.identity.size)
      // An empty file has no block, sealed or not.
      let start = end + (size == 0 ? 0 : FileUpload.overhead(ciphers[place]))
      guard size <= buffer.capacity - start, let source = try? SourceFile(item.path), source.identity == item.identity,
        (try? source.file.pread(into: buffer.mutableBytes(start..<start + size), at: 0)) == size, (try? source.checkUnchanged()) != nil,
        size > 0 || (try? source.hasItsSize()) == true
      else { continue }
      let range = end..<start + size
      var sealing: (cipher: FolderCipher, content: FolderCipher.Content)?
      if let cipher = ciphers[place] {
        let pieces = size == 0 ? [] : [BlockID(words: SHA256Hasher.hash(buffer.bytes(start..<start + size)))]
        guard size == 0 || (try? cipher.seal(size, in: buffer, at: end)) != nil else { continue }
        sealing = (cipher, FolderCipher.Content(size: Int64(size), contentHash: ContentHash.ofPieces(pieces)))
      }
      let id = BlockID(words: SHA256Hasher.hash(buffer.bytes(range)))
      let (stored, encoding) = compress(range, of: buffer)
      loaded.append(Loaded(place: place, range: range, id: id, stored: stored, encoding: encoding, sealing: sealing))
      end = range.upperBound
    }
    return loaded
  }

  /// In place, where it pays.
  private func compress(_ range: Range<Int>, of buffer: IOBuffer) -> (stored: Int, encoding: ContentEncoding) {
    let plain = buffer.bytes(range)
    guard resources.compress, range.count >= SmallFileBatch.worthCompressing, CompressionProbe.pays(plain),
      let frame = Zstandard.compress(plain, level: 1)
    else { return (range.count, .plain) }
    frame.withUnsafeBytes { buffer.mutableBytes(range.lowerBound..<(range.lowerBound + frame.count)).copyMemory(from: $0) }
    return (frame.count, .zstd)
  }

  private func open(_ items: [LocalItem], _ loaded: [Loaded]) async throws -> [ItemResult<UploadState>] {
    guard !loaded.isEmpty else { return [] }
    return try await gateway.openUploads(
      loaded.map { file in
        let item = items[file.place]
        var request = FileUpload.request(item.remote, options)
        request.size = Int64(file.range.count)
        if file.sealing != nil {
          request.encrypted = true
          // Who names the conflicted copy is the client, one file at a time.
          if request.onConflict == .copy { request.onConflict = .fail }
        }
        if let base = item.baseVersion { (request.baseEntry, request.baseVersion) = (item.baseEntry, base) }
        request.blocks = blocks(of: file)
        request.contentHash = ContentHash.ofPieces(request.blocks?.map(\.id) ?? [])
        request.modifiedAt = request.modifiedAt ?? FileTime(nanoseconds: item.identity.modifiedNanoseconds)
        request.executable = request.executable ?? item.identity.isExecutable
        return request
      })
  }

  private func blocks(of file: Loaded) -> [BlockRef] { file.range.isEmpty ? [] : [BlockRef(id: file.id, size: file.range.count)] }

  /// Receipts of each file, empty when nothing is lacking, nil when its block is to be sent alone.
  private func sendTogether(_ opened: [(file: Loaded, state: UploadState)], _ buffer: IOBuffer) async throws -> [[String]?] {
    var receipts: [[String]?] = opened.map { $0.state.missing.isEmpty ? [] : nil }
    let lacking = opened.indices.filter { receipts[$0] == nil }
    guard lacking.count > 1 else { return receipts }
    let blocks = lacking.map { (block: prepared(opened[$0].file, buffer), targets: opened[$0].state.missing[0].put) }
    for (index, list) in zip(lacking, try await SmallBlocks(resources: resources).put(blocks)) { receipts[index] = list }
    return receipts
  }

  private func sendAlone(_ file: Loaded, _ state: UploadState, _ buffer: IOBuffer) async throws -> Sent {
    var sent = Sent(place: file.place, upload: state.uploadID, receipts: [], loaded: file)
    guard let missing = state.missing.first else { return sent }
    let block = prepared(file, buffer)
    sent.receipts = try await resources.smallBlocks.run {
      try await BlockSender(resources: resources).send(block, to: missing.put) {
        try await gateway.uploadState(state.uploadID).missing.first?.put
      }
    }
    return sent
  }

  private func prepared(_ file: Loaded, _ buffer: IOBuffer) -> PreparedBlock {
    PreparedBlock(
      index: 0, ref: BlockRef(id: file.id, size: file.range.count), buffer: buffer, start: file.range.lowerBound, stored: file.stored,
      encoding: file.encoding)
  }

  private func complete(_ sent: [Sent], into results: inout [Result]) async throws {
    guard !sent.isEmpty else { return }
    let answers = try await gateway.completeUploads(
      try sent.map { file in
        let hash = ContentHash.ofPieces(blocks(of: file.loaded).map(\.id))
        let request = CompleteRequest(
          size: Int64(file.loaded.range.count), contentHash: hash, receipts: file.receipts.isEmpty ? nil : file.receipts,
          envelope: try file.loaded.sealing.map { try $0.cipher.envelope($0.content, of: hash) })
        return BatchCompleteRequest.Item(uploadID: file.upload, complete: request)
      })
    for (file, answer) in zip(sent, answers) {
      do { results[file.place] = .stored(try answer.get()) } catch let problem as Problem
        where problem.kind == .missingBlocks || problem.kind == .invalidReceipt
        || (file.loaded.sealing != nil && options.onConflict == .copy && problem.kind == .conflict)
      { results[file.place] = .alone } catch { results[file.place] = .refused(error) }
    }
  }
}
