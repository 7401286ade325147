import BlockModel
import HTTPTransport
import ServiceAPI
import Testing

/// A request that is right, and what becomes of it.
struct RouteCase: Sendable, CustomTestStringConvertible {
  var method: HTTPMethod
  var path: String
  var json: String?
  var status: Int
  /// The operation that the coordinator is asked for; nil when it is not asked.
  var operation: String?
  var testDescription: String { "\(method.rawValue) \(path)" }

  init(_ method: HTTPMethod, _ path: String, _ json: String? = nil, _ status: Int, _ operation: String?) {
    self.method = method
    self.path = path
    self.json = json
    self.status = status
    self.operation = operation
  }

  private static let id = Samples.entryID.hex
  private static let upload = Samples.uploadID.hex
  private static let block = "{\"id\":\"\(Samples.hash)\",\"size\":4}"

  static let all: [RouteCase] = [
    .init(.post, "/v1/users", "{\"name\":\"ann\",\"password\":\"long enough\",\"shoe_size\":44}", 201, "sign-up"),
    .init(.post, "/v1/sessions", "{\"name\":\"ann\",\"password\":\"long enough\",\"device\":\"desk\"}", 201, "log-in"),
    .init(.delete, "/v1/sessions/current", nil, 204, "log-out"),
    .init(.get, "/v1/me", nil, 200, "who-am-i"),
    .init(.get, "/v1/devices", nil, 200, "list-devices"),
    .init(.delete, "/v1/devices/\(Samples.deviceID.hex)", nil, 204, "revoke-device"),
    .init(.get, "/v1/usage", nil, 200, "get-usage"),
    .init(.post, "/v1/uploads", "{\"path\":\"/a\",\"size\":4,\"blocks\":[\(block)],\"on_conflict\":\"copy\"}", 201, "open-upload"),
    .init(.post, "/v1/uploads/\(upload)/blocks", "{\"start\":1,\"blocks\":[\(block)]}", 200, "add-blocks"),
    .init(.get, "/v1/uploads/\(upload)?cursor=x", nil, 200, "get-upload"),
    .init(.post, "/v1/uploads/\(upload)/receipts", "{\"receipts\":[\"r1.x\"]}", 204, "add-receipts"),
    .init(.post, "/v1/uploads/\(upload)/complete", "{\"size\":4}", 201, "complete-upload"),
    .init(.post, "/v1/uploads/\(upload)/complete", nil, 201, "complete-upload"),
    .init(.delete, "/v1/uploads/\(upload)", nil, 204, "abort-upload"),
    .init(.post, "/v1/uploads/batch", "{\"uploads\":[{\"path\":\"/a\"},{\"path\":\"/b\"}]}", 200, "open-upload-batch"),
    .init(
      .post, "/v1/uploads/batch/complete", "{\"uploads\":[{\"upload_id\":\"\(upload)\",\"complete\":{}}]}", 200, "complete-upload-batch"),
    .init(.get, "/v1/files?path=/docs/a.txt", nil, 200, "stat"),
    .init(.get, "/v1/files?path=/&children=1&limit=10", nil, 200, "list-folder"),
    .init(.get, "/v1/files?path=/&recursive=1", nil, 200, "list-folder"),
    .init(.get, "/v1/files/\(id)", nil, 200, "stat"),
    .init(.get, "/v1/files/\(id)?children", nil, 200, "list-folder"),
    .init(.patch, "/v1/files/\(id)", "{\"path\":\"/b\"}", 200, "update-entry"),
    .init(.delete, "/v1/files/\(id)?recursive=1", nil, 204, "delete-entry"),
    .init(.post, "/v1/folders", "{\"path\":\"/f\",\"parents\":true}", 201, "create-folder"),
    .init(.post, "/v1/symlinks", "{\"path\":\"/l\",\"target\":\"../x\"}", 201, "create-symlink"),
    .init(.post, "/v1/files/\(id)/copy", "{\"path\":\"/c\"}", 201, "copy-entry"),
    .init(.get, "/v1/files/\(id)/versions?limit=5", nil, 200, "list-versions"),
    .init(.get, "/v1/files/\(id)/download?version=5&limit=5", nil, 200, "get-download-plan"),
    .init(.post, "/v1/downloads/batch", "{\"entries\":[{\"id\":\"\(id)\"},{\"path\":\"/b\"}]}", 200, "get-download-plans"),
    .init(.get, "/v1/changes?cursor=c0", nil, 200, "get-changes"),
    .init(.post, "/v1/files/\(id)/versions/3/restore", nil, 201, "restore-version"),
    .init(.post, "/v1/files/\(id)/rewind", "{\"time\":\"2026-11-21T06:09:00Z\"}", 200, "rewind"),
    .init(.post, "/v1/files/\(id)/rewind", "{\"cursor\":\"c1\"}", 200, "rewind"),
    .init(.get, "/v1/trash?limit=5", nil, 200, "list-trash"),
    .init(.delete, "/v1/trash", nil, 200, "empty-trash"),
    .init(.delete, "/v1/trash/\(id)", nil, 204, "empty-trash"),
    .init(.post, "/v1/trash/\(id)/restore", nil, 201, "restore-from-trash"),
    .init(.post, "/v1/trash/\(id)/restore", "{\"path\":\"/b\"}", 201, "restore-from-trash"),
    .init(
      .post, "/v1/changesets", "{\"changes\":[{\"op\":\"folder\",\"path\":\"/f\"},{\"op\":\"delete\",\"id\":\"\(id)\"}]}", 201,
      "apply-change-set"),
    .init(.put, "/v1/files/\(id)/shares/bob", "{\"role\":\"write\"}", 200, "share"),
    .init(.get, "/v1/files/\(id)/shares", nil, 200, "list-shares"),
    .init(.delete, "/v1/files/\(id)/shares/bob", nil, 204, "unshare"),
    .init(.get, "/v1/shared", nil, 200, "list-shared"),
    .init(.get, "/v1/keys", nil, 200, "get-key-pair"), .init(.get, "/v1/keys?user=bob", nil, 200, "get-public-key"),
    .init(.put, "/v1/keys", "{\"public_key\":\"AA\",\"wrapped_private_key\":\"AA\",\"replaces\":1}", 200, "put-key-pair"),
    .init(.get, "/v1/folders/keys?limit=5", nil, 200, "list-folder-keys"),
    .init(.put, "/v1/files/\(id)/keys", "{\"user\":\"bob\",\"wrapped_key\":\"AA\",\"generation\":1}", 204, "put-folder-key"),
    .init(.post, "/v1/folders", "{\"path\":\"/f\",\"encrypted\":{\"wrapped_key\":\"AA\",\"generation\":1}}", 201, "create-folder"),
    .init(.post, "/v1/files/\(id)/links", nil, 201, "create-link"),
    .init(.post, "/v1/files/\(id)/links", "{\"password\":\"long enough\",\"max_downloads\":3}", 201, "create-link"),
    .init(.get, "/v1/files/\(id)/links", nil, 200, "list-links"), .init(.get, "/v1/links", nil, 200, "list-links"),
    .init(.delete, "/v1/links/\(id)", nil, 204, "revoke-link"),
    .init(.get, "/l/token", nil, 200, "open-link"), .init(.get, "/l/token?path=/sub", nil, 200, "open-link"),
    .init(.get, "/v1/notifications", nil, 200, "list-notifications"),
    .init(.get, "/healthz", nil, 200, nil), .init(.get, "/readyz", nil, 200, nil), .init(.get, "/metrics", nil, 200, nil),
    .init(.get, "/v1/openapi.json", nil, 200, nil),
  ]
}

