internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// What whoever has a link may ask. A link's password comes as the password of HTTP basic authentication, which browsers ask their user
/// for and `curl -u :PASSWORD` sends; it never stands in a URL.
extension GatewayService {
  private static let pathParameter = RouteDescription.Parameter("path", .string, "Below what is linked; `/` is what is linked itself.")
  private static let authorization = RouteDescription.Parameter("Authorization", .string, "`Basic` with the link's password.")

  var publicLinkRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .get, pattern: "/l/{token}", operation: "openLink",
        summary: "What a link leads to: a page for browsers, a document for those that accept JSON.", access: .open,
        parameters: [GatewayService.pathParameter, .limit, .cursor], headers: [GatewayService.authorization],
        answers: [.init(200, "What is there.", .linkContent)],
        problems: [.notFound, .unauthenticated, .tooManyRequests, .invalidName, .invalidCursor], handler: openLink),
      RouteDescription(
        method: .get, pattern: "/l/{token}/raw", operation: "downloadByLink", summary: "The bytes of a file that a link leads to.",
        access: .open, parameters: [GatewayService.pathParameter, .init("download", .boolean, "1 asks browsers to save instead of show.")],
        headers: [
          .init("Range", .string, "One range of bytes."), .init("If-Range", .string, "The version that the range is of."),
          .ifNoneMatch, GatewayService.authorization,
        ],
        answers: [
          .init(200, "All bytes.", .other("application/octet-stream")), .init(206, "The range.", .other("application/octet-stream")),
          .init(304, "It is still the version that the caller knows."),
        ],
        problems: [
          .notFound, .unauthenticated, .tooManyRequests, .invalidName, .wrongKindOfEntry, .preconditionFailed, .rangeNotSatisfiable,
          .quarantined, .notScanned,
        ], handler: downloadByLink),
    ]
  }

  private func openLink(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let address = try call.linkAddress()
    do throws(Problem) {
      let content = try await perform(
        UserOperations.OpenLink(
          token: address.token, password: address.password, path: address.path, limit: try call.limit(), cursor: try call.cursor()), call)
      guard LinkPage.isWanted(call.head.headers["Accept"]) else { return try .json(content) }
      return HTTPResponse(
        status: 200,
        headers: [
          "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
          "X-Content-Type-Options": "nosniff", "X-Robots-Tag": "noindex",
          "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        ], body: .bytes(Array(LinkPage.html(content, token: address.token).utf8)))
    } catch { return try GatewayService.challenge(error) }
  }

  private func downloadByLink(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let address = try call.linkAddress()
    @Sendable func plan(_ version: Int64?, _ cursor: String?, _ limit: Int, counts: Bool) async throws(Problem) -> DownloadPlan {
      try await self.perform(
        UserOperations.DownloadByLink(
          token: address.token, password: address.password, path: address.path, version: version, cursor: cursor, limit: limit,
          counts: counts), call)
    }
    do throws(Problem) {
      return try await content(
        call, version: nil,
        page: { version, cursor, limit throws(Problem) in try await plan(version, cursor, limit, counts: false) },
        admit: { () throws(Problem) in _ = try await plan(nil, nil, 1, counts: true) })
    } catch { return try GatewayService.challenge(error) }
  }

  /// Lets a browser ask its user for the link's password.
  private static func challenge(_ problem: Problem) throws(Problem) -> HTTPResponse {
    guard problem.kind == .unauthenticated else { throw problem }
    var answer = HTTPResponse.problem(problem)
    answer.headers["WWW-Authenticate"] = "Basic realm=\"link\", charset=\"UTF-8\""
    return answer
  }
}

extension GatewayCall {
  fileprivate func linkAddress() throws(Problem) -> (token: String, password: String?, path: String) {
    let path = try query("path").map { text throws(Problem) in try GatewayCall.path(text) } ?? "/"
    return (head.parameters["token"] ?? "", GatewayCall.basicPassword(head.headers["Authorization"]), path)
  }

  /// What stands after the colon of `Basic` credentials (RFC 7617).
  static func basicPassword(_ header: String?) -> String? {
    guard let header, header.prefix(6).lowercased() == "basic ", header.utf8.count <= 4096,
      let bytes = Base64URL.decode(urlSafe(header.dropFirst(6))), let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
    else { return nil }
    return String(decoding: bytes[(colon + 1)...], as: UTF8.self)
  }

  /// The same base 64 in the URL-safe alphabet and without padding.
  private static func urlSafe(_ text: Substring) -> String {
    String(text.drop { $0 == " " }.filter { $0 != "=" }.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
  }
}
