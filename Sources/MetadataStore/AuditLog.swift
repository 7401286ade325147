internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// Who did what. A change of metadata writes its line in its own transaction, so no such change is without one.
///
/// What must hold: nothing secret stands in a line; the log has a bound in time and in rows.
extension WriteTransaction {
  /// Rows beyond which the oldest go, however young.
  static let auditRows: Int64 = 2_000_000
  private static let subjectLimit = 512

  func log(actor: String, action: String, subject: String) throws {
    try db.send(
      "INSERT INTO audit_log (at, actor, action, subject) VALUES (?, ?, ?, ?)", .time(now), .text(actor), .text(action),
      .text(String(subject.prefix(WriteTransaction.subjectLimit))))
  }

  /// One step of forgetting old lines; the rows are in the order of time. Answers how many went.
  func trimAuditLog() throws -> Int {
    let newest = try db.first("SELECT max(number) FROM audit_log") { $0.optionalInt64(0) } ?? nil
    return try db.run(
      """
      DELETE FROM audit_log WHERE number IN
        (SELECT number FROM (SELECT number, at FROM audit_log ORDER BY number LIMIT ?) AS oldest WHERE at <= ? OR number <= ?)
      """, .int(WriteTransaction.expiryStep), .time(now - context.options.auditRetention),
      .integer((newest ?? 0) - WriteTransaction.auditRows))
  }
}

extension ReadTransaction {
  func auditLog(of actor: String?, limit: Int, cursor: String?) throws -> Page<AuditEntry> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let before = try cursor.map { try NumberCursor.decode("a", count: 1, $0)[0] } ?? .max
    let columns = "SELECT number, at, actor, action, subject FROM audit_log WHERE number < ?"
    let order = "ORDER BY number DESC LIMIT ?"
    func entry(_ row: any SQLRow) -> AuditEntry {
      AuditEntry(number: row.int64(0), at: row.time(1), actor: row.text(2), action: row.text(3), subject: row.text(4))
    }
    var entries =
      if let actor {
        try db.all("\(columns) AND actor = ? \(order)", .integer(before), .text(actor), .int(limit + 1)) { entry($0) }
      } else {
        try db.all("\(columns) \(order)", .integer(before), .int(limit + 1)) { entry($0) }
      }
    let hasMore = entries.count > limit
    if hasMore { entries.removeLast() }
    return Page(items: entries, next: hasMore ? entries.last.map { NumberCursor.encode("a", $0.number) } : nil)
  }
}
