internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

/// A place in a user's feed: the last change applied of the own namespace and of each that something is shared from. Opaque to clients.
struct FeedCursor: Equatable {
  private static let format: UInt8 = 2
  /// Namespaces that a cursor names beside the own one, at most; what others share beyond that is in no feed.
  static let sharedLimit = 1024
  static let longest = 12 << 10

  struct Place: Equatable {
    /// The engine's short number.
    var namespace: Int64
    var sequence: Int64
  }

  var feedEpoch: UInt64
  var namespace: NamespaceID
  var sequence: Int64
  /// By namespace, rising.
  var shared: [Place]

  init(feedEpoch: UInt64, namespace: NamespaceID, sequence: Int64, shared: [Place] = []) {
    self.feedEpoch = feedEpoch
    self.namespace = namespace
    self.sequence = sequence
    self.shared = shared
  }

  var text: String {
    var bytes = [FeedCursor.format]
    for word in [feedEpoch, namespace.high, namespace.low] {
      bytes += (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
    }
    FeedCursor.append(sequence, to: &bytes)
    var last: Int64 = 0
    for place in shared {
      FeedCursor.append(place.namespace - last, to: &bytes)
      FeedCursor.append(place.sequence, to: &bytes)
      last = place.namespace
    }
    return Base64URL.encode(bytes)
  }

  init(_ text: String) throws(Problem) {
    let wrong = Problem(.invalidCursor, "This is no cursor of a change feed: start without one.")
    guard text.utf8.count <= FeedCursor.longest, let bytes = Base64URL.decode(text), bytes.count > 25, bytes[0] == FeedCursor.format else {
      throw wrong
    }
    func word(_ index: Int) -> UInt64 { bytes[(1 + index * 8)..<(9 + index * 8)].reduce(0) { $0 << 8 | UInt64($1) } }
    feedEpoch = word(0)
    namespace = NamespaceID(high: word(1), low: word(2))
    var rest = bytes[25...]
    guard let sequence = FeedCursor.take(&rest) else { throw wrong }
    self.sequence = sequence
    shared = []
    var last: Int64 = 0
    while !rest.isEmpty {
      guard let step = FeedCursor.take(&rest), step > 0, let sequence = FeedCursor.take(&rest), shared.count < FeedCursor.sharedLimit else {
        throw wrong
      }
      let (namespace, isTooLarge) = last.addingReportingOverflow(step)
      guard !isTooLarge else { throw wrong }
      shared.append(Place(namespace: namespace, sequence: sequence))
      last = namespace
    }
  }

  /// Seven bits a byte, the lowest first; the top bit says that more follow.
  private static func append(_ number: Int64, to bytes: inout [UInt8]) {
    var left = UInt64(bitPattern: number)
    while left >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: left) | 0x80)
      left >>= 7
    }
    bytes.append(UInt8(left))
  }

  private static func take(_ bytes: inout ArraySlice<UInt8>) -> Int64? {
    var number: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 63, by: 7) {
      guard let byte = bytes.popFirst() else { return nil }
      number |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return Int64(bitPattern: number) }
    }
    return nil
  }
}

/// Where a namespace's feed begins and ends.
private struct FeedBounds {
  var number: Int64
  var id: NamespaceID
  var last: Int64
  var trimmed: Int64
  var owner: String
}

extension ReadTransaction {
  static let changesLimit = 1000
  static let changeColumns = """
    c.sequence, c.at, c.action, c.entry, c.path, c.old_path, c.kind, c.version, c.size, c.content_hash, c.mime_type,
    c.modified_at, c.executable, c.target, (SELECT a.name FROM users a WHERE a.number = c.author), c.key_folder, c.envelope
    """

