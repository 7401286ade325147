internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Reads refusals: problem documents where there are some, else what the status alone says.
enum ProblemReader {
  private struct Document: Decodable {
    var type: String?
    var kind: String?
    var detail: String?
    var current: FileEntry?
    var base: VersionInfo?
    var missing: [BlockID]?
    var retryAfter: Int?
    private enum CodingKeys: String, CodingKey {
      case type, kind, detail, current, base, missing
      case retryAfter = "retry_after"
    }
  }

  private static let prefix = "urn:cairn:problem:"

  static func read(_ response: HTTPClientResponse) -> Problem {
    let document = try? JSONCoding.decode(Document.self, from: response.bytes)
    let name = document?.kind ?? document?.type.flatMap { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : nil }
    let kind = name.flatMap(Problem.Kind.init(rawValue:)) ?? kind(ofStatus: response.status)
    let seconds = response.headers["Retry-After"].flatMap { Int($0) } ?? document?.retryAfter
    return Problem(
      kind, document?.detail ?? "The server answered with status \(response.status).", current: document?.current, base: document?.base,
      missing: document?.missing, retryAfter: seconds.map { min(max($0, 0), 3600) })
  }

  /// Whether the same request may succeed a moment later.
  static func isTransient(_ problem: Problem) -> Bool {
    switch problem.kind {
    case .busy, .unavailable, .notScanned, .tooManyRequests, .fenced: true
    default: false
    }
  }

  private static func kind(ofStatus status: Int) -> Problem.Kind {
    switch status {
    case 401: .unauthenticated
    case 403: .forbidden
    case 404, 410: .notFound
    case 405: .methodNotAllowed
    case 409: .conflict
    case 412: .preconditionFailed
    case 413: .tooLarge
    case 416: .rangeNotSatisfiable
    case 422: .hashMismatch
    case 429: .tooManyRequests
    case 502, 503, 504: .unavailable
    case 507: .quota
    case 400..<500: .malformed
    default: .internalError
    }
  }
}
