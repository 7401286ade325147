internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// A share with what a list of them shows.
private struct ShareRow {
  var number: Int64
  var namespace: Int64
  var entry: EntryID
  var member: String
  var role: Role
  var mount: String
  var grantedBy: Int64
  var grantedAt: WallTime
  var owner: String

  private static let columns = "s.number, s.ns, s.entry, m.name, s.role, s.mount, s.granted_by, s.granted_at, o.name"
  private static let tables = """
    FROM shares s JOIN users m ON m.number = s.member JOIN namespaces n ON n.number = s.ns JOIN users o ON o.number = n.owner
    """

  static let select = "SELECT \(columns) \(tables)"

  /// With the entry in front and who granted it behind; one whose entry is not there has no row.
  static let selectWithEntry = """
    SELECT \(EntryRow.columns(of: "e")), \(columns), g.name \(tables)
    JOIN entries e ON e.ns = s.ns AND e.id = s.entry LEFT JOIN users g ON g.number = s.granted_by
    """

  /// - Parameter start: the column of the share's number.
  init(_ row: any SQLRow, from start: Int32 = 0) {
    number = row.int64(start)
    namespace = row.int64(start + 1)
    entry = row.id(start + 2)
    member = row.text(start + 3)
    role = Role(number: row.int(start + 4))
    mount = row.text(start + 5)
    grantedBy = row.int64(start + 6)
    grantedAt = row.time(start + 7)
    owner = row.text(start + 8)
  }
}

extension WriteTransaction {
  /// Grants a role on an entry, or changes it. The member's own feed says that the entry came into sight.
  func share(_ operation: UserOperations.Share, _ principal: Principal) throws -> ShareInfo {
    guard operation.role < .owner else { throw Problem(.malformed, "A share's role is read, write or admin.") }
    guard let member = try user(named: operation.user) else { throw Problem(.notFound, "There is no user \(operation.user).") }
    return try edit(operation.entry, principal) { editor in
      let found = try editor.locate(operation.entry, for: .share)
      guard found.row.parent != nil else { throw Problem(.forbidden, "The root cannot be shared: share what is in it.") }
      guard found.row.keyFolder == nil || found.row.keyFolder == found.row.id else {
        throw Problem(.encryptionBoundary, "One key opens all of an encrypted folder, so it is shared as a whole.")
      }
      guard member.namespaceNumber != editor.namespace else {
        throw Problem(.conflict, "\(found.callerPath) is \(member.userName)'s own: owners need no share.")
      }
      let (mount, isNew) = try grant(found, to: member, operation.role, by: principal, editor)
      if isNew { editor.state.shares += 1 }
      editor.sharedAbove = [:]
      try announce(.entered, found.row, mount, role: operation.role, to: member, by: principal)
      try log(actor: principal.userName, action: "share", subject: "\(found.row.id.hex) \(member.userName) \(operation.role.rawValue)")
      return ShareInfo(
        user: member.userName, role: operation.role, grantedBy: principal.userName, grantedAt: now, entry: found.document)
    }
  }

  private func grant(
    _ found: Located, to member: Principal, _ role: Role, by principal: Principal, _ editor: NamespaceEditor
  ) throws -> (mount: String, isNew: Bool) {
    let known = try db.first(
      "SELECT number, mount FROM shares WHERE ns = ? AND entry = ? AND member = ?", .integer(editor.namespace), .id(found.row.id),
      .integer(member.userNumber)
    ) { (number: $0.int64(0), mount: $0.text(1)) }
    if let known {
      try db.send(
        "UPDATE shares SET role = ?, granted_by = ?, granted_at = ? WHERE number = ?", .int(role.number), .integer(principal.userNumber),
        .time(now), .integer(known.number))
      return (known.mount, false)
    }
    let mount = try freeMount(found.row.name, owner: found.view.owner, of: member)
    try db.send(
      """
      INSERT INTO shares (ns, entry, member, role, mount, granted_by, granted_at, since) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      """, .integer(editor.namespace), .id(found.row.id), .integer(member.userNumber), .int(role.number), .text(mount),
      .integer(principal.userNumber), .time(now), .integer(editor.state.sequence))
    return (mount, true)
  }

  /// The entry's own name, or that with the owner's behind it when the member has such a share already.
  private func freeMount(_ name: String, owner: String, of member: Principal) throws -> String {
    for attempt in 0..<10_000 {
      let mark = attempt == 0 ? "" : attempt == 1 ? " (\(owner))" : " (\(owner) \(attempt))"
      let mount = MarkedName.make(name, mark)
      if try !isMounted(mount, member) { return mount }
    }
    throw Problem(.conflict, "\(member.userName) has too many shares called \(name): rename it first.")
  }

  private func isMounted(_ mount: String, _ member: Principal) throws -> Bool {
    try db.first("SELECT 1 FROM shares WHERE member = ? AND mount = ?", .integer(member.userNumber), .text(mount)) { _ in true } ?? false
  }

