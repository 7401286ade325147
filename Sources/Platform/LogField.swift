package import BlockModel

/// A value in a log line.
package enum LogField: Sendable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral
{
  case string(String)
  case int(Int64)
  case double(Double)
  case bool(Bool)
  /// Written in seconds.
  case duration(Duration)
  case time(WallTime)
  /// Written as `«redacted»`, whatever it holds.
  case secret(SecretBytes)

  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .int(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }

  package static func int(_ value: some BinaryInteger) -> LogField { .int(Int64(clamping: value)) }
  /// An error in its own words.
  package static func error(_ error: any Error) -> LogField { .string(String(describing: error)) }

  func append(to line: inout [UInt8]) {
    switch self {
    case .string(let text): JSONText.append(text, to: &line)
    case .int(let value): line.append(contentsOf: String(value).utf8)
    case .double(let value): LogField.append(value, to: &line)
    case .bool(let value): line.append(contentsOf: (value ? "true" : "false").utf8)
    case .duration(let value): LogField.append(value.inSeconds, to: &line)
    case .time(let value): JSONText.append(value.rfc3339, to: &line)
    case .secret(let value): JSONText.append(value.description, to: &line)
    }
  }

  /// JSON has no infinities and no NaN.
  private static func append(_ value: Double, to line: inout [UInt8]) {
    line.append(contentsOf: (value.isFinite ? String(value) : "null").utf8)
  }
}

/// Fields of a log line, in order.
package struct LogFields: Sendable, ExpressibleByDictionaryLiteral {
  package private(set) var fields: [(name: String, value: LogField)]

  package init(dictionaryLiteral elements: (String, LogField)...) {
    fields = elements.map { (name: $0.0, value: $0.1) }
  }

  package mutating func append(_ name: String, _ value: LogField) { fields.append((name, value)) }

  package static func + (a: LogFields, b: LogFields) -> LogFields {
    var sum = a
    sum.fields += b.fields
    return sum
  }
}
