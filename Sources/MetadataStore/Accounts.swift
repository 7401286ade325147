internal import BlockModel
internal import SQLSession
internal import ServiceAPI

extension WriteTransaction {
  func createUser(name: String, password: String, quota: Int64?) throws -> UserInfo {
    let key = name.lowercased()
    guard try db.first("SELECT 1 FROM users WHERE name_key = ?", .text(key), read: { _ in true }) == nil else {
      throw Problem(.alreadyExists, "The name \(name) is taken.")
    }
    let id: UserID = .random()
    let number = try db.first(
      "INSERT INTO users (id, name, name_key, password, created_at, quota) VALUES (?, ?, ?, ?, ?, ?) RETURNING number", .id(id),
      .text(name), .text(key), .text(password), .time(now), .integer(quota)
    ) { $0.int64(0) }
    let root: EntryID = context.orderedID(now)
    let namespace: NamespaceID = .random()
    let tree = try db.first(
      """
      INSERT INTO namespaces (id, owner, root, sequence, trimmed, last_time, used, reserved, files) VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0)
      RETURNING number
      """, .id(namespace), .integer(number), .id(root)
    ) { $0.int64(0) }
    try db.send(
      "INSERT INTO entries (ns, id, parent, name, kind, version, size, modified_at, executable) VALUES (?, ?, x'', '', 1, 1, 0, ?, 0)",
      .integer(tree), .id(root), .time(FileTime(now)))
    try log(actor: name, action: "sign-up", subject: id.hex)
    return UserInfo(id: id, name: name, device: nil)
  }

  func setPassword(_ password: String, of user: UserID, revokingAllBut keeping: DeviceID?) throws {
    let (number, name) = try numberAndName(of: user)
    try db.send("UPDATE users SET password = ? WHERE number = ?", .text(password), .integer(number))
    if let keeping { try db.send("DELETE FROM devices WHERE user = ? AND id != ?", .integer(number), .id(keeping)) }
    try log(actor: name, action: "set-password", subject: user.hex)
  }

  func createDevice(_ device: NewDevice, once key: IdempotencyKey?) throws {
    let (number, name) = try numberAndName(of: device.user)
    let made = try once(key, user: number) {
      try insert(device, user: number, name)
      return device.id
    }
    guard made.isRepeated else { return }
    let changed = try db.run(
      "UPDATE devices SET token_hash = ?, expires_at = ? WHERE id = ? AND user = ?", .blob(device.tokenHash), .time(device.expiresAt),
      .id(made.value), .integer(number))
    guard changed > 0 else {
      throw Problem(.keyReused, "The device that this Idempotency-Key made was logged out since: choose a new key.")
    }
  }

  private func numberAndName(of user: UserID) throws -> (Int64, String) {
    let found = try db.first("SELECT number, name FROM users WHERE id = ?", .id(user)) { ($0.int64(0), $0.text(1)) }
    guard let found else { throw Problem(.notFound, "There is no such user.") }
    return found
  }

  private func insert(_ device: NewDevice, user number: Int64, _ name: String) throws {
    try db.send(
      "INSERT INTO devices (id, user, name, token_hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)", .id(device.id),
      .integer(number), .text(device.name), .blob(device.tokenHash), .time(now), .time(device.expiresAt))
    try log(actor: name, action: "log-in", subject: device.id.hex)
  }

  func revokeDevice(_ device: DeviceID, of principal: Principal) throws {
    let gone = try db.run("DELETE FROM devices WHERE id = ? AND user = ?", .id(device), .integer(principal.userNumber))
    guard gone > 0 else { throw Problem(.notFound, "There is no such device.") }
    try log(actor: principal.userName, action: "revoke-device", subject: device.hex)
  }

  func noteSeen(_ device: DeviceID) throws {
    try db.send("UPDATE devices SET last_seen_at = ? WHERE id = ?", .time(now), .id(device))
  }
}

extension ReadTransaction {
  func passwordRecord(ofUserNamed name: String) throws -> PasswordRecord? {
    try db.first("SELECT id, name, password, is_disabled FROM users WHERE name_key = ?", .text(name.lowercased())) {
      PasswordRecord(user: $0.id(0), name: $0.text(1), password: $0.text(2), isDisabled: $0.bool(3))
    }
  }

  func principal(tokenHash: [UInt8]) throws -> Principal? {
    try db.first(
      """
      SELECT u.id, u.name, d.id, d.name, d.expires_at, d.last_seen_at, n.id, u.number, n.number, n.root
      FROM devices d JOIN users u ON u.number = d.user JOIN namespaces n ON n.owner = u.number
      WHERE d.token_hash = ? AND u.is_disabled = 0
      """, .blob(tokenHash)
    ) {
      Principal(
        user: $0.id(0), userName: $0.text(1), device: $0.id(2), deviceName: $0.text(3), expiresAt: $0.time(4),
        lastSeenAt: $0.optionalInt64(5).map { WallTime(microseconds: $0) }, namespace: $0.id(6), userNumber: $0.int64(7),
        namespaceNumber: $0.int64(8), root: $0.id(9))
    }
  }

  /// At most 1,000, oldest first.
  func devices(of principal: Principal) throws -> [DeviceInfo] {
    try db.all(
      "SELECT id, name, created_at, last_seen_at FROM devices WHERE user = ? ORDER BY created_at LIMIT 1000", .integer(principal.userNumber)
    ) {
      let id: DeviceID = $0.id(0)
      return DeviceInfo(
        id: id, name: $0.text(1), createdAt: $0.time(2), lastSeenAt: $0.optionalInt64(3).map { WallTime(microseconds: $0) },
        current: id == principal.device)
    }
  }

  func usage(of principal: Principal) throws -> Usage {
    let usage = try db.first(
      "SELECT n.used, n.reserved, u.quota, n.files FROM namespaces n JOIN users u ON u.number = n.owner WHERE n.number = ?",
      .integer(principal.namespaceNumber)
    ) { Usage(used: $0.int64(0), reserved: $0.int64(1), quota: $0.optionalInt64(2), files: $0.int64(3)) }
    guard let usage else { throw Problem(.notFound, "This user's files are no longer here.") }
    return usage
  }
}
