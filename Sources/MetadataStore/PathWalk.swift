internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// Statements that walk the unique index of names down from a folder, several names each: with PostgreSQL every statement is a round trip.
enum PathWalk {
  /// Names that one statement walks: the stack of SQLite's parser holds nine such subqueries.
  static let longest = 8

  /// Answers the entry's row, or none.
  /// - Parameter count: of names, 1 to `longest`.
  static func toEntry(_ count: Int) -> String { entries[count - 1] }

  /// Answers the folder's id, or NULL or no row where there is none.
  /// - Parameter count: of names, 1 to `longest`.
  static func toFolder(_ count: Int) -> String { folders[count - 1] }

  static func values(_ namespace: Int64, _ folder: EntryID, _ names: some Collection<EntryName>) -> [SQLValue] {
    [.integer(namespace), .id(folder)] + names.map { .text($0.text) }
  }

  private static let entries = (1...longest).map { "SELECT \(EntryRow.columns) \(named($0))" }
  private static let folders = (1...longest).map { folder($0) }

  /// Whether it is a folder is asked of what was found: as a condition it would invite an index of all folders in a folder.
  private static func folder(_ count: Int) -> String { "SELECT CASE WHEN kind = 1 THEN id END \(named(count))" }

  private static func named(_ count: Int) -> String {
    let parent = count == 1 ? "?2" : "(\(folder(count - 1)))"
    return "FROM entries WHERE ns = ?1 AND parent = \(parent) AND name = ?\(count + 2) AND removed_at IS NULL"
  }
}

/// Where a path leads in a namespace. A reference, for those who read the answers to fill it.
final class PathEnd {
  /// The folder that it lies in; nil when one of the names is missing or no folder.
  var folder: EntryID?
  /// What is there.
  var entry: EntryRow?
}

extension NamespaceEditor {
  /// Where a path leads, once the questions are answered.
  /// - Parameter path: the owner's, not the root.
  func pathEnd(_ path: RemotePath) throws -> (end: PathEnd, questions: [SQLQuestion]) {
    let end = PathEnd()
    let above = Array(path.components.dropLast())
    let key = BatchMemory.Folder(namespace: namespace, path: above)
    if let known = context.batch?.folders[key] {
      end.folder = known
      return (end, [entryQuestion(end, known, path.components.suffix(1))])
    }
    guard let (folder, names) = try nearing(path.components, view) else { return (end, []) }
    guard names.count > 1 else {
      end.folder = folder
      context.batch?.folders[key] = folder
      return (end, [entryQuestion(end, folder, names)])
    }
    let place = SQLQuestion(PathWalk.toFolder(names.count - 1), PathWalk.values(namespace, folder, names.dropLast())) { row in
      end.folder = row.isNull(0) ? nil : row.id(0)
      if let found = end.folder { self.context.batch?.folders[key] = found }
      return false
    }
    return (end, [place, entryQuestion(end, folder, names)])
  }

  private func entryQuestion(_ end: PathEnd, _ folder: EntryID, _ names: ArraySlice<EntryName>) -> SQLQuestion {
    SQLQuestion(PathWalk.toEntry(names.count), PathWalk.values(namespace, folder, names)) { row in
      end.entry = EntryRow(row)
      return false
    }
  }
}
