internal import CSQLite

/// A compiled statement of one connection, and the row that it stands on.
///
/// What must hold: it is used by the thread that uses its connection, and is reset after each use, so that no read transaction stays open.
package final class SQLiteStatement {
  private let handle: OpaquePointer
  private let connection: OpaquePointer
  private let sql: String
  var isBusy = false

  init(_ sql: String, connection: OpaquePointer) throws(SQLiteError) {
    var handle: OpaquePointer?
    let result = sqlite3_prepare_v3(connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil)
    guard result == SQLITE_OK, let handle else {
      throw SQLiteError(result: result, connection: connection, doing: "prepare “\(sql)”")
    }
    self.handle = handle
    self.connection = connection
    self.sql = sql
  }

  deinit { sqlite3_finalize(handle) }

  func bind(_ values: [SQLiteValue]) throws(SQLiteError) {
    precondition(Int(sqlite3_bind_parameter_count(handle)) == values.count, "“\(sql)” takes as many values as it has places")
    for (index, value) in values.enumerated() {
      let place = Int32(index + 1)
      let result =
        switch value {
        case .null: sqlite3_bind_null(handle, place)
        case .integer(let number): sqlite3_bind_int64(handle, place, number)
        case .real(let number): sqlite3_bind_double(handle, place, number)
        case .text(let text): bind(text, at: place)
        case .blob(let bytes): bind(bytes, at: place)
        }
      guard result == SQLITE_OK else { throw SQLiteError(result: result, connection: connection, doing: "bind a value") }
    }
  }

  private func bind(_ text: String, at place: Int32) -> Int32 {
    var text = text
    return text.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { characters in
        guard let base = characters.baseAddress else { return sqlite3_bind_text(handle, place, "", 0, cairn_sqlite_transient()) }
        return sqlite3_bind_text(handle, place, base, Int32(characters.count), cairn_sqlite_transient())
      }
    }
  }

  private func bind(_ bytes: [UInt8], at place: Int32) -> Int32 {
    // An empty array may have no address, and a null address would bind NULL.
    guard !bytes.isEmpty else { return sqlite3_bind_zeroblob(handle, place, 0) }
    return bytes.withUnsafeBytes { sqlite3_bind_blob(handle, place, $0.baseAddress, Int32($0.count), cairn_sqlite_transient()) }
  }

  /// True when it stands on a row, false when it is done.
  func step() throws(SQLiteError) -> Bool {
    let result = sqlite3_step(handle)
    switch result {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    default: throw SQLiteError(result: result, connection: connection, doing: "run “\(sql)”")
    }
  }

  var isReadOnly: Bool { sqlite3_stmt_readonly(handle) != 0 }

  func reset() {
    sqlite3_reset(handle)
    sqlite3_clear_bindings(handle)
  }

  // MARK: - The row; valid until the next step

  package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }
  package func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
  package func int(_ column: Int32) -> Int { Int(sqlite3_column_int64(handle, column)) }
  package func bool(_ column: Int32) -> Bool { sqlite3_column_int64(handle, column) != 0 }
  package func double(_ column: Int32) -> Double { sqlite3_column_double(handle, column) }
  package func optionalInt64(_ column: Int32) -> Int64? { isNull(column) ? nil : int64(column) }

  package func text(_ column: Int32) -> String {
    guard let start = sqlite3_column_text(handle, column) else { return "" }
    return String(decoding: UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))), as: UTF8.self)
  }

  package func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }

  package func blob(_ column: Int32) -> [UInt8] { withBlob(column) { [UInt8]($0) } }

  package func optionalBlob(_ column: Int32) -> [UInt8]? { isNull(column) ? nil : blob(column) }

  /// The bytes of a column without a copy, valid inside of `body` only.
  package func withBlob<R>(_ column: Int32, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let start = sqlite3_column_blob(handle, column)
    return try body(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(handle, column))))
  }
}
