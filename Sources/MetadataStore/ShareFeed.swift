internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// A shared entry above another one.
struct SharedRoot: Equatable {
  var id: EntryID
  /// Names from it down to the other one; 0 for itself.
  var level: Int
}

/// How a change looks from inside of a shared entry.
enum ShareSide: Int {
  case inside = 0
  case entered = 1
  case left = 2
  /// The shared entry itself came back, with a folder above it.
  case allCame = 3
  case allWent = 4
}

/// Writes beside a change through which shared entries it is to be seen, so that a member's feed is one range of an index.
extension NamespaceEditor {
  func recordForMembers(_ action: Change.Action, _ row: EntryRow, path: String, was: EntryRow?, oldPath: String) throws {
    let after = action == .deleted ? [] : try sharedRoots(of: row.id, in: row.parent)
    let before: [SharedRoot]
    switch action {
    case .created, .entered: before = []
    case .deleted: before = try sharedRoots(of: row.id, in: row.parent)
    default: before = was?.parent == row.parent ? after : try sharedRoots(of: row.id, in: was?.parent)
    }
    for root in after {
      let old = before.first { $0.id == root.id }
      let side: ShareSide = old != nil || action == .created ? .inside : .entered
      try note(root.id, side, cut: cut(path, root.level), oldCut: cut(oldPath, old?.level ?? 0))
    }
    for root in before where !after.contains(where: { $0.id == root.id }) {
      try note(root.id, action == .deleted ? .inside : .left, cut: cut(path, root.level), oldCut: cut(oldPath, root.level))
    }
    guard row.kind == .folder, action == .deleted || action == .entered else { return }
    for root in try sharedRoots(below: row.id) where !after.contains(where: { $0.id == root }) && !before.contains(where: { $0.id == root })
    {
      try note(root, action == .deleted ? .allWent : .allCame, cut: 0, oldCut: 0)
    }
  }

  private func note(_ root: EntryID, _ side: ShareSide, cut: Int, oldCut: Int) throws {
    try db.send(
      "INSERT INTO share_changes (ns, root, sequence, side, cut, old_cut) VALUES (?, ?, ?, ?, ?, ?)", .integer(namespace), .id(root),
      .integer(state.sequence), .int(side.rawValue), .int(cut), .int(oldCut))
  }

  /// Bytes of a path without its last `level` names.
  private func cut(_ path: String, _ level: Int) -> Int {
    let bytes = Array(path.utf8)
    var end = bytes.count
    for _ in 0..<level { end = bytes[..<end].lastIndex(of: UInt8(ascii: "/")) ?? 0 }
    return end
  }

  /// The shared entries among an entry, which lies in `parent`, and the folders above it.
  private func sharedRoots(of id: EntryID, in parent: EntryID?) throws -> [SharedRoot] {
    var own: [SharedRoot] = []
    let question = SQLQuestion("SELECT 1 FROM shares WHERE ns = ? AND entry = ? LIMIT 1", [.integer(namespace), .id(id)]) { _ in
      own = [SharedRoot(id: id, level: 0)]
      return false
    }
    let above = try sharedRoots(above: parent, asking: question)
    return own + above
  }

  /// - Parameter other: asked besides.
  private func sharedRoots(above folder: EntryID?, asking other: SQLQuestion) throws -> [SharedRoot] {
    guard let folder else {
      try db.ask([other])
      return []
    }
    if let known = sharedAbove[folder] {
      try db.ask([other])
      return known
    }
    var roots: [SharedRoot] = []
    let question = SQLQuestion(
      """
      WITH RECURSIVE above (id, parent, level) AS (
        SELECT id, parent, 1 FROM entries WHERE ns = ?1 AND id = ?2 UNION ALL
        SELECT e.id, e.parent, above.level + 1 FROM above JOIN entries e ON e.ns = ?1 AND e.id = above.parent)
      SELECT id, level FROM above WHERE EXISTS (SELECT 1 FROM shares s WHERE s.ns = ?1 AND s.entry = above.id) ORDER BY level
      """, [.integer(namespace), .id(folder)]
    ) {
      roots.append(SharedRoot(id: $0.id(0), level: $0.int(1)))
      return true
    }
    try db.ask([other, question])
    if sharedAbove.count >= 4096 { sharedAbove = [:] }
    sharedAbove[folder] = roots
    return roots
  }

  /// The shared entries below a folder, itself left out, in the order of their ids.
  ///
  /// Down from the folder takes a step for each entry in it, up from the shared entries one for each folder above each of them. A tree may
  /// have millions of either, so the first way is gone as far only as the second one would take.
  private func sharedRoots(below folder: EntryID) throws -> [EntryID] {
    let limit = 1000 + 8 * Int(state.shares)
    var (seen, roots) = (0, [EntryID]())
    try db.each(
      """
      WITH RECURSIVE inside (id, kind) AS (
        SELECT id, kind FROM entries WHERE ns = ?1 AND id = ?2 UNION ALL
        SELECT e.id, e.kind FROM inside JOIN entries e ON e.ns = ?1 AND e.parent = inside.id
        WHERE inside.kind = 1 AND e.removed_at IS NULL)
      SELECT id, EXISTS (SELECT 1 FROM shares s WHERE s.ns = ?1 AND s.entry = inside.id) FROM inside LIMIT ?3
      """, .integer(namespace), .id(folder), .int(limit)
    ) { row in
      seen += 1
      let id: EntryID = row.id(0)
      if row.bool(1), id != folder { roots.append(id) }
      return true
    }
    return seen < limit ? roots.sorted() : try sharedRootsByAncestors(below: folder)
  }

  private func sharedRootsByAncestors(below folder: EntryID) throws -> [EntryID] {
    try db.all(
      """
      WITH RECURSIVE above (root, id, parent) AS (
        SELECT e.id, e.id, e.parent FROM (SELECT DISTINCT entry FROM shares WHERE ns = ?1) s JOIN entries e ON e.ns = ?1 AND e.id = s.entry
        WHERE e.removed_at IS NULL UNION ALL
        SELECT above.root, e.id, e.parent FROM above JOIN entries e ON e.ns = ?1 AND e.id = above.parent
        WHERE above.id <> ?2 AND (e.removed_at IS NULL OR e.id = ?2))
      SELECT root FROM above WHERE id = ?2 AND root <> ?2 ORDER BY root
      """, .integer(namespace), .id(folder)
    ) { $0.id(0) }
  }
}
