internal import CSQLite

/// Why SQLite did not do what it was asked.
package struct SQLiteError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// Another connection holds the lock and did not let go within the busy timeout.
    case busy
    /// The disk, or the bound set on the database, is full. Nothing of the statement was done.
    case full
    /// Reading, writing or syncing failed; what a commit did is unknown.
    case inputOutput
    /// The file is damaged or no database.
    case corrupt
    /// A row would be there twice, or something else that the schema forbids.
    case constraint
    case cannotOpen
    case readOnly
    /// The schema is newer than this program, or an old migration is not what it was.
    case schema
    /// A bug of ours, or a result that has no meaning of its own here.
    case other
  }

  package var code: Code
  package var message: String
  /// SQLite's extended result code.
  package var extendedCode: Int32
  package var description: String { message }

  package init(_ code: Code, _ message: String, extendedCode: Int32 = 0) {
    self.code = code
    self.message = message
    self.extendedCode = extendedCode
  }

  init(result: Int32, connection: OpaquePointer?, doing what: String) {
    extendedCode = connection.map { sqlite3_extended_errcode($0) } ?? result
    code = SQLiteError.code(of: result & 0xff)
    let words = connection.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(result))
    message = "SQLite cannot \(what): \(words) (\(extendedCode))"
  }

  private static func code(of primary: Int32) -> Code {
    switch primary {
    case SQLITE_BUSY, SQLITE_LOCKED: .busy
    case SQLITE_FULL: .full
    case SQLITE_IOERR: .inputOutput
    case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt
    case SQLITE_CONSTRAINT: .constraint
    case SQLITE_CANTOPEN, SQLITE_PERM: .cannotOpen
    case SQLITE_READONLY: .readOnly
    default: .other
    }
  }
}
