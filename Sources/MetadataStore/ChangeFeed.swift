internal import BlockModel
internal import Platform
internal import SQLiteDatabase
internal import ServiceAPI

/// A place in a feed: which feed, which namespace, and the last change that was applied. Opaque to clients.
struct FeedCursor: Equatable {
  private static let format: UInt8 = 1

  var feedEpoch: UInt64
  var namespace: NamespaceID
  var sequence: Int64

  init(feedEpoch: UInt64, namespace: NamespaceID, sequence: Int64) {
    self.feedEpoch = feedEpoch
    self.namespace = namespace
    self.sequence = sequence
  }

  var text: String {
    let words = [feedEpoch, namespace.high, namespace.low, UInt64(bitPattern: sequence)]
    return Base64URL.encode(
      [FeedCursor.format] + words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } })
  }

  init(_ text: String) throws(Problem) {
    guard text.utf8.count <= 64, let bytes = Base64URL.decode(text), bytes.count == 33, bytes[0] == FeedCursor.format else {
      throw Problem(.invalidCursor, "This is no cursor of a change feed: start without one.")
    }
    func word(_ index: Int) -> UInt64 { bytes[(1 + index * 8)..<(9 + index * 8)].reduce(0) { $0 << 8 | UInt64($1) } }
    feedEpoch = word(0)
    namespace = NamespaceID(high: word(1), low: word(2))
    sequence = Int64(bitPattern: word(3))
  }
}

extension ReadTransaction {
  static let changesLimit = 1000

  /// The changes after a cursor; without one, from the start. A cursor that cannot be continued answers `reset` and the present place: the
  /// client lists anew and goes on from there.
  func changes(since text: String?, limit: Int, feedEpoch: UInt64, _ principal: Principal) throws -> ChangesPage {
    let bounds = try db.first(
      "SELECT sequence, trimmed FROM namespaces WHERE number = ?", .integer(principal.namespaceNumber)
    ) { (last: $0.int64(0), trimmed: $0.int64(1)) }
    guard let bounds else { throw Problem(.notFound, "This user's files are no longer here.") }
    func cursor(_ sequence: Int64) -> String {
      FeedCursor(feedEpoch: feedEpoch, namespace: principal.namespace, sequence: sequence).text
    }
    let from = try text.map { try FeedCursor($0) } ?? FeedCursor(feedEpoch: feedEpoch, namespace: principal.namespace, sequence: 0)
    guard from.feedEpoch == feedEpoch, from.namespace == principal.namespace, (bounds.trimmed...bounds.last).contains(from.sequence) else {
      return ChangesPage(changes: [], cursor: cursor(bounds.last), hasMore: false, reset: true)
    }
    let limit = min(max(1, limit), ReadTransaction.changesLimit)
    let changes = try db.all(
      """
      SELECT sequence, at, action, entry, path, old_path, kind, version, size, content_hash, mime_type, modified_at, executable, target
      FROM changes WHERE ns = ? AND sequence > ? ORDER BY sequence LIMIT ?
      """, .integer(principal.namespaceNumber), .integer(from.sequence), .int(limit)
    ) { change(from: $0, owner: principal.userName) }
    let reached = changes.last?.sequence ?? from.sequence
    return ChangesPage(changes: changes, cursor: cursor(reached), hasMore: reached < bounds.last, reset: false)
  }

  private func change(from row: SQLiteStatement, owner: String) -> Change {
    let path = row.text(4)
    let entry = FileEntry(
      id: row.id(3), path: path, name: path.split(separator: "/").last.map(String.init) ?? "", kind: EntryType(number: row.int(6)),
      size: row.int64(8), contentHash: row.optionalBlob(9).map { HexDigits.encode($0) }, version: row.int64(7),
      mimeType: row.optionalText(10), modifiedAt: row.fileTime(11), executable: row.bool(12), target: row.optionalText(13), owner: owner,
      role: .owner)
    return Change(
      sequence: row.int64(0), action: Change.Action(number: row.int(2)), entry: entry, oldPath: row.optionalText(5), at: row.time(1))
  }
}
