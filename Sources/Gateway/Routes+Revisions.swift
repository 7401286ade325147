internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI

extension GatewayService {
  var revisionRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .post, pattern: "/v1/files/{id}/versions/{version}/restore", operation: "restoreVersion",
        summary: "Makes a revision's content the newest one.", headers: [.idempotencyKey, .ifMatch],
        answers: [.init(201, "The file with its new version.", .file)],
        problems: [.notFound, .forbidden, .wrongKindOfEntry, .preconditionFailed], handler: restoreVersion),
      RouteDescription(
        method: .post, pattern: "/v1/files/{id}/rewind", operation: "rewindFolder",
        summary: "Makes a folder as it was at a time or a cursor of the feed, as one change that can be undone.",
        headers: [.idempotencyKey], request: .rewindRequest, answers: [.init(200, "What was changed.", .rewind)],
        problems: [.notFound, .forbidden, .conflict, .wrongKindOfEntry, .invalidCursor], handler: rewind),
      RouteDescription(
        method: .get, pattern: "/v1/trash", operation: "listTrash", summary: "What was deleted, the last first.",
        parameters: [.limit, .cursor], answers: [.init(200, "The trash.", .trashPage)], problems: [.invalidCursor], handler: listTrash),
      RouteDescription(
        method: .delete, pattern: "/v1/trash", operation: "emptyTrash", summary: "Deletes for good all that is in the trash.",
        answers: [.init(200, "How many went.", .emptied)], handler: emptyTrash),
      RouteDescription(
        method: .delete, pattern: "/v1/trash/{id}", operation: "deleteFromTrash", summary: "Deletes one thing in the trash for good.",
        answers: [.init(204, "It is gone.")], problems: [.notFound], handler: deleteFromTrash),
      RouteDescription(
        method: .post, pattern: "/v1/trash/{id}/restore", operation: "restoreFromTrash", summary: "Takes something out of the trash.",
        headers: [.idempotencyKey], request: .restoreRequest, requestRequired: false, answers: [.init(201, "The entry.", .file)],
        problems: [.notFound, .forbidden, .alreadyExists, .conflict, .invalidName], handler: restoreFromTrash),
      RouteDescription(
        method: .post, pattern: "/v1/changesets", operation: "applyChangeSet",
        summary: "Several changes in order, all or none.", headers: [.idempotencyKey], request: .changeSetRequest,
        bodyLimit: GatewayLimits.listBytes, answers: [.init(201, "What each change left.", .changeSet)],
        problems: [
          .invalidName, .notFound, .forbidden, .conflict, .alreadyExists, .notEmpty, .wrongKindOfEntry, .preconditionFailed, .quota,
          .missingBlocks,
        ], handler: applyChangeSet),
    ]
  }

  private func restoreVersion(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    guard let version = Int64(call.head.parameters["version"] ?? ""), version > 0 else {
      throw Problem(.notFound, "There is no such version; versions are numbers from 1 on.")
    }
    let operation = UserOperations.RestoreVersion(
      entry: try call.entry(), version: version, ifVersion: try EntityTag.versionForChange(call.head.headers))
    return try .file(try await perform(operation, call), status: 201)
  }

  private func rewind(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.entry()
    let request = try await call.document(RewindRequest.self)
    let target: RewindTarget
    switch (request.time, request.cursor) {
    case (let time?, nil): target = .time(time)
    case (nil, let cursor?): target = .cursor(try GatewayCall.feedCursor(cursor))
    default: throw Problem(.malformed, "A rewind needs `time` or `cursor`, and not both.")
    }
    return try .json(try await perform(UserOperations.Rewind(entry: entry, target: target), call))
  }

  private func listTrash(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(try await perform(UserOperations.ListTrash(limit: try call.limit(), cursor: try call.cursor()), call))
  }

  private func emptyTrash(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(try await perform(UserOperations.EmptyTrash(entry: nil), call))
  }

  private func deleteFromTrash(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    _ = try await perform(UserOperations.EmptyTrash(entry: try call.removedEntry()), call)
    return .done
  }

  private func restoreFromTrash(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.removedEntry()
    let request = try await call.document(RestoreRequest.self, default: RestoreRequest())
    let path = try request.path.map { text throws(Problem) in try GatewayCall.path(text) }
    return try .file(try await perform(UserOperations.RestoreFromTrash(entry: entry, newPath: path), call), status: 201)
  }

  private func applyChangeSet(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    var request = try await call.document(ChangeSetRequest.self)
    guard (1...ChangeSetRequest.limit).contains(request.changes.count) else {
      throw Problem(
        request.changes.isEmpty ? .malformed : .tooLarge, "A change set has 1 to \(ChangeSetRequest.limit) changes; send more in parts.")
    }
    for index in request.changes.indices {
      request.changes[index].path = try request.changes[index].path.map { text throws(Problem) in try GatewayCall.path(text) }
      request.changes[index].to = try request.changes[index].to.map { text throws(Problem) in try GatewayCall.path(text) }
      if let complete = request.changes[index].complete { try GatewayService.check(complete) }
    }
    return try .json(try await perform(UserOperations.ApplyChangeSet(request: request), call), status: 201)
  }
}

extension GatewayCall {
  fileprivate func removedEntry() throws(Problem) -> EntryID {
    guard let id = EntryID(hex: head.parameters["id"] ?? "") else { throw Problem(.notFound, "There is no such thing in the trash.") }
    return id
  }
}
