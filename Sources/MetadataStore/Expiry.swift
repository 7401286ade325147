internal import BlockModel
internal import SQLiteDatabase
internal import ServiceAPI

extension WriteTransaction {
  /// Rows that one call takes of each kind, so that it does not hold up the mutations behind it.
  static let expiryStep = 256

  /// One bounded step of tidying up. Answers how many rows went.
  func expire() throws -> Int {
    var gone = try endOverdueUploads()
    gone += try db.run(
      """
      DELETE FROM idempotency_keys WHERE (user, key) IN
        (SELECT user, key FROM idempotency_keys WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
      """, .time(now), .int(WriteTransaction.expiryStep))
    gone += try purgeSome()
    return gone
  }

  private func endOverdueUploads() throws -> Int {
    let overdue = try db.all(
      "SELECT \(UploadRow.columns), ns FROM uploads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?", .time(now),
      .int(WriteTransaction.expiryStep)
    ) { (upload: UploadRow($0), namespace: $0.int64(20)) }
    for (upload, namespace) in overdue {
      if upload.status == .uploading, let principal = try ownerOf(namespace) {
        try edit(principal) { try $0.end(upload, as: .expired) }
      } else {
        try db.run("DELETE FROM uploads WHERE number = ?", .integer(upload.number))
      }
    }
    return overdue.count
  }

  private func purgeSome() throws -> Int {
    let waiting = try db.first("SELECT ns FROM entries INDEXED BY entries_purging WHERE purging = 1 LIMIT 1") { $0.int64(0) }
    guard let waiting, let principal = try ownerOf(waiting) else { return 0 }
    return try edit(principal) { try $0.purge(limit: NamespaceEditor.purgeStep) }
  }

  /// The namespace's owner, for work that nobody asked for just now.
  func ownerOf(_ namespace: Int64) throws -> Principal? {
    try db.first(
      "SELECT u.id, u.name, n.id, u.number, n.number, n.root FROM namespaces n JOIN users u ON u.number = n.owner WHERE n.number = ?",
      .integer(namespace)
    ) {
      Principal(
        user: $0.id(0), userName: $0.text(1), device: DeviceID(high: 0, low: 0), deviceName: "", expiresAt: .epoch, lastSeenAt: nil,
        namespace: $0.id(2), userNumber: $0.int64(3), namespaceNumber: $0.int64(4), root: $0.id(5))
    }
  }
}
