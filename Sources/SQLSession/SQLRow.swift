/// One row of an answer; valid inside of the closure that it is given to. Columns count from 0.
///
/// NULL reads as 0, an empty text or no bytes where the reader does not ask for it.
package protocol SQLRow {
  func isNull(_ column: Int32) -> Bool
  func int64(_ column: Int32) -> Int64
  func double(_ column: Int32) -> Double
  func text(_ column: Int32) -> String
  /// The bytes of a column without a copy, valid inside of `body` only.
  func withBlob<R>(_ column: Int32, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R
}

extension SQLRow {
  package func int(_ column: Int32) -> Int { Int(int64(column)) }
  package func bool(_ column: Int32) -> Bool { int64(column) != 0 }
  package func blob(_ column: Int32) -> [UInt8] { withBlob(column) { [UInt8]($0) } }
  package func optionalInt64(_ column: Int32) -> Int64? { isNull(column) ? nil : int64(column) }
  package func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }
  package func optionalBlob(_ column: Int32) -> [UInt8]? { isNull(column) ? nil : blob(column) }
}
