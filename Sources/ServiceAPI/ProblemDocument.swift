package import BlockModel

/// A problem as RFC 9457 writes it: what every HTTP answer from 400 on carries.
package struct ProblemDocument: Sendable, Codable, Equatable {
  package static let contentType = "application/problem+json"
  static let prefix = "urn:cairn:problem:"

  package var type: String
  package var title: String
  package var status: Int
  package var detail: String
  /// The id of the request, to be quoted when asking for help.
  package var instance: String?
  package var current: FileEntry?
  package var base: VersionInfo?
  package var missing: [BlockID]?
  package var retryAfter: Int?

  package init(_ problem: Problem, instance: String? = nil) {
    type = problem.type
    title = problem.title
    status = problem.status
    detail = problem.detail
    self.instance = instance
    current = problem.current
    base = problem.base
    missing = problem.missing
    retryAfter = problem.retryAfter
  }

  /// What the document says, as the error that was thrown on the other side; nil when its type is none of ours.
  package var problem: Problem? {
    guard type.hasPrefix(ProblemDocument.prefix),
      let kind = Problem.Kind(rawValue: String(type.dropFirst(ProblemDocument.prefix.count)))
    else { return nil }
    return Problem(kind, detail, current: current, base: base, missing: missing, retryAfter: retryAfter)
  }

  private enum CodingKeys: String, CodingKey {
    case type, title, status, detail, instance, current, base, missing
    case retryAfter = "retry_after"
  }
}
