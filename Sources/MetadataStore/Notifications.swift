internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// What others did, read off the feeds: nothing is written for it, and it goes back as far as changes are kept.
extension ReadTransaction {
  /// Shares that are looked at, the newest first.
  private static let shareLimit = 256

  private struct Note {
    var notification: Notification
    var namespace: Int64
  }

  func notifications(limit: Int, cursor: String?, _ principal: Principal) throws -> Page<Notification> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let start = try cursor.map { try NumberCursor.decode("n", count: 2, $0) } ?? [.max, .max]
    let (time, namespace) = (start[0], start[1])
    var notes = try own(before: time, namespace, limit: limit + 1, principal)
    notes += try quarantined(before: time, namespace, limit: limit + 1, principal)
    let shares = try db.all(
      "SELECT number, ns FROM shares WHERE member = ? ORDER BY number DESC LIMIT ?", .integer(principal.userNumber),
      .int(ReadTransaction.shareLimit)
    ) { (number: $0.int64(0), namespace: $0.int64(1)) }
    for share in shares {
      notes += try through(share.number, before: share.namespace < namespace ? time.addingOne : time, limit: limit + 1, principal)
    }
    notes.sort { ($0.notification.at, $0.namespace) > ($1.notification.at, $1.namespace) }
    let hasMore = notes.count > limit
    notes = Array(notes.prefix(limit))
    return Page(
      items: notes.map(\.notification),
      next: hasMore ? notes.last.map { NumberCursor.encode("n", $0.notification.at.microseconds, $0.namespace) } : nil)
  }

  private func own(before time: Int64, _ namespace: Int64, limit: Int, _ principal: Principal) throws -> [Note] {
    let before = principal.namespaceNumber < namespace ? time.addingOne : time
    return try db.all(
      """
      SELECT \(ReadTransaction.changeColumns) FROM changes c WHERE c.ns = ? AND c.author IS NOT NULL AND c.at < ?
      ORDER BY c.sequence DESC LIMIT ?
      """, .integer(principal.namespaceNumber), .integer(before), .int(limit)
    ) { row in
      let change = try ownChange(from: row, principal)
      return Note(notification: note(of: change, owner: principal.userName), namespace: principal.namespaceNumber)
    }
  }

  /// What the malware scanner found in the caller's own files, whoever committed it.
  private func quarantined(before time: Int64, _ namespace: Int64, limit: Int, _ principal: Principal) throws -> [Note] {
    let before = principal.namespaceNumber < namespace ? time.addingOne : time
    let found = try db.all(
      """
      SELECT c.found_at, c.entry, c.version, c.finding, v.size, a.name FROM content_scans c
      JOIN versions v ON v.ns = c.ns AND v.entry = c.entry AND v.version = c.version LEFT JOIN users a ON a.number = v.author
      WHERE c.ns = ? AND c.found_at IS NOT NULL AND c.found_at < ? ORDER BY c.found_at DESC LIMIT ?
      """, .integer(principal.namespaceNumber), .integer(before), .int(limit)
    ) { (at: $0.time(0), entry: $0.id(1) as EntryID, version: $0.int64(2), finding: $0.text(3), size: $0.int64(4), by: $0.optionalText(5)) }
    return try found.compactMap { item in
      guard let row = try entry(principal.namespaceNumber, item.entry),
        let path = try formerPath(of: row, principal.namespaceNumber)
      else { return nil }
      var document = principal.view.document(row, path: path, role: .owner)
      document.version = item.version
      document.size = item.size
      document.quarantine = item.finding
      return Note(
        notification: Notification(kind: .quarantined, at: item.at, actor: item.by ?? principal.userName, entry: document),
        namespace: principal.namespaceNumber)
    }
  }

  private func through(_ share: Int64, before time: Int64, limit: Int, _ principal: Principal) throws -> [Note] {
    try db.all(
      """
      SELECT \(ReadTransaction.changeColumns), sc.side, sc.cut, sc.old_cut, s.entry, s.mount, s.role, s.ns, o.name FROM shares s
      JOIN share_changes sc ON sc.ns = s.ns AND sc.root = s.entry AND sc.sequence > s.since
      JOIN changes c ON c.ns = sc.ns AND c.sequence = sc.sequence
      JOIN namespaces n ON n.number = s.ns JOIN users o ON o.number = n.owner
      WHERE s.number = ? AND c.at < ? AND (c.author IS NULL OR c.author <> ?) ORDER BY sc.sequence DESC LIMIT ?
      """, .integer(share), .integer(time), .integer(principal.userNumber), .int(limit)
    ) { row in
      let namespace = row.int64(23)
      let owner = row.text(24)
      return Note(notification: note(of: try sharedChange(from: row, namespace, owner: owner), owner: owner), namespace: namespace)
    }
  }

  private func note(of change: Change, owner: String) -> Notification {
    let isGrant = change.share == nil && change.entry.path.hasPrefix(SharedFolder.path + "/")
    let kind: Notification.Kind =
      switch change.action {
      case .created: .created
      case .modified: .edited
      case .moved: .moved
      case .deleted: .deleted
      case .entered: isGrant ? .shared : .moved
      case .left: isGrant ? .unshared : .moved
      }
    return Notification(kind: kind, at: change.at, actor: change.actor ?? owner, entry: change.entry)
  }
}

extension Int64 {
  fileprivate var addingOne: Int64 { self == .max ? self : self + 1 }
}
