internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI

extension GatewayService {
  private static let listing: [RouteDescription.Parameter] = [
    .init("children", .boolean, "1 lists what is in the folder instead."),
    .init("recursive", .boolean, "1 lists all that is below it, parents before children."), .limit, .cursor,
  ]

  var treeRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .get, pattern: "/v1/files", operation: "findFile",
        summary: "The file, folder or symlink at a path, or what is in a folder.",
        parameters: [.init("path", .string, "Absolute, such as `/docs/a.txt`.")] + GatewayService.listing, headers: [.ifNoneMatch],
        answers: GatewayService.fileOrPage, problems: [.invalidName, .notFound, .wrongKindOfEntry, .invalidCursor], handler: findFile),
      RouteDescription(
        method: .get, pattern: "/v1/files/{id}", operation: "getFile", summary: "A file, folder or symlink, or what is in a folder.",
        parameters: GatewayService.listing, headers: [.ifNoneMatch], answers: GatewayService.fileOrPage,
        problems: [.notFound, .wrongKindOfEntry, .invalidCursor], handler: getFile),
      RouteDescription(
        method: .patch, pattern: "/v1/files/{id}", operation: "updateFile", summary: "Moves, renames, or changes what is known of a file.",
        headers: [.ifMatch], request: .updateRequest, answers: [.init(200, "The file as it is now.", .file)],
        problems: [
          .invalidName, .notFound, .forbidden, .conflict, .alreadyExists, .wrongKindOfEntry, .preconditionFailed, .encryptionBoundary,
        ], handler: updateFile),
      RouteDescription(
        method: .delete, pattern: "/v1/files/{id}", operation: "deleteFile", summary: "To the trash, or away for good.",
        parameters: [
          .init("forever", .boolean, "1 passes the trash by; needs If-Match."),
          .init("recursive", .boolean, "1 takes a folder with all that is in it."),
        ], headers: [.ifMatch], answers: [.init(204, "It is gone.")],
        problems: [.notFound, .forbidden, .notEmpty, .preconditionFailed, .preconditionRequired], handler: deleteFile),
      RouteDescription(
        method: .post, pattern: "/v1/folders", operation: "createFolder", summary: "Makes a folder.", headers: [.idempotencyKey],
        request: .folderRequest, answers: [.init(201, "The folder.", .file)],
        problems: [.invalidName, .notFound, .forbidden, .conflict, .alreadyExists, .wrongKindOfEntry, .encryptionBoundary],
        handler: createFolder),
      RouteDescription(
        method: .post, pattern: "/v1/symlinks", operation: "createSymlink", summary: "Makes a symlink, uninterpreted.",
        headers: [.idempotencyKey], request: .symlinkRequest, answers: [.init(201, "The symlink.", .file)],
        problems: [.invalidName, .notFound, .forbidden, .alreadyExists, .encryptionBoundary], handler: createSymlink),
      RouteDescription(
        method: .post, pattern: "/v1/files/{id}/copy", operation: "copyFile",
        summary: "Copies without moving bytes; folders with all below.",
        headers: [.idempotencyKey], request: .copyRequest, answers: [.init(201, "The copy.", .file)],
        problems: [.invalidName, .notFound, .forbidden, .alreadyExists, .conflict, .preconditionFailed, .quota, .encryptionBoundary],
        handler: copyFile),
      RouteDescription(
        method: .get, pattern: "/v1/files/{id}/versions", operation: "listVersions", summary: "A file's revisions, newest first.",
        parameters: [.limit, .cursor], answers: [.init(200, "Revisions.", .versionPage)],
        problems: [.notFound, .wrongKindOfEntry, .invalidCursor], handler: listVersions),
    ]
  }

  private static let fileOrPage: [RouteDescription.Answer] = [
    .init(200, "The file, or with `children` or `recursive` a page of files.", .json(.either([.file, .filePage]))),
    .init(304, "It is still the version that the caller knows."),
  ]

  // MARK: Reading

  private func findFile(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    // An empty parameter is a path too, and a wrong one.
    let paths = call.head.query.filter { $0.name == "path" }
    guard paths.count == 1 else { throw Problem(.malformed, "This needs the parameter `path`, once.") }
    return try await read(.path(try GatewayCall.path(paths[0].value)), call)
  }

  private func getFile(_ call: GatewayCall) async throws(Problem) -> HTTPResponse { try await read(try call.entry(), call) }

  private func read(_ entry: EntryReference, _ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let recursive = try call.flag("recursive")
    let children = try call.flag("children")
    if recursive || children {
      let operation = UserOperations.ListFolder(
        entry: entry, recursive: recursive, limit: try call.limit(), cursor: try call.cursor())
      return .json(try await performEncoded(operation, call))
    }
    let file = try await perform(UserOperations.Stat(entry: entry), call)
    // A read that the caller may not make looks the same with and without the header, so the comparison comes after the answer.
    if let answer = try EntityTag.preconditionForRead(call.head.headers, version: file.version) { return answer }
    return try .file(file)
  }

  private func listVersions(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let operation = UserOperations.ListVersions(entry: try call.entry(), limit: try call.limit(default: 100), cursor: try call.cursor())
    return try .json(try await perform(operation, call))
  }

  // MARK: Changing

  private func updateFile(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.entry()
    let ifVersion = try EntityTag.versionForChange(call.head.headers)
    let request = try await call.document(UpdateRequest.self)
    let path = try request.path.map { text throws(Problem) in try GatewayCall.path(text) }
    let operation = UserOperations.UpdateEntry(
      entry: entry, newPath: path, modifiedAt: request.modifiedAt, executable: request.executable, chunker: request.chunker,
      ifVersion: ifVersion)
    return try .file(try await perform(operation, call))
  }

  private func deleteFile(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let forever = try call.flag("forever")
    // The one change that nothing brings back: who asks for it says what it is about (RFC 6585, 3), or `*` for whatever is there.
    guard !forever || call.head.headers["If-Match"] != nil else {
      throw Problem(.preconditionRequired, "Deleting for good needs If-Match with the version that you know, or “*” for any.")
    }
    let operation = UserOperations.DeleteEntry(
      entry: try call.entry(), forever: forever, recursive: try call.flag("recursive"),
      ifVersion: try EntityTag.versionForChange(call.head.headers))
    _ = try await perform(operation, call)
    return .done
  }

  private func createFolder(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(FolderRequest.self)
    let operation = UserOperations.CreateFolder(
      path: try GatewayCall.path(request.path), parents: request.parents ?? false, modifiedAt: request.modifiedAt, chunker: request.chunker,
      key: request.encrypted)
    return try .file(try await perform(operation, call), status: 201)
  }

  private func createSymlink(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(SymlinkRequest.self)
    guard (1...Limits.pathBytes).contains(request.target.utf8.count), !request.target.utf8.contains(0) else {
      throw Problem(.malformed, "`target` has 1 to \(Limits.pathBytes) bytes and no zero byte.")
    }
    let operation = UserOperations.CreateSymlink(
      path: try GatewayCall.path(request.path), target: request.target, parents: request.parents ?? false, modifiedAt: request.modifiedAt)
    return try .file(try await perform(operation, call), status: 201)
  }

  private func copyFile(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.entry()
    let request = try await call.document(CopyRequest.self)
    let operation = UserOperations.CopyEntry(
      entry: entry, newPath: try GatewayCall.path(request.path), replaces: request.replaces)
    return try .file(try await perform(operation, call), status: 201)
  }
}
