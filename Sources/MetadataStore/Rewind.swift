internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// How an entry was before its first change after the moment: what the feed keeps beside each change.
private struct FormerState {
  var id: EntryID
  /// False for an entry that was made later.
  var existed: Bool
  var parent: EntryID?
  var name: String
  var version: Int64
  var modifiedAt: FileTime
  var executable: Bool
}

/// An entry that changes back.
private struct Return {
  var former: FormerState
  var row: EntryRow
  /// Folders above it at that time, up to the rewound one.
  var depth: Int
  var isElsewhere: Bool
}

/// Making a folder as it was at an earlier place of the feed.
///
/// What must hold: it is one transaction, and forward: contents come back as new versions, entries as moves, creations and deletions, so
/// that rewinding to the place before it undoes it. Nothing outside of the folder changes but that what was moved out of it comes back, and
/// what was moved into it goes back. What was deleted for good since is counted and left out.
extension NamespaceEditor {
  /// Changes that one rewind looks at.
  static let rewindLimit = 50_000

  func rewind(_ reference: EntryReference, to sequence: Int64) throws -> (changed: Int, lost: Int) {
    let found = try locate(reference, for: .rewind)
    guard found.row.kind == .folder else { throw Problem(.wrongKindOfEntry, "\(found.callerPath) is not a folder: revert it instead.") }
    guard sequence <= state.sequence else { throw Problem(.invalidCursor, "This cursor is of the future.") }
    let trimmed = try db.first("SELECT trimmed FROM namespaces WHERE number = ?", .integer(namespace)) { $0.int64(0) } ?? 0
    guard sequence >= trimmed else {
      throw Problem(.conflict, "Changes that far back are no longer kept: rewind to a later moment.")
    }
    let former = try formerStates(after: sequence)
    return try rewind(found, former)
  }

  private func formerStates(after sequence: Int64) throws -> [FormerState] {
    let rows = try db.all(
      """
      SELECT c.entry, c.old_parent, coalesce(c.old_path, c.path), c.old_version, c.old_modified_at, c.old_executable FROM changes c
      JOIN (SELECT min(sequence) AS first FROM changes WHERE ns = ?1 AND sequence > ?2 GROUP BY entry) f ON c.sequence = f.first
      WHERE c.ns = ?1 ORDER BY c.sequence LIMIT ?3
      """, .integer(namespace), .integer(sequence), .int(NamespaceEditor.rewindLimit + 1)
    ) { row in
      FormerState(
        id: row.id(0), existed: !row.isNull(1), parent: row.isNull(1) || row.withBlob(1) { $0.isEmpty } ? nil : row.id(1),
        name: row.text(2).split(separator: "/").last.map(String.init) ?? "", version: row.int64(3), modifiedAt: row.fileTime(4),
        executable: row.bool(5))
    }
    guard rows.count <= NamespaceEditor.rewindLimit else {
      throw Problem(.tooLarge, "More than \(NamespaceEditor.rewindLimit) entries have changed since: rewind to a later moment.")
    }
    return rows
  }

  private func rewind(_ top: Located, _ former: [FormerState]) throws -> (changed: Int, lost: Int) {
    var sorted = try sort(former, below: top.row.id)
    // Those above first: then nothing is ever put below itself.
    sorted.inside.sort { $0.depth < $1.depth }
    let moving = (sorted.inside + sorted.movedIn).filter { $0.isElsewhere && !$0.row.isRemoved }
    try setAside(moving.map(\.row) + sorted.made)
    var changed = 0
    for item in sorted.inside { changed += try bringBack(item) ? 1 : 0 }
    let (returned, homeless) = try sendBack(sorted.movedIn)
    changed += try returned + removeMade(sorted.made + homeless, below: top.row.id)
    heldNames = [:]
    return (changed, sorted.lost)
  }

  private struct Sorted {
    /// In the folder then: they come back, from wherever they are.
    var inside: [Return] = []
    /// Elsewhere then, in the folder now: they go back when all else is in place.
    var movedIn: [Return] = []
    /// In the folder now, and not there at all then.
    var made: [EntryRow] = []
    /// Deleted for good since.
    var lost = 0
  }

