internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Requests to the gateway: JSON both ways, the token, retries, and problem documents as `Problem`.
final class GatewayConnection: Sendable {
  /// Whether doing the same thing again, after an attempt whose outcome is not known, is harmless.
  enum Repeatable: Sendable {
    /// By its nature.
    case yes
    /// Because the gateway sees the same idempotency key.
    case keyed
    case no
  }

  private let transport: any HTTPRequesting
  let base: String
  private let token: Mutex<String?>
  let patience: Duration
  let time: any TimeSource
  let folders: EncryptedFolders

  init(
    transport: any HTTPRequesting, base: String, token: String?, patience: Duration, time: any TimeSource, folders: EncryptedFolders
  ) {
    self.folders = folders
    self.transport = transport
    self.base = base.hasSuffix("/") ? String(base.dropLast()) : base
    self.token = Mutex(token)
    self.patience = patience
    self.time = time
  }

  func setToken(_ token: String?) { self.token.withLock { $0 = token } }
  var currentToken: String? { token.withLock { $0 } }

  /// - Throws: `Problem`, `HTTPClientError`, `JSONError`, `CancellationError`.
  func call<Answer: Decodable>(
    _ method: HTTPMethod, _ path: String, query: [(name: String, value: String?)] = [], body: (any Encodable & Sendable)? = nil,
    ifMatch: Int64? = nil, repeatable: Repeatable = .yes, authenticated: Bool = true, as type: Answer.Type = Answer.self
  ) async throws -> Answer {
    let bytes = try await exchange(
      method, path, query: query, body: body, ifMatch: ifMatch, repeatable: repeatable, authenticated: authenticated)
    return try JSONCoding.decode(type, from: bytes)
  }

  /// As `call`, for answers that carry nothing of interest.
  func perform(
    _ method: HTTPMethod, _ path: String, query: [(name: String, value: String?)] = [], body: (any Encodable & Sendable)? = nil,
    ifMatch: Int64? = nil, repeatable: Repeatable = .yes
  ) async throws {
    _ = try await exchange(method, path, query: query, body: body, ifMatch: ifMatch, repeatable: repeatable, authenticated: true)
  }

  private func exchange(
    _ method: HTTPMethod, _ path: String, query: [(name: String, value: String?)], body: (any Encodable & Sendable)?, ifMatch: Int64?,
    repeatable: Repeatable, authenticated: Bool
  ) async throws -> [UInt8] {
    var headers: HTTPHeaders = ["Accept": "application/json"]
    if authenticated {
      guard let token = currentToken else {
        throw CairnError(.notLoggedIn, "Nobody is logged in; run “cairn login USER”, or set CAIRN_TOKEN.")
      }
      headers["Authorization"] = "Bearer \(token)"
    }
    if let ifMatch { headers["If-Match"] = "\"\(ifMatch)\"" }
    if repeatable == .keyed { headers["Idempotency-Key"] = HexDigits.encode(SecureRandom.bytes(16)) }
    var request = HTTPClientRequest(method: method, url: base + path + URLText.query(query), headers: headers)
    if let body {
      request.headers["Content-Type"] = "application/json"
      request.body = .bytes(try JSONCoding.encode(body))
    }
    return try await send(request, repeatable: repeatable)
  }

  private func send(_ request: HTTPClientRequest, repeatable: Repeatable) async throws -> [UInt8] {
    var backoff = Backoff(patience: patience, time: time)
    // Whether an attempt before this one may have taken effect.
    var mayBeDone = false
    while true {
      try Task.checkCancellation()
      let failure: any Error
      var retryAfter: Duration?
      do {
        let response = try await transport.send(request)
        if (200..<300).contains(response.status) { return response.bytes }
        let problem = ProblemReader.read(response)
        // It was there at the first attempt, or what is asked for has come about without us.
        if problem.kind == .notFound, request.method == .delete, mayBeDone { return [] }
        mayBeDone = mayBeDone || problem.kind == .unavailable
        guard ProblemReader.isTransient(problem) else { throw await opened(problem) }
        retryAfter = problem.retryAfter.map { .seconds($0) }
        failure = problem
      } catch let error as HTTPClientError {
        guard Self.mayRepeat(after: error, repeatable) else { throw error }
        mayBeDone = mayBeDone || (error.code != .cannotResolve && error.code != .cannotConnect)
        failure = error
      }
      guard let wait = backoff.next(retryAfter: retryAfter) else { throw failure }
      try await Task.sleep(for: wait)
    }
  }

  /// A request that never reached the other side may always be sent again.
  private static func mayRepeat(after error: HTTPClientError, _ repeatable: Repeatable) -> Bool {
    switch error.code {
    case .invalidURL, .plain, .tls, .responseTooLarge, .cancelled, .uploadAborted, .shutDown: false
    case .cannotResolve, .cannotConnect: true
    case .timedOut, .stalled, .broken: repeatable != .no
    }
  }
}
