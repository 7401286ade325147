/// What a column holds.
package enum SQLType: Sendable, Equatable {
  case integer, real, text, blob
}

/// A value on its way into a statement.
package enum SQLValue: Sendable, Equatable {
  /// NULL of a type that the engine has to find out by itself.
  case null
  /// NULL of a known type: one statement text is then prepared once, whether the value is there or not.
  case absent(SQLType)
  case integer(Int64)
  case real(Double)
  case text(String)
  case blob([UInt8])

  package static func int(_ value: Int) -> SQLValue { .integer(Int64(value)) }
  package static func flag(_ value: Bool) -> SQLValue { .integer(value ? 1 : 0) }
  package static func integer(_ value: Int64?) -> SQLValue { value.map { .integer($0) } ?? .absent(.integer) }
  package static func text(_ value: String?) -> SQLValue { value.map { .text($0) } ?? .absent(.text) }
  package static func blob(_ value: [UInt8]?) -> SQLValue { value.map { .blob($0) } ?? .absent(.blob) }
}
