internal import BlockModel
package import Credentials
package import HTTPTransport
package import Platform
package import ServiceAPI

/// The HTTP door of the control operations: `POST /v1/control/{name}`, a service's token as bearer, JSON in and out.
///
/// What must hold: an operation runs only for a caller of its audience; which node calls is taken from its token, never from the request.
package struct ControlRoutes: Sendable {
  private let dispatcher: ControlDispatcher
  private let verifier: ServiceTokenVerifier
  private let logger: Logger
  private let servesUsers: @Sendable () -> Bool
  private let unknown: Problem

  /// - Parameters:
  ///   - unknown: what is said of an operation that nobody has registered.
  ///   - servesUsers: false while the metadata may not be the newest yet: then users' operations are refused.
  package init(
    dispatcher: ControlDispatcher, verifier: ServiceTokenVerifier, logger: Logger,
    unknown: Problem = Problem(.notFound, "There is no such control operation."), servesUsers: @escaping @Sendable () -> Bool = { true }
  ) {
    self.unknown = unknown
    self.servesUsers = servesUsers
    self.dispatcher = dispatcher
    self.verifier = verifier
    self.logger = logger
  }

  package func add(to router: inout HTTPRouter) {
    router.add(
      .post, "/v1/control/{name}", maxBodyBytes: JSONCoding.defaultLimit, allowsChunked: true,
      gate: { head in
        do throws(Problem) {
          _ = try admit(head)
          return nil
        } catch { return ControlRoutes.answer(error, requestID: head.requestID) }
      },
      handler: { head, body in await handle(head, body) })
  }

  private func handle(_ head: HTTPRequestHead, _ body: any HTTPRequestBody) async -> HTTPResponse {
    do throws(Problem) {
      let (name, context) = try admit(head)
      let bytes: [UInt8]
      do { bytes = try await body.collect(limit: JSONCoding.defaultLimit) } catch { throw ControlRoutes.problem(of: error) }
      let answer = try await dispatcher.performEncoded(name: name, body: bytes, context: context)
      return HTTPResponse(status: 200, headers: ["Content-Type": "application/json"], body: .bytes(answer))
    } catch {
      if error.kind == .internalError {
        logger.request(head.requestID).error(
          "A control operation failed", ["operation": .string(head.parameters["name"] ?? ""), "reason": .string(error.detail)])
      }
      return ControlRoutes.answer(error, requestID: head.requestID)
    }
  }

  /// Who calls what, and on whose behalf.
  private func admit(_ head: HTTPRequestHead) throws(Problem) -> (name: String, context: ControlContext) {
    guard let header = head.headers["Authorization"], header.lowercased().hasPrefix("bearer "),
      let principal = verifier.verify(String(header.dropFirst("bearer ".count)))
    else { throw Problem(.unauthenticated, "This needs the token of a service of this cluster.") }
    try check(head.peer, principal)
    try ControlProtocol.check(head.headers[ControlHeader.protocolVersion], callee: "This coordinator")
    let name = head.parameters["name"] ?? ""
    guard let audience = dispatcher.audience(of: name) else { throw unknown }
    var context = ControlContext(
      userToken: head.headers[ControlHeader.userToken], idempotencyKey: head.headers[ControlHeader.idempotencyKey],
      requestID: head.requestID, remoteAddress: head.headers[ControlHeader.clientAddress] ?? head.remoteAddress)
    if audience == .user, !servesUsers() {
      throw Problem(.unavailable, "The coordinator is starting; try again in a moment.", retryAfter: 1)
    }
    switch (audience, principal) {
    case (.user, .gateway), (.gateway, .gateway): break
    case (.op, .op(let name)): context.operatorName = name
    case (.node, .node(let node)): context.node = node
    default: throw Problem(.forbidden, "This operation is not for the bearer of this token.")
    }
    return (name, context)
  }

  /// With mutual TLS a daemon's token works only beside its own certificate: a token that leaks opens nothing by itself.
  private func check(_ peer: PeerIdentity, _ principal: ServicePrincipal) throws(Problem) {
    let isItself =
      switch principal {
      case .node(let node): peer.isNamed(node.text, kind: "node")
      case .gateway(let name): peer.isNamed(name, kind: "gateway")
      case .op: true
      }
    guard isItself else { throw Problem(.forbidden, "This token takes the certificate of the same daemon beside it.") }
  }

  private static func problem(of error: HTTPBodyError) -> Problem {
    switch error {
    case .incomplete: Problem(.malformed, "The body ended early.")
    case .tooLarge: Problem(.tooLarge, "The body has more than \(JSONCoding.defaultLimit) bytes.")
    default: Problem(.unavailable, "The coordinator is stopping.", retryAfter: 1)
    }
  }

  private static func answer(_ problem: Problem, requestID: String) -> HTTPResponse {
    // A problem is numbers and sentences; if it cannot be written, its status still says the most of it.
    let body = (try? JSONCoding.encode(ProblemDocument(problem, instance: requestID))) ?? []
    var headers: HTTPHeaders = ["Content-Type": ProblemDocument.contentType]
    if let seconds = problem.retryAfter { headers["Retry-After"] = String(seconds) }
    if problem.kind == .unauthenticated { headers["WWW-Authenticate"] = "Bearer" }
    return HTTPResponse(status: problem.status, headers: headers, body: .bytes(body))
  }
}
