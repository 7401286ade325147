internal import PostgreSQLDatabase
internal import SQLSession
internal import SQLiteDatabase
internal import ServiceAPI

/// A table as a move from SQLite to PostgreSQL sees it: the same columns on both sides.
struct MovedTable: Equatable, Sendable {
  struct Column: Equatable, Sendable {
    var name: String
    /// As PostgreSQL has it, which keeps nothing else in it.
    var type: SQLType
  }

  /// What is not moved: the steps of the schema, which PostgreSQL counts itself, and the place in the nodes' journal, of which it has none.
  private static let kept: Set<String> = ["migrations", "journal_state", "journal_tail"]
  /// SQLite keeps what it is given in a column of any type; the one value that is no number is written anew where it is missing.
  private static let conditions = ["settings": "typeof(value) = 'integer'"]

  var name: String
  var columns: [Column]
  /// Places of the columns that tell rows apart, which are never NULL; all columns where nothing keeps rows apart.
  var key: [Int]
  /// The column that PostgreSQL numbers by itself where nothing else is said.
  var numbered: String?

  // MARK: - Statements, as both engines read them

  private var names: String { columns.map(\.name).joined(separator: ", ") }
  var keyTypes: [SQLType] { key.map { columns[$0].type } }
  var keyNames: [String] { key.map { columns[$0].name } }
  private var keyCondition: String { keyNames.map { "\($0) = ?" }.joined(separator: " AND ") }
  private var condition: String? { MovedTable.conditions[name] }

  var select: String { "SELECT \(names) FROM \(name)" + (condition.map { " WHERE \($0)" } ?? "") }
  var selectByKey: String { "SELECT \(names) FROM \(name) WHERE \(keyCondition)" + (condition.map { " AND \($0)" } ?? "") }
  var delete: String { "DELETE FROM \(name) WHERE \(keyCondition)" }
  func insert(rows: Int) -> String {
    let places = "(" + columns.map { _ in "?" }.joined(separator: ", ") + ")"
    return "INSERT INTO \(name) (\(names)) VALUES " + Array(repeating: places, count: rows).joined(separator: ", ")
  }

  func row(_ row: any SQLRow) -> [SQLValue] {
    columns.enumerated().map { MovedTable.value(row, Int32($0), $1.type) }
  }

  static func value(_ row: any SQLRow, _ column: Int32, _ type: SQLType) -> SQLValue {
    guard !row.isNull(column) else { return .absent(type) }
    return switch type {
    case .integer: .integer(row.int64(column))
    case .real: .real(row.double(column))
    case .text: .text(row.text(column))
    case .blob: .blob(row.blob(column))
    }
  }

  // MARK: - Which there are

  /// All tables that are moved, those that others refer to before these.
  /// - Throws: `Problem` when the two databases do not have the same tables.
  static func all(_ source: SQLiteConnection, _ target: PostgreSQLConnection) throws -> [MovedTable] {
    let names = try source.all(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name", read: { $0.text(0) }
    ).filter { !kept.contains($0) }
    var references: [String: [String]] = [:]
    for name in names {
      references[name] = try source.all("SELECT \"table\" FROM pragma_foreign_key_list(?)", .text(name)) { $0.text(0) }
    }
    return try order(names, references).map { try table($0, source, target) }
  }

  /// The names in an order in which each comes after those that it refers to, and otherwise as they are given.
  static func order(_ names: [String], _ references: [String: [String]]) -> [String] {
    var ordered: [String] = []
    var left = names
    while !left.isEmpty {
      // What refers to itself, or around in a circle, comes as it is given.
      let next = left.firstIndex { name in (references[name] ?? []).allSatisfy { $0 == name || !left.contains($0) } } ?? 0
      ordered.append(left.remove(at: next))
    }
    return ordered
  }

  private static func table(_ name: String, _ source: SQLiteConnection, _ target: PostgreSQLConnection) throws -> MovedTable {
    let found = try source.all("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", .text(name)) { (name: $0.text(0), pk: $0.int(1)) }
    var types: [String: SQLType] = [:]
    var numbered: String?
    let columns = """
      SELECT a.attname::text, t.typname::text, CASE WHEN a.attidentity = '' THEN 0 ELSE 1 END FROM pg_attribute a
      JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped
      """
    try target.rows(columns, [.text("public." + name)]) { row in
      types[row.text(0)] = type(row.text(1))
      if row.bool(2) { numbered = row.text(0) }
      return true
    }
    guard types.count == found.count else { throw difference(name) }
    let list = try found.map { column in
      guard let type = types[column.name] else { throw difference(name) }
      return Column(name: column.name, type: type)
    }
    var key = found.indices.filter { found[$0].pk > 0 }.sorted { found[$0].pk < found[$1].pk }
    if key.isEmpty { key = try uniqueColumns(name, found.map(\.name), source) }
    return MovedTable(name: name, columns: list, key: key.isEmpty ? Array(found.indices) : key, numbered: numbered)
  }

  private static func uniqueColumns(_ name: String, _ columns: [String], _ source: SQLiteConnection) throws -> [Int] {
    let index = try source.first("SELECT name FROM pragma_index_list(?) WHERE origin = 'u' ORDER BY seq", .text(name), read: { $0.text(0) })
    guard let index else { return [] }
    let names = try source.all("SELECT name FROM pragma_index_info(?) ORDER BY seqno", .text(index)) { $0.text(0) }
    return names.compactMap { columns.firstIndex(of: $0) }
  }

  private static func type(_ name: String) -> SQLType? {
    switch name {
    case "int8": .integer
    case "float8": .real
    case "text": .text
    case "bytea": .blob
    default: nil
    }
  }

  private static func difference(_ name: String) -> Problem {
    Problem(.conflict, "The table “\(name)” is not the same in SQLite and in PostgreSQL.")
  }
}