  /// The changes after a cursor; without one, from the start. A cursor that cannot be continued answers `reset` and the present place: the
  /// client lists anew and goes on from there.
  func changes(since text: String?, limit: Int, feedEpoch: UInt64, _ principal: Principal) throws -> ChangesPage {
    guard let own = try bounds("n.number = ?1", principal.namespaceNumber).first else {
      throw Problem(.notFound, "This user's files are no longer here.")
    }
    let shared = try bounds("n.number IN (SELECT ns FROM shares WHERE member = ?1)", principal.userNumber)
    let topics = [own.number] + shared.map(\.number)
    let now = FeedCursor(
      feedEpoch: feedEpoch, namespace: own.id, sequence: own.last,
      shared: shared.map { FeedCursor.Place(namespace: $0.number, sequence: $0.last) })
    let from = try text.map { try FeedCursor($0) } ?? FeedCursor(feedEpoch: feedEpoch, namespace: own.id, sequence: 0)
    let known = Dictionary(from.shared.map { ($0.namespace, $0.sequence) }) { first, _ in first }
    let fits =
      from.feedEpoch == feedEpoch && from.namespace == own.id && (own.trimmed...own.last).contains(from.sequence)
      && shared.allSatisfy { bounds in known[bounds.number].map { (bounds.trimmed...bounds.last).contains($0) } ?? true }
    guard fits else { return ChangesPage(changes: [], cursor: now.text, hasMore: false, reset: true, topics: topics) }

    let limit = min(max(1, limit), ReadTransaction.changesLimit)
    var reached = FeedCursor(feedEpoch: feedEpoch, namespace: own.id, sequence: from.sequence)
    var changes = try ownChanges(after: from.sequence, limit: limit, principal)
    if let last = changes.last { reached.sequence = last.sequence }
    var hasMore = reached.sequence < own.last
    for bounds in shared {
      var sequence = known[bounds.number]
      if changes.count < limit {
        let page = try sharedChanges(in: bounds, after: sequence ?? 0, limit: limit - changes.count, principal)
        changes += page.changes
        sequence = page.hasMore ? page.changes.last?.sequence ?? sequence : bounds.last
        hasMore = hasMore || page.hasMore
      } else if sequence ?? 0 < bounds.last {
        hasMore = true
      }
      // A namespace without a place yet is begun with the page that has room for it.
      if let sequence { reached.shared.append(FeedCursor.Place(namespace: bounds.number, sequence: sequence)) }
    }
    return ChangesPage(changes: changes, cursor: reached.text, hasMore: hasMore, reset: false, topics: topics)
  }

  private func bounds(_ condition: String, _ number: Int64) throws -> [FeedBounds] {
    try db.all(
      """
      SELECT n.number, n.id, n.sequence, n.trimmed, u.name FROM namespaces n JOIN users u ON u.number = n.owner
      WHERE \(condition) ORDER BY n.number LIMIT ?2
      """, .integer(number), .int(FeedCursor.sharedLimit)
    ) { FeedBounds(number: $0.int64(0), id: $0.id(1), last: $0.int64(2), trimmed: $0.int64(3), owner: $0.text(4)) }
  }

  private func ownChanges(after sequence: Int64, limit: Int, _ principal: Principal) throws -> [Change] {
    try db.all(
      "SELECT \(ReadTransaction.changeColumns) FROM changes c WHERE c.ns = ? AND c.sequence > ? ORDER BY c.sequence LIMIT ?",
      .integer(principal.namespaceNumber), .integer(sequence), .int(limit)
    ) { try ownChange(from: $0, principal) }
  }

  /// A change of the own feed: of the own tree, or that something came into sight or went out of it by a share.
  func ownChange(from row: any SQLRow, _ principal: Principal) throws -> Change {
    var change = change(from: row, owner: principal.userName)
    guard change.entry.path.hasPrefix(SharedFolder.path + "/") else { return change }
    let share = try db.first(
      """
      SELECT u.name, s.role FROM shares s JOIN namespaces n ON n.number = s.ns JOIN users u ON u.number = n.owner
      WHERE s.member = ? AND s.entry = ?
      """, .integer(principal.userNumber), .id(change.entry.id)
    ) { (owner: $0.text(0), role: Role(number: $0.int(1))) }
    change.entry.owner = share?.owner ?? change.actor ?? ""
    change.entry.role = share?.role ?? .read
    return change
  }

  // MARK: - What others share

