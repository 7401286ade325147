/// A value on its way into a statement.
package enum SQLiteValue: Sendable, Equatable {
  case null
  case integer(Int64)
  case real(Double)
  case text(String)
  case blob([UInt8])

  package static func int(_ value: Int) -> SQLiteValue { .integer(Int64(value)) }
  package static func flag(_ value: Bool) -> SQLiteValue { .integer(value ? 1 : 0) }
  package static func integer(_ value: Int64?) -> SQLiteValue { value.map { .integer($0) } ?? .null }
  package static func text(_ value: String?) -> SQLiteValue { value.map { .text($0) } ?? .null }
  package static func blob(_ value: [UInt8]?) -> SQLiteValue { value.map { .blob($0) } ?? .null }
}
