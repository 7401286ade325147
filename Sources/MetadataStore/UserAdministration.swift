internal import BlockModel
internal import SQLSession
internal import ServiceAPI

extension ReadTransaction {
  /// All users, by name.
  func users(limit: Int, cursor: String?) throws -> Page<UserAccount> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let after = try cursor.map { try ListCursor.decode($0) } ?? []
    var users = try db.all(
      """
      SELECT u.id, u.name, u.created_at, u.is_disabled, u.quota, n.used, n.reserved, n.files,
        (SELECT count(*) FROM devices d WHERE d.user = u.number), u.name_key
      FROM users u JOIN namespaces n ON n.owner = u.number WHERE u.name_key > ? ORDER BY u.name_key LIMIT ?
      """, .text(after.first ?? ""), .int(limit + 1)
    ) {
      UserAccount(
        id: $0.id(0), name: $0.text(1), createdAt: $0.time(2), isDisabled: $0.bool(3),
        usage: Usage(used: $0.int64(5), reserved: $0.int64(6), quota: $0.optionalInt64(4), files: $0.int64(7)), devices: $0.int(8))
    }
    let hasMore = users.count > limit
    if hasMore { users.removeLast() }
    return Page(items: users, next: hasMore ? users.last.map { ListCursor.encode([$0.name.lowercased()]) } : nil)
  }
}

extension WriteTransaction {
  /// - Throws: `.notFound`.
  func administer(_ name: String, _ change: UserChange) throws {
    let number = try db.first("SELECT number FROM users WHERE name_key = ?", .text(name.lowercased())) { $0.int64(0) }
    guard let number else { throw Problem(.notFound, "There is no user \(name).") }
    switch change {
    case .quota(let bytes):
      guard bytes ?? 0 >= 0 else { throw Problem(.malformed, "A quota is not below zero.") }
      try db.run("UPDATE users SET quota = ? WHERE number = ?", .integer(bytes), .integer(number))
    case .disabled(let isDisabled):
      try db.run("UPDATE users SET is_disabled = ? WHERE number = ?", .flag(isDisabled), .integer(number))
    case .password(let record):
      try db.run("UPDATE users SET password = ? WHERE number = ?", .text(record), .integer(number))
      try db.run("DELETE FROM devices WHERE user = ?", .integer(number))
    }
  }
}
