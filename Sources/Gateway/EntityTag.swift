internal import HTTPTransport
internal import ServiceAPI

/// Strong entity tags, which are version numbers in quotes, and the headers that compare them (RFC 9110, 13.1).
enum EntityTag {
  static func text(_ version: Int64) -> String { "\"\(version)\"" }

  /// A list of tags, or `*`.
  enum Condition: Equatable {
    case any
    /// Versions that are named; tags that are no version of ours, and weak ones, match nothing in a strong comparison.
    case versions([Int64])

    func matches(_ version: Int64) -> Bool {
      switch self {
      case .any: true
      case .versions(let list): list.contains(version)
      }
    }
  }

  /// - Parameter weak: whether `W/"5"` counts as 5, as `If-None-Match` wants it.
  static func condition(_ header: String?, weak: Bool) -> Condition? {
    guard let header else { return nil }
    let list = header.split(separator: ",").map { $0.trimmed }
    if list == ["*"] { return .any }
    return .versions(
      list.compactMap { tag in
        let tag = tag.hasPrefix("W/") ? (weak ? tag.dropFirst(2) : "") : tag[...]
        guard tag.count >= 3, tag.first == "\"", tag.last == "\"" else { return nil }
        return Int64(tag.dropFirst().dropLast())
      })
  }

  /// What a conditional GET is answered: nil to go on, 304, or a refusal with 412.
  static func preconditionForRead(_ headers: HTTPHeaders, version: Int64) throws(Problem) -> HTTPResponse? {
    if let wanted = condition(headers["If-Match"], weak: false), !wanted.matches(version) { throw changed(version) }
    if let known = condition(headers["If-None-Match"], weak: true), known.matches(version) {
      return HTTPResponse(status: 304, headers: ["ETag": text(version), "Cache-Control": "private, no-cache"])
    }
    return nil
  }

  /// The version that a change is conditional on; nil when it is not. The coordinator compares, in the transaction that changes.
  static func versionForChange(_ headers: HTTPHeaders) throws(Problem) -> Int64? {
    guard headers["If-None-Match"] == nil else {
      throw Problem(.malformed, "If-None-Match does not go with changing what is there: send If-Match with the version that you know.")
    }
    switch condition(headers["If-Match"], weak: false) {
    case nil, .any: return nil
    case .versions(let list):
      if list.count == 1 { return list[0] }
      guard list.isEmpty else { throw Problem(.malformed, "If-Match may name one version here.") }
      throw Problem(.preconditionFailed, "If-Match names no version: versions are numbers in quotes, as ETag shows them.")
    }
  }

  /// The base version of an upload by its headers: `If-None-Match: *` wants that nothing is there (0), `If-Match` that version.
  static func baseVersion(_ headers: HTTPHeaders) throws(Problem) -> Int64? {
    if let none = condition(headers["If-None-Match"], weak: true) {
      guard none == .any, headers["If-Match"] == nil else { throw Problem(.malformed, "If-None-Match may only be `*` here, and alone.") }
      return 0
    }
    return try versionForChange(headers)
  }

  static func changed(_ version: Int64) -> Problem {
    Problem(.preconditionFailed, "The file is at version \(version) now, which is none that If-Match names.")
  }
}

extension Substring {
  fileprivate var trimmed: String {
    var text = self
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
  }
}
