internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

extension GatewayService {
  var uploadRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .post, pattern: "/v1/uploads", operation: "openUpload", summary: "Opens an upload and says which blocks are missing.",
        headers: [.idempotencyKey, .ifMatch, .ifNoneMatch], request: .uploadRequest, bodyLimit: GatewayLimits.listBytes,
        answers: [.init(201, "The session, with URLs for each missing block.", .upload)],
        problems: [.invalidName, .notFound, .forbidden, .conflict, .alreadyExists, .wrongKindOfEntry, .quota, .full, .encryptionBoundary],
        handler: openUpload),
      RouteDescription(
        method: .post, pattern: "/v1/uploads/{id}/blocks", operation: "addBlocks", summary: "Announces further blocks.",
        request: .blocksRequest, bodyLimit: GatewayLimits.listBytes, answers: [.init(200, "The missing ones of these.", .upload)],
        problems: [.uploadNotFound, .conflict, .quota, .full], handler: addBlocks),
      RouteDescription(
        method: .get, pattern: "/v1/uploads/{id}", operation: "getUpload",
        summary: "What is still missing, with fresh URLs; renews the session.", parameters: [.cursor],
        answers: [.init(200, "The session.", .upload)], problems: [.uploadNotFound, .invalidCursor], handler: getUpload),
      RouteDescription(
        method: .post, pattern: "/v1/uploads/{id}/receipts", operation: "addReceipts", summary: "Hands in what the nodes signed.",
        request: .receiptsRequest, bodyLimit: GatewayLimits.listBytes, answers: [.init(204, "They are recorded.")],
        problems: [.uploadNotFound, .invalidReceipt], handler: addReceipts),
      RouteDescription(
        method: .post, pattern: "/v1/uploads/{id}/complete", operation: "completeUpload", summary: "Commits the file's new version.",
        headers: [.idempotencyKey, .ifMatch, .ifNoneMatch], request: .completeRequest, requestRequired: false,
        bodyLimit: GatewayLimits.listBytes,
        answers: [.init(201, "The file.", .file)],
        problems: [
          .uploadNotFound, .conflict, .preconditionFailed, .missingBlocks, .hashMismatch, .invalidReceipt, .staleLayout, .quota,
          .encryptionBoundary,
        ],
        handler: completeUpload),
      RouteDescription(
        method: .delete, pattern: "/v1/uploads/{id}", operation: "abortUpload", summary: "Gives an upload up.",
        answers: [.init(204, "What was reserved is free again.")], problems: [.uploadNotFound], handler: abortUpload),
    ]
  }

  var batchRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .post, pattern: "/v1/uploads/batch", operation: "openUploads", summary: "Opens many small uploads at once.",
        headers: [.idempotencyKey], request: .uploadBatchRequest, bodyLimit: GatewayLimits.listBytes,
        answers: [.init(200, "A session or a problem for each.", .uploadBatch)], handler: openUploads),
      RouteDescription(
        method: .post, pattern: "/v1/uploads/batch/complete", operation: "completeUploads", summary: "Commits many uploads at once.",
        headers: [.idempotencyKey], request: .completeBatchRequest, bodyLimit: GatewayLimits.listBytes,
        answers: [.init(200, "A file or a problem for each.", .completeBatch)], handler: completeUploads),
    ]
  }

  // MARK: One upload

  private func openUpload(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    var request = try GatewayService.checked(try await call.document(UploadRequest.self))
    if let base = try EntityTag.baseVersion(call.head.headers) {
      // A condition that the policy could overrule would be none.
      request.baseVersion = base
      request.onConflict = .fail
    }
    let state = try await open(request, call)
    let location: HTTPHeaders = ["Location": "/v1/uploads/\(state.uploadID.hex)"]
    return .json(try TransferDocuments.bytes(try await sign(state)), status: 201, headers: location)
  }

  private func addBlocks(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let upload = try call.upload()
    let request = try await call.document(BlocksRequest.self)
    guard request.start >= 0 else { throw Problem(.malformed, "`start` is the index of a block and cannot be negative.") }
    try GatewayService.check(request.blocks)
    return .json(
      try TransferDocuments.bytes(try await sign(try await perform(UserOperations.AddBlocks(upload: upload, request: request), call))))
  }

  private func getUpload(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let operation = UserOperations.GetUpload(upload: try call.upload(), cursor: try call.cursor())
    let state = try await perform(operation, call)
    return .json(try TransferDocuments.bytes(try await sign(state, freshWithin: .seconds(1))))
  }

  private func addReceipts(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let upload = try call.upload()
    let receipts = try await call.document(ReceiptsRequest.self).receipts
    try GatewayService.check(receipts: receipts)
    _ = try await perform(UserOperations.AddReceipts(upload: upload, receipts: receipts), call)
    return .done
  }

  private func completeUpload(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let upload = try call.upload()
    let version = try EntityTag.baseVersion(call.head.headers)
    let request = try await call.document(CompleteRequest.self, default: CompleteRequest())
    try GatewayService.check(request)
    // A condition and a long list of receipts travel alone.
    guard version == nil, request.receipts?.count ?? 0 <= GatewayService.joinedLength else {
      return try .file(
        try await perform(UserOperations.CompleteUpload(upload: upload, request: request, ifVersion: version), call), status: 201)
    }
    let item = BatchCompleteRequest.Item(uploadID: upload, complete: request)
    let file = try await commits.perform(item, of: GatewayCall.token(call.head.headers)) { items in
      if items.count == 1 { return [await self.outcome { () throws(Problem) in try await self.perform(items[0].alone, call) }] }
      return await self.outcomes(of: items.count) { () throws(Problem) in
        try await self.perform(UserOperations.CompleteUploadBatch(request: BatchCompleteRequest(uploads: items)), call).results
      }
    }
    return try .file(file, status: 201)
  }

  private func open(_ request: UploadRequest, _ call: GatewayCall) async throws(Problem) -> UploadState {
    // A key names one request's answer, so its request travels alone, as does a long list of blocks.
    guard try call.userContext().idempotencyKey == nil, request.blocks?.count ?? 0 <= GatewayService.joinedLength else {
      return try await perform(UserOperations.OpenUpload(request: request), call)
    }
    return try await openings.perform(request, of: GatewayCall.token(call.head.headers)) { requests in
      if requests.count == 1 {
        return [await self.outcome { () throws(Problem) in try await self.perform(UserOperations.OpenUpload(request: requests[0]), call) }]
      }
      return await self.outcomes(of: requests.count) { () throws(Problem) in
        try await self.perform(UserOperations.OpenUploadBatch(request: BatchOpenRequest(uploads: requests)), call).results
      }
    }
  }

  // MARK: Joining

  /// Receipts of a commit, or blocks of a new session, up to which it is joined with others.
  private static let joinedLength = 16

  private func outcome<Answer>(_ ask: () async throws(Problem) -> Answer) async -> Result<Answer, Problem> {
    do throws(Problem) { return .success(try await ask()) } catch { return .failure(error) }
  }

  /// Each item's, or the problem of all.
  private func outcomes<Answer>(
    of count: Int, _ ask: () async throws(Problem) -> [ItemResult<Answer>]
  ) async -> [Result<Answer, Problem>] {
    do throws(Problem) {
      let results = try await ask()
      // As for a request that travels alone: what is signed next has to know the layout.
      if results.contains(where: { $0.problem?.kind == .staleLayout || $0.problem?.kind == .fenced }) { await views.refresh() }
      return results.map { result in
        result.value.map { .success($0) } ?? .failure(result.problem ?? Problem(.internalError, "An item of a batch had no outcome."))
      }
    } catch { return Array(repeating: .failure(error), count: count) }
  }

  private func abortUpload(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    _ = try await perform(UserOperations.AbortUpload(upload: try call.upload()), call)
    return .done
  }

  // MARK: Batches

  private func openUploads(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    var request = try await call.document(BatchOpenRequest.self)
    try GatewayService.check(batch: request.uploads.count)
    guard request.uploads.reduce(0, { $0 + ($1.blocks?.count ?? 0) }) <= Limits.blocksPerRequest else {
      throw Problem(.tooLarge, "A batch may announce \(Limits.blocksPerRequest) blocks; open large files one by one.")
    }
    // One name that cannot be used is that item's problem, not the batch's.
    var refused: [Int: Problem] = [:]
    var accepted: [UploadRequest] = []
    for (index, item) in request.uploads.enumerated() {
      do throws(Problem) { accepted.append(try GatewayService.checked(item)) } catch { refused[index] = error }
    }
    request.uploads = accepted
    let answer =
      accepted.isEmpty ? BatchOpenResponse(results: []) : try await perform(UserOperations.OpenUploadBatch(request: request), call)
    guard answer.results.count == accepted.count else { throw Problem(.internalError, "The coordinator answered for another batch.") }
    var signed: [ItemResult<UploadState>] = []
    for result in answer.results {
      guard let state = result.value else {
        signed.append(result)
        continue
      }
      signed.append(ItemResult(value: try await sign(state)))
    }
    for index in refused.keys.sorted() {
      if let problem = refused[index] { signed.insert(ItemResult(problem: problem), at: index) }
    }
    return .json(try TransferDocuments.bytes(BatchOpenResponse(results: signed)))
  }

  private func completeUploads(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(BatchCompleteRequest.self)
    try GatewayService.check(batch: request.uploads.count)
    for item in request.uploads { try GatewayService.check(item.complete) }
    return .json(try TransferDocuments.bytes(try await perform(UserOperations.CompleteUploadBatch(request: request), call)))
  }

  // MARK: Signing

  private func sign(_ state: UploadState, freshWithin age: Duration? = nil) async throws(Problem) -> UploadState {
    guard !state.missing.isEmpty else { return state }
    let signed = try await transferSigner(freshWithin: age).sign(state)
    metrics.signedPuts.increment(by: signed.missing.reduce(0) { $0 + $1.put.count })
    return signed
  }
}

extension BatchCompleteRequest.Item {
  fileprivate var alone: UserOperations.CompleteUpload {
    UserOperations.CompleteUpload(upload: uploadID, request: complete, ifVersion: nil)
  }
}
