internal import BlockModel
internal import MetadataStore
internal import Platform
internal import ServiceAPI

extension UserService {
  func registerAccounts(on dispatcher: ControlDispatcher) {
    open(UserOperations.SignUp.self, on: dispatcher) { operation, _ in
      try UserNameRule.check(operation.name)
      let password = try await self.passwords.hash(operation.password)
      return try await self.store.createUser(name: operation.name, password: password, quota: self.options.defaultQuota)
    }
    open(UserOperations.LogIn.self, on: dispatcher) { operation, context in try await self.logIn(operation, context) }
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

  private func logIn(_ operation: UserOperations.LogIn, _ context: ControlContext) async throws -> SessionToken {
    let device = try UserNameRule.checkedDevice(operation.device)
    if let seconds = logins.wait(operation.name, context.remoteAddress, at: time.monotonic()) {
      throw Problem(.tooManyRequests, "Too many wrong passwords for this name: try again later.", retryAfter: seconds)
    }
    let record = try await store.passwordRecord(ofUserNamed: operation.name)
    guard try await passwords.verify(operation.password, record?.password), let record else {
      logins.noteFailure(operation.name, context.remoteAddress, at: time.monotonic())
      throw Problem(.unauthenticated, "The name or the password is not right.")
    }
    guard !record.isDisabled else { throw Problem(.forbidden, "This account is disabled: ask an operator.") }
    logins.noteSuccess(operation.name, context.remoteAddress)
    let token = UserToken.make()
    guard let hash = UserToken.hash(token) else { throw Problem(.internalError, "A token could not be made.") }
    let expiresAt = time.wall() + UserToken.lifetime
    try await store.createDevice(
      NewDevice(id: .random(), user: record.user, name: device, tokenHash: hash, expiresAt: expiresAt))
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
