package import HTTPTransport
internal import Platform
package import ServiceAPI
internal import Synchronization

/// The coordinator behind HTTP: what gateways, nodes and operators' tools call.
///
/// What must hold: an operation that changes something is sent once and not again, because its outcome is unknown when the answer is lost;
/// reads are tried again, a bounded number of times. The token goes into a header and nowhere else.
package struct RemoteControlPlane: EncodedControlPlane {
  private let http: any HTTPRequesting
  private let urls: [String]
  private let token: Token
  private let timeout: Duration
  private let attempts: Int
  private let advice: String
  private let turn = Turn()

  /// - Parameters:
  ///   - urls: the coordinators' base URLs without a trailing slash, at least one; one that cannot be reached is followed by the next.
  ///   - token: the caller's service token.
  ///   - timeout: for one exchange. Operations that wait on purpose get their waiting time on top.
  ///   - attempts: how often a read is tried in all.
  ///   - advice: a sentence with what to do, said when no coordinator can be reached; for callers that people look at.
  package init(
    http: any HTTPRequesting, urls: [String], token: String, timeout: Duration = .seconds(30), attempts: Int = 3, advice: String = ""
  ) {
    precondition(!urls.isEmpty && attempts > 0, "there is a coordinator to ask, and it is asked at least once")
    self.http = http
    self.urls = urls
    self.token = Token(token)
    self.timeout = timeout
    self.attempts = attempts
    self.advice = advice
  }

  package init(http: any HTTPRequesting, url: String, token: String, timeout: Duration = .seconds(30), attempts: Int = 3) {
    self.init(http: http, urls: [url], token: token, timeout: timeout, attempts: attempts)
  }

  /// Shows this token from now on.
  package func replace(token: String) { self.token.text.withLock { $0 = token } }

  package func perform<Operation: ControlOperation>(
    _ operation: Operation, context: ControlContext
  ) async throws(Problem) -> Operation.Response {
    let bytes = try await performEncoded(operation, context: context)
    do { return try JSONCoding.decode(Operation.Response.self, from: bytes, maxDepth: 64, limit: 64 << 20) } catch {
      throw Problem(.internalError, "The coordinator's answer cannot be read: \(error.message)")
    }
  }

  package func performEncoded<Operation: ControlOperation>(
    _ operation: Operation, context: ControlContext
  ) async throws(Problem) -> [UInt8] {
    let body = try encoded(operation)
    let limit = max(attempts, urls.count)
    var attempt = 0
    while true {
      do {
        let url = turn.current.load(ordering: .relaxed)
        let response = try await exchange(operation, body: body, url: urls[(url + attempt) % urls.count], context: context)
        // The one that answered is asked first from now on: another one may be down, or keep no cluster.
        if attempt > 0 { turn.current.store((url + attempt) % urls.count, ordering: .relaxed) }
        return response
      } catch {
        attempt += 1
        guard error.mayRepeat(isRead: Operation.isRead), attempt < limit, !Task.isCancelled else { throw error.problem }
        // Both a coordinator that starts and one that is out of breath get a moment; the wait is short because a client waits behind us.
        try? await Task.sleep(for: .milliseconds(50 << min(attempt, 4)))
      }
    }
  }

  private func encoded(_ operation: some ControlOperation) throws(Problem) -> [UInt8] {
    do { return try JSONCoding.encode(operation) } catch { throw Problem(.internalError, error.message) }
  }

  private func exchange<Operation: ControlOperation>(
    _ operation: Operation, body: [UInt8], url: String, context: ControlContext
  ) async throws(Failure) -> [UInt8] {
    var headers: HTTPHeaders = ["Content-Type": "application/json", "Authorization": "Bearer \(token.text.withLock { $0 })"]
    headers["X-Request-Id"] = context.requestID
    headers[ControlHeader.protocolVersion] = String(ControlProtocol.current)
    headers[ControlHeader.userToken] = context.userToken
    headers[ControlHeader.idempotencyKey] = context.idempotencyKey
    if !context.remoteAddress.isEmpty { headers[ControlHeader.clientAddress] = context.remoteAddress }
    let waits =
      (operation as? ClusterOperations.GetView)?.waitMilliseconds ?? (operation as? UserOperations.AwaitChanges)?.waitMilliseconds ?? 0
    let request = HTTPClientRequest(
      method: .post, url: "\(url)/v1/control/\(Operation.name)", headers: headers, body: .bytes(body),
      deadline: timeout + .milliseconds(waits), stallTimeout: nil, responseLimit: 64 << 20)
    let response: HTTPClientResponse
    do { response = try await http.send(request) } catch {
      throw Failure(
        problem: Problem(
          .unavailable, "The coordinator cannot be reached: \(error.message)" + (advice.isEmpty ? "" : ". \(advice)"), retryAfter: 1),
        wasSent: ![.cannotResolve, .cannotConnect, .tls, .invalidURL, .plain].contains(error.code))
    }
    guard response.status == 200 else { throw Failure(problem: RemoteControlPlane.problem(in: response), wasSent: true) }
    return response.bytes
  }

  private static func problem(in response: HTTPClientResponse) -> Problem {
    if let document = try? JSONCoding.decode(ProblemDocument.self, from: response.bytes, maxDepth: 64), let problem = document.problem {
      return problem
    }
    let kind: Problem.Kind = response.status == 503 || response.status == 502 ? .unavailable : .internalError
    return Problem(kind, "The coordinator answered \(response.status) without saying why.")
  }

  /// Which of the coordinators is asked first; shared by the copies of this value.
  private final class Turn: Sendable {
    let current = Atomic(0)
  }

  /// What is shown; shared by the copies of this value.
  private final class Token: Sendable {
    let text: Mutex<String>
    init(_ text: String) { self.text = Mutex(text) }
  }

  private struct Failure: Error {
    var problem: Problem
    /// Whether the request may have reached the coordinator.
    var wasSent: Bool

    func mayRepeat(isRead: Bool) -> Bool {
      guard problem.kind == .unavailable || problem.kind == .busy else { return false }
      // A coordinator that says `busy` has done nothing, and one that was never reached neither.
      return isRead || !wasSent || problem.kind == .busy
    }
  }
}
