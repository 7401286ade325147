internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Keys of users and of encrypted folders, all of them sealed for somebody else than the cluster.
extension GatewayService {
  var keyRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .get, pattern: "/v1/keys", operation: "getKeys",
        summary: "The caller's key pair for sharing, or another user's public key.",
        parameters: [.init("user", .string, "Whose public key; the caller's pair when absent.")],
        answers: [.init(200, "The pair, or the public key.", .json(.either([.keyPair, .publicKey])))], problems: [.notFound],
        handler: getKeys),
      RouteDescription(
        method: .put, pattern: "/v1/keys", operation: "putKeys", summary: "Keeps the caller's key pair, in place of the former one if any.",
        request: .keyPairRequest, answers: [.init(200, "The pair.", .keyPair)], problems: [.conflict], handler: putKeys),
      RouteDescription(
        method: .get, pattern: "/v1/folders/keys", operation: "listFolderKeys",
        summary: "The encrypted folders that the caller sees, with their keys wrapped to the caller.", parameters: [.limit, .cursor],
        answers: [.init(200, "Folders and keys.", .folderKeyPage)], problems: [.invalidCursor], handler: listFolderKeys),
      RouteDescription(
        method: .put, pattern: "/v1/files/{id}/keys", operation: "putFolderKey",
        summary: "Hands an encrypted folder's key to a user who sees the folder.", request: .folderKeyRequest,
        answers: [.init(204, "The user can fetch it.")], problems: [.notFound, .forbidden, .conflict, .encryptionBoundary],
        handler: putFolderKey),
    ]
  }

  private func getKeys(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    guard let user = try call.query("user") else { return try .json(try await perform(UserOperations.GetKeyPair(), call)) }
    return try .json(try await perform(UserOperations.GetPublicKey(user: user), call))
  }

  private func putKeys(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let request = try await call.document(KeyPairRequest.self)
    guard request.replaces ?? 0 >= 0 else { throw Problem(.malformed, "`replaces` is a generation, or 0 for none.") }
    let operation = UserOperations.PutKeyPair(
      publicKey: request.publicKey, wrappedPrivateKey: request.wrappedPrivateKey, replaces: request.replaces ?? 0)
    return try .json(try await perform(operation, call))
  }

  private func listFolderKeys(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(try await perform(UserOperations.ListFolderKeys(limit: try call.limit(), cursor: try call.cursor()), call))
  }

  private func putFolderKey(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let entry = try call.entry()
    let request = try await call.document(FolderKeyRequest.self)
    let key = WrappedKey(wrappedKey: request.wrappedKey, generation: request.generation)
    _ = try await perform(UserOperations.PutFolderKey(entry: entry, user: request.user, key: key), call)
    return .done
  }
}