  private func sort(_ former: [FormerState], below top: EntryID) throws -> Sorted {
    let states = Dictionary(former.map { ($0.id, $0) }) { first, _ in first }
    var sorted = Sorted()
    for state in former where state.id != top {
      let then = try place(of: state, below: top, states)
      guard let row = try entry(namespace, state.id), try !isPurging(row.id), then != .lost else {
        if then != .outside { sorted.lost += 1 }
        continue
      }
      let isWhereItWas = !row.isRemoved && row.parent == state.parent && row.name.utf8.elementsEqual(state.name.utf8)
      if case .inside(let depth) = then {
        sorted.inside.append(Return(former: state, row: row, depth: depth, isElsewhere: !isWhereItWas))
      } else if try !row.isRemoved && isBelow(row, top) {
        // Also in a folder that is in the trash now: that may come back. What came with the folder that it was in goes with that.
        if !state.existed {
          sorted.made.append(row)
        } else if !isWhereItWas {
          sorted.movedIn.append(Return(former: state, row: row, depth: 0, isElsewhere: true))
        }
      }
    }
    return sorted
  }

  /// Sends back what was moved in, folders before what was in them then; answers also those whose place is gone or taken.
  private func sendBack(_ movedIn: [Return]) throws -> (count: Int, homeless: [EntryRow]) {
    var waiting = movedIn
    var count = 0
    while true {
      let ready = waiting.filter { item in item.former.parent.map { heldNames[$0] == nil } ?? false }
      waiting.removeAll { item in ready.contains { $0.row.id == item.row.id } }
      var hasMoved = false
      for item in ready {
        guard let parent = item.former.parent, let folder = try entry(namespace, parent), try isLiving(folder),
          try child(namespace, parent, item.former.name) == nil
        else {
          waiting.append(item)
          continue
        }
        _ = try bringBack(item)
        hasMoved = true
        count += 1
      }
      guard hasMoved else { return (count, waiting.map(\.row)) }
    }
  }

  // MARK: - Then and now

  private enum Place: Equatable {
    /// With so many folders between it and the top.
    case inside(depth: Int)
    case outside
    /// In a folder that was deleted for good since.
    case lost
  }

  /// Where the entry was at that time.
  private func place(of state: FormerState, below top: EntryID, _ states: [EntryID: FormerState]) throws -> Place {
    guard state.existed, var parent = state.parent else { return .outside }
    var isLost = false
    for depth in 0...Limits.pathDepth {
      if parent == top { return isLost ? .lost : .inside(depth: depth) }
      let row = try entry(namespace, parent)
      isLost = try isLost || row == nil || isPurging(parent)
      if let above = states[parent] {
        guard above.existed, let next = above.parent else { return .outside }
        parent = next
      } else {
        // Not changed since: it is now what it was then, and lives, for a folder that was removed would have changed.
        guard let row, let next = row.parent, !row.isRemoved else { return .outside }
        parent = next
      }
    }
    return .outside
  }

  private func isLiving(_ row: EntryRow) throws -> Bool { try path(of: row, namespace) != nil }

  private func isBelow(_ row: EntryRow, _ top: EntryID) throws -> Bool {
    var parent = row.parent
    while let id = parent {
      if id == top { return true }
      parent = try entry(namespace, id)?.parent
    }
    return false
  }

  private func isPurging(_ id: EntryID) throws -> Bool {
    try db.first("SELECT purging FROM entries WHERE ns = ? AND id = ?", .integer(namespace), .id(id)) { $0.bool(0) } ?? true
  }

  // MARK: - Changing back

  /// Frees the names of those that go elsewhere: two that were swapped are in each other's way. Only rows change; the feed goes on with the
  /// names that it knows, and is told where the entries end.
  private func setAside(_ rows: [EntryRow]) throws {
    for row in rows {
      heldNames[row.id] = row.name
      // No name has a control character, so this one is never in the way.
      try db.send(
        "UPDATE entries SET name = ?, name_key = NULL WHERE ns = ? AND id = ?", .text("\u{1}\(row.id.hex)"), .integer(namespace),
        .id(row.id))
    }
  }

  /// What was made since goes to the trash, folders with what was made in them.
  private func removeMade(_ made: [EntryRow], below top: EntryID) throws -> Int {
    let ids = Set(made.map(\.id))
    var removed = 0
    for row in made {
      guard var now = try entry(namespace, row.id) else { continue }
      let path = try heldPath(of: now)
      now.name = heldNames.removeValue(forKey: row.id) ?? now.name
      let isTop = now.parent.map { !ids.contains($0) } ?? true
      if try isTop && isLiving(now) && isBelow(now, top) {
        try remove(now, path: path, forever: false)
        removed += 1
      }
      // In the trash, or in what goes there, its name is in nobody's way.
      try update(now)
    }
    return removed
  }

