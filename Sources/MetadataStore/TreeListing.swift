internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension ReadTransaction {
  static let listLimit = 1000

  /// One page of a folder's children in the order of their names' bytes.
  func list(_ reference: EntryReference, limit: Int, cursor: String?, _ principal: Principal) throws -> Page<FileEntry> {
    if SharedFolder.isNamed(by: reference) {
      let page = try shared(limit: limit, cursor: cursor, principal)
      return Page(items: page.items.map(\.entry), next: page.next)
    }
    let folder = try locatedFolder(reference, principal)
    let after = try cursor.map { try ListCursor.decode($0) } ?? []
    guard after.count <= 1 else { throw ListCursor.invalid }
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let prefix = folder.path == "/" ? "/" : folder.path + "/"
    var rows = try children(of: folder.row.id, after: after.first, limit: limit + 1, folder.view.namespace)
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    var clashes = CaseClashes(self, folder.view.namespace)
    let items = try rows.map { row in
      var document = folder.view.document(row, path: prefix + row.name, role: folder.role)
      if try clashes.has(row) { document.caseClash = true }
      return document
    }
    return Page(items: items, next: hasMore ? rows.last.map { ListCursor.encode([$0.name]) } : nil)
  }

  /// One page of all below a folder, parents before children, siblings by name.
  ///
  /// The cursor is the path of the last entry below the folder: a walk that goes on from a path needs no memory of ours, and when
  /// something moved meanwhile it goes on after the place where that was.
  func listRecursively(_ reference: EntryReference, limit: Int, cursor: String?, _ principal: Principal) throws -> Page<FileEntry> {
    let folder = try locatedFolder(reference, principal)
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    var walk = try TreeWalk(self, from: folder, after: try cursor.map { try ListCursor.decode($0) } ?? [])
    var clashes = CaseClashes(self, folder.view.namespace)
    var items: [FileEntry] = []
    var last: [String] = []
    while let (row, names) = try walk.next(batch: limit - items.count + 1) {
      guard items.count < limit else { return Page(items: items, next: ListCursor.encode(last)) }
      var document = folder.view.document(
        row, path: (folder.path == "/" ? "" : folder.path) + names.map { "/" + $0 }.joined(), role: folder.role)
      if try clashes.has(row) { document.caseClash = true }
      items.append(document)
      last = names
    }
    return Page(items: items, next: nil)
  }

  func children(of folder: EntryID, after name: String?, limit: Int, _ namespace: Int64) throws -> [EntryRow] {
    try db.all(
      """
      SELECT \(EntryRow.columns) FROM entries WHERE ns = ? AND parent = ? AND removed_at IS NULL AND name > ? ORDER BY name LIMIT ?
      """, .integer(namespace), .id(folder), .text(name ?? ""), .int(limit)
    ) { EntryRow($0) }
  }

  private func locatedFolder(_ reference: EntryReference, _ principal: Principal) throws -> Located {
    let folder = try locate(reference, for: .list, principal)
    guard folder.row.kind == .folder else { throw Problem.noFolder(folder.callerPath) }
    return folder
  }
}

/// Finds siblings whose names differ in upper and lower case only. A folder whose names are all lower case, as most are, costs one look.
private struct CaseClashes {
  private let transaction: ReadTransaction
  private let namespace: Int64
  private var parent: EntryID?
  private var isPossible = false

  init(_ transaction: ReadTransaction, _ namespace: Int64) {
    self.transaction = transaction
    self.namespace = namespace
  }

  mutating func has(_ row: EntryRow) throws -> Bool {
    guard let folder = row.parent else { return false }
    if folder != parent {
      parent = folder
      isPossible =
        try transaction.db.first(
          "SELECT 1 FROM entries WHERE ns = ? AND parent = ? AND name_key IS NOT NULL AND removed_at IS NULL LIMIT 1",
          .integer(namespace), .id(folder)
        ) { _ in true } ?? false
    }
    guard isPossible else { return false }
    let key = NameKey.make(row.name)
    if let key, try transaction.child(namespace, folder, key) != nil { return true }
    return try transaction.db.first(
      "SELECT 1 FROM entries WHERE ns = ? AND parent = ? AND name_key = ? AND removed_at IS NULL AND id <> ? LIMIT 1", .integer(namespace),
      .id(folder), .text(key ?? row.name), .id(row.id)
    ) { _ in true } ?? false
  }
}

/// A walk over a subtree in pre-order that can begin after any path.
private struct TreeWalk {
  private struct Level {
    var folder: EntryID
    var name: String
    /// Children fetched and not visited yet, in reverse.
    var waiting: [EntryRow] = []
    var after: String?
    var isExhausted = false
  }

  private let transaction: ReadTransaction
  private let namespace: Int64
  private var levels: [Level]

  init(_ transaction: ReadTransaction, from top: Located, after names: [String]) throws {
    self.transaction = transaction
    namespace = top.view.namespace
    levels = [Level(folder: top.row.id, name: "")]
    for name in names {
      levels[levels.count - 1].after = name
      guard let row = try transaction.child(namespace, levels[levels.count - 1].folder, name), row.kind == .folder else {
        break
      }
      levels.append(Level(folder: row.id, name: name))
    }
  }

  /// The next entry and its names below the top.
  mutating func next(batch: Int) throws -> (EntryRow, [String])? {
    while var level = levels.popLast() {
      if level.waiting.isEmpty, !level.isExhausted {
        level.waiting = try transaction.children(of: level.folder, after: level.after, limit: batch, namespace).reversed()
        level.isExhausted = level.waiting.count < batch
      }
      guard let row = level.waiting.popLast() else { continue }
      level.after = row.name
      levels.append(level)
      let names = levels.dropFirst().map(\.name) + [row.name]
      if row.kind == .folder { levels.append(Level(folder: row.id, name: row.name)) }
      return (row, names)
    }
    return nil
  }
}

/// Names as opaque text.
enum ListCursor {
  static let invalid = Problem(.invalidCursor, "This cursor was not made by this list: start without one.")

  static func encode(_ names: [String]) -> String { Base64URL.encode(Array(names.joined(separator: "/").utf8)) }

  static func decode(_ text: String) throws(Problem) -> [String] {
    guard text.utf8.count <= 64 << 10, let bytes = Base64URL.decode(text), !bytes.isEmpty,
      let names = String(validating: bytes, as: UTF8.self)
    else { throw invalid }
    return names.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
  }
}

/// One number as opaque text, marked with what it counts so that a cursor of one list does not fit another.
enum NumberCursor {
  static func encode(_ kind: Character, _ numbers: Int64...) -> String {
    Base64URL.encode(Array(([String(kind)] + numbers.map(String.init)).joined(separator: ".").utf8))
  }

  static func decode(_ kind: Character, count: Int, _ text: String) throws(Problem) -> [Int64] {
    guard text.utf8.count <= 256, let bytes = Base64URL.decode(text), let inner = String(validating: bytes, as: UTF8.self) else {
      throw ListCursor.invalid
    }
    let parts = inner.split(separator: ".", omittingEmptySubsequences: false)
    let numbers = parts.dropFirst().compactMap { Int64($0) }
    guard parts.first == Substring(String(kind)), numbers.count == count, parts.count == count + 1 else { throw ListCursor.invalid }
    return numbers
  }
}
