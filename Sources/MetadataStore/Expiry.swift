internal import BlockModel
internal import SQLSession
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
    gone += try forgetOldVersions()
    gone += try emptyOldTrash()
    gone += try trimFeeds()
    gone += try db.run(
      "DELETE FROM links WHERE id IN (SELECT id FROM links WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
      .time(now - context.options.memory), .int(WriteTransaction.expiryStep))
    gone += try trimAuditLog()
    gone += try purgeSome()
    return gone
  }

  /// Versions whose retention is over. The present one of a file has none.
  private func forgetOldVersions() throws -> Int {
    let old = try db.all(
      "SELECT \(VersionRow.columns), ns, entry FROM versions WHERE superseded_at <= ? ORDER BY superseded_at LIMIT ?",
      .time(now - context.options.retention), .int(WriteTransaction.expiryStep)
    ) { (version: VersionRow($0), namespace: $0.int64(VersionRow.columnCount), entry: $0.id(VersionRow.columnCount + 1) as EntryID) }
    try hold(old.map(\.namespace))
    for (version, namespace, id) in old {
      guard let owner = try ownerOf(namespace) else { continue }
      try edit(owner) { editor in
        try editor.release(version.list)
        try db.send(
          "DELETE FROM versions WHERE ns = ? AND entry = ? AND version = ?", .integer(namespace), .id(id), .integer(version.version))
        try editor.forgetScans(of: id, version: version.version)
      }
    }
    return old.count
  }

  /// What was in the trash for long enough begins to be deleted for good.
  private func emptyOldTrash() throws -> Int {
    let old = try db.all(
      "SELECT ns, id FROM entries WHERE removed_at <= ? AND removed_at IS NOT NULL AND purging = 0 ORDER BY removed_at LIMIT ?",
      .time(now - context.options.retention), .int(WriteTransaction.expiryStep)
    ) { (namespace: $0.int64(0), id: $0.id(1) as EntryID) }
    try hold(old.map(\.namespace))
    for (namespace, id) in old {
      try db.send("UPDATE entries SET purging = 1 WHERE ns = ? AND id = ?", .integer(namespace), .id(id))
    }
    return old.count
  }

  /// Namespaces that one call looks at.
  private static let trimStep = 64

  /// Forgets changes that are older than the feed keeps, a few namespaces a call, round and round.
  private func trimFeeds() throws -> Int {
    let next = try db.all(
      """
      SELECT n.number, n.trimmed FROM namespaces n WHERE n.number > ? ORDER BY n.number LIMIT ?
      """, .integer(context.trimming.next), .int(WriteTransaction.trimStep)
    ) { (number: $0.int64(0), trimmed: $0.int64(1)) }
    var due: [(namespace: Int64, end: Int64)] = []
    for (namespace, trimmed) in next {
      if let end = try lastToTrim(namespace, after: trimmed) { due.append((namespace, end)) }
    }
    try hold(due.map(\.namespace))
    context.trimming.next = next.count < WriteTransaction.trimStep ? 0 : next.last?.number ?? 0
    var gone = 0
    for (namespace, end) in due { gone += try trim(namespace, upTo: end) }
    return gone
  }

  private func lastToTrim(_ namespace: Int64, after trimmed: Int64) throws -> Int64? {
    let end: Int64?? = try db.first(
      """
      SELECT max(sequence) FROM (SELECT sequence, at FROM changes WHERE ns = ? AND sequence > ?
        ORDER BY sequence LIMIT ?) AS oldest WHERE at <= ?
      """, .integer(namespace), .integer(trimmed), .int(WriteTransaction.expiryStep), .time(now - context.options.feedRetention)
    ) { $0.optionalInt64(0) }
    return end ?? nil
  }

  private func trim(_ namespace: Int64, upTo end: Int64) throws -> Int {
    try db.send("UPDATE namespaces SET trimmed = ? WHERE number = ?", .integer(end), .integer(namespace))
    try db.send(
      """
      DELETE FROM share_changes WHERE ns = ? AND sequence <= ?
      """, .integer(namespace), .integer(end))
    return try db.run("DELETE FROM changes WHERE ns = ? AND sequence <= ?", .integer(namespace), .integer(end))
  }

  private func endOverdueUploads() throws -> Int {
    let overdue = try db.all(
      "SELECT \(UploadRow.columns) FROM uploads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?", .time(now),
      .int(WriteTransaction.expiryStep)
    ) { UploadRow($0) }
    try hold(overdue.map(\.namespace))
    for upload in overdue {
      if upload.status == .uploading, let principal = try ownerOf(upload.namespace) {
        try edit(principal) { try $0.end(upload, as: .expired) }
      } else {
        try db.send("DELETE FROM voided_receipts WHERE upload = ?", .integer(upload.number))
        try db.send("DELETE FROM uploads WHERE number = ?", .integer(upload.number))
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