  /// Where the feed has an entry: those that are set aside still have their names there.
  private func heldPath(of row: EntryRow) throws -> String {
    var names = [heldNames[row.id] ?? row.name]
    var parent = row.parent
    while let id = parent, id != view.root, let above = try entry(namespace, id) {
      names.append(heldNames[id] ?? above.name)
      parent = above.parent
    }
    return names.reversed().map { "/" + $0 }.joined()
  }

  private func bringBack(_ item: Return) throws -> Bool {
    let state = item.former
    guard let parent = state.parent, let folder = try entry(namespace, parent), let above = try path(of: folder, namespace),
      let name = try? EntryName(state.name)
    else { throw Problem(.conflict, "The folder that held \(state.name) is not there: rewind the folder above it instead.") }
    let path = RemotePath(components: try RemotePath.checked(above).components + [name])
    var hasChanged = false
    if item.isElsewhere {
      if try child(namespace, parent, name.text) != nil {
        throw Problem(
          .conflict, "\(view.callerPath(path.text)) is taken by something that was there then too: the folder cannot be rewound.")
      }
      var row = item.row
      if row.isRemoved {
        try bringBack(row, as: name, in: parent, path)
      } else {
        try checkBorder(row, named: name, into: parent)
        let oldPath = try heldPath(of: row)
        let was = row
        heldNames[row.id] = nil
        row.parent = parent
        row.name = name.text
        try update(row)
        sharedAbove = [:]
        try record(.moved, row, path: path.text, was: was, oldPath: oldPath)
      }
      hasChanged = true
    }
    guard var row = try entry(namespace, item.row.id) else { return hasChanged }
    if row.kind == .file, row.version != state.version {
      guard let version = try version(namespace, row.id, state.version) else {
        throw Problem(.conflict, "\(view.callerPath(path.text)) was at version \(state.version), which is no longer kept.")
      }
      row = try revert(row, to: version, path: path.text)
      hasChanged = true
    }
    if row.modifiedAt != state.modifiedAt || row.executable != state.executable {
      let was = row
      row.modifiedAt = state.modifiedAt
      row.executable = state.executable
      try update(row)
      try record(.modified, row, path: path.text, was: was)
      hasChanged = true
    }
    return hasChanged
  }
}

extension WriteTransaction {
  func rewind(_ operation: UserOperations.Rewind, feedEpoch: UInt64, _ principal: Principal) throws -> RewindResult {
    let view = try view(of: operation.entry, principal)
    let sequence = try sequence(of: operation.target, view, feedEpoch: feedEpoch, principal)
    return try edit(view, principal) { editor in
      let before = editor.state.sequence
      let (changed, lost) = try editor.rewind(operation.entry, to: sequence)
      var undo = FeedCursor(feedEpoch: feedEpoch, namespace: principal.namespace, sequence: before)
      if view.mount != nil {
        undo.sequence = 0
        undo.shared = [FeedCursor.Place(namespace: view.namespace, sequence: before)]
      }
      return RewindResult(changed: changed, lost: lost, undo: undo.text)
    }
  }

  /// The last change of the namespace that shall still count.
  private func sequence(of target: RewindTarget, _ view: TreeView, feedEpoch: UInt64, _ principal: Principal) throws -> Int64 {
    switch target {
    case .cursor(let text):
      let cursor = try FeedCursor(text)
      guard cursor.feedEpoch == feedEpoch, cursor.namespace == principal.namespace else {
        throw Problem(.invalidCursor, "This cursor is of another feed.")
      }
      if view.mount == nil { return cursor.sequence }
      guard let place = cursor.shared.first(where: { $0.namespace == view.namespace }) else {
        throw Problem(.invalidCursor, "This cursor knows nothing of what is shared there.")
      }
      return place.sequence
    case .time(let time):
      // Times rise with sequences, so this is a search in a sorted list.
      let bounds = try db.first("SELECT trimmed, sequence FROM namespaces WHERE number = ?", .integer(view.namespace)) {
        (trimmed: $0.int64(0), last: $0.int64(1))
      }
      guard let bounds else { throw Problem.noSuchEntry }
      var (low, high) = (bounds.trimmed, bounds.last)
      while low < high {
        let middle = low + (high - low + 1) / 2
        let at = try db.first(
          "SELECT at FROM changes WHERE ns = ? AND sequence = ?", .integer(view.namespace), .integer(middle)
        ) { $0.time(0) }
        if let at, at <= time { low = middle } else { high = middle - 1 }
      }
      guard low > bounds.trimmed || bounds.trimmed == 0 else {
        throw Problem(.conflict, "Changes that far back are no longer kept: rewind to a later moment.")
      }
      return low
    }
  }
}
