internal import CPostgreSQL
internal import SQLSession

/// An answer of the server, freed with its last reference.
final class PostgreSQLResult {
  let handle: OpaquePointer
  init(_ handle: OpaquePointer) { self.handle = handle }
  deinit { PQclear(handle) }

  var status: ExecStatusType { PQresultStatus(handle) }
  var rowCount: Int32 { PQntuples(handle) }
  /// Rows that the statement changed.
  var changes: Int { Int(String(cString: PQcmdTuples(handle))) ?? 0 }
  /// What the statement was, `COMMIT` for instance.
  var command: String { String(cString: PQcmdStatus(handle)) }
  var state: String { PQresultErrorField(handle, PostgreSQLResult.stateField).map { String(cString: $0) } ?? "" }

  /// `PG_DIAG_SQLSTATE`, a character in C.
  private static let stateField = Int32(UInt8(ascii: "C"))
  private static let messageField = Int32(UInt8(ascii: "M"))

  /// The server's sentence alone: details may quote what users wrote.
  var message: String { PQresultErrorField(handle, PostgreSQLResult.messageField).map { String(cString: $0) } ?? "" }
}

/// One row of an answer in the binary format.
struct PostgreSQLRow: SQLRow {
  let result: PostgreSQLResult
  let index: Int32

  /// `numeric`, which sums of `bigint` are of.
  private static let numericType: Oid = 1700

  func isNull(_ column: Int32) -> Bool { PQgetisnull(result.handle, index, column) != 0 }

  func int64(_ column: Int32) -> Int64 {
    withBlob(column) { bytes in
      if PQftype(result.handle, column) == PostgreSQLRow.numericType { return PostgreSQLRow.integer(ofNumeric: bytes) }
      switch bytes.count {
      case 8: return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
      case 4: return Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
      case 2: return Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
      case 1: return Int64(bytes[0])
      default: return 0
      }
    }
  }

  func double(_ column: Int32) -> Double {
    withBlob(column) { bytes in
      bytes.count == 8 ? Double(bitPattern: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))) : 0
    }
  }

  func text(_ column: Int32) -> String { withBlob(column) { String(decoding: $0, as: UTF8.self) } }

  func withBlob<R>(_ column: Int32, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let start = UnsafeRawPointer(PQgetvalue(result.handle, index, column))
    return try body(UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result.handle, index, column))))
  }

  /// The whole part of a `numeric`: four 16-bit words (digits, weight, sign, scale), then digits to the base 10,000.
  static func integer(ofNumeric bytes: UnsafeRawBufferPointer) -> Int64 {
    func word(_ index: Int) -> Int {
      guard bytes.count >= 2 * index + 2 else { return 0 }
      return Int(Int16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: Int16.self)))
    }
    let (count, weight, isNegative) = (word(0), word(1), word(2) == 0x4000)
    guard weight >= 0 else { return 0 }
    var value: Int64 = 0
    for place in 0...weight {
      let digit = place < count ? word(4 + place) : 0
      let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10_000)
      guard !isTooLarge else { return isNegative ? .min : .max }
      value = product &+ Int64(digit)
    }
    return isNegative ? -value : value
  }
}
