import BlockModel
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization

/// Upload sessions: have and need, receipts, and the commit that refuses what no node has stored.
extension FakeGateway {
  static func addUploads(_ route: AddRoute) {
    route(.post, "/v1/uploads") { gateway, _, body in
      .json(try gateway.open(try JSONCoding.decode(UploadRequest.self, from: body)), status: 201)
    }
    route(.post, "/v1/uploads/{id}/blocks") { gateway, head, body in
      .json(try gateway.add(try gateway.id(head), try JSONCoding.decode(BlocksRequest.self, from: body)))
    }
    route(.get, "/v1/uploads/{id}") { gateway, head, _ in
      let cursor = head.query.first { $0.name == "cursor" }?.value
      return .json(try gateway.answer(try gateway.id(head), from: 0, cursor: cursor))
    }
    route(.post, "/v1/uploads/{id}/receipts") { gateway, head, body in
      let request = try JSONCoding.decode(ReceiptsRequest.self, from: body)
      try gateway.take(request.receipts, for: try gateway.id(head))
      return HTTPResponse(status: 204)
    }
    route(.post, "/v1/uploads/{id}/complete") { gateway, head, body in
      .json(try gateway.complete(try gateway.id(head), try JSONCoding.decode(CompleteRequest.self, from: body)), status: 201)
    }
    route(.delete, "/v1/uploads/{id}") { gateway, head, _ in
      let id = try gateway.id(head)
      gateway.state.withLock { $0.uploads[id]?.status = .aborted }
      return HTTPResponse(status: 204)
    }
    route(.post, "/v1/uploads/batch") { gateway, _, body in
      let request = try JSONCoding.decode(BatchOpenRequest.self, from: body)
      return .json(BatchOpenResponse(results: request.uploads.map { upload in Self.item { try gateway.open(upload) } }))
    }
    route(.post, "/v1/uploads/batch/complete") { gateway, _, body in
      let request = try JSONCoding.decode(BatchCompleteRequest.self, from: body)
      let results = request.uploads.map { item in Self.item { try gateway.complete(item.uploadID, item.complete) } }
      return .json(BatchCompleteResponse(results: results))
    }
  }

  private static func item<Value>(_ body: () throws -> Value) -> ItemResult<Value> {
    do { return ItemResult(value: try body()) } catch {
      return ItemResult(problem: error as? Problem ?? Problem(.internalError, "\(error)"))
    }
  }

  private func id(_ head: HTTPRequestHead) throws -> UploadID {
    guard let id = UploadID(hex: head.parameters["id"] ?? ""), state.withLock({ $0.uploads[id] }) != nil else {
      throw Problem(.uploadNotFound, "There is no such upload.")
    }
    return id
  }

  private func open(_ request: UploadRequest) throws -> UploadState {
    let path = try RemotePath(request.path)
    let id = UploadID.random()
    try state.withLock { state in
      if let there = state.entries[path.text], there.kind != .file { throw Problem(.wrongKindOfEntry, "\(path) is no file.") }
      var request = request
      let blocks = request.blocks ?? []
      let isWhole = request.blocks != nil && blocks.count <= 1 && request.size == blocks.reduce(0) { $0 + Int64($1.size) }
      if request.chunker == nil { request.chunker = isWhole ? .fixed : state.effectiveChunker(of: path.parent ?? .root) }
      state.uploads[id] = Upload(request: request, blocks: blocks)
    }
    return try answer(id, from: 0, cursor: nil)
  }

  private func add(_ id: UploadID, _ request: BlocksRequest) throws -> UploadState {
    try state.withLock { state in
      guard var upload = state.uploads[id], upload.status == .uploading else { throw Problem(.conflict, "The upload is over.") }
      guard request.start <= upload.blocks.count else { throw Problem(.malformed, "There is a gap before these blocks.") }
      upload.blocks = Array(upload.blocks.prefix(request.start)) + request.blocks
      state.uploads[id] = upload
    }
    return try answer(id, from: request.start, cursor: nil)
  }

  private func answer(_ id: UploadID, from start: Int, cursor: String?) throws -> UploadState {
    let (upload, known) = try state.withLock { state in
      guard let upload = state.uploads[id] else { throw Problem(.uploadNotFound, "There is no such upload.") }
      return (upload, state.known)
    }
    var seen: Set<BlockID> = Set(upload.blocks.prefix(start).map(\.id))
    var missing: [MissingBlock] = []
    for (index, block) in upload.blocks.enumerated() where index >= start {
      guard seen.insert(block.id).inserted, !known.contains(block.id), !upload.stored.contains(block.id) else { continue }
      missing.append(MissingBlock(index: index, id: block.id, size: block.size, put: targets("put", block, upload: id)))
    }
    let first = Int(cursor ?? "0") ?? 0
    let page = missing.filter { $0.index >= first }.prefix(pageSize)
    let isLast = page.last?.index == missing.last?.index
    return UploadState(
      uploadID: id, status: upload.status, expiresAt: SystemTime().wall() + .seconds(3600), blockCount: upload.blocks.count,
      missing: Array(page), next: isLast ? nil : page.last.map { String($0.index + 1) }, chunker: upload.request.chunker)
  }

  private func take(_ receipts: [String], for id: UploadID) throws {
    for text in receipts {
      guard let receipt = try? Receipt.parse(text).receipt, receipt.upload == id else {
        throw Problem(.invalidReceipt, "A foreign receipt.")
      }
      state.withLock { _ = $0.uploads[id]?.stored.insert(receipt.block) }
    }
  }

  private func complete(_ id: UploadID, _ request: CompleteRequest) throws -> FileEntry {
    try take(request.receipts ?? [], for: id)
    return try state.withLock { state in
      guard var upload = state.uploads[id], upload.status == .uploading else { throw Problem(.uploadNotFound, "The upload is over.") }
      let missing = upload.blocks.map(\.id).filter { !upload.stored.contains($0) && !state.known.contains($0) }
      guard missing.isEmpty else { throw Problem(.missingBlocks, "Blocks are missing.", missing: missing) }
      let size = upload.blocks.reduce(0) { $0 + Int64($1.size) }
      var hasher = SHA256Hasher()
      for block in upload.blocks { hasher.update(block.id.bytes) }
      let chunker = upload.request.chunker ?? .fixed
      // With content-defined blocks it is what the client says.
      let hash = chunker == .cdc ? request.contentHash ?? "" : BlockID(words: hasher.finalize()).hex
      guard request.size == size, request.contentHash == hash else { throw Problem(.hashMismatch, "Size or content hash do not fit.") }
      let path = try RemotePath(upload.request.path)
      if upload.request.parents == true { try Self.makeParents(&state, of: path) }
      var entry = state.entries[path.text] ?? Self.newEntry(&state, path: path, kind: .file)
      let isBase = upload.request.baseVersion == entry.version && (upload.request.baseEntry ?? entry.id) == entry.id
      if upload.request.baseVersion != nil, !isBase, upload.request.onConflict == .fail {
        throw Problem(.conflict, "Somebody was faster.", current: entry)
      }
      state.nextVersion += 1
      entry.version = state.nextVersion
      entry.size = size
      entry.contentHash = hash
      entry.envelope = request.envelope
      entry.modifiedAt = upload.request.modifiedAt ?? entry.modifiedAt
      entry.executable = upload.request.executable ?? false
      state.entries[path.text] = entry
      state.versions[entry.id, default: []].append(Version(number: entry.version, blocks: upload.blocks, entry: entry, chunker: chunker))
      state.known.formUnion(upload.blocks.map(\.id))
      upload.status = .uploaded
      state.uploads[id] = upload
      return entry
    }
  }
}
