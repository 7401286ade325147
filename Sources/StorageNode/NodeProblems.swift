internal import BlockModel
internal import BlockStore
internal import Credentials
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Errors of every layer, as the problems that callers see.
extension Problem {
  init(_ error: CredentialError) {
    switch error.code {
    case .malformed: self.init(.malformed, "This URL is not a signed URL: \(error.message).")
    case .badSignature, .expired, .unknownKey: self.init(.unauthenticated, "Not allowed: \(error.message).")
    case .wrongNode, .wrongOperation, .keyFile: self.init(.forbidden, "Not allowed: \(error.message).")
    }
  }

  /// For the other side. A copy that is bad is not here as far as other nodes go.
  init(_ error: BlockStoreError) {
    switch error.code {
    case .notFound: self.init(.notFound, "This node does not have the block; take another replica.")
    case .rotten: self.init(.notFound, "This node's copy of the block fails its check and is not served; take another replica.")
    case .full: self.init(.full, "This node has no room for the block; ask for a URL at another node.")
    case .busy: self.init(.busy, "This node is busy; try again.", retryAfter: 1)
    case .malformed: self.init(.malformed, error.message)
    case .fenced, .closed, .io, .unreadable, .locked, .wrongCluster, .wrongNode, .newerFormat, .wrongKey:
      self.init(.unavailable, "This node cannot serve the block now: \(error.message)", retryAfter: 5)
    }
  }

  init(_ error: HTTPBodyError) {
    switch error {
    case .incomplete: self.init(.malformed, "The body ended before its declared length.")
    case .tooLarge: self.init(.tooLarge, "The body is longer than was declared.")
    case .timedOut: self.init(.malformed, "The body came too slowly.")
    case .cancelled: self.init(.unavailable, "The node is stopping.", retryAfter: 5)
    }
  }

  /// For a client whose read met a bad copy, when no good one could be fetched in its place.
  static let badCopy = Problem(
    .unavailable, "This node's copy of the block fails its check and no other could be fetched now; take another replica.", retryAfter: 5)
  static let noBuffer = Problem(.busy, "Too many uploads are under way on this node; try again.", retryAfter: 1)
  static let stopping = Problem(.unavailable, "The node is stopping; take another replica.", retryAfter: 5)
}

extension HTTPResponse {
  init(_ problem: Problem) {
    var headers: HTTPHeaders = [:]
    if let seconds = problem.retryAfter { headers["Retry-After"] = String(seconds) }
    self = .problem(status: problem.status, type: problem.type, title: problem.title, detail: problem.detail, headers: headers)
  }

  /// The answer to a PUT.
  init(stored reply: PutReply) {
    if let bytes = reply.plainJSON {
      self.init(status: 201, headers: ["Content-Type": "application/json"], body: .bytes(bytes))
    } else {
      self.init(status: 201, json: reply)
    }
  }

  /// A JSON document.
  init(status: Int, json: some Encodable) {
    do {
      self.init(status: status, headers: ["Content-Type": "application/json"], body: .bytes(try JSONCoding.encode(json)))
    } catch {
      self.init(Problem(.internalError, "The answer could not be written."))
    }
  }
}
