internal import BlockModel
internal import MetadataStore
internal import Platform
internal import ServiceAPI

extension UserService {
  func registerAccounts(on dispatcher: ControlDispatcher) {
    open(UserOperations.SignUp.self, on: dispatcher) { operation, context in try await self.signUp(operation, context) }
    open(UserOperations.LogIn.self, on: dispatcher) { operation, context in try await self.logIn(operation, context) }
    user(UserOperations.ChangePassword.self, on: dispatcher) { operation, principal, context in
      try await self.changePassword(operation, principal, context)
    }
    user(UserOperations.LogOut.self, on: dispatcher) { _, principal, _ in
      try await self.revoke(principal.device, of: principal)
    }
    user(UserOperations.RevokeDevice.self, on: dispatcher) { operation, principal, _ in
      try await self.revoke(operation.device, of: principal)
    }
    user(UserOperations.WhoAmI.self, on: dispatcher) { _, principal, _ in
      UserInfo(id: principal.user, name: principal.userName, device: principal.deviceName)
    }
    user(UserOperations.ListDevices.self, on: dispatcher) { _, principal, _ in
      Page(items: try await self.store.devices(of: principal), next: nil)
    }
    user(UserOperations.GetUsage.self, on: dispatcher) { _, principal, _ in try await self.store.usage(of: principal) }
  }

  private func signUp(_ operation: UserOperations.SignUp, _ context: ControlContext) async throws -> UserInfo {
    try UserNameRule.check(operation.name)
    let password = try await passwords.hash(operation.password)
    // Who has no account yet has no keys of their own either: the name takes the account's place. No hash of the password is kept with it.
    let key = try once(name: "sign-up", of: operation.name, saying: operation.name, context)
    let user = try await store.createUser(name: operation.name, password: password, quota: options.defaultQuota, once: key)
    guard key != nil else { return user }
    let record = try await store.passwordRecord(ofUserNamed: operation.name)
    guard try await passwords.verify(operation.password, record?.password) else {
      throw Problem(.keyReused, "This Idempotency-Key was used for another request: choose a new one.")
    }
    return user
  }

  /// The record of the user whose password this is.
  private func checked(_ name: String, _ password: String, _ context: ControlContext) async throws -> PasswordRecord {
    if let seconds = logins.wait(name, context.remoteAddress, at: time.monotonic()) {
      throw Problem(.tooManyRequests, "Too many wrong passwords for this name: try again later.", retryAfter: seconds)
    }
    let record = try await store.passwordRecord(ofUserNamed: name)
    guard try await passwords.verify(password, record?.password), let record else {
      logins.noteFailure(name, context.remoteAddress, at: time.monotonic())
      // Only for names that there are: what is typed into the wrong field stays nowhere.
      if let record { try? await store.note(actor: record.name, action: "log-in-refused", subject: context.remoteAddress) }
      throw Problem(.unauthenticated, "The name or the password is not right.")
    }
    guard !record.isDisabled else { throw Problem(.forbidden, "This account is disabled: ask an operator.") }
    logins.noteSuccess(name, context.remoteAddress)
    return record
  }

  private func changePassword(
    _ operation: UserOperations.ChangePassword, _ principal: Principal, _ context: ControlContext
  ) async throws -> Done {
    do { _ = try await checked(principal.userName, operation.password, context) } catch let problem as Problem
      where problem.kind == .unauthenticated
    {
      // The token is good; 401 would send the client to log in again.
      throw Problem(.forbidden, "The present password is not right.")
    }
    let password = try await passwords.hash(operation.newPassword)
    defer { tokens.forgetAll() }
    try await store.setPassword(password, of: principal.user, revokingAllBut: operation.keepDevices ? nil : principal.device)
    return Done()
  }

  /// A key of one name's, for who asks without a token.
  private func once(name: String, of user: String, saying request: String, _ context: ControlContext) throws(Problem) -> IdempotencyKey? {
    guard let key = try checkedKey(context) else { return nil }
    return IdempotencyKey(key: "\(user.lowercased())\n\(key)", operation: name, requestHash: SHA256Hasher.hash(Array(request.utf8)))
  }

  private func logIn(_ operation: UserOperations.LogIn, _ context: ControlContext) async throws -> SessionToken {
    let device = try UserNameRule.checkedDevice(operation.device)
    let record = try await checked(operation.name, operation.password, context)
    let key = try once(name: "log-in", of: record.name, saying: device, context)
    let token = UserToken.make()
    guard let hash = UserToken.hash(token) else { throw Problem(.internalError, "A token could not be made.") }
    let expiresAt = time.wall() + UserToken.lifetime
    // A repeated key replaces the token that it made before.
    defer { if key != nil { tokens.forgetAll() } }
    try await store.createDevice(
      NewDevice(id: .random(), user: record.user, name: device, tokenHash: hash, expiresAt: expiresAt), once: key)
    return SessionToken(token: token, expiresAt: expiresAt)
  }

  private func revoke(_ device: DeviceID, of principal: Principal) async throws -> Done {
    // Also when the outcome is unknown: the cache has to ask again then, too.
    defer { tokens.forgetAll() }
    try await store.revokeDevice(device, of: principal)
    return Done()
  }
}

/// What users and devices may be called.
enum UserNameRule {
  static let longest = 64

  /// - Throws: `.invalidName` unless 1 to 64 of ASCII letters, digits, `.`, `_` and `-`, with a letter or digit among them.
  static func check(_ name: String) throws(Problem) {
    let bytes = name.utf8
    guard (1...longest).contains(bytes.count), bytes.allSatisfy({ isLetterOrDigit($0) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f }),
      bytes.contains(where: isLetterOrDigit)
    else { throw Problem(.invalidName, "A user's name is 1 to \(longest) of letters, digits, `.`, `_` and `-`.") }
  }

  /// - Throws: `.invalidName` for more than 64 characters and for control characters.
  static func checkedDevice(_ name: String) throws(Problem) -> String {
    guard name.count <= longest, name.utf8.count <= 255, !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    else { throw Problem(.invalidName, "A device's name has at most \(longest) characters, none of them a control character.") }
    return name.isEmpty ? "device" : name
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }
}
