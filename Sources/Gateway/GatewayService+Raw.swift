internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// `GET /v1/files/{id}/raw`: the bytes themselves, for browsers and plain clients.
extension GatewayService {
  func content(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.entry()
    let wanted = try call.integer("version", in: 1...Int64.max)
    return try await content(call, version: wanted) { version, cursor, limit throws(Problem) in
      try await self.perform(UserOperations.GetDownloadPlan(entry: entry, version: version, cursor: cursor, limit: limit), call)
    }
  }

  /// One page of the plan of a version, or of the newest.
  typealias PlanPage = @Sendable (_ version: Int64?, _ cursor: String?, _ limit: Int) async throws(Problem) -> DownloadPlan

  /// - Parameter admit: called when the bytes are about to be sent.
  func content(
    _ call: GatewayCall, version wanted: Int64?, page: @escaping PlanPage, admit: () async throws(Problem) -> Void = {}
  ) async throws(Problem) -> HTTPResponse {
    let attachment = try call.flag("download")
    let isHead = call.head.method == .head
    let plan = try await page(wanted, nil, isHead ? 1 : Limits.blocksPerRequest)
    if let answer = try EntityTag.preconditionForRead(call.head.headers, version: plan.version) { return answer }
    guard let size = Int(exactly: plan.size), size >= 0 else { throw Problem(.internalError, "The file's size is not usable.") }

    var headers = GatewayService.contentHeaders(plan, attachment: attachment)
    let range = isHead ? .whole : GatewayService.range(call.head.headers, version: plan.version, size: size)
    if let text = range.contentRange(size: size) { headers["Content-Range"] = text }
    switch range {
    case .unsatisfiable:
      var answer = HTTPResponse.problem(Problem(.rangeNotSatisfiable, "The file has \(size) bytes, and the range begins behind them."))
      answer.headers["Content-Range"] = headers["Content-Range"]
      return answer
    case .whole:
      if !isHead { try await admit() }
      return HTTPResponse(status: 200, headers: headers, body: try await body(plan, 0..<size, isHead: isHead, page, call))
    case .part(let part):
      if !isHead { try await admit() }
      return HTTPResponse(status: 206, headers: headers, body: try await body(plan, part, isHead: isHead, page, call))
    }
  }

  /// A range counts only for the version that it was meant for (RFC 9110, 13.1.5); a date never names a version.
  private static func range(_ headers: HTTPHeaders, version: Int64, size: Int) -> HTTPRange {
    if let condition = headers["If-Range"], condition != EntityTag.text(version) { return .whole }
    return HTTPRange.parse(headers["Range"], size: size)
  }

  /// What users upload is shown without the right to run scripts or to be taken for another type.
  private static func contentHeaders(_ plan: DownloadPlan, attachment: Bool) -> HTTPHeaders {
    [
      "ETag": EntityTag.text(plan.version), "Accept-Ranges": "bytes",
      "Content-Type": MediaType.of(name: plan.file.name, declared: plan.file.mimeType),
      "Content-Disposition": ContentDisposition.text(name: plan.file.name, attachment: attachment),
      "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'",
    ]
  }

  private func body(
    _ plan: DownloadPlan, _ range: Range<Int>, isHead: Bool, _ page: @escaping PlanPage, _ call: GatewayCall
  ) async throws(Problem) -> HTTPResponseBody {
    guard !range.isEmpty else { return .bytes([]) }
    if isHead { return .stream(length: range.count) { nil } }
    let content = RawContent(
      plan: plan, range: Int64(range.lowerBound)..<Int64(range.upperBound),
      nextPage: { cursor throws(Problem) in
        try await page(plan.version, cursor, Limits.blocksPerRequest)
      },
      read: { block throws(Problem) in
        let signer = try await self.transferSigner(knowing: block.strays ?? [])
        let targets = signer.get(block.id, size: block.size, strays: block.strays ?? [])
        return try await self.blocks.read(block.id, size: block.size, from: targets, requestID: call.head.requestID)
      })
    try await content.prepare()
    let (sent, log, id) = (metrics.rawBytes, logger, call.head.requestID)
    return .stream(length: range.count) {
      do {
        let piece = try await content.next()
        if case .buffer(_, let bytes) = piece { sent.increment(by: bytes.count) }
        return piece
      } catch {
        log.request(id).error("A raw download was broken off.", ["error": .error(error)])
        throw error
      }
    }
  }
}
