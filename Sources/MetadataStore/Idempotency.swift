internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension WriteTransaction {
  /// Runs `body` unless this key had its effect already; then answers what it answered. Refusals are not remembered: nothing happened.
  ///
  /// - Throws: `.keyReused` when the key came with another request before.
  func once<T: Codable>(_ key: IdempotencyKey?, _ principal: Principal, _ body: () throws -> T) throws -> T {
    try once(key, user: principal.userNumber, body).value
  }

  /// - Parameter user: the user's number; 0 for who has none yet, with a key that no two of them share.
  /// - Returns: what `body` answers, or answered when the key had its effect; then `isRepeated`.
  func once<T: Codable>(_ key: IdempotencyKey?, user: Int64, _ body: () throws -> T) throws -> (value: T, isRepeated: Bool) {
    guard let key else { return (try body(), false) }
    // The same request may be at work at another coordinator: whoever comes second waits for what the first one did.
    try db.lock(WriteTransaction.lockNumber(of: key, user: user), isExclusive: true)
    let known = try db.first(
      "SELECT operation, request_hash, response FROM idempotency_keys WHERE user = ? AND key = ? AND expires_at > ?",
      .integer(user), .text(key.key), .time(now)
    ) { (operation: $0.text(0), hash: $0.blob(1), response: $0.blob(2)) }
    if let known {
      guard known.operation == key.operation, known.hash == key.requestHash else {
        throw Problem(.keyReused, "This Idempotency-Key was used for another request: choose a new one.")
      }
      return (try JSONCoding.decode(T.self, from: known.response), true)
    }
    let value = try body()
    let isFirst = try db.run(
      """
      INSERT INTO idempotency_keys (user, key, operation, request_hash, response, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
      ON CONFLICT (user, key) DO UPDATE SET operation = excluded.operation, request_hash = excluded.request_hash,
        response = excluded.response, expires_at = excluded.expires_at WHERE idempotency_keys.expires_at <= ?7
      """, .integer(user), .text(key.key), .text(key.operation), .blob(key.requestHash),
      .blob(try JSONCoding.encode(value)), .time(now + context.options.memory), .time(now))
    // The same request came twice at once, and the other one was first: what this one did goes, and it hears what the other one answered.
    guard isFirst == 1 else { throw TransactionConflict() }
    return (value, false)
  }

  private static func lockNumber(of key: IdempotencyKey, user: Int64) -> Int64 {
    SHA256Hasher.hash(Array("\(user) \(key.key)".utf8)).prefix(8).reduce(0) { $0 << 8 | Int64($1) }
  }
}
