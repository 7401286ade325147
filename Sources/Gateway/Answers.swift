internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

extension HTTPResponse {
  static let jsonType = "application/json"

  /// A document. Answers carry tokens, names and signed URLs, so no cache keeps them.
  static func json(_ bytes: [UInt8], status: Int = 200, headers: HTTPHeaders = [:]) -> HTTPResponse {
    var headers = headers
    headers["Content-Type"] = jsonType
    if headers["Cache-Control"] == nil { headers["Cache-Control"] = "no-store" }
    return HTTPResponse(status: status, headers: headers, body: .bytes(bytes))
  }

  static func json(_ value: some Encodable, status: Int = 200, headers: HTTPHeaders = [:]) throws(Problem) -> HTTPResponse {
    do { return json(try JSONCoding.encode(value), status: status, headers: headers) } catch {
      throw Problem(.internalError, "The answer could not be written.")
    }
  }

  /// A file with its version as the entity tag.
  static func file(_ entry: FileEntry, status: Int = 200) throws(Problem) -> HTTPResponse {
    var headers: HTTPHeaders = ["ETag": EntityTag.text(entry.version)]
    if status == 201 { headers["Location"] = "/v1/files/\(entry.id.hex)" }
    return try json(entry, status: status, headers: headers)
  }

  static let done = HTTPResponse(status: 204, headers: ["Cache-Control": "no-store"])

  /// A problem document (RFC 9457); what the client needs to go on stands in members of its own.
  static func problem(_ problem: Problem) -> HTTPResponse {
    var extra: [(String, ProblemValue)] = []
    if let current = problem.current, let text = jsonText(current) { extra.append(("current", .json(text))) }
    if let base = problem.base, let text = jsonText(base) { extra.append(("base", .json(text))) }
    if let missing = problem.missing, let text = jsonText(missing) { extra.append(("missing", .json(text))) }
    var headers: HTTPHeaders = ["Cache-Control": "no-store"]
    if problem.status == 401 { headers["WWW-Authenticate"] = "Bearer" }
    if let seconds = problem.retryAfter ?? defaultRetry(problem) {
      headers["Retry-After"] = String(seconds)
      extra.append(("retry_after", .number(seconds)))
    }
    if let current = problem.current { headers["ETag"] = EntityTag.text(current.version) }
    return .problem(
      status: problem.status, type: problem.type, title: problem.title, detail: problem.detail, extra: extra, headers: headers)
  }

  private static func defaultRetry(_ problem: Problem) -> Int? { problem.status == 503 || problem.status == 429 ? 1 : nil }

  private static func jsonText(_ value: some Encodable) -> String? {
    (try? JSONCoding.encode(value)).map { String(decoding: $0, as: UTF8.self) }
  }
}
