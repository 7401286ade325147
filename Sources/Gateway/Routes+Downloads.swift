internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

extension GatewayService {
  var downloadRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .get, pattern: "/v1/files/{id}/download", operation: "planDownload", summary: "A version's blocks, with URLs for each.",
        parameters: [.version, .limit, .cursor], answers: [.init(200, "The plan, or a page of it.", .downloadPlan)],
        problems: [.notFound, .wrongKindOfEntry, .invalidCursor, .quarantined, .notScanned], handler: planDownload),
      RouteDescription(
        method: .post, pattern: "/v1/downloads/batch", operation: "planDownloads", summary: "Plans of many small files at once.",
        request: .downloadBatchRequest, bodyLimit: 2 << 20, answers: [.init(200, "A plan or a problem for each.", .downloadBatch)],
        handler: planDownloads),
      RouteDescription(
        method: .get, pattern: "/v1/files/{id}/raw", operation: "getContent", summary: "A version's bytes.",
        parameters: [.version, .init("download", .boolean, "1 asks browsers to save instead of show.")],
        headers: [
          .init("Range", .string, "One range of bytes."), .init("If-Range", .string, "The version that the range is of."), .ifMatch,
          .ifNoneMatch,
        ],
        answers: [
          .init(200, "All bytes.", .other("application/octet-stream")), .init(206, "The range.", .other("application/octet-stream")),
          .init(304, "It is still the version that the caller knows."),
        ], problems: [.notFound, .wrongKindOfEntry, .preconditionFailed, .rangeNotSatisfiable, .quarantined, .notScanned],
        handler: content),
    ]
  }

  private func planDownload(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let operation = UserOperations.GetDownloadPlan(
      entry: try call.entry(), version: try call.integer("version", in: 1...Int64.max), cursor: try call.cursor(), limit: try call.limit())
    let plan = try await sign(try await perform(operation, call))
    return .json(try TransferDocuments.bytes(plan), headers: ["ETag": EntityTag.text(plan.version)])
  }

  private func planDownloads(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(DownloadBatchRequest.self)
    try GatewayService.check(batch: request.entries.count)
    var entries: [EntryReference] = []
    for item in request.entries { entries.append(try item.reference()) }
    var page = try await perform(UserOperations.GetDownloadPlans(entries: entries), call)
    guard page.items.count == entries.count else { throw Problem(.internalError, "The coordinator answered for another batch.") }
    for index in page.items.indices {
      if let plan = page.items[index].value { page.items[index].value = try await sign(plan) }
    }
    return .json(try TransferDocuments.bytes(page))
  }

  func sign(_ plan: DownloadPlan) async throws(Problem) -> DownloadPlan {
    guard !plan.blocks.isEmpty else { return plan }
    let signed = try await transferSigner(knowing: plan.blocks.lazy.flatMap { $0.strays ?? [] }).sign(plan)
    metrics.signedGets.increment(by: signed.blocks.reduce(0) { $0 + $1.get.count })
    return signed
  }
}

extension DownloadBatchRequest.Item {
  fileprivate func reference() throws(Problem) -> EntryReference {
    switch (id, path) {
    case (let id?, nil): return .id(id)
    case (nil, let path?): return .path(try GatewayCall.path(path))
    default: throw Problem(.malformed, "Each of `entries` needs an `id` or a `path`, and not both.")
    }
  }
}
