internal import BlockModel
internal import Credentials
internal import MetadataStore
internal import ServiceAPI

extension UserService {
  static let batchLimit = 256
  /// Receipts in one request: up to eight copies of as many blocks as a request may name.
  static let receiptLimit = Limits.blocksPerRequest * Limits.forwards

  func registerUploads(on dispatcher: ControlDispatcher) {
    user(UserOperations.OpenUpload.self, on: dispatcher) { operation, principal, context in
      try await self.store.openUpload(operation.request, for: principal, once: self.once(operation, context))
    }
    user(UserOperations.OpenUploadBatch.self, on: dispatcher) { operation, principal, context in
      let uploads = operation.request.uploads
      try UserService.checkBatch(uploads.count)
      guard uploads.reduce(0, { $0 + ($1.blocks?.count ?? 0) }) <= Limits.blocksPerRequest else {
        throw Problem(.malformed, "A batch announces at most \(Limits.blocksPerRequest) blocks in all.")
      }
      return BatchOpenResponse(
        results: try await self.store.openUploads(uploads, for: principal, once: self.once(operation, context)))
    }
    user(UserOperations.AddBlocks.self, on: dispatcher) { operation, principal, _ in
      try await self.store.addBlocks(operation.request, to: operation.upload, for: principal)
    }
    user(UserOperations.GetUpload.self, on: dispatcher) { operation, principal, _ in
      try await self.store.uploadState(operation.upload, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.AddReceipts.self, on: dispatcher) { operation, principal, _ in
      try await self.store.addReceipts(self.verified(operation.receipts), to: operation.upload, for: principal)
      return Done()
    }
    user(UserOperations.CompleteUpload.self, on: dispatcher) { operation, principal, _ in
      var completion = try self.completion(operation.upload, operation.request)
      completion.ifVersion = operation.ifVersion
      return try await self.store.completeUpload(completion, for: principal)
    }
    user(UserOperations.CompleteUploadBatch.self, on: dispatcher) { operation, principal, _ in
      BatchCompleteResponse(results: try await self.completeBatch(operation.request.uploads, principal))
    }
    user(UserOperations.AbortUpload.self, on: dispatcher) { operation, principal, _ in
      try await self.store.abortUpload(operation.upload, for: principal)
      return Done()
    }
  }

  /// Items with a receipt that is not genuine fail by themselves; the others are committed together.
  private func completeBatch(
    _ items: [BatchCompleteRequest.Item], _ principal: Principal
  ) async throws -> [ItemResult<FileEntry>] {
    try UserService.checkBatch(items.count)
    var results: [ItemResult<FileEntry>?] = []
    var completions: [Completion] = []
    for item in items {
      do throws(Problem) {
        completions.append(try completion(item.uploadID, item.complete))
        results.append(nil)
      } catch { results.append(ItemResult(problem: error)) }
    }
    var committed = try await store.completeUploads(completions, for: principal).makeIterator()
    return results.compactMap { $0 ?? committed.next() }
  }

  func completion(_ upload: UploadID, _ request: CompleteRequest) throws(Problem) -> Completion {
    Completion(
      upload: upload, size: request.size, contentHash: request.contentHash, receipts: try verified(request.receipts ?? []),
      envelope: request.envelope)
  }

  private func verified(_ texts: [String]) throws(Problem) -> [Receipt] {
    guard texts.count <= UserService.receiptLimit else {
      throw Problem(.malformed, "At most \(UserService.receiptLimit) receipts are taken at once.")
    }
    var verified: [Receipt] = []
    verified.reserveCapacity(texts.count)
    for text in texts {
      do { verified.append(try receipts.verify(text)) } catch {
        throw Problem(.invalidReceipt, "A receipt is not valid: \(error.message).")
      }
    }
    return verified
  }

  private static func checkBatch(_ count: Int) throws(Problem) {
    guard (1...batchLimit).contains(count) else { throw Problem(.malformed, "A batch has 1 to \(batchLimit) items.") }
  }
}
