internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

extension GatewayService {
  var shareRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .put, pattern: "/v1/files/{id}/shares/{user}", operation: "share", summary: "Shares with a user, or changes their role.",
        request: .shareRequest, answers: [.init(200, "The share.", .share)],
        problems: [.notFound, .forbidden, .conflict, .encryptionBoundary],
        handler: share),
      RouteDescription(
        method: .get, pattern: "/v1/files/{id}/shares", operation: "listShares", summary: "With whom it is shared, by name.",
        parameters: [.limit, .cursor], answers: [.init(200, "Shares.", .sharePage)], problems: [.notFound, .forbidden, .invalidCursor],
        handler: listShares),
      RouteDescription(
        method: .delete, pattern: "/v1/files/{id}/shares/{user}", operation: "unshare",
        summary: "Takes a share back, or gives one's own up.", answers: [.init(204, "It is not shared with them any more.")],
        problems: [.notFound, .forbidden], handler: unshare),
      RouteDescription(
        method: .get, pattern: "/v1/shared", operation: "listShared", summary: "What others share with the caller, by name.",
        parameters: [.limit, .cursor], answers: [.init(200, "Shares.", .sharePage)], problems: [.invalidCursor], handler: listShared),
    ]
  }

  private func share(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.entry()
    let role = try await call.document(ShareRequest.self).role
    guard role != .owner else { throw Problem(.malformed, "`role` is `read`, `write` or `admin`.") }
    let operation = UserOperations.Share(entry: entry, user: call.head.parameters["user"] ?? "", role: role)
    return try .json(try await perform(operation, call))
  }

  private func listShares(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let operation = UserOperations.ListShares(entry: try call.entry(), limit: try call.limit(), cursor: try call.cursor())
    return .json(try await performEncoded(operation, call))
  }

  private func unshare(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    _ = try await perform(UserOperations.Unshare(entry: try call.entry(), user: call.head.parameters["user"] ?? ""), call)
    return .done
  }

  private func listShared(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let operation = UserOperations.ListShared(limit: try call.limit(default: 100), cursor: try call.cursor())
    return .json(try await performEncoded(operation, call))
  }

  // MARK: - Links

  var linkRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .post, pattern: "/v1/files/{id}/links", operation: "createLink",
        summary: "Makes a link that opens it to whoever has the link.", headers: [.idempotencyKey], request: .linkRequest,
        requestRequired: false, answers: [.init(201, "The link; its token is shown this once.", .link)],
        problems: [.notFound, .forbidden, .wrongKindOfEntry, .encryptionBoundary], handler: createLink),
      RouteDescription(
        method: .get, pattern: "/v1/files/{id}/links", operation: "listLinksOfFile", summary: "The links of a file or folder.",
        parameters: [.limit, .cursor], answers: [.init(200, "Links.", .linkPage)], problems: [.notFound, .forbidden, .invalidCursor],
        handler: { call throws(Problem) in try await self.listLinks(try call.entry(), call) }),
      RouteDescription(
        method: .get, pattern: "/v1/links", operation: "listLinks", summary: "The links that the caller made, the newest first.",
        parameters: [.limit, .cursor], answers: [.init(200, "Links.", .linkPage)], problems: [.invalidCursor],
        handler: { call throws(Problem) in try await self.listLinks(nil, call) }),
      RouteDescription(
        method: .delete, pattern: "/v1/links/{id}", operation: "revokeLink", summary: "Revokes a link.",
        answers: [.init(204, "It opens nothing any more.")], problems: [.notFound], handler: revokeLink),
    ]
  }

  private func createLink(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.entry()
    let request = try await call.document(LinkRequest.self, default: LinkRequest())
    guard request.maxDownloads.map({ $0 > 0 }) ?? true else { throw Problem(.malformed, "`max_downloads` is 1 or more.") }
    let operation = UserOperations.CreateLink(
      entry: entry, expiresAt: request.expiresAt, password: request.password, maxDownloads: request.maxDownloads)
    let link = try await perform(operation, call)
    var headers: HTTPHeaders = ["Location": "/v1/links/\(link.id.hex)"]
    if let token = link.token { headers["Link"] = "</l/\(token)>; rel=\"alternate\"" }
    return try .json(link, status: 201, headers: headers)
  }

  private func listLinks(_ entry: EntryReference?, _ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(
      try await perform(UserOperations.ListLinks(entry: entry, limit: try call.limit(default: 100), cursor: try call.cursor()), call))
  }

  private func revokeLink(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    guard let id = LinkID(hex: call.head.parameters["id"] ?? "") else { throw Problem(.notFound, "There is no such link.") }
    _ = try await perform(UserOperations.RevokeLink(link: id), call)
    return .done
  }
}
