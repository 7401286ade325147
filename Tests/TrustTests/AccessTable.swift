import BlockModel
import HTTPTransport
import ServiceAPI

/// Who may use a route.
enum Access: Sendable {
  /// Everybody: it concerns nobody, or what it opens is in the request.
  case open
  /// Everybody who is logged in, for what is their own.
  case own
  /// Whoever has this role on the entry; to all others it does not exist.
  case entry(Role)
  /// The owner of the thing only; to all others it does not exist, whatever their role.
  case mine
  /// Those only; to all others it does not exist.
  case only([Caller])

  /// The status that a caller gets; nil for one that says that it was done.
  func refusal(_ caller: Caller) -> Int? {
    if case .open = self { return nil }
    guard caller.isKnown else { return 401 }
    switch self {
    case .open, .own: return nil
    case .entry(let least):
      guard let role = caller.role else { return 404 }
      return role >= least ? nil : 403
    case .mine: return caller == .owner ? nil : 404
    case .only(let callers): return callers.contains(caller) ? nil : 404
    }
  }
}

/// One row: a route, who may use it, and a request for something fresh, so that one caller's success is not another's failure.
struct AccessRow: Sendable {
  let route: String
  let access: Access
  let ask: @Sendable (AccessWorld, Caller) async throws -> AccessWorld.Ask
  init(_ route: String, _ access: Access, _ ask: @escaping @Sendable (AccessWorld, Caller) async throws -> AccessWorld.Ask) {
    self.route = route
    self.access = access
    self.ask = ask
  }
  /// A route without a thing to ask for.
  init(_ method: HTTPMethod, _ path: String, _ access: Access) {
    self.init("\(method.rawValue) \(path)", access) { _, _ in AccessWorld.Ask(method, path) }
  }
}

/// Every route of the gateway, at least once.
enum AccessTable {
  static let rows = accounts + operation + tree + revisions + sharing + keys + transfers

  private static let operation: [AccessRow] =
    ["/healthz", "/readyz", "/metrics", "/v1/openapi.json"].map { AccessRow(.get, $0, .open) }