@Suite("The gateway's routes")
struct RouteTests {
  @Test("every route asks the coordinator for its operation and answers its document", arguments: RouteCase.all)
  func happyPath(_ route: RouteCase) async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      try await eventuallyReady(gateway)
      let reply = try await gateway.send(route.method, route.path, json: route.json)
      #expect(reply.status == route.status, "\(reply.text)")
      #expect(gateway.control.names == (route.operation.map { [$0] } ?? []))
      if reply.status == 204 { #expect(reply.bytes.isEmpty) }
      if reply.headers["Content-Type"] == "application/json" { #expect(throws: Never.self) { try reply.object } }
    }
  }

  @Test("the token, the idempotency key and the request's id go on to the coordinator")
  func context() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      let reply = try await gateway.send(
        .post, "/v1/folders", json: "{\"path\":\"/f\"}", headers: ["Idempotency-Key": "key-1", "X-Request-Id": "request-77"])
      #expect(reply.status == 201)
      #expect(reply.headers["X-Request-Id"] == "request-77")
      let context = try #require(gateway.control.calls.first).context
      #expect(context.userToken == Samples.token)
      #expect(context.idempotencyKey == "key-1")
      #expect(context.requestID == "request-77")
      #expect(context.remoteAddress == "127.0.0.1")
    }
  }

  @Test("a folder's chunker goes to the coordinator as it was asked for, and an absent one not at all")
  func chunkers() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      for (json, chunker) in [("{\"chunker\":\"inherit\"}", FolderChunker.inherit), ("{\"chunker\":\"cdc\"}", .cdc), ("{}", nil)] {
        _ = try await gateway.send(.patch, "/v1/files/\(Samples.entryID.hex)", json: json)
        #expect(gateway.control.last(UserOperations.UpdateEntry.self)?.chunker == chunker)
      }
      _ = try await gateway.send(.post, "/v1/folders", json: "{\"path\":\"/f\",\"chunker\":\"cdc\"}")
      #expect(gateway.control.last(UserOperations.CreateFolder.self)?.chunker == .cdc)
      _ = try await gateway.send(.post, "/v1/uploads", json: "{\"path\":\"/a\"}")
      #expect(gateway.control.last(UserOperations.OpenUpload.self)?.request.chunker == nil)
      var folder = Samples.file(kind: .folder)
      (folder.chunker, folder.effectiveChunker) = (nil, .cdc)
      let answer = folder
      gateway.control.on(UserOperations.Stat.self) { _, _ in answer }
      let shown = try await gateway.send(.get, "/v1/files/\(Samples.entryID.hex)").object
      #expect(shown["effective_chunker"] as? String == "cdc" && shown["chunker"] == nil)
      let state = Samples.upload(missing: 2, chunker: .cdc)
      gateway.control.on(UserOperations.OpenUpload.self) { _, _ in state }
      #expect(try await gateway.send(.post, "/v1/uploads", json: "{\"path\":\"/a\"}").object["chunker"] as? String == "cdc")
    }
  }

  @Test("signing up and logging in carry no user's token")
  func anonymous() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      let reply = try await gateway.send(.post, "/v1/sessions", json: "{\"name\":\"ann\",\"password\":\"p\"}", token: nil)
      #expect(reply.status == 201)
      #expect(try reply.decoded(SessionToken.self).token == Samples.token)
      #expect(gateway.control.calls.first?.context.userToken == nil)
      #expect(reply.headers["Cache-Control"] == "no-store")
    }
  }

  @Test("a batch's item with a bad name is refused alone, in its place")
  func batchItem() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      let reply = try await gateway.send(
        .post, "/v1/uploads/batch", json: "{\"uploads\":[{\"path\":\"/a\"},{\"path\":\"b/../c\"},{\"path\":\"/d\"}]}")
      let results = try reply.decoded(BatchOpenResponse.self).results
      #expect(results.map { $0.value != nil } == [true, false, true])
      #expect(results[1].problem?.kind == .invalidName)
      #expect(gateway.control.last(UserOperations.OpenUploadBatch.self)?.request.uploads.map(\.path) == ["/a", "/d"])
    }
  }

  @Test("a path goes on in the one form that is stored")
  func normalForm() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      // `e` and a combining acute accent.
      _ = try await gateway.send(.get, "/v1/files?path=/caf%65%CC%81")
      guard case .path(let path)? = gateway.control.last(UserOperations.Stat.self)?.entry else {
        Issue.record("the coordinator was not asked by path")
        return
      }
      #expect(Array(path.utf8) == Array("/caf\u{e9}".utf8))
    }
  }

  private func eventuallyReady(_ gateway: TestGateway) async throws {
    for _ in 0..<1000 where try await gateway.send(.get, "/readyz").status != 200 { try await Task.sleep(for: .milliseconds(5)) }
  }
}