  /// Takes a share back: the member their own, or who may share the entry.
  func unshare(_ operation: UserOperations.Unshare, _ principal: Principal) throws {
    guard let member = try user(named: operation.user) else { throw Problem(.notFound, "There is no user \(operation.user).") }
    let isOwn = member.userNumber == principal.userNumber
    try edit(operation.entry, principal) { editor in
      let found = try editor.locate(operation.entry, for: isOwn ? .stat : .share)
      let mount = try db.first(
        "SELECT mount FROM shares WHERE ns = ? AND entry = ? AND member = ?", .integer(editor.namespace), .id(found.row.id),
        .integer(member.userNumber)
      ) { $0.text(0) }
      guard let mount else { throw Problem(.notFound, "\(found.callerPath) is not shared with \(member.userName).") }
      try db.send(
        "DELETE FROM shares WHERE ns = ? AND entry = ? AND member = ?", .integer(editor.namespace), .id(found.row.id),
        .integer(member.userNumber))
      editor.state.shares -= 1
      editor.sharedAbove = [:]
      try editor.forgetKeys(of: member)
      try announce(.left, found.row, mount, role: .read, to: member, by: principal)
      try log(actor: principal.userName, action: "unshare", subject: "\(found.row.id.hex) \(member.userName)")
    }
  }

  /// Another name for a share, for its member alone.
  func renameMount(_ found: Located, to path: RemotePath, _ principal: Principal) throws -> FileEntry {
    guard let mount = found.view.mount, path.components.count == 2, path.components[0].text == SharedFolder.name else {
      throw Problem(.forbidden, "\(found.callerPath) is shared with you by \(found.view.owner): it can only be renamed where it is.")
    }
    let name = path.components[1].text
    guard try !isMounted(name, principal) else { throw Problem(.alreadyExists, "Something is shared with you as \(path.text) already.") }
    try db.send(
      "UPDATE shares SET mount = ? WHERE ns = ? AND entry = ? AND member = ?", .text(name), .integer(found.view.namespace),
      .id(mount.top), .integer(principal.userNumber))
    let old = mount.callerPath.split(separator: "/").last.map(String.init) ?? ""
    try announce(.left, found.row, old, role: found.role, to: principal, by: principal)
    try announce(.entered, found.row, name, role: found.role, to: principal, by: principal)
    return try locate(.path(path.text), for: .stat, principal).document
  }

  /// Says in a member's own feed that something came into sight or went out of it.
  func announce(
    _ action: Change.Action, _ row: EntryRow, _ mount: String, role: Role, to member: Principal, by actor: Principal
  ) throws {
    try edit(member) { editor in
      editor.author = actor.userNumber == member.userNumber ? nil : actor.userNumber
      var row = row
      row.parent = SharedFolder.id
      row.name = mount
      try editor.record(action, row, path: SharedFolder.path(of: mount))
    }
  }

  /// Takes away the shares and links of an entry that is deleted for good.
  func forgetSharing(of id: EntryID, _ editor: NamespaceEditor) throws {
    let members =
      editor.state.shares == 0
      ? []
      : try db.all(
        "SELECT member, mount FROM shares WHERE ns = ? AND entry = ?", .integer(editor.namespace), .id(id)
      ) { (member: $0.int64(0), mount: $0.text(1)) }
    if !members.isEmpty, let row = try entry(editor.namespace, id) {
      try hold(members.compactMap { try user(number: $0.member)?.namespaceNumber })
      for (number, mount) in members {
        guard let member = try user(number: number) else { continue }
        try announce(.left, row, mount, role: .read, to: member, by: editor.principal)
      }
      try db.send("DELETE FROM shares WHERE ns = ? AND entry = ?", .integer(editor.namespace), .id(id))
      editor.state.shares -= Int64(members.count)
      editor.sharedAbove = [:]
    }
    try db.send("DELETE FROM links WHERE ns = ? AND entry = ?", .integer(editor.namespace), .id(id))
    try editor.forgetKeys(ofFolder: id)
  }
}

extension MetadataReading {
  /// A user in their own tree, without a device.
  func user(named name: String) throws -> Principal? { try user("u.name_key = ?", .text(name.lowercased())) }

  func user(number: Int64) throws -> Principal? { try user("u.number = ?", .integer(number)) }

  private func user(_ condition: String, _ value: SQLValue) throws -> Principal? {
    try db.first(
      """
      SELECT u.id, u.name, n.id, u.number, n.number, n.root FROM users u JOIN namespaces n ON n.owner = u.number
      WHERE \(condition) AND u.is_disabled = 0
      """, value
    ) {
      Principal(
        user: $0.id(0), userName: $0.text(1), device: DeviceID(high: 0, low: 0), deviceName: "", expiresAt: .epoch, lastSeenAt: nil,
        namespace: $0.id(2), userNumber: $0.int64(3), namespaceNumber: $0.int64(4), root: $0.id(5))
    }
  }
}