  /// Changes of somebody else's namespace, as the caller's shares show them. The changes of one commit may be more than `limit` by as many
  /// shares as it touched.
  private func sharedChanges(
    in bounds: FeedBounds, after sequence: Int64, limit: Int, _ principal: Principal
  ) throws -> (changes: [Change], hasMore: Bool) {
    let end = try db.first(
      """
      SELECT max(sequence), count(*) FROM (SELECT DISTINCT sc.sequence FROM shares s
        JOIN share_changes sc ON sc.ns = s.ns AND sc.root = s.entry AND sc.sequence > max(?3, s.since)
        WHERE s.member = ?1 AND s.ns = ?2 ORDER BY sc.sequence LIMIT ?4) AS seen
      """, .integer(principal.userNumber), .integer(bounds.number), .integer(sequence), .int(limit)
    ) { $0.isNull(0) ? nil : (last: $0.int64(0), isFull: $0.int(1) == limit) }
    guard let end, let end else { return ([], false) }
    let changes = try db.all(
      """
      SELECT \(ReadTransaction.changeColumns), sc.side, sc.cut, sc.old_cut, s.entry, s.mount, s.role FROM shares s
      JOIN share_changes sc ON sc.ns = s.ns AND sc.root = s.entry AND sc.sequence > max(?3, s.since) AND sc.sequence <= ?4
      JOIN changes c ON c.ns = sc.ns AND c.sequence = sc.sequence WHERE s.member = ?1 AND s.ns = ?2 ORDER BY sc.sequence, s.number
      """, .integer(principal.userNumber), .integer(bounds.number), .integer(sequence), .integer(end.last)
    ) { try sharedChange(from: $0, bounds.number, owner: bounds.owner) }
    return (changes, end.isFull && end.last < bounds.last)
  }

  func sharedChange(from row: any SQLRow, _ namespace: Int64, owner: String) throws -> Change {
    let top: EntryID = row.id(20)
    let mount = SharedFolder.path(of: row.text(21))
    let side = ShareSide(rawValue: row.int(17)) ?? .inside
    var change = change(from: row, owner: owner)
    change.share = top
    change.entry.role = Role(number: row.int(22))
    switch side {
    case .allCame, .allWent:
      // The change is of a folder above, which is not for the member to see.
      guard let shared = try entry(namespace, top) else {
        throw MetadataError(.unusable, "A share's entry is not there.")
      }
      var document = shared.document(path: mount, owner: owner)
      document.role = change.entry.role
      change.entry = document
      change.action = side == .allCame ? .entered : .left
      change.oldPath = nil
    case .inside, .entered, .left:
      let path = mount + ReadTransaction.rest(change.entry.path, row.int(18))
      let oldPath = mount + ReadTransaction.rest(change.oldPath ?? change.entry.path, row.int(19))
      change.entry.path = side == .left ? oldPath : path
      change.oldPath = side == .inside && change.action == .moved ? oldPath : nil
      if side == .entered { change.action = .entered }
      if side == .left { change.action = .left }
      // What is shared was renamed by its owner: its name for the member stays.
      if change.entry.id == top, change.action == .moved {
        change.action = .modified
        change.oldPath = nil
      }
    }
    change.entry.name = change.entry.path.split(separator: "/").last.map(String.init) ?? ""
    return change
  }

  private static func rest(_ path: String, _ cut: Int) -> String { String(decoding: path.utf8.dropFirst(cut), as: UTF8.self) }

  func change(from row: any SQLRow, owner: String) -> Change {
    let path = row.text(4)
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    let kind = EntryType(number: row.int(6))
    let entry = FileEntry(
      id: row.id(3), path: path, name: name, kind: kind,
      size: row.int64(8), contentHash: row.optionalBlob(9).map { HexDigits.encode($0) }, version: row.int64(7),
      mimeType: kind.mediaType(name: name, declared: row.optionalText(10)), modifiedAt: row.fileTime(11), executable: row.bool(12),
      target: row.optionalText(13), owner: owner, role: .owner,
      keyFolder: row.isNull(15) ? nil : row.id(15), envelope: row.optionalBlob(16).map { Base64URL.encode($0) })
    return Change(
      sequence: row.int64(0), action: Change.Action(number: row.int(2)), entry: entry, oldPath: row.optionalText(5), at: row.time(1),
      actor: row.optionalText(14))
  }
}
