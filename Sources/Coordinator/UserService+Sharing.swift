internal import BlockModel
internal import MetadataStore
internal import Platform
internal import ServiceAPI

extension UserService {
  func registerRevisions(on dispatcher: ControlDispatcher) {
    user(UserOperations.RestoreVersion.self, on: dispatcher) { operation, principal, context in
      try await self.store.restoreVersion(operation, for: principal, once: self.once(operation, context))
    }
    user(UserOperations.ListTrash.self, on: dispatcher) { operation, principal, _ in
      try await self.store.trash(limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.RestoreFromTrash.self, on: dispatcher) { operation, principal, context in
      try await self.store.restoreFromTrash(operation, for: principal, once: self.once(operation, context))
    }
    user(UserOperations.EmptyTrash.self, on: dispatcher) { operation, principal, _ in
      EmptiedTrash(removed: try await self.store.emptyTrash(operation.entry, for: principal))
    }
    user(UserOperations.Rewind.self, on: dispatcher) { operation, principal, context in
      try await self.store.rewind(operation, for: principal, once: self.once(operation, context))
    }
    user(UserOperations.ApplyChangeSet.self, on: dispatcher) { operation, principal, context in
      let changes = operation.request.changes
      guard (1...ChangeSetRequest.limit).contains(changes.count) else {
        throw Problem(.malformed, "A change set has 1 to \(ChangeSetRequest.limit) changes.")
      }
      let completions = try changes.map { item throws(Problem) in
        try item.uploadID.map { upload throws(Problem) in
          try self.completion(upload, item.complete ?? CompleteRequest())
        }
      }
      return try await self.store.apply(
        operation.request, completions: completions, for: principal, once: self.once(operation, context))
    }
  }

  func registerShares(on dispatcher: ControlDispatcher) {
    user(UserOperations.Share.self, on: dispatcher) { operation, principal, _ in
      try await self.store.share(operation, for: principal)
    }
    user(UserOperations.Unshare.self, on: dispatcher) { operation, principal, _ in
      try await self.store.unshare(operation, for: principal)
      return Done()
    }
    user(UserOperations.ListShares.self, on: dispatcher, encode: ListingDocument.bytes) { operation, principal, _ in
      try await self.store.shares(of: operation.entry, limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.ListShared.self, on: dispatcher, encode: ListingDocument.bytes) { operation, principal, _ in
      try await self.store.shared(limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.ListNotifications.self, on: dispatcher) { operation, principal, _ in
      try await self.store.notifications(limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    open(UserOperations.AwaitChanges.self, on: dispatcher) { operation, _ in
      let wait = Duration.milliseconds(min(max(0, operation.waitMilliseconds), UserService.longestWaitMilliseconds))
      let hints = await self.store.hub.hints(after: operation.position, instance: operation.instance, waitAtMost: wait)
      return ChangeHints(
        instance: hints.instance, position: hints.position, namespaces: hints.namespaces, wasMissed: hints.wasMissed)
    }
  }

  private static let longestWaitMilliseconds = 30_000

  // MARK: - Links

  func registerLinks(on dispatcher: ControlDispatcher) {
    user(UserOperations.CreateLink.self, on: dispatcher) { operation, principal, context in
      try await self.createLink(operation, principal, context)
    }
    user(UserOperations.ListLinks.self, on: dispatcher) { operation, principal, _ in
      try await self.store.links(of: operation.entry, limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.RevokeLink.self, on: dispatcher) { operation, principal, _ in
      try await self.store.revokeLink(operation.link, for: principal)
      return Done()
    }
    open(UserOperations.OpenLink.self, on: dispatcher) { operation, context in
      let hash = try await self.openedLink(operation.token, operation.password, context)
      return try await self.store.linkContent(
        tokenHash: hash, path: operation.path, limit: operation.limit, cursor: operation.cursor)
    }
    open(UserOperations.DownloadByLink.self, on: dispatcher) { operation, context in
      let hash = try await self.openedLink(operation.token, operation.password, context)
      return try await self.store.linkPlan(
        tokenHash: hash, path: operation.path, version: operation.version, cursor: operation.cursor, limit: operation.limit,
        counts: operation.counts)
    }
  }

  private func createLink(
    _ operation: UserOperations.CreateLink, _ principal: Principal, _ context: ControlContext
  ) async throws -> LinkInfo {
    if let expiresAt = operation.expiresAt, expiresAt <= time.wall() {
      throw Problem(.malformed, "A link's end has to be in the future.")
    }
    if let limit = operation.maxDownloads, limit < 1 { throw Problem(.malformed, "A link's limit is 1 download or more.") }
    // No fast hash of the password is kept with the key.
    var stated = operation
    stated.password = operation.password == nil ? nil : "given"
    let key = try once(stated, context)
    // With a key the token follows from it and from what only this device knows, so that asking again gives the same one.
    let token = LinkToken.make(from: key.flatMap { key in context.userToken.map { "\($0)\n\(key.key)" } })
    guard let hash = LinkToken.hash(token) else { throw Problem(.internalError, "A link could not be made.") }
    var password: String?
    if let text = operation.password { password = try await passwords.hash(text) }
    var link = try await store.createLink(
      NewLink(
        id: .random(), entry: operation.entry, tokenHash: hash, password: password, expiresAt: operation.expiresAt,
        maxDownloads: operation.maxDownloads), for: principal, once: key)
    link.token = token
    return link
  }

  /// Checks a link's password, if it has one.
  private func openedLink(_ token: String, _ password: String?, _ context: ControlContext) async throws -> [UInt8] {
    guard let hash = LinkToken.hash(token) else { throw UserService.noSuchLink }
    guard case .record(let record) = try await store.linkPassword(tokenHash: hash) else { return hash }
    let name = "link \(HexDigits.encode(hash))"
    if let seconds = logins.wait(name, context.remoteAddress, at: time.monotonic()) {
      throw Problem(.tooManyRequests, "Too many wrong passwords for this link: try again later.", retryAfter: seconds)
    }
    guard let password else { throw Problem(.unauthenticated, "This link needs its password.") }
    guard try await passwords.verify(password, record) else {
      logins.noteFailure(name, context.remoteAddress, at: time.monotonic())
      throw Problem(.unauthenticated, "The link's password is not right.")
    }
    logins.noteSuccess(name, context.remoteAddress)
    return hash
  }

  private static let noSuchLink = Problem(
    .notFound, "This link opens nothing: it was revoked, has expired, is used up, or never was.")

  // MARK: - Operators

  func registerAdministration(on dispatcher: ControlDispatcher) {
    open(OperatorOperations.ListUsers.self, on: dispatcher) { operation, _ in
      try await self.store.users(limit: operation.limit, cursor: operation.cursor)
    }
    open(OperatorOperations.GetAuditLog.self, on: dispatcher) { operation, _ in
      try await self.store.auditLog(of: operation.actor, limit: operation.limit, cursor: operation.cursor)
    }
    open(OperatorOperations.SetUserQuota.self, on: dispatcher) { operation, _ in
      try await self.administer(operation.user, .quota(operation.quota))
    }
    open(OperatorOperations.SetUserDisabled.self, on: dispatcher) { operation, _ in
      try await self.administer(operation.user, .disabled(operation.isDisabled))
    }
    open(OperatorOperations.ResetUserPassword.self, on: dispatcher) { operation, _ in
      try await self.administer(operation.user, .password(try await self.passwords.hash(operation.password)))
    }
  }

  private func administer(_ user: String, _ change: UserChange) async throws -> Done {
    defer { tokens.forgetAll() }
    try await store.administer(user, change)
    return Done()
  }
}

/// What stands in a link's URL: 32 characters of base 64, of which only the SHA-256 is kept.
enum LinkToken {
  private static let bytes = 24

  /// - Parameter secret: what the token follows from; nil draws one.
  static func make(from secret: String?) -> String {
    guard let secret else { return Base64URL.encode(SecureRandom.bytes(bytes)) }
    return Base64URL.encode(Array(SHA256Hasher.hash(Array("cairn link\n\(secret)".utf8)).prefix(bytes)))
  }

  /// Nil for a text that can be no token.
  static func hash(_ token: String) -> [UInt8]? {
    guard token.utf8.count == bytes * 4 / 3, Base64URL.decode(token) != nil else { return nil }
    return SHA256Hasher.hash(Array(token.utf8))
  }
}