extension ReadTransaction {
  /// With whom an entry is shared, by the members' names.
  func shares(of reference: EntryReference, limit: Int, cursor: String?, _ principal: Principal) throws -> Page<ShareInfo> {
    let found = try locate(reference, for: .listShares, principal)
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let after = try cursor.map { try ListCursor.decode($0) } ?? []
    var rows = try db.all(
      "\(ShareRow.select) WHERE s.ns = ? AND s.entry = ? AND m.name > ? ORDER BY m.name LIMIT ?", .integer(found.view.namespace),
      .id(found.row.id), .text(after.first ?? ""), .int(limit + 1)
    ) { ShareRow($0) }
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    let items = try rows.map { row in
      ShareInfo(
        user: row.member, role: row.role, grantedBy: try userName(row.grantedBy), grantedAt: row.grantedAt, entry: found.document)
    }
    return Page(items: items, next: hasMore ? rows.last.map { ListCursor.encode([$0.member]) } : nil)
  }

  /// What others share with the caller, by name. What its owner has in the trash is left out.
  func shared(limit: Int, cursor: String?, _ principal: Principal) throws -> Page<ShareInfo> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let after = try cursor.map { try ListCursor.decode($0) } ?? []
    var rows: [(share: ShareRow, entry: EntryRow, grantedBy: String)] = []
    try db.rows(
      "\(ShareRow.selectWithEntry) WHERE s.member = ? AND s.mount > ? ORDER BY s.mount LIMIT ?",
      [.integer(principal.userNumber), .text(after.first ?? ""), .int(limit + 1)]
    ) { row in
      let share = ShareRow(row, from: EntryRow.columnCount)
      rows.append((share, EntryRow(row), row.optionalText(EntryRow.columnCount + 9) ?? "?"))
      return true
    }
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    let ancestry = try ancestry(rows.map { ($0.share.namespace, $0.entry) })
    let items = rows.compactMap { share, entry, grantedBy -> ShareInfo? in
      guard ancestry.reachesRoot(share.entry, in: share.namespace) else { return nil }
      var document = entry.document(path: SharedFolder.path(of: share.mount), owner: share.owner)
      document.name = share.mount
      document.role = share.role
      return ShareInfo(user: share.member, role: share.role, grantedBy: grantedBy, grantedAt: share.grantedAt, entry: document)
    }
    return Page(items: items, next: hasMore ? rows.last.map { ListCursor.encode([$0.share.mount]) } : nil)
  }

  /// Where the entries of a page of shares and all folders above them lie, those that are in the trash left out: asked for all at once,
  /// because a page has many and trees are deep, and once for each folder that some of the page lie in.
  private func ancestry(_ entries: [(namespace: Int64, row: EntryRow)]) throws -> SharedAncestry {
    var ancestry = SharedAncestry()
    var folders: [[SQLValue]] = []
    for (namespace, row) in entries where !row.isRemoved {
      if let folder = row.parent, ancestry.isNew(folder, in: namespace) { folders.append([.integer(namespace), .id(folder)]) }
      ancestry.add(row.id, in: namespace, below: row.parent)
    }
    try db.rows(
      """
      WITH RECURSIVE above (ns, id, parent) AS (
        SELECT ns, id, parent FROM entries WHERE ns = ?1 AND id = ?2 AND removed_at IS NULL UNION
        SELECT e.ns, e.id, e.parent FROM above a JOIN entries e ON e.ns = ?1 AND e.id = a.parent WHERE e.removed_at IS NULL)
      SELECT ns, id, parent FROM above
      """, each: folders
    ) { _, row in
      let isRoot = row.withBlob(2) { $0.isEmpty }
      ancestry.add(row.id(1), in: row.int64(0), below: isRoot ? nil : row.id(2))
    }
    return ancestry
  }
}

/// Which living entries lie in which folders.
private struct SharedAncestry {
  private struct Place: Hashable {
    var namespace: Int64
    var entry: EntryID
  }

  private var folders: [Place: EntryID?] = [:]
  private var asked: Set<Place> = []

  /// Whether nobody has asked this of the folder before.
  mutating func isNew(_ folder: EntryID, in namespace: Int64) -> Bool {
    asked.insert(Place(namespace: namespace, entry: folder)).inserted
  }

  /// - Parameter folder: nil for a root.
  mutating func add(_ entry: EntryID, in namespace: Int64, below folder: EntryID?) {
    folders.updateValue(folder, forKey: Place(namespace: namespace, entry: entry))
  }

  /// Whether the entry and all folders above it are known.
  func reachesRoot(_ entry: EntryID, in namespace: Int64) -> Bool {
    var place = Place(namespace: namespace, entry: entry)
    // The tree has no circles; if a damaged database had one, this would end all the same.
    for _ in 0...folders.count {
      guard let folder = folders[place] else { return false }
      guard let folder else { return true }
      place.entry = folder
    }
    return false
  }
}