  private static let accounts: [AccessRow] = [
    AccessRow("POST /v1/users", .open) { world, _ in
      .init(.post, "/v1/users", json: #"{"name":"new-\#(world.next())","password":"correct horse"}"#)
    },
    AccessRow("POST /v1/sessions", .open) { _, _ in
      .init(.post, "/v1/sessions", json: #"{"name":"third","password":"\#(AccessWorld.password)"}"#)
    },
    AccessRow("DELETE /v1/sessions/current", .own) { world, caller in
      .init(.delete, "/v1/sessions/current", token: caller.isKnown ? try await world.logIn(as: caller) : nil)
    },
    AccessRow(.get, "/v1/me", .own),
    AccessRow("PUT /v1/me/password", .own) { _, _ in
      let word = AccessWorld.password
      return .init(.put, "/v1/me/password", json: #"{"password":"\#(word)","new_password":"\#(word)","keep_devices":true}"#)
    },
    AccessRow(.get, "/v1/devices", .own),
    AccessRow("DELETE /v1/devices/{id}", .mine) { world, _ in
      let token = try await world.logIn(as: .owner)
      let devices = try await world.perform(UserOperations.ListDevices(), token: token).items
      return .init(.delete, "/v1/devices/\(devices.first { $0.current }?.id.hex ?? "")")
    },
    AccessRow(.get, "/v1/usage", .own),
    AccessRow(.get, "/v1/changes", .own),
    AccessRow("GET /v1/changes/stream", .own) { _, _ in .init(.get, "/v1/changes/stream", isStream: true) },
    AccessRow(.get, "/v1/notifications", .own),
  ]

  private static let tree: [AccessRow] = [
    AccessRow("GET /v1/files", .entry(.read)) { world, caller in
      let file = try await world.file()
      return .init(.get, "/v1/files?path=" + "\(world.sharedPath(caller))/\(file.name)".replacing(" ", with: "%20"))
    },
    AccessRow("GET /v1/files/{id}", .entry(.read)) { world, _ in .init(.get, "/v1/files/\(try await world.file().id.hex)") },
    AccessRow("GET /v1/files/{id}", .entry(.read)) { world, _ in .init(.get, "/v1/files/\(try await world.folderIn().id.hex)?recursive=1")
    },
    AccessRow("PATCH /v1/files/{id}", .entry(.write)) { world, _ in
      .init(.patch, "/v1/files/\(try await world.file().id.hex)", json: #"{"executable":true}"#)
    },
    AccessRow("PATCH /v1/files/{id}", .entry(.write)) { world, caller in
      let path = "\(world.sharedPath(caller))/moved-\(world.next())"
      return .init(.patch, "/v1/files/\(try await world.file().id.hex)", json: #"{"path":"\#(path)"}"#)
    },
    AccessRow("DELETE /v1/files/{id}", .entry(.write)) { world, _ in .init(.delete, "/v1/files/\(try await world.file().id.hex)") },
    AccessRow("DELETE /v1/files/{id}", .entry(.admin)) { world, _ in
      let file = try await world.file()
      return .init(.delete, "/v1/files/\(file.id.hex)?forever=1", headers: ["If-Match": "\"\(file.version)\""])
    },
    AccessRow("POST /v1/folders", .entry(.write)) { world, caller in
      .init(.post, "/v1/folders", json: #"{"path":"\#(world.sharedPath(caller))/new-\#(world.next())"}"#)
    },
    AccessRow("POST /v1/symlinks", .entry(.write)) { world, caller in
      .init(.post, "/v1/symlinks", json: #"{"path":"\#(world.sharedPath(caller))/new-\#(world.next())","target":"a"}"#)
    },
    AccessRow("POST /v1/files/{id}/copy", .entry(.read)) { world, _ in
      .init(.post, "/v1/files/\(try await world.file(bytes: 9).id.hex)/copy", json: #"{"path":"/copy-\#(world.next())"}"#)
    },
    AccessRow("POST /v1/files/{id}/copy", .entry(.write)) { world, caller in
      let path = "\(world.sharedPath(caller))/copy-\(world.next())"
      return .init(.post, "/v1/files/\(try await world.file().id.hex)/copy", json: #"{"path":"\#(path)"}"#)
    },
    AccessRow("GET /v1/files/{id}/versions", .entry(.read)) { world, _ in .init(.get, "/v1/files/\(try await world.file().id.hex)/versions")
    },
  ]

  private static let revisions: [AccessRow] = [
    AccessRow("POST /v1/files/{id}/versions/{version}/restore", .entry(.write)) { world, _ in
      let name = "twice-\(world.next())"
      let first = try await world.file(name, bytes: 5)
      _ = try await world.file(name, bytes: 6)
      return .init(.post, "/v1/files/\(first.id.hex)/versions/\(first.version)/restore")
    },
    AccessRow("POST /v1/files/{id}/rewind", .entry(.admin)) { world, _ in
      .init(.post, "/v1/files/\(try await world.folderIn().id.hex)/rewind", json: #"{"time":"\#(SystemMoment.now)"}"#)
    },
    AccessRow(.get, "/v1/trash", .own),
    AccessRow(.delete, "/v1/trash", .own),
    AccessRow("DELETE /v1/trash/{id}", .mine) { world, _ in .init(.delete, "/v1/trash/\(try await world.removed().hex)") },
    AccessRow("POST /v1/trash/{id}/restore", .entry(.write)) { world, _ in
      .init(.post, "/v1/trash/\(try await world.removed().hex)/restore")
    },
    AccessRow("POST /v1/changesets", .entry(.write)) { world, _ in
      .init(.post, "/v1/changesets", json: #"{"changes":[{"op":"delete","id":"\#(try await world.file().id.hex)"}]}"#)
    },
    AccessRow("POST /v1/changesets", .entry(.admin)) { world, _ in
      .init(.post, "/v1/changesets", json: #"{"changes":[{"op":"delete","forever":true,"id":"\#(try await world.file().id.hex)"}]}"#)
    },
  ]

  private static let sharing: [AccessRow] = [
    AccessRow("PUT /v1/files/{id}/shares/{user}", .entry(.admin)) { world, _ in
      .init(.put, "/v1/files/\(try await world.file().id.hex)/shares/third", json: #"{"role":"read"}"#)
    },
    AccessRow("GET /v1/files/{id}/shares", .entry(.admin)) { world, _ in .init(.get, "/v1/files/\(try await world.file().id.hex)/shares") },
    AccessRow("DELETE /v1/files/{id}/shares/{user}", .entry(.admin)) { world, _ in
      let file = try await world.file()
      _ = try await world.asOwner(UserOperations.Share(entry: .id(file.id), user: "third", role: .read))
      return .init(.delete, "/v1/files/\(file.id.hex)/shares/third")
    },
    AccessRow(.get, "/v1/shared", .own),
    AccessRow("POST /v1/files/{id}/links", .entry(.admin)) { world, _ in .init(.post, "/v1/files/\(try await world.file().id.hex)/links") },
    AccessRow("GET /v1/files/{id}/links", .entry(.admin)) { world, _ in .init(.get, "/v1/files/\(try await world.file().id.hex)/links") },
    AccessRow(.get, "/v1/links", .own),
    AccessRow("DELETE /v1/links/{id}", .only([.owner, .admin])) { world, _ in
      .init(.delete, "/v1/links/\(try await world.link(to: world.file().id).id.hex)")
    },
    AccessRow("GET /l/{token}", .open) { world, _ in .init(.get, "/l/\(try await world.link(to: world.file().id).token)") },
    AccessRow("GET /l/{token}/raw", .open) { world, _ in .init(.get, "/l/\(try await world.link(to: world.file().id).token)/raw") },
  ]

  private static let keys: [AccessRow] = [
    AccessRow(.get, "/v1/keys", .own),
    AccessRow("GET /v1/keys", .own) { _, _ in .init(.get, "/v1/keys?user=owner") },
    AccessRow("PUT /v1/keys", .own) { world, caller in
      let pair = world.keyPair(of: caller)
      let json = #"{"public_key":"\#(pair.publicKey)","wrapped_private_key":"\#(pair.wrappedPrivateKey)"}"#
      return .init(.put, "/v1/keys", json: json)
    },
    AccessRow(.get, "/v1/folders/keys", .own),
    AccessRow("PUT /v1/files/{id}/keys", .entry(.admin)) { world, _ in
      let json = #"{"user":"owner","wrapped_key":"\#(world.wrappedKey.wrappedKey)","generation":1}"#
      return .init(.put, "/v1/files/\(try await world.vault().id.hex)/keys", json: json)
    },
  ]

  private static let transfers: [AccessRow] = [
    AccessRow("POST /v1/uploads", .entry(.write)) { world, caller in
      .init(.post, "/v1/uploads", json: #"{"path":"\#(world.sharedPath(caller))/up-\#(world.next())","size":0,"blocks":[]}"#)
    },
    AccessRow("POST /v1/uploads/{id}/blocks", .mine) { world, _ in
      let id = String(repeating: "ab", count: 32)
      let open = try await world.asOwner(UserOperations.OpenUpload(request: UploadRequest(path: "/shared/paged-\(world.next())")))
      return .init(.post, "/v1/uploads/\(open.uploadID.hex)/blocks", json: #"{"start":0,"blocks":[{"id":"\#(id)","size":7}]}"#)
    },
    AccessRow("GET /v1/uploads/{id}", .mine) { world, _ in .init(.get, "/v1/uploads/\(try await world.upload().state.uploadID.hex)") },
    AccessRow("POST /v1/uploads/{id}/receipts", .mine) { world, _ in
      let (state, block) = try await world.upload(bytes: 9)
      let receipt = block.map { world.receipt(state.uploadID, $0) } ?? ""
      return .init(.post, "/v1/uploads/\(state.uploadID.hex)/receipts", json: #"{"receipts":["\#(receipt)"]}"#)
    },
    AccessRow("POST /v1/uploads/{id}/complete", .mine) { world, _ in
      .init(.post, "/v1/uploads/\(try await world.upload().state.uploadID.hex)/complete")
    },
    AccessRow("DELETE /v1/uploads/{id}", .mine) { world, _ in .init(.delete, "/v1/uploads/\(try await world.upload().state.uploadID.hex)")
    },
    AccessRow("POST /v1/uploads/batch", .entry(.write)) { world, caller in
      let path = "\(world.sharedPath(caller))/up-\(world.next())"
      return .init(.post, "/v1/uploads/batch", json: #"{"uploads":[{"path":"\#(path)","size":0,"blocks":[]}]}"#)
    },
    AccessRow("POST /v1/uploads/batch/complete", .mine) { world, _ in
      let upload = try await world.upload().state.uploadID.hex
      return .init(.post, "/v1/uploads/batch/complete", json: #"{"uploads":[{"upload_id":"\#(upload)","complete":{}}]}"#)
    },
    AccessRow("GET /v1/files/{id}/download", .entry(.read)) { world, _ in
      .init(.get, "/v1/files/\(try await world.file(bytes: 9).id.hex)/download")
    },
    AccessRow("POST /v1/downloads/batch", .entry(.read)) { world, _ in
      .init(.post, "/v1/downloads/batch", json: #"{"entries":[{"id":"\#(try await world.file(bytes: 9).id.hex)"}]}"#)
    },
    AccessRow("GET /v1/files/{id}/raw", .entry(.read)) { world, _ in .init(.get, "/v1/files/\(try await world.file().id.hex)/raw") },
  ]
}
